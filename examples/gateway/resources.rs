//! Which requests are guarded, by which policy.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower_conditional::policy::{IfMatch, RequestBodies};
use tower_conditional::{Policy, ResourceKey};

use crate::common::problems::Failure;

/// A body of at most so many bytes is read before its resource is claimed, so that nobody waits for
/// a slow upload. A longer one passes through as it comes, and whoever uploads it holds the
/// resource for as long as that takes.
const SMALL: usize = 1024 * 1024;

pub(crate) struct Resources {
    /// `None`: every path is one.
    patterns: Option<Vec<Pattern>>,
    small: Arc<Policy>,
    streamed: Arc<Policy>,
}

/// The segments of a path; `None` stands for any.
struct Pattern(Vec<Option<String>>);

impl Resources {
    /// Those of `patterns`, a list such as `/notes/{id},/orders/{id}`; without it, all.
    pub(crate) fn new(
        patterns: Option<&str>,
        if_match: IfMatch,
        limit: Duration,
    ) -> Result<Self, String> {
        let patterns = patterns
            .map(|patterns| patterns.split(',').map(Pattern::parse).collect())
            .transpose()?;
        // Longer than the upstream may take: what it has not done by then, it never will.
        let mut policy = Policy::rfc9110().if_match(if_match).lease(limit * 2);
        if patterns.is_none() {
            policy = policy.also_moves(|_, key| key.parent().into_iter().collect());
        }
        Ok(Self {
            patterns,
            small: Arc::new(policy.clone().request_body(RequestBodies::Buffer(SMALL))),
            streamed: Arc::new(policy.request_body(RequestBodies::Stream)),
        })
    }

    /// The resource that a request is about, if it is one of ours. `/notes/1/` is `/notes/1`: a
    /// service that tells them apart gets a conflict too many, never one too few.
    pub(crate) fn key(&self, parts: &Parts) -> Option<ResourceKey> {
        let key = ResourceKey::from_path(parts);
        let path = key.as_str().trim_end_matches('/');
        let guarded = match &self.patterns {
            // The root is the list of everything.
            None => path.starts_with('/'),
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches(path)),
        };
        guarded.then(|| ResourceKey::new(path))
    }

    pub(crate) fn policy(&self, parts: &Parts) -> Arc<Policy> {
        let length = length(&parts.headers);
        Arc::clone(match length {
            Some(length) if length <= SMALL => &self.small,
            _ => &self.streamed,
        })
    }
}

fn length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, String> {
        let path = text.trim().trim_end_matches('/');
        if !path.starts_with('/') {
            return Err(format!(
                "RESOURCES has a path that does not start with /: {text:?}"
            ));
        }
        let any = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
        let segments = path.split('/');
        let segments = segments.map(|segment| (!any(segment)).then(|| segment.to_owned()));
        Ok(Self(segments.collect()))
    }

    fn matches(&self, path: &str) -> bool {
        let segments = path.split('/');
        segments.clone().count() == self.0.len()
            && self.0.iter().zip(segments).all(|(pattern, segment)| {
                pattern.as_deref().is_none_or(|pattern| pattern == segment)
            })
    }
}

/// Refuses paths that many services take for another: with `//`, `/./`, or a slash that is encoded or
/// the wrong way round, a writer would get around the claim on what they mean.
pub(crate) async fn unambiguous(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let key = ResourceKey::from_path(&parts);
    let mut segments = key.as_str().split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let is_two = segment.contains("%2F") || segment.contains('\\');
        if segment == "." || segment == ".." || segment.is_empty() && !is_last || is_two {
            let status = StatusCode::BAD_REQUEST;
            return Failure::new(status, "ambiguous-path", "Ambiguous Path")
                .detail("The path has an empty segment, one of dots, or a slash within one.")
                .into_response();
        }
    }
    next.run(Request::from_parts(parts, body)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(patterns: Option<&str>, path: &str) -> Option<String> {
        let limit = Duration::from_secs(1);
        let resources = Resources::new(patterns, IfMatch::Required, limit).expect("patterns");
        let request = Request::get(path).body(()).expect("a path");
        let key = resources.key(&request.into_parts().0)?;
        Some(key.as_str().to_owned())
    }

    #[test]
    fn a_path_is_guarded_if_a_pattern_has_as_many_segments_and_the_same() {
        let patterns = Some("/notes/{id}, /orders/{id}/lines/{line},/status");
        for (path, expected) in [
            ("/notes/1", Some("/notes/1")),
            ("/notes/1/", Some("/notes/1")),
            ("/n%6Ftes/1?x=y", Some("/notes/1")),
            ("/orders/5/lines/2", Some("/orders/5/lines/2")),
            ("/status", Some("/status")),
            ("/notes", None),
            ("/notes/1/2", None),
            ("/orders/5", None),
            ("/", None),
        ] {
            assert_eq!(key(patterns, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn without_patterns_all_but_the_root_is_guarded() {
        for (path, expected) in [("/a", Some("/a")), ("/a/b/", Some("/a/b")), ("/", None)] {
            assert_eq!(key(None, path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_is_a_path() {
        let limit = Duration::from_secs(1);
        for patterns in ["notes", "", "/notes,", "http://a/notes"] {
            let resources = Resources::new(Some(patterns), IfMatch::Required, limit);
            assert!(resources.is_err(), "{patterns}");
        }
    }
}
