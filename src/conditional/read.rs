//! Reads: evaluated before the handler where a store knows the version, after it otherwise, and
//! stamped only if the version is certain to be that of the bytes.

use std::mem;
use std::ops::ControlFlow;

use http::header::{IF_RANGE, LAST_MODIFIED, RANGE};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::body::ResponseBody;
use super::exchange::Exchange;
use super::respond::{kept_fields, own_tag};
use crate::decision::{Decision, Selected, Validators};
use crate::entity_tag::EntityTag;
use crate::http_date::HttpDate;
use crate::observe::StoreStep;
use crate::policy::Reads;
use crate::precondition::Preconditions;
use crate::report::{ByteTag, Report, Untagged};
use crate::store::{Answer, Current, Snapshot, State, StoreError, Version};

/// What the store said of a resource, if it was asked.
pub(super) type Known = Option<Result<Snapshot, StoreError>>;

/// A read whose handler has been called, or is about to be.
pub(super) struct Reading {
    exchange: Exchange,
    /// What was current, and settled, before the handler ran.
    before: Option<State>,
    /// What is needed of the request's header, which the handler has by now; nothing, where there
    /// are no conditions.
    kept: Option<Box<HeaderMap>>,
}

impl Reading {
    /// Asks the store, if the policy wants reads evaluated before the handler.
    pub(super) fn ask(exchange: &Exchange) -> Option<Answer<Result<Snapshot, StoreError>>> {
        match exchange.policy.reads {
            Reads::AfterHandler => None,
            Reads::BeforeHandler => Some(exchange.current(exchange.config.versions()?)),
        }
    }

    /// Evaluates the conditions as far as they can be; it may be answered without the handler.
    pub(super) fn begin<B>(
        exchange: Exchange,
        parts: &mut Parts,
        before: Known,
    ) -> ControlFlow<Response<ResponseBody<B>>, Self> {
        let preconditions = Preconditions::from_headers(&parts.headers);
        let is_empty = preconditions.is_empty();
        let mut settled = None;
        let range = match before {
            None => !parts.headers.contains_key(IF_RANGE),
            Some(Err(error)) => {
                exchange.store_failed(&exchange.key, StoreStep::Current, &error);
                if preconditions.if_match().is_some()
                    || preconditions.if_unmodified_since().is_some()
                {
                    return ControlFlow::Break(exchange.unavailable(&parts.headers));
                }
                !parts.headers.contains_key(IF_RANGE)
            }
            Some(Ok(snapshot)) if is_empty => {
                settled = snapshot.settled.then_some(snapshot.state);
                settled.is_some()
            }
            Some(Ok(snapshot)) => {
                let current = snapshot.state.current();
                let tag = current.and_then(|current| exchange.tag(current));
                let decision =
                    exchange.decide_tagged(&preconditions, &snapshot.state, tag.as_ref());
                match (decision, current) {
                    (Decision::Refuse(refusal), _) => {
                        let state = snapshot.settled.then_some(&snapshot.state);
                        return ControlFlow::Break(exchange.refuse(&preconditions, refusal, state));
                    }
                    (Decision::Reuse, Some(current)) if snapshot.settled => {
                        let sent = tag.and_then(|tag| preconditions.as_sent(&tag));
                        // The header of a request that nobody else will see has room for ours.
                        let headers = mem::take(&mut parts.headers);
                        return ControlFlow::Break(exchange.not_modified(headers, current, sent));
                    }
                    _ => {}
                }
                settled = snapshot.settled.then_some(snapshot.state);
                settled.is_some() && decision == (Decision::Forward { range: true })
            }
        };
        let kept = (!is_empty).then(|| Box::new(kept_fields(&parts.headers)));
        if !range {
            parts.headers.remove(RANGE);
        }
        ControlFlow::Continue(Self {
            exchange,
            before: settled,
            kept,
        })
    }

    /// Asks the store again, where that can make the difference between a tag and none.
    pub(super) fn ask_again<B>(
        &self,
        response: &Response<B>,
    ) -> Option<Answer<Result<Snapshot, StoreError>>> {
        let has_version = self
            .before
            .as_ref()
            .and_then(State::current)
            .is_some_and(|current| current.version.is_some() || current.last_modified.is_some());
        let wanted = has_version && response.status().is_success();
        wanted.then(|| Some(self.exchange.current(self.exchange.config.versions()?)))?
    }

    /// Stamps the handler's answer, or makes a 304 or 412 of it if its own tag says so.
    pub(super) fn finish<B>(
        self,
        response: Response<B>,
        after: Known,
    ) -> Response<ResponseBody<B>> {
        let mut response = response.map(ResponseBody::inner);
        let report = response.extensions_mut().remove::<Report>();
        if !response.status().is_success() {
            self.exchange.tell(&response, self.base(), None);
            return response;
        }
        let current = match report {
            Some(Report::Read(current) | Report::Wrote(current)) => Some(current),
            _ => self.unchanged_since_before(after),
        };
        if response.extensions().get::<Untagged>().is_none()
            && let Some(current) = &current
        {
            self.exchange
                .add_validators(response.headers_mut(), current);
        }
        self.exchange.add_read_headers(response.headers_mut());
        if response.status() == StatusCode::OK
            && let Some(kept) = &self.kept
        {
            let preconditions = Preconditions::from_headers(kept);
            return self.evaluate_again(response, current.as_ref(), &preconditions);
        }
        let version = current
            .as_ref()
            .and_then(|current| current.version.as_ref());
        self.exchange.tell(&response, version.or(self.base()), None);
        response
    }

    /// What was current before the handler ran, for the observer.
    fn base(&self) -> Option<&Version> {
        self.before.as_ref()?.current()?.version.as_ref()
    }

    /// The version that was current before the handler and is so after it: then it is that of the
    /// bytes in between.
    fn unchanged_since_before(&self, after: Known) -> Option<Current> {
        let after = self.exchange.heard(StoreStep::Current, after?)?;
        let same = after.settled && self.before.as_ref() == Some(&after.state);
        match after.state {
            State::Present(current) | State::Unseen(current) if same => Some(current),
            _ => None,
        }
    }

    /// The handler's answer shows validators that nobody knew before it ran.
    fn evaluate_again<B>(
        &self,
        response: Response<ResponseBody<B>>,
        current: Option<&Current>,
        preconditions: &Preconditions<'_>,
    ) -> Response<ResponseBody<B>> {
        let tag = own_tag(response.headers());
        let last_modified = response
            .headers()
            .get(LAST_MODIFIED)
            .and_then(|value| HttpDate::parse(value.as_bytes()));
        let synonyms = self.exchange.synonyms(preconditions, current);
        // Of the bytes that are here, and not of what the store believed before.
        let shown = tag
            .as_ref()
            .and_then(|tag| self.exchange.current_of(tag.borrow()));
        let version = shown.as_ref().and_then(|shown| shown.version.as_ref());
        let version = version.or(self.base());
        let selected = Selected::Present(Validators {
            tag: tag.as_ref().map(EntityTag::borrow),
            aliases: &synonyms.aliases,
            alternates: &synonyms.alternates,
            last_modified,
        });
        let mut rules = self.exchange.rules();
        rules.tolerant &= response.extensions().get::<ByteTag>().is_none();
        match self.exchange.decide_by(preconditions, selected, &rules) {
            Decision::Reuse => {
                let response = Exchange::strip_to_not_modified(response);
                let reason = response.body().reason();
                self.exchange
                    .tell_of(response.status(), reason, version, None);
                response
            }
            Decision::Refuse(refusal) => {
                let state = shown.clone().map(State::Present);
                self.exchange.refuse(preconditions, refusal, state.as_ref())
            }
            Decision::Forward { .. } | Decision::Probe => {
                self.exchange.tell(&response, version, None);
                response
            }
        }
    }
}
