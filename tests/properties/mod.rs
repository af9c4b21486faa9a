//! What must hold for any bytes that come from outside. A property takes bytes, and panics where it
//! is broken; `cargo test` tries it on seeds and on what chance makes of them (`tests/it`), a fuzzer
//! on whatever reaches new code (`tests/fuzz`).
//!
//! Each says what kind of input it was given, so that a test can see that the seeds are of every
//! kind: a property that only ever sees garbage holds for anything.

pub(crate) mod calendar;
mod content;
mod dates;
mod decision;
mod entity_tags;
mod header_lists;
mod idempotency_keys;
pub(crate) mod json;
pub(crate) mod json_merge;
pub(crate) mod naive;
pub(crate) mod paths;
mod problems;
pub(crate) mod real;
mod resource_keys;
mod stored_rows;

/// A property, and what kinds of input there are.
#[derive(Clone, Copy)]
pub(crate) struct Property {
    /// Also that of the folder with its seeds, and of the fuzz target.
    pub(crate) name: &'static str,
    /// Every answer that [`holds`](Self::holds) can give.
    pub(crate) kinds: &'static [&'static str],
    /// Panics if the property does not hold for this input.
    pub(crate) holds: fn(&[u8]) -> &'static str,
}

pub(crate) const ALL: [Property; 10] = [
    content::PROPERTY,
    dates::PROPERTY,
    decision::PROPERTY,
    entity_tags::PROPERTY,
    header_lists::PROPERTY,
    idempotency_keys::PROPERTY,
    json_merge::PROPERTY,
    problems::PROPERTY,
    resource_keys::PROPERTY,
    stored_rows::PROPERTY,
];

/// The property with this name.
pub(crate) fn named(name: &str) -> Property {
    let found = ALL.into_iter().find(|property| property.name == name);
    found.unwrap_or_else(|| panic!("there is no property {name}"))
}

/// The first byte, as a choice, and the lines of the rest: no field value holds the end of a line.
fn choice_and_lines(input: &[u8]) -> (u8, impl Iterator<Item = &[u8]>) {
    let (choice, rest) = input.split_first().unwrap_or((&0, &[]));
    (*choice, rest.split(|byte| *byte == b'\n'))
}
