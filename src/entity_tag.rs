//! Entity-tags: bytes ⇄ values, and the two ways to compare them.
//!
//! The parser works on bytes, because a header field value is bytes: entity-tags may hold octets
//! above 0x7F, commas, backslashes and `*`, and splitting text on commas gets all of these wrong.
//! It never panics, allocates nothing, looks at each byte once, and tells *malformed* from *no
//! match*: a condition that cannot be read must not be mistaken for one that is absent.
//!
//! ```
//! use tower_conditional::EntityTag;
//!
//! let current = EntityTag::strong("5")?;
//! let sent = EntityTag::parse(br#"W/"5""#)?;
//! assert!(sent.weak_eq(&current), "good enough to reuse a copy");
//! assert!(!sent.strong_eq(&current), "not good enough to overwrite one");
//! # Ok::<(), tower_conditional::EntityTagError>(())
//! ```

use std::fmt;

use http::HeaderValue;

use crate::numbers;
use crate::short_bytes::ShortBytes;

/// An entity-tag, weak or strong ([RFC 9110, section 8.8.3]).
///
/// `==` means *spelled the same*. To ask whether two tags name the same representation use
/// [`strong_eq`](Self::strong_eq) or [`weak_eq`](Self::weak_eq):
///
/// | one | other | `strong_eq` | `weak_eq` |
/// |---|---|---|---|
/// | `W/"1"` | `W/"1"` | no | yes |
/// | `W/"1"` | `W/"2"` | no | no |
/// | `W/"1"` | `"1"` | no | yes |
/// | `"1"` | `"1"` | yes | yes |
///
/// See the [module docs](crate::entity_tag) for an example.
///
/// [RFC 9110, section 8.8.3]: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntityTag {
    /// The field value: `"…"` or `W/"…"`.
    value: ShortBytes,
    weak: bool,
}

impl EntityTag {
    /// A strong entity-tag around `opaque`, which comes without its quotes.
    ///
    /// # Errors
    ///
    /// If `opaque` holds a byte that no entity-tag may hold: a quote, a space, a control.
    pub fn strong(opaque: impl AsRef<[u8]>) -> Result<Self, EntityTagError> {
        let opaque = check_opaque(opaque.as_ref())?;
        Ok(Self {
            value: ShortBytes::concat(&[b"\"", opaque, b"\""]),
            weak: false,
        })
    }

    /// A weak entity-tag around `opaque`, which comes without its quotes.
    ///
    /// # Errors
    ///
    /// As for [`strong`](Self::strong).
    pub fn weak(opaque: impl AsRef<[u8]>) -> Result<Self, EntityTagError> {
        let opaque = check_opaque(opaque.as_ref())?;
        Ok(Self {
            value: ShortBytes::concat(&[b"W/\"", opaque, b"\""]),
            weak: true,
        })
    }

    /// Reads one entity-tag, as it stands in an `ETag` field.
    ///
    /// # Errors
    ///
    /// If `value` is anything but one entity-tag.
    pub fn parse(value: &[u8]) -> Result<Self, EntityTagError> {
        EntityTagRef::parse(value).map(EntityTagRef::to_owned)
    }

    /// A tag around the text of a version, which holds nothing that a tag may not hold.
    pub(crate) fn of_version(text: &[u8], weak: bool) -> Self {
        EntityTagRef { weak, opaque: text }.to_owned()
    }

    /// Is it marked as weak?
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.weak
    }

    /// What stands between the quotes.
    #[must_use]
    pub fn opaque(&self) -> &[u8] {
        let value = self.as_bytes();
        let quotes = if self.weak { 3 } else { 1 };
        value
            .get(quotes..value.len().saturating_sub(1))
            .unwrap_or_default()
    }

    /// The whole field value, quotes and weakness mark included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.value.as_slice()
    }

    /// Borrows the tag for comparing.
    #[must_use]
    pub fn borrow(&self) -> EntityTagRef<'_> {
        EntityTagRef {
            weak: self.weak,
            opaque: self.opaque(),
        }
    }

    /// Strong comparison: both strong, same opaque-tag. What `If-Match` asks for.
    #[must_use]
    pub fn strong_eq(&self, other: &Self) -> bool {
        self.borrow().strong_eq(other.borrow())
    }

    /// Weak comparison: same opaque-tag. What `If-None-Match` asks for.
    #[must_use]
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.borrow().weak_eq(other.borrow())
    }

    /// The tag as the value of an `ETag` field.
    #[must_use]
    pub fn to_header_value(&self) -> HeaderValue {
        if let Some(tag) = numbers::tag(self.as_bytes()) {
            return HeaderValue::from_static(tag);
        }
        HeaderValue::from_bytes(self.as_bytes())
            .expect("an entity-tag holds visible bytes only, all of which a field value may hold")
    }
}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityTag({})", self.as_bytes().escape_ascii())
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

/// An entity-tag that borrows its opaque part from a header.
///
/// See the [module docs](crate::entity_tag) for an example.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntityTagRef<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl<'a> EntityTagRef<'a> {
    /// Reads one entity-tag, as it stands in an `ETag` or `If-Range` field.
    ///
    /// # Errors
    ///
    /// If `value` is anything but one entity-tag.
    pub fn parse(value: &'a [u8]) -> Result<Self, EntityTagError> {
        let mut scanner = Scanner::new(value);
        let tag = scanner.entity_tag()?;
        match scanner.rest {
            [] => Ok(tag),
            rest => Err(scanner.error(EntityTagErrorKind::Trailing, rest)),
        }
    }

    /// Is it marked as weak?
    #[must_use]
    pub const fn is_weak(self) -> bool {
        self.weak
    }

    /// What stands between the quotes.
    #[must_use]
    pub const fn opaque(self) -> &'a [u8] {
        self.opaque
    }

    /// Strong comparison: both strong, same opaque-tag.
    #[must_use]
    pub fn strong_eq(self, other: EntityTagRef<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison: same opaque-tag.
    #[must_use]
    pub fn weak_eq(self, other: EntityTagRef<'_>) -> bool {
        self.opaque == other.opaque
    }

    /// The tag as the origin sent it, if a proxy has marked it on the way: without `W/` (nginx
    /// weakens what it compresses) and without the name of a content coding at its end (Apache and
    /// Caddy append `-gzip`). Only sound for tags that name a version, not bytes.
    ///
    /// ```
    /// use tower_conditional::entity_tag::EntityTagRef;
    ///
    /// for sent in [r#"W/"5""#, r#""5-gzip""#, r#""5""#] {
    ///     let tag = EntityTagRef::parse(sent.as_bytes())?.without_proxy_marks();
    ///     assert_eq!((tag.is_weak(), tag.opaque()), (false, b"5".as_slice()));
    /// }
    /// # Ok::<(), tower_conditional::EntityTagError>(())
    /// ```
    #[must_use]
    pub fn without_proxy_marks(self) -> Self {
        const SUFFIXES: [&[u8]; 5] = [b"--gzip", b"-gzip", b"-br", b"-zstd", b"-deflate"];
        let opaque = SUFFIXES
            .iter()
            .find_map(|suffix| self.opaque.strip_suffix(*suffix))
            .unwrap_or(self.opaque);
        Self {
            weak: false,
            opaque,
        }
    }

    /// A tag of its own with the same spelling.
    #[must_use]
    pub fn to_owned(self) -> EntityTag {
        let open: &[u8] = if self.weak { b"W/\"" } else { b"\"" };
        EntityTag {
            value: ShortBytes::concat(&[open, self.opaque, b"\""]),
            weak: self.weak,
        }
    }
}

impl fmt::Debug for EntityTagRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.weak { "W/" } else { "" };
        write!(f, "{mark}\"{}\"", self.opaque.escape_ascii())
    }
}

/// The members of one field line: `#entity-tag` of [RFC 9110, section 5.6.1.2], that is, with
/// empty members and optional whitespace (space and tab, nothing else) skipped.
///
/// After an error the iterator ends.
///
/// ```
/// use tower_conditional::entity_tag::EntityTags;
///
/// let tags: Result<Vec<_>, _> = EntityTags::new(br#" , "a,b" ,W/"5""#).collect();
/// assert_eq!(tags?.len(), 2);
/// # Ok::<(), tower_conditional::EntityTagError>(())
/// ```
///
/// [RFC 9110, section 5.6.1.2]: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.1.2
#[derive(Debug, Clone)]
pub struct EntityTags<'a> {
    scanner: Scanner<'a>,
    failed: bool,
}

impl<'a> EntityTags<'a> {
    /// Reads the members of `line`.
    #[must_use]
    pub const fn new(line: &'a [u8]) -> Self {
        Self {
            scanner: Scanner::new(line),
            failed: false,
        }
    }

    #[inline]
    fn member(&mut self) -> Result<EntityTagRef<'a>, EntityTagError> {
        let tag = self.scanner.entity_tag()?;
        self.scanner.skip_whitespace();
        match self.scanner.rest {
            [] | [b',', ..] => Ok(tag),
            rest => Err(self.scanner.error(EntityTagErrorKind::Trailing, rest)),
        }
    }
}

impl<'a> Iterator for EntityTags<'a> {
    type Item = Result<EntityTagRef<'a>, EntityTagError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        // Before a member: whitespace, commas and empty members in any number.
        self.scanner.skip_separators();
        if self.scanner.rest.is_empty() {
            return None;
        }
        let member = self.member();
        self.failed = member.is_err();
        Some(member)
    }
}

#[derive(Debug, Clone)]
struct Scanner<'a> {
    /// How long it was.
    length: usize,
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    const fn new(value: &'a [u8]) -> Self {
        Self {
            length: value.len(),
            rest: value,
        }
    }

    #[inline]
    fn skip_whitespace(&mut self) {
        while let [b' ' | b'\t', after @ ..] = self.rest {
            self.rest = after;
        }
    }

    #[inline]
    fn skip_separators(&mut self) {
        // What nearly all clients write between two tags.
        if let [b',', after @ ..] = self.rest {
            self.rest = after;
        }
        if let [b' ', after @ ..] = self.rest {
            self.rest = after;
        }
        if let [b' ' | b'\t' | b',', ..] = self.rest {
            let run = run(self.rest, not_separator, is_separator);
            self.rest = self.rest.get(run..).unwrap_or_default();
        }
    }

    #[inline]
    fn entity_tag(&mut self) -> Result<EntityTagRef<'a>, EntityTagError> {
        let (weak, opened) = match self.rest {
            [b'"', opened @ ..] => (false, opened),
            [b'W', b'/', b'"', opened @ ..] => (true, opened),
            rest => return Err(self.error(EntityTagErrorKind::Unquoted, rest)),
        };
        let (opaque, closed) = opened
            .split_at_checked(run(opened, not_etagc, is_etagc))
            .unwrap_or_default();
        match closed {
            [b'"', rest @ ..] => {
                self.rest = rest;
                Ok(EntityTagRef { weak, opaque })
            }
            [] => Err(self.error(EntityTagErrorKind::Unterminated, closed)),
            [..] => Err(self.error(EntityTagErrorKind::IllegalByte, closed)),
        }
    }

    /// What is wrong where `rest` begins.
    #[cold]
    const fn error(&self, kind: EntityTagErrorKind, rest: &[u8]) -> EntityTagError {
        EntityTagError {
            kind,
            at: self.length - rest.len(),
        }
    }
}

/// `etagc = %x21 / %x23-7E / obs-text`: everything visible but the quote.
const fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7E | 0x80..=0xFF)
}

/// How many bytes of one kind `bytes` begins with: those of which `is` is true, and of which `not`
/// leaves the top bit clear. Eight at a time: this is most of what reading a list costs.
#[inline]
fn run(bytes: &[u8], not: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> usize {
    let mut run = 0;
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk() {
        let others = not(u64::from_le_bytes(*word));
        if others != 0 {
            // A bit's place among 64 fits, and the lowest one is the first byte's.
            return run + (others.trailing_zeros() / 8) as usize;
        }
        run += word.len();
        rest = after;
    }
    run + rest.iter().take_while(|byte| is(**byte)).count()
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// The top bit of each byte of `word` that is not `byte`. No sum leaves its byte: its terms are of
/// seven bits.
const fn not_byte(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * byte as u64);
    (((other & !TOPS) + !TOPS) | other) & TOPS
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b',')
}

/// The top bit of each byte of `word` that is no [separator](is_separator).
const fn not_separator(word: u64) -> u64 {
    not_byte(word, b',') & not_byte(word, b' ') & not_byte(word, b'\t')
}

/// The top bit of each byte of `word` that is no [`etagc`](is_etagc).
const fn not_etagc(word: u64) -> u64 {
    let low = word & !TOPS;
    let at_least_21 = low + ONES * (0x80 - 0x21);
    let is_7f = low + ONES;
    // With its own top bit a byte is obs-text.
    (!at_least_21 | is_7f | !not_byte(word, b'"')) & !word & TOPS
}

fn check_opaque(opaque: &[u8]) -> Result<&[u8], EntityTagError> {
    match run(opaque, not_etagc, is_etagc) {
        at if at < opaque.len() => Err(EntityTagError {
            kind: EntityTagErrorKind::IllegalByte,
            at,
        }),
        _ => Ok(opaque),
    }
}

/// Why bytes are not an entity-tag, or not a list of them, and where that shows.
///
/// ```
/// use tower_conditional::{EntityTag, entity_tag::EntityTagErrorKind};
///
/// let error = EntityTag::parse(br#""a b""#).unwrap_err();
/// assert_eq!(error.kind(), EntityTagErrorKind::IllegalByte);
/// assert_eq!(error.to_string(), "illegal byte in an entity-tag (at byte 2)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntityTagError {
    kind: EntityTagErrorKind,
    at: usize,
}

impl EntityTagError {
    pub(crate) const fn new(kind: EntityTagErrorKind, at: usize) -> Self {
        Self { kind, at }
    }

    /// What is wrong.
    #[must_use]
    pub const fn kind(&self) -> EntityTagErrorKind {
        self.kind
    }

    /// Where it shows: a byte offset into the field line.
    #[must_use]
    pub const fn at(&self) -> usize {
        self.at
    }
}

impl fmt::Display for EntityTagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            EntityTagErrorKind::Empty => "the list has no entity-tag",
            EntityTagErrorKind::IllegalByte => "illegal byte in an entity-tag",
            EntityTagErrorKind::TooLong => "the list is too long",
            EntityTagErrorKind::TooMany => "the list has too many entity-tags",
            EntityTagErrorKind::Trailing => "something other than a comma after an entity-tag",
            EntityTagErrorKind::Unquoted => "an entity-tag does not start with a quote",
            EntityTagErrorKind::Unterminated => "an entity-tag has no closing quote",
            EntityTagErrorKind::Wildcard => "`*` does not stand alone",
        };
        write!(f, "{what} (at byte {})", self.at)
    }
}

impl std::error::Error for EntityTagError {}

/// The kinds of [`EntityTagError`]; see there for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntityTagErrorKind {
    /// A list without a member.
    Empty,
    /// A byte that no entity-tag may hold.
    IllegalByte,
    /// More bytes than [`Limits::bytes`](crate::precondition::Limits).
    TooLong,
    /// More members than [`Limits::tags`](crate::precondition::Limits).
    TooMany,
    /// Something other than a comma after an entity-tag.
    Trailing,
    /// No quote where an entity-tag has to begin.
    Unquoted,
    /// No quote where an entity-tag has to end.
    Unterminated,
    /// `*` beside something else.
    Wildcard,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(line: &[u8]) -> Result<Vec<String>, EntityTagErrorKind> {
        EntityTags::new(line)
            .map(|tag| tag.map(|tag| format!("{tag:?}")).map_err(|e| e.kind()))
            .collect()
    }

    #[test]
    fn the_table_of_section_8_8_3_2() {
        let weak = |opaque: &str| EntityTag::weak(opaque).unwrap();
        let strong = |opaque: &str| EntityTag::strong(opaque).unwrap();
        for (one, other, strong_eq, weak_eq) in [
            (weak("1"), weak("1"), false, true),
            (weak("1"), weak("2"), false, false),
            (weak("1"), strong("1"), false, true),
            (strong("1"), strong("1"), true, true),
        ] {
            assert_eq!(one.strong_eq(&other), strong_eq, "{one} strong {other}");
            assert_eq!(other.strong_eq(&one), strong_eq, "{other} strong {one}");
            assert_eq!(one.weak_eq(&other), weak_eq, "{one} weak {other}");
            assert_eq!(other.weak_eq(&one), weak_eq, "{other} weak {one}");
        }
    }

    #[test]
    fn lists_are_read_byte_by_byte() {
        use EntityTagErrorKind as Kind;
        let rows: &[(&[u8], Result<&[&str], Kind>)] = &[
            (b"", Ok(&[])),
            (b" , ,\t,", Ok(&[])),
            (br#""""#, Ok(&[r#""""#])),
            (br#""a,b","c""#, Ok(&[r#""a,b""#, r#""c""#])),
            (b"\"4\"\t,\tW/\"5\" ,", Ok(&[r#""4""#, r#"W/"5""#])),
            (b"\"\xFF\", \"5\"", Ok(&[r#""\xff""#, r#""5""#])),
            (br#""*""#, Ok(&[r#""*""#])),
            (b"5", Err(Kind::Unquoted)),
            (b"*", Err(Kind::Unquoted)),
            (br#"w/"5""#, Err(Kind::Unquoted)),
            (br#"W /"5""#, Err(Kind::Unquoted)),
            (b"W/", Err(Kind::Unquoted)),
            (br#"""#, Err(Kind::Unterminated)),
            (br#""""""#, Err(Kind::Trailing)),
            (br#""4" "5""#, Err(Kind::Trailing)),
            (b"\"a b\"", Err(Kind::IllegalByte)),
            (b"\"a\x7F\"", Err(Kind::IllegalByte)),
            (b"\"5\"\x0B", Err(Kind::Trailing)),
        ];
        for (line, expected) in rows {
            let expected = expected.map(|tags| tags.iter().map(ToString::to_string).collect());
            assert_eq!(list(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn eight_bytes_at_a_time_are_told_as_one_by_one() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                // Neighbours from which a sum could run over.
                for other in [b'!', b'~', 0x80, 0xFF] {
                    let mut bytes = [other; 20];
                    bytes[place] = byte;
                    let expected = if is_etagc(byte) { 20 } else { place };
                    let found = run(&bytes, not_etagc, is_etagc);
                    assert_eq!(found, expected, "{byte:#x} at {place}");
                }
                for other in [b' ', b'\t', b','] {
                    let mut bytes = [other; 20];
                    bytes[place] = byte;
                    let expected = if is_separator(byte) { 20 } else { place };
                    let found = run(&bytes, not_separator, is_separator);
                    assert_eq!(found, expected, "{byte:#x} at {place}");
                }
            }
        }
    }

    #[test]
    fn a_tag_reads_back_as_it_was_written() {
        for tag in [
            EntityTag::strong("").unwrap(),
            EntityTag::weak("5").unwrap(),
            EntityTag::strong("x".repeat(300)).unwrap(),
            EntityTag::strong([0xC3, 0xA9]).unwrap(),
        ] {
            assert_eq!(EntityTag::parse(tag.as_bytes()).unwrap(), tag);
            assert_eq!(tag.to_header_value().as_bytes(), tag.as_bytes());
            assert_eq!(tag.borrow().to_owned(), tag);
        }
        assert!(EntityTag::strong("a\"b").is_err());
        assert!(EntityTag::parse(br#""a" "#).is_err());
    }
}
