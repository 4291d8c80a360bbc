//! What can be wrong with a configuration.

use apns_credentials::disclosure::without_values;

/// Something in a configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", .field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct ConfigError {
    /// Where: the path of the field, such as `apps.shop.certificate`; `None` for the file as a whole.
    pub field: Option<String>,
    /// What is wrong, and what was expected. Never the value.
    pub problem: String,
}

impl ConfigError {
    /// About one field.
    #[must_use]
    pub fn at(field: impl Into<String>, problem: impl std::fmt::Display) -> Self {
        Self { field: Some(field.into()), problem: problem.to_string() }
    }

    /// About all of it.
    #[must_use]
    pub fn whole(problem: impl std::fmt::Display) -> Self {
        Self { field: None, problem: problem.to_string() }
    }

    /// The same seen from further outside.
    #[must_use]
    pub fn within(mut self, outer: &str) -> Self {
        self.field = Some(match self.field {
            Some(inner) => format!("{outer}.{inner}"),
            None => outer.to_owned(),
        });
        self
    }

    /// What a reader of JSON or TOML found wrong.
    pub(crate) fn parsed(path: &str, message: &str) -> Self {
        let problem = without_values(message);
        // A path of one dot is the whole. Keys of a table are names, unless something stands in the wrong place.
        const LONGEST: usize = 64;
        let is_field = !path.contains(char::is_control)
            && !path.contains("-----")
            && path.split(['.', '[', ']']).all(|key| key.len() <= LONGEST);
        match path {
            "." => Self::whole(problem),
            _ if is_field => Self::at(path, problem),
            _ => Self::at("a field whose name is none", problem),
        }
    }
}
