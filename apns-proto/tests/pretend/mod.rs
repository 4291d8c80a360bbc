//! Pretend time, notifications to tell apart, and events as lines of a transcript.

#![allow(dead_code, reason = "each test binary uses its own part")]

#[cfg(feature = "server")]
pub(crate) mod dice;
#[cfg(feature = "server")]
pub(crate) mod gateway_day;
#[cfg(feature = "server")]
pub(crate) mod gateways;
#[cfg(all(feature = "http2", feature = "server"))]
pub(crate) mod http2_faults;
#[cfg(all(feature = "http2", feature = "server"))]
pub(crate) mod http2_watch;
#[cfg(feature = "server")]
pub(crate) mod laws;
#[cfg(feature = "server")]
mod line;
#[cfg(all(feature = "http2", feature = "server"))]
pub(crate) mod provider_day;
#[cfg(all(feature = "http2", feature = "server"))]
pub(crate) mod providers;
#[cfg(feature = "server")]
pub(crate) mod timeline;
#[cfg(feature = "server")]
pub(crate) mod trouble;
#[cfg(feature = "server")]
pub(crate) mod world;

use std::time::{Duration, Instant};

use apns_proto::{
    CloseReason, ConnectionEvent, DeviceToken, Fate, Notification, Now, Outcome, Payload, Proof, Rejection,
    SessionEvent, Settled, UnknownCause, WallTime,
};

/// Wall time at the start of every test, in seconds.
pub(crate) const WALL: u64 = 1_700_000_000;

pub(crate) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way; only differences matter")]
pub(crate) fn start() -> Now {
    // Far enough from the beginning of the clock that a test can go back.
    Now::new(Instant::now() + secs(100_000), WallTime::from_secs(WALL))
}

pub(crate) fn after(now: Now, span: Duration) -> Now {
    Now::new(now.instant + span, now.wall.saturating_add(span))
}

/// A notification that says its number in its token.
pub(crate) fn notification(number: u32) -> Notification {
    let mut token = [0xab; 32];
    token[..4].copy_from_slice(&number.to_be_bytes());
    Notification::new(DeviceToken::from_bytes(token).unwrap(), Payload::from_json(r#"{"aps":{"alert":"x"}}"#).unwrap())
}

/// The number in a token.
pub(crate) fn number_of(token: &[u8]) -> u32 {
    u32::from_be_bytes(token[..4].try_into().unwrap())
}

pub(crate) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted { proof: Proof::Confirmed, .. } => "confirmed".into(),
        Outcome::Accepted { proof: Proof::Presumed, .. } => "presumed".into(),
        Outcome::Rejected(Rejection::Gateway(status)) => format!("rejected {}", status.raw()),
        Outcome::Unknown { cause } => format!("unknown, {}", unknown(cause)),
        Outcome::NotSent { cause } => format!("not sent: {cause}"),
        other => other.word().into(),
    }
}

fn unknown(cause: &UnknownCause) -> String {
    match cause {
        UnknownCause::ConnectionLost(_) => "lost".into(),
        UnknownCause::NoAnswer => "no answer".into(),
        UnknownCause::Suspected { status, identifier } => format!("status {status} for {identifier}"),
        UnknownCause::NamedWithoutError => "named without error".into(),
        UnknownCause::ReplaysExhausted { replays } => format!("lost {} times", replays + 1),
        UnknownCause::Closed => "closed".into(),
        other => other.to_string(),
    }
}

/// The reason in short.
pub(crate) fn reason(reason: &CloseReason) -> String {
    match reason {
        CloseReason::ErrorResponse(summary) if summary.answers_probe => "probe answered".into(),
        CloseReason::ErrorResponse(summary) => {
            format!("status {} for {}", summary.response.status.raw(), summary.response.identifier)
        }
        CloseReason::Finished => "finished".into(),
        CloseReason::ClosedHere => "closed here".into(),
        CloseReason::PeerClosed => "peer closed".into(),
        CloseReason::Truncated { received } => format!("truncated after {received}"),
        CloseReason::Cut => "cut".into(),
        CloseReason::Refused(words) => format!("refused: {words}"),
        CloseReason::NotThisProtocol { first_byte } => format!("first byte {first_byte:#04x}"),
        CloseReason::WriteStalled => "write stalled".into(),
        CloseReason::NoAnswer => "no answer".into(),
        other => other.to_string(),
    }
}

fn settled<K: std::fmt::Display>(settled: &Settled<K>) -> String {
    assert_eq!(settled.returned.is_some(), !settled.outcome.is_accepted(), "what is not taken comes back");
    format!("{} {}", settled.key, outcome(&settled.outcome))
}

/// What a connection said, one line for each notification.
pub(crate) fn lines<K: std::fmt::Display + std::fmt::Debug>(event: &ConnectionEvent<K>) -> Vec<String> {
    match event {
        ConnectionEvent::Settled(one) => vec![settled(one)],
        ConnectionEvent::Answered => vec!["answered".into()],
        ConnectionEvent::Retired => vec!["retired".into()],
        ConnectionEvent::Warning(warning) => vec![format!("warning: {warning}")],
        ConnectionEvent::Closed(closed) => {
            let unsettled = closed.unsettled.iter().map(|one| {
                let fate = match &one.fate {
                    Fate::NotWritten => "not written".to_string(),
                    Fate::Discarded => "discarded".into(),
                    Fate::CredentialRefused { refusal, .. } => format!("not looked at: {refusal}"),
                    Fate::Unknown(cause) => format!("unknown, {}", unknown(cause)),
                    Fate::Suspected(cause) => format!("suspected, {}", unknown(cause)),
                    other => format!("{other:?}"),
                };
                format!("  {} {fate}", one.submission.key)
            });
            std::iter::once(format!("closed: {}", reason(&closed.reason))).chain(unsettled).collect()
        }
        other => vec![format!("{other:?}")],
    }
}

/// What a session said, as a line.
pub(crate) fn session_line<K: std::fmt::Display + std::fmt::Debug>(event: &SessionEvent<K>) -> String {
    match event {
        SessionEvent::Settled(one) => settled(one),
        SessionEvent::Dial { link } => format!("dial {link}"),
        SessionEvent::Connected { link } => format!("connected {link}"),
        SessionEvent::DialFailed { link, failure } => format!("dial {link} failed: {failure}"),
        SessionEvent::Closed(report) => format!(
            "closed {}: {}; {} sent again, {} unknown",
            report.link,
            reason(&report.reason),
            report.sent_again,
            report.unknown
        ),
        SessionEvent::Warning { link, warning } => format!("warning {link}: {warning}"),
        SessionEvent::GaveUp { why } => format!("gave up: {why}"),
        SessionEvent::Stopped { cause } => format!("stopped: {cause}"),
        SessionEvent::Paused { cause, .. } => format!("paused: {cause}"),
        SessionEvent::Resumed => "resumed".to_owned(),
        SessionEvent::Proven => "proven".into(),
        SessionEvent::Finished => "finished".into(),
        other => format!("{other:?}"),
    }
}
