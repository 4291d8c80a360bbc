//! What can be wrong with a configuration.

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
        // A path of one dot is the whole.
        if path == "." { Self::whole(problem) } else { Self::at(path, problem) }
    }
}

/// Takes quoted values out of a message: they may be secrets that stand in the wrong place. Names of fields stand in
/// backquotes and stay.
pub(crate) fn without_values(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('"') {
        out.push_str(before);
        out.push_str("\"…\"");
        // A quoted value may hold quotes of its own, escaped; what follows the last one is the rest of the message.
        rest = after.rsplit_once('"').map_or("", |(_, behind)| behind);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_out_of_messages() {
        assert_eq!(
            without_values("invalid type: string \"s3cret\", expected u16"),
            "invalid type: string \"…\", expected u16"
        );
        assert_eq!(without_values(r#"string "a\"b", expected x"#), "string \"…\", expected x");
        assert_eq!(without_values("string \"open"), "string \"…\"");
        assert_eq!(without_values("unknown field `x`"), "unknown field `x`");
    }
}
