//! One request on its route: what every step of the walk needs to know.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{Method, Uri};

use super::layer::{Config, Mode};
use super::patience::Patience;
use crate::decision::{
    Access, Decision, Refusal, Rules, Selected, Validators, decide, refuse_unseen,
};
use crate::entity_tag::{EntityTag, EntityTagRef};
use crate::http_date::HttpDate;
use crate::key::{ResourceKey, original_uri};
use crate::observe::{Route, StoreFailure, StoreStep};
use crate::policy::{IfMatch, Policy};
use crate::precondition::{ListMatch, Preconditions, TagField};
use crate::store::{
    Answer, Condition, Current, Snapshot, State, StoreError, Version, VersionStore,
};
use crate::tags::Variant;

#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) config: Arc<Config>,
    pub(super) policy: Arc<Policy>,
    pub(super) key: ResourceKey,
    pub(super) method: Method,
    pub(super) access: Access,
    /// Which representation it is about.
    pub(super) variant: Variant,
    /// By which route, for the observer.
    pub(super) route: Option<Route>,
    /// On whose behalf, for the observer.
    pub(super) actor: Option<Arc<str>>,
    /// Is this a write that only [`IfMatch::Warn`] lets through?
    pub(super) unprotected: bool,
    /// How long it waited for other writes, for the observer.
    pub(super) waited: Duration,
    /// What was current when the handler was called, if that is known, for the observer.
    pub(super) base: Option<Box<Version>>,
    /// Where the resource of a write is, if its key does not say so.
    pub(super) uri: Option<Box<Uri>>,
}

impl Exchange {
    /// The exchange that this request begins; `None` if it is not this layer's business.
    pub(super) fn of(config: &Arc<Config>, access: Access, parts: &Parts) -> Option<Self> {
        if access == Access::Unconditional {
            return None;
        }
        let policy = config.policy(parts)?;
        let key = config.key(parts)?;
        let variant = policy.tags.variant_of(parts);
        let uri = match key.path() {
            None if access == Access::Write => Some(Box::new(original_uri(parts).clone())),
            _ => None,
        };
        let mut exchange = Self {
            config: Arc::clone(config),
            policy,
            key,
            method: parts.method.clone(),
            access,
            variant,
            route: config.audience.route(parts),
            actor: config.audience.actor(parts),
            unprotected: false,
            waited: Duration::ZERO,
            base: None,
            uri,
        };
        if exchange.policy.if_match_of(&exchange.method) == IfMatch::Warn {
            let preconditions = Preconditions::from_headers(&parts.headers);
            exchange.unprotected = exchange.is_unprotected(&preconditions);
        }
        Some(exchange)
    }

    /// What is current when the handler is called, if anybody wants to know.
    pub(super) fn base_of(&self, current: Option<&Current>) -> Option<Box<Version>> {
        self.config.audience.observer()?;
        Some(Box::new(current?.version.clone()?))
    }

    /// Where the resource is, as the client knows it.
    pub(super) fn path(&self) -> Option<&str> {
        let path = self.uri.as_ref().map(|uri| uri.path());
        path.or_else(|| self.key.path())
    }

    /// How long this request waits for the store.
    pub(super) fn patience(&self) -> Patience<'_> {
        Patience {
            runtime: &self.config.runtime,
            limit: self.policy.store_timeout,
        }
    }

    /// Asks `store` what is current.
    pub(super) fn current<S: VersionStore + ?Sized>(
        &self,
        store: &S,
    ) -> Answer<Result<Snapshot, StoreError>> {
        self.patience().bound(store.current(&self.key))
    }

    /// Tells the observer that the store has failed.
    pub(super) fn store_failed(&self, key: &ResourceKey, step: StoreStep, error: &StoreError) {
        if let Some(observer) = self.config.audience.observer() {
            observer.store_failed(&StoreFailure {
                key,
                mode: self.config.mode.kind(),
                step,
                error,
            });
        }
    }

    /// The same of what was asked of this request's resource, and what is left of it.
    pub(super) fn heard<T>(&self, step: StoreStep, answer: Result<T, StoreError>) -> Option<T> {
        answer
            .inspect_err(|error| self.store_failed(&self.key, step, error))
            .ok()
    }

    /// Evaluates the conditions in `headers` against what the store says.
    pub(super) fn decide(&self, preconditions: &Preconditions<'_>, state: &State) -> Decision {
        let tag = state.current().and_then(|current| self.tag(current));
        self.decide_tagged(preconditions, state, tag.as_ref())
    }

    /// The same, with the tag of that state.
    pub(super) fn decide_tagged(
        &self,
        preconditions: &Preconditions<'_>,
        state: &State,
        tag: Option<&EntityTag>,
    ) -> Decision {
        let synonyms = self.synonyms(preconditions, state.current());
        let validators = Validators {
            tag: tag.map(EntityTag::borrow),
            aliases: &synonyms.aliases,
            alternates: &synonyms.alternates,
            last_modified: state.current().and_then(last_modified),
        };
        let selected = match state {
            State::Absent => Selected::Absent,
            State::Present(_) => Selected::Present(validators),
            State::Unseen(_) => Selected::Unseen(validators),
        };
        self.decide_by(preconditions, selected, &self.rules())
    }

    /// Evaluates the conditions against a representation that is there.
    pub(super) fn decide_by(
        &self,
        preconditions: &Preconditions<'_>,
        selected: Selected<'_>,
        rules: &Rules,
    ) -> Decision {
        let now = preconditions
            .if_range()
            .and_then(|_| HttpDate::from_system_time(SystemTime::now()));
        decide(self.access, preconditions, selected, rules, now)
    }

    pub(super) fn rules(&self) -> Rules {
        let handler_compares = matches!(self.config.mode, Mode::Handler(_));
        self.policy.rules(&self.method, handler_compares)
    }

    /// The refusal that needs no look at the resource, if there is one.
    pub(super) fn refuse_unseen(&self, preconditions: &Preconditions<'_>) -> Option<Refusal> {
        if self.policy.existence_first {
            return None;
        }
        refuse_unseen(self.access, preconditions, &self.rules())
    }

    fn is_unprotected(&self, preconditions: &Preconditions<'_>) -> bool {
        let mut rules = self.rules();
        rules.required = true;
        refuse_unseen(self.access, preconditions, &rules).is_some()
    }

    /// `If-Match`, as a condition on versions, or what the route wants to be there. One that cannot
    /// be read names none.
    pub(super) fn if_match(&self, preconditions: &Preconditions<'_>) -> Condition {
        let rules = self.rules();
        let Some(field) = preconditions.if_match() else {
            return match rules.existence {
                Some(true) => Condition::Exists,
                _ => Condition::Unconditional,
            };
        };
        let tolerant = rules.tolerant;
        let mut versions = Vec::new();
        let scanned = self.scan(&field, |tag| {
            if !tag.is_weak() {
                versions.extend(self.version_of(tag));
            }
            let bare = tag.without_proxy_marks();
            if tolerant && bare != tag {
                versions.extend(self.version_of(bare));
            }
        });
        match scanned {
            Some(ListMatch::Any) => Condition::Exists,
            Some(ListMatch::Tags(_)) => Condition::AnyOf(versions),
            None => Condition::AnyOf(Vec::new()),
        }
    }

    /// `If-None-Match`, as a condition on versions, or what the route wants not to be there. One
    /// that cannot be read excludes none; on a write it never gets this far.
    pub(super) fn if_none_match(&self, preconditions: &Preconditions<'_>) -> Condition {
        if self.policy.sets_once() {
            return Condition::Absent;
        }
        let Some(field) = preconditions.if_none_match() else {
            return Condition::Unconditional;
        };
        let tolerant = self.rules().tolerant;
        let mut versions = Vec::new();
        let scanned = self.scan(&field, |tag| {
            versions.extend(self.version_of_own(tag));
            let bare = tag.without_proxy_marks();
            if tolerant && bare != tag {
                versions.extend(self.version_of_own(bare));
            }
        });
        match scanned {
            Some(ListMatch::Any) => Condition::Absent,
            Some(ListMatch::Tags(_)) => Condition::NoneOf(versions),
            None => Condition::Unconditional,
        }
    }

    fn scan<'h>(
        &self,
        field: &TagField<'h>,
        mut each: impl FnMut(EntityTagRef<'h>),
    ) -> Option<ListMatch> {
        let limits = self.rules().limits;
        let every = |tag| {
            each(tag);
            false
        };
        field.scan(limits, every).ok()
    }
}

impl Exchange {
    /// The entity-tag of the representation that this request is about, if it has a version to
    /// make one of.
    pub(super) fn tag(&self, current: &Current) -> Option<EntityTag> {
        self.policy.tags.tag(&self.key, current, &self.variant)
    }

    /// The other way round; of any representation.
    pub(super) fn current_of(&self, tag: EntityTagRef<'_>) -> Option<Current> {
        let current = Current::new(self.version_of(tag)?);
        Some(match tag.is_weak() {
            true => current.weak(),
            false => current,
        })
    }

    fn version_of(&self, tag: EntityTagRef<'_>) -> Option<Version> {
        let (version, _) = self.policy.tags.named(&self.key, tag)?;
        Some(version)
    }

    /// The version that `tag` names, if it is one of the representation that this request is about.
    fn version_of_own(&self, tag: EntityTagRef<'_>) -> Option<Version> {
        let (version, variant) = self.policy.tags.named(&self.key, tag)?;
        (variant == self.variant).then_some(version)
    }

    /// The tags in a request that name `current` otherwise than its own tag does.
    pub(super) fn synonyms(
        &self,
        preconditions: &Preconditions<'_>,
        current: Option<&Current>,
    ) -> Synonyms {
        let mut synonyms = Synonyms::default();
        let version = current.filter(|current| !current.weak);
        let version = version.and_then(|current| current.version.as_ref());
        let Some(version) = version.filter(|_| !self.policy.tags.is_one_to_one()) else {
            return synonyms;
        };
        let tolerant = self.rules().tolerant;
        let mut sort = |tag: EntityTagRef<'_>| {
            let named = self.policy.tags.named(&self.key, tag);
            let Some((_, variant)) = named.filter(|(named, _)| named == version) else {
                return;
            };
            let kind = match variant == self.variant {
                true => &mut synonyms.aliases,
                false => &mut synonyms.alternates,
            };
            kind.push(EntityTag::of_version(tag.opaque(), false));
        };
        let fields = [preconditions.if_match(), preconditions.if_none_match()];
        for field in fields.into_iter().flatten() {
            self.scan(&field, |tag| {
                sort(tag);
                if tolerant {
                    sort(tag.without_proxy_marks());
                }
            });
        }
        synonyms
    }
}

/// Other spellings of one version, as far as a request uses them.
#[derive(Default)]
pub(super) struct Synonyms {
    /// Of the same representation.
    pub(super) aliases: Vec<EntityTag>,
    /// Of others.
    pub(super) alternates: Vec<EntityTag>,
}

pub(super) fn last_modified(current: &Current) -> Option<HttpDate> {
    HttpDate::from_system_time(current.last_modified?)
}
