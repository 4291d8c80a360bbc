//! Keys and certificates, in whatever form they are stored.

use apns_credentials::SigningKey;
use apns_credentials::{Identities, Identity, IdentityError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::feed::Feed;
use crate::tokens::shows;

/// The file of a key that signs provider tokens.
pub fn signing_key(data: &[u8]) {
    let read = SigningKey::read(data);
    match &read {
        Ok(key) => {
            assert_eq!(format!("{key:?}"), "SigningKey(P-256)");
            assert_eq!(key.sign(b"message"), key.sign(b"message"), "signatures are deterministic");
        }
        Err(error) => {
            let text = String::from_utf8_lossy(data);
            let labels = text.contains("-----");
            assert!(labels || !shows(&error.to_string(), &text), "{error} shows what it was given");
        }
    }
    // DER is the same in base64.
    if str::from_utf8(data).is_err() {
        let text = SigningKey::read(STANDARD.encode(data).as_bytes());
        assert_eq!(public(&text), public(&read));
    }
}

fn public<E>(key: &Result<SigningKey, E>) -> Option<[u8; 65]> {
    key.as_ref().ok().map(SigningKey::public_key)
}

/// A client certificate with its key: one byte for the password, then the file.
pub fn identity(data: &[u8]) {
    let mut feed = Feed::new(data);
    let password = feed.of(&[None, Some("secret"), Some("")]);
    let file = feed.rest();
    let all = match Identities::from_bytes(file, password) {
        Ok(all) => all,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!matches!(error, IdentityError::Io { .. } | IdentityError::SeveralIdentities { .. }), "{error}");
            return;
        }
    };
    assert_ne!(all.iter().len(), 0, "an answer without an identity is none");
    for identity in all.iter() {
        // What was read is written for TLS libraries, and they read the same.
        let pem = format!("{}{}", identity.chain_pem(), *identity.private_key_pem());
        let again = Identity::from_bytes(pem.as_bytes(), None).expect("what was read can be read again");
        assert_eq!(again.certificate(), identity.certificate());
        assert_eq!(again.private_key_der(), identity.private_key_der());
        let again = Identity::from_pem(identity.chain_pem().as_bytes(), Some(identity.private_key_der()), None);
        assert_eq!(again.expect("PEM and DER may be mixed").certificate(), identity.certificate());
        let shown = format!("{identity:?}");
        assert!(!shows(&shown, &STANDARD.encode(identity.private_key_der())), "a key is shown");
    }
}
