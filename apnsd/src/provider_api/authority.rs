//! Who calls: the holder of an access token, or of a key that an app here has as well.

use std::collections::HashMap;
use std::fmt;

use apns_credentials::internal::verify_es256;
use apns_proto::WallTime;
use apns_proto::http2::Reason;
use apns_proto::internal::ShownToken;
use axum::http::{HeaderMap, header};
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};

use super::answer::Refusal;
use crate::AppName;
use crate::access::Caller;
use crate::config::{App, Credential};
use crate::service::Service;

/// What a request proved.
#[derive(Debug)]
pub(super) enum Authority {
    /// It has an access token, or none is needed.
    Caller(Caller),
    /// It has a provider token that was signed with this key.
    Signer(Signer),
}

/// A signing key, by its public half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signer {
    key_id: String,
    team_id: String,
    public_key: [u8; 65],
}

impl Signer {
    fn is_that_of(&self, app: &App) -> bool {
        app.destinations.iter().any(|to| match &to.credential {
            Credential::SigningKey { key, key_id, team_id } => {
                key_id.as_str() == self.key_id
                    && team_id.as_str() == self.team_id
                    && key.public_key() == self.public_key
            }
            Credential::Certificate(_) => false,
        })
    }
}

impl Authority {
    /// Whether it may send for an app.
    pub(super) fn may_use(&self, name: &AppName, app: &App) -> bool {
        match self {
            Self::Caller(caller) => caller.may_use(name),
            Self::Signer(signer) => signer.is_that_of(app),
        }
    }

    /// Whether nothing was proved, because nothing has to be.
    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Caller(caller) if caller.name().is_none())
    }

    /// The refusal where there is no app that it may send for.
    pub(super) fn knows_nobody(&self) -> Refusal {
        match self {
            Self::Caller(_) => Refusal::of(Reason::TopicDisallowed).detail("there is no app that this caller may use"),
            Self::Signer(_) => unknown_key(),
        }
    }
}

fn unknown_key() -> Refusal {
    Refusal::of(Reason::InvalidProviderToken)
        .detail("no app here has the key that `kid` and `iss` name, or the token is not signed with it")
        .unproved()
}

/// Provider tokens that were found good. A client shows the same one for an hour.
#[derive(Default)]
pub(super) struct Shown(Mutex<HashMap<[u8; 32], Good>>);

struct Good {
    signer: Signer,
    issued_at: u64,
}

/// How many are remembered.
const MOST: usize = 1000;

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.0.lock().len())
    }
}

impl Shown {
    /// Who calls, by the header `authorization`.
    pub(super) fn authority(
        &self,
        service: &Service,
        headers: &HeaderMap,
        now: WallTime,
    ) -> Result<Authority, Refusal> {
        let access = service.access();
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).filter(|value| !value.is_empty());
        let Some(shown) = shown else {
            let caller = access.check(None);
            return caller
                .map(Authority::Caller)
                .map_err(|denied| Refusal::of(Reason::MissingProviderToken).detail(denied).unproved());
        };
        let token = crate::http::token(headers);
        let checked = access.check(token.as_ref().map(|token| token.as_str()));
        // Access tokens may have dots as well. Without any, a provider token still says who calls.
        let checked = match checked {
            Ok(caller) if !access.is_open() => return Ok(Authority::Caller(caller)),
            checked => checked,
        };
        let fault = match self.signer(service, shown, now) {
            Ok(signer) => return signer.map(Authority::Signer),
            Err(fault) => fault,
        };
        let looks_like_one = shown.iter().filter(|byte| **byte == b'.').count() >= 2;
        match checked {
            Ok(caller) if !looks_like_one => Ok(Authority::Caller(caller)),
            Err(denied) if !looks_like_one => Err(Refusal::of(Reason::InvalidProviderToken).detail(denied).unproved()),
            _ => Err(Refusal::of(Reason::InvalidProviderToken).detail(fault).unproved()),
        }
    }

    /// Whose provider token it is; on the outside what is wrong with its form.
    fn signer(&self, service: &Service, shown: &[u8], now: WallTime) -> Result<Result<Signer, Refusal>, &'static str> {
        let name: [u8; 32] = digest(&SHA256, shown).as_ref().try_into().expect("SHA-256 has 32 bytes");
        let good = self.0.lock().get(&name).map(|good| (good.signer.clone(), good.issued_at));
        let (signer, issued_at) = match good {
            Some(good) => good,
            None => {
                let token = ShownToken::read(shown)?;
                let Some(signer) = verified(service, &token) else { return Ok(Err(unknown_key())) };
                self.remember(name, Good { signer: signer.clone(), issued_at: token.issued_at }, now);
                (signer, token.issued_at)
            }
        };
        if ShownToken::is_stale(issued_at, now.as_secs()) {
            let detail = "it was signed more than an hour ago, or a clock is wrong";
            return Ok(Err(Refusal::of(Reason::ExpiredProviderToken).detail(detail)));
        }
        Ok(Ok(signer))
    }

    fn remember(&self, name: [u8; 32], good: Good, now: WallTime) {
        let mut all = self.0.lock();
        if all.len() >= MOST {
            all.retain(|_, good| !ShownToken::is_stale(good.issued_at, now.as_secs()));
        }
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(name, good);
    }
}

/// The key among those of the apps that a token was signed with.
fn verified(service: &Service, token: &ShownToken<'_>) -> Option<Signer> {
    let mut keys = Vec::new();
    service.each_app(|_, app| {
        for to in &app.destinations {
            if let Credential::SigningKey { key, key_id, team_id } = &to.credential
                && key_id.as_str() == token.key_id
                && team_id.as_str() == token.team_id
            {
                keys.push(key.public_key());
            }
        }
    });
    keys.sort_unstable();
    keys.dedup();
    let good = |key: &[u8; 65]| verify_es256(key, token.message.as_bytes(), &token.signature).is_some();
    let public_key = keys.into_iter().find(good)?;
    Some(Signer { key_id: token.key_id.clone(), team_id: token.team_id.clone(), public_key })
}
