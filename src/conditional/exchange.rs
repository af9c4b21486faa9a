//! One request on its route: what every step of the walk needs to know.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Method, Uri};

use super::layer::Config;
use crate::decision::{Access, Decision, Refusal, Selected, Validators, decide, refuse_unseen};
use crate::entity_tag::{EntityTag, EntityTagRef};
use crate::http_date::HttpDate;
use crate::key::{ResourceKey, original_uri};
use crate::policy::{IfMatch, Policy};
use crate::precondition::{ListMatch, Preconditions, TagField};
use crate::store::{Condition, Current, State, Version};

#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) config: Arc<Config>,
    pub(super) policy: Arc<Policy>,
    pub(super) key: ResourceKey,
    pub(super) method: Method,
    pub(super) access: Access,
    /// On whose behalf, for the observer.
    pub(super) actor: Option<Arc<str>>,
    /// Is this a write that only [`IfMatch::Warn`] lets through?
    pub(super) unprotected: bool,
    /// How long it waited for other writes, for the observer.
    pub(super) waited: Duration,
    /// What was current when the handler was called, if that is known, for the observer.
    pub(super) base: Option<Version>,
    /// Where the resource is, as the client knows it.
    pub(super) uri: Uri,
}

impl Exchange {
    pub(super) fn new(
        config: &Arc<Config>,
        policy: Arc<Policy>,
        key: ResourceKey,
        access: Access,
        parts: &Parts,
    ) -> Self {
        let mut exchange = Self {
            config: Arc::clone(config),
            policy,
            key,
            method: parts.method.clone(),
            access,
            actor: config.actor(parts),
            unprotected: false,
            waited: Duration::ZERO,
            base: None,
            uri: original_uri(parts).clone(),
        };
        exchange.unprotected = exchange.is_unprotected(&parts.headers);
        exchange
    }

    /// Evaluates the conditions in `headers` against what the store says.
    pub(super) fn decide(&self, headers: &HeaderMap, state: &State) -> Decision {
        let tag = state.current().and_then(tag_of);
        let validators = Validators {
            tag: tag.as_ref().map(EntityTag::borrow),
            last_modified: state.current().and_then(last_modified),
            ..Validators::default()
        };
        self.decide_selected(
            headers,
            match state {
                State::Absent => Selected::Absent,
                State::Present(_) => Selected::Present(validators),
                State::Unseen(_) => Selected::Unseen(validators),
            },
        )
    }

    /// Evaluates the conditions in `headers` against a representation that is there.
    pub(super) fn decide_selected(&self, headers: &HeaderMap, selected: Selected<'_>) -> Decision {
        let preconditions = Preconditions::from_headers(headers);
        if preconditions.is_empty() && self.access == Access::Read {
            return Decision::Forward { range: true };
        }
        let now = preconditions
            .if_range()
            .and_then(|_| HttpDate::from_system_time(SystemTime::now()));
        let rules = self.policy.rules(&self.method);
        decide(self.access, &preconditions, selected, &rules, now)
    }

    /// The refusal that needs no look at the resource, if there is one.
    pub(super) fn refuse_unseen(&self, headers: &HeaderMap) -> Option<Refusal> {
        if self.policy.existence_first {
            return None;
        }
        let preconditions = Preconditions::from_headers(headers);
        refuse_unseen(
            self.access,
            &preconditions,
            &self.policy.rules(&self.method),
        )
    }

    fn is_unprotected(&self, headers: &HeaderMap) -> bool {
        if self.policy.if_match_of(&self.method) != IfMatch::Warn {
            return false;
        }
        let mut rules = self.policy.rules(&self.method);
        rules.required = true;
        refuse_unseen(self.access, &Preconditions::from_headers(headers), &rules).is_some()
    }

    /// `If-Match`, as a condition on versions, or what the route wants to be there. One that cannot
    /// be read names none.
    pub(super) fn if_match(&self, headers: &HeaderMap) -> Condition {
        let rules = self.policy.rules(&self.method);
        let Some(field) = Preconditions::from_headers(headers).if_match() else {
            return match rules.existence {
                Some(true) => Condition::Exists,
                _ => Condition::Unconditional,
            };
        };
        let tolerant = rules.tolerant;
        let mut versions = Vec::new();
        let scanned = self.scan(&field, |tag| {
            if !tag.is_weak() {
                versions.push(version_of(tag));
            }
            if tolerant {
                versions.push(version_of(tag.without_proxy_marks()));
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
    pub(super) fn if_none_match(&self, headers: &HeaderMap) -> Condition {
        if self.policy.sets_once() {
            return Condition::Absent;
        }
        let Some(field) = Preconditions::from_headers(headers).if_none_match() else {
            return Condition::Unconditional;
        };
        let mut versions = Vec::new();
        match self.scan(&field, |tag| versions.push(version_of(tag))) {
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
        let limits = self.policy.rules(&self.method).limits;
        let every = |tag| {
            each(tag);
            false
        };
        field.scan(limits, every).ok()
    }
}

/// The entity-tag of a representation, if it has a version to make one of.
pub(super) fn tag_of(current: &Current) -> Option<EntityTag> {
    let version = current.version.as_ref()?;
    Some(EntityTag::of_version(version.as_bytes(), current.weak))
}

/// The other way round.
pub(super) fn current_of(tag: EntityTagRef<'_>) -> Current {
    let current = Current::new(version_of(tag));
    if tag.is_weak() {
        current.weak()
    } else {
        current
    }
}

fn version_of(tag: EntityTagRef<'_>) -> Version {
    Version::from_opaque(&[tag.opaque()])
}

pub(super) fn last_modified(current: &Current) -> Option<HttpDate> {
    HttpDate::from_system_time(current.last_modified?)
}
