//! What a route chooses: every option and every default, in one place.
//!
//! Two published conventions are ready-made: [`Policy::rfc9110`] (412 for a stale write, 428 for a
//! missing `If-Match`) and [`Policy::aip154`] (409 and 400, as Google's AIP-154 and NovaTrade24
//! have it). Both require `If-Match`, because what an optional one protects is only the careful
//! client.
//!
//! ```
//! use std::time::Duration;
//! use http::Method;
//! use tower_conditional::Policy;
//! use tower_conditional::policy::{Busy, IfMatch};
//!
//! let policy = Policy::aip154()
//!     .if_match_for(Method::DELETE, IfMatch::Optional)
//!     .busy(Busy::Wait(Duration::from_secs(2)))
//!     .cache_control("private, no-cache")?;
//! # let _ = policy;
//! # Ok::<(), http::header::InvalidHeaderValue>(())
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, InvalidHeaderValue, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde_json::Value;

use crate::decision::Rules;
use crate::key::ResourceKey;
use crate::precondition::Limits;
use crate::problem::Problem;
use crate::render::Renderer;
use crate::store::Outcome;
use crate::tags::{Chosen, MAIN, TagStyle};

/// What a write needs, per method.
///
/// See [`Policy::if_match`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IfMatch {
    /// Evaluated where it is sent.
    Optional,
    /// A write without it is refused.
    Required,
    /// As optional; an answer to a write without it carries
    /// [`MissingIfMatch`](crate::problem::MissingIfMatch) in its extensions, so that an outer
    /// layer can count what [`Required`](Self::Required) would have refused.
    Warn,
}

/// The status of a stale write.
///
/// See [`Policy::conflict_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictStatus {
    /// `409 Conflict`, type `version-mismatch`.
    Conflict,
    /// `412 Precondition Failed`, type `precondition-failed`.
    PreconditionFailed,
}

/// The status of a write without the `If-Match` that it needs.
///
/// See [`Policy::missing_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MissingStatus {
    /// `400 Bad Request`, type `if-match-required`.
    BadRequest,
    /// `428 Precondition Required` ([RFC 6585]), type `if-match-required`.
    ///
    /// [RFC 6585]: https://www.rfc-editor.org/rfc/rfc6585#section-3
    PreconditionRequired,
}

/// What an `If-Match` is that cannot be read.
///
/// See [`Policy::malformed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// A bad request: `400`, type `if-match-malformed`.
    BadRequest,
    /// A condition that is false, answered as a stale one.
    ConditionFails,
}

/// What a write does while another one holds the resource.
///
/// See [`Policy::busy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Busy {
    /// Gives up at once.
    Refuse,
    /// Waits for its turn, at most this long.
    Wait(Duration),
}

/// The status of a write that gave up waiting.
///
/// See [`Policy::busy_status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BusyStatus {
    /// `409 Conflict`, with a type of its own: never that of a stale write.
    Conflict,
    /// `503 Service Unavailable`.
    ServiceUnavailable,
}

/// When the conditions of a read are evaluated.
///
/// See [`Policy::reads`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reads {
    /// After the handler, from the tag that its own answer carries. Needs no store, and the
    /// handler's authorisation comes first; streams pass through.
    AfterHandler,
    /// Before the handler, which an unchanged read never reaches. Asks the store.
    BeforeHandler,
}

/// What becomes of the body of a write before the resource is claimed for it.
///
/// See [`Policy::request_body`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestBodies {
    /// It is read first, up to this many bytes; more is `413 Content Too Large`.
    Buffer(usize),
    /// It is passed on as it comes: a slow client then holds the resource while it uploads.
    Stream,
}

/// Where the current resource in the answer to a stale write comes from.
///
/// See [`Policy::current_resource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CurrentResource {
    /// It is left out.
    Omit,
    /// From the handler's [`Report::Conflict`](crate::report::Report::Conflict); where there is
    /// none, through the [`Reader`](crate::Reader) of the layer.
    Read,
    /// From the handler's [`Report::Conflict`](crate::report::Report::Conflict).
    Reported,
}

/// When a claimed write counts as done.
///
/// See [`Policy::settle_at`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SettleAt {
    /// When the body of the answer has ended. The new `ETag` comes as a trailer.
    BodyEnd,
    /// When the handler has answered, whatever of the body is still to come.
    ResponseHead,
}

/// See [`Policy::store_timeout`].
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(15);

pub(crate) type Redact = Arc<dyn Fn(&mut Value) + Send + Sync>;
type Others = Arc<dyn Fn(&Parts, &ResourceKey) -> Vec<ResourceKey> + Send + Sync>;
type OutcomeOf = Arc<dyn Fn(&Response<()>) -> Outcome + Send + Sync>;

/// What a route does with conditional requests.
///
/// See the [module docs](crate::policy) for an example.
#[derive(Clone)]
#[must_use]
pub struct Policy {
    if_match: PerMethod<IfMatch>,
    creates: PerMethod<bool>,
    pub(crate) missing_status: MissingStatus,
    pub(crate) conflict_status: ConflictStatus,
    pub(crate) malformed: Malformed,
    pub(crate) busy: PerMethod<Busy>,
    pub(crate) busy_status: BusyStatus,
    pub(crate) reads: Reads,
    pub(crate) read_headers: HeaderMap,
    tolerant: bool,
    pub(crate) tags: Chosen,
    limits: Limits,
    pub(crate) request_body: RequestBodies,
    pub(crate) existence_first: bool,
    pub(crate) lease: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) settle_at: SettleAt,
    also_moves: Option<Others>,
    outcome: Option<OutcomeOf>,
    existence: Option<Existence>,
    pub(crate) current_resource: CurrentResource,
    pub(crate) current_resource_limit: usize,
    pub(crate) redact: Option<Redact>,
    pub(crate) renderer: Renderer,
}

/// What a route wants of the resource, whatever the request says, and how it answers otherwise.
#[derive(Debug, Clone)]
pub(crate) struct Existence {
    wanted: bool,
    pub(crate) type_name: Arc<str>,
}

impl Policy {
    /// Requires `If-Match` of `PUT`, `PATCH`, `DELETE` and unknown methods; 428 if it is missing,
    /// 412 if it is stale or cannot be read.
    pub fn rfc9110() -> Self {
        Self {
            if_match: PerMethod::new(IfMatch::Required).except(Method::POST, IfMatch::Optional),
            creates: PerMethod::new(true)
                .except(Method::PATCH, false)
                .except(Method::DELETE, false),
            missing_status: MissingStatus::PreconditionRequired,
            conflict_status: ConflictStatus::PreconditionFailed,
            malformed: Malformed::ConditionFails,
            busy: PerMethod::new(Busy::Wait(Duration::from_secs(5))),
            busy_status: BusyStatus::ServiceUnavailable,
            reads: Reads::BeforeHandler,
            read_headers: HeaderMap::new(),
            tolerant: false,
            tags: Chosen::default(),
            limits: Limits::DEFAULT,
            request_body: RequestBodies::Buffer(2 * 1024 * 1024),
            existence_first: false,
            lease: Duration::from_secs(30),
            store_timeout: STORE_TIMEOUT,
            settle_at: SettleAt::ResponseHead,
            also_moves: None,
            outcome: None,
            existence: None,
            current_resource: CurrentResource::Reported,
            current_resource_limit: 64 * 1024,
            redact: None,
            renderer: Renderer::default(),
        }
    }

    /// Requires `If-Match` as [`rfc9110`](Self::rfc9110) does; 400 if it is missing or cannot be
    /// read, 409 if it is stale. The mapping of [AIP-154].
    ///
    /// [AIP-154]: https://google.aip.dev/154
    pub fn aip154() -> Self {
        Self::rfc9110()
            .missing_status(MissingStatus::BadRequest)
            .conflict_status(ConflictStatus::Conflict)
            .malformed(Malformed::BadRequest)
    }

    /// Is `If-Match` required of writes?
    ///
    /// Defaults to [`IfMatch::Required`]: a client that forgets it, or a proxy that strips it,
    /// would overwrite what it never saw. Says nothing of `POST`, which mostly creates and
    /// therefore defaults to [`IfMatch::Optional`]; see [`if_match_for`](Self::if_match_for).
    /// `If-None-Match: *` stands in for it.
    pub fn if_match(mut self, if_match: IfMatch) -> Self {
        self.if_match.default = if_match;
        self
    }

    /// Is `If-Match` required of writes by this method?
    ///
    /// Defaults to what [`if_match`](Self::if_match) says, for `POST` to [`IfMatch::Optional`].
    pub fn if_match_for(mut self, method: Method, if_match: IfMatch) -> Self {
        self.if_match = self.if_match.except(method, if_match);
        self
    }

    /// Can a request by this method create the resource that it names?
    ///
    /// If so, `If-Match` on a missing resource is refused as stale. If not, it is 404: by this layer
    /// in claim mode, by the handler where that compares versions itself. Defaults to no for `PATCH` and `DELETE` and to yes for everything else, because an
    /// update of a deleted resource must not bring it back.
    pub fn creates(mut self, method: Method, creates: bool) -> Self {
        self.creates = self.creates.except(method, creates);
        self
    }

    /// The status of a write without the `If-Match` that it needs.
    ///
    /// Defaults to [`MissingStatus::PreconditionRequired`].
    pub fn missing_status(mut self, status: MissingStatus) -> Self {
        self.missing_status = status;
        self
    }

    /// The status of a stale write. A failed `If-None-Match` is always 412
    /// ([RFC 9110, section 13.1.2]).
    ///
    /// Defaults to [`ConflictStatus::PreconditionFailed`].
    ///
    /// [RFC 9110, section 13.1.2]: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2
    pub fn conflict_status(mut self, status: ConflictStatus) -> Self {
        self.conflict_status = status;
        self
    }

    /// What an `If-Match` is that cannot be read. An `If-None-Match` that cannot be read is a bad
    /// request on a write, and matches nothing on a read.
    ///
    /// Defaults to [`Malformed::ConditionFails`], the letter of RFC 9110.
    pub fn malformed(mut self, malformed: Malformed) -> Self {
        self.malformed = malformed;
        self
    }

    /// What a write does while another one holds the resource.
    ///
    /// Defaults to waiting for 5 seconds, first come first served: long enough for the slowest of
    /// usual handlers, short enough for a person who waits for an answer.
    pub fn busy(mut self, busy: Busy) -> Self {
        self.busy.default = busy;
        self
    }

    /// What a write by this method does while another one holds the resource: a second delete, say,
    /// may give up at once.
    ///
    /// Defaults to what [`busy`](Self::busy) says.
    pub fn busy_for(mut self, method: Method, busy: Busy) -> Self {
        self.busy = self.busy.except(method, busy);
        self
    }

    /// The status of a write that gave up waiting, type `resource-busy` or, where a delete was in
    /// the way, `delete-in-progress`; with `Retry-After` either way.
    ///
    /// Defaults to [`BusyStatus::ServiceUnavailable`]: nothing was wrong with the request.
    pub fn busy_status(mut self, status: BusyStatus) -> Self {
        self.busy_status = status;
        self
    }

    /// When the conditions of a read are evaluated.
    ///
    /// Defaults to [`Reads::BeforeHandler`] where the layer has a store, which saves the handler;
    /// without one it is always [`Reads::AfterHandler`].
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// A field that the answer to a read carries unless the handler sets it, and that an early 304
    /// repeats: `Cache-Control`, `Content-Location`, `Expires`, `Vary` must be the same on both
    /// ([RFC 9110, section 15.4.5]). May be given several times for one name.
    ///
    /// Defaults to none.
    ///
    /// [RFC 9110, section 15.4.5]: https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
    pub fn read_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.read_headers.append(name, value);
        self
    }

    /// `Cache-Control` of reads; see [`read_header`](Self::read_header).
    ///
    /// # Errors
    ///
    /// If `value` is not a field value.
    pub fn cache_control(self, value: &str) -> Result<Self, InvalidHeaderValue> {
        Ok(self.read_header(CACHE_CONTROL, value.try_into()?))
    }

    /// `Vary` of reads; see [`read_header`](Self::read_header).
    ///
    /// # Errors
    ///
    /// If `value` is not a field value.
    pub fn vary(self, value: &str) -> Result<Self, InvalidHeaderValue> {
        Ok(self.read_header(VARY, value.try_into()?))
    }

    /// Do `W/"5"` and `"5-gzip"` name version 5? Compressing proxies change tags on the way out
    /// and pass them back as they are; strictly compared, every write behind such a proxy is stale.
    ///
    /// Defaults to no. Sound for tags that name a version; never say yes where a tag is a hash of
    /// bytes.
    pub fn tolerant(mut self, tolerant: bool) -> Self {
        self.tolerant = tolerant;
        self
    }

    /// How versions are written as entity-tags.
    ///
    /// Defaults to the version in quotes, as it is; with a [`variant`](Self::variant), to
    /// [`Plain`](crate::tags::Plain).
    ///
    /// ```
    /// use tower_conditional::Policy;
    /// use tower_conditional::tags::Prefixed;
    ///
    /// let policy = Policy::rfc9110().tags(Prefixed::new("b2-")?);
    /// # let _ = policy;
    /// # Ok::<(), tower_conditional::EntityTagError>(())
    /// ```
    pub fn tags(mut self, style: impl TagStyle) -> Self {
        self.tags.set_style(Arc::new(style));
        self
    }

    /// A representation beside the main one: requests that `applies` is true of are about it. May
    /// be said several times; the first that applies counts.
    ///
    /// Whatever makes the bytes of a representation differ, while the state is the same, has to be
    /// named here: a query parameter that adds a member, a media type by `Accept`, a language. Its
    /// tag is then its own. With one tag for both, a cache would answer one with the bytes of the
    /// other, and a range of the one would be put into a copy of the other. What may differ is the
    /// tag only: each names the version, so a client may read here and write there. A tag of a
    /// variant that the route does not have names nothing.
    ///
    /// Defaults to none.
    ///
    /// ```
    /// use tower_conditional::Policy;
    ///
    /// let policy = Policy::rfc9110().variant("version", |parts| {
    ///     parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "include=version"))
    /// });
    /// # let _ = policy;
    /// ```
    ///
    /// # Panics
    ///
    /// If `name` is empty, or holds anything but ASCII letters, digits, `.`, `_`, `+` and `-`: it
    /// becomes a part of tags.
    pub fn variant(
        mut self,
        name: impl Into<Arc<str>>,
        applies: impl Fn(&Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        let name = name.into();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        assert!(
            *name != *MAIN && name.bytes().all(is_plain),
            "not the name of a variant: {name:?}"
        );
        self.tags.add_variant(name, Arc::new(applies));
        self
    }

    /// How much of `If-Match` and `If-None-Match` is read.
    ///
    /// Defaults to [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What becomes of the body of a write before the resource is claimed for it.
    ///
    /// Defaults to [`RequestBodies::Buffer`] of 2 MiB, which is also axum's limit: a claim must not
    /// be held while a client uploads.
    pub fn request_body(mut self, bodies: RequestBodies) -> Self {
        self.request_body = bodies;
        self
    }

    /// Is a missing resource the handler's 404 before a missing `If-Match` is refused?
    ///
    /// In handler mode, where the store is asked for this, it also says early what is stale, unless
    /// the [current resource](Self::current_resource) is to come from the handler.
    ///
    /// Defaults to no, which needs no look at the store.
    pub fn existence_first(mut self, first: bool) -> Self {
        self.existence_first = first;
        self
    }

    /// How long a claim stands that nobody settles: the longest that the effects of a handler may
    /// outlast its request, and the longest that a crash blocks a resource. Where the store counts
    /// leases, the handler gets nine tenths of it to finish.
    ///
    /// Defaults to 30 seconds, the statement timeout of most services and then some.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long the store may take for each answer; a claim may take as long as it may
    /// [wait](Self::busy), and then so long. A store that takes longer counts as one that fails: a
    /// write is 503, a plain read goes on untagged, and what the store has done by then is in
    /// doubt. A claim that it may have granted blocks its resource until the [lease](Self::lease)
    /// ends; one that it may not have settled is abandoned.
    ///
    /// Defaults to 15 seconds: longer than the stores of this crate take to find out by themselves,
    /// who can say more of what happened, and shorter than most clients wait.
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.store_timeout = limit;
        self
    }

    /// When a claimed write counts as done.
    ///
    /// Defaults to [`SettleAt::ResponseHead`]: most handlers have written by the time that they
    /// answer. Say [`SettleAt::BodyEnd`] of one that goes on writing while its body streams; its
    /// resource stays claimed until then, and a client that leaves before the end leaves the write
    /// in doubt. The body has to end before the [lease](Self::lease) does: whoever finds no `ETag`
    /// in the trailers has to take the write for one in doubt. Answers that have no content, or
    /// tell of no change, are settled at their head all the same.
    pub fn settle_at(mut self, at: SettleAt) -> Self {
        self.settle_at = at;
        self
    }

    /// Which other resources get a new version with each write of this route, in claim mode: the
    /// list that an item is in, the order that an invoice belongs to. They are claimed together
    /// with the resource itself, in the order of their keys, and move together or not at all; so
    /// writes of two items of one list happen one after the other.
    ///
    /// Defaults to none.
    ///
    /// ```
    /// use tower_conditional::Policy;
    ///
    /// // A write to /orders/5 also moves /orders.
    /// let policy = Policy::rfc9110().also_moves(|_, key| key.parent().into_iter().collect());
    /// # let _ = policy;
    /// ```
    pub fn also_moves(
        mut self,
        others: impl Fn(&Parts, &ResourceKey) -> Vec<ResourceKey> + Send + Sync + 'static,
    ) -> Self {
        self.also_moves = Some(Arc::new(others));
        self
    }

    /// What a handler did to the resource, by its answer, where it does not
    /// [report](crate::report::Report) it. The response comes without its body.
    ///
    /// Defaults to: 2xx has written (deleted, if the method is `DELETE`), 4xx has not; anything
    /// else, and 202, may have. After 408 and 504, the answers of a timeout around the handler, the
    /// write may still be under way, and the resource stays claimed for a [lease](Self::lease).
    pub fn outcome(
        mut self,
        outcome: impl Fn(&Response<()>) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.outcome = Some(Arc::new(outcome));
        self
    }

    /// The resource of this route is set once: a write is 409 if it is there, with a problem type
    /// that ends in `type_name`. Asks nothing of the request: no method needs `If-Match` here. In
    /// handler mode it is the handler that compares, as ever: it finds
    /// [`Condition::Absent`](crate::store::Condition::Absent) in its
    /// [`Expected`](crate::report::Expected), and reports a conflict.
    ///
    /// ```
    /// use tower_conditional::Policy;
    ///
    /// let pickup = Policy::aip154().set_once("milestone-already-set");
    /// let revoke = Policy::aip154().unset("milestone-not-set");
    /// # let _ = (pickup, revoke);
    /// ```
    pub fn set_once(mut self, type_name: impl Into<Arc<str>>) -> Self {
        self.existence = Some(Existence {
            wanted: false,
            type_name: type_name.into(),
        });
        self
    }

    /// The counterpart of [`set_once`](Self::set_once), for a `POST` that revokes: 409 with this
    /// problem type if the resource is not there; success has deleted it, and it can be set again,
    /// with a version that it never had. In handler mode the handler finds
    /// [`Condition::Exists`](crate::store::Condition::Exists) in its
    /// [`Expected`](crate::report::Expected).
    ///
    /// Where setting and revoking have two paths, both need the [key](crate::ConditionalLayer::key)
    /// of the resource, and a [`Reader`](crate::Reader) has to answer for it at both.
    pub fn unset(mut self, type_name: impl Into<Arc<str>>) -> Self {
        self.existence = Some(Existence {
            wanted: true,
            type_name: type_name.into(),
        });
        self
    }

    /// Where the `currentResource` in the answer to a stale write comes from. It is only there if
    /// its version is known for certain; then it, the `ETag` and the text name the same version.
    ///
    /// Defaults to [`CurrentResource::Reported`]: what the handler hands out has passed its
    /// authorisation.
    pub fn current_resource(mut self, from: CurrentResource) -> Self {
        self.current_resource = from;
        self
    }

    /// The longest `currentResource`, in bytes; of a longer one the answer has the
    /// `Content-Location`.
    ///
    /// Defaults to 64 KiB.
    pub fn current_resource_limit(mut self, bytes: usize) -> Self {
        self.current_resource_limit = bytes;
        self
    }

    /// Removes from a `currentResource` what this client may not see. One that is no JSON is left
    /// out altogether. What is left is written anew: members in another order, numbers as
    /// [`serde_json::Value`] has them.
    ///
    /// Defaults to none: then it goes out as it came, unparsed.
    pub fn redact(mut self, redact: impl Fn(&mut Value) + Send + Sync + 'static) -> Self {
        self.redact = Some(Arc::new(redact));
        self
    }

    /// Changes the problems of this layer on their way out: other types and titles, further
    /// members.
    ///
    /// ```
    /// use tower_conditional::Policy;
    /// use tower_conditional::problem::Reason;
    ///
    /// let policy = Policy::aip154().problems(|problem| match problem.reason() {
    ///     Some(Reason::Busy) => problem.with_type("order-locked", "Order Locked"),
    ///     _ => problem.with_member("help", r#""https://example.com/help""#),
    /// });
    /// # let _ = policy;
    /// ```
    pub fn problems(mut self, change: impl Fn(Problem) -> Problem + Send + Sync + 'static) -> Self {
        self.renderer.set_change(change);
        self
    }

    /// Answers of this layer have no content: the status says which one it is, and the header has
    /// what a client goes on from, as ever. No document and no trace id is made, nobody is asked
    /// by [`problems`](Self::problems) or [`render`](Self::render), and nothing is put into the
    /// extensions of the response: [`ResponseBody::reason`](crate::ResponseBody::reason) and the
    /// observer tell why. A refusal then allocates nothing.
    ///
    /// Defaults to documents, from which a person can read what went wrong.
    ///
    /// ```
    /// use tower_conditional::Policy;
    ///
    /// let policy = Policy::rfc9110().without_documents();
    /// # let _ = policy;
    /// ```
    pub fn without_documents(mut self) -> Self {
        self.renderer.set_bare();
        self
    }

    /// What the `type` of every problem starts with.
    ///
    /// Defaults to `/problems/`.
    pub fn problem_base(mut self, base: impl Into<Arc<str>>) -> Self {
        self.renderer.set_base(base.into());
        self
    }

    /// Writes the answers of this layer, instead of [`Problem::to_response`]. What has to stand in
    /// the header is added to whatever comes back: `Cache-Control: no-store`, `ETag`,
    /// `Retry-After`.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http::Response;
    /// use tower_conditional::Policy;
    ///
    /// let policy = Policy::rfc9110().render(|problem| {
    ///     let mut response = Response::new(Bytes::from(problem.detail().to_owned()));
    ///     *response.status_mut() = problem.status();
    ///     response
    /// });
    /// # let _ = policy;
    /// ```
    pub fn render(
        mut self,
        render: impl Fn(&Problem) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.renderer.set_render(render);
        self
    }

    /// Nobody can have seen the version of what is set only once.
    pub(crate) fn if_match_of(&self, method: &Method) -> IfMatch {
        if self.sets_once() {
            return IfMatch::Optional;
        }
        *self.if_match.of(method)
    }

    /// Is success here the beginning of the resource itself?
    pub(crate) fn sets_once(&self) -> bool {
        let existence = self.existence.as_ref();
        existence.is_some_and(|existence| !existence.wanted)
    }

    pub(crate) fn rules(&self, method: &Method, handler_compares: bool) -> Rules {
        Rules {
            handler_compares,
            required: self.if_match_of(method) == IfMatch::Required,
            malformed_is_bad_request: self.malformed == Malformed::BadRequest,
            creates: *self.creates.of(method),
            tolerant: self.tolerant,
            existence: self.existence.as_ref().map(|existence| existence.wanted),
            limits: self.limits,
        }
    }

    /// The problem type of a resource that is there, or not, against the wish of the route.
    pub(crate) fn existence_type(&self) -> Option<String> {
        let existence = self.existence.as_ref();
        existence.map(|existence| existence.type_name.to_string())
    }

    pub(crate) fn wait(&self, method: &Method) -> Duration {
        match self.busy.of(method) {
            Busy::Refuse => Duration::ZERO,
            Busy::Wait(limit) => *limit,
        }
    }

    pub(crate) fn others(&self, parts: &Parts, key: &ResourceKey) -> Vec<ResourceKey> {
        let others = self.also_moves.as_ref();
        others.map_or_else(Vec::new, |others| others(parts, key))
    }

    /// Is this the answer of a timeout around the handler, whose effects may still be under way?
    pub(crate) fn is_unfinished<B>(&self, response: &Response<B>) -> bool {
        let timeouts = [StatusCode::REQUEST_TIMEOUT, StatusCode::GATEWAY_TIMEOUT];
        self.outcome.is_none() && timeouts.contains(&response.status())
    }

    pub(crate) fn outcome_of(&self, method: &Method, response: &Response<()>) -> Outcome {
        if let Some(outcome) = &self.outcome {
            return outcome(response);
        }
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::REQUEST_TIMEOUT => Outcome::Unknown,
            status if status.is_success() && self.deletes(method) => Outcome::Deleted,
            status if status.is_success() => Outcome::Written,
            status if status.is_client_error() => Outcome::Unchanged,
            _ => Outcome::Unknown,
        }
    }
}

impl Policy {
    /// Is the resource gone after a success?
    pub(crate) fn deletes(&self, method: &Method) -> bool {
        let revokes = self.existence.as_ref();
        method == Method::DELETE || revokes.is_some_and(|existence| existence.wanted)
    }
}

impl Default for Policy {
    /// [`Policy::rfc9110`].
    fn default() -> Self {
        Self::rfc9110()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("if_match", &self.if_match)
            .field("missing_status", &self.missing_status)
            .field("conflict_status", &self.conflict_status)
            .field("malformed", &self.malformed)
            .field("busy", &self.busy)
            .field("reads", &self.reads)
            .field("request_body", &self.request_body)
            .finish_non_exhaustive()
    }
}

/// A choice, with exceptions for some methods.
#[derive(Debug, Clone)]
pub(crate) struct PerMethod<T> {
    default: T,
    exceptions: Vec<(Method, T)>,
}

impl<T> PerMethod<T> {
    pub(crate) const fn new(default: T) -> Self {
        Self {
            default,
            exceptions: Vec::new(),
        }
    }

    pub(crate) fn except(mut self, method: Method, choice: T) -> Self {
        self.exceptions.retain(|(known, _)| *known != method);
        self.exceptions.push((method, choice));
        self
    }

    pub(crate) fn of(&self, method: &Method) -> &T {
        let exception = self.exceptions.iter().find(|(known, _)| known == method);
        exception.map_or(&self.default, |(_, choice)| choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_that_somebody_timed_out_may_have_written() {
        for (method, status, outcome) in [
            (Method::PUT, StatusCode::OK, Outcome::Written),
            (Method::PUT, StatusCode::ACCEPTED, Outcome::Unknown),
            (Method::PUT, StatusCode::SEE_OTHER, Outcome::Unknown),
            (
                Method::PUT,
                StatusCode::UNPROCESSABLE_ENTITY,
                Outcome::Unchanged,
            ),
            (Method::PUT, StatusCode::REQUEST_TIMEOUT, Outcome::Unknown),
            (Method::PUT, StatusCode::GATEWAY_TIMEOUT, Outcome::Unknown),
            (Method::DELETE, StatusCode::NO_CONTENT, Outcome::Deleted),
            (
                Method::DELETE,
                StatusCode::REQUEST_TIMEOUT,
                Outcome::Unknown,
            ),
        ] {
            let mut response = Response::new(());
            *response.status_mut() = status;
            let judged = Policy::default().outcome_of(&method, &response);
            assert_eq!(judged, outcome, "{method} {status}");
        }
    }
}
