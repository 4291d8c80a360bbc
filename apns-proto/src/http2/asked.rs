//! A request as the service reads it: where it goes, and whether its headers and its body can be right. What a token or a
//! credential is good for is for others to judge.

use serde::de::IgnoredAny;

use super::Reason;
use crate::{ApnsId, Priority, PushType};

/// The parts of a request that has arrived.
pub trait Fields {
    /// The method.
    fn method(&self) -> &str;

    /// The path, without a query.
    fn path(&self) -> &str;

    /// The value of a header field; the first, where the name occurs more than once. The name is in lower case.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// How often a header field occurs.
    fn count(&self, name: &str) -> usize;

    /// The body.
    fn body(&self) -> &[u8];

    /// A header's value, if it is text.
    fn text(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| str::from_utf8(value).ok())
    }

    /// A header's value, if it is a number in decimal digits.
    fn number(&self, name: &str) -> Option<u64> {
        let value = self.text(name)?;
        // `parse` would take a sign.
        if value.starts_with('+') { None } else { value.parse().ok() }
    }
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A push to the device with the token behind the folder, as it stands in the path.
    Device(&'a str),
    /// A broadcast for the bundle id behind the folder.
    Broadcast(&'a str),
    /// The management of channels, for the bundle id and what is behind that.
    Channels(&'a str),
    /// Nothing that the service has.
    Other,
}

impl<'a> Target<'a> {
    /// Reads a path.
    #[must_use]
    pub fn of(path: &'a str) -> Self {
        if let Some(token) = under(path, "/3/device") {
            Self::Device(token)
        } else if let Some(bundle_id) = under(path, "/4/broadcasts/apps") {
            Self::Broadcast(bundle_id)
        } else if let Some(rest) = under(path, "/1/apps") {
            Self::Channels(rest)
        } else {
            Self::Other
        }
    }
}

/// What is under a folder: the rest of the path without the slash, empty for the folder itself.
fn under<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    match path.strip_prefix(folder)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}

/// The headers that may stand once only.
const SINGLE_HEADERS: &[&str] = &[
    "authorization",
    "apns-id",
    "apns-request-id",
    "apns-push-type",
    "apns-expiration",
    "apns-priority",
    "apns-topic",
    "apns-collapse-id",
    "apns-channel-id",
];

/// The most bytes of a collapse id.
const MAX_COLLAPSE_ID: usize = 64;

/// Checks what comes before the credential of a push to a device, and gives the device token as it stands in the path.
///
/// # Errors
///
/// `MethodNotAllowed`, `MissingDeviceToken`, `BadPath` and `DuplicateHeaders`, in this order.
pub fn check_head<'a>(asked: &impl Fields, token: &'a str) -> Result<&'a str, Reason> {
    check_method(asked, "POST")?;
    if token.is_empty() {
        return Err(Reason::MissingDeviceToken);
    }
    if token.contains('/') {
        return Err(Reason::BadPath);
    }
    check_duplicates(asked)?;
    Ok(token)
}

/// Checks the method.
///
/// # Errors
///
/// `MethodNotAllowed`.
pub fn check_method(asked: &impl Fields, method: &str) -> Result<(), Reason> {
    if asked.method() == method { Ok(()) } else { Err(Reason::MethodNotAllowed) }
}

/// Checks that no header stands twice that may stand once.
///
/// # Errors
///
/// `DuplicateHeaders`.
pub fn check_duplicates(asked: &impl Fields) -> Result<(), Reason> {
    let repeated = SINGLE_HEADERS.iter().any(|name| asked.count(name) > 1);
    if repeated { Err(Reason::DuplicateHeaders) } else { Ok(()) }
}

/// The topic that a push names, if it names one.
///
/// # Errors
///
/// `BadTopic`.
pub fn named_topic(asked: &impl Fields) -> Result<Option<&str>, Reason> {
    let Some(value) = asked.header("apns-topic") else { return Ok(None) };
    let topic = str::from_utf8(value).map_err(|_| Reason::BadTopic)?;
    check_topic(topic).map(|()| Some(topic))
}

/// Checks the characters of a topic.
///
/// # Errors
///
/// `BadTopic`.
pub fn check_topic(topic: &str) -> Result<(), Reason> {
    let proper = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !topic.is_empty() && topic.bytes().all(proper) { Ok(()) } else { Err(Reason::BadTopic) }
}

/// Whether a topic is one of the app with this bundle id: the id itself, or with the suffix of a push type.
#[must_use]
pub fn is_topic_of(bundle_id: &str, topic: &str) -> bool {
    topic.strip_prefix(bundle_id).is_some_and(|rest| PushType::known().any(|known| known.topic_suffix() == rest))
}

/// What the headers of a push say, behind the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushFields<'a> {
    /// `apns-push-type`; any type of which the name is well formed.
    pub push_type: Option<PushType>,
    /// `apns-id`.
    pub apns_id: Option<ApnsId>,
    /// `apns-expiration`, in seconds since 1970.
    pub expiration: Option<u64>,
    /// `apns-priority`.
    pub priority: Option<Priority>,
    /// `apns-collapse-id`.
    pub collapse_id: Option<&'a [u8]>,
}

impl<'a> PushFields<'a> {
    /// Reads them, and checks the size of the body. `topic_type` is the push type that the topic is for by its suffix or
    /// beginning; none for a bundle id, whatever it ends in.
    ///
    /// # Errors
    ///
    /// The first that holds: `InvalidPushType`, also where the type is not the topic's; `BadMessageId`;
    /// `BadExpirationDate`; `BadPriority`, also 10 for a type that must not have it; `BadCollapseId`; `PayloadEmpty`;
    /// `PayloadTooLarge`.
    pub fn read(asked: &'a impl Fields, topic_type: Option<&PushType>) -> Result<Self, Reason> {
        let push_type = push_type(asked, topic_type)?;
        let apns_id = uuid(asked, "apns-id")?;
        let expiration = asked.number("apns-expiration");
        if asked.header("apns-expiration").is_some() && expiration.is_none() {
            return Err(Reason::BadExpirationDate);
        }
        let priority = priority(asked)?;
        let forced = push_type.as_ref().and_then(PushType::forced_priority);
        if forced.is_some() && priority == Some(Priority::Immediate) {
            return Err(Reason::BadPriority);
        }
        let collapse_id = asked.header("apns-collapse-id");
        if collapse_id.is_some_and(|id| id.len() > MAX_COLLAPSE_ID) {
            return Err(Reason::BadCollapseId);
        }
        let limit = push_type.as_ref().or(topic_type).unwrap_or(&PushType::Alert).payload_limit();
        check_size(asked, limit.bytes())?;
        Ok(Self { push_type, apns_id, expiration, priority, collapse_id })
    }
}

/// Seen from the service: InvalidPushType answers `alert` for a topic that ends in `.voip`, and `voip` for one that does
/// not.
fn push_type(asked: &impl Fields, topic_type: Option<&PushType>) -> Result<Option<PushType>, Reason> {
    if asked.header("apns-push-type").is_none() {
        return Ok(None);
    }
    let named = asked.text("apns-push-type").and_then(|text| text.parse::<PushType>().ok());
    let push_type = named.ok_or(Reason::InvalidPushType)?;
    let suits = match topic_type {
        // Passes and websites have one topic for everything.
        Some(PushType::Alert) => push_type.topic_suffix().is_empty(),
        Some(only) => *only == push_type,
        None => push_type.topic_suffix().is_empty(),
    };
    if suits { Ok(Some(push_type)) } else { Err(Reason::InvalidPushType) }
}

/// The UUID in a header, if it is there.
///
/// # Errors
///
/// `BadMessageId`.
pub fn uuid(asked: &impl Fields, name: &str) -> Result<Option<ApnsId>, Reason> {
    if asked.header(name).is_none() {
        return Ok(None);
    }
    let id = asked.text(name).and_then(|text| text.parse().ok());
    id.map(Some).ok_or(Reason::BadMessageId)
}

/// The priority, if it is there.
///
/// # Errors
///
/// `BadPriority`.
pub fn priority(asked: &impl Fields) -> Result<Option<Priority>, Reason> {
    Ok(Some(match asked.header("apns-priority") {
        None => return Ok(None),
        Some(b"10") => Priority::Immediate,
        Some(b"5") => Priority::PowerSaving,
        Some(b"1") => Priority::NeverWake,
        Some(_) => return Err(Reason::BadPriority),
    }))
}

/// Checks that there is a body, of at most so many bytes.
///
/// # Errors
///
/// `PayloadEmpty` and `PayloadTooLarge`.
pub fn check_size(asked: &impl Fields, limit: usize) -> Result<(), Reason> {
    match asked.body().len() {
        0 => Err(Reason::PayloadEmpty),
        length if length > limit => Err(Reason::PayloadTooLarge),
        _ => Ok(()),
    }
}

/// Whether the body is a JSON object. A byte order mark before it is let through.
#[must_use]
pub fn is_object(asked: &impl Fields) -> bool {
    let body = asked.body();
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    // What is skipped is not looked at for UTF-8.
    let text = str::from_utf8(body).ok().filter(|_| object);
    text.is_some_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Plain {
        headers: Vec<(&'static str, &'static [u8])>,
        body: Vec<u8>,
    }

    impl Fields for Plain {
        fn method(&self) -> &str {
            "POST"
        }

        fn path(&self) -> &str {
            "/3/device/ab"
        }

        fn header(&self, name: &str) -> Option<&[u8]> {
            self.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
        }

        fn count(&self, name: &str) -> usize {
            self.headers.iter().filter(|(found, _)| *found == name).count()
        }

        fn body(&self) -> &[u8] {
            &self.body
        }
    }

    fn read(headers: &[(&'static str, &'static [u8])], topic_type: Option<&PushType>) -> Option<&'static str> {
        let asked = Plain { headers: headers.to_vec(), body: b"{}".to_vec() };
        let known = |reason: Reason| Reason::KNOWN.iter().find(|known| **known == reason).map(Reason::as_str);
        check_duplicates(&asked).err().or_else(|| PushFields::read(&asked, topic_type).err()).and_then(known)
    }

    #[test]
    fn a_path_names_its_target() {
        assert_eq!(Target::of("/3/device/ab"), Target::Device("ab"));
        assert_eq!(Target::of("/3/device"), Target::Device(""));
        assert_eq!(Target::of("/3/devices/ab"), Target::Other);
        assert_eq!(Target::of("/4/broadcasts/apps/com.example"), Target::Broadcast("com.example"));
        assert_eq!(Target::of("/1/apps/com.example/channels"), Target::Channels("com.example/channels"));
    }

    #[test]
    fn each_header_has_its_reason() {
        assert_eq!(read(&[], None), None);
        assert_eq!(read(&[("apns-push-type", b"voip")], None), Some("InvalidPushType"));
        assert_eq!(read(&[("apns-push-type", b"voip")], Some(&PushType::Voip)), None);
        assert_eq!(read(&[("apns-push-type", b"a b")], None), Some("InvalidPushType"));
        assert_eq!(read(&[("apns-push-type", b"of-tomorrow")], None), None);
        assert_eq!(read(&[("apns-id", b"17")], None), Some("BadMessageId"));
        assert_eq!(read(&[("apns-expiration", b"+1")], None), Some("BadExpirationDate"));
        assert_eq!(read(&[("apns-priority", b"7")], None), Some("BadPriority"));
        let background: &[(&str, &[u8])] = &[("apns-push-type", b"background"), ("apns-priority", b"10")];
        assert_eq!(read(background, None), Some("BadPriority"));
        assert_eq!(read(&[("apns-collapse-id", &[b'x'; 65])], None), Some("BadCollapseId"));
        assert_eq!(read(&[("apns-topic", b"a"), ("apns-topic", b"a")], None), Some("DuplicateHeaders"));
    }

    #[test]
    fn a_body_is_an_object_of_a_bounded_size() {
        let of = |body: &[u8]| Plain { body: body.to_vec(), ..Plain::default() };
        assert!(is_object(&of(b" {\"aps\":{}}")) && is_object(&of(b"\xef\xbb\xbf{}")));
        assert!(!is_object(&of(b"[]")) && !is_object(&of(b"{")) && !is_object(&of(b"{\"a\":\"\xff\"}")));
        assert_eq!(check_size(&of(b""), 4), Err(Reason::PayloadEmpty));
        assert_eq!(check_size(&of(b"12345"), 4), Err(Reason::PayloadTooLarge));
        assert_eq!(check_size(&of(b"1234"), 4), Ok(()));
    }

    #[test]
    fn a_topic_belongs_to_its_bundle_id() {
        assert!(
            is_topic_of("com.example.app", "com.example.app") && is_topic_of("com.example.app", "com.example.app.voip")
        );
        assert!(
            !is_topic_of("com.example.app", "com.example.application")
                && !is_topic_of("com.example.app", "com.example")
        );
        assert_eq!(check_topic("com.example.app"), Ok(()));
        assert_eq!(check_topic("com example"), Err(Reason::BadTopic));
    }
}
