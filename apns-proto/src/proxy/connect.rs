//! HTTP `CONNECT`: the request, and the head of the answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};

use super::failure::cut;
use super::tunnel::Progress;
use super::url::Credentials;
use super::{ProxyCause, ProxyFailure};

/// The most that is read of the head of an answer, in bytes. Servers take as much of a request or less.
const MOST_HEAD: usize = 16 * 1024;

/// The most answers of status 1xx before the one that counts.
const MOST_INTERIM: usize = 16;

/// How each answer begins.
const BEGIN: &[u8] = b"HTTP/1.";

/// Appends the request for a tunnel to this host and port (RFC 9112 section 3.2.3). What a user and a password are worth is
/// not asked first, as the proxy would close the connection then (RFC 7617).
pub(super) fn request(authority: &str, credentials: Option<&Credentials>, out: &mut BytesMut) {
    for part in ["CONNECT ", authority, " HTTP/1.1\r\nHost: ", authority, "\r\n"] {
        out.put_slice(part.as_bytes());
    }
    if let Some(Credentials { user, password }) = credentials {
        out.put_slice(b"Proxy-Authorization: Basic ");
        out.put_slice(STANDARD.encode(format!("{user}:{password}")).as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"\r\n");
}

/// Reads the answer.
#[derive(Debug)]
pub(super) struct Answer {
    has_credentials: bool,
    /// How much of the input holds no end of a head.
    scanned: usize,
    interim: usize,
}

impl Answer {
    pub(super) const fn new(has_credentials: bool) -> Self {
        Self { has_credentials, scanned: 0, interim: 0 }
    }

    /// Takes the head off the input once it is there. What follows a yes stays.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Progress {
        loop {
            if input.iter().zip(BEGIN).any(|(found, wanted)| found != wanted) {
                return not_a_proxy("does not answer as a proxy for HTTP/1.1 does");
            }
            let end = end_of_head(input, self.scanned);
            self.scanned = input.len();
            if end.unwrap_or(input.len()) > MOST_HEAD {
                return not_a_proxy(&format!("answers with more than {MOST_HEAD} bytes of header"));
            }
            let Some(end) = end else { return Progress::More };
            let head = input.split_to(end);
            self.scanned = 0;
            match self.judge(&head) {
                // RFC 9110 section 15.2: interim answers may come before any other.
                Progress::More if self.interim < MOST_INTERIM => self.interim += 1,
                Progress::More => return not_a_proxy("answers with one interim status after the other"),
                progress => return progress,
            }
        }
    }

    fn judge(&self, head: &[u8]) -> Progress {
        let lines = head.iter().filter(|byte| **byte == b'\n').count();
        let mut headers = vec![httparse::EMPTY_HEADER; lines];
        let mut response = httparse::Response::new(&mut headers);
        // As tolerant as those who are known to be here: nothing of the header decides anything.
        let parsed = httparse::ParserConfig::default()
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .parse_response(&mut response, head);
        let (Ok(httparse::Status::Complete(_)), Some(code)) = (parsed, response.code) else {
            return not_a_proxy("gives an answer that cannot be read as HTTP/1.1");
        };
        match code {
            100..=199 => Progress::More,
            // RFC 9110 section 9.3.6: any of them, and no body follows.
            200..=299 => Progress::Open,
            _ => Progress::Failed(self.refusal(code, &response)),
        }
    }

    fn refusal(&self, code: u16, response: &httparse::Response<'_, '_>) -> ProxyFailure {
        let named = |name: &'static str| {
            let headers = response.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
            headers.map(|header| header.value)
        };
        let reason = cut(response.reason.unwrap_or_default().as_bytes());
        let mut message = format!("answers {code} {reason}").trim_end().to_owned();
        // The reason in a form for programs (RFC 9209), or as Squid writes it.
        for name in ["Proxy-Status", "X-Squid-Error"] {
            if let Some(value) = named(name).next() {
                message.push_str(&format!(" ({})", cut(value)));
            }
        }
        // tinyproxy says 401 where user or password are wrong.
        let wants_credentials = matches!(code, 401 | 407);
        let cause = match code {
            _ if wants_credentials && self.has_credentials => ProxyCause::CredentialsRefused,
            _ if wants_credentials => ProxyCause::CredentialsMissing,
            // RFC 6585 section 6: a network that wants a person to sign in first.
            403 | 511 => ProxyCause::Forbidden,
            408 | 425 | 429 => ProxyCause::Busy,
            501 | 505 => ProxyCause::NoTunnels,
            500..=599 => ProxyCause::ServiceUnreachable,
            _ => ProxyCause::NoTunnels,
        };
        if wants_credentials {
            message.push_str(if self.has_credentials {
                ": it does not take the user and the password"
            } else {
                ": it wants a user and a password"
            });
            let schemes: Vec<String> = named("Proxy-Authenticate").filter_map(scheme).take(8).collect();
            if !schemes.is_empty() && !schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("Basic")) {
                message.push_str(&format!(
                    ", by {} and not by Basic, which is all that is spoken here",
                    schemes.join(", ")
                ));
            }
        }
        ProxyFailure::new(cause, message)
    }
}

/// The way to prove who one is that a challenge asks for.
fn scheme(challenge: &[u8]) -> Option<String> {
    let word = challenge.split(|byte| matches!(byte, b' ' | b',')).find(|word| !word.is_empty())?;
    Some(cut(&word[..word.len().min(40)]))
}

/// Behind the first empty line. Of a part without one, `scanned` bytes were looked at before.
fn end_of_head(input: &[u8], scanned: usize) -> Option<usize> {
    // The line before an empty one may have ended there.
    let from = scanned.saturating_sub(2);
    let ends = input[from..].iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| from + at);
    for end in ends {
        match &input[end + 1..] {
            [b'\n', ..] => return Some(end + 2),
            [b'\r', b'\n', ..] => return Some(end + 3),
            _ => {}
        }
    }
    None
}

fn not_a_proxy(message: &str) -> Progress {
    Progress::Failed(ProxyFailure::new(ProxyCause::NotAProxy, message))
}
