//! Which pushes are wanted: the filters of the page's address and of the API, which are the same.

use apns_proto::http2::Reason;

use crate::names::Names;
use crate::push::{Answer, Push, app_of};

/// What is asked for. All that is set has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// How the device token begins, in hexadecimal; or the name of a device.
    pub(crate) device: Option<String>,
    /// The bundle id, or a topic of the app.
    pub(crate) app: Option<String>,
    /// A push type, `binary` or `broadcast`.
    pub(crate) push_type: Option<String>,
    pub(crate) answer: Option<String>,
    /// Text in the payload, token, topic, ids and reason.
    pub(crate) q: Option<String>,
    pub(crate) apns_id: Option<String>,
    /// The number of a connection: of the provider API, or of the gateway with a `g` before it.
    pub(crate) connection: Option<String>,
}

/// The names of the filters, as they stand in an address.
pub(crate) const FIELDS: [&str; 7] = ["device", "app", "type", "answer", "q", "apns_id", "connection"];

/// The parameters of an address, in their order.
pub(crate) fn pairs(query: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

impl Filter {
    /// Takes a parameter of an address. Says whether it is one of its own. An empty value asks for nothing.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> bool {
        let field = match name {
            "device" => &mut self.device,
            "app" => &mut self.app,
            "type" => &mut self.push_type,
            "answer" => &mut self.answer,
            "q" => &mut self.q,
            "apns_id" => &mut self.apns_id,
            "connection" => &mut self.connection,
            _ => return false,
        };
        *field = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        true
    }

    /// The filters that are set, as pairs for an address.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { device, app, push_type, answer, q, apns_id, connection } = self;
        let values = [device, app, push_type, answer, q, apns_id, connection];
        FIELDS.into_iter().zip(values).filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether nothing but the device is asked for.
    pub(crate) fn is_device_alone(&self) -> bool {
        Self { device: None, ..self.clone() }.is_empty()
    }

    pub(crate) fn fits(&self, push: &Push, names: &dyn Fn(&str) -> Option<String>) -> bool {
        let Self { device, app, push_type, answer, q, apns_id, connection } = self;
        device.as_deref().is_none_or(|wanted| fits_device(push, wanted, names))
            && app.as_deref().is_none_or(|wanted| push.app() == app_of(wanted))
            && push_type.as_deref().is_none_or(|wanted| fits_type(push, wanted))
            && answer.as_deref().is_none_or(|wanted| fits_answer(push, wanted))
            && apns_id.as_deref().is_none_or(|wanted| push.apns_id().is_some_and(|id| id.eq_ignore_ascii_case(wanted)))
            && connection.as_deref().is_none_or(|wanted| fits_connection(push, wanted))
            && q.as_deref().is_none_or(|wanted| contains(push, wanted))
    }
}

/// By the beginning of the token, or by the name.
pub(crate) fn fits_device(push: &Push, wanted: &str, names: &dyn Fn(&str) -> Option<String>) -> bool {
    let Some(token) = push.device() else { return false };
    token.starts_with(&wanted.to_ascii_lowercase()) || names(&token).is_some_and(|name| name == wanted)
}

fn fits_type(push: &Push, wanted: &str) -> bool {
    match wanted {
        "binary" => push.protocol() == "binary",
        "broadcast" => push.is_broadcast(),
        word => push.push_type().as_str().eq_ignore_ascii_case(word),
    }
}

/// A word, a status, a class of statuses such as `5xx`, or a reason.
fn fits_answer(push: &Push, wanted: &str) -> bool {
    let answer = push.answer();
    match wanted {
        "accepted" => push.accepted(),
        "refused" => !push.accepted(),
        "none" => answer == Answer::None,
        "broken" => push.judgement().is_broken(),
        _ => {
            let (status, reason) = match answer {
                Answer::Accepted(status) => (status, None),
                Answer::Refused(status, reason) => (status, reason),
                Answer::Silent | Answer::None => return false,
            };
            let class = wanted.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
            class.is_some_and(|class| status / 100 == class)
                || wanted.parse() == Ok(status)
                || reason.is_some_and(|reason| reason.eq_ignore_ascii_case(wanted))
        }
    }
}

/// Whether something can be an answer to ask for.
pub(crate) fn is_answer(wanted: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    matches!(wanted, "accepted" | "refused" | "none" | "broken")
        || number(wanted.strip_suffix("xx").unwrap_or(wanted))
        || !matches!(Reason::from(wanted), Reason::Other(_))
        || (0..=u8::MAX).any(|byte| apns_proto::binary::Status::from_raw(byte).name() == Some(wanted))
}

fn fits_connection(push: &Push, wanted: &str) -> bool {
    let Some(connection) = &push.connection else { return false };
    match wanted.strip_prefix('g') {
        Some(number) => push.protocol() == "binary" && number.parse() == Ok(connection.number),
        None => push.protocol() == "http2" && wanted.parse() == Ok(connection.number),
    }
}

/// Case does not matter. Escapes of JSON in the payload are read.
fn contains(push: &Push, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&wanted);
    let object = push.content().object.as_ref();
    let read = object.and_then(|object| serde_json::to_string(object).ok());
    has(&String::from_utf8_lossy(push.payload()))
        || read.is_some_and(|text| has(&text))
        || push.device().is_some_and(|token| has(&token))
        || has(push.topic())
        || [push.collapse_id(), push.channel(), push.apns_id(), push.said_type()].into_iter().flatten().any(has)
        || matches!(push.answer(), Answer::Refused(_, Some(reason)) if has(reason))
}

/// What a device is called: by a person on the page or through the API, else by the file of names.
pub(crate) fn name_of(names: &Names, given: Option<&str>, token: &str) -> Option<String> {
    given.or_else(|| names.device(token)).map(str::to_owned)
}
