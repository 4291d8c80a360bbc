//! What an answer says, whatever it is made of.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::engine::Field;
use super::http_date::parse_http_date;
use super::{Api, ProviderRejection, Reason};
use crate::{ApnsId, Outcome, Proof, Rejection, WallTime};

/// The most bytes of an answer's body that are looked at: 64 KiB. Apple's error bodies have some 50 bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The longest wait that is believed when an answer asks for one: an hour.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// An answer of the provider API.
///
/// Reading one never fails. The status is always there; everything else is there if it came and made sense.
///
/// ```
/// use apns_proto::http2::{Api, Response};
/// use apns_proto::{Outcome, Reaction, WallTime};
///
/// let now = WallTime::from_secs(1_700_000_000);
/// let headers = [("apns-id", &b"EABECA8D-6F2B-4C0F-9A4A-4E2B8A3B6C7D"[..])];
/// let body = br#"{"reason":"BadTopic"}"#;
/// let response = Response::parse(Api::Device, now, 400, headers, body[..].into());
/// assert_eq!(response.apns_id().unwrap().to_string(), "eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d");
/// let Outcome::Rejected(rejection) = response.into_outcome() else { panic!("this is a refusal") };
/// assert_eq!((rejection.reason(), rejection.reaction()), ("BadTopic", Reaction::FixRequest));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Holds all that an acceptance has as well.
    inner: ProviderRejection,
    request_id: Option<ApnsId>,
    channel_id: Option<Box<str>>,
    clock_skew: Option<ClockSkew>,
}

impl Response {
    /// The same answer, read.
    pub(super) fn from_wire(api: Api, now: WallTime, response: super::engine::client::Response) -> Self {
        let text = |field| response.fields.get(field).and_then(field_text);
        let fields = Fields {
            apns_id: text(Field::ApnsId),
            unique_id: text(Field::UniqueId),
            request_id: text(Field::RequestId),
            channel_id: text(Field::ChannelId),
            retry_after: text(Field::RetryAfter),
            date: text(Field::Date),
        };
        Self::read(api, now, response.status, &fields, response.body)
    }

    /// The outcome of a notification by an answer of status 200, without all that a refusal may have.
    pub(super) fn accepted(response: &super::engine::client::Response) -> Outcome {
        let text = |field| response.fields.get(field).and_then(field_text);
        Outcome::Accepted {
            proof: Proof::Confirmed,
            apns_id: text(Field::ApnsId).and_then(|text| text.parse().ok()),
            unique_id: text(Field::UniqueId).map(Into::into),
        }
    }

    /// Reads an answer. Header names are taken in any case; of a header that stands there twice the first counts.
    ///
    /// `now` is when the answer arrived. It is compared with the answer's `date`, and resolves a `retry-after` in the
    /// form of a date where there is no `date` beside it.
    pub fn parse<'a>(
        api: Api,
        now: WallTime,
        status: u16,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: Bytes,
    ) -> Self {
        let mut fields = Fields::default();
        for (name, value) in headers {
            fields.note(name, value);
        }
        Self::read(api, now, status, &fields, body)
    }

    fn read(api: Api, now: WallTime, status: u16, fields: &Fields<'_>, mut body: Bytes) -> Self {
        let date = fields.date.and_then(parse_http_date);
        if !is_success(status) {
            body.truncate(MAX_BODY);
        }

        let mut inner = ProviderRejection::new(api, status);
        if let Some(id) = fields.apns_id.and_then(|text| text.parse().ok()) {
            inner = inner.with_apns_id(id);
        }
        if let Some(id) = fields.unique_id {
            inner = inner.with_unique_id(id);
        }
        if let Some(wait) = fields.retry_after.and_then(|text| retry_after(text, date.unwrap_or(now))) {
            inner = inner.with_retry_after(wait);
        }
        let details = if is_success(status) { Details::default() } else { Details::parse(&body) };
        if let Some(reason) = &details.reason {
            inner = inner.with_reason(reason);
        }
        if let Some(timestamp) = details.timestamp {
            inner = inner.with_timestamp(timestamp);
        }
        Self {
            inner: inner.with_body(body),
            request_id: fields.request_id.and_then(|text| text.parse().ok()),
            channel_id: fields.channel_id.map(Into::into),
            clock_skew: date.map(|date| ClockSkew::between(now, date)),
        }
    }

    /// How what this answers ended: a notification is accepted with status 200, anything else with any status of success;
    /// with all others it is rejected.
    pub fn into_outcome(self) -> Outcome {
        let taken = match self.inner.api() {
            Api::Device => self.status() == 200,
            Api::Broadcast => self.is_success(),
        };
        if !taken {
            return Outcome::Rejected(Rejection::from(self.inner));
        }
        Outcome::Accepted {
            proof: Proof::Confirmed,
            apns_id: self.inner.apns_id(),
            unique_id: self.inner.unique_id().map(Into::into),
        }
    }

    /// The answer as a refusal, whatever its status.
    #[must_use]
    pub fn into_rejection(self) -> Rejection {
        self.inner.into()
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.inner.status()
    }

    /// Whether the status is one of success (2xx).
    #[must_use]
    pub const fn is_success(&self) -> bool {
        is_success(self.status())
    }

    /// The `apns-id`, compared as a UUID: case does not matter.
    #[must_use]
    pub const fn apns_id(&self) -> Option<ApnsId> {
        self.inner.apns_id()
    }

    /// The `apns-request-id` of broadcasts and channels.
    #[must_use]
    pub const fn request_id(&self) -> Option<ApnsId> {
        self.request_id
    }

    /// The `apns-channel-id`, in the answer to the making of a channel.
    #[must_use]
    pub fn channel_id(&self) -> Option<&str> {
        self.channel_id.as_deref()
    }

    /// How far this side's wall clock is from the service's, if the answer has a `date`.
    #[must_use]
    pub const fn clock_skew(&self) -> Option<ClockSkew> {
        self.clock_skew
    }

    /// The body as it came; that of a refusal has at most [`MAX_BODY`] bytes here.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        self.inner.body()
    }
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

/// How far this side's wall clock is from the service's. Network delay makes it about a second too much or too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClockSkew {
    /// This side's clock is ahead by so much, or right.
    Ahead(Duration),
    /// This side's clock is behind by so much.
    Behind(Duration),
}

impl ClockSkew {
    /// The skew of a clock that says `here` when the service's says `there`.
    #[must_use]
    pub fn between(here: WallTime, there: WallTime) -> Self {
        if here >= there {
            Self::Ahead(here.saturating_since(there))
        } else {
            Self::Behind(there.saturating_since(here))
        }
    }

    /// Its size, in whichever direction.
    #[must_use]
    pub const fn size(self) -> Duration {
        match self {
            Self::Ahead(span) | Self::Behind(span) => span,
        }
    }
}

impl std::fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ahead(span) => write!(f, "{} s ahead", span.as_secs()),
            Self::Behind(span) => write!(f, "{} s behind", span.as_secs()),
        }
    }
}

/// The header fields that matter, as text.
#[derive(Default)]
struct Fields<'a> {
    apns_id: Option<&'a str>,
    unique_id: Option<&'a str>,
    request_id: Option<&'a str>,
    channel_id: Option<&'a str>,
    retry_after: Option<&'a str>,
    date: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn note(&mut self, name: &str, value: &'a [u8]) {
        let place = if name.eq_ignore_ascii_case("apns-id") {
            &mut self.apns_id
        } else if name.eq_ignore_ascii_case("apns-unique-id") {
            &mut self.unique_id
        } else if name.eq_ignore_ascii_case("apns-request-id") {
            &mut self.request_id
        } else if name.eq_ignore_ascii_case("apns-channel-id") {
            &mut self.channel_id
        } else if name.eq_ignore_ascii_case("retry-after") {
            &mut self.retry_after
        } else if name.eq_ignore_ascii_case("date") {
            &mut self.date
        } else {
            return;
        };
        if place.is_none() {
            *place = field_text(value);
        }
    }
}

/// A value as text, without the white space around it; `None` if it is none.
fn field_text(value: &[u8]) -> Option<&str> {
    str::from_utf8(value).ok().map(|text| text.trim_matches([' ', '\t']))
}

/// What the body of an error says.
#[derive(Default)]
struct Details {
    reason: Option<String>,
    timestamp: Option<WallTime>,
}

impl Details {
    fn parse(body: &[u8]) -> Self {
        // Also fails, rather than running out of stack, on deep nesting.
        let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else { return Self::default() };
        let reason = match object.remove("reason") {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        };
        let milliseconds = match object.remove("timestamp") {
            Some(Value::Number(number)) => {
                number.as_u64().or_else(|| number.as_f64().filter(|float| *float >= 0.0).map(|float| float as u64))
            }
            Some(Value::String(text)) => text.parse().ok(),
            _ => None,
        };
        Self { reason, timestamp: milliseconds.map(WallTime::from_millis) }
    }
}

impl Reason {
    /// The reason in the JSON of an error's body, or of the debug data of a GOAWAY frame. `None` where there is none.
    ///
    /// ```
    /// use apns_proto::http2::Reason;
    ///
    /// assert_eq!(Reason::parse(br#"{"reason":"Shutdown"}"#), Some(Reason::Shutdown));
    /// assert_eq!(Reason::parse(b""), None);
    /// ```
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let body = body.get(..MAX_BODY).unwrap_or(body);
        Details::parse(body).reason.map(|text| Self::from(text.as_str()))
    }
}

/// RFC 9110 section 10.2.3: a number of seconds or a date.
fn retry_after(text: &str, now: WallTime) -> Option<Duration> {
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean very long.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        parse_http_date(text)?.saturating_since(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Reaction, Retry, TokenVerdict};

    const NOW: WallTime = WallTime::from_secs(1_700_000_000);

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        Response::parse(Api::Device, NOW, status, headers, Bytes::copy_from_slice(body.as_bytes()))
    }

    fn rejection(status: u16, headers: &[(&str, &str)], body: &str) -> ProviderRejection {
        match answer(status, headers, body).into_outcome() {
            Outcome::Rejected(Rejection::Provider(rejection)) => *rejection,
            other => panic!("{other:?} is not a refusal"),
        }
    }

    #[test]
    fn b46_the_status_is_there_whatever_the_body_is() {
        for (status, body, reaction) in [
            (503, "", Reaction::Retry),
            (502, "<html><body>Bad gateway</body></html>", Reaction::Retry),
            (403, "{}", Reaction::FixCredentials),
            (400, "[]", Reaction::FixRequest),
            (400, "null", Reaction::FixRequest),
            (400, r#"{"reason":7}"#, Reaction::FixRequest),
            (400, r#"{"reason":""}"#, Reaction::FixRequest),
            (400, r#"{"reason":"BadDev"#, Reaction::FixRequest),
            (410, "\u{0}", Reaction::DropToken),
        ] {
            let rejection = rejection(status, &[], body);
            assert_eq!((rejection.status(), rejection.reason()), (status, None), "{body}");
            assert_eq!(rejection.reaction(), reaction, "{body}");
            assert_eq!(rejection.body(), body.as_bytes(), "the body is kept raw");
        }
    }

    #[test]
    fn s15_a_huge_body_is_cut_and_the_status_stands() {
        let body = format!(r#"{{"reason":"BadTopic","more":"{}"}}"#, "x".repeat(10 << 20));
        let rejection = rejection(400, &[], &body);
        assert_eq!((rejection.status(), rejection.reason(), rejection.body().len()), (400, None, MAX_BODY));
    }

    #[test]
    fn deep_nesting_is_no_way_in() {
        let body = format!(r#"{{"reason":{}"#, "[".repeat(60_000));
        assert_eq!(rejection(400, &[], &body).reason(), None);
    }

    #[test]
    fn unknown_keys_do_no_harm() {
        let body = r#"{"future":{"a":[1]},"reason":"BadTopic","timestamp":null}"#;
        let rejection = rejection(400, &[], body);
        assert_eq!((rejection.reason(), rejection.timestamp()), (Some(&Reason::BadTopic), None));
    }

    #[test]
    fn b109_the_timestamp_is_in_milliseconds() {
        let rejection = rejection(410, &[], r#"{"reason":"Unregistered","timestamp":1527206400000}"#);
        assert_eq!(rejection.timestamp(), Some(WallTime::from_secs(1_527_206_400)));
        assert_eq!(rejection.timestamp().unwrap().as_millis(), 1_527_206_400_000, "the number as it came");
    }

    #[test]
    fn timestamps_of_another_kind_are_read_or_left_alone() {
        for (text, milliseconds) in [
            ("1527206400123.0", Some(1_527_206_400_123)),
            (r#""1527206400123""#, Some(1_527_206_400_123)),
            ("-5", None),
            ("true", None),
            ("1e300", Some(u64::MAX)),
        ] {
            let rejection = rejection(410, &[], &format!(r#"{{"reason":"Unregistered","timestamp":{text}}}"#));
            assert_eq!(rejection.timestamp().map(WallTime::as_millis), milliseconds, "{text}");
        }
    }

    #[test]
    fn b110_only_a_410_with_a_later_timestamp_drops_a_token() {
        let registered = WallTime::from_secs(1_000);
        let verdict = |status, body: &str| rejection(status, &[], body).token_verdict().drops(registered);
        assert!(verdict(410, r#"{"reason":"Unregistered","timestamp":1000001}"#));
        assert!(verdict(410, r#"{"reason":"ExpiredToken","timestamp":1000001}"#));
        assert!(!verdict(410, r#"{"reason":"Unregistered","timestamp":1000000}"#));
        assert!(!verdict(410, r#"{"reason":"Unregistered","timestamp":999999}"#));
        assert!(!verdict(410, r#"{"reason":"Unregistered"}"#));
        assert!(!verdict(400, r#"{"reason":"Unregistered","timestamp":1000001}"#));
        assert!(!verdict(400, r#"{"reason":"DeviceTokenNotForTopic","timestamp":1000001}"#));
        assert!(!verdict(503, r#"{"reason":"Unregistered","timestamp":1000001}"#), "a proxy's status wins");
        assert!(!verdict(502, r#"{"reason":"BadDeviceToken"}"#));
        for reason in Reason::KNOWN {
            let body = format!(r#"{{"reason":"{reason}","timestamp":1000001}}"#);
            let status = reason.status().unwrap();
            let drops = matches!(reason, Reason::Unregistered | Reason::ExpiredToken | Reason::BadDeviceToken);
            assert_eq!(verdict(status, &body), drops, "{reason}");
        }
        let wrong = rejection(400, &[], r#"{"reason":"BadDeviceToken"}"#);
        assert_eq!(wrong.token_verdict(), TokenVerdict::Drop);
    }

    #[test]
    fn b60_retry_after_in_every_form() {
        let cases = [
            ("retry-after", "3", Some(3)),
            ("Retry-After", " 3 ", Some(3)),
            ("RETRY-AFTER", "0", Some(0)),
            ("retry-after", "99999999999999999999999", Some(3600)),
            ("retry-after", "7200", Some(3600)),
            ("retry-after", "Tue, 14 Nov 2023 22:13:30 GMT", Some(10)),
            ("retry-after", "Tue, 14 Nov 2023 22:13:00 GMT", Some(0)),
            ("retry-after", "-3", None),
            ("retry-after", "soon", None),
            ("retry-after", "", None),
        ];
        for (name, value, seconds) in cases {
            let rejection = rejection(429, &[(name, value)], r#"{"reason":"TooManyRequests"}"#);
            let wait = seconds.map(Duration::from_secs);
            assert_eq!(rejection.retry_after(), wait, "{name}: {value}");
            assert_eq!(rejection.retry(), Retry::After(wait.unwrap_or(Duration::from_secs(60))), "{name}: {value}");
        }
        // A date is measured from the answer's own date, so that a wrong clock here does not matter.
        let headers = [("retry-after", "Tue, 14 Nov 2023 10:00:05 GMT"), ("date", "Tue, 14 Nov 2023 10:00:00 GMT")];
        assert_eq!(rejection(503, &headers, "").retry(), Retry::After(Duration::from_secs(5)));
        // Waiting does not mend a wrong request.
        let wrong = rejection(400, &[("retry-after", "3")], r#"{"reason":"BadTopic"}"#);
        assert_eq!(wrong.retry(), Retry::AfterFix);
    }

    #[test]
    fn b86_an_unknown_reason_keeps_its_text_and_goes_by_status() {
        for (status, reaction, retry) in [
            (400, Reaction::FixRequest, Retry::AfterFix),
            (403, Reaction::FixCredentials, Retry::AfterFix),
            (404, Reaction::FixRequest, Retry::AfterFix),
            (405, Reaction::FixRequest, Retry::AfterFix),
            (410, Reaction::DropToken, Retry::Never),
            (413, Reaction::FixRequest, Retry::Never),
            (429, Reaction::BackOff, Retry::After(Duration::from_secs(60))),
            (500, Reaction::Retry, Retry::After(Duration::from_secs(900))),
            (599, Reaction::Retry, Retry::After(Duration::from_secs(900))),
            (204, Reaction::FixRequest, Retry::AfterFix),
            (301, Reaction::FixRequest, Retry::AfterFix),
        ] {
            let rejection = ProviderRejection::new(Api::Device, status).with_reason("SomethingNew");
            assert_eq!(rejection.reason_text(), Some("SomethingNew"));
            assert_eq!((rejection.reaction(), rejection.retry()), (reaction, retry), "{status}");
            assert!(!rejection.explain().to_do.is_empty());
        }
        let rejection = rejection(403, &[], r#"{"reason":"SomethingNew"}"#);
        assert_eq!(rejection.reason(), Some(&Reason::Other("SomethingNew".into())));
    }

    #[test]
    fn b108_ids_are_compared_as_uuids() {
        let sent: ApnsId = "27cfdc15-00aa-4bbb-8ccc-0123456789ab".parse().unwrap();
        let headers = [("Apns-Id", "27CFDC15-00AA-4BBB-8CCC-0123456789AB"), ("apns-id", "other")];
        let headers = [headers[0], headers[1], ("apns-unique-id", "u-1")];
        let outcome = answer(200, &headers, "").into_outcome();
        assert_eq!(
            outcome,
            Outcome::Accepted { proof: Proof::Confirmed, apns_id: Some(sent), unique_id: Some("u-1".into()) }
        );
        assert_eq!(answer(200, &[("apns-id", "nonsense")], "").apns_id(), None);
        let rejection = rejection(400, &headers, r#"{"reason":"BadTopic"}"#);
        assert_eq!((rejection.apns_id(), rejection.unique_id()), (Some(sent), Some("u-1")));
    }

    #[test]
    fn the_date_tells_how_wrong_the_clock_is() {
        let skew = |date| answer(200, &[("date", date)], "").clock_skew();
        assert_eq!(skew("Tue, 14 Nov 2023 21:13:20 GMT"), Some(ClockSkew::Ahead(Duration::from_secs(3600))));
        assert_eq!(skew("Tue, 14 Nov 2023 22:13:50 GMT"), Some(ClockSkew::Behind(Duration::from_secs(30))));
        assert_eq!(skew("yesterday"), None);
        assert_eq!(ClockSkew::Behind(Duration::from_secs(30)).to_string(), "30 s behind");
    }

    #[test]
    fn only_200_is_an_acceptance() {
        for status in [0, 100, 201, 202, 204, 301, 304, 400, 999] {
            assert!(!answer(status, &[], "").into_outcome().is_accepted(), "{status}");
        }
        assert!(answer(200, &[], "{\"reason\":\"BadTopic\"}").into_outcome().is_accepted());
    }

    proptest! {
        #[test]
        fn nothing_from_outside_panics(
            status: u16,
            headers in proptest::collection::vec((any::<String>(), any::<Vec<u8>>()), 0..4),
            name in proptest::sample::select(vec!["retry-after", "date", "apns-id", "apns-unique-id"]),
            value: Vec<u8>,
            body: Vec<u8>,
        ) {
            let headers = headers.iter().map(|(name, value)| (name.as_str(), &value[..])).chain([(name, &value[..])]);
            let response = Response::parse(Api::Device, NOW, status, headers, body.into());
            prop_assert_eq!(response.status(), status);
            let rejection = response.into_rejection();
            let _ = (rejection.reaction(), rejection.retry(), rejection.token_verdict(), rejection.explain());
        }
    }

    #[test]
    fn a_body_up_to_its_limit_is_looked_at() {
        let body = |size: usize| {
            let room = size - br#"{"more":"","reason":"BadTopic"}"#.len();
            Bytes::from(format!(r#"{{"more":"{}","reason":"BadTopic"}}"#, "x".repeat(room)))
        };
        let reason = |size| match Response::parse(Api::Device, NOW, 400, [], body(size)).into_outcome() {
            Outcome::Rejected(rejection) => rejection.reason().to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(64 * 1024), "BadTopic");
        assert_ne!(reason(64 * 1024 + 1), "BadTopic", "it is cut, and no JSON any more");
    }
}
