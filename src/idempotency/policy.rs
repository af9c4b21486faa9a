//! What a route does with keys: every option and every default, in one place.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LOCATION, CONTENT_TYPE, ETAG, IF_MATCH,
    LAST_MODIFIED, LOCATION, SET_COOKIE,
};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode};

use super::duplicate::OnDuplicate;
use super::fingerprint::Fingerprint;
use super::source::KeySource;
use crate::policy::{PerMethod, STORE_TIMEOUT};
use crate::problem::{Problem, Reason};
use crate::render::Renderer;

/// What a request does without a key, per method.
///
/// See [`IdempotencyPolicy::key_use`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyUse {
    /// Keys are not looked at.
    Ignored,
    /// It passes through.
    Optional,
    /// It is refused: 400 `idempotency-key-required`.
    Required,
}

/// What a request does while an earlier one with its key is under way.
///
/// See [`IdempotencyPolicy::in_flight`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InFlight {
    /// It is refused at once: 409 `request-in-progress`.
    Refuse,
    /// It waits for the answer, at most this long, and is refused then. Asks the store again ever
    /// more slowly, from 10 to 160 milliseconds apart.
    Wait(Duration),
}

/// What a request does after an earlier one with its key that nobody knows the outcome of.
///
/// See [`IdempotencyPolicy::in_doubt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InDoubt {
    /// It is refused: 409 `outcome-unknown`.
    Refuse,
    /// It is run again.
    Rerun,
}

/// What becomes of a key when its request has been answered.
///
/// See [`IdempotencyPolicy::keep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Nobody knows what the request did.
    InDoubt,
    /// Nothing was done: the key is free again.
    Release,
    /// The answer is kept.
    Store,
}

type KeepOf = Arc<dyn Fn(&Response<()>) -> Keep + Send + Sync>;
type FingerprintOf = Arc<dyn Fn(&Parts, &[u8]) -> Fingerprint + Send + Sync>;
type DoubtOf = Arc<dyn Fn(&Parts) -> InDoubt + Send + Sync>;

/// What a route does with idempotency keys.
///
/// ```
/// use std::time::Duration;
/// use http::{Method, header};
/// use tower_conditional::idempotency::{IdempotencyPolicy, InFlight, KeyUse};
///
/// let policy = IdempotencyPolicy::new()
///     .key_use_for(Method::POST, KeyUse::Required)
///     .in_flight(InFlight::Wait(Duration::from_secs(5)))
///     .keep_header(header::CACHE_CONTROL);
/// # let _ = policy;
/// ```
#[derive(Clone)]
#[must_use]
pub struct IdempotencyPolicy {
    key_use: PerMethod<KeyUse>,
    pub(crate) source: KeySource,
    pub(super) on_duplicate: OnDuplicate,
    compare_requests: Option<bool>,
    fingerprint: Option<FingerprintOf>,
    pub(super) in_flight: InFlight,
    in_doubt: Option<DoubtOf>,
    keep: Option<KeepOf>,
    pub(super) kept_headers: Vec<HeaderName>,
    pub(crate) request_limit: usize,
    pub(crate) answer_limit: usize,
    pub(crate) ttl: Duration,
    pub(crate) lease: Duration,
    pub(super) store_timeout: Duration,
    pub(crate) replayed: HeaderName,
    pub(crate) renderer: Renderer,
}

impl IdempotencyPolicy {
    /// Honours the header field `Idempotency-Key` on unsafe methods, asks nobody for it, and
    /// replays first answers for 24 hours.
    pub fn new() -> Self {
        Self {
            key_use: PerMethod::new(KeyUse::Optional),
            source: KeySource::default(),
            on_duplicate: OnDuplicate::Replay,
            compare_requests: None,
            fingerprint: None,
            in_flight: InFlight::Refuse,
            in_doubt: None,
            keep: None,
            kept_headers: vec![
                CONTENT_ENCODING,
                CONTENT_LANGUAGE,
                CONTENT_LOCATION,
                CONTENT_TYPE,
                ETAG,
                LAST_MODIFIED,
                LOCATION,
            ],
            request_limit: 1024 * 1024,
            answer_limit: 256 * 1024,
            ttl: Duration::from_secs(24 * 60 * 60),
            lease: Duration::from_secs(60),
            store_timeout: STORE_TIMEOUT,
            replayed: HeaderName::from_static("idempotency-replayed"),
            renderer: Renderer::default(),
        }
    }

    /// What a request does without a key.
    ///
    /// Defaults to [`KeyUse::Optional`]: clients that do not retry need none. Safe methods never
    /// need one.
    pub fn key_use(mut self, key_use: KeyUse) -> Self {
        self.key_use = PerMethod::new(key_use);
        self
    }

    /// What a request by this method does without a key.
    ///
    /// Defaults to what [`key_use`](Self::key_use) says, which has to be called first.
    pub fn key_use_for(mut self, method: Method, key_use: KeyUse) -> Self {
        self.key_use = self.key_use.except(method, key_use);
        self
    }

    /// Where keys come from.
    ///
    /// Defaults to the header field `Idempotency-Key`. To look into the body, the layer reads it
    /// whether or not it has a key.
    pub fn source(mut self, source: KeySource) -> Self {
        self.source = source;
        self
    }

    /// What a request gets that was made before.
    ///
    /// Defaults to [`OnDuplicate::Replay`].
    pub fn on_duplicate(mut self, on_duplicate: OnDuplicate) -> Self {
        self.on_duplicate = on_duplicate;
        self
    }

    /// Is a key that comes back with [another request](super::Fingerprint::of_request) an error,
    /// 422 `idempotency-key-reused`?
    ///
    /// Defaults to yes where the first answer is replayed, which would be an answer to something
    /// else; and to no for [`KeySource::content`], and where a duplicate is rejected or answered
    /// anew.
    pub fn compare_requests(mut self, compare: bool) -> Self {
        self.compare_requests = Some(compare);
        self
    }

    /// What makes a request [the same](Self::compare_requests) as another one, out of its head and
    /// its content.
    ///
    /// Defaults to [`Fingerprint::of_request`]: method, path and query, media type, coding and
    /// content. Say less where the contract of an API says less:
    ///
    /// ```
    /// use tower_conditional::idempotency::{Fingerprint, IdempotencyPolicy};
    ///
    /// let policy = IdempotencyPolicy::new().fingerprint(|parts, content| {
    ///     let method = parts.method.as_str().as_bytes();
    ///     Fingerprint::of_parts([method, parts.uri.path().as_bytes(), content])
    /// });
    /// # let _ = policy;
    /// ```
    pub fn fingerprint(
        mut self,
        fingerprint: impl Fn(&Parts, &[u8]) -> Fingerprint + Send + Sync + 'static,
    ) -> Self {
        self.fingerprint = Some(Arc::new(fingerprint));
        self
    }

    /// What a request does while an earlier one with its key is under way.
    ///
    /// Defaults to [`InFlight::Refuse`], as the draft has it.
    pub fn in_flight(mut self, in_flight: InFlight) -> Self {
        self.in_flight = in_flight;
        self
    }

    /// What a request does after an earlier one with its key that ended in a crash, a panic or a
    /// 5xx.
    ///
    /// Defaults to [`InDoubt::Rerun`] where a second run cannot apply twice, `PUT`, `DELETE` and
    /// whatever carries `If-Match`, and to [`InDoubt::Refuse`] otherwise. Say rerun where the
    /// handler [completes its ticket](super::Ticket) in its own transaction.
    pub fn in_doubt(
        mut self,
        in_doubt: impl Fn(&Parts) -> InDoubt + Send + Sync + 'static,
    ) -> Self {
        self.in_doubt = Some(Arc::new(in_doubt));
        self
    }

    /// What becomes of a key, by the answer; it comes without its body.
    ///
    /// Defaults to [`Keep::Store`] for 2xx and 3xx; to [`Keep::Release`] for 4xx and 503, so that a
    /// client may correct itself and try again; and to [`Keep::InDoubt`] for other 5xx and for 408,
    /// which a timeout answers that has stopped the handler half way. An answer that a layer of
    /// this crate gave in the handler's place is told apart by its [`Reason`].
    pub fn keep(mut self, keep: impl Fn(&Response<()>) -> Keep + Send + Sync + 'static) -> Self {
        self.keep = Some(Arc::new(keep));
        self
    }

    /// A further field of the answer that is kept, and replayed.
    ///
    /// Defaults to `Content-Encoding`, `Content-Language`, `Content-Location`, `Content-Type`,
    /// `ETag`, `Last-Modified` and `Location`: what describes the representation.
    ///
    /// # Panics
    ///
    /// If it is `Set-Cookie`: a session must not be handed out twice.
    pub fn keep_header(mut self, name: HeaderName) -> Self {
        assert!(name != SET_COOKIE, "Set-Cookie is never replayed");
        self.kept_headers.push(name);
        self
    }

    /// How long the content of a request may be, in bytes; more is `413 Content Too Large`. It is
    /// read before the handler, to be compared.
    ///
    /// Defaults to 1 MiB.
    pub fn request_limit(mut self, bytes: usize) -> Self {
        self.request_limit = bytes;
        self
    }

    /// How long the content of an answer may be, in bytes, to be kept. A longer one, and one whose
    /// length is not known beforehand, passes through as it is; its replay is 409
    /// `result-not-stored`, with its `Location`.
    ///
    /// Defaults to 256 KiB.
    pub fn answer_limit(mut self, bytes: usize) -> Self {
        self.answer_limit = bytes;
        self
    }

    /// How long a key is remembered, counted from its answer.
    ///
    /// Defaults to 24 hours, longer than clients retry.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long a request is in flight that nobody answers: the longest that its effects may
    /// outlast its handler, and the longest that a crash keeps its key busy. Where the store counts
    /// leases, the handler gets nine tenths of it to finish.
    ///
    /// Defaults to 60 seconds: longer than the conditional layer within waits and works by default.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long the store may take for each answer. If it takes longer, the request is 503 before
    /// its handler, and after it goes out unkept; its key is in flight until the
    /// [lease](Self::lease) ends, and then in doubt.
    ///
    /// Defaults to 15 seconds, as in [`Policy::store_timeout`](crate::Policy::store_timeout).
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit;
        self
    }

    /// The field that marks a replay; its value is `true`.
    ///
    /// Defaults to `Idempotency-Replayed`.
    pub fn replayed_header(mut self, name: HeaderName) -> Self {
        self.replayed = name;
        self
    }

    /// What the `type` of every problem starts with.
    ///
    /// Defaults to `/problems/`.
    pub fn problem_base(mut self, base: impl Into<Arc<str>>) -> Self {
        self.renderer.set_base(base.into());
        self
    }

    /// Changes the problems of this layer on their way out; see
    /// [`Policy::problems`](crate::Policy::problems).
    pub fn problems(mut self, change: impl Fn(Problem) -> Problem + Send + Sync + 'static) -> Self {
        self.renderer.set_change(change);
        self
    }

    /// Writes the refusals of this layer, instead of [`Problem::to_response`]; see
    /// [`Policy::render`](crate::Policy::render).
    pub fn render(
        mut self,
        render: impl Fn(&Problem) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.renderer.set_render(render);
        self
    }

    pub(crate) fn key_use_of(&self, method: &Method) -> KeyUse {
        *self.key_use.of(method)
    }

    pub(crate) fn compares_requests(&self) -> bool {
        self.compare_requests.unwrap_or_else(|| {
            matches!(self.on_duplicate, OnDuplicate::Replay) && !self.source.is_content()
        })
    }

    pub(super) fn fingerprint_of(
        &self,
        parts: &Parts,
        content: &[u8],
        principal: &str,
    ) -> Fingerprint {
        let compares = self.compares_requests();
        match &self.fingerprint {
            _ if !compares => Fingerprint::of_nothing(),
            Some(fingerprint) => fingerprint(parts, content),
            None => Fingerprint::of_request(parts, content, principal),
        }
    }

    pub(super) fn wait(&self) -> Duration {
        match self.in_flight {
            InFlight::Refuse => Duration::ZERO,
            InFlight::Wait(limit) => limit,
        }
    }

    pub(super) fn in_doubt_of(&self, parts: &Parts) -> InDoubt {
        if let Some(in_doubt) = &self.in_doubt {
            return in_doubt(parts);
        }
        let is_idempotent = [Method::PUT, Method::DELETE].contains(&parts.method);
        if is_idempotent || parts.headers.contains_key(IF_MATCH) {
            InDoubt::Rerun
        } else {
            InDoubt::Refuse
        }
    }

    pub(super) fn keep_of(&self, response: &Response<()>) -> Keep {
        if let Some(keep) = &self.keep {
            return keep(response);
        }
        match response.extensions().get::<Reason>() {
            Some(Reason::NotEnforced | Reason::OutcomeUnknown) => return Keep::InDoubt,
            Some(_) => return Keep::Release,
            None => {}
        }
        match response.status() {
            StatusCode::REQUEST_TIMEOUT => Keep::InDoubt,
            StatusCode::SERVICE_UNAVAILABLE => Keep::Release,
            status if status.is_client_error() => Keep::Release,
            status if status.is_success() || status.is_redirection() => Keep::Store,
            _ => Keep::InDoubt,
        }
    }
}

impl Default for IdempotencyPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for IdempotencyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyPolicy")
            .field("key_use", &self.key_use)
            .field("source", &self.source)
            .field("on_duplicate", &self.on_duplicate)
            .field("in_flight", &self.in_flight)
            .field("ttl", &self.ttl)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
