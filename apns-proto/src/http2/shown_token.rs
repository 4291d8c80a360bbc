//! A provider token as the service reads it, before its signature is checked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::provider_token::numeric_date;

/// A provider token that a client showed: a JSON Web Token in the compact serialization (RFC 7515 section 3.1), of which the
/// signature is still to be checked.
///
/// It has no [`Debug`](std::fmt::Debug): it is a secret for as long as it is valid.
#[allow(missing_debug_implementations, reason = "it holds a secret")]
pub struct ShownToken<'a> {
    /// `kid`.
    pub key_id: String,
    /// `iss`.
    pub team_id: String,
    /// `iat`, in seconds since 1970.
    pub issued_at: u64,
    /// Whether `iat` is a text, as in a sample of Apple's, and not a number.
    pub text_issued_at: bool,
    /// Whether the header has an `alg`, which a sample of Apple's leaves out.
    pub names_algorithm: bool,
    /// What is signed.
    pub message: &'a str,
    /// The signature: R and S in 64 bytes, or DER as `openssl dgst` makes it.
    pub signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    kid: String,
    #[serde(default)]
    typ: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: IssuedAt,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum IssuedAt {
    Number(#[serde(deserialize_with = "numeric_date")] u64),
    Text(String),
}

/// From here on a time is in milliseconds: as seconds it would be beyond the year 5000.
const FIRST_MILLISECONDS: u64 = 100_000_000_000;

impl<'a> ShownToken<'a> {
    /// Reads the value of `authorization`: `bearer` and the token, in base64url without padding. `alg` is ES256 where it is
    /// there.
    ///
    /// # Errors
    ///
    /// What is wrong, without a value.
    pub fn read(authorization: &'a [u8]) -> Result<Self, &'static str> {
        const SHAPE: &str = "`authorization` is not `bearer`, a space and three parts with dots between them";
        let (scheme, jwt) = str::from_utf8(authorization).ok().and_then(|text| text.split_once(' ')).ok_or(SHAPE)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(SHAPE);
        }
        let (message, signature) = jwt.rsplit_once('.').ok_or(SHAPE)?;
        let (header, claims) = message.split_once('.').ok_or(SHAPE)?;
        let decode = |part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| "a part of the token is not base64url without padding")
        };
        let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
        let header: Header = serde_json::from_slice(&header).map_err(|_| "its header has no `kid`")?;
        if header.alg.as_deref().is_some_and(|algorithm| algorithm != "ES256") {
            return Err("its `alg` is not ES256");
        }
        if header.typ.is_some_and(|kind| kind != "JWT") {
            return Err("its `typ` is not JWT");
        }
        let claims: Claims = serde_json::from_slice(&claims)
            .map_err(|_| "its claims are not an object with `iss` and with `iat`, a time in seconds since 1970")?;
        let (issued_at, text_issued_at) = match claims.iat {
            IssuedAt::Number(seconds) => (seconds, false),
            IssuedAt::Text(text) => {
                let time: u64 = text.parse().map_err(|_| "its `iat` is a text that is no time")?;
                (if time < FIRST_MILLISECONDS { time } else { time / 1000 }, true)
            }
        };
        Ok(Self {
            key_id: header.kid,
            team_id: claims.iss,
            issued_at,
            text_issued_at,
            names_algorithm: header.alg.is_some(),
            message,
            signature,
        })
    }

    /// Whether it was signed more than an hour from this time (*Establishing a token-based connection to APNs*), to either
    /// side of the clock. Both are in seconds since 1970.
    #[must_use]
    pub const fn is_stale(issued_at: u64, now: u64) -> bool {
        now.abs_diff(issued_at) > 60 * 60
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("bearer {}.{}.{}", encode(header), encode(claims), encode("signature"))
    }

    fn fault(header: &str, claims: &str) -> Option<&'static str> {
        ShownToken::read(shown(header, claims).as_bytes()).err()
    }

    #[test]
    fn a_token_is_read_as_the_service_reads_it() {
        let text = shown(r#"{"alg":"ES256","kid":"ABCDE12345"}"#, r#"{"iss":"TEAM123456","iat":1700000000.5}"#);
        let token = ShownToken::read(text.as_bytes()).map_err(str::to_owned).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((&*token.key_id, &*token.team_id, token.issued_at), ("ABCDE12345", "TEAM123456", 1_700_000_000));
        assert!(token.names_algorithm && !token.text_issued_at);
        assert_eq!((token.message.matches('.').count(), &token.signature[..]), (1, &b"signature"[..]));
        let text = shown(r#"{"kid":"A"}"#, r#"{"iss":"T","iat":"1700000000123"}"#);
        let token = ShownToken::read(text.as_bytes()).map_err(str::to_owned).unwrap_or_else(|error| panic!("{error}"));
        assert!(!token.names_algorithm && token.text_issued_at && token.issued_at == 1_700_000_000);
    }

    #[test]
    fn what_is_no_token_is_named_without_a_value() {
        for text in ["", "bearer", "bearer a.b", "basic a.b.c"] {
            assert!(ShownToken::read(text.as_bytes()).is_err_and(|fault| fault.contains("three parts")), "{text}");
        }
        assert_eq!(
            ShownToken::read(b"bearer !.e30.e30").err(),
            Some("a part of the token is not base64url without padding")
        );
        let claims = r#"{"iss":"T","iat":1}"#;
        assert_eq!(fault(r#"{"alg":"none","kid":"A"}"#, claims), Some("its `alg` is not ES256"));
        assert_eq!(fault(r#"{"alg":"ES256","kid":"A","typ":"JWE"}"#, claims), Some("its `typ` is not JWT"));
        assert_eq!(fault(r#"{"alg":"ES256"}"#, claims), Some("its header has no `kid`"));
        assert_eq!(fault(r#"{"kid":"A"}"#, r#"{"iss":"T","iat":"noon"}"#), Some("its `iat` is a text that is no time"));
    }

    #[test]
    fn an_hour_is_the_longest_to_either_side() {
        assert!(!ShownToken::is_stale(10_000, 13_600) && !ShownToken::is_stale(13_600, 10_000));
        assert!(ShownToken::is_stale(10_000, 13_601) && ShownToken::is_stale(13_601, 10_000));
    }
}
