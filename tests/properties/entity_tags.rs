//! An entity-tag of any bytes is what a naive parser reads; whatever is read is written as it was,
//! also through a version and through every style of tags.

use std::sync::LazyLock;

use tower_conditional::entity_tag::EntityTagRef;
use tower_conditional::store::Version;
use tower_conditional::tags::{MAIN, Opaque, Plain, Prefixed, TagStyle};
use tower_conditional::{EntityTag, ResourceKey};

use super::{Property, naive};

pub(super) const PROPERTY: Property = Property {
    name: "entity_tags",
    kinds: &["malformed", "a number", "strong", "weak"],
    holds,
};

static STYLES: LazyLock<[Box<dyn TagStyle>; 3]> = LazyLock::new(|| {
    [
        Box::new(Plain),
        Box::new(Prefixed::new("b1-").expect("it is no more than letters")),
        Box::new(Opaque::new("correct horse battery staple").expect("it is long enough")),
    ]
});

fn holds(input: &[u8]) -> &'static str {
    for style in STYLES.iter() {
        is_read_only_if_it_was_written(&**style, input);
    }
    let read = EntityTag::parse(input);
    let expected = naive::entity_tag(input);
    let Some(expected) = expected else {
        let error = read.expect_err("the naive parser reads no tag");
        assert!(error.at() <= input.len());
        assert_eq!(Version::new(input).is_ok(), is_opaque(input));
        return "malformed";
    };
    let tag = read.expect("the naive parser reads a tag");
    assert_eq!(tag.is_weak(), expected.weak);
    assert_eq!(tag.opaque(), expected.opaque);
    assert_eq!(tag.as_bytes(), input);
    assert_eq!(tag.to_header_value().as_bytes(), input);
    assert_eq!(EntityTagRef::parse(input), Ok(tag.borrow()));
    assert_eq!(tag.borrow().to_owned(), tag);
    assert!(tag.weak_eq(&tag));
    assert_eq!(tag.strong_eq(&tag), !tag.is_weak());

    let plain = tag.borrow().without_proxy_marks();
    assert!(!plain.is_weak());
    assert!(tag.opaque().starts_with(plain.opaque()));

    let version = Version::new(tag.opaque()).expect("it stood in a tag");
    for style in STYLES.iter() {
        comes_back(&**style, &version);
    }
    if let Some(number) = version.to_u64() {
        assert_eq!(Version::from(number), version);
        assert_eq!(number.to_string().as_bytes(), version.as_bytes());
        return "a number";
    }
    if tag.is_weak() { "weak" } else { "strong" }
}

/// `etagc` of RFC 9110, section 8.8.3, and nothing else.
fn is_opaque(input: &[u8]) -> bool {
    naive::entity_tag(&[b"\"", input, b"\""].concat()).is_some()
}

/// No two spellings name one version: what a style reads is what it writes.
fn is_read_only_if_it_was_written(style: &dyn TagStyle, opaque: &[u8]) {
    if !is_opaque(opaque) {
        return;
    }
    let key = ResourceKey::new("/1");
    if let Some((version, variant)) = style.decode(&key, opaque) {
        assert_eq!(style.encode(&key, &version, &variant).opaque(), opaque);
    }
}

fn comes_back(style: &dyn TagStyle, version: &Version) {
    let key = ResourceKey::new("/1");
    for variant in [MAIN, "version"] {
        let tag = style.encode(&key, version, variant);
        assert!(!tag.is_weak());
        assert_eq!(EntityTag::parse(tag.as_bytes()).as_ref(), Ok(&tag));
        let read = style.decode(&key, tag.opaque());
        assert_eq!(read, Some((version.clone(), variant.to_owned())));
    }
}
