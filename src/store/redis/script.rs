//! The three scripts, and the answer that they share.

use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use redis::{Cmd, Script as Sha};

use crate::entity_tag::EntityTagError;
use crate::store::{Current, Intent, State, Version};

/// One Lua script: its text, and the digest by which a server knows it once it was loaded.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    digest: String,
}

pub(super) static CLAIM: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("row.lua"), include_str!("claim.lua"))));
pub(super) static CURRENT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        include_str!("row.lua"),
        include_str!("current.lua")
    ))
});
pub(super) static SETTLE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("row.lua"), include_str!("settle.lua"))));

impl Script {
    pub(crate) fn new(text: &'static str) -> Self {
        Self {
            text,
            digest: Sha::new(text).get_hash().to_owned(),
        }
    }

    /// Runs the script if the server has it.
    pub(super) fn by_digest(&self) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.digest);
        command
    }

    /// Runs the script, and leaves it with the server.
    pub(super) fn by_text(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.text);
        command
    }
}

/// What every script answers: verdict, era, state, version, modified (microseconds since 1970, 0 if
/// unknown), token, what is left of the lease (milliseconds), intent of the holder.
pub(super) type Answered = (String, String, String, String, u64, u64, u64, String);

/// An [`Answered`] that makes sense.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) verdict: Verdict,
    pub(super) state: State,
    pub(super) token: u64,
    pub(super) remaining: Duration,
    pub(super) holder: Intent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Busy,
    Current,
    Done,
    Failed,
    Fenced,
    Granted,
}

impl Reply {
    /// # Errors
    ///
    /// If it is not what our scripts answer: somebody else wrote the row.
    pub(super) fn read(answered: &Answered) -> Result<Self, BadRow> {
        let (verdict, _, state, version, modified, token, remaining, intent) = answered;
        let verdict = match verdict.as_str() {
            "busy" => Verdict::Busy,
            "current" => Verdict::Current,
            "done" => Verdict::Done,
            "failed" => Verdict::Failed,
            "fenced" => Verdict::Fenced,
            "granted" => Verdict::Granted,
            _ => return Err(BadRow(None)),
        };
        let version = Version::new(version).map_err(|error| BadRow(Some(error)))?;
        let current = Current {
            last_modified: Some(Duration::from_micros(*modified))
                .filter(|modified| !modified.is_zero())
                .and_then(|modified| UNIX_EPOCH.checked_add(modified)),
            ..Current::new(version)
        };
        Ok(Self {
            verdict,
            state: match state.as_str() {
                "absent" => State::Absent,
                "present" => State::Present(current),
                "unseen" => State::Unseen(current),
                _ => return Err(BadRow(None)),
            },
            token: *token,
            remaining: Duration::from_millis(*remaining),
            holder: match intent.as_str() {
                "delete" => Intent::Delete,
                _ => Intent::Write,
            },
        })
    }
}

/// A row that this store did not write.
#[derive(Debug)]
pub(super) struct BadRow(Option<EntityTagError>);

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the row in Redis was not written by this store")
    }
}

impl std::error::Error for BadRow {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}
