//! What can be done to a JSON resource in one call.

use std::error::Error;
use std::future::Future;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use serde_json::Value;
use tower_service::Service;

use super::answer::Verdict;
use super::attempt::Attempt;
use super::change::{Change, Content};
use super::document::Document;
use super::editor::Editor;
use super::error::{ClientError, ErrorKind};
use super::service::Client;
use super::session::Session;
use super::updated::Updated;
use crate::merge::{Merged, three_way};

type BoxError = Box<dyn Error + Send + Sync>;

/// For services whose requests have a whole body in memory, `Full<Bytes>`. What has another body
/// type is brought there by `tower::ServiceExt::map_request`.
///
/// None of these touches what the handle that they are called on has read. Their futures work on a
/// clone of it: they can be spawned if the service can be sent to another thread, and need not be
/// shared for that.
impl<S, R> Client<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    /// Reads a JSON resource, to [`save`](Self::save) it later.
    ///
    /// # Errors
    ///
    /// [`Unreachable`](ErrorKind::Unreachable), [`NotFound`](ErrorKind::NotFound),
    /// [`Refused`](ErrorKind::Refused), [`NoTag`](ErrorKind::NoTag),
    /// [`Unreadable`](ErrorKind::Unreadable).
    pub fn read(
        &self,
        uri: Uri,
    ) -> impl Future<Output = Result<Document, ClientError>> + use<S, R> {
        let mut session = self.session(uri);
        async move { session.read().await }
    }

    /// Reads a JSON resource, changes it, writes it with the tag that it was read with, and begins
    /// again from what is there by then if somebody else was faster.
    ///
    /// `change` is called once for each try with the resource as it is; it has to depend on nothing
    /// else. If it asks for what is there already, nothing is sent.
    ///
    /// See the [module docs](crate::client) for an example.
    ///
    /// # Errors
    ///
    /// Any [`ErrorKind`] but [`Unmerged`](ErrorKind::Unmerged). After
    /// [`InDoubt`](ErrorKind::InDoubt) it may have happened, once; after any other it has not.
    pub fn update<C>(
        &self,
        uri: Uri,
        mut change: C,
    ) -> impl Future<Output = Result<Updated, ClientError>> + use<S, R, C>
    where
        C: FnMut(&Value) -> Change,
    {
        let editor = Editor::new(self.session(uri));
        editor.edit(None, move |current| Ok(change(&current.value)))
    }

    /// Writes `mine`, an edit of what was read as `base`, by `PUT`. If somebody else was faster,
    /// both edits are brought together [member by member](three_way).
    ///
    /// For what a person edits, where [`update`](Self::update) is for what a program computes. See
    /// the [module docs](crate::client) for an example.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update); and [`Unmerged`](ErrorKind::Unmerged), with
    /// [the places](ClientError::conflicts), if both edits have changed the same thing in different
    /// ways.
    pub fn save<'a>(
        &self,
        base: &'a Document,
        mine: &'a Value,
    ) -> impl Future<Output = Result<Updated, ClientError>> + use<'a, S, R> {
        self.save_with(base, mine, three_way)
    }

    /// The same with a merge of your own: it gets base, current and mine, and says what to write,
    /// and what it cannot decide.
    ///
    /// ```
    /// use serde_json::Value;
    /// use tower_conditional::client::ClientError;
    /// # use tower_conditional::client::{Client, Document, Updated};
    /// use tower_conditional::merge::three_way;
    /// # use bytes::Bytes;
    /// # use http::{Request, Response};
    /// # use http_body_util::Full;
    ///
    /// /// Notes of both sides are kept; the rest is merged as usual.
    /// # async fn save<S, E>(client: &Client<S>, base: &Document, mine: &Value) -> Result<Updated, ClientError>
    /// # where
    /// #     S: tower::Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = E> + Clone,
    /// #     E: std::error::Error + Send + Sync + 'static,
    /// # {
    /// let merge = |base: &Value, current: &Value, mine: &Value| {
    ///     let mut merged = three_way(base, current, mine);
    ///     merged.conflicts.retain(|conflict| conflict.pointer != "/note");
    ///     if current["note"] != mine["note"] {
    ///         merged.document["note"] = format!("{}\n{}", current["note"], mine["note"]).into();
    ///     }
    ///     merged
    /// };
    /// client.save_with(base, mine, merge).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save).
    pub fn save_with<'a, M>(
        &self,
        base: &'a Document,
        mine: &'a Value,
        mut merge: M,
    ) -> impl Future<Output = Result<Updated, ClientError>> + use<'a, S, R, M>
    where
        M: FnMut(&Value, &Value, &Value) -> Merged,
    {
        let editor = Editor::new(self.session(base.uri.clone()));
        let plan = move |current: &Document| {
            if current.tag == base.tag {
                return Ok(Change::Replace(mine.clone()));
            }
            let merged = merge(&base.value, &current.value, mine);
            if merged.conflicts.is_empty() {
                return Ok(Change::Replace(merged.document));
            }
            let unmerged = ClientError::new(ErrorKind::Unmerged);
            Err(unmerged.with(|facts| facts.conflicts = merged.conflicts))
        };
        editor.edit(Some(base.clone()), plan)
    }

    /// Creates a resource by `POST`, with an `Idempotency-Key`. Gives the server's answer.
    ///
    /// If no answer comes, it is sent again only where
    /// [keys are honoured](super::ClientLayer::keys_honoured): elsewhere it could create a second
    /// one.
    ///
    /// # Errors
    ///
    /// [`InDoubt`](ErrorKind::InDoubt), [`Busy`](ErrorKind::Busy), [`Refused`](ErrorKind::Refused),
    /// [`NotFound`](ErrorKind::NotFound).
    pub fn create(
        &self,
        uri: Uri,
        value: &Value,
    ) -> impl Future<Output = Result<Response<Bytes>, ClientError>> + use<S, R> {
        let mut session = self.session(uri);
        let attempt = Attempt::new(Content::post(value), None);
        async move {
            let (verdict, answer) = session.deliver(&attempt).await?;
            match verdict {
                // Something was created, and nobody can say where.
                Verdict::Applied if answer.status().is_client_error() => {
                    Err(session.end(ErrorKind::InDoubt, &answer))
                }
                Verdict::Applied => Ok(answer.into_response()),
                Verdict::Unknown => Err(session.give_up()),
                Verdict::NotFound => Err(session.end(ErrorKind::NotFound, &answer)),
                // There was no condition that could be stale or missing.
                _ => Err(session.end(ErrorKind::Refused, &answer)),
            }
        }
    }

    fn session(&self, uri: Uri) -> Session<S> {
        Session::new(self.clone(), uri)
    }
}
