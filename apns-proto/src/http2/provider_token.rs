//! The provider token: a JSON Web Token that stands for the signing key in each request.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};

use crate::text::{TextError, check};
use crate::{NotSeconds, Now, WallTime, text_newtype};

/// A provider token, with the time at which it was signed on both clocks.
///
/// Cheap to clone. It is a secret for as long as it is valid: [`Debug`](fmt::Debug) shows when it was issued and nothing
/// more, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderToken {
    /// `bearer ` and the token.
    authorization: Bytes,
    issued: Now,
}

const BEARER: &str = "bearer ";

impl ProviderToken {
    /// A new token (RFC 7515, RFC 7518 section 3.4): header `alg` and `kid`, claims `iss` and `iat`, nothing else. `sign`
    /// signs its argument with ES256: r and s, 32 bytes each.
    #[must_use]
    pub fn signed(key_id: &KeyId, team_id: &TeamId, now: Now, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        let header = format!(r#"{{"alg":"ES256","kid":"{key_id}"}}"#);
        let claims = format!(r#"{{"iss":"{team_id}","iat":{}}}"#, now.wall.as_secs());
        let mut text = String::with_capacity(256);
        text.push_str(BEARER);
        URL_SAFE_NO_PAD.encode_string(header, &mut text);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let signature = sign(&text.as_bytes()[BEARER.len()..]);
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Self { authorization: text.into(), issued: now }
    }

    /// Takes a token that was signed elsewhere, by another process or a service that keeps the key. Its age is counted
    /// from the `iat` in it. The signature is not checked.
    ///
    /// # Errors
    ///
    /// [`ProviderTokenError`] when the text is not a compact JSON Web Token with an `iat`.
    pub fn from_jwt(jwt: &str, now: Now) -> Result<Self, ProviderTokenError> {
        let jwt = jwt.trim();
        let parts: Vec<&str> = jwt.split('.').collect();
        let [_, claims, _] = parts[..] else { return Err(ProviderTokenError::Parts { found: parts.len() }) };
        let base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !parts.iter().all(|part| !part.is_empty() && part.bytes().all(base64url)) {
            return Err(ProviderTokenError::NotBase64Url);
        }
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| ProviderTokenError::NotBase64Url)?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| ProviderTokenError::NoIssuedAt)?;
        let issued_at = WallTime::from_unix(claims.iat).map_err(ProviderTokenError::IssuedAt)?;
        let age = now.wall.saturating_since(issued_at);
        // A clock that started less than the token's age ago cannot say when that was. Far enough back is back enough.
        let instant = now.instant.checked_sub(age.min(Duration::from_secs(24 * 60 * 60))).unwrap_or(now.instant);
        Ok(Self { authorization: format!("{BEARER}{jwt}").into(), issued: Now::new(instant, issued_at) })
    }

    /// The value of the `authorization` header: `bearer` and the token. Cloning shares it.
    #[must_use]
    pub const fn authorization(&self) -> &Bytes {
        &self.authorization
    }

    /// The token itself.
    #[must_use]
    pub fn jwt(&self) -> &str {
        let jwt = self.authorization.get(BEARER.len()..).expect("every constructor puts `bearer ` first");
        str::from_utf8(jwt).expect("every constructor makes it from text")
    }

    /// When it was signed, by the wall clock: its `iat`.
    #[must_use]
    pub const fn issued_at(&self) -> WallTime {
        self.issued.wall
    }

    /// When it was signed, by both clocks.
    #[must_use]
    pub const fn issued(&self) -> Now {
        self.issued
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(deserialize_with = "numeric_date")]
    iat: u64,
}

/// Reads a NumericDate (RFC 7519 section 2): any JSON number of seconds since 1970, fractions included, of which the whole
/// seconds are kept. Python's `time.time()` is one, and Apple takes it.
///
/// # Errors
///
/// When it is no number, or a time before 1970.
pub(super) fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
    let whole = |seconds: f64| (seconds >= 0.0).then_some(seconds as u64);
    let seconds = number.as_u64().or_else(|| number.as_f64().and_then(whole));
    seconds.ok_or_else(|| serde::de::Error::custom("a time before 1970"))
}

impl fmt::Debug for ProviderToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProviderToken(issued at {} s)", self.issued.wall.as_secs())
    }
}

/// Why a text is no provider token. Never holds any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderTokenError {
    /// Not three parts with dots between.
    #[error("a provider token has three parts with dots between them, this has {found}")]
    Parts {
        /// How many there are.
        found: usize,
    },
    /// A part is not base64url without padding.
    #[error("a part of the provider token is not base64url without padding")]
    NotBase64Url,
    /// The claims are not JSON with an `iat` that is a number of seconds.
    #[error("the provider token's claims are no JSON object with an `iat` in seconds since 1970")]
    NoIssuedAt,
    /// The `iat` is not in seconds.
    #[error("the provider token's `iat`: {0}")]
    IssuedAt(NotSeconds),
}

text_newtype! {
    /// The name of a signing key: ten letters and digits, as the developer portal shows it and as it stands in the name
    /// of the file (`AuthKey_ABC123DEFG.p8`). White space around it is left away.
    pub struct KeyId: "the key id" trimmed, at most 10 bytes, check_ten;
}

text_newtype! {
    /// The team that owns the apps: ten letters and digits, as the developer portal shows it. White space around it is left
    /// away.
    pub struct TeamId: "the team id" trimmed, at most 10 bytes, check_ten;
}

fn check_ten(what: &'static str, text: &str) -> Result<(), TextError> {
    check(what, text, usize::MAX, |character| character.is_ascii_alphanumeric())?;
    match text.len() {
        10 => Ok(()),
        found => Err(TextError::Length { what, found, expected: 10 }),
    }
}

impl KeyId {
    /// The key id in the name of a key file as Apple hands it out.
    ///
    /// ```
    /// use apns_proto::http2::KeyId;
    ///
    /// let id = KeyId::from_file_name("secrets/AuthKey_ABC123DEFG.p8");
    /// assert_eq!(id, Some(KeyId::new("ABC123DEFG")?));
    /// # Ok::<(), apns_proto::TextError>(())
    /// ```
    #[must_use]
    pub fn from_file_name(path: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next()?;
        Self::new(name.strip_prefix("AuthKey_")?.get(..10)?).ok()
    }
}
