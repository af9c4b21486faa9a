//! The library, asked in the words of the [naive] reading.
//!
//! [naive]: super::naive

use http::{HeaderMap, HeaderValue, Method};
use tower_conditional::decision::{
    Access, Decision, ListField, Refusal, Rules, Selected, Validators, decide,
};
use tower_conditional::precondition::{Limits, Preconditions};
use tower_conditional::{EntityTag, HttpDate};

use super::naive::{self, Answer, Representation, Request, Resource, Route, Tag};

/// What the library says, in the oracle's words.
pub(crate) fn real_answer(
    request: &Request,
    resource: &Resource,
    route: &Route,
    now: Option<u64>,
) -> Answer {
    let headers = headers(request);
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let owned = match resource {
        Resource::Absent => None,
        Resource::Present(current) | Resource::Unseen(current) => Some(Owned::of(current)),
    };
    let selected = match (resource, &owned) {
        (Resource::Present(_), Some(owned)) => Selected::Present(owned.validators()),
        (Resource::Unseen(_), Some(owned)) => Selected::Unseen(owned.validators()),
        _ => Selected::Absent,
    };
    let decision = decide(
        Access::of(&method),
        &Preconditions::from_headers(&headers),
        selected,
        &rules(route),
        now.map(date),
    );
    match decision {
        Decision::Forward { range } => Answer::Forward { range },
        Decision::Probe => Answer::Probe,
        Decision::Reuse => Answer::NotModified,
        Decision::Refuse(Refusal::IfMatch) => Answer::Refuse("if-match"),
        Decision::Refuse(Refusal::IfNoneMatch) => Answer::Refuse("if-none-match"),
        Decision::Refuse(Refusal::IfUnmodifiedSince) => Answer::Refuse("if-unmodified-since"),
        Decision::Refuse(Refusal::Malformed { field, .. }) => Answer::Malformed(match field {
            ListField::IfMatch => "if-match",
            ListField::IfNoneMatch => "if-none-match",
        }),
        Decision::Refuse(Refusal::Missing) => Answer::Missing,
        Decision::Refuse(Refusal::NotFound) => Answer::NotFound,
        Decision::Refuse(Refusal::AlreadySet) => Answer::Refuse("already-set"),
        Decision::Refuse(Refusal::NotSet) => Answer::Refuse("not-set"),
        Decision::Refuse(other) => panic!("a refusal that the oracle does not know: {other:?}"),
    }
}

/// A representation in the library's words.
pub(crate) struct Owned {
    tag: Option<EntityTag>,
    alternates: Vec<EntityTag>,
    modified: Option<HttpDate>,
}

impl Owned {
    pub(crate) fn of(current: &Representation) -> Self {
        Self {
            tag: current.tag.as_ref().map(entity_tag),
            alternates: current.alternates.iter().map(entity_tag).collect(),
            modified: current.modified.map(date),
        }
    }

    pub(crate) fn validators(&self) -> Validators<'_> {
        Validators {
            aliases: &[],
            tag: self.tag.as_ref().map(EntityTag::borrow),
            alternates: &self.alternates,
            last_modified: self.modified,
        }
    }
}

pub(crate) fn entity_tag(tag: &Tag) -> EntityTag {
    let make = if tag.weak {
        EntityTag::weak
    } else {
        EntityTag::strong
    };
    make(&tag.opaque).unwrap()
}

pub(crate) fn date(second: u64) -> HttpDate {
    HttpDate::parse(naive::spellings(second)[0].as_bytes()).unwrap()
}

pub(crate) fn headers(request: &Request) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.lines {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    headers
}

pub(crate) fn rules(route: &Route) -> Rules {
    Rules {
        handler_compares: route.handler_compares,
        existence: route.existence,
        required: route.required,
        malformed_is_bad_request: route.malformed_is_bad_request,
        creates: route.creates,
        tolerant: route.tolerant,
        limits: Limits {
            bytes: route.most_bytes,
            tags: route.most_tags,
        },
    }
}
