//! The commands that send a push again: with this project's command, and with curl as it was.
//!
//! They carry the kind of credential that the push came with. An expiration becomes the time that was left of it when the
//! push came: as it was, it would have passed.

use std::fmt::Write as _;

use apns_proto::PushType;
use apns_sim::{AuthenticatedBy, RequestKind};
use serde::Serialize;

use crate::push::{Push, Source};

/// Where the simulator is, and who may send to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) http2_port: u16,
    pub(crate) gateway_port: u16,
    /// The folder with the certificates.
    pub(crate) certs: &'a str,
    /// The file of the signing key.
    pub(crate) signing_key: &'a str,
    pub(crate) key_id: &'a str,
    pub(crate) team_id: &'a str,
}

/// The commands; none where a push cannot be said in a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Again {
    pub(crate) send: Option<String>,
    pub(crate) curl: Option<String>,
    /// What `apns send` mends of it.
    pub(crate) mends: Option<String>,
}

/// A word of a command line for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=+@%,".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Again {
    pub(crate) fn of(push: &Push, to: &Credentials<'_>) -> Self {
        let nothing = Self { send: None, curl: None, mends: None };
        // What is no text, or has a character that no shell takes, cannot be said.
        let payload = str::from_utf8(push.payload()).ok().filter(|text| !text.contains('\0') && !text.is_empty());
        let Some(payload) = payload else { return nothing };
        match &push.source {
            Source::Unreadable(_) => nothing,
            Source::Frame(_) => Self { send: Some(binary(push, payload, to)), curl: None, mends: None },
            Source::Request(request) => {
                let send = match request.kind {
                    RequestKind::Push => push.device().map(|device| provider(push, &device, payload, to)),
                    RequestKind::Broadcast => broadcast(push, payload, to),
                    _ => None,
                };
                let mends = send.as_ref().and_then(|_| mends(push));
                Self { send, curl: Some(curl(push, payload, to)), mends }
            }
        }
    }
}

fn by_certificate(push: &Push) -> bool {
    matches!(push.credential(), Some(AuthenticatedBy::Certificate))
}

fn credential(push: &Push, to: &Credentials<'_>) -> String {
    let file = |name: &str| quoted(&format!("{}/{name}", to.certs));
    if by_certificate(push) || push.request().is_none() {
        format!("--cert {} --cert-key {}", file("client.pem"), file("client.key"))
    } else {
        format!("--p8 {} --key-id {} --team-id {}", quoted(to.signing_key), to.key_id, to.team_id)
    }
}

/// The seconds that were left when it came.
fn left(push: &Push) -> Option<u64> {
    push.expiration().map(|end| end.saturating_sub(push.at.as_secs()))
}

/// The payload as a here-document whose end is no line of it.
fn here(payload: &str) -> String {
    let mut end = "JSON".to_owned();
    while payload.lines().any(|line| line == end) {
        end.push('_');
    }
    format!("--payload - <<'{end}'\n{payload}\n{end}")
}

fn provider(push: &Push, device: &str, payload: &str, to: &Credentials<'_>) -> String {
    let ca = quoted(&format!("{}/ca.pem", to.certs));
    let mut command = format!("apns send --host localhost --port {} --ca {ca}", to.http2_port);
    let mut option = |text: String| {
        let _ = write!(command, " \\\n  {text}");
    };
    option(credential(push, to));
    option(format!("--token {device}"));
    option(format!("--topic {}", quoted(push.app())));
    option(format!("--push-type {}", quoted(push.push_type().as_str())));
    if let Some(priority @ (1 | 5 | 10)) = push.priority() {
        let forced = push.push_type().forced_priority().map(|priority| priority.number());
        option(format!("--priority {}", forced.unwrap_or(priority)));
    }
    if let Some(id) = push.collapse_id() {
        option(format!("--collapse-id {}", quoted(id)));
    }
    if let Some(left) = left(push) {
        option(format!("--ttl {left}s"));
    }
    option(here(payload));
    command
}

fn binary(push: &Push, payload: &str, to: &Credentials<'_>) -> String {
    let ca = quoted(&format!("{}/ca.pem", to.certs));
    let mut command = format!("apns send --binary --host localhost --port {} --ca {ca}", to.gateway_port);
    let mut option = |text: String| {
        let _ = write!(command, " \\\n  {text}");
    };
    option(credential(push, to));
    if let Source::Frame(record) = &push.source {
        option(format!("--command {}", record.format.command()));
    }
    option(format!("--token {}", push.device().unwrap_or_default()));
    if let Some(priority @ (5 | 10)) = push.priority() {
        option(format!("--priority {priority}"));
    }
    if let Some(left) = left(push) {
        option(format!("--ttl {left}s"));
    }
    option(here(payload));
    command
}

fn broadcast(push: &Push, payload: &str, to: &Credentials<'_>) -> Option<String> {
    let channel = push.channel()?;
    let ca = quoted(&format!("{}/ca.pem", to.certs));
    let mut command = format!("apns broadcast --host localhost --port {} --ca {ca}", to.http2_port);
    let mut option = |text: String| {
        let _ = write!(command, " \\\n  {text}");
    };
    option(credential(push, to));
    option(format!("--topic {}", quoted(push.app())));
    option(format!("--channel {}", quoted(channel)));
    if let Some(left) = left(push).filter(|left| *left > 0) {
        option(format!("--ttl {left}s"));
    }
    option(here(payload));
    Some(command)
}

/// As it was: every header that the client chose.
fn curl(push: &Push, payload: &str, to: &Credentials<'_>) -> String {
    let file = |name: &str| quoted(&format!("{}/{name}", to.certs));
    let mut command = format!("curl -i --http2 --cacert {}", file("ca.pem"));
    let Some(request) = push.request() else { return command };
    let mut option = |text: String| {
        let _ = write!(command, " \\\n  {text}");
    };
    if request.method != "POST" {
        option(format!("-X {}", quoted(&request.method)));
    }
    if by_certificate(push) {
        option(format!("--cert {} --key {}", file("client.pem"), file("client.key")));
    } else {
        let (key, team) = (to.key_id, to.team_id);
        let token = format!("$(apns token --p8 {} --key-id {key} --team-id {team})", quoted(to.signing_key));
        option(format!("-H \"authorization: bearer {token}\""));
    }
    for (name, value) in &request.headers {
        if !name.starts_with("apns-") {
            continue;
        }
        match (name.as_str(), left(push)) {
            ("apns-expiration", Some(left)) if left > 0 => {
                option(format!("-H \"apns-expiration: $(($(date +%s) + {left}))\""));
            }
            _ => option(format!("-H {}", quoted(&format!("{name}: {}", String::from_utf8_lossy(value))))),
        }
    }
    option(format!("--data-binary {}", quoted_always(payload)));
    option(quoted(&format!("https://localhost:{}{}", to.http2_port, request.path)));
    command
}

/// In quotes whatever it is; what begins with `@` would name a file.
fn quoted_always(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn mends(push: &Push) -> Option<String> {
    let mut mended: Vec<String> = Vec::new();
    if push.said_type().is_none() && !push.is_broadcast() {
        mended.push("adds the missing apns-push-type".to_owned());
    }
    if push.push_type() == PushType::Background && push.priority() == Some(10) {
        mended.push("makes the priority 5".to_owned());
    }
    if push.topic() != push.push_type().topic(push.app()) {
        mended.push(format!("makes the topic {}", push.push_type().topic(push.app())));
    }
    if mended.is_empty() {
        return None;
    }
    Some(format!("apns send {}. curl repeats it as it was.", mended.join(", and ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_of_a_shell() {
        assert_eq!(quoted("order-17"), "order-17");
        assert_eq!(quoted("it's; rm -rf $HOME `x`"), r"'it'\''s; rm -rf $HOME `x`'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_here_document_ends_where_the_payload_does() {
        assert_eq!(here("{}"), "--payload - <<'JSON'\n{}\nJSON");
        assert_eq!(here("a\nJSON\nb"), "--payload - <<'JSON_'\na\nJSON\nb\nJSON_");
    }
}
