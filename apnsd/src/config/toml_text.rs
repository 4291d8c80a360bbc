//! The text of a configuration file, read as TOML: where it is wrong, and both spellings of a name.

use apns_credentials::disclosure::without_values;
use toml::de::{DeString, DeTable, DeValue};
use toml::{Deserializer, Spanned};

/// Which keys are names that somebody chose. They stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenNames {
    /// Those of the outermost tables.
    Outermost,
    /// Those in the table of this name.
    In(&'static str),
}

/// A text is no TOML, or says the same twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct TomlError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong. Never a value: that may be a secret.
    pub problem: String,
}

impl TomlError {
    /// What a reader found wrong with this text. Its own report shows the line, which may hold a secret.
    #[must_use]
    pub fn new(text: &str, error: &toml::de::Error) -> Self {
        Self::at(text, error.span().map_or(0, |span| span.start), without_values(error.message()))
    }

    fn at(text: &str, place: usize, problem: String) -> Self {
        let before = text.as_bytes().get(..place).unwrap_or_default();
        Self { line: before.iter().filter(|byte| **byte == b'\n').count() + 1, problem }
    }
}

/// Begins to read a text. The words of a setting's name may have `-` between them in place of `_`.
///
/// # Errors
///
/// [`TomlError`] says what keeps it from being read.
pub fn toml_reader(text: &str, names: ChosenNames) -> Result<Deserializer<'_>, TomlError> {
    let mut table = DeTable::parse(text).map_err(|error| TomlError::new(text, &error))?;
    let outermost = table.get_mut();
    let twice = match names {
        ChosenNames::Outermost => outermost.iter_mut().try_for_each(|(_, value)| respell_within(value)),
        ChosenNames::In(apart) => respell(outermost, apart),
    };
    match twice {
        Ok(()) => Ok(Deserializer::from(table)),
        Err(Twice { name, place }) => {
            // A key that is no name may be a value in the wrong place.
            let name = if name.len() <= LONGEST_NAME { format!("`{name}`") } else { "the same name".to_owned() };
            Err(TomlError::at(text, place, format!("{name} is there twice, once with `-` and once with `_`")))
        }
    }
}

/// No setting has a longer one.
const LONGEST_NAME: usize = 40;

struct Twice {
    name: String,
    place: usize,
}

fn respell_within(value: &mut Spanned<DeValue<'_>>) -> Result<(), Twice> {
    match value.get_mut() {
        DeValue::Table(table) => respell(table, ""),
        DeValue::Array(array) => array.iter_mut().try_for_each(respell_within),
        _ => Ok(()),
    }
}

/// The keys of the table `apart` stay as they are, and those of the tables in it do not.
fn respell(table: &mut DeTable<'_>, apart: &str) -> Result<(), Twice> {
    for (key, mut value) in std::mem::take(table) {
        let place = key.span();
        let name = key.get_ref().replace('-', "_");
        match value.get_mut() {
            DeValue::Table(chosen) if !apart.is_empty() && name == apart => {
                chosen.iter_mut().try_for_each(|(_, value)| respell_within(value))?;
            }
            _ => respell_within(&mut value)?,
        }
        let start = place.start;
        if table.insert(Spanned::new(place, DeString::from(name.clone())), value).is_some() {
            return Err(Twice { name, place: start });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;

    fn read(text: &str, names: ChosenNames) -> Result<serde_json::Value, TomlError> {
        let reader = toml_reader(text, names)?;
        serde_json::Value::deserialize(reader).map_err(|error| TomlError::new(text, &error))
    }

    #[test]
    fn both_spellings_are_one_and_chosen_names_stay() {
        let text = "stop-within = 1\n[out-box]\nmax-bytes = 2\n[[to-ken]]\na-b = 3\n[apps.my-shop]\nkey-id = 4\n\
                    [apps.my-shop.re-try]\nx-y = 5\n";
        let value = read(text, ChosenNames::In("apps")).unwrap();
        assert_eq!(value["stop_within"], 1);
        assert_eq!(value["out_box"]["max_bytes"], 2);
        assert_eq!(value["to_ken"][0]["a_b"], 3);
        assert_eq!(value["apps"]["my-shop"]["key_id"], 4);
        assert_eq!(value["apps"]["my-shop"]["re_try"]["x_y"], 5);
        let value = read("[my-profile]\nkey-id = \"a-b\"\n", ChosenNames::Outermost).unwrap();
        assert_eq!(value["my-profile"]["key_id"], "a-b");
    }

    #[test]
    fn one_setting_in_both_spellings_is_named_with_its_line() {
        let error = read("[one]\na = 1\nkey_id = 2\nkey-id = 3\n", ChosenNames::Outermost).unwrap_err();
        assert_eq!(error.problem, "`key_id` is there twice, once with `-` and once with `_`");
        assert!(error.line == 3 || error.line == 4, "{error}");
        let error = read("a = 1\n= secret", ChosenNames::In("apps")).unwrap_err();
        assert!(error.line == 2 && !error.to_string().contains("secret"), "{error}");
    }
}
