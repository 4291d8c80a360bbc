//! Rules about the payload: what `apns-lint` finds, with the page it comes from, and what that crate has no place for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use apns_lint::{Lint, Severity as Weight};
use apns_proto::PushType;

use super::Severity::{Know, May, Refuse};
use super::{Checked, Finding, Page, Rule, unless};
use crate::push::Push;

pub(super) static RULES: [Rule; 2] = [
    Rule {
        name: "binary-size",
        keeps: "The payload is within the limit of the binary protocol",
        page: Page::Binary,
        field: None,
        check: |push| {
            if push.request().is_some() {
                return Checked::Beside;
            }
            let (length, limit) = (push.payload().len(), push.payload_limit().bytes());
            let title = format!("{length} bytes where {limit} are allowed → status 7 invalid_payload_size");
            unless(
                length <= limit,
                Refuse,
                title,
                "Shorten it. Bytes of UTF-8 count, white space and escapes included.",
            )
        },
    },
    Rule {
        name: "entitlement",
        keeps: "No entitlement is needed",
        page: Page::Level,
        field: Some("aps.interruption-level"),
        check: entitlement,
    },
];

/// What the payload has wrong for its push type.
pub(super) fn lint(push: &Push) -> Vec<Finding> {
    let push_type = push.push_type();
    let lint = Lint::new(push.payload()).with_push_type(push_type.clone());
    let lint = if push.is_broadcast() { lint.as_broadcast() } else { lint };
    // The text of a pass comes from the pass.
    let pass = push.topic().starts_with("pass.");
    let findings = lint.findings().into_iter().filter(|found| !(pass && found.at == "aps"));
    // The worst of each key is enough, and comes first.
    let mut named = BTreeSet::new();
    let findings = findings.filter(|found| found.at.is_empty() || named.insert(found.at.clone()));
    let found = findings.map(|found| Finding {
        kind: match found.severity {
            Weight::Refused => Refuse,
            Weight::Dropped => May,
            _ => Know,
        },
        rule: "payload",
        title: if found.at.is_empty() { "The payload".to_owned() } else { found.at.clone() },
        text: sentence(&found.what),
        page: page(&push_type, &found.at, push.is_broadcast()),
        field: (!found.at.is_empty()).then_some(Cow::Owned(found.at)),
    });
    found.collect()
}

/// The page that says what belongs into a payload of this type.
fn page(push_type: &PushType, at: &str, broadcast: bool) -> Page {
    match push_type {
        _ if at == "aps.interruption-level" => Page::Level,
        PushType::LiveActivity if broadcast && at.is_empty() => Page::Broadcast,
        PushType::LiveActivity => Page::LiveActivity,
        PushType::Background => Page::Background,
        PushType::Widgets => Page::Widgets,
        PushType::Controls => Page::Controls,
        PushType::Mdm => Page::Mdm,
        _ => Page::Payload,
    }
}

/// With a capital letter and a full stop.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

fn entitlement(push: &Push) -> Checked {
    use apns_proto::payload::InterruptionLevel::{Critical, TimeSensitive};
    let content = push.content();
    let critical = content.level == Some(Critical) || content.sound.as_ref().is_some_and(|sound| sound.critical);
    if critical {
        let text = "Apple grants it one by one. Without it the phone shows and plays it as a plain alert.";
        return unless(false, Know, "Critical needs an entitlement", text);
    }
    if content.level == Some(TimeSensitive) {
        let text = "Without Time Sensitive Notifications in the app’s entitlements the phone shows it as `active`.";
        return unless(false, Know, "Time-sensitive needs an entitlement", text);
    }
    Checked::Beside
}
