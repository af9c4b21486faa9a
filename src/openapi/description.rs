//! What layers add to an operation.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{PROBLEM, object_in};

/// What layers add to an operation: parameters, answers, and fields of the handler's own answers.
///
/// See the [module docs](crate::openapi) for an example.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Description {
    pub(super) parameters: Vec<Parameter>,
    pub(super) answers: BTreeMap<u16, Answers>,
    /// Fields of each success.
    pub(super) success: BTreeMap<String, &'static str>,
}

/// A header field of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) text: &'static str,
}

/// All that is answered with one status.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answers {
    texts: Vec<Cow<'static, str>>,
    types: BTreeSet<String>,
    content: Content,
    fields: BTreeMap<&'static str, &'static str>,
}

/// What is in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Content {
    #[default]
    None,
    /// Whatever the application renders.
    Other,
    Problem {
        /// Are all types known?
        closed: bool,
    },
}

/// How the problems of a layer are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing<'a> {
    pub(crate) base: &'a str,
    /// The application gives them types of its own.
    pub(crate) is_changed: bool,
    /// The application writes something else.
    pub(crate) is_rendered: bool,
}

pub(super) const ETAG: (&str, &str) = ("ETag", "The entity-tag of the current representation.");
pub(super) const RETRY_AFTER: (&str, &str) = ("Retry-After", "When to try again, in seconds.");

impl Description {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, and a problem that the application answers itself: its `type` is `/problems/` and
    /// `type_name`.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_conditional::openapi::Description;
    ///
    /// let missing = Description::new().with_problem(
    ///     StatusCode::NOT_FOUND,
    ///     "not-found",
    ///     "There is no such order.",
    /// );
    /// assert_eq!(missing.to_json()["responses"]["404"]["description"], "There is no such order.");
    /// ```
    pub fn with_problem(
        mut self,
        status: StatusCode,
        type_name: &str,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        let writing = Writing {
            base: "/problems/",
            is_changed: false,
            is_rendered: false,
        };
        self.problem(writing, status, type_name, text, &[]);
        self
    }

    /// The same, and a header field of an answer that [a problem](Self::with_problem) is given with.
    ///
    /// ```
    /// use http::StatusCode;
    /// use tower_conditional::openapi::Description;
    ///
    /// let status = StatusCode::UNAUTHORIZED;
    /// let strangers = Description::new()
    ///     .with_problem(status, "unauthorized", "The token is missing.")
    ///     .with_field(status, "WWW-Authenticate", "Bearer");
    /// let headers = &strangers.to_json()["responses"]["401"]["headers"];
    /// assert!(headers["WWW-Authenticate"].is_object());
    /// ```
    pub fn with_field(
        mut self,
        status: StatusCode,
        name: &'static str,
        text: &'static str,
    ) -> Self {
        let answers = self.answers.entry(status.as_u16()).or_default();
        answers.fields.insert(name, text);
        self
    }

    /// This one, and that of another layer around the same handler.
    pub fn and(mut self, other: Self) -> Self {
        for parameter in other.parameters {
            if !self
                .parameters
                .iter()
                .any(|known| known.name == parameter.name)
            {
                self.parameters.push(parameter);
            }
        }
        for (status, answers) in other.answers {
            self.answers.entry(status).or_default().merge(answers);
        }
        self.success.extend(other.success);
        self
    }

    /// The statuses of the answers, ascending.
    pub fn statuses(&self) -> impl Iterator<Item = u16> {
        self.answers.keys().copied()
    }

    /// The members `parameters` and `responses` of an operation.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut operation = json!({});
        self.add_to(&mut operation);
        operation
    }

    /// Adds all of it to an operation. What is there already stays as it is, a parameter or a
    /// response of the same name; each success in it gets the fields that are missing.
    ///
    /// See the [module docs](crate::openapi) for an example. What is no JSON object is left alone.
    pub fn add_to(&self, operation: &mut Value) {
        self.add_parameters(operation);
        let Some(Value::Object(responses)) = object_in(operation, "responses") else {
            return;
        };
        for (status, response) in responses.iter_mut() {
            if status.starts_with('2') {
                add_fields(
                    response,
                    self.success.iter().map(|(name, text)| (&**name, *text)),
                );
            }
        }
        for (status, answers) in &self.answers {
            responses
                .entry(status.to_string())
                .or_insert_with(|| answers.to_json());
        }
    }

    fn add_parameters(&self, operation: &mut Value) {
        if self.parameters.is_empty() {
            return;
        }
        let Some(operation) = operation.as_object_mut() else {
            return;
        };
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        let Some(parameters) = parameters.as_array_mut() else {
            return;
        };
        for parameter in &self.parameters {
            let is_known = |known: &Value| {
                let name = known["name"].as_str().unwrap_or_default();
                known["in"] == "header" && name.eq_ignore_ascii_case(&parameter.name)
            };
            if !parameters.iter().any(is_known) {
                parameters.push(json!({
                    "name": parameter.name,
                    "in": "header",
                    "required": parameter.required,
                    "description": parameter.text,
                    "schema": { "type": "string" }
                }));
            }
        }
    }

    pub(super) fn parameter(&mut self, name: &str, required: bool, text: &'static str) {
        self.parameters.push(Parameter {
            name: name.to_owned(),
            required,
            text,
        });
    }

    /// A field of each success of the handler.
    pub(super) fn success_field(&mut self, name: &str, text: &'static str) {
        self.success.insert(name.to_owned(), text);
    }

    /// An answer without content.
    pub(super) fn answer(
        &mut self,
        status: StatusCode,
        text: &'static str,
        fields: &[(&'static str, &'static str)],
    ) {
        let answers = self.answers.entry(status.as_u16()).or_default();
        answers.tell(text.into());
        answers.fields.extend(fields.iter().copied());
    }

    pub(super) fn problem(
        &mut self,
        writing: Writing<'_>,
        status: StatusCode,
        type_name: &str,
        text: impl Into<Cow<'static, str>>,
        fields: &[(&'static str, &'static str)],
    ) {
        let answers = self.answers.entry(status.as_u16()).or_default();
        answers.tell(text.into());
        answers.types.insert(format!("{}{type_name}", writing.base));
        answers.fields.extend(fields.iter().copied());
        answers.content = answers.content.and(match writing.is_rendered {
            true => Content::Other,
            false => Content::Problem {
                closed: !writing.is_changed,
            },
        });
    }
}

impl Content {
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, content) | (content, Self::None) => content,
            (Self::Problem { closed: one }, Self::Problem { closed: two }) => {
                Self::Problem { closed: one && two }
            }
            (Self::Other, _) | (_, Self::Other) => Self::Other,
        }
    }
}

impl Answers {
    fn tell(&mut self, text: Cow<'static, str>) {
        if !self.texts.contains(&text) {
            self.texts.push(text);
        }
    }

    fn merge(&mut self, other: Self) {
        for text in other.texts {
            self.tell(text);
        }
        self.types.extend(other.types);
        self.fields.extend(other.fields);
        self.content = self.content.and(other.content);
    }

    fn to_json(&self) -> Value {
        let mut response = json!({ "description": self.texts.join(" ") });
        add_fields(
            &mut response,
            self.fields.iter().map(|(name, text)| (*name, *text)),
        );
        let Content::Problem { closed } = self.content else {
            return response;
        };
        let problem = json!({ "$ref": format!("#/components/schemas/{PROBLEM}") });
        let schema = match closed {
            true => {
                let types = json!({ "type": "string", "enum": self.types });
                json!({
                    "allOf": [problem, { "type": "object", "properties": { "type": types } }]
                })
            }
            false => problem,
        };
        response["content"] = json!({ "application/problem+json": { "schema": schema } });
        response
    }
}

/// Adds header fields to a response, but for those that are there.
fn add_fields<'a>(response: &mut Value, fields: impl Iterator<Item = (&'a str, &'a str)>) {
    let mut fields = fields.peekable();
    if fields.peek().is_none() {
        return;
    }
    let Some(Value::Object(headers)) = object_in(response, "headers") else {
        return;
    };
    for (name, text) in fields {
        let is_known = |headers: &Map<String, Value>| {
            headers.keys().any(|known| known.eq_ignore_ascii_case(name))
        };
        if !is_known(headers) {
            let header = json!({ "description": text, "schema": { "type": "string" } });
            headers.insert(name.to_owned(), header);
        }
    }
}
