//! What a client spoke, where it is not what the service speaks.

use std::io;

use tokio_rustls::rustls;

use crate::log::Service;

/// What a client did, and what it should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) did: &'static str,
    pub(crate) should: &'static str,
}

/// The first byte of a TLS handshake (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// The first bytes of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const METHODS: [&[u8]; 8] = [b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT "];

fn is_http1(first: &[u8]) -> bool {
    METHODS.iter().any(|method| first.starts_with(method))
}

/// About the first bytes of a connection, before TLS. `None`: they may begin a handshake.
pub(crate) fn before_tls(first: &[u8]) -> Option<Advice> {
    if first.first().is_none_or(|byte| *byte == HANDSHAKE) {
        return None;
    }
    Some(if first.starts_with(b"PRI ") {
        Advice {
            did: "it spoke HTTP/2 in plain text",
            should: "the service speaks TLS alone: connect by https://, and trust ca.pem",
        }
    } else if is_http1(first) {
        Advice {
            did: "it spoke HTTP/1.1 in plain text",
            should: "the service speaks HTTP/2 over TLS alone: connect by https:// and switch HTTP/2 on (curl: --http2)",
        }
    } else {
        Advice {
            did: "it sent bytes that begin no TLS handshake",
            should: "the service speaks TLS alone, from the first byte on",
        }
    })
}

/// About a handshake that failed.
pub(crate) fn in_handshake(service: Service, error: &io::Error) -> Option<Advice> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let no_protocol = matches!(error, rustls::Error::NoApplicationProtocol);
    (service == Service::Http2 && no_protocol).then_some(Advice {
        did: "it offered protocols by ALPN, and h2 is not among them: HTTP/1.1, mostly",
        should: "the provider API speaks HTTP/2 alone: switch it on in the client (curl: --http2), or take one that has it",
    })
}

/// A handshake in which no protocol was agreed on.
pub(crate) const NO_ALPN: Advice = Advice {
    did: "it offered no protocol by ALPN",
    should: "RFC 9113 section 3.2 asks for h2; Apple's service was seen to let it in, others do not",
};

/// Looks at the first bytes inside of TLS.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    heard: Vec<u8>,
    over: bool,
}

impl Listening {
    /// Takes what came. Gives advice once, where it is not how HTTP/2 begins.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Option<Advice> {
        if self.over {
            return None;
        }
        let left = PREFACE.len() - self.heard.len();
        self.heard.extend_from_slice(&bytes[..bytes.len().min(left)]);
        let as_http2 = PREFACE.starts_with(&self.heard);
        // The longest method and the space behind it.
        let enough = self.heard.len() >= 8 || self.heard.contains(&b' ');
        self.over = if as_http2 { self.heard.len() == PREFACE.len() } else { enough };
        (self.over && !as_http2).then(|| {
            if is_http1(&self.heard) {
                Advice {
                    did: "it spoke HTTP/1.1 inside of TLS",
                    should: "the provider API speaks HTTP/2 alone: switch it on in the client (curl: --http2), or take one that has it",
                }
            } else {
                Advice {
                    did: "it did not begin as HTTP/2 does",
                    should: "the provider API speaks HTTP/2 alone; the binary protocol has a port of its own",
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&[u8]]) -> Vec<&'static str> {
        let mut listening = Listening::default();
        pieces.iter().filter_map(|piece| listening.hear(piece)).map(|advice| advice.did).collect()
    }

    #[test]
    fn http2_is_told_from_http1_however_the_bytes_are_cut() {
        let whole = [PREFACE, b"frames"].concat();
        assert!(heard(&[&whole]).is_empty());
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert!(heard(&bytes).is_empty());
        let http1 = b"POST /3/device/00 HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(heard(&[http1, http1]), ["it spoke HTTP/1.1 inside of TLS"], "once");
        let bytes: Vec<&[u8]> = http1.chunks(1).collect();
        assert_eq!(heard(&bytes), ["it spoke HTTP/1.1 inside of TLS"]);
        assert_eq!(heard(&[&[2, 0, 0, 0, 9, 1, 0, 0, 0]]), ["it did not begin as HTTP/2 does"]);
    }

    #[test]
    fn what_begins_no_handshake_is_told_by_its_first_bytes() {
        assert_eq!(before_tls(b""), None);
        assert_eq!(before_tls(&[22, 3, 1]), None);
        let did = |first: &[u8]| before_tls(first).unwrap().did;
        assert_eq!(did(b"GET / HTTP/1.1"), "it spoke HTTP/1.1 in plain text");
        assert_eq!(did(PREFACE), "it spoke HTTP/2 in plain text");
        assert_eq!(did(&[2, 0, 0]), "it sent bytes that begin no TLS handshake");
    }
}
