//! The name of a route: one of few, whatever paths clients ask for.

use std::sync::Arc;

use http::request::Parts;

/// Cheap to make and to clone: it goes with every request that somebody hears of.
#[derive(Debug, Clone)]
pub(crate) enum Route {
    #[cfg(feature = "axum")]
    Matched(::axum::extract::MatchedPath),
    Named(Arc<str>),
}

impl Route {
    /// What the router has matched, if it says so.
    #[cfg(feature = "axum")]
    pub(super) fn matched(parts: &Parts) -> Option<Self> {
        let path = parts.extensions.get::<::axum::extract::MatchedPath>()?;
        Some(Self::Matched(path.clone()))
    }

    /// Without axum nobody says so.
    #[cfg(not(feature = "axum"))]
    pub(super) fn matched(_: &Parts) -> Option<Self> {
        None
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            #[cfg(feature = "axum")]
            Self::Matched(path) => path.as_str(),
            Self::Named(name) => name,
        }
    }
}
