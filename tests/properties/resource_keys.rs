//! Two targets have one key exactly if a handler sees the same segments in them.

use http::Uri;

use super::Property;
use super::paths::{key, segments};

pub(super) const PROPERTY: Property = Property {
    name: "resource_keys",
    kinds: &["no two paths", "the same", "different"],
    holds,
};

/// Two paths, a line each.
fn holds(input: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let (one, other) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let (Some(left), Some(right)) = (key(one), key(other)) else {
        return "no two paths";
    };
    for path in [&left, &right] {
        // Decoded, it may hold what ends a path, or what no target holds.
        let again = key(path.as_str()).filter(|_| !path.as_str().contains(['?', '#']));
        assert!(
            again.is_none_or(|again| again == *path),
            "{path} is not its own key"
        );
    }
    assert_eq!(left.scoped("a") == right.scoped("a"), left == right);
    assert_ne!(left.scoped("a"), left);
    let same = segments(&path_of(one)) == segments(&path_of(other));
    assert_eq!(left == right, same, "{left} and {right}");
    if same { "the same" } else { "different" }
}

/// What a key is made of: neither a host nor the query.
fn path_of(target: &str) -> String {
    let uri = Uri::try_from(target).expect("it has a key");
    uri.path().to_owned()
}
