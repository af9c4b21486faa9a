//! What a request asks for: its conditional header fields, out of a [`HeaderMap`].
//!
//! The rule of this module is that *present is never absent*. A field that stands in the request
//! but cannot be read (malformed, empty, not ASCII, spread over several lines) comes out as
//! present and unreadable, so that whoever decides can fail closed. Dates are the exception that
//! RFC 9110 makes: one that cannot be read, or comes twice, is ignored.
//!
//! ```
//! use http::{HeaderMap, HeaderValue, header::IF_MATCH};
//! use tower_conditional::precondition::{Limits, ListMatch, Preconditions};
//!
//! let mut headers = HeaderMap::new();
//! headers.append(IF_MATCH, HeaderValue::from_static(r#""4""#));
//! headers.append(IF_MATCH, HeaderValue::from_static(r#"W/"5", "6""#));
//!
//! let preconditions = Preconditions::from_headers(&headers);
//! let if_match = preconditions.if_match().expect("the request carries If-Match");
//! let found = if_match.scan(Limits::default(), |tag| tag.opaque() == b"6");
//! assert_eq!(found, Ok(ListMatch::Tags(true)));
//! ```

use http::header::{
    HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};
use memchr::memmem;

use crate::entity_tag::{EntityTag, EntityTagError, EntityTagErrorKind, EntityTagRef, EntityTags};
use crate::http_date::HttpDate;

/// How much of a list of entity-tags is read. A longer one counts as malformed.
///
/// ```
/// use tower_conditional::precondition::Limits;
///
/// assert_eq!(Limits::default().bytes, 8 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes over all lines of one field. Defaults to 8 KiB: no client keeps more tags of one
    /// resource, and most servers refuse longer header fields anyway.
    pub bytes: usize,
    /// Members over all lines of one field. Defaults to 2,048.
    pub tags: usize,
}

impl Limits {
    pub(crate) const DEFAULT: Self = Self {
        bytes: 8 * 1024,
        tags: 2_048,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The conditional header fields of one request.
///
/// See the [module docs](crate::precondition) for an example.
#[derive(Debug, Clone, Copy)]
pub struct Preconditions<'h> {
    headers: &'h HeaderMap,
    if_match: Lines<'h>,
    if_none_match: Lines<'h>,
    if_modified_since: Lines<'h>,
    if_unmodified_since: Lines<'h>,
    if_range: Lines<'h>,
}

/// The lines of one field. Nearly always there is one, which is then not looked up again.
#[derive(Debug, Clone, Copy)]
enum Lines<'h> {
    None,
    One(&'h HeaderValue),
    Several,
}

impl<'h> Lines<'h> {
    const fn add(&mut self, line: &'h HeaderValue) {
        *self = match self {
            Self::None => Self::One(line),
            Self::One(_) | Self::Several => Self::Several,
        };
    }

    const fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }

    /// The value of a field that may come once.
    const fn only(self) -> Option<&'h HeaderValue> {
        match self {
            Self::One(line) => Some(line),
            Self::None | Self::Several => None,
        }
    }
}

impl<'h> Preconditions<'h> {
    /// Looks for the conditional fields of `headers`.
    #[must_use]
    pub fn from_headers(headers: &'h HeaderMap) -> Self {
        let mut found = Self {
            headers,
            if_match: Lines::None,
            if_none_match: Lines::None,
            if_modified_since: Lines::None,
            if_unmodified_since: Lines::None,
            if_range: Lines::None,
        };
        // One pass over the few fields of a request costs less than five hashed look-ups.
        for (name, line) in headers {
            if name == IF_NONE_MATCH {
                found.if_none_match.add(line);
            } else if name == IF_MATCH {
                found.if_match.add(line);
            } else if name == IF_MODIFIED_SINCE {
                found.if_modified_since.add(line);
            } else if name == IF_UNMODIFIED_SINCE {
                found.if_unmodified_since.add(line);
            } else if name == IF_RANGE {
                found.if_range.add(line);
            }
        }
        found
    }

    /// The header that these are in.
    pub(crate) const fn headers(&self) -> &'h HeaderMap {
        self.headers
    }

    /// Does the request carry no conditional field at all?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !(self.if_match.is_some()
            || self.if_none_match.is_some()
            || self.if_modified_since.is_some()
            || self.if_unmodified_since.is_some()
            || self.if_range.is_some())
    }

    /// `If-Match`, readable or not.
    #[must_use]
    pub fn if_match(&self) -> Option<TagField<'h>> {
        self.tag_field(self.if_match, &IF_MATCH)
    }

    /// `If-None-Match`, readable or not.
    #[must_use]
    pub fn if_none_match(&self) -> Option<TagField<'h>> {
        self.tag_field(self.if_none_match, &IF_NONE_MATCH)
    }

    fn tag_field(&self, lines: Lines<'h>, name: &'static HeaderName) -> Option<TagField<'h>> {
        lines.is_some().then_some(TagField {
            headers: self.headers,
            name,
            only: lines.only(),
        })
    }

    /// The value of `If-None-Match`, if it is `tag` and nothing else.
    pub(crate) fn as_sent(&self, tag: &EntityTag) -> Option<HeaderValue> {
        let line = self.if_none_match.only()?;
        (line == tag.as_bytes()).then(|| line.clone())
    }

    /// The date of `If-Modified-Since`, if there is exactly one and it can be read.
    #[must_use]
    pub fn if_modified_since(&self) -> Option<HttpDate> {
        HttpDate::parse(self.if_modified_since.only()?.as_bytes())
    }

    /// The date of `If-Unmodified-Since`, if there is exactly one and it can be read.
    #[must_use]
    pub fn if_unmodified_since(&self) -> Option<HttpDate> {
        HttpDate::parse(self.if_unmodified_since.only()?.as_bytes())
    }

    /// `If-Range`, in a request that has a `Range` for it to speak of.
    #[must_use]
    pub fn if_range(&self) -> Option<IfRange<'h>> {
        if !self.if_range.is_some() || !self.headers.contains_key(RANGE) {
            return None;
        }
        let Some(value) = self.if_range.only() else {
            return Some(IfRange::Unreadable);
        };
        let value = value.as_bytes().trim_ascii();
        Some(match (EntityTagRef::parse(value), HttpDate::parse(value)) {
            (Ok(tag), _) => IfRange::Tag(tag),
            (_, Some(date)) => IfRange::Date(date),
            _ => IfRange::Unreadable,
        })
    }
}

/// What `If-Range` names.
///
/// See [`Preconditions::if_range`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfRange<'h> {
    /// A modification date, to be matched exactly.
    Date(HttpDate),
    /// An entity-tag, to be compared strongly.
    Tag(EntityTagRef<'h>),
    /// Neither: the condition is false.
    Unreadable,
}

/// An `If-Match` or `If-None-Match` that stands in the request.
///
/// See the [module docs](crate::precondition) for an example.
#[derive(Debug, Clone, Copy)]
pub struct TagField<'h> {
    headers: &'h HeaderMap,
    name: &'static HeaderName,
    /// Its line, if it has one and no more.
    only: Option<&'h HeaderValue>,
}

impl<'h> TagField<'h> {
    /// Which of the two it is.
    #[must_use]
    pub const fn name(&self) -> &'static HeaderName {
        self.name
    }

    /// The field lines, in the order in which they came.
    pub fn lines(&self) -> impl Iterator<Item = &'h HeaderValue> + use<'h> {
        let several = self.only.is_none();
        let several = several.then(|| self.headers.get_all(self.name).iter());
        self.only.into_iter().chain(several.into_iter().flatten())
    }

    /// Is it `*`, alone?
    #[must_use]
    pub fn is_any(&self) -> bool {
        let mut lines = self.lines();
        lines.next().is_some_and(is_wildcard) && lines.next().is_none()
    }

    /// Every entity-tag of every line, up to the first error.
    pub fn tags(&self) -> impl Iterator<Item = Result<EntityTagRef<'h>, EntityTagError>> + use<'h> {
        self.lines()
            .flat_map(|line| EntityTags::new(line.as_bytes()))
    }

    /// Reads the whole field and asks `matches` of its members until one matches.
    ///
    /// # Errors
    ///
    /// If the field is not a list of entity-tags or a single `*`: also when it is empty, over the
    /// `limits`, or malformed behind a member that matched.
    pub fn scan(
        &self,
        limits: Limits,
        mut matches: impl FnMut(EntityTagRef<'h>) -> bool,
    ) -> Result<ListMatch, EntityTagError> {
        let mut list = List {
            limits,
            bytes: 0,
            tags: 0,
            found: false,
        };
        if let Some(line) = self.only {
            if is_wildcard(line) {
                return Ok(ListMatch::Any);
            }
            list.read(line, &mut matches)?;
        } else {
            for line in self.lines() {
                list.read(line, &mut matches)?;
            }
        }
        list.end()
    }

    /// May one of its entity-tags have `opaque` between its quotes, or begin with it if `prefix`?
    /// If not, a [`scan`](Self::scan) for it finds nothing, or an error. Many times faster than to
    /// scan, and says yes to short fields without a look.
    pub(crate) fn may_hold(&self, opaque: &[u8], prefix: bool, limits: Limits) -> bool {
        let bytes = match self.only {
            Some(line) => line.len(),
            None => self.lines().map(HeaderValue::len).sum(),
        };
        // To scan what is over the limit costs nothing.
        if bytes <= WORTH_A_SEARCH || bytes > limits.bytes {
            return true;
        }
        // Tags of one store begin alike: it is the end of one, and its quote, that is rare.
        let end = opaque.get(opaque.len().saturating_sub(END)..);
        let end = end.unwrap_or(opaque);
        let mut quoted = [b'"'; END + 1];
        let sought = match quoted.get_mut(..end.len()) {
            Some(room) if !prefix => {
                room.copy_from_slice(end);
                quoted.get(..=end.len()).unwrap_or(end)
            }
            _ => end,
        };
        self.lines()
            .any(|line| memmem::find(line.as_bytes(), sought).is_some())
    }
}

/// Fields up to this length are scanned about as fast as they are searched.
const WORTH_A_SEARCH: usize = 512;
/// How much of a tag's end is sought.
const END: usize = 7;

/// What was read of a list up to now.
struct List {
    limits: Limits,
    bytes: usize,
    tags: usize,
    found: bool,
}

impl List {
    fn read<'h>(
        &mut self,
        line: &'h HeaderValue,
        matches: &mut impl FnMut(EntityTagRef<'h>) -> bool,
    ) -> Result<(), EntityTagError> {
        let limits = self.limits;
        self.bytes += line.len();
        if self.bytes > limits.bytes {
            return Err(EntityTagError::new(
                EntityTagErrorKind::TooLong,
                limits.bytes,
            ));
        }
        for tag in EntityTags::new(line.as_bytes()) {
            let tag = tag.map_err(|error| wildcard_or(error, line))?;
            self.tags += 1;
            if self.tags > limits.tags {
                return Err(EntityTagError::new(EntityTagErrorKind::TooMany, self.bytes));
            }
            self.found = self.found || matches(tag);
        }
        Ok(())
    }

    const fn end(self) -> Result<ListMatch, EntityTagError> {
        if self.tags == 0 {
            return Err(EntityTagError::new(EntityTagErrorKind::Empty, self.bytes));
        }
        Ok(ListMatch::Tags(self.found))
    }
}

fn is_wildcard(line: &HeaderValue) -> bool {
    match line.as_bytes() {
        b"*" => true,
        [b'"', ..] => false,
        other => other
            .iter()
            .filter(|byte| !matches!(byte, b' ' | b'\t'))
            .eq(b"*"),
    }
}

/// Says of a `*` inside a list what is wrong with it.
fn wildcard_or(error: EntityTagError, line: &HeaderValue) -> EntityTagError {
    if line.as_bytes().get(error.at()) == Some(&b'*') {
        return EntityTagError::new(EntityTagErrorKind::Wildcard, error.at());
    }
    error
}

/// What [`TagField::scan`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListMatch {
    /// The field is `*`.
    Any,
    /// The field is a list; did one of its members match?
    Tags(bool),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &HeaderName, lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        headers
    }

    fn scan_five(lines: &[&[u8]]) -> Result<ListMatch, EntityTagErrorKind> {
        let headers = headers(&IF_MATCH, lines);
        let field = Preconditions::from_headers(&headers).if_match().unwrap();
        field
            .scan(Limits::default(), |tag| tag.opaque() == b"5")
            .map_err(|error| error.kind())
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_never_absent() {
        use EntityTagErrorKind as Kind;
        let rows: &[(&[&[u8]], Result<ListMatch, Kind>)] = &[
            (&[b"*"], Ok(ListMatch::Any)),
            (&[b"  *\t"], Ok(ListMatch::Any)),
            (&[b"*", b"*"], Err(Kind::Wildcard)),
            (&[b"*, \"5\""], Err(Kind::Wildcard)),
            (&[b"\"5\", *"], Err(Kind::Wildcard)),
            (&[b"**"], Err(Kind::Wildcard)),
            (&[b""], Err(Kind::Empty)),
            (&[b", ,"], Err(Kind::Empty)),
            (&[b",", b"\"5\""], Ok(ListMatch::Tags(true))),
            (&[b"\"4\"", b"\"6\""], Ok(ListMatch::Tags(false))),
            (&[b"\"5\", junk"], Err(Kind::Unquoted)),
            (&[b"\"a", b"5\""], Err(Kind::Unterminated)),
            (&[b"\xE2\x80\x9C5\xE2\x80\x9D"], Err(Kind::Unquoted)),
        ];
        for (lines, expected) in rows {
            assert_eq!(&scan_five(lines), expected, "{lines:?}");
        }
    }

    // Its generators are not built there.
    #[cfg(not(loom))]
    #[test]
    fn a_search_never_misses_what_a_scan_finds() {
        use proptest::prelude::*;

        let short = prop::sample::select(&["", "5", "55", "5-gzip", "a,b", "W/"][..]);
        let opaque = prop_oneof![
            short.prop_map(|opaque| opaque.as_bytes().to_vec()),
            prop::collection::vec(prop::sample::select(&b"5-\\\x80"[..]), 0..24),
        ];
        let marks =
            prop::sample::select(&[("", ""), ("W/", ""), ("", "-gzip"), ("W/", "--gzip")][..]);
        let members = prop::collection::vec((opaque.clone(), marks), 0..5);
        let (answered, found) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 2_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let input = (opaque, members, any::<[bool; 2]>());
        runner
            .run(&input, |(wanted, members, [tolerant, two_lines])| {
                let mut lines = vec![b"\"another\", ".repeat(WORTH_A_SEARCH / 8)];
                if two_lines {
                    lines.push(Vec::new());
                }
                let last = lines.last_mut().unwrap();
                for (opaque, (before, after)) in &members {
                    last.extend_from_slice(before.as_bytes());
                    last.extend([&b"\""[..], &opaque[..], after.as_bytes(), b"\", "].concat());
                }
                let lines: Vec<_> = lines.iter().map(Vec::as_slice).collect();
                let headers = headers(&IF_NONE_MATCH, &lines);
                let preconditions = Preconditions::from_headers(&headers);
                let field = preconditions.if_none_match().unwrap();
                let matches = |tag: EntityTagRef<'_>| {
                    tag.opaque() == wanted
                        || tolerant && tag.without_proxy_marks().opaque() == wanted
                };
                let limits = Limits::default();
                let scanned = field.scan(limits, matches) == Ok(ListMatch::Tags(true));
                let searched = field.may_hold(&wanted, tolerant, limits);
                prop_assert!(searched || !scanned, "it was missed");
                found.set(found.get() + u32::from(scanned));
                answered.set(answered.get() + u32::from(!searched));
                Ok(())
            })
            .unwrap();
        let (answered, found) = (answered.get(), found.get());
        assert!(answered > 50 && found > 50, "{answered} and {found}");
    }

    #[test]
    fn the_limits_are_met_exactly() {
        let longest = format!("\"5\"{}", ",".repeat(8 * 1024 - 3));
        assert_eq!(scan_five(&[longest.as_bytes()]), Ok(ListMatch::Tags(true)));
        assert_eq!(
            scan_five(&[longest.as_bytes(), b","]),
            Err(EntityTagErrorKind::TooLong)
        );
        let most = "\"\",".repeat(2_048);
        assert_eq!(scan_five(&[most.as_bytes()]), Ok(ListMatch::Tags(false)));
        assert_eq!(
            scan_five(&[most.as_bytes(), b"\"5\""]),
            Err(EntityTagErrorKind::TooMany)
        );
    }

    #[test]
    fn dates_that_come_twice_are_ignored() {
        let date: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
        for (lines, readable) in [(vec![date], true), (vec![date, date], false)] {
            let headers = headers(&IF_UNMODIFIED_SINCE, &lines);
            let preconditions = Preconditions::from_headers(&headers);
            assert_eq!(preconditions.if_unmodified_since().is_some(), readable);
            assert!(!preconditions.is_empty());
            assert!(preconditions.if_match().is_none());
        }
    }

    #[test]
    fn if_range_counts_only_beside_range() {
        let mut headers = headers(&IF_RANGE, &[b"\"5\""]);
        assert_eq!(Preconditions::from_headers(&headers).if_range(), None);
        headers.insert(RANGE, HeaderValue::from_static("bytes=0-9"));
        assert!(matches!(
            Preconditions::from_headers(&headers).if_range(),
            Some(IfRange::Tag(_))
        ));
        headers.append(IF_RANGE, HeaderValue::from_static("\"6\""));
        assert_eq!(
            Preconditions::from_headers(&headers).if_range(),
            Some(IfRange::Unreadable)
        );
    }
}
