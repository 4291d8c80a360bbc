//! What every user of rustls shares, client or server: certificates that webpki does not read, and errors in words.
//!
//! rustls asks webpki for the key in a certificate, and webpki reads a certificate only as far as it would trust it: not
//! those of X.509 version 1, nor those with critical extensions that it does not know. Here the certificate is read for its
//! key alone, and trust is a matter of its own.

#[cfg(feature = "rustls-client")]
pub mod client;
mod client_judge;

use std::sync::Arc;

use apns_credentials::{Certificate, internal::date};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, InvalidMessage, OtherError, PeerIncompatible, PeerMisbehaved};

pub use self::client_judge::ClientJudge;
use super::{Alert, TlsFailure};
use crate::Identity;

/// The certificate with its chain and key, in the form that rustls wants. That they belong together is known already.
///
/// # Errors
///
/// When rustls does not sign with such a key.
pub fn certified_key(identity: &Identity, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsFailure> {
    let chain = identity.chain().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    let key = PrivatePkcs8KeyDer::from(identity.private_key_der().to_vec());
    let key = provider.key_provider.load_private_key(key.into()).map_err(|error| {
        let kind = identity.certificate().key_kind();
        TlsFailure::settings(format!("the key ({kind}) cannot be used: {}", words(&error)))
    })?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// As [`rustls::crypto::verify_tls12_signature`], of any certificate that has a key.
///
/// # Errors
///
/// When the peer does not have the certificate's key, or none that is known here.
fn verify_tls12_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let certificate = read(certificate)?;
    let (_, algorithms) = supported
        .mapping
        .iter()
        .find(|(scheme, _)| *scheme == signed.scheme)
        .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
    // In TLS 1.2 a scheme of ECDSA does not say which curve.
    if algorithms.iter().any(|algorithm| certificate.has_signed(*algorithm, message, signed.signature())) {
        Ok(HandshakeSignatureValid::assertion())
    } else {
        Err(explained(&certificate, CertificateError::BadSignature.into()))
    }
}

/// As [`rustls::crypto::verify_tls13_signature`], of any certificate that has a key.
///
/// # Errors
///
/// When the peer does not have the certificate's key, or none that is known here.
fn verify_tls13_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let certificate = read(certificate)?;
    let key = SubjectPublicKeyInfoDer::from(certificate.public_key_info());
    verify_tls13_signature_with_raw_key(message, &key, signed, supported)
        .map_err(|error| explained(&certificate, error))
}

/// Where a key of this kind or size is never known here, that is the reason, and the signature may be right.
fn explained(certificate: &Certificate, error: rustls::Error) -> rustls::Error {
    match certificate.ensure_key_is_supported() {
        Ok(()) => error,
        Err(kind) => CertificateError::Other(OtherError(Arc::new(kind))).into(),
    }
}

fn read(certificate: &CertificateDer<'_>) -> Result<Certificate, rustls::Error> {
    Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding.into())
}

/// What an error of rustls means, for a person.
#[must_use]
pub fn words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => {
            format!("the certificate is not accepted: {}", what_is_wrong(error))
        }
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => "what came is not TLS".to_owned(),
        rustls::Error::InvalidMessage(_) => "what came cannot be read as TLS".to_owned(),
        rustls::Error::PeerIncompatible(why) => incompatible(why).to_owned(),
        rustls::Error::PeerMisbehaved(_) => "it breaks the rules of TLS".to_owned(),
        rustls::Error::InappropriateMessage { .. } | rustls::Error::InappropriateHandshakeMessage { .. } => {
            "it sent a message of TLS that has no place there".to_owned()
        }
        rustls::Error::AlertReceived(alert) => match Alert(u8::from(*alert)).name() {
            Some(name) => format!("it ended the handshake (TLS alert {name})"),
            None => format!("it ended the handshake (TLS alert {})", u8::from(*alert)),
        },
        rustls::Error::NoCertificatesPresented => "it shows no certificate".to_owned(),
        rustls::Error::NoApplicationProtocol => "it does not speak the protocol that was asked for".to_owned(),
        rustls::Error::DecryptError => "what came cannot be decrypted".to_owned(),
        rustls::Error::EncryptError => "what is to be sent cannot be encrypted".to_owned(),
        rustls::Error::PeerSentOversizedRecord => "it sent a record that is too large".to_owned(),
        rustls::Error::HandshakeNotComplete => "the handshake is not complete".to_owned(),
        rustls::Error::FailedToGetCurrentTime => "this machine does not tell the time".to_owned(),
        rustls::Error::FailedToGetRandomBytes => "this machine has no random numbers".to_owned(),
        rustls::Error::UnsupportedNameType => "its name is neither a host name nor an address".to_owned(),
        rustls::Error::InconsistentKeys(_) => "the key does not belong to the certificate".to_owned(),
        rustls::Error::InvalidEncryptedClientHello(_) => "the encrypted greeting failed".to_owned(),
        rustls::Error::InvalidCertRevocationList(_) => "a revocation list cannot be used".to_owned(),
        rustls::Error::General(text) => text.clone(),
        rustls::Error::Other(error) => error.to_string(),
        _ => "TLS failed".to_owned(),
    }
}

/// What is wrong with a certificate, for a person.
#[must_use]
pub fn what_is_wrong(error: &CertificateError) -> String {
    match error {
        CertificateError::BadEncoding => "it cannot be read".to_owned(),
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!("it expired at {}", date_of(not_after)),
        CertificateError::NotValidYet => "it is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}", date_of(not_before))
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::UnhandledCriticalExtension => "it has a critical extension that is not known here".to_owned(),
        CertificateError::UnknownIssuer => "nobody who is trusted issued it".to_owned(),
        CertificateError::BadSignature => "the signature on it, or with it, is wrong".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is for another purpose".to_owned()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way, or has a key of a kind, that is not supported".to_owned()
        }
        CertificateError::UnknownRevocationStatus => "whether it was revoked is not known".to_owned(),
        CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list has expired".to_owned()
        }
        CertificateError::InvalidOcspResponse => "what its authority says about it cannot be read".to_owned(),
        CertificateError::ApplicationVerificationFailure => "it was refused".to_owned(),
        CertificateError::Other(error) => error.to_string(),
        // Others, those of later versions of rustls among them, have a name in its code and no words.
        _ => "it is not of a kind that is accepted here".to_owned(),
    }
}

fn date_of(time: &rustls::pki_types::UnixTime) -> String {
    date(apns_proto::WallTime::from_secs(time.as_secs()))
}

const fn incompatible(why: &PeerIncompatible) -> &'static str {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        // Before 1.2 nobody named signature algorithms, and that is looked at before the version.
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            "its TLS is older than 1.2, the oldest that is spoken here"
        }
        PeerIncompatible::NoCipherSuitesInCommon | PeerIncompatible::NoKxGroupsInCommon => {
            "it has no encryption in common with this side"
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "it takes no kind of signature that the certificate's key can make"
        }
        _ => "it lacks something in TLS that is needed here",
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;
    use rustls::{AlertDescription, ContentType, InconsistentKeys};

    use super::*;

    /// What a person reads has no name out of code in it: no two capital letters in one word, no brackets.
    #[test]
    fn errors_are_words_and_no_debug_text() {
        let hour = UnixTime::since_unix_epoch(std::time::Duration::from_secs(3600));
        let errors = [
            rustls::Error::from(CertificateError::BadEncoding),
            CertificateError::UnhandledCriticalExtension.into(),
            CertificateError::InvalidPurpose.into(),
            CertificateError::BadSignature.into(),
            CertificateError::UnknownIssuer.into(),
            CertificateError::ExpiredContext { time: hour, not_after: hour }.into(),
            CertificateError::NotValidYetContext { time: hour, not_before: hour }.into(),
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![6, 1, 1],
                supported_algorithms: Vec::new(),
            }
            .into(),
            CertificateError::Other(OtherError(Arc::new(std::fmt::Error))).into(),
            PeerIncompatible::NoCipherSuitesInCommon.into(),
            PeerIncompatible::NoSignatureSchemesInCommon.into(),
            PeerIncompatible::ServerDoesNotSupportTls12Or13.into(),
            PeerIncompatible::UncompressedEcPointsRequired.into(),
            PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into(),
            InvalidMessage::InvalidContentType.into(),
            InvalidMessage::MissingData("SomethingInCode").into(),
            rustls::Error::AlertReceived(AlertDescription::BadCertificate),
            rustls::Error::InappropriateMessage { expect_types: Vec::new(), got_type: ContentType::Handshake },
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
        ];
        for error in errors {
            let words = words(&error);
            let in_code = |word: &str| {
                let capitals = word.chars().filter(char::is_ascii_uppercase).count();
                capitals > 1 && word.chars().any(|character| character.is_ascii_lowercase())
            };
            assert!(!words.split_whitespace().any(in_code), "{words}");
            assert!(!words.contains(['{', '[', '"']), "{words}");
        }
        let expired = words(&CertificateError::ExpiredContext { time: hour, not_after: hour }.into());
        assert_eq!(expired, "the certificate is not accepted: it expired at 1970-01-01T01:00:00Z");
    }
}
