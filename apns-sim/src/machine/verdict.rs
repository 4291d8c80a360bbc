//! What the service does with a request.

use std::fmt;
use std::time::Duration;

use apns_proto::{ApnsId, Now};
use bytes::Bytes;

use super::ProviderRequest;

/// Decides what happens to each request, in the order of arrival.
pub trait Judge {
    /// A request arrived.
    fn judge(&mut self, now: Now, request: &ProviderRequest) -> Verdict;
}

impl<F: FnMut(Now, &ProviderRequest) -> Verdict> Judge for F {
    fn judge(&mut self, now: Now, request: &ProviderRequest) -> Verdict {
        self(now, request)
    }
}

/// An answer: a status, header fields, a body.
///
/// ```
/// use apns_sim::machine::Answer;
///
/// let answer = Answer::refusal(410, "Unregistered").with_timestamp(1_527_206_400_000).with_header("retry-after", "3");
/// assert_eq!(answer.status(), 410);
/// assert_eq!(&answer.body()[..], br#"{"reason":"Unregistered","timestamp":1527206400000}"#);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: Vec<(Box<str>, Bytes)>,
    body: Bytes,
}

impl Answer {
    /// An answer with nothing but a status, which has three digits; anything else is sent as 500.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// 200, with the notification's name.
    #[must_use]
    pub fn accepted(id: ApnsId) -> Self {
        Self::new(200).with_apns_id(id)
    }

    /// A refusal with a reason, as the service words it.
    #[must_use]
    pub fn refusal(status: u16, reason: &str) -> Self {
        let reason = serde_json::Value::from(reason);
        Self::new(status).with_body(format!(r#"{{"reason":{reason}}}"#))
    }

    /// Adds the `apns-id`.
    #[must_use]
    pub fn with_apns_id(self, id: ApnsId) -> Self {
        self.with_header("apns-id", id.to_string())
    }

    /// Adds when the token was found inactive, in milliseconds since 1970, to the JSON object in the body.
    #[must_use]
    pub fn with_timestamp(mut self, milliseconds: u64) -> Self {
        if let Some(open) = self.body.strip_suffix(b"}") {
            let mut body = open.to_vec();
            body.extend_from_slice(format!(r#","timestamp":{milliseconds}}}"#).as_bytes());
            self.body = body.into();
        }
        self
    }

    /// Adds a header field. One that HTTP/2 does not allow is left out when the answer is sent.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body. An empty one means that the stream ends on HEADERS.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The header fields.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.headers.iter().map(|(name, value)| (&**name, value))
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body", &String::from_utf8_lossy(&self.body))
            .finish()
    }
}

/// One thing that the service does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Answer the request.
    Answer(Answer),
    /// Reset the request's stream with this code (RFC 9113 section 7), answered or not.
    Reset {
        /// The code.
        code: u32,
    },
    /// Say GOAWAY. Requests on higher streams are refused from now on, the others go on.
    GoAway {
        /// The last stream; `None` for the request's own.
        last_stream: Option<u32>,
        /// The code.
        code: u32,
        /// The debug data.
        debug: Bytes,
    },
    /// Announce SETTINGS, as identifiers and values.
    Settings(Vec<(u16, u32)>),
    /// Announce how many streams may be open. What is open goes on; what comes beyond it is refused.
    StreamLimit(u32),
    /// Send a PING with these bytes.
    Ping([u8; 8]),
    /// Write any bytes between two frames.
    Inject(Bytes),
    /// Close without a word.
    Close,
}

impl Step {
    /// GOAWAY with a reason, as the service words it: a JSON object in the debug data.
    #[must_use]
    pub fn go_away(last_stream: u32, reason: &str) -> Self {
        let reason = serde_json::Value::from(reason);
        let debug = format!(r#"{{"reason":{reason}}}"#).into();
        Self::GoAway { last_stream: Some(last_stream), code: 0, debug }
    }
}

/// What the service does with a request: steps, each some time after the request arrived. Without any the request is never
/// answered.
///
/// ```
/// use std::time::Duration;
/// use apns_sim::machine::{Answer, Step, Verdict};
///
/// let slow = Verdict::answer(Answer::new(200)).after(Duration::from_secs(2));
/// let rude = Verdict::answer(Answer::refusal(500, "InternalServerError")).then(Step::Close);
/// assert_ne!(slow, rude);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    pub(super) steps: Vec<(Duration, Step)>,
}

impl Verdict {
    /// Answer at once.
    #[must_use]
    pub fn answer(answer: Answer) -> Self {
        Self::default().then(Step::Answer(answer))
    }

    /// Reset the stream at once.
    #[must_use]
    pub fn reset(code: u32) -> Self {
        Self::default().then(Step::Reset { code })
    }

    /// Never answer.
    #[must_use]
    pub fn silence() -> Self {
        Self::default()
    }

    /// Close at once without a word.
    #[must_use]
    pub fn close() -> Self {
        Self::default().then(Step::Close)
    }

    /// Lets the last step wait so much longer.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        if let Some((at, _)) = self.steps.last_mut() {
            *at = at.saturating_add(wait);
        }
        self
    }

    /// Adds a step, right after the last.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        let at = self.steps.last().map_or(Duration::ZERO, |(at, _)| *at);
        self.steps.push((at, step));
        self
    }

    /// The steps, each with its time since the request arrived.
    #[must_use]
    pub fn steps(&self) -> &[(Duration, Step)] {
        &self.steps
    }
}
