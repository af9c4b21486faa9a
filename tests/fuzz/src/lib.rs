//! The properties of `tests/properties`, for the fuzz targets: each is the property of its name.

#[path = "../../properties/mod.rs"]
mod properties;

/// Panics if the property `name` does not hold for `input`.
pub fn check(name: &str, input: &[u8]) {
    let property = properties::named(name);
    let kind = (property.holds)(input);
    assert!(property.kinds.contains(&kind), "{kind} is not in the list");
}
