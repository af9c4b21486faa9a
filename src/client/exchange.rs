//! One request through the layer: which conditions it gets, and what its answer teaches.

use std::sync::Arc;

use bytes::BytesMut;
use http::header::{
    HeaderMap, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
    SET_COOKIE,
};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;

use super::body::{ClientBody, Recorder};
use super::copies::Copies;
use super::kept::{KeptCopy, says_no_store, tag_of};
use super::key::SeenBy;
use super::layer::Settings;
use super::seen::Seen;
use crate::decision::Access;
use crate::entity_tag::EntityTag;
use crate::precondition::Preconditions;

/// In the extensions of an answer that was 304, and is 200 with the kept copy instead.
///
/// ```
/// use tower_conditional::client::Revalidated;
///
/// fn cost_no_content<B>(answer: &http::Response<B>) -> bool {
///     answer.extensions().get::<Revalidated>().is_some()
/// }
/// # assert!(!cost_no_content(&http::Response::new(())));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revalidated;

/// What is remembered of a request until its answer is there.
pub(super) enum Exchange {
    /// Teaches nothing.
    Other,
    Read {
        key: SeenBy,
        /// The fields of the request.
        fields: HeaderMap,
        /// The copy whose tag was sent.
        copy: Option<Arc<KeptCopy>>,
    },
    Write {
        key: SeenBy,
        /// Does the writer know all of the new state? Then its tag is as good as read.
        knows: bool,
    },
}

impl Exchange {
    /// Adds the conditions that the request lacks.
    pub(super) fn begin<B>(
        settings: &Settings,
        copies: &Copies,
        seen: &Seen,
        request: &mut Request<B>,
    ) -> Self {
        let key = SeenBy::of(request.uri(), request.headers(), &settings.principal);
        match Access::of(request.method()) {
            // The rest of a representation is nobody's base for a write.
            Access::Read if request.method() == Method::GET => {
                let fields = request.headers().clone();
                let asks = has_conditions(&fields) || fields.contains_key(RANGE);
                let copy = (!asks && !says_no_store(&fields))
                    .then(|| copies.get(key))
                    .flatten()
                    .filter(|copy| copy.is_for(&fields));
                if let Some(copy) = &copy {
                    let tag = copy.tag.to_header_value();
                    request.headers_mut().insert(IF_NONE_MATCH, tag);
                }
                Self::Read { key, fields, copy }
            }
            Access::Read | Access::Unconditional => Self::Other,
            Access::Write => {
                let method = request.method();
                let wants = settings.conditional.contains(method);
                if wants
                    && !has_conditions(request.headers())
                    && let Some(tag) = seen.get(key)
                {
                    let tag = tag.to_header_value();
                    request.headers_mut().insert(IF_MATCH, tag);
                }
                let based = request.headers().get(IF_MATCH);
                let based = based.is_some_and(|tags| tags.as_bytes().trim_ascii() != b"*");
                let knows = request.method() == Method::PUT || based;
                Self::Write { key, knows }
            }
        }
    }

    /// Learns from the answer, and puts the kept copy in the place of a 304.
    pub(super) fn finish<R>(
        self,
        copies: &Arc<Copies>,
        seen: &Seen,
        response: Response<R>,
    ) -> Response<ClientBody<R>>
    where
        R: Body,
    {
        let status = response.status();
        let (parts, body) = response.into_parts();
        let tag = tag_of(&parts.headers);
        let mut recorder = None;
        match self {
            Self::Other => {}
            Self::Write { key, knows } => {
                if status.is_success() || status.is_redirection() {
                    copies.remove(key);
                    learn(seen, key, tag.filter(|_| knows && status.is_success()));
                } else if is_gone(status) {
                    copies.remove(key);
                    seen.forget(key);
                }
            }
            Self::Read { key, fields, copy } => match (status, copy) {
                (StatusCode::NOT_MODIFIED, Some(copy)) => match copy.validated(&parts) {
                    Some(news) => {
                        learn(seen, key, Some(news.tag.clone()));
                        let mut answer = news.to_response();
                        for cookie in parts.headers.get_all(SET_COOKIE) {
                            answer.headers_mut().append(SET_COOKIE, cookie.clone());
                        }
                        *answer.version_mut() = parts.version;
                        *answer.extensions_mut() = parts.extensions;
                        answer.extensions_mut().insert(Revalidated);
                        match news.may_stay() {
                            true => copies.put(key, Arc::new(news)),
                            false => copies.remove(key),
                        }
                        return answer.map(ClientBody::copied);
                    }
                    // About another copy than ours. The next request goes without.
                    None => copies.remove(key),
                },
                // The caller has copies of its own. One that it has named is current: that is read.
                // `*` names none, and a date cannot tell two changes in one second apart.
                (StatusCode::NOT_MODIFIED, None) => {
                    if let Some(tag) = tag.filter(|tag| names(&fields, tag)) {
                        seen.set(key, tag);
                    }
                }
                (StatusCode::OK, _) => {
                    learn(seen, key, tag);
                    match KeptCopy::begin(&fields, &parts) {
                        Some(copy) if copies.longest() > 0 => {
                            recorder = Some(Recorder {
                                copies: Arc::clone(copies),
                                key,
                                copy,
                                content: BytesMut::new(),
                            });
                        }
                        _ => copies.remove(key),
                    }
                }
                (status, _) if is_gone(status) => {
                    copies.remove(key);
                    seen.forget(key);
                }
                _ => {}
            },
        }
        if body.is_end_stream()
            && let Some(recorder) = recorder.take()
        {
            recorder.finish();
        }
        Response::from_parts(parts, ClientBody::passing(body, recorder))
    }
}

/// A resource without a tag was read as well: what was known of it is old.
fn learn(seen: &Seen, key: SeenBy, tag: Option<EntityTag>) {
    match tag {
        Some(tag) => seen.set(key, tag),
        None => seen.forget(key),
    }
}

/// Is `tag` in the `If-None-Match` of a request?
fn names(request: &HeaderMap, tag: &EntityTag) -> bool {
    let field = Preconditions::from_headers(request).if_none_match();
    field.is_some_and(|field| {
        let mut named = field.tags().map_while(Result::ok);
        named.any(|named| named.weak_eq(tag.borrow()))
    })
}

fn has_conditions(headers: &HeaderMap) -> bool {
    [
        IF_MATCH,
        IF_MODIFIED_SINCE,
        IF_NONE_MATCH,
        IF_RANGE,
        IF_UNMODIFIED_SINCE,
    ]
    .iter()
    .any(|name| headers.contains_key(name))
}

fn is_gone(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)
}
