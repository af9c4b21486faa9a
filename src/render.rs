//! How problems become answers: the one way that all layers of this crate answer by themselves.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, RETRY_AFTER};

use crate::openapi::Writing;
use crate::problem::{Problem, seconds, trace_id};

type Change = Arc<dyn Fn(Problem) -> Problem + Send + Sync>;
type Render = Arc<dyn Fn(&Problem) -> Response<Bytes> + Send + Sync>;

/// Where problem types live, and who writes the answers.
#[derive(Clone)]
pub(crate) struct Renderer {
    base: Arc<str>,
    change: Option<Change>,
    render: Option<Render>,
    bare: bool,
}

impl Renderer {
    pub(crate) fn set_bare(&mut self) {
        self.bare = true;
    }

    /// Have answers no content?
    pub(crate) const fn is_bare(&self) -> bool {
        self.bare
    }

    pub(crate) fn set_base(&mut self, base: Arc<str>) {
        self.base = base;
    }

    pub(crate) fn set_change(
        &mut self,
        change: impl Fn(Problem) -> Problem + Send + Sync + 'static,
    ) {
        self.change = Some(Arc::new(change));
    }

    pub(crate) fn set_render(
        &mut self,
        render: impl Fn(&Problem) -> Response<Bytes> + Send + Sync + 'static,
    ) {
        self.render = Some(Arc::new(render));
    }

    /// How problems are written, for a description of them.
    pub(crate) fn writing(&self) -> Writing<'_> {
        Writing {
            base: &self.base,
            is_changed: self.change.is_some(),
            is_rendered: self.render.is_some(),
        }
    }

    /// The answer to a request with these header fields.
    pub(crate) fn answer<B>(&self, request: &HeaderMap, problem: Problem) -> Response<B>
    where
        B: From<Bytes>,
    {
        // Whatever an application makes of the problem, these are facts.
        let (reason, retry_after) = (problem.reason(), problem.retry_after());
        let mut response = match self.bare {
            true => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = problem.status();
                response
            }
            false => self.document(request, problem),
        }
        .map(B::from);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = retry_after {
            headers.insert(RETRY_AFTER, seconds(after));
        }
        if let Some(reason) = reason.filter(|_| !self.bare) {
            response.extensions_mut().insert(reason);
        }
        response
    }

    fn document(&self, request: &HeaderMap, problem: Problem) -> Response<Bytes> {
        let problem = problem
            .with_base(self.base.to_string())
            .with_trace_id(trace_id(request));
        let problem = match &self.change {
            Some(change) => change(problem),
            None => problem,
        };
        match &self.render {
            Some(render) => render(&problem),
            None => problem.to_response(),
        }
    }
}

impl Default for Renderer {
    fn default() -> Self {
        Self {
            base: Arc::from("/problems/"),
            change: None,
            render: None,
            bare: false,
        }
    }
}
