//! One update from top to bottom: read, change, write, and again from what is there by then.

use std::error::Error;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::answer::{Answer, Verdict};
use super::attempt::Attempt;
use super::change::Change;
use super::document::Document;
use super::error::{ClientError, ErrorKind};
use super::kept::tag_of;
use super::session::Session;
use super::updated::{Outcome, Updated};
use crate::entity_tag::EntityTag;

type BoxError = Box<dyn Error + Send + Sync>;

pub(super) struct Editor<S> {
    session: Session<S>,
    conflicts: u32,
    /// The last tag was refused, and was current after that.
    refused_once: bool,
}

impl<S, R> Editor<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    pub(super) const fn new(session: Session<S>) -> Self {
        Self {
            session,
            conflicts: 0,
            refused_once: false,
        }
    }

    /// Makes the change that `plan` wants of a resource, beginning with `start`, or with what is
    /// read.
    pub(super) async fn edit<P>(
        mut self,
        start: Option<Document>,
        mut plan: P,
    ) -> Result<Updated, ClientError>
    where
        P: FnMut(&Document) -> Result<Change, ClientError>,
    {
        let mut current = match start {
            Some(document) => document,
            None => self.session.read().await?,
        };
        loop {
            let content = match plan(&current).map(|change| change.over(&current.value)) {
                Ok(None) => return Ok(self.nothing_to_do(current)),
                // It is neither what it was nor what it should be. Somebody else was there, perhaps
                // after our own write, and on top of it.
                _ if self.has_moved_in_doubt(&current) => return Err(self.session.give_up()),
                Ok(Some(content)) => content,
                Err(error) => {
                    return Err(error.with(|facts| facts.requests = self.session.pace.sent));
                }
            };
            let attempt = Attempt::new(content, Some(current.tag.clone()));
            let (verdict, answer) = self.session.deliver(&attempt).await?;
            current = match verdict {
                Verdict::Applied => return Ok(self.applied(answer)),
                Verdict::Conflict { certain } => {
                    let next = self.after_conflict(&current, certain, &answer).await?;
                    self.look_for_a_loop(&current.tag, &next.tag, certain, &answer)?;
                    next
                }
                // What is there will tell.
                Verdict::Unknown => {
                    self.session.rest(answer.retry_after()).await?;
                    self.session.read().await?
                }
                Verdict::Missing => return Err(self.session.end(ErrorKind::Missing, &answer)),
                Verdict::NotFound => return Err(self.session.end(ErrorKind::NotFound, &answer)),
                // The others are not handed out.
                _ => return Err(self.session.end(ErrorKind::Refused, &answer)),
            };
        }
    }

    fn has_moved_in_doubt(&self, current: &Document) -> bool {
        let doubt = self.session.doubt.as_ref();
        doubt.is_some_and(|doubt| doubt.tag.as_ref() != Some(&current.tag))
    }

    /// What there is after a refusal.
    ///
    /// The first time at once, and out of the refusal if it shows that; what one for another reason
    /// shows may be another resource. From the second time on after a pause, and then what was shown
    /// before it is old.
    async fn after_conflict(
        &mut self,
        current: &Document,
        certain: bool,
        answer: &Answer,
    ) -> Result<Document, ClientError> {
        self.session.remember(ErrorKind::Stale, answer);
        self.conflicts += 1;
        if self.conflicts > 1 {
            self.session.rest(answer.retry_after()).await?;
        } else if certain
            && !self.session.client.settings.fresh_reads
            && let Some(shown) = Document::shown(&self.session.uri, &current.tag, answer)
        {
            return Ok(shown);
        }
        self.session.read().await
    }

    /// Stops where another try would end as the last one did.
    fn look_for_a_loop(
        &mut self,
        refused: &EntityTag,
        next: &EntityTag,
        certain: bool,
        answer: &Answer,
    ) -> Result<(), ClientError> {
        let kind = match is_same_version(refused, next) {
            false => {
                self.refused_once = false;
                return Ok(());
            }
            // Nothing has changed: it was refused for another reason.
            true if !certain => ErrorKind::Refused,
            true if is_marked(refused) && is_marked(next) => ErrorKind::MarkedTag,
            true if self.refused_once => ErrorKind::RefusedTwice,
            true => {
                // The refusal may have come from where the last change had not arrived, or the tag
                // was marked and now is as the server made it.
                self.refused_once = true;
                return Ok(());
            }
        };
        let error = self.session.end(kind, answer);
        Err(error.with(|facts| facts.tag = Some(refused.clone())))
    }

    fn nothing_to_do(self, current: Document) -> Updated {
        Updated {
            outcome: match self.session.doubt {
                Some(_) => Outcome::Found,
                None => Outcome::Unchanged,
            },
            tag: Some(current.tag),
            answer: None,
            conflicts: self.conflicts,
            requests: self.session.pace.sent,
        }
    }

    fn applied(self, answer: Answer) -> Updated {
        Updated {
            outcome: Outcome::Applied,
            tag: tag_of(&answer.parts.headers),
            // An earlier try was answered, and all that is left of that is that it has happened.
            answer: (!answer.status().is_client_error()).then(|| answer.into_response()),
            conflicts: self.conflicts,
            requests: self.session.pace.sent,
        }
    }
}

/// Do both name one version, whatever a proxy has made of them?
fn is_same_version(one: &EntityTag, other: &EntityTag) -> bool {
    let opaque = |tag: &EntityTag| tag.borrow().without_proxy_marks().opaque().to_owned();
    opaque(one) == opaque(other)
}

fn is_marked(tag: &EntityTag) -> bool {
    tag.borrow() != tag.borrow().without_proxy_marks()
}
