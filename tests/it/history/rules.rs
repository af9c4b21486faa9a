//! The five rules that everything rests on, each to be broken on purpose.

/// A rule that a server of the harness can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The comparison is one step with the change, or inside of an exclusive claim. Broken: the
    /// condition is tested, nothing is claimed, the version changes afterwards.
    R1,
    /// A write is stamped with the version that it made. Broken: with the one that is current once
    /// the handler is done.
    R2,
    /// The version of a read is never read after the data. Broken: it is.
    R3,
    /// In doubt, the version changes. Broken: it stays.
    R4,
    /// No version comes twice. Broken: a resource that is created again begins anew.
    R5,
}
