//! The device tokens to delete, as rows say.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use apns_driver::files::replace_private;
use apns_proto::binary::Status;
use apns_proto::http2::{Api, ProviderRejection};
use apns_proto::{DeviceToken, InvalidTokens, Outcome, Proof, Rejection, TokenVerdict, WallTime};

use crate::row::RowView;

/// Collects the tokens that nothing can be sent to any more. What was found is a matter of the rows alone, so that a
/// resumed run finds the same again.
///
/// It holds an entry for each token that something is known against.
#[derive(Debug)]
pub(crate) struct Drops {
    protocol: Protocol,
    invalid: InvalidTokens,
    /// When the app registered a token for the last time, for those that were refused.
    registered: BTreeMap<DeviceToken, WallTime>,
}

/// Whose numbers stand in the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Binary,
    Http2,
}

impl Protocol {
    /// The stable word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Http2 => "http2",
        }
    }
}

impl Drops {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Self { protocol, invalid: InvalidTokens::new(), registered: BTreeMap::new() }
    }

    /// Takes a row.
    pub(crate) fn note(&mut self, row: &RowView<'_>) {
        let Some(outcome) = self.outcome(row) else { return };
        let Some(Ok(token)) = row.token.as_deref().map(DeviceToken::from_hex) else { return };
        if let (Outcome::Rejected(_), Some(seconds)) = (&outcome, row.registered) {
            let time = WallTime::from_secs(seconds);
            self.registered.entry(token.clone()).and_modify(|known| *known = time.max(*known)).or_insert(time);
        }
        self.invalid.note_outcome(&token, None, &outcome);
    }

    /// The outcome that a row is about, where it says something about the token.
    fn outcome(&self, row: &RowView<'_>) -> Option<Outcome> {
        match &*row.outcome {
            "accepted" if row.proof.as_deref() == Some(Proof::Confirmed.word()) => {
                Some(Outcome::accepted(Proof::Confirmed))
            }
            "rejected" => Some(Outcome::Rejected(self.rejection(row)?)),
            _ => None,
        }
    }

    fn rejection(&self, row: &RowView<'_>) -> Option<Rejection> {
        let status = row.status?;
        Some(match self.protocol {
            Protocol::Binary => Rejection::Gateway(Status::from_raw(u8::try_from(status).ok()?)),
            Protocol::Http2 => {
                let mut rejection = ProviderRejection::new(Api::Device, status);
                if let Some(reason) = &row.reason {
                    rejection = rejection.with_reason(reason);
                }
                if let Some(timestamp) = row.timestamp {
                    rejection = rejection.with_timestamp(WallTime::from_millis(timestamp));
                }
                rejection.into()
            }
        })
    }

    /// Writes the tokens, one on a line, each once, in the place of what the file had before, for the owner alone to read. Says how many there are,
    /// and how many are held back: the service does not know them, but it has taken no token at all, so all may be of the
    /// other environment.
    pub(crate) fn write(mut self, path: &Path) -> io::Result<(usize, usize)> {
        let mut lines = String::new();
        let mut count = 0;
        for invalid in self.invalid.take() {
            let gone = match (invalid.verdict, self.registered.get(&invalid.token)) {
                (TokenVerdict::Keep, _) => false,
                (verdict, Some(registered)) => verdict.drops(*registered),
                (TokenVerdict::Drop | TokenVerdict::DropIfRegisteredBefore(_), None) => true,
                (_, None) => false,
            };
            if gone {
                lines.push_str(&invalid.token.to_hex());
                lines.push('\n');
                count += 1;
            }
        }
        replace_private(path, lines.as_bytes())?;
        Ok((count, self.invalid.len()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn row(json: &str) -> RowView<'_> {
        serde_json::from_str(json).unwrap()
    }

    fn written(protocol: Protocol, rows: &[&str]) -> (String, (usize, usize)) {
        let mut drops = Drops::new(protocol);
        for json in rows {
            drops.note(&row(json));
        }
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("drop");
        let counts = drops.write(&path).unwrap();
        (fs::read_to_string(path).unwrap(), counts)
    }

    const GOOD: &str = r#"{"n":9,"token":"dd","outcome":"accepted","proof":"confirmed"}"#;

    #[test]
    fn each_token_is_there_once() {
        let gone = r#"{"n":1,"token":"bb","outcome":"rejected","status":410,"reason":"Unregistered","timestamp":5000}"#;
        let again =
            r#"{"n":2,"token":"BB","outcome":"rejected","status":410,"reason":"Unregistered","timestamp":6000}"#;
        let bad = r#"{"n":3,"token":"aa","outcome":"rejected","status":400,"reason":"BadDeviceToken"}"#;
        let late = r#"{"n":4,"token":"cc","outcome":"rejected","status":429,"reason":"TooManyRequests"}"#;
        let none = r#"{"n":5,"token":"x","outcome":"invalid","reason":"there is no `token`"}"#;
        let (text, counts) = written(Protocol::Http2, &[gone, again, bad, late, none, GOOD]);
        assert_eq!((text.as_str(), counts), ("aa\nbb\n", (2, 0)));
    }

    #[test]
    fn b110_a_token_that_was_registered_again_stays() {
        let before = r#"{"n":1,"token":"aa","outcome":"rejected","status":410,"reason":"Unregistered","timestamp":5000,"registered":4}"#;
        let after = r#"{"n":2,"token":"bb","outcome":"rejected","status":410,"reason":"Unregistered","timestamp":5000,"registered":5}"#;
        let twice = r#"{"n":3,"token":"aa","outcome":"rejected","status":410,"reason":"Unregistered","timestamp":5000,"registered":9}"#;
        assert_eq!(written(Protocol::Http2, &[before, after]).0, "aa\n");
        assert_eq!(written(Protocol::Http2, &[before, after, twice]).0, "");
    }

    #[test]
    fn tokens_are_held_back_while_all_may_be_of_the_other_environment() {
        let bad = r#"{"n":1,"token":"aa","outcome":"rejected","status":8,"reason":"invalid_token"}"#;
        assert_eq!(written(Protocol::Binary, &[bad]), (String::new(), (0, 1)));
        assert_eq!(written(Protocol::Binary, &[bad, GOOD]), ("aa\n".to_owned(), (1, 0)));
    }
}
