//! Writes in handler mode: the handler compares, in the step that writes, and reports.

use std::ops::ControlFlow;

use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::body::ResponseBody;
use super::exchange::Exchange;
use super::read::Known;
use super::respond::kept_fields;
use crate::decision::{Decision, Refusal};
use crate::precondition::Preconditions;
use crate::report::{Expected, Report};
use crate::store::{Answer, Snapshot, StoreError};

/// A write whose handler has been called, or is about to be.
pub(super) struct Reporting {
    exchange: Exchange,
    kept: HeaderMap,
    warned: bool,
}

impl Reporting {
    /// Asks the store, if the policy wants to know of a missing resource first.
    pub(super) fn ask(exchange: &Exchange) -> Option<Answer<Result<Snapshot, StoreError>>> {
        exchange
            .policy
            .existence_first
            .then(|| Some(exchange.config.versions()?.current(&exchange.key)))?
    }

    /// Refuses what can be refused, and tells the handler what to expect; it may be answered
    /// without the handler.
    pub(super) fn begin<B>(
        exchange: Exchange,
        parts: &mut Parts,
        known: Known,
    ) -> ControlFlow<Response<ResponseBody<B>>, Self> {
        let headers = &parts.headers;
        match known {
            None => {
                if let Some(refusal) = exchange
                    .refuse_unseen(headers)
                    .or_else(|| unreadable(&exchange, parts))
                {
                    return ControlFlow::Break(exchange.refuse(headers, refusal, None));
                }
            }
            Some(Err(_)) => return ControlFlow::Break(exchange.unavailable(headers)),
            Some(Ok(snapshot)) => {
                if let Decision::Refuse(refusal) = exchange.decide(headers, &snapshot.state) {
                    let state = snapshot.settled.then_some(&snapshot.state);
                    return ControlFlow::Break(exchange.refuse(headers, refusal, state));
                }
            }
        }
        let if_match = exchange.if_match(headers);
        let unmodified_since = match Preconditions::from_headers(headers) {
            conditions if conditions.if_match().is_some() => None,
            conditions => conditions.if_unmodified_since(),
        };
        let expected = Expected {
            if_match,
            if_none_match: exchange.if_none_match(headers),
            unmodified_since,
        };
        let reporting = Self {
            kept: kept_fields(headers),
            warned: exchange.is_warned(headers),
            exchange,
        };
        parts.extensions.insert(expected);
        ControlFlow::Continue(reporting)
    }

    /// Goes by what the handler reports.
    pub(super) fn finish<B>(self, mut response: Response<B>) -> Response<ResponseBody<B>> {
        let report = response.extensions_mut().remove::<Report>();
        let status = response.status();
        let answer = match report {
            Some(Report::Conflict { current }) => {
                self.exchange.late_conflict(&self.kept, current.as_ref())
            }
            Some(Report::Wrote(current)) => {
                self.exchange.stamp_write(&mut response, &current);
                response.map(ResponseBody::inner)
            }
            Some(Report::Deleted | Report::Unchanged) => response.map(ResponseBody::inner),
            // Success without a word: whatever was compared, the client could not build on it.
            Some(Report::Read(_)) | None if ran(status) => self.exchange.not_enforced(&self.kept),
            Some(Report::Read(_)) | None => response.map(ResponseBody::inner),
        };
        if self.warned {
            return Exchange::warn(answer);
        }
        answer
    }
}

fn ran(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// A condition that no handler can evaluate, because nobody can read it.
fn unreadable(exchange: &Exchange, parts: &Parts) -> Option<Refusal> {
    let rules = exchange.policy.rules(&exchange.method);
    crate::decision::refuse_unreadable(&Preconditions::from_headers(&parts.headers), &rules)
}
