//! Compares a payload with what is documented.

use std::collections::BTreeSet;

use apns_proto::encoding::{self, EncodingError};
use apns_proto::{Escaped, Payload, PayloadLimit, Priority, PushType};

use crate::json::Json;
use crate::rules;
use crate::shape::{Object, Others, Shape};
use crate::table;

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// It works, but perhaps not as it was meant: a key that the system ignores, or that only old systems know.
    Doubtful,
    /// The service accepts it, and the device drops it or leaves out what is meant, without a word.
    Dropped,
    /// The service refuses it.
    Refused,
}

impl Severity {
    /// The word for programs: `doubtful`, `dropped` or `refused`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Doubtful => "doubtful",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

/// Something that is wrong with a payload. Names keys and kinds of values, and never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The key, with those around it: `aps.alert.title`. Empty where it is about the whole. What does not print is escaped.
    pub at: String,
    /// What is wrong and what would be right.
    pub what: String,
}

/// A payload to be looked at, with what is known of its notification.
///
/// ```
/// use apns_lint::Lint;
/// use apns_proto::PushType;
///
/// let start = br#"{"aps":{"timestamp":1700000000,"event":"start","content-state":{},"attributes-type":"Delivery","attributes":{}}}"#;
/// let findings = Lint::new(start).with_push_type(PushType::LiveActivity).findings();
/// assert_eq!(findings[0].at, "aps.alert");
/// ```
#[derive(Debug, Clone)]
pub struct Lint<'a> {
    payload: &'a [u8],
    push_type: Option<PushType>,
    topic: Option<&'a str>,
    priority: Option<Priority>,
    broadcast: bool,
}

impl<'a> Lint<'a> {
    /// A payload, of which nothing else is known.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { payload, push_type: None, topic: None, priority: None, broadcast: false }
    }

    /// Sets the push type. Default: what the topic says by its suffix, then what the payload says, then
    /// [`PushType::Alert`].
    #[must_use]
    pub fn with_push_type(mut self, push_type: PushType) -> Self {
        self.push_type = Some(push_type);
        self
    }

    /// Sets the topic, to be compared with the push type. Default: unknown.
    #[must_use]
    pub const fn with_topic(mut self, topic: &'a str) -> Self {
        self.topic = Some(topic);
        self
    }

    /// Sets the priority. Default: unknown.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Says that it goes to a channel: a Live Activity with a larger limit that cannot start. Default: to a device.
    #[must_use]
    pub const fn as_broadcast(mut self) -> Self {
        self.broadcast = true;
        self
    }

    /// The push type by which it is judged.
    #[must_use]
    pub fn push_type(&self) -> PushType {
        let of_payload = || Payload::from_json(self.payload.to_vec()).ok()?.inferred_push_type();
        let named = self.push_type.clone().or_else(|| self.topic.and_then(PushType::of_topic));
        match named {
            Some(named) => named,
            None if self.broadcast => PushType::LiveActivity,
            None => of_payload().unwrap_or(PushType::Alert),
        }
    }

    /// Everything that is wrong, the worst first.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let push_type = self.push_type();
        let mut notes = Notes::default();
        self.check_request(&push_type, &mut notes);
        self.check_size(&push_type, &mut notes);
        if let Some(json) = read(self.payload, &mut notes) {
            let root = match &push_type {
                PushType::LiveActivity => live_activity(&json),
                _ => table::body(&push_type),
            };
            check_object(&mut notes, "", root, &json, &push_type);
            rules::check(&mut notes, &json, &push_type, self.broadcast);
        }
        let mut findings = notes.0;
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        // What is wrong with a key in earnest says all about it.
        let serious = findings.iter().filter(|finding| finding.severity > Severity::Doubtful && !finding.at.is_empty());
        let wrong: BTreeSet<String> = serious.map(|finding| finding.at.clone()).collect();
        findings.retain(|finding| finding.severity > Severity::Doubtful || !wrong.contains(&finding.at));
        findings
    }

    fn check_request(&self, push_type: &PushType, notes: &mut Notes) {
        let immediate = self.priority == Some(Priority::Immediate);
        if push_type.forced_priority().is_some_and(|_| immediate) {
            notes.add(Severity::Refused, "", format!("priority 10 is not for {push_type}: it has to be 5"));
        }
        let Some(topic) = self.topic else { return };
        let of_topic = PushType::of_topic(topic).filter(|named| !named.topic_suffix().is_empty());
        if of_topic.as_ref().is_some_and(|named| named != push_type)
            || of_topic.is_none() && self.lacks_suffix(push_type)
        {
            let suffix = push_type.topic_suffix();
            let wanted = if suffix.is_empty() { "no suffix".to_owned() } else { format!("the suffix {suffix}") };
            notes.add(Severity::Refused, "", format!("the topic of a push of type {push_type} has {wanted}"));
        }
        if of_topic.is_none() && resembles_suffix(topic) {
            notes.add(
                Severity::Doubtful,
                "",
                "the topic ends like one with a suffix, and not in one that Apple documents",
            );
        }
    }

    /// The path of a broadcast has the bundle id alone.
    fn lacks_suffix(&self, push_type: &PushType) -> bool {
        !self.broadcast && !push_type.topic_suffix().is_empty()
    }

    fn check_size(&self, push_type: &PushType, notes: &mut Notes) {
        let limit = if self.broadcast { PayloadLimit::BROADCAST } else { push_type.payload_limit() };
        let (size, limit) = (self.payload.len(), limit.bytes());
        if size > limit {
            notes.add(
                Severity::Refused,
                "",
                format!("it has {size} bytes, {} more than the limit of {limit} (PayloadTooLarge)", size - limit),
            );
        }
    }
}

/// The body that the event asks for.
fn live_activity(json: &Json) -> &'static Object {
    let event = json.get("aps").and_then(|aps| aps.get("event")).and_then(Json::text);
    let known = table::EVENTS.iter().find(|(name, _)| Some(*name) == event);
    known.map_or_else(|| table::body(&PushType::LiveActivity), |(_, body)| body)
}

/// Whether a topic without a suffix was probably meant to have one: another case, or a part of Apple's suffixes.
fn resembles_suffix(topic: &str) -> bool {
    let lower = topic.to_ascii_lowercase();
    let known = PushType::of_topic(&lower).is_some_and(|named| !named.topic_suffix().is_empty());
    known || [".push-type.", ".pushkit."].iter().any(|part| lower.contains(part))
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<Finding>);

impl Notes {
    pub(crate) fn add(&mut self, severity: Severity, at: impl Into<String>, what: impl Into<String>) {
        self.0.push(Finding { severity, at: at.into(), what: what.into() });
    }
}

/// Reads an object, if it is one.
fn read(payload: &[u8], notes: &mut Notes) -> Option<Json> {
    if payload.is_empty() {
        notes.add(Severity::Refused, "", "it is empty: the smallest payload is {} (PayloadEmpty)");
        return None;
    }
    let text = match encoding::text(payload) {
        Ok(text) => text,
        Err(error @ (EncodingError::Utf16 | EncodingError::Utf32)) => {
            notes.add(Severity::Dropped, "", error.to_string());
            return None;
        }
        Err(error) => {
            notes.add(Severity::Dropped, "", format!("JSON is UTF-8, and {error}"));
            return None;
        }
    };
    if text.len() < payload.len() {
        notes.add(Severity::Dropped, "", "a byte order mark stands before the JSON, where none may be (RFC 8259)");
    }
    match serde_json::from_str(text) {
        Ok(json @ Json::Object(_)) => Some(json),
        Ok(other) => {
            notes.add(Severity::Dropped, "", format!("it has to be an object, and is {}", other.kind()));
            None
        }
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            notes.add(Severity::Dropped, "", format!("it is not valid JSON at line {line}, column {column}"));
            None
        }
    }
}

/// The most of a name that is shown, in characters.
const SHOWN: usize = 64;

/// A member's name behind those around it.
pub(crate) fn path(around: &str, name: &str) -> String {
    let shown: String = name.chars().take(SHOWN).collect();
    let cut = if shown.len() < name.len() { "…" } else { "" };
    let dot = if around.is_empty() { "" } else { "." };
    format!("{around}{dot}{}{cut}", Escaped(shown))
}

fn check_object(notes: &mut Notes, around: &str, object: &'static Object, json: &Json, push_type: &PushType) {
    let members = json.members();
    for member in object.members.iter().filter(|member| member.required && json.get(member.name).is_none()) {
        let why = match (push_type, member.name) {
            (PushType::LiveActivity, "alert") => ": without one the system starts nothing".to_owned(),
            _ => format!(": a push of type {push_type} needs it"),
        };
        notes.add(Severity::Dropped, path(around, member.name), format!("it is missing{why}"));
    }
    for (index, (name, value)) in members.iter().enumerate() {
        let at = path(around, name);
        if members[..index].iter().any(|(earlier, _)| earlier == name) {
            notes.add(Severity::Dropped, at, "it stands there twice, and which one counts is anybody's guess");
            continue;
        }
        let Some(member) = object.member(name) else {
            check_other(notes, around, at, object.others, name, push_type);
            continue;
        };
        check_value(notes, &at, &member.shape, value, push_type);
    }
}

fn check_value(notes: &mut Notes, at: &str, shape: &Shape, value: &Json, push_type: &PushType) {
    if let Some(object) = shape.object(value) {
        check_object(notes, at, object, value, push_type);
    } else if !shape.fits(value) {
        let (expected, found) = (shape.expected(), shape.found(value));
        notes.add(Severity::Dropped, at, format!("it has to be {expected}, and is {found}"));
    }
}

/// A member that this object does not have.
fn check_other(notes: &mut Notes, around: &str, at: String, others: Others, name: &str, push_type: &PushType) {
    match others {
        Others::Forbidden => {
            notes.add(Severity::Dropped, at, format!("a push of type {push_type} has no other key than its own"));
        }
        Others::Own => {
            // An own key may have any name but these, whose place is so probably another that it is said.
            if *push_type != PushType::Mdm && name != "category" && table::is_aps_key(name) {
                notes.add(Severity::Dropped, at, "it stands beside `aps`, and the system looks for it in there");
            }
        }
        Others::Ignored => {
            let unknown = "the system does not know this key and ignores it";
            let (severity, what) = match rules::meant(name) {
                _ if around == "aps" && table::is_aps_key(name) => {
                    (Severity::Doubtful, format!("it means nothing in a push of type {push_type}"))
                }
                Some(meant) => (Severity::Dropped, format!("{unknown}: `{meant}` was probably meant")),
                None => (Severity::Doubtful, format!("{unknown}: an app's own keys stand beside `aps`")),
            };
            notes.add(severity, at, what);
        }
    }
}
