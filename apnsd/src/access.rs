//! Who may do what.

use std::fmt;

use ring::digest::{SHA256, digest};
use subtle::{Choice, ConstantTimeEq};

use crate::AppName;
use crate::config::TokenConfig;

/// The access tokens in force.
///
/// Without any, everybody may do everything: that is for loopback alone, as [`Config::check`](crate::config::Config::check)
/// sees to.
#[derive(Default)]
pub struct Access {
    tokens: Vec<Token>,
}

struct Token {
    digest: [u8; 32],
    caller: Caller,
}

/// Somebody who is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token; `None` where none is needed.
    name: Option<String>,
    /// The apps; `None` for all.
    apps: Option<Vec<AppName>>,
    admin: bool,
}

/// The caller gave no token, or one that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// None was given.
    #[error("an access token is needed: Authorization: Bearer …")]
    NoToken,
    /// It is not known.
    #[error("the access token is not known here")]
    UnknownToken,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tokens.iter().map(|token| &token.caller)).finish()
    }
}

fn hash(text: &str) -> [u8; 32] {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl Access {
    /// From the configuration.
    #[must_use]
    pub fn new(tokens: &[TokenConfig]) -> Self {
        let tokens = tokens.iter().map(|token| Token {
            digest: hash(token.secret.expose()),
            caller: Caller { name: Some(token.name.clone()), apps: token.apps.clone(), admin: token.admin },
        });
        Self { tokens: tokens.collect() }
    }

    /// Whether no token is needed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Who brings this token. It is compared with all of them, in a time that does not depend on which fits.
    ///
    /// # Errors
    ///
    /// [`Denied`].
    pub fn check(&self, token: Option<&str>) -> Result<Caller, Denied> {
        if self.is_open() {
            return Ok(Caller { name: None, apps: None, admin: true });
        }
        let given = hash(token.ok_or(Denied::NoToken)?);
        let mut found = None;
        for known in &self.tokens {
            let fits: Choice = known.digest.ct_eq(&given);
            if bool::from(fits) {
                found = Some(&known.caller);
            }
        }
        found.cloned().ok_or(Denied::UnknownToken)
    }
}

impl Caller {
    /// The name of the token that was brought.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether this caller may send for an app and see what became of it.
    #[must_use]
    pub fn may_use(&self, app: &AppName) -> bool {
        self.admin || self.apps.as_ref().is_none_or(|apps| apps.contains(app))
    }

    /// Whether this caller may provision apps and see everything.
    #[must_use]
    pub const fn is_admin(&self) -> bool {
        self.admin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_token_opens_its_own_apps() {
        let app = |name: &str| AppName::new(name).unwrap();
        let tokens = [
            TokenConfig::new("shop", Secret::new("shop-token-0123456789"), Some(vec![app("shop")])),
            TokenConfig::admin("root", Secret::new("root-token-0123456789")),
        ];
        let access = Access::new(&tokens);
        assert_eq!(access.check(None), Err(Denied::NoToken));
        assert_eq!(access.check(Some("shop-token-012345678")), Err(Denied::UnknownToken));
        let shop = access.check(Some("shop-token-0123456789")).unwrap();
        assert!(shop.may_use(&app("shop")) && !shop.may_use(&app("bank")) && !shop.is_admin());
        let root = access.check(Some("root-token-0123456789")).unwrap();
        assert!(root.may_use(&app("bank")) && root.is_admin());
        assert!(!format!("{access:?} {tokens:?}").contains("token-0123456789"));
    }

    #[test]
    fn without_tokens_everything_is_open() {
        let caller = Access::default().check(None).unwrap();
        assert!(caller.is_admin());
    }
}
