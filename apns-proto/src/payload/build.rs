//! From a builder to bytes: the checks, the writing, the fitting.

use std::ops::Range;

use super::{
    LiveActivityEvent, Payload, PayloadBuilder, PayloadError, PayloadLimit,
    builder::Root,
    fit::longest_prefix,
    json::{Object, escape, escaped_len},
    keys::ApsKey,
    scan::Signs,
};
use crate::PushType;

impl PayloadBuilder {
    /// The finished payload, whatever its size.
    ///
    /// # Errors
    ///
    /// * [`ReservedKey`](PayloadError::ReservedKey), [`KnownApsKey`](PayloadError::KnownApsKey): the key is not for this setter.
    /// * [`NotFinite`](PayloadError::NotFinite), [`NotSerializable`](PayloadError::NotSerializable),
    ///   [`ValueNotAnObject`](PayloadError::ValueNotAnObject), [`ValueNotBase64`](PayloadError::ValueNotBase64),
    ///   [`RelevanceScore`](PayloadError::RelevanceScore), [`Volume`](PayloadError::Volume),
    ///   [`SummaryArgCount`](PayloadError::SummaryArgCount): the value is impossible.
    /// * [`MissingLiveActivityEvent`](PayloadError::MissingLiveActivityEvent),
    ///   [`MissingLiveActivityKey`](PayloadError::MissingLiveActivityKey),
    ///   [`MissingContentAvailable`](PayloadError::MissingContentAvailable): something required is not there.
    /// * [`TokenAndChannel`](PayloadError::TokenAndChannel), [`TwoAlerts`](PayloadError::TwoAlerts),
    ///   [`ForeignKey`](PayloadError::ForeignKey): things that exclude each other.
    pub fn build(&self) -> Result<Payload, PayloadError> {
        self.check()?;
        Ok(self.finish(self.write().json))
    }

    /// The finished payload, with the body of the alert shortened if that is needed to stay within the limit.
    ///
    /// What is kept is the longest prefix with which the encoded payload fits. It ends between two characters as a reader
    /// sees them (extended grapheme clusters, Unicode Standard Annex 29), never inside an emoji, an accented letter or an
    /// escape. The body may become empty. Takes time in proportion to the size of the payload.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build), and [`CannotFit`](PayloadError::CannotFit) when the rest of the payload alone is too
    /// large. A text that the app looks up by a key cannot be shortened.
    pub fn fit(&self, limit: PayloadLimit) -> Result<Payload, PayloadError> {
        self.fit_with(limit, "")
    }

    /// The same as [`fit`](Self::fit), with `ellipsis` behind the body if it was shortened; its bytes count. Where not even
    /// the ellipsis finds room, the body is shortened without it.
    ///
    /// # Errors
    ///
    /// The same as those of [`fit`](Self::fit).
    pub fn fit_with(&self, limit: PayloadLimit, ellipsis: &str) -> Result<Payload, PayloadError> {
        self.check()?;
        let Written { mut json, body } = self.write();
        if json.len() <= limit.bytes() {
            return Ok(self.finish(json));
        }
        let (text, place) = match (self.body_text(), body) {
            (Some(text), Some(place)) => (text, place),
            _ => return Err(PayloadError::CannotFit { over: json.len() - limit.bytes(), limit }),
        };
        let rest = json.len() - place.len();
        let Some(room) = limit.bytes().checked_sub(rest) else {
            return Err(PayloadError::CannotFit { over: rest - limit.bytes(), limit });
        };
        let (room, ellipsis) = match room.checked_sub(escaped_len(ellipsis)) {
            Some(less) => (less, ellipsis),
            None => (room, ""),
        };
        let kept = place.start + longest_prefix(text, room);
        json.splice(kept..place.end, escape(ellipsis).into_bytes());
        Ok(self.finish(json))
    }

    fn finish(&self, json: Vec<u8>) -> Payload {
        Payload::from_parts(json.into(), self.push_type.clone(), self.signs())
    }

    /// The text that may be shortened.
    fn body_text(&self) -> Option<&str> {
        match &self.live_activity_alert {
            Some(alert) => alert.plain_body(),
            None => self.alert.body.as_deref(),
        }
    }

    fn check(&self) -> Result<(), PayloadError> {
        self.alert.check()?;
        self.aps.iter().try_for_each(|(_, value)| value.map(drop)).map_err(PayloadError::clone)?;
        self.further_aps.iter().try_for_each(|(_, value)| value.map(drop)).map_err(PayloadError::clone)?;
        self.custom.iter().try_for_each(|(_, value)| value.map(drop)).map_err(PayloadError::clone)?;
        match self.root {
            Root::Aps => {}
            Root::Mdm { .. } => return self.check_alone(PushType::Mdm),
            Root::FileProvider { .. } => return self.check_alone(PushType::FileProvider),
        }
        if self.live_activity_alert.is_some() && !self.alert.is_empty() {
            return Err(PayloadError::TwoAlerts);
        }
        self.check_live_activity()?;
        if self.push_type == Some(PushType::Background) { self.check_background() } else { Ok(()) }
    }

    fn check_live_activity(&self) -> Result<(), PayloadError> {
        let Some(event) = self.event else {
            if self.aps.keys().any(|key| key.needs_event())
                || self.live_activity_alert.is_some()
                || self.push_type == Some(PushType::LiveActivity)
            {
                return Err(PayloadError::MissingLiveActivityEvent);
            }
            return match self.relevance_score {
                Some(score) if !(0.0..=1.0).contains(&score) => Err(PayloadError::RelevanceScore { score }),
                Some(_) | None => Ok(()),
            };
        };
        let required: &[ApsKey] = match event {
            LiveActivityEvent::Start => {
                &[ApsKey::Timestamp, ApsKey::ContentState, ApsKey::AttributesType, ApsKey::Attributes]
            }
            LiveActivityEvent::Update => &[ApsKey::Timestamp, ApsKey::ContentState],
            LiveActivityEvent::End => &[ApsKey::Timestamp],
        };
        if let Some(missing) = required.iter().find(|key| !self.aps.contains(key)) {
            return Err(PayloadError::MissingLiveActivityKey { event, key: missing.as_str() });
        }
        if event == LiveActivityEvent::Start && self.alert.is_empty() && self.live_activity_alert.is_none() {
            return Err(PayloadError::MissingLiveActivityKey { event, key: "alert" });
        }
        if self.aps.contains(&ApsKey::InputPushToken) && self.aps.contains(&ApsKey::InputPushChannel) {
            return Err(PayloadError::TokenAndChannel);
        }
        Ok(())
    }

    fn check_background(&self) -> Result<(), PayloadError> {
        if !self.aps.contains(&ApsKey::ContentAvailable) {
            return Err(PayloadError::MissingContentAvailable);
        }
        match self.aps_key_names().find(|name| *name != ApsKey::ContentAvailable.as_str()) {
            Some(name) => Err(PayloadError::ForeignKey { push_type: PushType::Background, key: name.into() }),
            None => Ok(()),
        }
    }

    /// Refuses everything beside the keys that make up `push_type`.
    fn check_alone(&self, push_type: PushType) -> Result<(), PayloadError> {
        match self.aps_key_names().chain(self.custom.keys().map(String::as_str)).next() {
            Some(name) => Err(PayloadError::ForeignKey { push_type, key: name.into() }),
            None => Ok(()),
        }
    }

    fn has_alert(&self) -> bool {
        self.live_activity_alert.is_some() || !self.alert.is_empty()
    }

    fn aps_key_names(&self) -> impl Iterator<Item = &str> {
        let alert = self.has_alert().then_some("alert");
        let further = self.further_aps.keys().map(String::as_str);
        alert.into_iter().chain(self.aps.keys().map(|key| key.as_str())).chain(further)
    }

    /// The same signs that a scan of the finished JSON would find.
    fn signs(&self) -> Signs {
        let mut signs = Signs::default();
        match self.root {
            Root::Aps => signs.aps = true,
            Root::Mdm { .. } => signs.mdm = true,
            Root::FileProvider { .. } => (signs.container, signs.domain) = (true, true),
        }
        signs.noticeable = self.has_alert();
        for key in self.aps.keys() {
            match key {
                ApsKey::Badge | ApsKey::Sound => signs.noticeable = true,
                ApsKey::ContentAvailable => signs.content_available = true,
                ApsKey::Event => (signs.more, signs.event) = (true, true),
                ApsKey::Timestamp => (signs.more, signs.timestamp) = (true, true),
                ApsKey::ContentState => (signs.more, signs.content_state) = (true, true),
                ApsKey::ContentChanged => (signs.more, signs.content_changed) = (true, true),
                ApsKey::EncryptedData => (signs.more, signs.encrypted) = (true, true),
                ApsKey::ThreadId
                | ApsKey::Category
                | ApsKey::MutableContent
                | ApsKey::TargetContentId
                | ApsKey::InterruptionLevel
                | ApsKey::RelevanceScore
                | ApsKey::FilterCriteria
                | ApsKey::StaleDate
                | ApsKey::DismissalDate
                | ApsKey::AttributesType
                | ApsKey::Attributes
                | ApsKey::InputPushToken
                | ApsKey::InputPushChannel
                | ApsKey::SessionIdentifier
                | ApsKey::KeyId
                | ApsKey::MessageIndex
                | ApsKey::UrlArgs => signs.more = true,
            }
        }
        signs.more |= self.further_aps.iter().any(|(_, value)| value != Ok("null"));
        signs.own = !self.custom.is_empty();
        signs
    }

    /// Writes everything that is in order.
    pub(super) fn write(&self) -> Written {
        let mut json = Object::new();
        let mut body = None;
        match &self.root {
            Root::Mdm { push_magic } => {
                json.key("mdm").text(push_magic);
            }
            Root::FileProvider { container, domain } => {
                json.key("container-identifier").text(container);
                json.key("domain").text(domain);
            }
            Root::Aps => {
                json.key("aps").begin();
                if let Some(alert) = &self.live_activity_alert {
                    body = alert.write(json.key("alert"));
                } else if !self.alert.is_empty() {
                    body = self.alert.write(json.key("alert"));
                }
                write_fields(&mut json, self.aps.iter().map(|(key, value)| (key.as_str(), value)));
                write_fields(&mut json, self.further_aps.iter().map(|(key, value)| (key.as_str(), value)));
                json.end();
            }
        }
        write_fields(&mut json, self.custom.iter().map(|(key, value)| (key.as_str(), value)));
        Written { json: json.finish(), body }
    }
}

fn write_fields<'a>(json: &mut Object, fields: impl Iterator<Item = (&'a str, Result<&'a str, &'a PayloadError>)>) {
    for (key, value) in fields {
        if let Ok(value) = value {
            json.key(key).value(value);
        }
    }
}

pub(super) struct Written {
    pub(super) json: Vec<u8>,
    /// Where the text that may be shortened lies between its quotes.
    body: Option<Range<usize>>,
}
