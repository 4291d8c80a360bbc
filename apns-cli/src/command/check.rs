//! `apns check`: what a file of credentials is and what is wrong with it, whether the service takes it, and whether it can be reached.

mod live;
mod network;
mod witness;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use apns_credentials::disclosure::shown;
use apns_credentials::{SigningKey, SigningKeyError};
use apns_proto::http2::KeyId;
use apns_proto::{Topic, WallTime};
use apns_tokio::{
    Certificate, CertificateEnvironment, Endpoint, Identities, Identity, IdentityError, IdentityWarning, Purpose,
    Verdict,
};
use clap::Args;
use serde::Serialize;

use crate::calendar::Date;
use crate::connection::read_password;
use crate::draft::parse_topic;
use crate::exit::{Exit, Failure};
use crate::input::read_file;
use crate::output::Output;
use crate::settings::ProviderFlags;

/// The options of `apns check`.
#[derive(Args)]
pub(crate) struct CheckFlags {
    /// A signing key (.p8), PKCS#12 (.p12, .pfx), PEM, or a certificate in DER (.cer)
    #[arg(value_name = "FILE", required_unless_present_any = ["live", "network"])]
    file: Option<PathBuf>,
    /// The same as --cert-password-file
    #[arg(long, value_name = "FILE", conflicts_with = "cert_password_file", help_heading = "Credentials")]
    password_file: Option<PathBuf>,
    /// Ask the service, with a notification to a device token that no device has: its answer tells whether key, team, topic
    /// and environment are right. Without FILE, the credential is that of the options, variables and profile; without
    /// --host and --sandbox, both of Apple's environments are asked. The other options of the connection are for this
    #[arg(long)]
    live: bool,
    /// Look at the way to each of Apple's hosts and ports, without a credential and through the proxy if there is one: name,
    /// TCP, TLS, the chain's root and what is known of its end, ALPN, and the SETTINGS frame of HTTP/2. With --host (and
    /// --port) or --target, at those
    #[arg(long, conflicts_with_all = ["live", "file"])]
    network: bool,
    /// With --network: a host and a port to look at, in place of Apple's; may be given again
    #[arg(long, value_name = "HOST:PORT", value_parser = network::parse_target, requires = "network")]
    target: Vec<Endpoint>,
    /// With --live: the app, its bundle id; by default what the certificate says
    #[arg(long, value_name = "TOPIC", value_parser = parse_topic, requires = "live")]
    topic: Option<Topic>,
    #[command(flatten)]
    provider: ProviderFlags,
    /// Print an object for each credential in the file, with --live for each environment, with --network for each target
    #[arg(long)]
    json: bool,
}

/// The most that is read of a file; a PKCS#12 file with a long chain has some ten kilobytes.
const LARGEST: u64 = 1024 * 1024;

impl CheckFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if self.live {
            return self.run_live();
        }
        if self.network {
            return network::run(&self.provider.settings()?, self.target, self.json);
        }
        let Some(path) = &self.file else {
            return Err(Failure::Usage("no FILE: name the file to look at".to_owned()));
        };
        let file = read_file(path, LARGEST)?;
        let key = match &self.provider.connection.cert_key {
            Some(path) => Some(read_file(path, LARGEST)?),
            None => None,
        };
        let now = WallTime::from(SystemTime::now());
        let password = match self.password_file.as_ref().or(self.provider.connection.cert_password_file.as_ref()) {
            Some(path) => Some(read_password(path)?),
            None => None,
        };
        let findings = examine(path, &file, key.as_deref(), password.as_deref(), now);
        let mut output = Output::new();
        for (index, finding) in findings.iter().enumerate() {
            if self.json {
                output.json(finding);
            } else {
                let gap = if index == 0 { "" } else { "\n" };
                output.line(format_args!("{gap}{finding}"));
            }
        }
        output.finish()?;
        Ok(if findings.iter().all(Finding::is_usable) { Exit::Fine } else { Exit::Partly })
    }

    fn run_live(self) -> Result<Exit, Failure> {
        let mut provider = self.provider;
        if let Some(path) = self.file {
            if provider.connection.cert.is_some() || provider.key.p8.is_some() {
                return Err(Failure::Usage("FILE is the credential: leave --cert and --p8 out".to_owned()));
            }
            let is_key = SigningKey::read(&read_file(&path, LARGEST)?).is_ok();
            let place = if is_key { &mut provider.key.p8 } else { &mut provider.connection.cert };
            *place = Some(path);
        }
        let password_file = &mut provider.connection.cert_password_file;
        *password_file = password_file.take().or(self.password_file);
        live::run(&provider.settings()?, self.topic, self.json)
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Finding {
    file: String,
    kind: &'static str,
    usable: bool,
    key: Option<String>,
    key_id: Option<String>,
    team_id: Option<String>,
    subject: Option<String>,
    issuer: Option<String>,
    topics: Vec<String>,
    environment: Option<&'static str>,
    /// Seconds since 1970.
    not_before: Option<u64>,
    not_after: Option<u64>,
    days_left: Option<u64>,
    /// How long ago it ended, if it did.
    expired_days: Option<u64>,
    /// How many certificates stand between this one and its authority.
    issuers: Option<usize>,
    fingerprint: Option<String>,
    problems: Vec<Advice>,
    warnings: Vec<Advice>,
}

/// Something that is wrong, or may be, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Advice {
    what: String,
    remedy: Option<&'static str>,
}

impl Advice {
    fn new(what: impl fmt::Display, remedy: Option<&'static str>) -> Self {
        Self { what: what.to_string(), remedy }
    }
}

impl Finding {
    fn new(file: &Path, kind: &'static str) -> Self {
        Self { file: shown(file).to_string(), kind, ..Self::default() }
    }

    const fn is_usable(&self) -> bool {
        self.usable
    }

    fn with_problem(mut self, problem: Advice) -> Self {
        self.usable = false;
        self.problems.push(problem);
        self
    }
}

/// A certificate with its key first: a PEM file may hold more than a key. What is none may be a signing key.
fn examine(path: &Path, file: &[u8], key: Option<&[u8]>, password: Option<&str>, now: WallTime) -> Vec<Finding> {
    let identities = match key {
        Some(key) => Identities::from_pem(file, Some(key), password),
        None => Identities::from_bytes(file, password),
    };
    match identities {
        Ok(identities) => certificates(path, &identities, now),
        Err(error @ (IdentityError::CertificateWithoutKey { .. } | IdentityError::KeyMismatch { .. })) => {
            let remedy = remedy(&error);
            let found = Certificate::all_in(file, password).unwrap_or_default();
            let leaf = found.iter().find(|one| !one.topics().is_empty()).or(found.first());
            let kind = "certificate without its private key";
            let finding = leaf.map_or_else(
                || Finding::new(path, kind),
                |leaf| certificate(path, kind, leaf, leaf.judge(Purpose::default(), now), now),
            );
            vec![finding.with_problem(Advice::new(error, remedy))]
        }
        Err(error) => vec![match SigningKey::read(file) {
            Ok(_) => signing_key(path),
            Err(not_a_key) => unusable(path, &error, &not_a_key),
        }],
    }
}

fn signing_key(path: &Path) -> Finding {
    let key_id = KeyId::from_file_name(&path.to_string_lossy()).map(|id| id.as_str().to_owned());
    let mut warnings = Vec::new();
    if key_id.is_none() {
        warnings.push(Advice::new(
            "the key id stands in the name of the file that Apple hands out (AuthKey_ID.p8), and this name has none",
            Some("Give it with --key-id; the developer portal lists it under Keys."),
        ));
    }
    Finding {
        usable: true,
        key: Some("ECDSA on P-256".to_owned()),
        key_id,
        warnings,
        ..Finding::new(path, "signing key for provider tokens")
    }
}

fn certificates(path: &Path, identities: &Identities, now: WallTime) -> Vec<Finding> {
    let several = identities.clone().single().err();
    let finding = |identity: &Identity| {
        let verdict = identity.judge(Purpose::default(), now);
        let kind = if identity.certificate().signs_code() {
            "code-signing certificate with its private key"
        } else {
            "client certificate with its private key"
        };
        let finding = certificate(path, kind, identity.certificate(), verdict, now);
        let finding = Finding { issuers: Some(identity.chain().len() - 1), ..finding };
        match &several {
            Some(error) => finding.with_problem(Advice::new(error, remedy(error))),
            None => finding,
        }
    };
    identities.iter().map(finding).collect()
}

fn certificate(path: &Path, kind: &'static str, certificate: &Certificate, verdict: Verdict, now: WallTime) -> Finding {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    let finding = Finding {
        usable: true,
        key: Some(certificate.key_kind()),
        team_id: certificate.team_id().map(str::to_owned),
        subject: Some(certificate.subject().to_owned()),
        issuer: Some(certificate.issuer().to_owned()),
        topics: certificate.topics().to_vec(),
        environment: certificate.environment().map(|environment| match environment {
            CertificateEnvironment::Development => "sandbox",
            CertificateEnvironment::Production => "production",
            CertificateEnvironment::Both => "sandbox and production",
        }),
        not_before: Some(not_before.as_secs()),
        not_after: Some(not_after.as_secs()),
        days_left: Some(not_after.saturating_since(now).as_secs() / SECONDS_A_DAY),
        expired_days: (now > not_after).then(|| now.saturating_since(not_after).as_secs() / SECONDS_A_DAY),
        fingerprint: Some(certificate.fingerprint().to_string()),
        ..Finding::new(path, kind)
    };
    let mut finding = finding;
    for problem in verdict.problems {
        finding = finding.with_problem(Advice::new(&problem, remedy(&problem)));
    }
    if !certificate.topics().is_empty() && !certificate.issuer().contains("Apple") {
        let what = format!("it was not issued by Apple, but by {}", certificate.issuer());
        finding.warnings.push(Advice::new(what, Some("A private gateway may take it; Apple's services do not.")));
    }
    finding.warnings.extend(verdict.warnings.iter().map(|warning| Advice::new(warning, warning_remedy(warning))));
    finding
}

/// A number of days in the past, as people say it.
fn ago(days: u64) -> String {
    let several = |count: u64, unit: &str| {
        let ending = if count == 1 { "" } else { "s" };
        format!("{count} {unit}{ending} ago")
    };
    match days {
        0 => "less than a day ago".to_owned(),
        1..60 => several(days, "day"),
        60..730 => several(days / 30, "month"),
        _ => several(days / 365, "year"),
    }
}

const fn warning_remedy(warning: &IdentityWarning) -> Option<&'static str> {
    match warning {
        IdentityWarning::ExpiresSoon { .. } => {
            Some("Renew it in the developer portal now: both are good until the old one ends.")
        }
        IdentityWarning::NoPushCertificate { .. } => {
            Some("A private gateway may take it; for Apple make a certificate of the kind `Apple Push Services`.")
        }
        _ => None,
    }
}

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// Neither a certificate with its key nor a signing key. The error that knows more is told.
fn unusable(path: &Path, error: &IdentityError, not_a_key: &SigningKeyError) -> Finding {
    let kind = match error {
        IdentityError::Empty => "empty file",
        IdentityError::KeyWithoutCertificate => "private key without a certificate",
        IdentityError::Pkcs12WithoutCertificate => "PKCS#12 file without a certificate",
        IdentityError::UnsupportedKey { .. } => "credential with a key that is not supported",
        IdentityError::UnexpectedPem { labels } if labels.iter().any(|label| label.contains("REQUEST")) => {
            "certificate request"
        }
        IdentityError::UnexpectedPem { .. } => "PEM",
        IdentityError::PasswordRequired { .. }
        | IdentityError::WrongPassword { .. }
        | IdentityError::UnsupportedEncryption { .. }
        | IdentityError::LegacyEncryption { .. } => "encrypted file",
        IdentityError::Unrecognized => "unknown",
        _ => "credential",
    };
    let finding = Finding::new(path, kind);
    match (error, not_a_key) {
        // Without its certificate a key is good for one thing only, and this is why it is not good for that.
        (IdentityError::KeyWithoutCertificate, why) => {
            let remedy =
                "If it is the key of a client certificate, check the certificate and give this with --cert-key.";
            finding.with_problem(Advice::new(why, Some(remedy)))
        }
        (IdentityError::Unrecognized | IdentityError::UnexpectedPem { .. }, SigningKeyError::PublicKey) => {
            finding.with_problem(Advice::new(not_a_key, None))
        }
        _ => finding.with_problem(Advice::new(error, remedy(error))),
    }
}

/// What to do, where the words of the error do not say it already.
fn remedy(error: &IdentityError) -> Option<&'static str> {
    match error {
        IdentityError::Expired { .. } => {
            Some("Make a new one in the developer portal, or move to a signing key, which does not expire.")
        }
        IdentityError::NotYetValid { .. } => Some("Set the clock of this computer if it is wrong; otherwise wait."),
        IdentityError::PasswordRequired { .. } => Some("Put it into a file, and name that with --password-file."),
        IdentityError::WrongPassword { .. } => {
            Some("The password is the one that was chosen at the export, not that of the keychain or the account.")
        }
        IdentityError::UnexpectedPem { labels } if labels.iter().any(|label| label.contains("REQUEST")) => Some(
            "This is what is sent to the developer portal. Use the certificate that came back, with the private key that \
             this request was made with.",
        ),
        IdentityError::KeyMismatch { .. } => {
            Some("Find the key that the request for this certificate was made with, or make a new certificate.")
        }
        IdentityError::SeveralIdentities { .. } => Some("Export only the one that is meant."),
        IdentityError::Unrecognized | IdentityError::Malformed { .. } => {
            Some("Download or export it again, and copy it as it is: as binary, not through a text editor.")
        }
        IdentityError::Empty => Some("Look whether the download or the export was finished."),
        _ => None,
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.kind)?;
        let line =
            |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| write!(f, "\n  {name:<12}  {value}");
        if let Some(key) = &self.key {
            line(f, "key", key)?;
        }
        if let Some(id) = &self.key_id {
            line(f, "key id", id)?;
        }
        match &self.team_id {
            Some(team) => line(f, "team", team)?,
            None if self.usable && self.subject.is_none() => {
                line(f, "team", &"not in the file; the developer account shows it under membership")?;
            }
            None => {}
        }
        if let Some(subject) = &self.subject {
            line(f, "subject", subject)?;
        }
        if let Some(issuer) = &self.issuer {
            line(f, "issuer", issuer)?;
        }
        if !self.topics.is_empty() {
            line(f, "topics", &self.topics.join(", "))?;
        }
        match self.environment {
            Some(environment) => line(f, "environment", &environment)?,
            None if self.usable && self.subject.is_none() => {
                line(f, "environment", &"not in the file; a key is good for both unless it was restricted")?;
            }
            None => {}
        }
        if let (Some(from), Some(to), Some(days)) = (self.not_before, self.not_after, self.days_left) {
            let left = match self.expired_days {
                Some(days) => format!("expired {}", ago(days)),
                None if days == 1 => "1 day left".to_owned(),
                None => format!("{days} days left"),
            };
            line(f, "valid", &format_args!("from {} to {}, {left}", Date(from), Date(to)))?;
        } else if self.usable {
            line(f, "valid", &"until it is revoked")?;
        }
        if let Some(issuers) = self.issuers.filter(|count| *count > 0) {
            let certificates = if issuers == 1 { "certificate" } else { "certificates" };
            line(f, "chain", &format_args!("{issuers} more {certificates}"))?;
        }
        if let Some(fingerprint) = &self.fingerprint {
            line(f, "fingerprint", &format_args!("SHA-256 {fingerprint}"))?;
        }
        for (name, advice) in [("warning", &self.warnings), ("problem", &self.problems)] {
            for Advice { what, remedy } in advice {
                line(f, name, what)?;
                if let Some(remedy) = remedy {
                    line(f, "", remedy)?;
                }
            }
        }
        line(f, "verdict", &if self.usable { "can be used" } else { "cannot be used" })
    }
}
