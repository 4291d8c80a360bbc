//! Rules about the request: headers over HTTP/2, items of the binary protocol.
//!
//! Source: Apple, "Sending notification requests to APNs", "Sending broadcast push notification requests to APNs" and
//! "Establishing a token-based connection to APNs"; for the binary protocol the archived guide.

use apns_proto::{PushType, WallTime};
use apns_sim::{AuthenticatedBy, RequestKind};

use super::Severity::{Know, May, Refuse};
use super::{Checked, Page, Rule, unless};
use crate::clock;
use crate::push::Push;

const MAX_COLLAPSE_ID: usize = 64;

/// How long a provider token is good, in seconds.
const TOKEN_AGE: u64 = 60 * 60;

pub(super) static HTTP2: [Rule; 13] = [
    Rule {
        name: "path",
        keeps: "POST to /3/device/ and hexadecimal digits, or to /4/broadcasts/apps/ and a bundle id",
        page: Page::Request,
        field: Some(":path"),
        check: path,
    },
    Rule {
        name: "duplicate-headers",
        keeps: "No header stands there twice",
        page: Page::Request,
        field: None,
        check: duplicates,
    },
    Rule {
        name: "topic",
        keeps: "apns-topic names the app",
        page: Page::Request,
        field: Some("apns-topic"),
        check: topic,
    },
    Rule {
        name: "push-type",
        keeps: "apns-push-type is there, and one that the service knows",
        page: Page::Request,
        field: Some("apns-push-type"),
        check: push_type,
    },
    Rule {
        name: "topic-suffix",
        keeps: "The topic has what its push type asks for",
        page: Page::Request,
        field: Some("apns-topic"),
        check: suffix,
    },
    Rule {
        name: "priority",
        keeps: "apns-priority is 10, 5 or 1",
        page: Page::Request,
        field: Some("apns-priority"),
        check: priority,
    },
    Rule {
        name: "background-priority",
        keeps: "A background push has priority 5",
        page: Page::Background,
        field: Some("apns-priority"),
        check: background_priority,
    },
    Rule {
        name: "expiration",
        keeps: "apns-expiration is a time in seconds",
        page: Page::Request,
        field: Some("apns-expiration"),
        check: expiration,
    },
    Rule {
        name: "collapse-id",
        keeps: "apns-collapse-id has at most 64 bytes",
        page: Page::Request,
        field: Some("apns-collapse-id"),
        check: collapse_id,
    },
    Rule {
        name: "apns-id",
        keeps: "apns-id is a UUID in lower case",
        page: Page::Request,
        field: Some("apns-id"),
        check: apns_id,
    },
    Rule {
        name: "credential",
        keeps: "The credential may send this type",
        page: Page::Token,
        field: None,
        check: credential,
    },
    Rule {
        name: "recipe",
        keeps: "Nothing is done that only Apple's recipes do",
        page: Page::Token,
        field: None,
        check: recipe,
    },
    Rule {
        name: "token-age",
        keeps: "The provider token is at most an hour old",
        page: Page::Token,
        field: Some("authorization"),
        check: token_age,
    },
];

pub(super) static BINARY: [Rule; 3] = [
    Rule {
        name: "binary-protocol",
        keeps: "The protocol is one that Apple's service speaks",
        page: Page::Request,
        field: None,
        check: |_| {
            unless(
                false,
                Refuse,
                "The binary protocol ended on 31 March 2021",
                "Only private gateways and test rigs speak it. `apns bridge` lets an old client go on, over HTTP/2.",
            )
        },
    },
    Rule {
        name: "binary-token",
        keeps: "The device token has 32 bytes",
        page: Page::Binary,
        field: None,
        check: |push| {
            let length = push.token().map_or(0, |token| token.len());
            let text = "Tokens of that time had 32. Newer ones may be longer; check that none was cut or doubled.";
            unless(length == 32, Know, format!("The device token has {length} bytes"), text)
        },
    },
    Rule {
        name: "binary-priority",
        keeps: "The priority is 10 or 5",
        page: Page::Binary,
        field: None,
        check: |push| match push.priority() {
            None => Checked::Beside,
            Some(priority) => unless(matches!(priority, 5 | 10), May, format!("Priority {priority}"), "Send 10 or 5."),
        },
    },
];

fn header<'a>(push: &'a Push, name: &str) -> Option<&'a [u8]> {
    push.request()?.header(name)
}

fn kind(push: &Push) -> Option<RequestKind> {
    push.request().map(|request| request.kind)
}

fn recipe(push: &Push) -> Checked {
    let Some(request) = push.request() else { return Checked::Beside };
    let Some(first) = request.deviations.first() else { return Checked::Kept };
    let words: Vec<&str> = request.deviations.iter().map(|one| one.word()).collect();
    let told: Vec<String> = request.deviations.iter().map(|one| format!("{one}.")).collect();
    unless(false, Refuse, format!("{} → {}", words.join(", "), first.reason()), told.join(" "))
}

fn path(push: &Push) -> Checked {
    let Some(request) = push.request() else { return Checked::Beside };
    let known = matches!(request.kind, RequestKind::Push | RequestKind::Broadcast);
    if request.method != "POST" {
        let text = "Pushes are sent with POST. Look for a proxy that changes requests.";
        return unless(false, Refuse, format!("Method {} → 405 MethodNotAllowed", request.method), text);
    }
    if !known {
        let text = "The path is `/3/device/` and the device token in hexadecimal digits.";
        return unless(false, Refuse, "A path that the service does not have → 404 BadPath", text);
    }
    let text = "The device token is written in hexadecimal digits, two for each byte.";
    let right = request.kind == RequestKind::Broadcast || request.token.is_some();
    unless(right, Refuse, "No device token in the path → 400 BadDeviceToken or MissingDeviceToken", text)
}

fn duplicates(push: &Push) -> Checked {
    let Some(request) = push.request() else { return Checked::Beside };
    let ours = |name: &str| name.starts_with("apns-");
    let twice =
        request.headers.iter().enumerate().find(|(place, (name, _))| {
            ours(name) && request.headers[..*place].iter().any(|(earlier, _)| earlier == name)
        });
    match twice {
        None => Checked::Kept,
        Some((_, (name, _))) => unless(
            false,
            Refuse,
            format!("{name} stands there twice → 400 DuplicateHeaders"),
            "Look for a proxy or a wrapper that adds headers of its own.",
        ),
    }
}

fn topic(push: &Push) -> Checked {
    let named = header(push, "apns-topic").is_some();
    match (kind(push), push.credential()) {
        (Some(RequestKind::Push), Some(AuthenticatedBy::Certificate)) if !named => {
            let text = "The certificate of the simulator is for one app, which counts then. Apple's certificates mostly \
                        cover several topics, and then it has to be named.";
            unless(false, Know, "No apns-topic", text)
        }
        (Some(RequestKind::Push), _) => unless(
            named,
            Refuse,
            "No apns-topic → 400 MissingTopic",
            "With a signing key the topic has to be named: the bundle id of the app, with the suffix of the push type.",
        ),
        _ => Checked::Beside,
    }
}

fn push_type(push: &Push) -> Checked {
    match (kind(push), push.said_type()) {
        (Some(RequestKind::Push | RequestKind::Broadcast), Some(said)) => {
            let known = PushType::from_known(said);
            let similar = known.as_ref().err().and_then(|unknown| unknown.similar.clone());
            let text = match similar {
                Some(similar) => format!("Is `{}` meant?", similar.as_str()),
                None => "Use one of Apple's push types, such as `alert`, `background` or `voip`.".to_owned(),
            };
            unless(known.is_ok(), Refuse, "An unknown apns-push-type → 400 InvalidPushType", text)
        }
        (Some(RequestKind::Push), None) => unless(
            false,
            May,
            "No apns-push-type",
            format!(
                "Apple demands it for watchOS 6 and later; without it a push may be refused, late or dropped. This one was \
                 taken for `{}`.",
                push.push_type().as_str()
            ),
        ),
        (Some(RequestKind::Broadcast), None) => {
            unless(false, Refuse, "No apns-push-type → 400 MissingPushType", "Send `liveactivity`.")
        }
        _ => Checked::Beside,
    }
}

fn suffix(push: &Push) -> Checked {
    let (Some(RequestKind::Push), Some(said)) = (kind(push), push.said_type()) else { return Checked::Beside };
    let Ok(push_type) = PushType::from_known(said) else { return Checked::Beside };
    let topic = push.topic();
    let right = match PushType::of_topic(topic) {
        Some(PushType::Alert) | None => push_type.topic_suffix().is_empty(),
        Some(of_topic) => of_topic == push_type,
    };
    let (word, app) = (push_type.as_str(), push.app());
    unless(
        right,
        Refuse,
        format!("The topic is not one for {word} → 400 InvalidPushType"),
        format!("The topic of `{word}` is `{}`, and this is `{topic}`.", push_type.topic(app)),
    )
}

fn priority(push: &Push) -> Checked {
    match header(push, "apns-priority") {
        None if kind(push) == Some(RequestKind::Broadcast) => {
            unless(false, Refuse, "No apns-priority → 400 BadPriority", "A broadcast has to say 10, 5 or 1.")
        }
        None => Checked::Beside,
        Some(value) => {
            let right = matches!(value, b"10" | b"5" | b"1");
            unless(right, Refuse, "An unknown apns-priority → 400 BadPriority", "Send 10, 5 or 1, in plain digits.")
        }
    }
}

fn background_priority(push: &Push) -> Checked {
    if kind(push) != Some(RequestKind::Push) || push.push_type() != PushType::Background {
        return Checked::Beside;
    }
    match push.priority() {
        Some(10) => unless(
            false,
            Refuse,
            "Background with priority 10 → 400 BadPriority",
            "Send `apns-priority: 5`. Left out, it counts as 10.",
        ),
        None => unless(
            false,
            May,
            "Background without a priority",
            "Left out, it counts as 10, which is an error for this type. Send `apns-priority: 5`.",
        ),
        Some(_) => Checked::Kept,
    }
}

fn expiration(push: &Push) -> Checked {
    let value = header(push, "apns-expiration");
    if value.is_some() && push.expiration().is_none() {
        let text = "Give whole seconds since 1970, or 0 for a single attempt.";
        return unless(false, Refuse, "apns-expiration is no number → 400 BadExpirationDate", text);
    }
    let now = push.at;
    match push.expiration() {
        None if kind(push) == Some(RequestKind::Broadcast) => {
            let text = "Give 0 for a channel without storage, otherwise whole seconds since 1970.";
            unless(false, Refuse, "No apns-expiration → 400 BadExpirationDate", text)
        }
        None => Checked::Beside,
        Some(0) => Checked::Kept,
        Some(end) if end > u64::from(u32::MAX) => unless(
            false,
            May,
            "apns-expiration is far in the future",
            "It is in milliseconds, probably: divide it by 1000.",
        ),
        Some(end) => {
            let end = WallTime::from_secs(end);
            let text = format!(
                "It had passed when the push came, {}. Look at the clock of the sender.",
                clock::distance(end, now)
            );
            unless(end >= now, Know, "apns-expiration is in the past", text)
        }
    }
}

fn collapse_id(push: &Push) -> Checked {
    let Some(id) = header(push, "apns-collapse-id") else { return Checked::Beside };
    unless(
        id.len() <= MAX_COLLAPSE_ID,
        Refuse,
        format!("A collapse id of {} bytes → 400 BadCollapseId", id.len()),
        "Shorten it to 64. Bytes of UTF-8 count, not characters.",
    )
}

fn apns_id(push: &Push) -> Checked {
    let Some(id) = header(push, "apns-id") else { return Checked::Beside };
    let text = str::from_utf8(id).unwrap_or_default();
    if text.parse::<apns_proto::ApnsId>().is_err() {
        let text = "Give a UUID of the form 8-4-4-4-12, or leave it out: the service makes one.";
        return unless(false, Refuse, "apns-id is no UUID → 400 BadMessageId", text);
    }
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    unless(
        lower,
        Know,
        "apns-id in capital letters",
        "Apple asks for lower case, and answers so: compare without case.",
    )
}

fn credential(push: &Push) -> Checked {
    let push_type = push.push_type();
    match push.credential() {
        Some(AuthenticatedBy::Certificate) if push_type.needs_provider_token() => unless(
            false,
            Refuse,
            format!("{} with a certificate", push_type.as_str()),
            "This type can only be sent with a signing key.",
        ),
        Some(AuthenticatedBy::Certificate) if push_type == PushType::LiveActivity && !push.is_broadcast() => unless(
            false,
            May,
            "liveactivity with a certificate",
            "Apple's examples, and other senders, use a signing key for Live Activities.",
        ),
        Some(AuthenticatedBy::Certificate | AuthenticatedBy::Token { .. }) => Checked::Kept,
        Some(_) | None => Checked::Beside,
    }
}

fn token_age(push: &Push) -> Checked {
    let Some(issued_at) = push.request().and_then(|request| request.token_issued_at) else { return Checked::Beside };
    let age = push.at.as_secs().saturating_sub(issued_at);
    if age > TOKEN_AGE {
        return unless(
            false,
            Refuse,
            "The provider token is more than an hour old",
            "Sign one every 20 to 60 minutes.",
        );
    }
    unless(
        issued_at <= push.at.as_secs() + 60,
        Know,
        "The provider token is from the future",
        "Look at the clock of the sender.",
    )
}
