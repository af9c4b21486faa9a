//! The requests of one update: how they are sent, repeated and counted.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::answer::{Answer, Verdict, judge};
use super::attempt::{Attempt, Doubt};
use super::document::{Document, ask_for_plain_content, coding};
use super::error::{ClientError, ErrorKind};
use super::kept::tag_of;
use super::pace::Pace;
use super::service::Client;
use crate::conditional::{Unread, read_body};

type BoxError = Box<dyn Error + Send + Sync>;

/// How often a read without a tag is repeated. While a write is under way, a server may not know
/// which version it shows, and then shows none.
const UNTAGGED: u32 = 5;

pub(super) struct Session<S> {
    pub(super) client: Client<S>,
    pub(super) uri: Uri,
    pub(super) pace: Pace,
    pub(super) doubt: Option<Doubt>,
    /// What went wrong last: the reason, when there is no request left.
    trouble: ClientError,
}

impl<S> Session<S> {
    pub(super) fn new(client: Client<S>, uri: Uri) -> Self {
        Self {
            pace: Pace::new(&client.settings),
            client,
            uri,
            doubt: None,
            trouble: ClientError::new(ErrorKind::Unreachable),
        }
    }

    /// Ends it with what this answer says.
    pub(super) fn end(&self, kind: ErrorKind, answer: &Answer) -> ClientError {
        self.told(self.failure(kind, answer))
    }

    /// Ends it with what went wrong last.
    pub(super) fn give_up(&mut self) -> ClientError {
        let trouble = ClientError::new(ErrorKind::Unreachable);
        let trouble = std::mem::replace(&mut self.trouble, trouble);
        self.told(trouble)
    }

    /// Remembers what to say if there is no request left.
    pub(super) fn remember(&mut self, kind: ErrorKind, answer: &Answer) {
        self.trouble = self.failure(kind, answer);
    }

    /// Waits before another try, if the server does not ask for too much.
    pub(super) async fn rest(&mut self, asked: Option<Duration>) -> Result<(), ClientError> {
        match self.pace.rest(asked).await {
            true => Ok(()),
            false => Err(self.give_up()),
        }
    }

    fn failure(&self, kind: ErrorKind, answer: &Answer) -> ClientError {
        ClientError::new(kind).with(|facts| {
            facts.status = Some(answer.status());
            (facts.type_name, facts.detail) = answer.problem();
            facts.retry_after = answer.retry_after();
        })
    }

    /// Whatever the reason, a write that may have happened comes first.
    fn told(&self, error: ClientError) -> ClientError {
        error.with(|facts| {
            facts.requests = self.pace.sent;
            if self.doubt.is_some() {
                facts.kind = ErrorKind::InDoubt;
            }
        })
    }

    /// From now on, `attempt` may have happened.
    fn doubt(&mut self, attempt: &Attempt, provable: bool) {
        let before = self.doubt.as_ref();
        self.doubt = Some(Doubt {
            tag: attempt.tag.clone(),
            provable: provable && before.is_none_or(|doubt| doubt.provable),
        });
    }

    fn take(&mut self) -> Result<(), ClientError> {
        match self.pace.take() {
            true => Ok(()),
            false => Err(self.give_up()),
        }
    }

    fn fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::clone(&self.client.fields);
        // Refusals are documents of their own kind.
        let json = HeaderValue::from_static("application/json, application/problem+json");
        fields.entry(ACCEPT).or_insert(json);
        ask_for_plain_content(&mut fields);
        fields
    }
}

impl<S, R> Session<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    /// The current resource, from the server itself.
    pub(super) async fn read(&mut self) -> Result<Document, ClientError> {
        let mut untagged = 0;
        loop {
            self.take()?;
            let mut request = Request::new(Full::default());
            *request.uri_mut() = self.uri.clone();
            *request.headers_mut() = self.fields();
            // A cache that gave the old one again would make each try fail like the one before.
            let fresh = HeaderValue::from_static("no-cache");
            request.headers_mut().insert(CACHE_CONTROL, fresh);
            let answer = match self.send(request).await {
                Ok(answer) => answer,
                Err(source) => {
                    self.trouble = unanswered(ErrorKind::Unreachable, source);
                    self.rest(None).await?;
                    continue;
                }
            };
            match answer.status().as_u16() {
                200 if matches!(answer.content, Err(Unread::BrokeOff)) => {
                    self.remember(ErrorKind::Unreachable, &answer);
                    self.rest(None).await?;
                }
                200 if tag_of(&answer.parts.headers).is_none() && untagged < UNTAGGED => {
                    untagged += 1;
                    self.remember(ErrorKind::NoTag, &answer);
                    self.rest(None).await?;
                }
                200 => return self.document(&answer),
                404 | 410 => return Err(self.end(ErrorKind::NotFound, &answer)),
                408 | 425 | 429 | 500..=599 => {
                    self.remember(ErrorKind::Unreachable, &answer);
                    self.rest(answer.retry_after()).await?;
                }
                _ => return Err(self.end(ErrorKind::Refused, &answer)),
            }
        }
    }

    fn document(&self, answer: &Answer) -> Result<Document, ClientError> {
        let Some(tag) = tag_of(&answer.parts.headers) else {
            return Err(self.end(ErrorKind::NoTag, answer));
        };
        let value = match &answer.content {
            Err(_) => Err("it is longer than the content limit".into()),
            Ok(_) if coding(&answer.parts.headers).is_some() => Err("it is compressed".into()),
            Ok(content) => serde_json::from_slice(content).map_err(BoxError::from),
        };
        match value {
            Ok(value) => Ok(Document {
                uri: self.uri.clone(),
                tag,
                value,
            }),
            Err(source) => {
                let error = self.end(ErrorKind::Unreadable, answer);
                Err(error.with(|facts| facts.source = Some(source)))
            }
        }
    }

    /// Sends `attempt` until an answer says what became of it. What is based on a tag can be sent
    /// again and cannot happen twice: where it has happened, the tag is another. What is based on
    /// none can where keys are honoured.
    pub(super) async fn deliver(
        &mut self,
        attempt: &Attempt,
    ) -> Result<(Verdict, Answer), ClientError> {
        let honoured = self.client.settings.keys_honoured;
        let repeatable = attempt.tag.is_some() || honoured;
        loop {
            self.take()?;
            let request = attempt.request(&self.uri, self.fields());
            let asked = match self.send(request).await {
                Err(source) => {
                    self.doubt(attempt, true);
                    self.trouble = unanswered(ErrorKind::InDoubt, source);
                    None
                }
                Ok(answer) => match judge(answer.status(), &answer.problem().0) {
                    Verdict::Busy => {
                        self.remember(ErrorKind::Busy, &answer);
                        self.rest(answer.retry_after()).await?;
                        continue;
                    }
                    Verdict::Doubt | Verdict::InProgress => {
                        self.doubt(attempt, true);
                        self.remember(ErrorKind::InDoubt, &answer);
                        answer.retry_after()
                    }
                    Verdict::Applied => return Ok((Verdict::Applied, answer)),
                    Verdict::Unknown => {
                        self.doubt(attempt, false);
                        self.remember(ErrorKind::InDoubt, &answer);
                        return Ok((Verdict::Unknown, answer));
                    }
                    refusal => {
                        // Another refusal may come from somebody in front of those who know the
                        // key: rights that have run out since, for instance.
                        if honoured && matches!(refusal, Verdict::Conflict { .. }) {
                            self.doubt.take_if(|doubt| doubt.provable);
                        }
                        return Ok((refusal, answer));
                    }
                },
            };
            if !repeatable {
                return Err(self.give_up());
            }
            self.rest(asked).await?;
        }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, BoxError> {
        let settings = self.client.settings.clone();
        let (limit, longest) = (settings.answer_within, settings.content_limit);
        let client = &mut self.client;
        let answer = async {
            let ready = poll_fn(|context| Service::<Request<_>>::poll_ready(client, context));
            ready.await.map_err(Into::into)?;
            let answer = client.call(request).await.map_err(Into::into)?;
            let (parts, body) = answer.into_parts();
            let content = read_body(body, longest).await;
            let content = content.map(|whole| whole.content().clone());
            Ok(Answer { parts, content })
        };
        match settings.runtime.within(limit, answer).await {
            Some(answer) => answer,
            None => Err(Box::new(NoAnswer(limit))),
        }
    }
}

fn unanswered(kind: ErrorKind, source: BoxError) -> ClientError {
    ClientError::new(kind).with(|facts| facts.source = Some(source))
}

#[derive(Debug)]
struct NoAnswer(Duration);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {:?}", self.0)
    }
}

impl Error for NoAnswer {}
