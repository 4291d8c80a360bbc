//! A notification in the making: fields from the command line, and from the lines of a batch.

use std::sync::Once;
use std::time::Duration;

use apns_proto::http2::Requests;
use apns_proto::internal::compact_json;
use apns_proto::payload::PayloadBuilder;
use apns_proto::{
    ApnsId, CollapseId, DeviceToken, Expiration, Notification, Payload, PayloadError, PayloadLimit, Priority, PushType,
    Topic, UnknownPushType, WallTime,
};
use clap::Args;
use serde_json::value::RawValue;

use crate::calendar::Date;
use crate::duration;
use crate::exit::Failure;
use crate::input::Source;
use crate::invalid::{FieldError, Invalid};
use crate::output::say;

/// The most that is read of a payload in a file; every service has a far lower limit.
pub(crate) const LARGEST_PAYLOAD: u64 = 1024 * 1024;

/// What to send, and how. Where a batch is sent, these are the defaults for lines that lack the field.
#[derive(Args)]
pub(crate) struct DraftFlags {
    /// The title of the alert
    #[arg(long, value_name = "TEXT", help_heading = "Payload")]
    title: Option<String>,
    /// A second line below the title
    #[arg(long, value_name = "TEXT", help_heading = "Payload")]
    subtitle: Option<String>,
    /// The text of the alert
    #[arg(long, value_name = "TEXT", help_heading = "Payload")]
    body: Option<String>,
    /// The number on the app's icon; 0 removes it
    #[arg(long, value_name = "N", help_heading = "Payload")]
    badge: Option<u32>,
    /// The name of a sound file in the app, or "default"
    #[arg(long, value_name = "NAME", help_heading = "Payload")]
    sound: Option<String>,
    /// One of the app's notification categories, for action buttons
    #[arg(long, value_name = "ID", help_heading = "Payload")]
    category: Option<String>,
    /// Alerts with the same thread are grouped
    #[arg(long, value_name = "ID", help_heading = "Payload")]
    thread_id: Option<String>,
    /// Wake the app in the background
    #[arg(long, help_heading = "Payload")]
    content_available: bool,
    /// Let the app's extension change the alert before it is shown
    #[arg(long, help_heading = "Payload")]
    mutable_content: bool,
    /// A key of the app's own with its value in JSON, such as order=17 or name='"Ann"'; may be repeated
    #[arg(long, value_name = "K=JSON", num_args = 1.., value_parser = parse_custom, help_heading = "Payload")]
    custom: Vec<(String, Box<RawValue>)>,
    /// A file with the whole payload in JSON, or - for standard input
    #[arg(
        long,
        value_name = "FILE|-",
        conflicts_with_all = [
            "title", "subtitle", "body", "badge", "sound", "category", "thread_id", "content_available",
            "mutable_content", "custom",
        ],
        help_heading = "Payload"
    )]
    payload: Option<Source>,
    /// When the service may stop trying, in seconds since 1970; 0 for one attempt only
    #[arg(
        long, value_name = "UNIX", value_parser = parse_expiration, conflicts_with = "ttl", help_heading = "Delivery"
    )]
    expiration: Option<Expiration>,
    /// For how long the service may try, such as 30s, 10m, 12h or 7d; 0s for one attempt only
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Delivery")]
    ttl: Option<Duration>,
    /// 10 for at once, 5 for when it suits the device's power, 1 for never waking it (HTTP/2 only)
    #[arg(long, value_name = "N", value_parser = parse_priority, help_heading = "Delivery")]
    priority: Option<Priority>,
    /// The app: its bundle id, without the suffix of a push type
    #[arg(long, value_name = "BUNDLE", value_parser = parse_topic, help_heading = "Delivery")]
    topic: Option<Topic>,
    /// alert, background, voip, liveactivity or another of Apple's; by default what the topic says by its suffix, then what
    /// the certificate is for, then what the payload says
    #[arg(long, value_name = "TYPE", value_parser = parse_push_type, help_heading = "Delivery")]
    push_type: Option<PushType>,
    /// Send a push type that is none of those known here, such as one that Apple added since; for --push-type and for the
    /// lines of a batch
    #[arg(long, help_heading = "Delivery")]
    force_push_type: bool,
    /// A later notification with the same id takes the place of this one on the device
    #[arg(long, value_name = "ID", value_parser = parse_collapse_id, help_heading = "Delivery")]
    collapse_id: Option<CollapseId>,
    /// The service's name for the notification, a UUID; by default the service makes one
    #[arg(long, value_name = "UUID", value_parser = parse_apns_id, conflicts_with = "lines", help_heading = "Delivery")]
    apns_id: Option<ApnsId>,
}

/// Reads a topic.
pub(crate) fn parse_topic(text: &str) -> Result<Topic, String> {
    Topic::new(text).map_err(|error| error.to_string())
}

fn parse_push_type(text: &str) -> Result<PushType, String> {
    text.parse().map_err(|error: apns_proto::PushTypeError| error.to_string())
}

/// Seconds since 1970 as they stand on the wire, where 0 asks for one attempt only.
pub(crate) fn parse_expiration(text: &str) -> Result<Expiration, String> {
    let seconds: u64 = text.parse().map_err(|_| "it has to be a whole number of seconds since 1970".to_owned())?;
    Expiration::from_unix(seconds).map_err(|error| error.to_string())
}

/// What to say of an expiration that has passed before anything is sent.
pub(crate) fn said_of_past(expiration: Option<Expiration>) -> Option<String> {
    let Some(Expiration::At(time)) = expiration else { return None };
    let (seconds, now) = (time.as_secs(), WallTime::from(std::time::SystemTime::now()));
    (time <= now).then(|| {
        let date = Date(seconds);
        format!(
            "the expiration {seconds} is {date} and has passed: what has it is tried once. It is in seconds since 1970; for a \
             span give --ttl {seconds}s"
        )
    })
}

fn parse_collapse_id(text: &str) -> Result<CollapseId, String> {
    CollapseId::new(text).map_err(|error| error.to_string())
}

pub(crate) fn parse_apns_id(text: &str) -> Result<ApnsId, String> {
    text.parse().map_err(|error: apns_proto::ApnsIdError| error.to_string())
}

/// Reads `K=JSON`.
fn parse_custom(text: &str) -> Result<(String, Box<RawValue>), String> {
    let (key, json) = text.split_once('=').ok_or("it has to be KEY=JSON, such as order=17")?;
    if key.is_empty() {
        return Err("there is no key before the =".to_owned());
    }
    if key == "aps" {
        return Err(PayloadError::ReservedKey.to_string());
    }
    let value = serde_json::from_str::<&RawValue>(json).map_err(|_| {
        "what follows the = is not JSON; a text needs quotes of its own, such as order='\"text\"'".to_owned()
    })?;
    Ok((key.to_owned(), compact(value)))
}

pub(crate) fn parse_priority(text: &str) -> Result<Priority, String> {
    let number: Option<u8> = text.parse().ok();
    number.and_then(Priority::from_number).ok_or_else(|| "it has to be 10, 5, or 1 (HTTP/2 only)".to_owned())
}

/// The same value without the white space between its parts.
pub(crate) fn compact(value: &RawValue) -> Box<RawValue> {
    RawValue::from_string(compact_json(value.get())).expect("white space between its parts means nothing in JSON")
}

/// A notification of which each field may still be missing.
#[derive(Clone, Default)]
pub(crate) struct Draft {
    pub(crate) content: Content,
    pub(crate) expiration: Option<Expiration>,
    pub(crate) priority: Option<Priority>,
    pub(crate) topic: Option<Topic>,
    pub(crate) push_type: Option<PushType>,
    pub(crate) collapse_id: Option<CollapseId>,
    pub(crate) apns_id: Option<ApnsId>,
}

/// What the payload is made of.
#[derive(Clone, Default)]
pub(crate) struct Content {
    pub(crate) whole: Option<Payload>,
    pub(crate) title: Option<String>,
    pub(crate) subtitle: Option<String>,
    pub(crate) body: Option<String>,
    pub(crate) badge: Option<u32>,
    pub(crate) sound: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) thread_id: Option<String>,
    pub(crate) content_available: Option<bool>,
    pub(crate) mutable_content: Option<bool>,
    pub(crate) custom: Option<Vec<(String, Box<RawValue>)>>,
}

impl DraftFlags {
    /// Whether standard input is the payload.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.payload == Some(Source::Stdin)
    }

    /// Whether a priority was asked for.
    pub(crate) const fn has_priority(&self) -> bool {
        self.priority.is_some()
    }

    /// Whether an expiration was asked for.
    pub(crate) const fn has_expiration(&self) -> bool {
        self.expiration.is_some() || self.ttl.is_some()
    }

    /// The first option that only the HTTP/2 provider API has a place for.
    pub(crate) const fn first_of_provider(&self) -> Option<&'static str> {
        if self.topic.is_some() {
            Some("--topic")
        } else if self.push_type.is_some() {
            Some("--push-type")
        } else if self.collapse_id.is_some() {
            Some("--collapse-id")
        } else if self.apns_id.is_some() {
            Some("--apns-id")
        } else {
            None
        }
    }

    /// Whether push types that are not known are sent.
    pub(crate) const fn forces_push_type(&self) -> bool {
        self.force_push_type
    }

    /// Whether a name was given, which only one notification can have.
    pub(crate) const fn has_apns_id(&self) -> bool {
        self.apns_id.is_some()
    }

    /// The draft that they make, with the payload's file read.
    pub(crate) fn into_draft(self) -> Result<Draft, Failure> {
        if let Some(unknown) = self.push_type.as_ref().filter(|_| !self.force_push_type).and_then(unknown) {
            return Err(Failure::Usage(format!("--push-type: {unknown}; --force-push-type sends it all the same")));
        }
        let whole = match &self.payload {
            Some(source) => Some(Payload::from_json_compact(source.read(LARGEST_PAYLOAD)?)?),
            None => None,
        };
        let content = Content {
            whole,
            title: self.title,
            subtitle: self.subtitle,
            body: self.body,
            badge: self.badge,
            sound: self.sound,
            category: self.category,
            thread_id: self.thread_id,
            content_available: self.content_available.then_some(true),
            mutable_content: self.mutable_content.then_some(true),
            custom: (!self.custom.is_empty()).then_some(self.custom),
        };
        let expiration = self.expiration.or(self.ttl.map(expiration_after));
        Ok(Draft {
            content,
            expiration,
            priority: self.priority,
            topic: self.topic,
            push_type: self.push_type,
            collapse_id: self.collapse_id,
            apns_id: self.apns_id,
        })
    }
}

/// Why a push type is not sent unless that is forced.
pub(crate) fn unknown(push_type: &PushType) -> Option<UnknownPushType> {
    PushType::from_known(push_type.as_str()).err()
}

/// A span from now on, where none asks for one attempt only.
pub(crate) const fn expiration_after(span: Duration) -> Expiration {
    if span.is_zero() { Expiration::Immediately } else { Expiration::After(span) }
}

impl Content {
    /// Whether nothing at all was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.first_part().is_none()
    }

    /// The name of the first field that is a part of a payload.
    pub(crate) fn first_part(&self) -> Option<&'static str> {
        let parts = [
            ("title", self.title.is_some()),
            ("subtitle", self.subtitle.is_some()),
            ("body", self.body.is_some()),
            ("badge", self.badge.is_some()),
            ("sound", self.sound.is_some()),
            ("category", self.category.is_some()),
            ("thread_id", self.thread_id.is_some()),
            ("content_available", self.content_available.is_some()),
            ("mutable_content", self.mutable_content.is_some()),
            ("custom", self.custom.is_some()),
        ];
        parts.into_iter().find_map(|(name, given)| given.then_some(name))
    }

    /// Takes from `defaults` what is missing here. A whole payload is a choice of its own: it takes nothing, and gives
    /// nothing to one that is put together.
    fn or(self, defaults: &Self) -> Self {
        if self.whole.is_some() {
            return self;
        }
        Self {
            whole: None,
            title: self.title.or_else(|| defaults.title.clone()),
            subtitle: self.subtitle.or_else(|| defaults.subtitle.clone()),
            body: self.body.or_else(|| defaults.body.clone()),
            badge: self.badge.or(defaults.badge),
            sound: self.sound.or_else(|| defaults.sound.clone()),
            category: self.category.or_else(|| defaults.category.clone()),
            thread_id: self.thread_id.or_else(|| defaults.thread_id.clone()),
            content_available: self.content_available.or(defaults.content_available),
            mutable_content: self.mutable_content.or(defaults.mutable_content),
            custom: self.custom.or_else(|| defaults.custom.clone()),
        }
    }

    /// The payload.
    pub(crate) fn build(self, push_type: Option<PushType>) -> Result<Payload, PayloadError> {
        if let Some(whole) = self.whole {
            return Ok(whole);
        }
        let mut builder = Payload::builder().badge(self.badge);
        let mut set = |text: Option<String>, set: fn(PayloadBuilder, String) -> PayloadBuilder| {
            if let Some(text) = text {
                builder = set(std::mem::take(&mut builder), text);
            }
        };
        set(self.title, PayloadBuilder::title);
        set(self.subtitle, PayloadBuilder::subtitle);
        set(self.body, PayloadBuilder::body);
        set(self.sound, PayloadBuilder::sound);
        set(self.category, PayloadBuilder::category);
        set(self.thread_id, PayloadBuilder::thread_id);
        if self.content_available == Some(true) {
            builder = builder.content_available();
        }
        if self.mutable_content == Some(true) {
            builder = builder.mutable_content();
        }
        for (key, value) in self.custom.into_iter().flatten() {
            builder = builder.custom(key, value);
        }
        if let Some(push_type) = push_type {
            builder = builder.push_type(push_type);
        }
        builder.build()
    }
}

/// What a service takes, so that nothing is sent that it cannot take.
#[derive(Debug, Clone)]
pub(crate) enum Service {
    /// The binary gateway.
    Binary,
    /// The HTTP/2 provider API.
    Provider(Requests),
}

/// Turns drafts into notifications.
pub(crate) struct Composer {
    service: Service,
    defaults: Draft,
    /// The payload of drafts that say nothing of their own: encoded once, shared by all.
    shared: Option<Result<Payload, PayloadError>>,
    /// Push types that are not known are sent.
    force_push_type: bool,
    /// It was said that an expiration is in the past.
    past_said: Once,
}

impl Composer {
    /// A composer with these defaults.
    pub(crate) fn new(service: Service, defaults: Draft) -> Self {
        let given = !defaults.content.is_empty();
        let shared = given.then(|| defaults.content.clone().build(defaults.push_type.clone()));
        Self { service, defaults, shared, force_push_type: false, past_said: Once::new() }
    }

    /// Whether push types that are not known are sent. Default: no.
    pub(crate) fn forcing_push_type(mut self, force: bool) -> Self {
        self.force_push_type = force;
        self
    }

    /// Whether a draft that says nothing has a payload all the same.
    pub(crate) const fn has_payload(&self) -> bool {
        self.shared.is_some()
    }

    /// The notification that a draft makes for a device.
    pub(crate) fn compose(&self, token: DeviceToken, draft: Draft) -> Result<Notification, Invalid> {
        let defaults = &self.defaults;
        let push_type = draft.push_type.or_else(|| defaults.push_type.clone());
        if let Some(unknown) = push_type.as_ref().filter(|_| !self.force_push_type).and_then(unknown) {
            return Err(FieldError::PushType(unknown).into());
        }
        let payload = if draft.content.is_empty() && push_type == defaults.push_type {
            self.shared.clone().ok_or(Invalid::NothingToSend)?
        } else {
            let content =
                if draft.content.is_empty() { defaults.content.clone() } else { draft.content.or(&defaults.content) };
            if content.is_empty() {
                return Err(Invalid::NothingToSend);
            }
            content.build(push_type.clone())
        };
        let payload = payload?;
        let expiration = draft.expiration.or(defaults.expiration);
        if let Some(text) = said_of_past(expiration) {
            self.past_said.call_once(|| say(format_args!("apns: {text}")));
        }
        let mut notification = Notification::new(token, payload).with_expiration(expiration.unwrap_or_default());
        if let Some(priority) = draft.priority.or(defaults.priority) {
            notification = notification.with_priority(priority);
        }
        if let Some(push_type) = push_type {
            notification = notification.with_push_type(push_type);
        }
        if let Some(topic) = draft.topic.or_else(|| defaults.topic.clone()) {
            notification = notification.with_topic(topic);
        }
        if let Some(collapse_id) = draft.collapse_id.or_else(|| defaults.collapse_id.clone()) {
            notification = notification.with_collapse_id(collapse_id);
        }
        if let Some(apns_id) = draft.apns_id.or(defaults.apns_id) {
            notification = notification.with_apns_id(apns_id);
        }
        self.check(&notification)?;
        Ok(notification)
    }

    /// What no service of this kind would take is found here, also where there is no connection.
    fn check(&self, notification: &Notification) -> Result<(), Invalid> {
        match &self.service {
            Service::Binary => {
                notification.payload().check_size(PayloadLimit::BINARY_2014)?;
                if notification.priority() == Some(Priority::NeverWake) {
                    return Err(FieldError::PriorityNotBinary.into());
                }
            }
            Service::Provider(requests) => requests.check(notification)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn token() -> DeviceToken {
        DeviceToken::from_bytes([1, 2, 3]).unwrap()
    }

    fn titled(title: &str) -> Draft {
        let content = Content { title: Some(title.to_owned()), ..Content::default() };
        Draft { content, ..Draft::default() }
    }

    fn payload_of(composer: &Composer, draft: Draft) -> String {
        let notification = composer.compose(token(), draft).unwrap();
        String::from_utf8(notification.payload().as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn white_space_goes_and_nothing_else() {
        let value = raw("{ \"a b\" : [ 1.0e2 ,\t\"\\\" , \\\\\" , { } ] }");
        assert_eq!(compact(&value).get(), "{\"a b\":[1.0e2,\"\\\" , \\\\\",{}]}");
        assert_eq!(compact(&raw("\" \"")).get(), "\" \"");
    }

    #[test]
    fn custom_values_are_json() {
        let (key, value) = parse_custom("order={ \"n\": 17 }").unwrap();
        assert_eq!((key.as_str(), value.get()), ("order", "{\"n\":17}"));
        assert_eq!(
            parse_custom("a=b=c").unwrap_err(),
            "what follows the = is not JSON; a text needs quotes of its own, such as order='\"text\"'"
        );
        assert!(parse_custom("a").is_err() && parse_custom("=1").is_err() && parse_custom("aps={}").is_err());
    }

    #[test]
    fn a_draft_takes_what_it_lacks_from_the_defaults() {
        let mut defaults = titled("News");
        defaults.content.custom = Some(vec![("a".to_owned(), raw("1"))]);
        defaults.content.content_available = Some(true);
        defaults.priority = Some(Priority::PowerSaving);
        let composer = Composer::new(Service::Binary, defaults);
        let expected = r#"{"aps":{"alert":{"title":"News"},"content-available":1},"a":1}"#;
        assert_eq!(payload_of(&composer, Draft::default()), expected);

        let mut draft = Draft { priority: Some(Priority::Immediate), ..Draft::default() };
        draft.content.badge = Some(0);
        draft.content.content_available = Some(false);
        draft.content.custom = Some(vec![("b".to_owned(), raw("2"))]);
        let expected = r#"{"aps":{"alert":{"title":"News"},"badge":0},"b":2}"#;
        assert_eq!(payload_of(&composer, draft.clone()), expected);
        assert_eq!(composer.compose(token(), draft).unwrap().priority(), Some(Priority::Immediate));
        assert_eq!(composer.compose(token(), Draft::default()).unwrap().priority(), Some(Priority::PowerSaving));
    }

    #[test]
    fn a_whole_payload_and_parts_do_not_mix() {
        let whole = Payload::from_json_compact(r#"{"aps":{},"n":1}"#).unwrap();
        let content = Content { whole: Some(whole.clone()), ..Content::default() };
        let composer = Composer::new(Service::Binary, Draft { content: content.clone(), ..Draft::default() });
        assert_eq!(payload_of(&composer, Draft::default()), r#"{"aps":{},"n":1}"#);
        assert_eq!(payload_of(&composer, titled("Own")), r#"{"aps":{"alert":{"title":"Own"}}}"#);
        let composer = Composer::new(Service::Binary, titled("Default"));
        assert_eq!(payload_of(&composer, Draft { content, ..Draft::default() }), r#"{"aps":{},"n":1}"#);
    }

    #[test]
    fn what_the_gateway_would_not_take_is_refused_at_once() {
        let composer = Composer::new(Service::Binary, Draft::default());
        assert!(!composer.has_payload());
        assert_eq!(composer.compose(token(), Draft::default()), Err(Invalid::NothingToSend));
        let error = composer.compose(token(), titled(&"x".repeat(3000))).unwrap_err();
        assert!(matches!(error, Invalid::Payload(PayloadError::TooLarge { .. })), "{error}");
        let draft = Draft { priority: Some(Priority::NeverWake), ..titled("x") };
        assert_eq!(composer.compose(token(), draft), Err(FieldError::PriorityNotBinary.into()));
    }

    #[test]
    fn a_time_in_milliseconds_is_refused_and_says_so() {
        let error = parse_expiration("1700000000000").unwrap_err();
        assert!(error.contains("milliseconds"), "{error}");
        assert!(parse_expiration("4294967295").is_ok() && parse_expiration("4294967296").is_err());
    }

    #[test]
    fn no_time_to_live_is_one_attempt() {
        assert_eq!(parse_expiration("0"), Ok(Expiration::Immediately));
        assert_eq!(parse_expiration("17"), Ok(Expiration::At(WallTime::from_secs(17))));
        assert_eq!(expiration_after(Duration::ZERO), Expiration::Immediately);
        assert_eq!(expiration_after(Duration::from_secs(1)), Expiration::After(Duration::from_secs(1)));
    }
}
