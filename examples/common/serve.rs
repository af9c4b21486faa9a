//! Serving until somebody says stop.

use std::error::Error;
use std::net::Ipv4Addr;

use axum::Router;
use axum::middleware::from_fn;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::linger::linger;
use super::setting;

/// Serves `app` on `PORT` (3000) of this machine until a SIGTERM. Requests in flight then finish;
/// connections without one are closed at once.
pub(crate) async fn serve(app: Router) -> Result<(), Box<dyn Error>> {
    // Listened for before anybody is told that we serve.
    let mut terminate = signal(SignalKind::terminate())?;
    let port = setting("PORT", 3000)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app.layer(from_fn(linger)))
        .with_graceful_shutdown(async move { _ = terminate.recv().await })
        .await?;
    Ok(())
}
