//! The system's TLS: whom to trust, whom to be, and what its errors mean.
//!
//! native-tls hands errors out as text only. What is told apart here is the text of OpenSSL, which is the system's TLS
//! everywhere but on macOS, iOS and Windows; there an error keeps the system's own words and no cause.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use apns_driver::tls::{Alert, Roots, TlsCause, TlsFailure, TlsSettings};
use apns_proto::End;
use futures_io::{AsyncRead, AsyncWrite};
use native_tls::{Certificate, Identity, Protocol, TlsConnector, TlsConnectorBuilder};

/// What does the handshakes: one of the libraries that put native-tls over a stream that is not blocking.
pub trait Handshakes: Clone + Send + Sync {
    /// The stream after a handshake over a stream.
    type Stream<S>;

    /// Does the handshake as the client of this host. An error is its text, which is all that there is.
    fn handshake<S>(&self, host: &str, stream: S) -> impl Future<Output = Result<Self::Stream<S>, String>> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send;

    /// The server's certificate, in DER.
    fn peer_certificate<S>(stream: &Self::Stream<S>) -> Option<Vec<u8>>
    where
        S: AsyncRead + AsyncWrite + Unpin;
}

/// TLS settings in the form that the system's TLS wants.
#[derive(Debug, Clone)]
pub struct Connector<H> {
    tls: H,
    given: Option<GivenServers<H>>,
}

/// Servers whose very certificate was given. The system's TLS asks for an issuer of each that is not its own, and
/// native-tls has no way to tell it otherwise. So a server that nobody vouches for gets a second handshake, on a connection
/// of its own, where it may be one of those.
#[derive(Debug, Clone)]
enum GivenServers<H> {
    /// For a second look.
    Later {
        roots: Roots,
        /// Verifies nothing, so that what it connects is compared with those given before anything is sent.
        unverified: H,
    },
    /// This is the second look; what the first one found.
    Now { roots: Roots, first: Arc<TlsFailure> },
}

impl<H: Handshakes> Connector<H> {
    /// Prepares these settings for what `build` makes of them.
    pub(crate) fn new(
        settings: &TlsSettings,
        build: impl Fn(TlsConnectorBuilder) -> Result<H, TlsFailure>,
    ) -> Result<Self, TlsFailure> {
        let given = if settings.roots.gives_servers() {
            let mut builder = builder(settings)?;
            builder.danger_accept_invalid_certs(true).danger_accept_invalid_hostnames(true);
            Some(GivenServers::Later { roots: settings.roots.clone(), unverified: build(builder)? })
        } else {
            None
        };
        Ok(Self { tls: build(builder(settings)?)?, given })
    }

    /// What a server that nobody vouches for is looked at with again.
    pub(crate) fn second_look(&self, failure: &TlsFailure) -> Option<Self> {
        match &self.given {
            Some(GivenServers::Later { roots, unverified }) if failure.cause == TlsCause::UntrustedServer => {
                let given = GivenServers::Now { roots: roots.clone(), first: Arc::new(failure.clone()) };
                Some(Self { tls: unverified.clone(), given: Some(given) })
            }
            _ => None,
        }
    }

    /// Does the handshake, and judges a server whose very certificate may have been given.
    pub(crate) async fn connect<S>(&self, host: &str, stream: S) -> Result<H::Stream<S>, TlsFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let connected = self.tls.handshake(host, stream).await;
        let Some(GivenServers::Now { roots, first }) = &self.given else {
            return connected.map_err(|error| failure(host, &error));
        };
        let first = || TlsFailure::clone(first);
        let stream = connected.map_err(|_| first())?;
        let certificate = H::peer_certificate(&stream).ok_or_else(first)?;
        match roots.judge_given(&certificate, host, SystemTime::now().into()) {
            Some(verdict) => verdict.map(|()| stream),
            None => Err(first()),
        }
    }
}

/// Settings that the system's TLS refuses.
pub(crate) fn refused(error: &str) -> TlsFailure {
    TlsFailure::settings(format!("the system's TLS refuses them: {}", words(error)))
}

fn builder(settings: &TlsSettings) -> Result<TlsConnectorBuilder, TlsFailure> {
    let mut builder = TlsConnector::builder();
    builder.min_protocol_version(Some(Protocol::Tlsv12));
    builder.disable_built_in_roots(!settings.roots.trusts_platform());
    for der in settings.roots.given() {
        let authority = Certificate::from_der(der).map_err(|error| {
            let why = words(&error.to_string());
            TlsFailure::settings(format!("a certificate authority that was given cannot be used: {why}"))
        })?;
        builder.add_root_certificate(authority);
    }
    if let Some(identity) = &settings.identity {
        let (chain, key) = (identity.chain_pem(), identity.private_key_pem());
        let identity = Identity::from_pkcs8(chain.as_bytes(), key.as_bytes()).map_err(|error| {
            TlsFailure::settings(format!("the client certificate cannot be used: {}", words(&error.to_string())))
        })?;
        builder.identity(identity);
    }
    let alpn: Vec<_> = settings.alpn.iter().map(|name| String::from_utf8_lossy(name)).collect();
    let alpn: Vec<&str> = alpn.iter().map(|name| &**name).collect();
    builder.request_alpns(&alpn);
    Ok(builder)
}

/// How OpenSSL begins to say what came of verifying the server (X509_verify_cert_error_string).
const OUT_OF_DATE: &[&str] = &["certificate has expired", "certificate is not yet valid"];
const WRONG_NAME: &[&str] = &["hostname mismatch", "Hostname mismatch", "IP address mismatch"];

fn failure(host: &str, text: &str) -> TlsFailure {
    if let Some(alert) = alert(text) {
        return TlsFailure::alert(host, alert);
    }
    // The verdict stands in brackets behind the error.
    let verdict = text.rsplit_once('(').map_or("", |(_, verdict)| verdict.trim_end_matches(')'));
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| verdict.starts_with(phrase));
    if says(WRONG_NAME) {
        TlsFailure::wrong_name(host)
    } else if says(OUT_OF_DATE) {
        TlsFailure::expired(host, verdict)
    } else if text.contains("certificate verify failed") {
        TlsFailure::untrusted(host, verdict)
    } else {
        TlsFailure::other(host, words(text))
    }
}

/// What an error of OpenSSL says, without the places in its code that stand around it:
/// `error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl/record/ssl3_record.c:354:`.
fn words(text: &str) -> String {
    let reason = |one: &str| {
        let mut fields = one.trim().strip_prefix("error:")?.split(':');
        let reason = fields.nth(3).filter(|reason| !reason.is_empty())?;
        Some(match reason {
            "wrong version number" | "packet length too long" | "http request" => "what came is not TLS".to_owned(),
            "unexpected eof while reading" => "the connection was closed in the middle of the handshake".to_owned(),
            "unsupported protocol" => "its TLS is older than 1.2, the oldest that is spoken here".to_owned(),
            other => other.to_owned(),
        })
    };
    text.split(", ").find_map(reason).unwrap_or_else(|| text.to_owned())
}

/// What a failed read says about how the peer's side ended.
pub(crate) fn end_of(error: &io::Error) -> End {
    alert(&error.to_string()).map_or(End::Cut, Alert::end)
}

/// The peer's alert, which OpenSSL adds to its errors by number.
fn alert(text: &str) -> Option<Alert> {
    let (_, number) = text.split_once("SSL alert number ")?;
    let digits = number.find(|c: char| !c.is_ascii_digit()).map_or(number, |end| &number[..end]);
    digits.parse().ok().map(Alert)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_openssl_says_is_told_without_its_places_in_code() {
        for (text, told) in [
            (
                "error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl/record.c:354:",
                "what came is not TLS",
            ),
            (
                "error:0A000126:SSL routines::unexpected eof while reading:../ssl/rec.c:308:",
                "the connection was closed in the middle of the handshake",
            ),
            ("error:1C80006B:Provider routines:x:wrong iv:a.c:1:, error:0A000001:b:c:d:e.c:2:", "wrong iv"),
            ("errno=104", "errno=104"),
            ("error:", "error:"),
        ] {
            assert_eq!(words(text), told);
        }
    }
}
