//! Signatures as Standard Webhooks has them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use zeroize::Zeroizing;

/// How a secret begins.
const PREFIX: &str = "whsec_";

/// How many bytes a secret has, as the standard says.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// What signs requests.
#[derive(Clone)]
pub(super) struct SigningSecret(hmac::Key);

/// Shows nothing of it.
impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

impl SigningSecret {
    /// From its text: `whsec_`, and the bytes in base64.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let form = || format!("it has to be {PREFIX} and {} to {} bytes in base64", LENGTHS.start(), LENGTHS.end());
        let encoded = text.trim().strip_prefix(PREFIX).ok_or_else(form)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| form())?);
        if !LENGTHS.contains(&bytes.len()) {
            return Err(form());
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The signature of a request, for the header `webhook-signature`.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the standard.
    #[test]
    fn a_request_is_signed_as_the_standard_has_it() {
        let secret = SigningSecret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "SigningSecret(…)");
    }

    #[test]
    fn what_is_no_secret_is_not_shown() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        for wrong in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_hunter2!", &short, &long] {
            let said = SigningSecret::read(wrong).unwrap_err();
            assert_eq!(said, "it has to be whsec_ and 24 to 64 bytes in base64");
        }
        for length in [24, 64] {
            SigningSecret::read(&format!("whsec_{}", STANDARD.encode(vec![7; length]))).unwrap();
        }
    }
}
