//! SOCKS version 5 (RFC 1928) with its user and password (RFC 1929).

use std::fmt;
use std::net::IpAddr;

use bytes::{Buf, BufMut, BytesMut};

use super::tunnel::Progress;
use super::url::Credentials;
use super::{ProxyCause, ProxyFailure};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Says who is there, and asks for the service.
pub(super) struct Conversation {
    stage: Stage,
    /// The message with user and password, where there are any.
    proof: Option<Vec<u8>>,
    request: Vec<u8>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Method,
    Verdict,
    Reply,
}

impl Conversation {
    /// Appends the greeting. The host has at most 255 bytes, user and password as well.
    pub(super) fn begin(host: &str, port: u16, credentials: Option<&Credentials>, out: &mut BytesMut) -> Self {
        let proof = credentials.map(|Credentials { user, password }| {
            let mut proof = vec![1];
            put_short(user.as_bytes(), &mut proof);
            put_short(password.as_bytes(), &mut proof);
            proof
        });
        let mut request = vec![VERSION, CONNECT, 0];
        match host.parse() {
            Ok(IpAddr::V4(address)) => {
                request.push(IPV4);
                request.extend_from_slice(&address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(IPV6);
                request.extend_from_slice(&address.octets());
            }
            Err(_) => {
                request.push(NAME);
                put_short(host.as_bytes(), &mut request);
            }
        }
        request.put_u16(port);
        out.put_slice(match proof {
            None => &[VERSION, 1, NO_AUTHENTICATION],
            Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        });
        Self { stage: Stage::Method, proof, request }
    }

    /// Takes messages off the input, and answers them. What follows a yes stays.
    pub(super) fn read(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Progress {
        loop {
            match self.stage {
                Stage::Method => {
                    if let Some(failure) = not_version_5(input) {
                        return Progress::Failed(failure);
                    }
                    let Some(&[_, method]) = input.first_chunk() else { return Progress::More };
                    match (method, self.proof.take()) {
                        (NO_AUTHENTICATION, _) => self.ask(out),
                        (USER_AND_PASSWORD, Some(proof)) => {
                            out.put_slice(&proof);
                            self.stage = Stage::Verdict;
                        }
                        (method, proof) => return Progress::Failed(no_method(method, proof.is_some())),
                    }
                    input.advance(2);
                }
                Stage::Verdict => {
                    // The version in it is that of the method, or 5: servers differ.
                    let Some(&[_, status]) = input.first_chunk() else { return Progress::More };
                    if status != 0 {
                        let message = format!("refuses the user and the password (status {status})");
                        return Progress::Failed(ProxyFailure::new(ProxyCause::CredentialsRefused, message));
                    }
                    self.ask(out);
                    input.advance(2);
                }
                Stage::Reply => return read_reply(input),
            }
        }
    }

    /// Whether user and password were the last thing that was said.
    pub(super) fn has_proven(&self) -> bool {
        self.stage == Stage::Verdict
    }

    fn ask(&mut self, out: &mut BytesMut) {
        out.put_slice(&self.request);
        self.stage = Stage::Reply;
    }
}

/// Without user and password.
impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// Bytes behind their number, of which there are 255 at most.
fn put_short(bytes: &[u8], out: &mut Vec<u8>) {
    let bytes = &bytes[..bytes.len().min(usize::from(u8::MAX))];
    out.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(bytes);
}

fn not_a_proxy(message: impl Into<String>) -> ProxyFailure {
    ProxyFailure::new(ProxyCause::NotAProxy, message)
}

fn not_version_5(input: &[u8]) -> Option<ProxyFailure> {
    match *input.first()? {
        VERSION => None,
        b'H' => Some(not_a_proxy("speaks HTTP and not SOCKS version 5: its URL begins with http:// then")),
        0 | 4 => Some(not_a_proxy("speaks SOCKS version 4, and version 5 is spoken here")),
        _ => Some(not_a_proxy("does not answer as a SOCKS proxy of version 5 does")),
    }
}

fn no_method(method: u8, has_credentials: bool) -> ProxyFailure {
    match (method, has_credentials) {
        (0xff, false) => ProxyFailure::new(ProxyCause::CredentialsMissing, "wants a user and a password"),
        (0xff, true) => ProxyFailure::new(
            ProxyCause::CredentialsRefused,
            "takes neither a user with a password nor clients without, which is all that is spoken here",
        ),
        (method, _) => not_a_proxy(format!("chooses the authentication method {method}, which was not offered")),
    }
}

fn read_reply(input: &mut BytesMut) -> Progress {
    if let Some(failure) = not_version_5(input) {
        return Progress::Failed(failure);
    }
    // Servers that refuse may leave out what follows.
    match input.get(1) {
        None => return Progress::More,
        Some(0) => {}
        Some(code) => return Progress::Failed(refusal(*code)),
    }
    let [_, _, _, kind, length, ..] = **input else { return Progress::More };
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => 1 + usize::from(length),
        _ => return Progress::Failed(not_a_proxy(format!("gives an address of an unknown kind ({kind})"))),
    };
    let whole = 4 + address + 2;
    if input.len() < whole {
        return Progress::More;
    }
    input.advance(whole);
    Progress::Open
}

/// The reply codes of RFC 1928 section 6.
fn refusal(code: u8) -> ProxyFailure {
    let (cause, words) = match code {
        1 => (ProxyCause::ServiceUnreachable, "general SOCKS server failure"),
        2 => (ProxyCause::Forbidden, "connection not allowed by ruleset"),
        3 => (ProxyCause::ServiceUnreachable, "network unreachable"),
        4 => (ProxyCause::ServiceUnreachable, "host unreachable"),
        5 => (ProxyCause::ServiceUnreachable, "connection refused"),
        6 => (ProxyCause::ServiceUnreachable, "TTL expired"),
        7 => (ProxyCause::NoTunnels, "command not supported"),
        8 => (ProxyCause::NoTunnels, "address type not supported"),
        _ => (ProxyCause::ServiceUnreachable, "a code without a meaning"),
    };
    ProxyFailure::new(cause, format!("answers with reply code {code}: {words}"))
}
