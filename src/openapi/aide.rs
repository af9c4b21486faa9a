//! Descriptions for the crate `aide`.

use aide::openapi::{OpenApi, Operation};
use serde_json::Error;

use super::Description;
use super::typed::through_json;

impl Description {
    /// As [`add_to`](Self::add_to), to an operation of the crate `aide`.
    ///
    /// ```
    /// use aide::openapi::Operation;
    /// use http::Method;
    /// use tower_conditional::Policy;
    ///
    /// let mut patch = Operation::default();
    /// Policy::aip154().describe(&Method::PATCH).add_to_aide(&mut patch)?;
    /// assert_eq!(patch.parameters.len(), 2);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the crate cannot read what it has written, or not what is added: a bug in one of the two.
    pub fn add_to_aide(&self, operation: &mut Operation) -> Result<(), Error> {
        through_json(operation, |operation| self.add_to(operation))
    }
}

/// As [`add_components`](super::add_components), to a document of the crate `aide`.
///
/// # Errors
///
/// As [`Description::add_to_aide`].
pub fn add_components_to_aide(document: &mut OpenApi) -> Result<(), Error> {
    through_json(document, super::add_components)
}
