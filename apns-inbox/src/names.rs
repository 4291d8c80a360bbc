//! Names that a person gives to devices, apps and the buttons of their categories.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::push::app_of;

/// What a push alone does not tell: what a device or an app is called, and which buttons a category has.
///
/// ```
/// let names = apns_inbox::Names::from_json(
///     r#"{"devices": {"00fc13ad": "Test phone 1"}, "apps": {"com.example.app": "Kitchen"},
///         "categories": {"com.example.app": {"ORDER_READY": ["Picked up", "5 more minutes"]}}}"#,
/// )?;
/// # let _ = names;
/// # Ok::<(), apns_inbox::NamesError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Names {
    devices: BTreeMap<String, String>,
    apps: BTreeMap<String, String>,
    categories: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

/// Why names could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at {field}: {problem}; the fields are devices, apps and categories")]
#[non_exhaustive]
pub struct NamesError {
    /// Where.
    pub field: String,
    /// What is wrong there.
    pub problem: String,
}

impl Names {
    /// Reads names: an object whose `devices` is by device token (or how it begins) in hexadecimal, whose `apps` is by bundle
    /// id, and whose `categories` has the titles of buttons by bundle id and category.
    ///
    /// # Errors
    ///
    /// [`NamesError`], which names the field in question.
    pub fn from_json(text: &str) -> Result<Self, NamesError> {
        let mut json = serde_json::Deserializer::from_str(text);
        let read: Result<Self, _> = serde_path_to_error::deserialize(&mut json);
        let read =
            read.map_err(|error| NamesError { field: error.path().to_string(), problem: error.inner().to_string() });
        let mut names = read?;
        names.devices = names.devices.into_iter().map(|(token, name)| (token.to_ascii_lowercase(), name)).collect();
        json.end().map_err(|error| NamesError { field: ".".to_owned(), problem: error.to_string() })?;
        Ok(names)
    }

    /// The name of a device: of the longest beginning that is named.
    pub(crate) fn device(&self, token: &str) -> Option<&str> {
        let named = self.devices.iter().filter(|(start, _)| !start.is_empty() && token.starts_with(start.as_str()));
        named.max_by_key(|(start, _)| start.len()).map(|(_, name)| name.as_str())
    }

    /// The name of an app: its own, else the last part of its bundle id.
    pub(crate) fn app<'a>(&'a self, bundle_id: &'a str) -> &'a str {
        let named = self.apps.get(bundle_id).map(String::as_str);
        named.unwrap_or_else(|| bundle_id.rsplit('.').find(|part| !part.is_empty()).unwrap_or(bundle_id))
    }

    /// The buttons of a category.
    pub(crate) fn actions(&self, topic: &str, category: &str) -> &[String] {
        let actions = self.categories.get(app_of(topic)).and_then(|categories| categories.get(category));
        actions.map(Vec::as_slice).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_of_a_token_names_it() {
        let names = Names::from_json(r#"{"devices":{"AA":"any","aabb":"one"}}"#).unwrap();
        assert_eq!(
            [names.device("aabbcc"), names.device("aacc"), names.device("bb")],
            [Some("one"), Some("any"), None]
        );
    }

    #[test]
    fn an_app_without_a_name_is_called_by_the_last_part_of_its_bundle_id() {
        let names = Names::from_json(r#"{"apps":{"com.example.app":"Kitchen"}}"#).unwrap();
        assert_eq!(
            [names.app("com.example.app"), names.app("com.example.chat"), names.app("")],
            ["Kitchen", "chat", ""]
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = Names::from_json(r#"{"apps":{"a":7}}"#).unwrap_err().to_string();
        assert!(error.starts_with("at apps.a: "), "{error}");
        assert!(Names::from_json(r#"{"phones":{}}"#).is_err());
        assert!(Names::from_json("{} {}").is_err());
    }
}
