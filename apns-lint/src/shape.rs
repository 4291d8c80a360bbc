//! What a value may be.

use serde_json::{Map, Value, json};

use crate::json::Json;

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Text,
    /// One of these texts.
    Word(&'static [&'static str]),
    /// A text of decimal digits.
    Digits,
    /// A text in base64.
    Base64,
    Texts,
    /// A whole number of at least so much.
    Whole(u64),
    Number,
    /// A number from 0 to 1.
    Fraction,
    /// The number 1, which says yes.
    One,
    /// The number 0 or 1.
    Switch,
    True,
    /// Seconds since 1970.
    Seconds,
    /// An object of the app's own.
    Free,
    /// An object with members that Apple names.
    Object(&'static Object),
    /// Any of these; where none fits, the last that is of the same kind is what was meant.
    Either(&'static [Shape]),
    /// This, or null.
    OrNull(&'static Shape),
}

/// An object with members that Apple names.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) members: &'static [Member],
    pub(crate) others: Others,
}

/// What members that Apple does not name are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// The app's own.
    Own,
    /// Ignored by the system, and so probably a mistake.
    Ignored,
    /// Not allowed.
    Forbidden,
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) shape: Shape,
    /// Whether the push means nothing without it.
    pub(crate) required: bool,
    /// What it does, for the schema.
    pub(crate) about: &'static str,
}

impl Shape {
    /// Whether a value has this shape; the members of objects are not looked at.
    pub(crate) fn fits(&self, value: &Json) -> bool {
        match (self, value) {
            (Self::Text, Json::Text(_)) | (Self::Number, Json::Whole(_) | Json::Number(_)) => true,
            (Self::Word(words), Json::Text(text)) => words.contains(&text.as_str()),
            (Self::Digits, Json::Text(text)) => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
            (Self::Base64, Json::Text(text)) => {
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
            }
            (Self::Texts, Json::Array(values)) => values.iter().all(|value| value.text().is_some()),
            (Self::Whole(least), Json::Whole(number)) => number >= least,
            (Self::Fraction, _) => value.number().is_some_and(|number| (0.0..=1.0).contains(&number)),
            (Self::One, Json::Whole(1)) | (Self::Switch, Json::Whole(0 | 1)) | (Self::True, Json::Bool(true)) => true,
            (Self::Seconds, _) => value.number().is_some_and(|number| number >= 0.0),
            (Self::Free | Self::Object(_), Json::Object(_)) => true,
            (Self::Either(shapes), _) => shapes.iter().any(|shape| shape.fits(value)),
            (Self::OrNull(shape), _) => *value == Json::Null || shape.fits(value),
            _ => false,
        }
    }

    /// The object that a value of this shape is, if Apple names its members.
    pub(crate) fn object(&self, value: &Json) -> Option<&'static Object> {
        match self {
            Self::Object(object) if matches!(value, Json::Object(_)) => Some(object),
            Self::Either(shapes) => shapes.iter().find_map(|shape| shape.object(value)),
            Self::OrNull(shape) => shape.object(value),
            _ => None,
        }
    }

    /// What it has to be, in words.
    pub(crate) fn expected(&self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Digits => "a text of digits".to_owned(),
            Self::Base64 => "a text in base64".to_owned(),
            Self::Texts => "an array of texts".to_owned(),
            Self::Whole(least) => format!("a whole number of {least} or more"),
            Self::Number => "a number".to_owned(),
            Self::Fraction => "a number from 0 to 1".to_owned(),
            Self::One => "the number 1".to_owned(),
            Self::Switch => "the number 0 or 1".to_owned(),
            Self::True => "true".to_owned(),
            Self::Seconds => "a number of seconds since 1970".to_owned(),
            Self::Free | Self::Object(_) => "an object".to_owned(),
            Self::Either(shapes) => {
                let all: Vec<String> = shapes.iter().map(Self::expected).collect();
                all.join(" or ")
            }
            Self::OrNull(shape) => shape.expected(),
        }
    }

    /// What a value that does not fit is, in words.
    pub(crate) fn found(&self, value: &Json) -> &'static str {
        match (self, value) {
            (Self::OrNull(shape), _) => shape.found(value),
            (Self::Word(_) | Self::Digits | Self::Base64, Json::Text(_)) => "another text",
            (Self::Texts, Json::Array(_)) => "an array with something else in it",
            (
                Self::Whole(_) | Self::Fraction | Self::One | Self::Switch | Self::Seconds,
                Json::Whole(_) | Json::Number(_),
            ) => "another number",
            _ => value.kind(),
        }
    }

    /// As JSON Schema.
    pub(crate) fn schema(&self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::Word(words) => json!({"type": "string", "enum": words}),
            Self::Digits => json!({"type": "string", "pattern": "^[0-9]+$"}),
            Self::Base64 => json!({"type": "string", "pattern": "^[A-Za-z0-9+/=]*$"}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Whole(least) => json!({"type": "integer", "minimum": least}),
            Self::Number => json!({"type": "number"}),
            Self::Fraction => json!({"type": "number", "minimum": 0, "maximum": 1}),
            Self::One => json!({"const": 1}),
            Self::Switch => json!({"enum": [0, 1]}),
            Self::True => json!({"const": true}),
            Self::Seconds => json!({"type": "number", "minimum": 0}),
            Self::Free => json!({"type": "object"}),
            Self::Object(object) => object.schema(),
            Self::Either(shapes) => json!({"anyOf": shapes.iter().map(Self::schema).collect::<Vec<_>>()}),
            Self::OrNull(shape) => json!({"anyOf": [shape.schema(), {"type": "null"}]}),
        }
    }
}

impl Object {
    pub(crate) fn member(&self, name: &str) -> Option<&'static Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// As JSON Schema.
    pub(crate) fn schema(&self) -> Value {
        let properties: Map<String, Value> = self
            .members
            .iter()
            .map(|member| {
                let mut schema = member.shape.schema();
                if let Value::Object(schema) = &mut schema {
                    schema.insert("description".to_owned(), member.about.into());
                }
                (member.name.to_owned(), schema)
            })
            .collect();
        let required: Vec<&str> =
            self.members.iter().filter(|member| member.required).map(|member| member.name).collect();
        json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": self.others == Others::Own,
        })
    }
}
