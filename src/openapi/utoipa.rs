//! Descriptions for the crate `utoipa`.

use serde_json::Error;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::Operation;

use super::Description;
use super::typed::through_json;

impl Description {
    /// As [`add_to`](Self::add_to), to an operation of the crate `utoipa`.
    ///
    /// ```
    /// use http::Method;
    /// use tower_conditional::Policy;
    /// use utoipa::openapi::path::OperationBuilder;
    /// use utoipa::openapi::response::Response;
    ///
    /// let mut patch = OperationBuilder::new().response("200", Response::new("Changed")).build();
    /// Policy::aip154().describe(&Method::PATCH).add_to_utoipa(&mut patch)?;
    /// assert!(patch.responses.responses.contains_key("409"));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the crate cannot read what it has written, or not what is added: a bug in one of the two.
    pub fn add_to_utoipa(&self, operation: &mut Operation) -> Result<(), Error> {
        through_json(operation, |operation| self.add_to(operation))
    }
}

/// As [`add_components`](super::add_components), to a document of the crate `utoipa`.
///
/// # Errors
///
/// As [`Description::add_to_utoipa`].
pub fn add_components_to_utoipa(document: &mut OpenApi) -> Result<(), Error> {
    through_json(document, super::add_components)
}
