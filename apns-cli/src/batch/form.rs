//! The form of a batch: JSON lines, bare device tokens, or CSV. The first line tells.

use apns_credentials::disclosure::is_name;
use apns_proto::DeviceToken;
use apns_proto::encoding;
use clap::Args;
use serde_json::value::RawValue;

use crate::invalid::{FIELDS, Invalid};

/// How the lines of a batch are to be read.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FormFlags {
    /// The column of a CSV batch that has the device tokens
    #[arg(long, value_name = "NAME", default_value = "token", help_heading = "Devices")]
    token_column: String,
    /// Leave out the columns of a CSV batch that have no name known here
    #[arg(long, help_heading = "Devices")]
    skip_columns: bool,
    /// Whether there is nothing but device tokens.
    #[arg(skip)]
    bare: bool,
}

/// What the lines of a batch are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON object on each line.
    Json,
    /// One device token on each line.
    Tokens,
    /// Records of CSV, whose first line has the names.
    Csv(Columns),
}

/// The columns of a CSV batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Columns {
    delimiter: u8,
    /// The field of each column; none for one that is left out.
    fields: Vec<Option<&'static str>>,
}

/// Why a batch has no form that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormError {
    /// The first line is nothing that a batch begins with.
    #[error(
        "the first line is neither a JSON object, nor a device token, nor the names of CSV columns with `{token_column}` \
         among them (--token-column names another)"
    )]
    Unknown {
        /// The name that the column of the tokens has to have.
        token_column: String,
    },
    /// A column that is nothing a notification has.
    #[error(
        "the CSV column {place} has a name that is not known: {}; those that are: {}; --skip-columns leaves out the others",
        if is_name(name) { name } else { "…" }, FIELDS.join(", ")
    )]
    Column {
        /// Which column, from 1.
        place: usize,
        /// Its name.
        name: String,
    },
    /// Two columns for the same thing.
    #[error("the CSV column {place} is a second one for `{field}`")]
    Twice {
        /// Which column, from 1.
        place: usize,
        /// What it is for.
        field: &'static str,
    },
}

impl FormFlags {
    /// The lines are device tokens, whatever the first one looks like.
    pub(crate) const fn of_tokens(mut self) -> Self {
        self.bare = true;
        self
    }

    /// The form of a batch that begins with this line. Only the first line of CSV is no notification.
    pub(crate) fn of(&self, first: &[u8]) -> Result<Form, FormError> {
        if self.bare {
            return Ok(Form::Tokens);
        }
        let unknown = || FormError::Unknown { token_column: self.token_column.clone() };
        // What is no text is named where lines are read.
        let Ok(text) = encoding::text(first) else { return Ok(Form::Json) };
        let text = text.trim();
        if text.starts_with(['{', '[']) {
            return Ok(Form::Json);
        }
        for delimiter in [b',', b';', b'\t'] {
            let Ok(names) = record(text, delimiter) else { continue };
            if names.iter().any(|name| name.trim() == self.token_column) {
                return self.columns(delimiter, &names).map(Form::Csv);
            }
        }
        if DeviceToken::from_hex(text).is_ok() { Ok(Form::Tokens) } else { Err(unknown()) }
    }

    fn columns(&self, delimiter: u8, names: &[String]) -> Result<Columns, FormError> {
        let mut fields: Vec<Option<&'static str>> = Vec::new();
        for (index, name) in names.iter().map(|name| name.trim()).enumerate() {
            let place = index + 1;
            // A column `token` beside the one that was named is any other column.
            let name = match name {
                name if name == self.token_column => "token",
                "token" => "",
                name => name,
            };
            let with_underscores = name.replace('-', "_");
            let field = FIELDS.into_iter().find(|known| *known == with_underscores);
            match field {
                Some(field) if fields.contains(&Some(field)) => return Err(FormError::Twice { place, field }),
                None if !self.skip_columns => return Err(FormError::Column { place, name: name.to_owned() }),
                found => fields.push(found),
            }
        }
        Ok(Columns { delimiter, fields })
    }
}

/// The fields of one record, which may hold line breaks within quotes.
fn record(text: &str, delimiter: u8) -> Result<Vec<String>, Invalid> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text.as_bytes());
    let mut records = reader.records();
    let record = match records.next() {
        Some(Ok(record)) => record,
        Some(Err(_)) | None => return Err(Invalid::NotCsv),
    };
    Ok(record.iter().map(str::to_owned).collect())
}

/// Whether a record goes on on the next line: a quote is open.
pub(crate) fn goes_on(record: &[u8]) -> bool {
    record.iter().filter(|byte| **byte == b'"').count() % 2 == 1
}

impl Columns {
    /// The members of the JSON object that a record stands for. An empty field is none.
    pub(crate) fn members(&self, text: &str) -> Result<Vec<(&'static str, Box<RawValue>)>, Invalid> {
        let values = record(text, self.delimiter)?;
        if values.len() > self.fields.len() {
            return Err(Invalid::TooManyFields { found: values.len(), expected: self.fields.len() });
        }
        let named = self.fields.iter().zip(values).filter_map(|(field, value)| Some(((*field)?, value)));
        let given = named.filter(|(_, value)| !value.is_empty());
        Ok(given.map(|(field, value)| (field, json(field, &value))).collect())
    }
}

/// A field as JSON: as it stands where the field holds a number, a switch or JSON, and as a text otherwise. What is no JSON
/// is a text as well, which the reader of the field refuses by its name.
fn json(field: &str, value: &str) -> Box<RawValue> {
    let as_it_stands = match field {
        "payload" | "custom" | "badge" | "priority" | "expiration" | "registered" => Some(value.trim().to_owned()),
        // Spreadsheets write TRUE.
        "content_available" | "mutable_content" => Some(value.trim().to_ascii_lowercase()),
        // A number of seconds, or a text such as 10m.
        "ttl" if value.bytes().all(|byte| byte.is_ascii_digit()) => Some(value.to_owned()),
        _ => None,
    };
    as_it_stands.and_then(|json| RawValue::from_string(json).ok()).unwrap_or_else(|| {
        let quoted = serde_json::to_string(value).expect("a text is JSON");
        RawValue::from_string(quoted).expect("what was written as JSON is JSON")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

    fn of(line: &str) -> Result<Form, FormError> {
        FormFlags { token_column: "token".to_owned(), ..FormFlags::default() }.of(line.as_bytes())
    }

    #[test]
    fn the_first_line_tells_the_form() {
        assert_eq!(of(r#"  {"token":"aa"}"#), Ok(Form::Json));
        assert_eq!(of("[]"), Ok(Form::Json), "said of the line, as in the middle");
        assert_eq!(of(TOKEN), Ok(Form::Tokens));
        assert_eq!(of("<00fc13ad ff785122>"), Ok(Form::Tokens));
        for (line, delimiter) in [("token,title", b','), ("token;title", b';'), ("token\ttitle", b'\t')] {
            let fields = vec![Some("token"), Some("title")];
            assert_eq!(of(line), Ok(Form::Csv(Columns { delimiter, fields })), "{line}");
        }
        assert!(matches!(of("\u{feff}\"token\"\r"), Ok(Form::Csv(_))), "one column");
        assert!(matches!(of("device,title"), Err(FormError::Unknown { .. })));
        assert!(matches!(of("hello"), Err(FormError::Unknown { .. })));
    }

    #[test]
    fn columns_are_named_as_the_members_of_json() {
        assert_eq!(of("token,titel"), Err(FormError::Column { place: 2, name: "titel".to_owned() }));
        assert_eq!(of("token,title,title"), Err(FormError::Twice { place: 3, field: "title" }));
        let flags = FormFlags { token_column: "device".to_owned(), skip_columns: true, bare: false };
        let Ok(Form::Csv(columns)) = flags.of(b"user,device,token,thread-id") else { panic!() };
        assert_eq!(columns.fields, [None, Some("token"), None, Some("thread_id")]);
    }

    #[test]
    fn a_record_is_an_object_of_json() {
        let Ok(Form::Csv(columns)) = of("token,title,badge,content_available,custom,ttl,id") else { panic!() };
        let members = |text: &str| {
            let members = columns.members(text).unwrap();
            members.into_iter().map(|(name, value)| format!("{name}={}", value.get())).collect::<Vec<_>>()
        };
        assert_eq!(
            members(r#"aa,"He said ""hi"", and left",3,TRUE,"{""a"":[1]}",60,7"#),
            [
                "token=\"aa\"",
                r#"title="He said \"hi\", and left""#,
                "badge=3",
                "content_available=true",
                r#"custom={"a":[1]}"#,
                "ttl=60",
                "id=\"7\"",
            ]
        );
        assert_eq!(members("aa,,,,,10m,"), ["token=\"aa\"", "ttl=\"10m\""], "an empty field is none");
        assert_eq!(members("aa,\"two\nlines\""), ["token=\"aa\"", r#"title="two\nlines""#]);
        assert_eq!(members("aa,,many"), ["token=\"aa\"", "badge=\"many\""], "named by who reads the field");
        let found = columns.members("1,2,3,4,5,6,7,8").unwrap_err();
        assert_eq!(found, Invalid::TooManyFields { found: 8, expected: 7 });
    }

    #[test]
    fn a_record_goes_on_while_a_quote_is_open() {
        assert!(goes_on(br#"aa,"two"#));
        assert!(!goes_on(br#"aa,"two ""words""""#));
        assert!(!goes_on(b"aa,b"));
    }
}
