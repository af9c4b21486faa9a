//! What a protocol is: one choice for each question that a guard of lost updates has to answer.

/// A protocol. The constants are the ones that the library has; the table varies them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Protocol {
    pub(super) guard: Guard,
    pub(super) reads: Reads,
    pub(super) answer: Answer,
    pub(super) leaving: Leaving,
    pub(super) lease: Lease,
    pub(super) fence: Fence,
}

impl Protocol {
    /// The handler mode: the handler compares in the statement that writes.
    pub(super) const HANDLER: Self = Self {
        guard: Guard::CompareAndSet,
        reads: Reads::VersionWithData,
        answer: Answer::OwnVersion,
        leaving: Leaving::Never,
        lease: Lease::OutlastsHandlers,
        fence: Fence::None,
    };

    /// The claim mode, with handlers that nobody stops half way.
    pub(super) const CLAIM: Self = Self {
        guard: Guard::Claim(Bump::WhenSettled),
        reads: Reads::SameVersionBeforeAndAfter,
        ..Self::HANDLER
    };
}

/// What the comparison of `If-Match` is one step with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Nothing: compare, store the data, raise the version.
    CheckThenAct,
    /// Everything: one step compares, stores the data and raises the version.
    CompareAndSet,
    /// Taking an exclusive claim. Then the data are stored, then the claim is settled.
    Claim(Bump),
}

/// When a claim raises the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bump {
    WhenClaimed,
    WhenSettled,
}

/// Which version a read is labelled with. Each look at the version or the data is a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// One that was read before the data, and again after them: the same, and no claim open at
    /// either moment. Else the read has no label, and is of no use for a write.
    SameVersionBeforeAndAfter,
    VersionAfterData,
    VersionBeforeData,
    /// Both in one step.
    VersionWithData,
}

/// Which version the answer to a write is labelled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Whichever is current by then.
    CurrentVersion,
    /// The one that this write has made.
    OwnVersion,
}

/// What happens when a client leaves in the middle of its write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Nobody leaves; or whoever leaves stops nothing, which is the same.
    Never,
    /// The handler is dropped half way. What it has sent to its database may still arrive, at any
    /// time or never.
    EffectsAnyTime,
    /// The handler and its claim are dropped half way.
    Abandons(Abandoned, Effects),
}

/// What becomes of a claim whose holder is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abandoned {
    /// It stays until its lease ends; the version is raised then.
    KeptForItsLease,
    /// It ends at once, and the version is raised.
    ReleasedAndBumped,
    /// It ends at once, and the version stays.
    ReleasedUnchanged,
}

/// Until when the data may yet change that a dropped handler has sent to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effects {
    /// They may change whenever it pleases the network.
    Late,
    /// Not after the lease of its claim.
    WithinLease,
    /// Not after it was dropped.
    WhileHandled,
}

/// Can the lease of a claim end while its handler runs?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    /// Yes: the version is raised, others may claim, and the handler goes on.
    EndsUnderHandlers,
    /// No: only abandoned claims end by their lease.
    OutlastsHandlers,
}

/// Which late writers the data themselves turn away, by the token of their claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fence {
    None,
    /// Those older than the newest that was ever claimed.
    OlderThanClaimed,
    /// Those older than the newest that has written.
    OlderThanWritten,
    /// Those whose lease has ended: the data learn of it in the step that ends the lease.
    WithTheLease,
}
