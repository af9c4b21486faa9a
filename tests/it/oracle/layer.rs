//! The whole layer against the oracle: what it answers, and what its handler gets to see.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{ETAG, RANGE};
use http::{Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tower::{Layer, ServiceExt, service_fn};
use tower_conditional::policy::{ConflictStatus, IfMatch, Malformed, MissingStatus};
use tower_conditional::store::{
    Answer, Claim, ClaimOptions, ClaimStore, Claimed, Condition, Current, Outcome, Settled,
    Snapshot, State, StoreError, Version, VersionStore,
};
use tower_conditional::{ConditionalLayer, Policy, Reader, RequestBody, ResourceKey};

use crate::properties::naive::{self, Representation, Request, Resource, Route};
use crate::properties::real::{date, entity_tag, headers, rules};

use super::{config, generate};

/// Every date of the generated requests is long over.
const NOW: Option<u64> = Some(1_000);

/// What a write makes of a resource.
const WRITTEN: &[u8] = b"written";

#[test]
fn the_layer_answers_what_a_literal_reading_of_section_13_says() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let input = (
        generate::request(),
        generate::resource(),
        generate::route(),
        any::<[bool; 2]>(),
        any::<[bool; 4]>(),
    );
    TestRunner::new(config(3_000))
        .run(
            &input,
            |(request, resource, mut route, [unseen_exists, open], choices)| {
                // A policy asks for no version of what nobody can have seen.
                route.required &= route.existence != Some(false);
                let world = World {
                    resource: versioned(&resource),
                    unseen_exists,
                    write_open: open && !["GET", "HEAD"].contains(&request.method),
                };
                let choices = Choices::of(choices);
                let expected = world.expected(&request, &route, &choices);
                let got = runtime.block_on(world.got(&request, &route, &choices));
                prop_assert_eq!(got, expected);
                Ok(())
            },
        )
        .unwrap();
}

/// What can be seen of one exchange.
#[derive(Debug, PartialEq, Eq)]
struct Exchange {
    status: StatusCode,
    /// For each time that the handler ran for this request: did it see the range?
    ran: Vec<bool>,
    etag: Option<Vec<u8>>,
}

/// What a route chooses that the oracle has no word for.
struct Choices {
    conflict: (ConflictStatus, StatusCode),
    missing: (MissingStatus, StatusCode),
    existence_first: bool,
    /// Can the layer read the resource, to find out whether it exists?
    reader: bool,
}

impl Choices {
    fn of([conflict, missing, existence_first, reader]: [bool; 4]) -> Self {
        Self {
            conflict: if conflict {
                (ConflictStatus::Conflict, StatusCode::CONFLICT)
            } else {
                let failed = StatusCode::PRECONDITION_FAILED;
                (ConflictStatus::PreconditionFailed, failed)
            },
            missing: if missing {
                (MissingStatus::BadRequest, StatusCode::BAD_REQUEST)
            } else {
                let required = StatusCode::PRECONDITION_REQUIRED;
                (MissingStatus::PreconditionRequired, required)
            },
            existence_first,
            reader,
        }
    }
}

/// A resource, behind a handler that knows whether it is there.
struct World {
    resource: Resource,
    unseen_exists: bool,
    /// Is another write under way when this one comes, so that only the claim can decide?
    write_open: bool,
}

impl World {
    fn exists(&self) -> bool {
        match self.resource {
            Resource::Absent => false,
            Resource::Present(_) => true,
            Resource::Unseen(_) => self.unseen_exists,
        }
    }

    /// What the handler finds out by looking.
    fn looked_at(&self) -> Resource {
        match &self.resource {
            Resource::Unseen(current) if self.unseen_exists => Resource::Present(current.clone()),
            Resource::Unseen(_) => Resource::Absent,
            known => known.clone(),
        }
    }

    fn handler_status(&self, method: &str, creates: bool) -> StatusCode {
        let reads = ["GET", "HEAD"].contains(&method);
        if self.exists() || !reads && creates {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        }
    }

    fn expected(&self, request: &Request, route: &Route, choices: &Choices) -> Exchange {
        // In claim mode.
        let route = &Route {
            handler_compares: false,
            ..route.clone()
        };
        let mut answer = naive::answer(request, &self.resource, route, NOW);
        if answer == naive::Answer::Probe && choices.reader {
            answer = naive::answer(request, &self.looked_at(), route, NOW);
        }
        // What is missing is missing whatever there is, unless the route wants to know first.
        let something = Resource::Present(Representation {
            tag: None,
            alternates: Vec::new(),
            modified: None,
        });
        let at_once = naive::answer(request, &something, route, NOW);
        if at_once == naive::Answer::Missing && !choices.existence_first {
            answer = at_once;
        }
        let has_range = request.lines.iter().any(|(name, _)| *name == "range");
        let refused = |status| Exchange {
            status,
            ran: Vec::new(),
            etag: None,
        };
        match answer {
            naive::Answer::Forward { range } => {
                let ran = vec![has_range && range];
                self.expected_of_handler(request, route, ran)
            }
            naive::Answer::Malformed(_) => refused(StatusCode::BAD_REQUEST),
            naive::Answer::Missing => refused(choices.missing.1),
            naive::Answer::NotFound => refused(StatusCode::NOT_FOUND),
            naive::Answer::NotModified => Exchange {
                etag: self.etag(),
                ..refused(StatusCode::NOT_MODIFIED)
            },
            naive::Answer::Probe => refused(StatusCode::INTERNAL_SERVER_ERROR),
            naive::Answer::Refuse("if-none-match") => refused(StatusCode::PRECONDITION_FAILED),
            naive::Answer::Refuse("already-set" | "not-set") => refused(StatusCode::CONFLICT),
            naive::Answer::Refuse(_) => refused(choices.conflict.1),
        }
    }

    fn expected_of_handler(&self, request: &Request, route: &Route, ran: Vec<bool>) -> Exchange {
        let status = self.handler_status(request.method, route.creates);
        let (status, etag) = match request.method {
            _ if status != StatusCode::OK => (status, None),
            // Revoked, whatever the method.
            "PUT" | "PATCH" | "POST" | "FROB" | "get" if route.existence == Some(true) => {
                (status, None)
            }
            // Conditions that nobody could evaluate before the resource was seen to be there.
            "GET" | "HEAD" => match naive::answer(request, &self.looked_at(), route, NOW) {
                naive::Answer::NotModified => (StatusCode::NOT_MODIFIED, self.etag()),
                _ => (status, self.etag()),
            },
            "DELETE" | "OPTIONS" | "TRACE" | "CONNECT" | "QUERY" => (status, None),
            _ => (status, Some([b"\"", WRITTEN, b"\""].concat())),
        };
        Exchange { status, ran, etag }
    }

    /// The tag of the representation that there is, or may be.
    fn etag(&self) -> Option<Vec<u8>> {
        match &self.resource {
            Resource::Absent => None,
            Resource::Present(current) | Resource::Unseen(current) => {
                let tag = current.tag.as_ref()?;
                Some(entity_tag(tag).as_bytes().to_vec())
            }
        }
    }

    /// A way to read the resource, past the layer.
    fn reader(&self) -> Reader {
        let status = self.handler_status("GET", false);
        Reader::new(service_fn(move |request: HttpRequest<String>| {
            assert_eq!(request.method(), Method::GET);
            let names: Vec<_> = request.headers().keys().collect();
            assert!(names.is_empty(), "{names:?} belong to the write");
            async move { Ok::<_, Infallible>(empty(status)) }
        }))
    }

    async fn got(&self, request: &Request, route: &Route, choices: &Choices) -> Exchange {
        let method = Method::from_bytes(request.method.as_bytes()).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let handler = {
            let calls = Arc::clone(&calls);
            let status = self.handler_status(request.method, route.creates);
            service_fn(move |request: HttpRequest<RequestBody<Full<Bytes>>>| {
                let range = request.headers().contains_key(RANGE);
                calls.lock().unwrap().push(range);
                async move { Ok::<_, Infallible>(empty(status)) }
            })
        };
        let mut sent = HttpRequest::new(Full::from("content"));
        *sent.method_mut() = method.clone();
        *sent.headers_mut() = headers(request);
        let layer = ConditionalLayer::new(OneResource {
            state: Mutex::new(state(&self.resource)),
            settled: !self.write_open,
        });
        let layer = layer.policy(policy(&method, route, choices));
        let layer = if choices.reader {
            layer.reader(self.reader())
        } else {
            layer
        };
        let service = layer.layer(handler);
        let response = service.oneshot(sent).await.unwrap();
        let (head, body) = response.into_parts();
        let content = body.collect().await.unwrap().to_bytes();
        let refused = calls.lock().unwrap().is_empty() && head.status != StatusCode::NOT_MODIFIED;
        assert_eq!(
            content.is_empty(),
            !refused,
            "only a refusal has words of ours"
        );
        let mut tags = head.headers.get_all(ETAG).iter();
        let etag = tags.next().map(|tag| tag.as_bytes().to_vec());
        assert_eq!(tags.next(), None, "there is at most one tag");
        let ran = calls.lock().unwrap().clone();
        Exchange {
            status: head.status,
            // A refusal names the current tag only if it looked; others test that.
            etag: etag.filter(|_| !refused),
            ran,
        }
    }
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn policy(method: &Method, route: &Route, choices: &Choices) -> Policy {
    let rules = rules(route);
    let if_match = if rules.required {
        IfMatch::Required
    } else {
        IfMatch::Optional
    };
    let policy = match route.existence {
        None => Policy::rfc9110(),
        Some(false) => Policy::rfc9110().set_once("already-set"),
        Some(true) => Policy::rfc9110().unset("not-set"),
    };
    policy
        .if_match_for(method.clone(), if_match)
        .creates(method.clone(), rules.creates)
        .malformed(if rules.malformed_is_bad_request {
            Malformed::BadRequest
        } else {
            Malformed::ConditionFails
        })
        .tolerant(rules.tolerant)
        .limits(rules.limits)
        .conflict_status(choices.conflict.0)
        .missing_status(choices.missing.0)
        .existence_first(choices.existence_first)
}

/// The same resource with only what a store can say of it.
fn versioned(resource: &Resource) -> Resource {
    let plain = |current: &Representation| Representation {
        alternates: Vec::new(),
        ..current.clone()
    };
    match resource {
        Resource::Absent => Resource::Absent,
        Resource::Present(current) => Resource::Present(plain(current)),
        Resource::Unseen(current) => Resource::Unseen(plain(current)),
    }
}

fn state(resource: &Resource) -> State {
    let current = |current: &Representation| {
        let mut kept = match &current.tag {
            None => Current::unversioned(),
            Some(tag) => Current::new(Version::new(&tag.opaque).unwrap()),
        };
        kept.weak = current.tag.as_ref().is_some_and(|tag| tag.weak);
        kept.last_modified = current.modified.map(|second| date(second).to_system_time());
        kept
    };
    match resource {
        Resource::Absent => State::Absent,
        Resource::Present(representation) => State::Present(current(representation)),
        Resource::Unseen(representation) => State::Unseen(current(representation)),
    }
}

struct OneResource {
    state: Mutex<State>,
    settled: bool,
}

impl OneResource {
    fn state(&self) -> State {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }
}

impl VersionStore for OneResource {
    fn current(&self, _: &ResourceKey) -> Answer<Result<Snapshot, StoreError>> {
        let state = self.state();
        Answer::ready(Ok(if self.settled {
            Snapshot::settled(state)
        } else {
            Snapshot::unsettled(state)
        }))
    }
}

impl ClaimStore for OneResource {
    fn claim(
        &self,
        key: &ResourceKey,
        condition: &Condition,
        _: ClaimOptions,
    ) -> Answer<Result<Claimed, StoreError>> {
        let state = self.state();
        Answer::ready(Ok(if condition.may_hold(&state) {
            Claimed::Granted(Claim::new(key.clone(), 1, state))
        } else {
            Claimed::Failed(state)
        }))
    }

    fn settle(&self, _: Claim, outcome: Outcome) -> Answer<Result<Settled, StoreError>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Outcome::Unchanged => {}
            // A store may know more after a DELETE; its answer is not to be stamped all the same.
            Outcome::Deleted | Outcome::Unknown | Outcome::Written => {
                *state = State::present(Version::new(WRITTEN).unwrap());
            }
        }
        Answer::ready(Ok(Settled::Done(state.clone())))
    }

    fn abandon(&self, _: Claim) {}
}
