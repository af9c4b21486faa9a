//! Writes in handler mode: the handler compares, in the step that writes, and reports.

use std::ops::ControlFlow;

use futures_core::future::BoxFuture;
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::body::ResponseBody;
use super::exchange::Exchange;
use super::read::Known;
use super::refuse::{Step, Stop};
use super::respond::kept_fields;
use crate::decision::{Decision, Refusal, refuse_unreadable};
use crate::observe::StoreStep;
use crate::policy::CurrentResource;
use crate::precondition::Preconditions;
use crate::report::{Expected, Report};
use crate::store::{Answer, Snapshot, StoreError};

/// A write whose handler has been called, or is about to be.
pub(super) struct Reporting {
    exchange: Exchange,
    kept: HeaderMap,
    /// The request, if a conflict needs it to read the resource.
    parts: Option<Parts>,
}

impl Reporting {
    /// Asks the store, if the policy wants to know of a missing resource first.
    pub(super) fn ask(exchange: &Exchange) -> Option<Answer<Result<Snapshot, StoreError>>> {
        exchange
            .policy
            .existence_first
            .then(|| Some(exchange.current(exchange.config.versions()?)))?
    }

    /// Refuses what can be refused, and tells the handler what to expect; it may be answered
    /// without the handler.
    pub(super) fn begin<B>(exchange: &Exchange, parts: &mut Parts, known: Known) -> Step<Self, B> {
        let preconditions = Preconditions::from_headers(&parts.headers);
        let preconditions = &preconditions;
        let mut base = None;
        match known {
            None => {
                if let Some(refusal) = exchange
                    .refuse_unseen(preconditions)
                    .or_else(|| refuse_unreadable(preconditions, &exchange.rules()))
                {
                    return ControlFlow::Break(Stop::Refuse(refusal, None));
                }
            }
            Some(Err(error)) => {
                exchange.store_failed(&exchange.key, StoreStep::Current, &error);
                let answer = exchange.unavailable(&parts.headers);
                return ControlFlow::Break(Stop::Answer(answer));
            }
            Some(Ok(snapshot)) => {
                let refusal = match exchange.decide(preconditions, &snapshot.state) {
                    // What is missing is missing, whatever the conditions.
                    Decision::Refuse(Refusal::NotSet)
                        if exchange.leaves_to_handler(Refusal::NotSet) =>
                    {
                        None
                    }
                    Decision::Refuse(refusal) if exchange.leaves_to_handler(refusal) => {
                        refuse_unreadable(preconditions, &exchange.rules())
                    }
                    Decision::Refuse(refusal) => Some(refusal),
                    Decision::Forward { .. } | Decision::Probe | Decision::Reuse => None,
                };
                if let Some(refusal) = refusal {
                    let state = snapshot.settled.then_some(snapshot.state);
                    return ControlFlow::Break(Stop::Refuse(refusal, state));
                }
                base = exchange.base_of(snapshot.state.current());
            }
        }
        let if_match = exchange.if_match(preconditions);
        let unmodified_since = match preconditions.if_match() {
            Some(_) => None,
            None => preconditions.if_unmodified_since(),
        };
        let expected = Expected {
            if_match,
            if_none_match: exchange.if_none_match(preconditions),
            unmodified_since,
        };
        let reporting = Self {
            kept: kept_fields(&parts.headers),
            parts: exchange.reads_back().then(|| parts.clone()),
            exchange: Exchange {
                base,
                ..exchange.clone()
            },
        };
        parts.extensions.insert(expected);
        ControlFlow::Continue(reporting)
    }

    /// Goes by what the handler reports.
    pub(super) fn finish<B>(
        self,
        mut response: Response<B>,
    ) -> Result<Response<ResponseBody<B>>, BoxFuture<'static, Response<ResponseBody<B>>>>
    where
        B: Send + 'static,
    {
        let report = response.extensions_mut().remove::<Report>();
        let new = match report {
            Some(Report::Conflict { current }) => {
                let parts = self.parts.as_ref();
                return self.exchange.late_conflict(&self.kept, parts, current);
            }
            Some(Report::Wrote(current)) => {
                self.exchange.stamp_write(&mut response, &current);
                current.version
            }
            Some(Report::Created { key, current }) => {
                self.exchange.stamp_created(&mut response, key, &current);
                current.version
            }
            Some(Report::Deleted | Report::Unchanged) => None,
            // Success without a word: whatever was compared, the client could not build on it.
            Some(Report::Read(_)) | None if ran(response.status()) => {
                return Ok(self.exchange.not_enforced(&self.kept));
            }
            Some(Report::Read(_)) | None => None,
        };
        self.exchange.warn(&mut response);
        self.exchange.tell(&response, None, new.as_ref());
        Ok(response.map(ResponseBody::inner))
    }
}

impl Exchange {
    /// Is this a comparison, and the handler the one who can show what is current at that moment?
    fn leaves_to_handler(&self, refusal: Refusal) -> bool {
        self.policy.current_resource == CurrentResource::Reported
            && !matches!(refusal, Refusal::Missing | Refusal::Malformed { .. })
    }
}

fn ran(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}
