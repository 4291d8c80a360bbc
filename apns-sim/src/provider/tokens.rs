//! Provider tokens, checked more strictly than the service does.

use std::fmt;
use std::time::{Duration, Instant};

use apns_driver::apns_credentials::internal::{SignatureForm, verify_es256};
use apns_proto::Now;
use apns_proto::internal::ShownToken;
use bytes::Bytes;
use rcgen::{KeyPair, PublicKeyData as _};

use super::deviation::{Deviation, Remarks};
use crate::script::{Http2Answer, Http2Script};

/// The key id of the simulator's signing key.
pub(crate) const KEY_ID: &str = "SIMULATOR0";

/// The team that the simulator's signing key belongs to.
pub(crate) const TEAM_ID: &str = "TEAMID0000";

/// How long a connection has to keep a token (the same page).
const UPDATE_INTERVAL: Duration = Duration::from_secs(20 * 60);

/// The signing key, which clients sign their tokens with: one that was made, or a team's own.
pub(crate) struct SigningKeyPair {
    pem: String,
    public: Vec<u8>,
    signer: Signer,
    own: bool,
}

impl SigningKeyPair {
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        Ok(Self::of(&KeyPair::generate()?, KEY_ID, TEAM_ID, false))
    }

    /// One that was made by an earlier simulator.
    pub(crate) fn again(pem: &str) -> Result<Self, rcgen::Error> {
        Ok(Self::of(&KeyPair::from_pem(pem)?, KEY_ID, TEAM_ID, false))
    }

    /// A team's own.
    pub(crate) fn own(pem: &str, key_id: &str, team_id: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::from_pem_and_sign_algo(pem, &rcgen::PKCS_ECDSA_P256_SHA256)?;
        Ok(Self::of(&key, key_id, team_id, true))
    }

    fn of(key: &KeyPair, key_id: &str, team_id: &str, own: bool) -> Self {
        let signer = Signer { key_id: key_id.to_owned(), team_id: team_id.to_owned() };
        Self { pem: key.serialize_pem(), public: key.der_bytes().to_vec(), signer, own }
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.signer.key_id
    }

    pub(crate) fn team_id(&self) -> &str {
        &self.signer.team_id
    }

    /// The key, unless it is a team's own, of which no copy is made.
    pub(crate) fn made_here(&self) -> Option<&str> {
        (!self.own).then_some(&self.pem)
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }
}

impl fmt::Debug for SigningKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyPair").finish_non_exhaustive()
    }
}

/// Whose token a request carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signer {
    pub(crate) key_id: String,
    pub(crate) team_id: String,
}

/// The provider tokens of one connection.
#[derive(Default)]
pub(crate) struct ConnectionTokens {
    /// The token in use; with a related key there are two.
    current: Vec<Current>,
    /// The key and the team that the first good token fixed for the connection.
    bound: Option<Signer>,
    was_stale: bool,
    /// When the token of the last good request was signed.
    last: Option<u64>,
}

struct Current {
    authorization: Bytes,
    issued_at: u64,
    since: Instant,
    signer: Signer,
    deviations: Vec<Deviation>,
}

impl ConnectionTokens {
    /// Checks the header `authorization` of a request, in this order: it is there (MissingProviderToken); it is a JSON
    /// Web Token signed by the simulator's key with ES256, and names a known key and its team (InvalidProviderToken); the
    /// key is of this environment (BadEnvironmentKeyInToken); its age (ExpiredProviderToken); the connection began with
    /// the same team (Forbidden) and the same key (UnrelatedKeyIdInToken); it is not another than 20 minutes ago
    /// (TooManyProviderTokenUpdates).
    pub(crate) fn check(
        &mut self,
        now: Now,
        script: &Http2Script,
        key: &SigningKeyPair,
        authorization: Option<&[u8]>,
        remarks: &mut Remarks,
    ) -> Result<Signer, Http2Answer> {
        let Some(authorization) = authorization.filter(|value| !value.is_empty()) else {
            return Err(forbidden("MissingProviderToken"));
        };
        if let Some(current) = self.current.iter().find(|current| current.authorization == authorization) {
            self.last = Some(current.issued_at);
            let (signer, issued_at) = (current.signer.clone(), current.issued_at);
            for deviation in &current.deviations {
                remarks.allow(*deviation);
            }
            return self.check_age(now, script, issued_at).map(|()| signer);
        }
        let token = read(authorization, key, remarks).map_err(|fault| invalid(remarks, fault))?;
        let signer = known(script, &token, key, remarks)?;
        self.check_age(now, script, token.issued_at)?;
        if let Some(bound) = &self.bound {
            if bound.team_id != signer.team_id {
                return Err(forbidden("Forbidden"));
            }
            if bound.key_id != signer.key_id && !related(script, &bound.key_id, &signer.key_id) {
                return Err(forbidden("UnrelatedKeyIdInToken"));
            }
        }
        let interval = script.token_update_interval_s.map_or(UPDATE_INTERVAL, Duration::from_secs);
        let same_key = |current: &Current| current.signer.key_id == signer.key_id;
        if let Some(current) = self.current.iter().find(|current| same_key(current))
            && now.instant.saturating_duration_since(current.since) < interval
        {
            return Err(Http2Answer::new(429, "TooManyProviderTokenUpdates"));
        }
        self.bound.get_or_insert_with(|| signer.clone());
        self.last = Some(token.issued_at);
        self.current.retain(|current| !same_key(current));
        self.current.push(Current {
            authorization: Bytes::copy_from_slice(authorization),
            issued_at: token.issued_at,
            since: now.instant,
            signer: signer.clone(),
            deviations: remarks.deviations().to_vec(),
        });
        Ok(signer)
    }

    /// When the token in use was signed, in seconds since 1970.
    pub(crate) const fn issued_at(&self) -> Option<u64> {
        self.last
    }

    /// An hour at most, to either side of the service's clock.
    fn check_age(&mut self, now: Now, script: &Http2Script, issued_at: u64) -> Result<(), Http2Answer> {
        let clock = now.wall.as_secs().saturating_add_signed(script.clock_offset_s);
        let stale = ShownToken::is_stale(issued_at, clock) || (self.was_stale && script.stale_for_good);
        if !stale {
            return Ok(());
        }
        self.was_stale = true;
        Err(script.stale_token.clone().unwrap_or_else(|| forbidden("ExpiredProviderToken")))
    }
}

impl fmt::Debug for ConnectionTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionTokens").field("bound", &self.bound).finish_non_exhaustive()
    }
}

fn forbidden(reason: &str) -> Http2Answer {
    Http2Answer::new(403, reason)
}

/// InvalidProviderToken, and which of its many causes it is.
fn invalid(remarks: &mut Remarks, fault: Option<&str>) -> Http2Answer {
    if let Some(fault) = fault {
        remarks.fault(fault);
    }
    forbidden("InvalidProviderToken")
}

/// Whether one key may follow the other on a connection: keys for named topics have one related key at most (*Establishing
/// a token-based connection to APNs*).
fn related(script: &Http2Script, first: &str, second: &str) -> bool {
    script.keys.iter().any(|key| {
        let ends = (key.key_id.as_str(), key.related.as_deref());
        ends == (first, Some(second)) || ends == (second, Some(first))
    })
}

fn known(
    script: &Http2Script,
    token: &ShownToken<'_>,
    own: &SigningKeyPair,
    remarks: &mut Remarks,
) -> Result<Signer, Http2Answer> {
    let signer = Signer { key_id: token.key_id.clone(), team_id: token.team_id.clone() };
    if let Some(key) = script.keys.iter().find(|key| key.key_id == signer.key_id) {
        return match key.team_id.as_deref().unwrap_or(own.team_id()) == signer.team_id {
            true if key.other_environment => Err(forbidden("BadEnvironmentKeyInToken")),
            true => Ok(signer),
            false => Err(invalid(remarks, Some("the key belongs to another team than `iss` names"))),
        };
    }
    if signer.key_id != own.key_id() {
        return Err(invalid(remarks, Some("no key is known by the id in `kid`")));
    }
    if signer.team_id != own.team_id() {
        return Err(invalid(remarks, Some("the key belongs to another team than `iss` names")));
    }
    Ok(signer)
}

/// Reads a token whose signature is right. Else says what is wrong, where the remarks do not.
fn read<'a>(
    authorization: &'a [u8],
    key: &SigningKeyPair,
    remarks: &mut Remarks,
) -> Result<ShownToken<'a>, Option<&'static str>> {
    let token = ShownToken::read(authorization)?;
    if !token.names_algorithm && !remarks.allow(Deviation::NoAlgorithm) {
        return Err(None);
    }
    if token.text_issued_at && !remarks.allow(Deviation::TextIssuedAt) {
        return Err(None);
    }
    match verify_es256(&key.public, token.message.as_bytes(), &token.signature) {
        None => Err(Some("its signature is not one by the signing key of this simulator")),
        Some(SignatureForm::Der) if !remarks.allow(Deviation::DerSignature) => Err(None),
        Some(SignatureForm::Fixed | SignatureForm::Der) => Ok(token),
    }
}
