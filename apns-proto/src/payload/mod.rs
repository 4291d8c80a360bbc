//! What a notification says: one JSON object, checked and encoded before it is sent.

mod alert;
mod build;
mod builder;
mod error;
mod finite;
mod fit;
mod json;
mod keys;
mod limit;
mod live_activity;
mod members;
mod scan;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

pub use alert::LiveActivityAlert;
pub use builder::PayloadBuilder;
pub use error::PayloadError;
pub use keys::InterruptionLevel;
pub use limit::PayloadLimit;
pub use live_activity::{End, LiveActivity, LiveActivityEvent, Start, Update};

#[doc(hidden)]
pub use members::Members;
pub(crate) use scan::Signs;
#[doc(hidden)]
pub use scan::compact as compact_json;

use crate::PushType;
use crate::encoding;

/// The encoded body of a push, ready to be sent any number of times. Cloning shares the bytes.
///
/// Made by a [`builder`](Self::builder), by one of the short cuts for whole kinds of push, by [`LiveActivity`], or from
/// ready-made JSON.
///
/// [`Debug`](fmt::Debug) shows the size only.
///
/// ```
/// use apns_proto::{Payload, PayloadLimit, PushType};
///
/// let payload = Payload::builder().title("Lunch").body("日本語").badge(3).custom("order", 17).build()?;
/// assert_eq!(
///     payload.as_bytes(),
///     r#"{"aps":{"alert":{"title":"Lunch","body":"日本語"},"badge":3},"order":17}"#.as_bytes(),
/// );
/// assert_eq!(payload.inferred_push_type(), Some(PushType::Alert));
/// payload.check_size(PayloadLimit::HTTP2)?;
/// # Ok::<(), apns_proto::PayloadError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Arc<Content>);

/// Behind one pointer, so that a notification is small in queues and windows, where there may be a hundred thousand.
struct Content {
    bytes: Bytes,
    /// What the builder was told.
    declared: Option<PushType>,
    /// What the content tells.
    signs: Signs,
}

impl Content {
    fn push_type(&self) -> Option<PushType> {
        self.declared.clone().or_else(|| self.signs.push_type())
    }
}

/// Equal when the bytes and the push type are: the signs follow from the bytes.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.push_type() == other.push_type()
    }
}

impl Eq for Content {}

impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
        self.push_type().hash(state);
    }
}

impl Payload {
    /// A builder without anything in it. Built as it is it gives `{"aps":{}}`.
    pub fn builder() -> PayloadBuilder {
        PayloadBuilder::default()
    }

    /// An alert with nothing but a text: `{"aps":{"alert":"…"}}`.
    #[must_use]
    pub fn alert(body: impl Into<String>) -> Self {
        Self::whole(&Self::builder().alert(body))
    }

    /// A background push with nothing but the wake-up: `{"aps":{"content-available":1}}`. To send own keys along, set
    /// [`content_available`](PayloadBuilder::content_available) on a builder.
    #[must_use]
    pub fn background() -> Self {
        Self::whole(&Self::builder().content_available())
    }

    /// Asks a managed device to contact its server: `{"mdm":"…"}`, with the `PushMagic` text that it enrolled with.
    #[must_use]
    pub fn mdm(push_magic: impl Into<String>) -> Self {
        Self::whole(&Self::builder().mdm(push_magic))
    }

    /// Signals a change in a File Provider domain: `{"container-identifier":"…","domain":"…"}`.
    #[must_use]
    pub fn file_provider(container: impl Into<String>, domain: impl Into<String>) -> Self {
        Self::whole(&Self::builder().file_provider(container, domain))
    }

    /// Reloads widgets: `{"aps":{"content-changed":true}}` of type [`Widgets`](PushType::Widgets).
    #[must_use]
    pub fn widgets() -> Self {
        Self::whole(&Self::builder().push_type(PushType::Widgets).content_changed())
    }

    /// Reloads control widgets: `{"aps":{"content-changed":true}}` of type [`Controls`](PushType::Controls).
    #[must_use]
    pub fn controls() -> Self {
        Self::whole(&Self::builder().push_type(PushType::Controls).content_changed())
    }

    /// Asks a device to fetch the new version of a Wallet pass: `{"aps":{}}`. Everything that is shown comes from the pass.
    ///
    /// The type is [`Alert`](PushType::Alert), which existing senders use; Apple's pages do not name one.
    #[must_use]
    pub fn wallet_pass() -> Self {
        Self::whole(&Self::builder().push_type(PushType::Alert))
    }

    /// Wakes a location push service extension: `{"aps":{}}` of type [`Location`](PushType::Location).
    #[must_use]
    pub fn location() -> Self {
        Self::whole(&Self::builder().push_type(PushType::Location))
    }

    /// Reports an incoming call, of type [`Voip`](PushType::Voip): the members of `call`, which has to serialise as a JSON
    /// object, beside an empty `aps`.
    ///
    /// # Errors
    ///
    /// [`NotSerializable`](PayloadError::NotSerializable), [`NotFinite`](PayloadError::NotFinite),
    /// [`ValueNotAnObject`](PayloadError::ValueNotAnObject), and [`ReservedKey`](PayloadError::ReservedKey) if it has a
    /// member `aps`.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use apns_proto::{Payload, PushType};
    ///
    /// let payload = Payload::voip(BTreeMap::from([("caller", "Table 4")]))?;
    /// assert_eq!(payload.as_bytes(), br#"{"aps":{},"caller":"Table 4"}"#);
    /// assert_eq!(payload.inferred_push_type(), Some(PushType::Voip));
    /// # Ok::<(), apns_proto::PayloadError>(())
    /// ```
    pub fn voip(call: impl Serialize) -> Result<Self, PayloadError> {
        Self::builder().push_type(PushType::Voip).custom_all(call).build()
    }

    /// Names who speaks on a push-to-talk channel, or says that it was left, of type [`PushToTalk`](PushType::PushToTalk):
    /// the members of `event` beside an empty `aps`.
    ///
    /// # Errors
    ///
    /// The same as those of [`voip`](Self::voip).
    pub fn push_to_talk(event: impl Serialize) -> Result<Self, PayloadError> {
        Self::builder().push_type(PushType::PushToTalk).custom_all(event).build()
    }

    /// Refreshes a complication of a watch face, of type [`Complication`](PushType::Complication): the members of `data`
    /// beside an empty `aps`.
    ///
    /// # Errors
    ///
    /// The same as those of [`voip`](Self::voip).
    pub fn complication(data: impl Serialize) -> Result<Self, PayloadError> {
        Self::builder().push_type(PushType::Complication).custom_all(data).build()
    }

    /// A push of a website to Safari, which needs a title, a body, and a value for each placeholder of the website's
    /// `urlFormatString`.
    ///
    /// Source: Apple, "Configuring Safari Push Notifications".
    ///
    /// ```
    /// use apns_proto::Payload;
    ///
    /// let payload = Payload::safari("Flight A998", "It boards now", ["boarding", "A998"]);
    /// assert_eq!(
    ///     payload.as_bytes(),
    ///     br#"{"aps":{"alert":{"title":"Flight A998","body":"It boards now"},"url-args":["boarding","A998"]}}"#,
    /// );
    /// ```
    #[must_use]
    pub fn safari(
        title: impl AsRef<str>,
        body: impl Into<String>,
        url_args: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        Self::whole(&Self::builder().title(title).body(body).url_args(url_args))
    }

    /// Forwards an encrypted message to an accessory (iOS 26.5, AccessoryNotifications framework).
    ///
    /// # Errors
    ///
    /// [`ValueNotBase64`](PayloadError::ValueNotBase64) for the data or the key id.
    pub fn accessory(message: AccessoryMessage) -> Result<Self, PayloadError> {
        Self::builder()
            .push_type(PushType::Accessory)
            .encrypted_data(message.encrypted_data)
            .session_identifier(message.session_identifier)
            .key_id(message.key_id)
            .message_index(message.message_index)
            .build()
    }

    fn from_parts(bytes: Bytes, declared: Option<PushType>, signs: Signs) -> Self {
        Self(Arc::new(Content { bytes, declared, signs }))
    }

    fn whole(builder: &PayloadBuilder) -> Self {
        builder.build().expect("the short cuts set only what belongs together")
    }

    /// A payload of the caller's own type, as compact JSON.
    ///
    /// # Errors
    ///
    /// [`NotSerializable`](PayloadError::NotSerializable) and [`NotFinite`](PayloadError::NotFinite), which call it
    /// `payload`, and the same as those of [`from_json`](Self::from_json).
    ///
    /// ```
    /// use apns_proto::{Payload, PayloadError};
    ///
    /// let payload = Payload::from_serialize(&serde_json::json!({"aps": {"alert": "Tea is ready"}}))?;
    /// assert_eq!(payload.as_bytes(), br#"{"aps":{"alert":"Tea is ready"}}"#);
    /// assert_eq!(Payload::from_serialize("tea"), Err(PayloadError::NotAnObject));
    /// # Ok::<(), PayloadError>(())
    /// ```
    pub fn from_serialize(value: &(impl Serialize + ?Sized)) -> Result<Self, PayloadError> {
        Self::from_json(json::encode("payload", value)?)
    }

    /// Takes a ready-made payload and keeps it byte for byte, but for a byte order mark before it, which is left out: JSON
    /// forbids it (RFC 8259, section 8.1).
    ///
    /// Of a key that stands there twice, only a second `aps` is noticed.
    ///
    /// # Errors
    ///
    /// [`Empty`](PayloadError::Empty), [`Encoding`](PayloadError::Encoding), [`InvalidJson`](PayloadError::InvalidJson),
    /// [`NotAnObject`](PayloadError::NotAnObject) and [`DuplicateAps`](PayloadError::DuplicateAps).
    pub fn from_json(json: impl Into<Bytes>) -> Result<Self, PayloadError> {
        let mut bytes = json.into();
        let text = encoding::text(&bytes)?;
        let signs = scan::scan(text)?;
        let mark = bytes.len() - text.len();
        Ok(Self::from_parts(bytes.split_off(mark), None, signs))
    }

    /// Takes a ready-made payload without the white space between its parts. The order of the keys, the text of numbers
    /// and the escapes stay.
    ///
    /// # Errors
    ///
    /// The same as those of [`from_json`](Self::from_json).
    ///
    /// ```
    /// use apns_proto::Payload;
    ///
    /// let payload = Payload::from_json_compact(b"{ \"n\" : 1.0e2,\n \"aps\" : { } }")?;
    /// assert_eq!(payload.as_bytes(), br#"{"n":1.0e2,"aps":{}}"#);
    /// # Ok::<(), apns_proto::PayloadError>(())
    /// ```
    pub fn from_json_compact(json: impl AsRef<[u8]>) -> Result<Self, PayloadError> {
        let json = encoding::text(json.as_ref())?;
        let signs = scan::scan(json)?;
        Ok(Self::from_parts(scan::compact(json).into(), None, signs))
    }

    /// The bytes that are sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The bytes that are sent, shared rather than copied.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.bytes.clone()
    }

    /// How many bytes are sent.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.bytes.len()
    }

    /// The push type that was declared or that the content leaves no doubt about.
    ///
    /// * [`Mdm`](PushType::Mdm): `mdm` and nothing else.
    /// * [`FileProvider`](PushType::FileProvider): `container-identifier`, `domain` and nothing else.
    /// * [`LiveActivity`](PushType::LiveActivity): `aps` has an `event` of start, update or end with a `timestamp` or a
    ///   `content-state`.
    /// * [`Alert`](PushType::Alert): otherwise, if `aps` has `alert`, `badge` or `sound`.
    /// * [`Background`](PushType::Background): `aps` has `content-available` and nothing else.
    ///
    /// Anything else leaves a doubt; `content-changed` fits widgets and controls alike.
    #[must_use]
    pub fn inferred_push_type(&self) -> Option<PushType> {
        self.0.push_type()
    }

    /// The push type that the builder was told ([`PayloadBuilder::push_type`]); none for ready-made JSON. It is a choice of
    /// the caller's, like [`Notification::with_push_type`](crate::Notification::with_push_type), and is not in the bytes.
    #[must_use]
    pub fn declared_push_type(&self) -> Option<&PushType> {
        self.0.declared.as_ref()
    }

    /// Whether the type is known to be this one.
    pub(crate) fn is_inferred(&self, push_type: &PushType) -> bool {
        match self.declared_push_type() {
            Some(declared) => declared == push_type,
            None => self.0.signs.push_type().as_ref() == Some(push_type),
        }
    }

    /// What the content says of the push type, whatever was declared.
    #[cfg(feature = "http2")]
    pub(crate) fn content_push_type(&self) -> Option<PushType> {
        self.0.signs.push_type()
    }

    /// What in the content tells the push type.
    #[cfg(feature = "http2")]
    pub(crate) fn signs(&self) -> Signs {
        self.0.signs
    }

    /// The JSON, shared.
    #[cfg(feature = "http2")]
    pub(crate) fn shared(&self) -> &Bytes {
        &self.0.bytes
    }

    /// Whether it wakes the app and shows nothing, with further keys that mean nothing for the push type.
    #[cfg(feature = "http2")]
    pub(crate) fn is_silent(&self) -> bool {
        self.0.signs.is_silent()
    }

    /// The first key that a push of this type needs and that is not there.
    #[cfg(feature = "http2")]
    pub(crate) fn missing_key(&self, push_type: &PushType) -> Option<&'static str> {
        push_type.required_keys().iter().copied().find(|key| !self.0.signs.has(key))
    }

    /// Whether the payload is small enough.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](PayloadError::TooLarge) with the size and the limit.
    pub fn check_size(&self, limit: PayloadLimit) -> Result<(), PayloadError> {
        if self.size() > limit.bytes() {
            return Err(PayloadError::TooLarge { size: self.size(), limit });
        }
        Ok(())
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// Shows no contents.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.size())
    }
}

/// What is forwarded to an accessory; see [`Payload::accessory`].
#[derive(Clone)]
pub struct AccessoryMessage {
    /// The encrypted message as base64 text.
    pub encrypted_data: String,
    /// The session.
    pub session_identifier: String,
    /// The key as base64 text.
    pub key_id: String,
    /// The number of the message within the session. Sent as a text, as in Apple's sample.
    pub message_index: u64,
}

/// Shows no contents.
impl fmt::Debug for AccessoryMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessoryMessage({} bytes of data)", self.encrypted_data.len())
    }
}
