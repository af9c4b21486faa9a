//! Reading the content of a request before anything is claimed for it.

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Collected, Full, LengthLimitError, Limited};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no content.
pub(crate) enum Unread {
    /// The client stopped sending.
    BrokeOff,
    /// It is longer than the limit.
    TooLong,
}

/// All of `body`, trailers included, if it is at most `limit` bytes.
pub(crate) async fn read_body<B>(body: B, limit: usize) -> Result<Collected<Bytes>, Unread>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Unread::TooLong);
    }
    match Limited::new(body, limit).collect().await {
        Ok(body) => Ok(body),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
        Err(_) => Err(Unread::BrokeOff),
    }
}

/// The content of `body`, to look at, and the same body again.
pub(crate) async fn share(body: Collected<Bytes>) -> (Bytes, Collected<Bytes>) {
    let trailers = body.trailers().cloned();
    let content = body.to_bytes();
    let again = Full::new(content.clone()).with_trailers(async { trailers.map(Ok) });
    // It never waits: all of it is here.
    let again = again.collect().await;
    (content, again.unwrap_or_else(|never| match never {}))
}
