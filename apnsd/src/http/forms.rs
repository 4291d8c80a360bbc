//! Forms that only this page can send: each has a signature of what it does, for whom, and until when.

use std::fmt;

use apns_proto::WallTime;
use apns_proto::internal::{from_hex, to_hex};
use ring::hmac::{self, Key};
use ring::rand::SystemRandom;

use crate::AppName;
use crate::access::Caller;

/// Signs forms, with a key that this process made for itself.
pub(super) struct Forms(Key);

impl fmt::Debug for Forms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forms")
    }
}

/// How long a form may be looked at before it is sent, in seconds.
const LIFETIME: u64 = 60 * 60;

impl Forms {
    /// With a new key; nothing where the system gives no random numbers, and then there are no forms.
    pub(super) fn new() -> Option<Self> {
        Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok().map(Self)
    }

    /// What goes with a form that does this to an app, for this caller.
    pub(super) fn sign(&self, caller: &Caller, action: &str, app: &AppName, now: WallTime) -> String {
        let until = now.as_secs() + LIFETIME;
        let signature = hmac::sign(&self.0, &message(caller, action, app, until));
        format!("{until}.{}", to_hex(signature.as_ref()))
    }

    /// Whether it came with such a form, in time.
    pub(super) fn check(&self, signed: &str, caller: &Caller, action: &str, app: &AppName, now: WallTime) -> bool {
        let Some((until, signature)) = signed.split_once('.') else { return false };
        let Ok(until) = until.parse::<u64>() else { return false };
        let Ok(signature) = from_hex(signature, |_| false) else { return false };
        let good = hmac::verify(&self.0, &message(caller, action, app, until), &signature).is_ok();
        good && (now.as_secs()..=now.as_secs() + LIFETIME).contains(&until)
    }
}

/// What is signed. Each part has its length before it, so that none can pass for a part of another.
fn message(caller: &Caller, action: &str, app: &AppName, until: u64) -> Vec<u8> {
    let until = until.to_string();
    let mut bytes = vec![u8::from(caller.name().is_some())];
    for part in [caller.name().unwrap_or_default(), action, app.as_str(), &until] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::config::{Secret, TokenConfig};

    #[test]
    fn a_form_is_good_for_its_caller_its_action_its_app_and_an_hour() {
        let tokens =
            ["one", "two"].map(|name| TokenConfig::admin(name, Secret::new(format!("{name}-0123456789-secret"))));
        let access = Access::new(&tokens);
        let caller = |name: &str| access.check(Some(&format!("{name}-0123456789-secret"))).unwrap();
        let anybody = Access::default().check(None).unwrap();
        let app = |name: &str| AppName::new(name).unwrap();
        let forms = Forms::new().unwrap();
        let now = WallTime::from_secs(1_700_000_000);
        let signed = forms.sign(&caller("one"), "pause", &app("shop"), now);
        let good = |caller: &Caller, action: &str, name: &str, at: u64| {
            forms.check(&signed, caller, action, &app(name), WallTime::from_secs(at))
        };
        assert!(
            good(&caller("one"), "pause", "shop", 1_700_000_000)
                && good(&caller("one"), "pause", "shop", 1_700_003_600)
        );
        assert!(
            !good(&caller("one"), "pause", "shop", 1_700_003_601)
                && !good(&caller("one"), "pause", "shop", 1_699_999_999)
        );
        assert!(
            !good(&caller("two"), "pause", "shop", 1_700_000_000) && !good(&anybody, "pause", "shop", 1_700_000_000)
        );
        assert!(
            !good(&caller("one"), "purge", "shop", 1_700_000_000)
                && !good(&caller("one"), "pause", "bank", 1_700_000_000)
        );
        assert!(!Forms::new().unwrap().check(&signed, &caller("one"), "pause", &app("shop"), now));
        for wrong in ["", ".", "1700003600", "1700003600.", "1700003600.zz", "x.00", &format!("9{signed}")] {
            assert!(!forms.check(wrong, &caller("one"), "pause", &app("shop"), now), "{wrong}");
        }
    }
}
