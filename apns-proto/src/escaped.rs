//! Words of a peer, as people may read them.

use std::fmt::{self, Write as _};

/// Text from outside, made fit for a terminal and for one line of a log.
///
/// What a service, a proxy or a client says reaches people in messages, rows and logs: reasons, debug data of GOAWAY, alerts,
/// names. A line break in it would begin a line that this side never wrote, and an escape sequence would have the terminal
/// do something. [`Display`](fmt::Display) writes every character that does not print as an escape of Rust, such as `\n`
/// or `\u{1b}`: control characters, line and paragraph separators, marks that turn the direction of the text. All else,
/// backslashes and quotes included, stays as it is.
///
/// ```
/// use apns_proto::Escaped;
///
/// assert_eq!(Escaped("Bad\n7\taccepted \u{1b}[2J").to_string(), r"Bad\n7\taccepted \u{1b}[2J");
/// assert_eq!(Escaped("Zoë's \"device\"").to_string(), "Zoë's \"device\"");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<T>(pub T);

impl<T: AsRef<str>> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `escape_debug` knows what prints, and escapes these three besides.
        for piece in self.0.as_ref().split_inclusive(['\\', '"', '\'']) {
            let mut chars = piece.chars();
            let last = chars.next_back();
            let kept = last.filter(|last| matches!(last, '\\' | '"' | '\''));
            let escaped = if kept.is_some() { chars.as_str() } else { piece };
            write!(f, "{}", escaped.escape_debug())?;
            if let Some(kept) = kept {
                f.write_char(kept)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_that_moves_the_cursor_or_turns_the_text_gets_through() {
        let controls = ('\0'..=' ').chain('\u{7f}'..='\u{a0}').filter(|character| *character != ' ');
        for character in controls.chain("\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{feff}\u{e0041}".chars()) {
            let shown = Escaped(format!("a{character}b")).to_string();
            assert!(!shown.contains(character) && shown.starts_with(r"a\"), "{character:?}: {shown:?}");
        }
    }

    #[test]
    fn what_prints_stays_as_it_is() {
        for text in ["", "BadDeviceToken", r#"{"a":"\u00e9\\"}"#, "Jose\u{301}", "漢字 \u{1f600}", "it's", "'\"\\"] {
            assert_eq!(Escaped(text).to_string(), text);
        }
    }

    #[test]
    fn no_message_about_a_peer_has_its_words_unescaped() {
        use std::sync::Arc;

        use crate::{CloseReason, CredentialRefusal, DialFailure, DialStep};

        const FORGED: &str = "Bad\n     7  accepted\u{1b}[2J\u{9b}\u{202e}";
        let words: Arc<str> = FORGED.into();
        let mut messages = vec![
            CloseReason::Refused(words.clone()).to_string(),
            CloseReason::CredentialRefused(Arc::new(CredentialRefusal::GoAway(words.clone()))).to_string(),
            CloseReason::NoToken { why: words.clone() }.to_string(),
            CloseReason::GoAway { reason: Some(words.clone()), code: 0, fatal: false }.to_string(),
            DialFailure::passing(DialStep::Tls, words).to_string(),
        ];
        #[cfg(feature = "http2")]
        {
            use crate::http2::{Api, ProviderRejection, Reason};
            let rejection = ProviderRejection::new(Api::Device, 400).with_reason(FORGED);
            messages.extend([rejection.to_string(), Reason::from(FORGED).to_string()]);
        }
        for message in messages {
            assert!(
                message.contains(r"Bad\n     7  accepted\u{1b}[2J") && !message.contains(char::is_control),
                "{message}"
            );
        }
    }
}
