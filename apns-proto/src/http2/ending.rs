//! How a connection came to its end, in the words of the whole crate.

use bytes::Bytes;

use super::Reason;
use super::engine::frame::ErrorCode;
use super::engine::{CloseReason as EngineClose, GoAway};
use crate::{CloseReason, End};

/// Gathers what is known about the end until it comes.
#[derive(Debug, Default)]
pub(super) struct Ending {
    go_away: Option<GoneAway>,
    /// How the transport ended.
    pub(super) end: Option<End>,
    /// Why this side retires or ends the connection.
    pub(super) own: Option<CloseReason>,
}

/// What GOAWAY frames said: the first reason that was given, or else the first code that is an error.
#[derive(Debug)]
struct GoneAway {
    reason: Option<Reason>,
    code: u32,
}

impl Ending {
    /// A GOAWAY frame came. Gives its reason.
    pub(super) fn said(&mut self, said: &GoAway) -> Option<Reason> {
        let reason = reason_of(&said.debug);
        match &mut self.go_away {
            Some(GoneAway { reason: Some(_), .. }) => {}
            Some(known) if reason.is_none() && known.code != 0 => {}
            None | Some(_) => self.go_away = Some(GoneAway { reason: reason.clone(), code: said.code.0 }),
        }
        reason
    }

    /// Why the connection ended.
    pub(super) fn reason(&mut self, closed: EngineClose) -> CloseReason {
        let own = self.own.take();
        if let (EngineClose::Abandoned, Some(own)) = (&closed, &own) {
            return own.clone();
        }
        match closed {
            EngineClose::NotHttp2 { received } => {
                CloseReason::NotHttp2 { received: received.escape_ascii().to_string().into() }
            }
            EngineClose::Violation { code } => CloseReason::Violation { code: code.0 },
            EngineClose::Flooded => CloseReason::Violation { code: ErrorCode::ENHANCE_YOUR_CALM.0 },
            EngineClose::Ended | EngineClose::GoneAway | EngineClose::Finished | EngineClose::Abandoned => {
                match (self.go_away.take(), own, self.end.take()) {
                    (Some(GoneAway { reason, code }), _, _) => CloseReason::GoAway {
                        fatal: reason.as_ref().is_some_and(Reason::refuses_credential),
                        reason: reason.map(|reason| reason.as_str().into()),
                        code,
                    },
                    (None, _, Some(End::Refused(words))) => CloseReason::Refused(words.into()),
                    // Why the connection was at its end is known already.
                    (None, Some(own), _) if own != CloseReason::Finished => own,
                    (None, _, Some(End::Cut)) => CloseReason::Cut,
                    (None, _, Some(End::Clean)) => CloseReason::PeerClosed,
                    (None, _, None) => CloseReason::Finished,
                }
            }
        }
    }
}

/// The `reason` in the debug data of a GOAWAY frame.
fn reason_of(debug: &Bytes) -> Option<Reason> {
    #[derive(serde::Deserialize)]
    struct Debug {
        reason: String,
    }
    let parsed: Debug = serde_json::from_slice(debug).ok()?;
    (!parsed.reason.is_empty()).then(|| Reason::from(&*parsed.reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go_away(code: u32, debug: &'static str) -> GoAway {
        GoAway { last_stream: 0, code: ErrorCode(code), debug: Bytes::from_static(debug.as_bytes()) }
    }

    fn told(frames: &[GoAway], end: Option<End>) -> CloseReason {
        let mut ending = Ending { end, own: Some(CloseReason::Finished), ..Ending::default() };
        for frame in frames {
            ending.said(frame);
        }
        ending.reason(EngineClose::Ended)
    }

    #[test]
    fn b47_the_first_reason_that_was_given_counts() {
        let known = |fatal, reason: &str, code| CloseReason::GoAway { reason: Some(reason.into()), code, fatal };
        let bad = r#"{"reason":"BadCertificateEnvironment"}"#;
        assert_eq!(told(&[go_away(0, bad), go_away(0, "")], None), known(true, "BadCertificateEnvironment", 0));
        assert_eq!(told(&[go_away(0, ""), go_away(0, bad)], None), known(true, "BadCertificateEnvironment", 0));
        let shutdown = r#"{"reason":"Shutdown","timestamp":1}"#;
        assert_eq!(told(&[go_away(2, shutdown), go_away(0, bad)], None), known(false, "Shutdown", 2));
        assert_eq!(told(&[go_away(0, r#"{"reason":"New"}"#)], None), known(false, "New", 0));
        for nothing in ["", "{}", "{\"reason\":7}", "not JSON", r#"{"reason":""}"#] {
            let plain = CloseReason::GoAway { reason: None, code: 0, fatal: false };
            assert_eq!(told(&[go_away(0, nothing)], Some(End::Cut)), plain, "{nothing}");
        }
        let coded = CloseReason::GoAway { reason: None, code: 11, fatal: false };
        assert_eq!(told(&[go_away(0, ""), go_away(11, ""), go_away(0, "")], None), coded);
    }

    #[test]
    fn without_a_goaway_the_transport_says_why() {
        assert_eq!(told(&[], Some(End::Clean)), CloseReason::PeerClosed);
        assert_eq!(told(&[], Some(End::Cut)), CloseReason::Cut);
        assert_eq!(told(&[], Some(End::Refused("no".into()))), CloseReason::Refused("no".into()));
        assert_eq!(told(&[], None), CloseReason::Finished);
    }
}
