//! ES256 from the side of those who check: a signature by a key of which only the public half is known here.

use ring::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

/// How a signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureForm {
    /// R and S, 32 bytes each (RFC 7518 section 3.4).
    Fixed,
    /// A structure in DER, as `openssl dgst -sign` writes it.
    Der,
}

/// Checks a signature; `None` where it is not one by this key, which is an uncompressed point (SEC1 section 2.3.3).
#[must_use]
pub fn verify_es256(public_key: &[u8], message: &[u8], signature: &[u8]) -> Option<SignatureForm> {
    let fixed = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public_key).verify(message, signature);
    let der = || UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key).verify(message, signature);
    match fixed {
        Ok(()) => Some(SignatureForm::Fixed),
        Err(_) => der().ok().map(|()| SignatureForm::Der),
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    };

    use super::*;

    #[test]
    fn both_forms_are_known_and_another_key_or_message_is_not() {
        let random = SystemRandom::new();
        for (algorithm, form) in [
            (&ECDSA_P256_SHA256_FIXED_SIGNING, SignatureForm::Fixed),
            (&ECDSA_P256_SHA256_ASN1_SIGNING, SignatureForm::Der),
        ] {
            let pair = || {
                let made = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("there is randomness");
                EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).expect("it was just made")
            };
            let (key, other) = (pair(), pair());
            let signature = key.sign(&random, b"tea").expect("there is randomness");
            let check =
                |key: &EcdsaKeyPair, message| verify_es256(key.public_key().as_ref(), message, signature.as_ref());
            assert_eq!(check(&key, b"tea"), Some(form));
            assert_eq!(check(&key, b"coffee"), None);
            assert_eq!(check(&other, b"tea"), None);
        }
    }
}
