//! What is wrong with a script.

/// A text is not a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("script, {}: {message}", if .field.is_empty() { "at the top" } else { .field })]
#[non_exhaustive]
pub struct ScriptError {
    /// The field in question, such as `gateway.rules[2].then.refuse.status`; empty for the whole.
    pub field: String,
    /// What is wrong with it, with line and column.
    pub message: String,
}

impl ScriptError {
    pub(super) fn new(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let field = match error.path().to_string() {
            whole if whole == "." => String::new(),
            field => field,
        };
        Self { field, message: error.inner().to_string() }
    }

    /// About the text, or what follows the script in it.
    pub(super) fn whole(problem: &impl std::fmt::Display) -> Self {
        Self { field: String::new(), message: problem.to_string() }
    }
}
