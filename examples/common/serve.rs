//! Serving until somebody says stop.

use std::error::Error;
use std::future::IntoFuture as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::{setting, upload};

/// How long requests in flight may take to finish: a client that stops half way through its request
/// must not keep the process.
const GRACE: Duration = Duration::from_secs(60);

/// Serves `app` on `PORT` (3000) of this machine until a SIGTERM. Requests in flight then finish;
/// connections without one are closed at once.
pub(crate) async fn serve(app: Router) -> Result<(), Box<dyn Error>> {
    // Listened for before anybody is told that we serve.
    let mut terminate = signal(SignalKind::terminate())?;
    let port = setting("PORT", 3000)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = app.layer(from_fn(upload::drain));
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        terminate.recv().await;
        _ = stopping.send(());
    });
    let too_long = async {
        _ = stopped.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = server.into_future() => ended?,
        () = too_long => {}
    }
    Ok(())
}
