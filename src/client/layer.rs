//! What is configured once for a client: every option and every default, in one place.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderName, Method};
use tower_layer::Layer;

use super::service::Client;
use crate::runtime::Runtime;

/// A layer around an HTTP client that remembers what it has read.
///
/// See the [module docs](crate::client) for an example.
#[derive(Debug, Clone)]
#[must_use]
pub struct ClientLayer {
    settings: Arc<Settings>,
}

impl ClientLayer {
    /// Waits, and gives up on answers, by the clock of the Tokio runtime.
    #[cfg(feature = "tokio")]
    pub fn new() -> Self {
        Self::with_runtime(Runtime::tokio())
    }

    /// The same, by the timer of another runtime. Nothing is spawned. Without a timer, tries follow
    /// each other at once, and answers are waited for without end.
    pub fn with_runtime(runtime: Runtime) -> Self {
        Self {
            settings: Arc::new(Settings {
                runtime,
                copies: 256,
                copied_bytes: 16 * 1024 * 1024,
                validators: 1_024,
                principal: vec![AUTHORIZATION, COOKIE],
                conditional: vec![Method::PUT, Method::PATCH, Method::DELETE],
                keys_honoured: false,
                fresh_reads: false,
                content_limit: 1024 * 1024,
                requests: 24,
                answer_within: Duration::from_secs(30),
                first_wait: Duration::from_millis(20),
                longest_wait: Duration::from_secs(4),
                longest_retry_after: Duration::from_secs(30),
            }),
        }
    }

    /// How many copies are kept, and how many bytes they may take together, header fields included.
    /// The one that was not used for the longest time goes first; an answer longer than all of the
    /// bytes passes through without a copy.
    ///
    /// Defaults to 256 copies in 16 MiB. With 0, none is kept and no `If-None-Match` is sent.
    pub fn copies(self, copies: usize, bytes: usize) -> Self {
        self.with(|settings| (settings.copies, settings.copied_bytes) = (copies, bytes))
    }

    /// Of how many resources each clone of the client remembers the tag that it has read last. A
    /// write of a resource that was forgotten carries no `If-Match`.
    ///
    /// Defaults to 1,024. With 0, no `If-Match` is added to any request.
    pub fn validators(self, resources: usize) -> Self {
        self.with(|settings| settings.validators = resources)
    }

    /// The header fields of a request that say who asks. What was read with one set of them is
    /// neither reused nor taken for read with another.
    ///
    /// Defaults to `Authorization` and `Cookie`. An API that has a field of its own for it, such as
    /// `X-Api-Key`, needs it here. Layers that add such fields belong outside of this one, or it
    /// does not see them.
    pub fn principal_fields(self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        let names = names.into_iter().collect();
        self.with(|settings| settings.principal = names)
    }

    /// The methods whose requests get an `If-Match`, if their resource was read.
    ///
    /// Defaults to `PUT`, `PATCH` and `DELETE`. A `POST` mostly creates something below what was
    /// read, and would fail only because somebody else has created something else.
    pub fn conditional_methods(self, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods = methods.into_iter().collect();
        self.with(|settings| settings.conditional = methods)
    }

    /// The server answers a retry with the first answer, by its `Idempotency-Key`, and never loses
    /// a key whose write has happened: it completes the key in the transaction of the write, as a
    /// [`Ticket`](crate::idempotency::Ticket) does.
    ///
    /// Defaults to no: then a write that is refused after an earlier try got no answer is
    /// [in doubt](super::ErrorKind::InDoubt), unless what is there already says what it should, and
    /// a `POST` without an answer is not sent again. With this, a conflict proves that no try has
    /// happened. Another refusal, 403 for instance, never does: it may come from a layer in front of
    /// the one that knows the key.
    pub fn keys_honoured(self) -> Self {
        self.with(|settings| settings.keys_honoured = true)
    }

    /// After a conflict, always reads the resource again.
    ///
    /// Defaults to starting from the `currentResource` in the refusal, where there is one: a round
    /// trip less. For servers that show less of a resource in a refusal than in an answer to `GET`;
    /// a `PUT` based on that would remove the rest.
    pub fn fresh_reads(self) -> Self {
        self.with(|settings| settings.fresh_reads = true)
    }

    /// How long the content of an answer may be that [`update`](Client::update) and its like read,
    /// in bytes.
    ///
    /// Defaults to 1 MiB.
    pub fn content_limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.content_limit = bytes)
    }

    /// How many requests one [`update`](Client::update) may take, reads and repetitions included.
    /// Fewer than 2 count as 2: one to read, one to write.
    ///
    /// Defaults to 24.
    pub fn requests(self, most: u32) -> Self {
        self.with(|settings| settings.requests = most.max(2))
    }

    /// How long [`update`](Client::update) waits for one answer, content included. A write without
    /// one may have happened.
    ///
    /// Defaults to 30 seconds.
    pub fn answer_within(self, limit: Duration) -> Self {
        self.with(|settings| settings.answer_within = limit)
    }

    /// The waits between two tries: about the first, and the longest. They double from try to try,
    /// and are up to twice as long again, at random, so that two clients that met once do not meet
    /// each time.
    ///
    /// Defaults to 20 milliseconds and 4 seconds: with 24 requests, an update ends within about a
    /// minute, apart from the time that answers take.
    pub fn waits(self, first: Duration, longest: Duration) -> Self {
        self.with(|settings| (settings.first_wait, settings.longest_wait) = (first, longest))
    }

    /// The longest `Retry-After` that is waited for. A server that asks for more ends the update,
    /// because asking it earlier would be no help.
    ///
    /// Defaults to 30 seconds.
    pub fn longest_retry_after(self, longest: Duration) -> Self {
        self.with(|settings| settings.longest_retry_after = longest)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

#[cfg(feature = "tokio")]
impl Default for ClientLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    /// Copies are shared by the clones of one client, not by the clients of one layer.
    fn layer(&self, inner: S) -> Client<S> {
        Client::new(inner, Arc::clone(&self.settings))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) runtime: Runtime,
    pub(super) copies: usize,
    pub(super) copied_bytes: usize,
    pub(super) validators: usize,
    pub(super) principal: Vec<HeaderName>,
    pub(super) conditional: Vec<Method>,
    pub(super) keys_honoured: bool,
    pub(super) fresh_reads: bool,
    pub(super) content_limit: usize,
    pub(super) requests: u32,
    pub(super) answer_within: Duration,
    pub(super) first_wait: Duration,
    pub(super) longest_wait: Duration,
    pub(super) longest_retry_after: Duration,
}
