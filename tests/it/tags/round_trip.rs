//! Every style reads what it wrote, as what it was, and nothing that it did not write.

use proptest::prelude::*;
use tower_conditional::ResourceKey;
use tower_conditional::store::Version;
use tower_conditional::tags::{Opaque, Plain, Prefixed, TagStyle};

fn styles() -> Vec<Box<dyn TagStyle>> {
    vec![
        Box::new(Plain),
        Box::new(Prefixed::new("b2-").expect("a prefix")),
        Box::new(Prefixed::new("~").expect("a prefix")),
        Box::new(Opaque::new("a secret of sixteen bytes").expect("long enough")),
    ]
}

fn versions() -> impl Strategy<Value = Version> {
    prop_oneof![
        any::<i64>().prop_map(Version::from),
        any::<u64>().prop_map(Version::from),
        (0..40_i64).prop_map(Version::from),
        "[5~a-]{0,4}".prop_map(|text| Version::new(text).expect("etagc")),
        proptest::collection::vec(0x80..=0xFF_u8, 0..80)
            .prop_map(|bytes| Version::new(bytes).expect("obs-text")),
    ]
}

fn variants() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[5a-]{1,3}", "[a-zA-Z0-9._+-]{1,40}"]
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(version in versions(), variant in variants()) {
        let key = ResourceKey::new("/records/1");
        for style in styles() {
            let tag = style.encode(&key, &version, &variant);
            prop_assert!(!tag.is_weak());
            let read = style.decode(&key, tag.opaque());
            prop_assert_eq!(read, Some((version.clone(), variant.clone())));
        }
    }

    #[test]
    fn different_states_and_variants_have_different_tags(
        one in (versions(), variants()),
        other in (versions(), variants()),
    ) {
        prop_assume!(one != other);
        let key = ResourceKey::new("/records/1");
        for style in styles() {
            let tag = style.encode(&key, &one.0, &one.1);
            prop_assert_ne!(tag, style.encode(&key, &other.0, &other.1));
        }
    }

    #[test]
    fn what_is_read_is_what_would_be_written(opaque in proptest::collection::vec(0x23..=0xFF_u8, 0..90)) {
        let opaque: Vec<_> = opaque.into_iter().filter(|byte| *byte != 0x7F).collect();
        let key = ResourceKey::new("/records/1");
        for style in styles() {
            if let Some((version, variant)) = style.decode(&key, &opaque) {
                let tag = style.encode(&key, &version, &variant);
                prop_assert_eq!(tag.opaque(), &*opaque);
            }
        }
    }
}
