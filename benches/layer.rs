//! What the layer adds to a service, on each of its paths.

use std::convert::Infallible;
use std::future::{Ready, ready as answered};

use bytes::Bytes;
use harness::{Bench, Case, Work, ready};
use http::header::{ETAG, HeaderValue};
use http::{Request, Response};
use tower::{Layer, Service, service_fn};
use tower_http::set_header::SetResponseHeaderLayer;

type Answer = Ready<Result<Response<Bytes>, Infallible>>;

fn handler<B>(_: Request<B>) -> Answer {
    answered(Ok(Response::new(Bytes::from_static(&[b'x'; 1024]))))
}

fn main() {
    let mut bench = Bench::from_args("layer");
    bench.table(
        "a request without conditions",
        &[
            Case::new("the bare service", || {
                let mut service = service_fn(handler::<()>);
                Work::new(
                    || Request::new(()),
                    move |request| ready(service.call(request)),
                )
            }),
            Case::new("one SetResponseHeader", || {
                let tag = HeaderValue::from_static("\"5\"");
                let layer = SetResponseHeaderLayer::overriding(ETAG, tag);
                let mut service = layer.layer(service_fn(handler::<()>));
                Work::new(
                    || Request::new(()),
                    move |request| ready(service.call(request)),
                )
            }),
        ],
    );
    bench.finish();
}
