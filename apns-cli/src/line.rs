//! One line of a batch: a JSON object that names a device and says what to send.

use std::fmt;
use std::time::Duration;

use apns_credentials::disclosure::is_name;
use apns_proto::encoding;
use apns_proto::internal::Members;
use apns_proto::{
    ApnsId, CollapseId, DeviceToken, Expiration, NotSeconds, Notification, Priority, PushType, Topic, WallTime,
};
use serde::de::Deserialize;
use serde_json::value::RawValue;

use crate::batch::form::{Columns, Form};
use crate::draft::{Composer, Draft, compact, expiration_after};
use crate::duration;
use crate::invalid::{FIELDS, FieldError, Invalid};

/// What a line is about, as far as it could be read, and what it makes.
pub(crate) struct Read {
    /// Whatever stood there as `id`.
    pub(crate) id: Option<Box<RawValue>>,
    /// The token: as normal digits, or the text as it was given when it is none but like one.
    pub(crate) token: Option<String>,
    /// When the app registered the token, in seconds since 1970, if the line says.
    pub(crate) registered: Option<u64>,
    /// The notification, or why there is none.
    pub(crate) notification: Result<Notification, Invalid>,
}

impl Read {
    /// About nothing that is known.
    pub(crate) const fn nothing(why: Invalid) -> Self {
        Self { id: None, token: None, registered: None, notification: Err(why) }
    }

    /// A token on the command line, which takes everything else from the defaults.
    pub(crate) fn token(text: &str, composer: &Composer) -> Self {
        let (token, parsed) = read_token(text);
        let notification = parsed.and_then(|token| composer.compose(token, Draft::default()));
        Self { id: None, token, registered: None, notification }
    }

    /// A line of a batch.
    pub(crate) fn line(line: &[u8], composer: &Composer) -> Self {
        // Where files were joined, each may have brought a byte order mark.
        let text = match encoding::text(line) {
            Ok(text) => text,
            Err(error) => return Self::nothing(Invalid::Encoding(error)),
        };
        let members = match serde_json::from_str::<Members<'_>>(text) {
            Ok(Members(members)) => members,
            Err(error) if error.is_data() => return Self::nothing(Invalid::NotAnObject),
            Err(error) => return Self::nothing(Invalid::NotJson { column: error.column() }),
        };
        Self::members(members, composer)
    }

    /// A line or a record of a batch of this form.
    pub(crate) fn record_of(record: &[u8], form: &Form, composer: &Composer) -> Self {
        match form {
            Form::Json => Self::line(record, composer),
            Form::Tokens => Self::bare(record, composer),
            Form::Csv(columns) => Self::record(record, columns, composer),
        }
    }

    /// A line of a batch of bare tokens.
    pub(crate) fn bare(line: &[u8], composer: &Composer) -> Self {
        match encoding::text(line) {
            Ok(text) => Self::token(text.trim(), composer),
            Err(error) => Self::nothing(Invalid::Encoding(error)),
        }
    }

    /// A record of CSV.
    pub(crate) fn record(record: &[u8], columns: &Columns, composer: &Composer) -> Self {
        let text = encoding::text(record).map_err(Invalid::Encoding);
        match text.and_then(|text| columns.members(text)) {
            Ok(members) => Self::members(members.iter().map(|(name, value)| ((*name).to_owned(), &**value)), composer),
            Err(why) => Self::nothing(why),
        }
    }

    fn members<'a>(members: impl IntoIterator<Item = (String, &'a RawValue)>, composer: &Composer) -> Self {
        let mut read = Fields::default();
        for (name, value) in members {
            read.put(name, value);
        }
        // What tells the sender which line it was is wanted also where something else is wrong.
        let id = read.id.map(compact);
        let (token, parsed) = match read.token {
            Some(Ok(text)) => {
                let (token, parsed) = read_token(&text);
                (token, parsed)
            }
            Some(Err(error)) => (None, Err(error.into())),
            None => (None, Err(Invalid::NoToken)),
        };
        let notification = match read.problem {
            Some(problem) => Err(problem),
            None => parsed.and_then(|token| composer.compose(token, read.draft)),
        };
        Self { id, token, registered: read.registered, notification }
    }
}

/// What is no device token may be any secret: it is told only where it is like one.
fn read_token(text: &str) -> (Option<String>, Result<DeviceToken, Invalid>) {
    let like_one = || text.bytes().all(|byte| byte.is_ascii_hexdigit() || b" <>:-".contains(&byte));
    match DeviceToken::from_hex(text) {
        Ok(token) => (Some(token.to_hex()), Ok(token)),
        Err(error) => (like_one().then(|| text.to_owned()), Err(error.into())),
    }
}

/// The fields of a line, filled one by one.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a RawValue>,
    token: Option<Result<String, FieldError>>,
    registered: Option<u64>,
    draft: Draft,
    seen: Vec<&'static str>,
    /// The first thing that is wrong.
    problem: Option<Invalid>,
}

impl<'a> Fields<'a> {
    /// Takes one field; a `null` is as good as no field. Whatever is wrong is noted, and reading goes on: the id and the
    /// token may still come.
    fn put(&mut self, name: String, value: &'a RawValue) {
        if let Err(problem) = self.take(name, value) {
            self.problem.get_or_insert(problem);
        }
    }

    fn take(&mut self, name: String, value: &'a RawValue) -> Result<(), Invalid> {
        let Some(name) = FIELDS.into_iter().find(|known| *known == name) else {
            return Err(Invalid::UnknownField { name });
        };
        if self.seen.contains(&name) {
            return Err(Invalid::DuplicateField { name });
        }
        self.seen.push(name);
        if value.get() == "null" {
            return Ok(());
        }
        let Draft { content, expiration, priority, topic, push_type, collapse_id, apns_id } = &mut self.draft;
        let field = Field { name, value };
        match name {
            "id" => self.id = Some(value),
            "token" => self.token = Some(field.text()),
            "registered" => self.registered = Some(field.seconds(WallTime::from_unix)?.as_secs()),
            "payload" => content.whole = Some(apns_proto::Payload::from_json_compact(value.get())?),
            "title" => content.title = Some(field.text()?),
            "subtitle" => content.subtitle = Some(field.text()?),
            "body" => content.body = Some(field.text()?),
            "badge" => content.badge = Some(field.read("a whole number of 0 or more")?),
            "sound" => content.sound = Some(field.text()?),
            "category" => content.category = Some(field.text()?),
            "thread_id" => content.thread_id = Some(field.text()?),
            "content_available" => content.content_available = Some(field.switch()?),
            "mutable_content" => content.mutable_content = Some(field.switch()?),
            "custom" => content.custom = Some(field.members()?),
            "expiration" => *expiration = Some(field.seconds(Expiration::from_unix)?),
            "ttl" => *expiration = Some(expiration_after(field.span()?)),
            "priority" => *priority = Some(field.priority()?),
            "topic" => *topic = Some(field.checked(Topic::new)?),
            "push_type" => *push_type = Some(field.checked(|text| text.parse::<PushType>())?),
            "collapse_id" => *collapse_id = Some(field.checked(CollapseId::new)?),
            "apns_id" => *apns_id = Some(field.checked(|text| text.parse::<ApnsId>())?),
            _ => return Err(Invalid::UnknownField { name: name.to_owned() }),
        }
        if self.seen.contains(&"expiration") && self.seen.contains(&"ttl") {
            return Err(Invalid::Exclusive { one: "expiration", other: "ttl" });
        }
        match self.draft.content.first_part() {
            Some(other) if self.draft.content.whole.is_some() => Err(Invalid::Exclusive { one: "payload", other }),
            Some(_) | None => Ok(()),
        }
    }
}

/// The value of a field, with the name for messages.
struct Field<'a> {
    name: &'static str,
    value: &'a RawValue,
}

impl<'a> Field<'a> {
    fn read<T: Deserialize<'a>>(&self, expected: &'static str) -> Result<T, FieldError> {
        serde_json::from_str(self.value.get()).map_err(|_| FieldError::Kind { field: self.name, expected })
    }

    fn text(&self) -> Result<String, FieldError> {
        self.read("a text")
    }

    /// As in the payload itself, 1 may stand for true.
    fn switch(&self) -> Result<bool, FieldError> {
        match self.value.get() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(FieldError::Kind { field: self.name, expected: "true or false" }),
        }
    }

    fn members(&self) -> Result<Vec<(String, Box<RawValue>)>, FieldError> {
        let Members(members) = self.read("an object")?;
        for (index, (name, _)) in members.iter().enumerate() {
            if members[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(self
                    .value_error(format!("the key `{}` stands there twice", if is_name(name) { name } else { "…" })));
            }
        }
        Ok(members.into_iter().map(|(name, value)| (name, compact(value))).collect())
    }

    /// A text as on the command line, or a number of seconds.
    fn span(&self) -> Result<Duration, FieldError> {
        let expected = "a text such as \"10m\", or a whole number of seconds";
        let text = match self.read::<u64>(expected) {
            Ok(seconds) => format!("{seconds}s"),
            Err(_) => self.read(expected)?,
        };
        duration::parse(&text).map_err(|error| self.value_error(error))
    }

    fn seconds<T>(&self, read: impl FnOnce(u64) -> Result<T, NotSeconds>) -> Result<T, FieldError> {
        read(self.read("a whole number of seconds since 1970")?).map_err(|error| self.value_error(error))
    }

    fn priority(&self) -> Result<Priority, FieldError> {
        let expected = "10, 5, or 1 (HTTP/2 only)";
        let number = self.read::<u8>(expected)?;
        Priority::from_number(number).ok_or(FieldError::Kind { field: self.name, expected })
    }

    fn checked<T, E: fmt::Display>(&self, check: impl FnOnce(String) -> Result<T, E>) -> Result<T, FieldError> {
        check(self.text()?).map_err(|error| self.value_error(error))
    }

    fn value_error(&self, reason: impl fmt::Display) -> FieldError {
        FieldError::Value { field: self.name, reason: reason.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use apns_proto::PayloadError;
    use apns_proto::encoding::EncodingError;

    use super::*;
    use crate::draft::Service;

    fn read(line: &str) -> Read {
        Read::line(line.as_bytes(), &Composer::new(Service::Binary, Draft::default()))
    }

    fn error(line: &str) -> String {
        read(line).notification.unwrap_err().to_string()
    }

    #[test]
    fn a_line_has_a_token_and_says_what_to_send() {
        let read =
            read(r#"{"id": {"k": [1, 2]}, "token": "<DE AD be ef>", "title": "Hi", "badge": 0, "thread_id": "t"}"#);
        assert_eq!(read.id.unwrap().get(), r#"{"k":[1,2]}"#);
        assert_eq!(read.token.as_deref(), Some("deadbeef"));
        let notification = read.notification.unwrap();
        let expected = br#"{"aps":{"alert":{"title":"Hi"},"badge":0,"thread-id":"t"}}"#;
        assert_eq!(notification.payload().as_bytes(), expected);
        assert_eq!(notification.expiration(), Expiration::Omitted);
    }

    #[test]
    fn a_payload_keeps_the_order_of_its_keys() {
        let read = read(r#"{"token":"deadbeef","payload":{ "z": 1.0e2, "aps": { "alert": "a\u00e9" }, "b": null }}"#);
        let payload = read.notification.unwrap();
        assert_eq!(payload.payload().as_bytes(), br#"{"z":1.0e2,"aps":{"alert":"a\u00e9"},"b":null}"#);
    }

    #[test]
    fn every_field_finds_its_place() {
        let read = read(
            r#"{"token":"deadbeef","subtitle":"s","body":"b","sound":"d","category":"c","content_available":1,
                "mutable_content":true,"custom":{"k":{"y":1,"x":2}},"ttl":"10m","priority":5,"topic":"com.example.app",
                "push_type":"alert","collapse_id":"c1","apns_id":"27cfdc15-0000-4000-8000-000000000001","title":null}"#,
        );
        let made = read.notification.unwrap();
        let expected = concat!(
            r#"{"aps":{"alert":{"subtitle":"s","body":"b"},"sound":"d","category":"c","content-available":1,"#,
            r#""mutable-content":1},"k":{"y":1,"x":2}}"#
        );
        let payload = String::from_utf8(made.payload().as_bytes().to_vec()).unwrap();
        let sorted = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.sort_unstable();
            bytes
        };
        assert_eq!(sorted(&payload), sorted(expected), "{payload}");
        assert!(payload.ends_with(r#""k":{"y":1,"x":2}}"#), "{payload}");
        assert_eq!(made.expiration(), Expiration::After(Duration::from_secs(600)));
        assert_eq!(made.priority(), Some(Priority::PowerSaving));
        assert_eq!(made.topic().unwrap().as_str(), "com.example.app");
        assert_eq!(made.push_type(), Some(&PushType::Alert));
        assert_eq!(made.collapse_id().unwrap().as_str(), "c1");
        assert_eq!(made.apns_id().unwrap().to_string(), "27cfdc15-0000-4000-8000-000000000001");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, expected) in [
            ("", "the line is not valid JSON at byte 0"),
            ("{\"token\":\"aa\",}", "the line is not valid JSON at byte 15"),
            ("[]", "the line is JSON but not an object, such as {\"token\":\"…\",\"body\":\"…\"}"),
            ("\"aa\"", "the line is JSON but not an object, such as {\"token\":\"…\",\"body\":\"…\"}"),
            ("{}", "there is no `token`"),
            (r#"{"token":null,"body":"x"}"#, "there is no `token`"),
            (r#"{"token":17,"body":"x"}"#, "`token` has to be a text"),
            (r#"{"token":"aa"}"#, "nothing says what to send: give `payload`, or members such as `title` and `body`"),
            (r#"{"token":"aa","thread-id":"x"}"#, "unknown field `thread-id`: it is called `thread_id` here"),
            (r#"{"token":"aa","body":"x","body":"y"}"#, "the field `body` stands there twice"),
            (r#"{"token":"aa","body":"x","payload":{}}"#, "`payload` and `body` exclude each other"),
            (r#"{"token":"aa","body":"x","ttl":"1s","expiration":1}"#, "`expiration` and `ttl` exclude each other"),
            (r#"{"token":"aa","badge":"secret"}"#, "`badge` has to be a whole number of 0 or more"),
            (r#"{"token":"aa","badge":-1}"#, "`badge` has to be a whole number of 0 or more"),
            (r#"{"token":"aa","content_available":2}"#, "`content_available` has to be true or false"),
            (r#"{"token":"aa","body":"x","priority":7}"#, "`priority` has to be 10, 5, or 1 (HTTP/2 only)"),
            (
                r#"{"token":"aa","body":"x","priority":1}"#,
                "priority 1 does not exist in the binary protocol: use 5 or 10",
            ),
            (r#"{"token":"aa","payload":"x"}"#, "the payload is JSON but not an object"),
            (r#"{"token":"aa","custom":{"a":1,"a":2}}"#, "`custom`: the key `a` stands there twice"),
            (r#"{"token":"aa","body":"x","topic":""}"#, "`topic`: the topic must not be empty"),
            (
                r#"{"token":"aa","body":"x","ttl":"soon"}"#,
                "`ttl`: a span of time begins with a whole number, as in 500ms, 3s, 2m, 12h or 7d",
            ),
        ] {
            assert_eq!(error(line), expected, "{line}");
        }
        let unknown = error(r#"{"token":"aa","titel":"x"}"#);
        assert!(
            unknown.starts_with("unknown field `titel`; those that are known: token, id, registered, payload"),
            "{unknown}"
        );
        let custom = error(r#"{"token":"aa","custom":{"aps":1}}"#);
        assert_eq!(custom, PayloadError::ReservedKey.to_string());
        let read = Read::line(b"{\"token\":\"\xff\"}", &Composer::new(Service::Binary, Draft::default()));
        assert_eq!(read.notification, Err(Invalid::Encoding(EncodingError::NotUtf8 { position: 10 })));
    }

    #[test]
    fn id_and_token_are_known_whatever_else_is_wrong() {
        // What is no token is told where it is like one: it might be any secret.
        for (given, token) in [("<DE AD>", Some("dead")), ("dead-bee", Some("dead-bee")), ("hunter2secret", None)] {
            let read = read(&format!(r#"{{"nonsense":1,"badge":"x","token":"{given}","id":"a-1"}}"#));
            assert_eq!(read.id.unwrap().get(), r#""a-1""#);
            assert_eq!(read.token.as_deref(), token);
            assert!(matches!(read.notification, Err(Invalid::UnknownField { .. })));
        }
    }

    #[test]
    fn every_field_that_is_listed_is_taken() {
        for name in FIELDS {
            let error = error(&format!(r#"{{"{name}":[]}}"#));
            assert!(!error.contains("unknown field"), "{error}");
        }
    }
}
