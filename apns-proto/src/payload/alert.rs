//! The two shapes of an alert.

use std::{fmt, ops::Range};

use super::{
    PayloadError,
    json::{Fields, Object, quote_all},
};

enum_with_texts! {
    /// The keys of an ordinary alert object, in the order in which they are written.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(super) enum AlertKey {
        Title = "title",
        Subtitle = "subtitle",
        /// Never among the fields: the text is kept as it is, so that it can be shortened.
        Body = "body",
        LaunchImage = "launch-image",
        TitleLocKey = "title-loc-key",
        TitleLocArgs = "title-loc-args",
        SubtitleLocKey = "subtitle-loc-key",
        SubtitleLocArgs = "subtitle-loc-args",
        LocKey = "loc-key",
        LocArgs = "loc-args",
        ActionLocKey = "action-loc-key",
        Action = "action",
        SummaryArg = "summary-arg",
        SummaryArgCount = "summary-arg-count",
    }

    fn as_str;
}

/// An ordinary alert: a text, or an object.
#[derive(Clone, Default)]
pub(super) struct Alert {
    pub(super) body: Option<String>,
    /// The body may stand alone as the text form.
    pub(super) plain: bool,
    pub(super) fields: Fields<AlertKey>,
}

impl Alert {
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_none() && self.fields.is_empty()
    }

    pub(super) fn check(&self) -> Result<(), PayloadError> {
        self.fields.iter().try_for_each(|(_, value)| value.map(drop)).map_err(PayloadError::clone)
    }

    /// Writes the value; gives the place of the body's text between its quotes.
    pub(super) fn write(&self, json: &mut Object) -> Option<Range<usize>> {
        if let (Some(body), true, true) = (&self.body, self.plain, self.fields.is_empty()) {
            return Some(json.text(body));
        }
        let mut place = None;
        let mut body = self.body.as_deref();
        json.begin();
        for (key, value) in self.fields.iter() {
            if *key > AlertKey::Body {
                place = place.or_else(|| body.take().map(|body| json.key(AlertKey::Body.as_str()).text(body)));
            }
            if let Ok(value) = value {
                json.key(key.as_str()).value(value);
            }
        }
        place = place.or_else(|| body.map(|body| json.key(AlertKey::Body.as_str()).text(body)));
        json.end();
        place
    }
}

/// The alert of a Live Activity. It has a shape of its own: each text may be an object with a key to be looked up in the
/// app, and the sound lies inside.
///
/// Source: Apple, "Starting and updating Live Activities with ActivityKit push notifications".
///
/// ```
/// use apns_proto::payload::LiveActivityAlert;
///
/// let alert = LiveActivityAlert::new().title("Race").body_loc("%@ is in the lead", ["Anna"]).sound("chime.aiff");
/// ```
#[derive(Clone, Default)]
pub struct LiveActivityAlert {
    title: Option<Text>,
    body: Option<Text>,
    sound: Option<String>,
}

#[derive(Clone)]
enum Text {
    Plain(String),
    /// The whole object.
    Localized(String),
}

impl Text {
    fn localized(key: &str, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut json = Object::new();
        json.key("loc-key").text(key);
        json.key("loc-args").value(&quote_all(arguments));
        Self::Localized(json.finish_text())
    }

    /// Gives the place of the text if it is a plain one.
    fn write(&self, json: &mut Object) -> Option<Range<usize>> {
        match self {
            Self::Plain(text) => Some(json.text(text)),
            Self::Localized(object) => {
                json.value(object);
                None
            }
        }
    }
}

impl LiveActivityAlert {
    /// An alert without anything in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The title.
    #[must_use]
    pub fn title(mut self, text: impl Into<String>) -> Self {
        self.title = Some(Text::Plain(text.into()));
        self
    }

    /// The title as a key in the app's `Localizable.strings` with the arguments for it.
    #[must_use]
    pub fn title_loc(mut self, key: impl AsRef<str>, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.title = Some(Text::localized(key.as_ref(), arguments));
        self
    }

    /// The text. It is what [`fit`](super::PayloadBuilder::fit) shortens.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        self.body = Some(Text::Plain(text.into()));
        self
    }

    /// The text as a key in the app's `Localizable.strings` with the arguments for it.
    #[must_use]
    pub fn body_loc(mut self, key: impl AsRef<str>, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.body = Some(Text::localized(key.as_ref(), arguments));
        self
    }

    /// The name of a sound file in the app, or `default`.
    #[must_use]
    pub fn sound(mut self, name: impl Into<String>) -> Self {
        self.sound = Some(name.into());
        self
    }

    pub(super) fn plain_body(&self) -> Option<&str> {
        match &self.body {
            Some(Text::Plain(text)) => Some(text),
            Some(Text::Localized(_)) | None => None,
        }
    }

    /// Writes the value; gives the place of the body's text between its quotes.
    pub(super) fn write(&self, json: &mut Object) -> Option<Range<usize>> {
        json.begin();
        if let Some(title) = &self.title {
            title.write(json.key("title"));
        }
        let place = self.body.as_ref().and_then(|body| body.write(json.key("body")));
        if let Some(sound) = &self.sound {
            json.key("sound").text(sound);
        }
        json.end();
        place
    }
}

/// Shows no contents.
impl fmt::Debug for LiveActivityAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut json = Object::new();
        self.write(json.key(""));
        write!(f, "LiveActivityAlert({} bytes)", json.finish().len() - r#"{"":}"#.len())
    }
}
