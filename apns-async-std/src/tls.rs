//! The system's TLS: whom to trust, whom to be, and what its errors mean.
//!
//! native-tls hands errors out as text only. What is told apart here is the text of OpenSSL, which is the system's TLS
//! everywhere but on macOS, iOS and Windows; there an error keeps the system's own words and no cause.

use std::io;

use apns_driver::tls::{Alert, TlsFailure, TlsSettings};
use apns_proto::End;
use native_tls::{Certificate, Identity, Protocol, TlsConnector};

pub(crate) fn connector(settings: &TlsSettings) -> Result<TlsConnector, TlsFailure> {
    let mut builder = TlsConnector::builder();
    builder.min_protocol_version(Some(Protocol::Tlsv12));
    builder.disable_built_in_roots(!settings.roots.trusts_platform());
    for der in settings.roots.given() {
        let authority = Certificate::from_der(der).map_err(|error| {
            TlsFailure::settings(format!("a certificate authority that was given cannot be used: {error}"))
        })?;
        builder.add_root_certificate(authority);
    }
    if let Some(identity) = &settings.identity {
        let (chain, key) = (identity.chain_pem(), identity.private_key_pem());
        let identity = Identity::from_pkcs8(chain.as_bytes(), key.as_bytes())
            .map_err(|error| TlsFailure::settings(format!("the client certificate cannot be used: {error}")))?;
        builder.identity(identity);
    }
    let alpn: Vec<_> = settings.alpn.iter().map(|name| String::from_utf8_lossy(name)).collect();
    let alpn: Vec<&str> = alpn.iter().map(|name| &**name).collect();
    builder.request_alpns(&alpn);
    builder.build().map_err(|error| TlsFailure::settings(format!("the system's TLS refuses them: {error}")))
}

/// How OpenSSL begins to say what came of verifying the server (X509_verify_cert_error_string).
const OUT_OF_DATE: &[&str] = &["certificate has expired", "certificate is not yet valid"];
const WRONG_NAME: &[&str] = &["hostname mismatch", "Hostname mismatch", "IP address mismatch"];

pub(crate) fn failure(host: &str, error: &native_tls::Error) -> TlsFailure {
    let text = error.to_string();
    if let Some(alert) = alert(&text) {
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
        TlsFailure::other(host, text)
    }
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
