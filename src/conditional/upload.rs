//! Reading all of a body, before anything is claimed for it or kept of it.

use std::pin::pin;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, LengthLimitError};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no content.
pub(crate) enum Unread {
    /// The sender stopped sending.
    BrokeOff,
    /// It is longer than the limit.
    TooLong,
}

/// A body that is all here: to be looked at, and to be sent on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whole {
    content: Bytes,
    trailers: Option<HeaderMap>,
}

impl Whole {
    pub(crate) const fn content(&self) -> &Bytes {
        &self.content
    }

    pub(super) fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if self.content.is_empty() {
            return self.trailers.take().map(Frame::trailers);
        }
        Some(Frame::data(std::mem::take(&mut self.content)))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.content.is_empty() && self.trailers.is_none()
    }

    /// Only a body without trailers has a length to tell: whoever knows it stops reading there.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self.trailers {
            None => SizeHint::with_exact(self.content.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}

/// All of `body`, trailers included, if it is at most `limit` bytes.
pub(crate) async fn read_body<B>(body: B, limit: usize) -> Result<Whole, Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLong);
    }
    collect(body, limit).await.map_err(|error| {
        let error = error.map(Into::into);
        match error.is_none_or(|error: BoxError| error.is::<LengthLimitError>()) {
            true => Unread::TooLong,
            false => Unread::BrokeOff,
        }
    })
}

/// The same for a body whose errors are nobody's business; without an error it is too long. What
/// comes in one piece is not copied.
pub(crate) async fn collect<B>(body: B, limit: usize) -> Result<Whole, Option<B::Error>>
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    let mut whole = Whole::default();
    let mut pieces = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        match frame.map_err(Some)?.into_data() {
            Ok(piece) => {
                length += piece.len();
                if length > limit {
                    return Err(None);
                }
                if length == piece.len() {
                    whole.content = piece;
                } else {
                    if pieces.is_empty() {
                        pieces.extend_from_slice(&whole.content);
                    }
                    pieces.extend_from_slice(&piece);
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    whole.trailers.get_or_insert_default().extend(trailers);
                }
            }
        }
    }
    if !pieces.is_empty() {
        whole.content = pieces.into();
    }
    Ok(whole)
}
