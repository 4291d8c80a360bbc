//! `apns token`: a provider token to look at, or for another tool.

use std::time::{Instant, SystemTime};

use apns_proto::Now;
use apns_proto::http2::{TokenPolicy, TokenSource};
use clap::Args;
use serde::Serialize;

use crate::calendar::Date;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::settings::{ConnectionFlags, KeyFlags, ProviderFlags};

/// The options of `apns token`.
///
/// The token alone goes to standard output, and what it says to standard error, so that
/// `curl --header "authorization: bearer $(apns token …)"` works. With it anybody can push for an hour: the service
/// counts how often it changes, so do not make a new one for each request.
#[derive(Args)]
pub(crate) struct TokenFlags {
    /// The table of ~/.config/apns/config.toml, or of the file that APNS_CONFIG names, to take settings from that no option
    /// and no variable gives
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    #[command(flatten)]
    key: KeyFlags,
    /// Print an object: token, alg, kid, iss, iat, expires
    #[arg(long)]
    json: bool,
}

/// How long the service takes a token, in seconds ("Establishing a token-based connection to APNs").
const LIFETIME: u64 = 60 * 60;

/// The token and what it says.
#[derive(Serialize)]
struct Told<'a> {
    token: &'a str,
    alg: &'static str,
    /// The key's id.
    kid: &'a str,
    /// The team.
    iss: &'a str,
    /// When it was made, in seconds since 1970.
    iat: u64,
    /// When the service begins to refuse it, in seconds since 1970.
    expires: u64,
}

impl TokenFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let connection = ConnectionFlags { profile: self.profile, ..ConnectionFlags::default() };
        let settings = ProviderFlags { connection, key: self.key, ..ProviderFlags::default() }.settings()?;
        let Some(file) = settings.key() else {
            return Err(Failure::Usage("no --p8: a provider token is signed with a signing key".to_owned()));
        };
        // It is valid for the whole hour.
        let source = file.read(TokenPolicy::default())?;
        let now = Now::new(Instant::now(), SystemTime::now().into());
        let token = source.token(now).map_err(|error| Failure::Usage(error.to_string()))?;
        let iat = token.issued_at().as_secs();
        let told = Told {
            token: token.jwt(),
            alg: "ES256",
            kid: source.key_id().as_str(),
            iss: source.team_id().as_str(),
            iat,
            expires: iat + LIFETIME,
        };
        let mut output = Output::new();
        if self.json {
            output.json(&told);
            output.finish()?;
        } else {
            output.line(told.token);
            output.finish()?;
            say(format_args!("header  alg {}, kid {} (the key)", told.alg, told.kid));
            say(format_args!("claims  iss {} (the team), iat {} ({})", told.iss, told.iat, Date(told.iat)));
            say(format_args!("good until {}", Date(told.expires)));
        }
        Ok(Exit::Fine)
    }
}
