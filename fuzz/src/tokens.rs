//! Device tokens.

use std::error::Error;

use apns_proto::DeviceToken;

/// Whether a text shows a run of the secret's characters that is too long to be chance.
pub fn shows(text: &str, secret: &str) -> bool {
    const CHANCE: usize = 12;
    let characters: Vec<char> = secret.chars().collect();
    characters.windows(CHANCE).any(|window| {
        let run: String = window.iter().collect();
        // White space and the like repeats itself in any text.
        window.iter().filter(|c| c.is_alphanumeric()).count() == CHANCE && text.contains(&run)
    })
}

fn check_error(error: &dyn Error, text: &str) {
    // The texts of errors quote what iOS prints, which is no secret.
    let known = ["length=32,bytes=0x", "token.map", "String(format"].iter().any(|known| text.contains(known));
    assert!(known || !shows(&error.to_string(), text) && !shows(&format!("{error:?}"), text), "{error} shows {text:?}");
}

/// A text, or bytes, that may be a device token.
pub fn device_token(data: &[u8]) {
    match DeviceToken::from_bytes(data) {
        Ok(token) => {
            assert_eq!(token.as_bytes(), data);
            check(&token);
        }
        Err(_) => assert!(data.is_empty() || data.len() > DeviceToken::MAX_LEN),
    }
    let Ok(text) = str::from_utf8(data) else { return };
    match DeviceToken::from_hex(text) {
        Ok(token) => {
            check(&token);
            // Nothing but digits counts, and every digit does.
            let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
            assert_eq!(token.to_hex(), digits.to_ascii_lowercase());
            assert!(text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ' ' | '<' | '>')));
        }
        Err(error) => {
            let plain = !text.is_empty() && text.len().is_multiple_of(2) && text.chars().all(|c| c.is_ascii_hexdigit());
            assert!(!plain || text.len() > 2 * DeviceToken::MAX_LEN, "{error}");
            check_error(&error, text);
        }
    }
    assert_eq!(text.parse::<DeviceToken>(), DeviceToken::from_hex(text));
    match DeviceToken::from_base64(text) {
        Ok(token) => {
            check(&token);
            assert!(text.trim_end_matches('=').len() * 3 / 4 == token.as_bytes().len());
        }
        Err(error) => check_error(&error, text),
    }
}

fn check(token: &DeviceToken) {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    let hex = token.to_hex();
    assert_eq!(DeviceToken::from_hex(&hex).as_ref(), Ok(token));
    assert_eq!(DeviceToken::from_hex(&hex.to_ascii_uppercase()).as_ref(), Ok(token));
    assert_eq!(DeviceToken::from_hex(&format!("<{hex}>")).as_ref(), Ok(token));
    for text in [
        STANDARD.encode(token.as_bytes()),
        STANDARD_NO_PAD.encode(token.as_bytes()),
        URL_SAFE.encode(token.as_bytes()),
        URL_SAFE_NO_PAD.encode(token.as_bytes()),
    ] {
        assert_eq!(DeviceToken::from_base64(&text).as_ref(), Ok(token));
    }
    assert!(!shows(&format!("{token:?}"), &hex));
    assert_eq!(token.cmp(token), std::cmp::Ordering::Equal);
}
