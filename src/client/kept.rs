//! One kept copy: what may be kept, for which requests it is good, what a 304 changes of it
//! ([RFC 9111], sections 3 and 4).
//!
//! A copy is never used unasked: each use is validated by the server, so that nothing here depends
//! on clocks or on how long an answer is said to be fresh.
//!
//! [RFC 9111]: https://www.rfc-editor.org/rfc/rfc9111

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use http::response::Parts;
use http::{Response, StatusCode};

use crate::entity_tag::EntityTag;

/// What a copy costs beside its bytes, roughly: keys, lists, counters.
const OVERHEAD: usize = 512;

/// Requests that differ in these get copies of their own even where the answer does not name them
/// in `Vary`: nginx compresses without saying so by default, and a copy that is compressed is no
/// use to who cannot read it.
const NEGOTIATED: [HeaderName; 3] = [ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE];

#[derive(Debug, Clone)]
pub(super) struct KeptCopy {
    pub(super) tag: EntityTag,
    headers: HeaderMap,
    content: Bytes,
    /// The fields of the request that selected this representation.
    selecting: Vec<(HeaderName, Vec<HeaderValue>)>,
}

impl KeptCopy {
    /// A copy, still without content, of an answer that may be kept.
    pub(super) fn begin(request: &HeaderMap, answer: &Parts) -> Option<Self> {
        let tag = tag_of(&answer.headers)?;
        let wanted = answer.status == StatusCode::OK
            && !answer.headers.contains_key(CONTENT_RANGE)
            && !says_no_store(request)
            && !says_no_store(&answer.headers);
        if !wanted {
            return None;
        }
        let mut selecting = Vec::new();
        for name in selecting_fields(&answer.headers)? {
            let values = request.get_all(&name).iter().cloned().collect();
            selecting.push((name, values));
        }
        let mut headers = answer.headers.clone();
        remove_hop_by_hop(&mut headers);
        // A cookie is set once.
        headers.remove(SET_COOKIE);
        Some(Self {
            tag,
            headers,
            content: Bytes::new(),
            selecting,
        })
    }

    pub(super) fn with_content(mut self, content: Bytes) -> Self {
        self.content = content;
        self
    }

    /// Was it selected by the same fields?
    pub(super) fn is_for(&self, request: &HeaderMap) -> bool {
        let mut selecting = self.selecting.iter();
        selecting.all(|(name, values)| request.get_all(name).iter().eq(values))
    }

    /// Its content has the length that its header says.
    pub(super) fn is_whole(&self, length: usize) -> bool {
        let said = self.headers.get(CONTENT_LENGTH);
        said.is_none_or(|said| said.as_bytes() == length.to_string().as_bytes())
    }

    /// What is left of it after an answer 304: nothing if that is about another one.
    pub(super) fn validated(&self, not_modified: &Parts) -> Option<Self> {
        let mut copy = self.clone();
        if not_modified.headers.contains_key(ETAG) {
            let named = tag_of(&not_modified.headers)?;
            if !named.weak_eq(&self.tag) {
                return None;
            }
            // A strong tag is news of what has that very tag (RFC 9111, section 4.3.4).
            if !named.is_weak() && !named.strong_eq(&self.tag) {
                return Some(copy);
            }
        }
        let mut news = not_modified.headers.clone();
        remove_hop_by_hop(&mut news);
        // These are about the content, which is the old one (section 3.2), and about the tag that
        // it came with.
        for name in [
            CONTENT_LENGTH,
            CONTENT_ENCODING,
            CONTENT_TYPE,
            CONTENT_RANGE,
            ETAG,
            SET_COOKIE,
        ] {
            news.remove(name);
        }
        for name in news.keys() {
            copy.headers.remove(name);
        }
        for (name, value) in &news {
            copy.headers.append(name, value.clone());
        }
        Some(copy)
    }

    /// May it still be kept?
    pub(super) fn may_stay(&self) -> bool {
        !says_no_store(&self.headers)
    }

    /// The answer 200 that it is a copy of.
    pub(super) fn to_response(&self) -> Response<Bytes> {
        let mut response = Response::new(self.content.clone());
        *response.headers_mut() = self.headers.clone();
        response
    }

    /// How much memory it takes, roughly.
    pub(super) fn bytes(&self) -> usize {
        let fields = |headers: &HeaderMap| -> usize {
            let fields = headers.iter();
            fields
                .map(|(name, value)| name.as_str().len() + value.len())
                .sum()
        };
        let selecting = self.selecting.iter().flat_map(|(_, values)| values);
        let selecting: usize = selecting.map(HeaderValue::len).sum();
        OVERHEAD + self.content.len() + fields(&self.headers) + selecting
    }
}

/// The one entity-tag of an answer.
pub(super) fn tag_of(headers: &HeaderMap) -> Option<EntityTag> {
    let mut lines = headers.get_all(ETAG).iter();
    let tag = EntityTag::parse(lines.next()?.as_bytes()).ok()?;
    lines.next().is_none().then_some(tag)
}

pub(super) fn says_no_store(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let mut directives = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-store"))
}

/// `None` if no request can be told to select the same.
fn selecting_fields(answer: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = NEGOTIATED.to_vec();
    for line in answer.get_all(VARY) {
        for name in line.as_bytes().split(|byte| *byte == b',') {
            let name = name.trim_ascii();
            if name.is_empty() {
                continue;
            }
            // `*` is no name, nor is anything else that cannot be read.
            let name = HeaderName::from_bytes(name)
                .ok()
                .filter(|it| it.as_str() != "*")?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Some(names)
}

/// Fields that are about a connection ([RFC 9110, section 7.6.1]).
///
/// [RFC 9110, section 7.6.1]: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<_> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    let keep_alive = HeaderName::from_static("keep-alive");
    for name in [
        CONNECTION,
        keep_alive,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}
