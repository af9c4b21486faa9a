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

/// What every script answers, as text: the verdict, the era of the server, the seconds and
/// microseconds of its clock, and the words of the row. One text is what the server is quickest to
/// send, and the driver to read.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) verdict: Verdict,
    pub(super) era: &'a str,
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

impl<'a> Reply<'a> {
    /// # Errors
    ///
    /// If it is not what our scripts answer: somebody else wrote the row.
    pub(super) fn read(text: &'a str) -> Result<Self, BadRow> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or(BadRow(None));
        let verdict = match word()? {
            "busy" => Verdict::Busy,
            "current" => Verdict::Current,
            "done" => Verdict::Done,
            "failed" => Verdict::Failed,
            "fenced" => Verdict::Fenced,
            "granted" => Verdict::Granted,
            _ => return Err(BadRow(None)),
        };
        let era = word()?;
        let seconds = Duration::from_secs(number(word()?)?);
        let now = seconds.saturating_add(Duration::from_micros(number(word()?)?));
        // The era of the row is the business of the scripts.
        let (_, state, version) = (word()?, word()?, word()?);
        let modified = Duration::from_micros(number(word()?)?);
        let token = number(word()?)?;
        let expires = Duration::from_micros(number(word()?)?);
        let version = Version::new(version).map_err(|error| BadRow(Some(error)))?;
        let current = Current {
            last_modified: Some(modified)
                .filter(|modified| !modified.is_zero())
                .and_then(|modified| UNIX_EPOCH.checked_add(modified)),
            ..Current::new(version)
        };
        Ok(Self {
            verdict,
            era,
            state: match state {
                "absent" => State::Absent,
                "present" => State::Present(current),
                "unseen" => State::Unseen(current),
                _ => return Err(BadRow(None)),
            },
            token,
            remaining: expires.saturating_sub(now),
            holder: match word()? {
                "delete" => Intent::Delete,
                _ => Intent::Write,
            },
        })
    }
}

fn number(word: &str) -> Result<u64, BadRow> {
    word.parse().map_err(|_| BadRow(None))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_understood_and_what_is_none_is_refused() {
        let row = "a1 present 5f0c 7000000 42 1000000500 delete 1";
        let text = format!("busy b2 1000 250 {row}");
        let reply = Reply::read(&text).unwrap();
        assert_eq!((reply.verdict, reply.era), (Verdict::Busy, "b2"));
        assert_eq!((reply.token, reply.holder), (42, Intent::Delete));
        assert_eq!(reply.remaining, Duration::from_micros(250));
        let current = Current::new(Version::new("5f0c").unwrap());
        let modified = UNIX_EPOCH + Duration::from_secs(7);
        assert_eq!(reply.state, State::Present(current.modified(modified)));

        for bad in [
            "",
            "busy b2 1000 250 a1 present 5f0c 7000000 42 1000000500",
            "lost b2 1000 250 a1 present 5f0c 7000000 42 1000000500 delete 1",
            "busy b2 now 250 a1 present 5f0c 7000000 42 1000000500 delete 1",
            "busy b2 1000 250 a1 here 5f0c 7000000 42 1000000500 delete 1",
            "busy b2 1000 250 a1 present \"5\" 7000000 42 1000000500 delete 1",
            "busy b2 1000 250 a1 present 5f0c 7000000 -42 1000000500 delete 1",
        ] {
            assert!(Reply::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_clock_of_a_server_makes_a_reply_panic() {
        let most = u64::MAX;
        for text in [
            format!("current b2 {most} {most} a1 present 5f0c {most} {most} {most} write {most}"),
            "current b2 0 0 a1 unseen 5f0c 0 0 0 write 0".to_owned(),
        ] {
            let _ = Reply::read(&text);
        }
    }
}
