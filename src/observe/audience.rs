//! Who hears of the requests of a layer, and how they are named to them. Without an observer none
//! of it is asked for.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Response};

use super::{Event, Mode, Observer, Route, StoreFailure, StoreStep};
use crate::key::ResourceKey;
use crate::store::StoreError;

type NameOf = Arc<dyn Fn(&Parts) -> Option<Arc<str>> + Send + Sync>;

/// An observer, and how requests are named to it.
#[derive(Clone, Default)]
pub(crate) struct Audience {
    observer: Option<Arc<dyn Observer>>,
    route: Option<NameOf>,
    actor: Option<NameOf>,
}

impl Audience {
    pub(crate) fn set_observer(&mut self, observer: impl Observer) {
        self.observer = Some(Arc::new(observer));
    }

    pub(crate) fn set_route(
        &mut self,
        route: impl Fn(&Parts) -> Option<Arc<str>> + Send + Sync + 'static,
    ) {
        self.route = Some(Arc::new(route));
    }

    pub(crate) fn set_actor(
        &mut self,
        actor: impl Fn(&Parts) -> Option<Arc<str>> + Send + Sync + 'static,
    ) {
        self.actor = Some(Arc::new(actor));
    }

    pub(crate) const fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.observer.as_ref()
    }

    /// Which route a request came by, if anybody wants to know.
    pub(crate) fn route(&self, parts: &Parts) -> Option<Route> {
        self.observer.as_ref()?;
        match &self.route {
            Some(route) => route(parts).map(Route::Named),
            None => Route::matched(parts),
        }
    }

    /// On whose behalf a request is made, if anybody wants to know.
    pub(crate) fn actor(&self, parts: &Parts) -> Option<Arc<str>> {
        self.observer.as_ref().and(self.actor.as_ref())?(parts)
    }

    /// A request of a layer that knows no versions, if anybody wants to hear of it. The resource is
    /// what its path names, unless somebody knows better.
    pub(crate) fn subject(&self, parts: &Parts, mode: Mode) -> Option<Subject> {
        Some(Subject {
            observer: Arc::clone(self.observer.as_ref()?),
            key: ResourceKey::from_path(parts),
            method: parts.method.clone(),
            route: self.route(parts),
            mode,
            waited: Duration::ZERO,
        })
    }
}

/// One request of a layer that knows no versions.
#[derive(Clone)]
pub(crate) struct Subject {
    observer: Arc<dyn Observer>,
    pub(crate) key: ResourceKey,
    method: Method,
    route: Option<Route>,
    mode: Mode,
    pub(crate) waited: Duration,
}

impl Subject {
    /// It was answered so by the layer, or by the handler within.
    pub(crate) fn answered<B>(&self, response: &Response<B>, by_layer: bool) {
        let reason = response.extensions().get().copied();
        self.tell(response, reason.filter(|_| by_layer), false);
    }

    /// It was answered as it was before.
    pub(crate) fn replayed<B>(&self, response: &Response<B>) {
        self.tell(response, None, true);
    }

    fn tell<B>(
        &self,
        response: &Response<B>,
        reason: Option<crate::problem::Reason>,
        replayed: bool,
    ) {
        self.observer.event(&Event {
            key: &self.key,
            method: &self.method,
            route: self.route.as_ref().map(Route::as_str),
            mode: self.mode,
            base: None,
            new: None,
            actor: None,
            status: response.status(),
            reason,
            replayed,
            unprotected: false,
            waited: self.waited,
        });
    }

    pub(crate) fn store_failed(&self, step: StoreStep, error: &StoreError) {
        self.observer.store_failed(&StoreFailure {
            key: &self.key,
            mode: self.mode,
            step,
            error,
        });
    }
}
