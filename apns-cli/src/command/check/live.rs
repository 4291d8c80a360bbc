//! `apns check --live`: whether the service takes a credential, for which app and in which environment.
//!
//! A notification to a device token that no device has reaches nobody. The service looks at the credential, then at the
//! topic, then at the token: that it finds no device for it proves everything before.

use std::fmt;
use std::pin::pin;

use apns_proto::http2::Reason;
use apns_proto::{
    CredentialRefusal, DeviceToken, DialStep, Environment, Expiration, NotSentCause, Notification, Outcome, Payload,
    RefusalPolicy, Rejection, RetryPolicy, Topic,
};
use apns_tokio::{ClientEvent, Credentials, Endpoint};
use futures_util::StreamExt as _;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;

use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::runtime::block_on;
use crate::settings::{CredentialFiles, KeyFile, Place, Settings};
use crate::trouble::Trouble;

/// What is wrong, or was shown to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    /// The proxy on the way.
    Proxy,
    /// The host's name.
    Name,
    /// The way to the host and port.
    Network,
    /// The TLS of the service, or whom to trust there.
    Tls,
    /// What is spoken there.
    Protocol,
    /// This computer's clock.
    Clock,
    /// The client certificate.
    Certificate,
    /// The signing key, its id, or the team's id.
    Key,
    /// The app.
    Topic,
    /// Production or sandbox.
    Environment,
    /// The service itself.
    Service,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => "the proxy",
            Self::Name => "the host's name",
            Self::Network => "the network",
            Self::Tls => "TLS",
            Self::Protocol => "the protocol",
            Self::Clock => "the clock",
            Self::Certificate => "the certificate",
            Self::Key => "the key, its id or the team",
            Self::Topic => "the topic",
            Self::Environment => "the environment",
            Self::Service => "the service",
        })
    }
}

/// What one service said.
#[derive(Debug, Serialize)]
struct Found {
    /// `production`, `sandbox` or `host`.
    environment: &'static str,
    endpoint: String,
    works: bool,
    wrong: Option<Part>,
    status: Option<u16>,
    reason: Option<String>,
    what: String,
    remedy: Option<String>,
}

/// What all of it is about.
struct Question {
    topic: Option<Topic>,
    /// Another id stands in the name of the key's file.
    other_key_id: Option<String>,
    by_certificate: bool,
}

pub(super) fn run(settings: &Settings, topic: Option<Topic>, json: bool) -> Result<Exit, Failure> {
    let topic = match (topic, settings.topic()) {
        (Some(topic), _) => Some(topic),
        (None, Some(text)) => {
            Some(Topic::new(text).map_err(|error| Failure::Usage(format!("the topic of the settings: {error}")))?)
        }
        (None, None) => None,
    };
    let credential = settings.credential()?;
    let by_certificate = matches!(credential, Some(CredentialFiles::Certificate(_)));
    if let (Some(CredentialFiles::Key(_)), None) = (&credential, &topic) {
        return Err(Failure::Usage("no --topic: with a signing key the service has to be told the app".to_owned()));
    }
    let other_key_id = match &credential {
        Some(CredentialFiles::Key(file)) => other_key_id(file),
        _ => None,
    };
    let question = Question { topic, other_key_id, by_certificate };
    let found = match settings.place()?.0 {
        Place::Host(_) => vec![ask(settings, None, "host", &question)?],
        Place::Sandbox => vec![ask(settings, Some(Environment::Sandbox), "sandbox", &question)?],
        Place::Production => vec![
            ask(settings, Some(Environment::Production), "production", &question)?,
            ask(settings, Some(Environment::Sandbox), "sandbox", &question)?,
        ],
    };
    let mut output = Output::new();
    found.iter().for_each(|one| output.row(json, one));
    output.finish()?;
    // A credential may be for one environment alone.
    Ok(if found.iter().any(|one| one.works) { Exit::Fine } else { Exit::NoConnection })
}

/// The id in the name of the key's file, where another one was given.
fn other_key_id(file: &KeyFile) -> Option<String> {
    let named = file.named_id()?.as_str().to_owned();
    file.key_id.as_ref().filter(|given| **given != named).map(|_| named)
}

fn ask(
    settings: &Settings,
    environment: Option<Environment>,
    name: &'static str,
    question: &Question,
) -> Result<Found, Failure> {
    let (connection, credentials, _) = match environment {
        Some(environment) => settings.provider_in(environment)?,
        None => settings.provider(Endpoint::provider_api)?,
    };
    let endpoint = connection.endpoint.clone();
    let verdict = block_on(try_it(connection, credentials, question))??;
    let Verdict { wrong, status, reason, what, remedy } = verdict;
    Ok(Found {
        environment: name,
        endpoint: endpoint.to_string(),
        works: wrong.is_none(),
        wrong,
        status,
        reason,
        what,
        remedy,
    })
}

struct Verdict {
    wrong: Option<Part>,
    status: Option<u16>,
    reason: Option<String>,
    what: String,
    remedy: Option<String>,
}

impl Verdict {
    fn trouble(part: Part, trouble: &Trouble) -> Self {
        let (what, remedy) = (trouble.cause().to_owned(), trouble.remedy().map(str::to_owned));
        Self { wrong: Some(part), status: None, reason: None, what, remedy }
    }

    fn service(what: impl fmt::Display) -> Self {
        Self { wrong: Some(Part::Service), status: None, reason: None, what: what.to_string(), remedy: None }
    }
}

async fn try_it(connection: Connection, credentials: Credentials, question: &Question) -> Result<Verdict, Failure> {
    let endpoint = connection.endpoint.clone();
    let limit = connection.timeout;
    let mut builder =
        connection.reach(credentials).retry(RetryPolicy::default().with_retries(0)).refusal_policy(RefusalPolicy::Stop);
    if let Some(topic) = &question.topic {
        builder = builder.topic(topic.clone());
    }
    let client = match builder.start() {
        Ok(client) => client,
        Err(error) => {
            return Trouble::start(&endpoint, error)
                .map(|trouble| Verdict::trouble(Part::Certificate, &trouble))
                .map_err(Failure::Start);
        }
    };
    let mut events = client.events();
    let delivery = client.submit(for_nobody()?).await;
    let mut delivery = pin!(tokio::time::timeout(limit + limit / 2, delivery));
    loop {
        tokio::select! {
            // The events first: a failed connection may have ended the notification as well, and says why.
            biased;
            // Once is enough: what is wrong is known.
            Some(event) = events.next() => if let ClientEvent::DialFailed { failure, .. } = &event {
                return Ok(Verdict::trouble(part_of(failure.step), &Trouble::dial(&endpoint, failure)));
            },
            delivery = &mut delivery => {
                return Ok(match delivery {
                    Ok(delivery) => judge(&endpoint, delivery.outcome, question),
                    Err(_) => silent(&endpoint),
                });
            }
        }
    }
}

/// To a token that no device has: there are more of them than devices by far.
fn for_nobody() -> Result<Notification, Failure> {
    let mut token = [0; 32];
    let random = SystemRandom::new().fill(&mut token);
    random.map_err(|_| Failure::Usage("the system gives no random numbers".to_owned()))?;
    let token = DeviceToken::from_bytes(token).expect("32 bytes are a token");
    let payload = Payload::from_json(r#"{"aps":{"content-available":1}}"#).expect("it is JSON");
    Ok(Notification::new(token, payload).with_expiration(Expiration::Immediately))
}

fn silent(endpoint: &Endpoint) -> Verdict {
    Verdict::service(format_args!("{endpoint} took the connection and answered nothing in time"))
}

fn judge(endpoint: &Endpoint, outcome: Outcome, question: &Question) -> Verdict {
    match outcome {
        Outcome::Accepted { .. } => Verdict {
            wrong: None,
            status: Some(200),
            reason: None,
            what:
                "the service took credential and topic; it took a token that no device has as well, as Apple does not"
                    .to_owned(),
            remedy: None,
        },
        Outcome::Rejected(rejection) => rejected(endpoint, &rejection, question),
        Outcome::NotSent { cause: NotSentCause::CredentialRefused(refusal) } => match &*refusal {
            CredentialRefusal::Answer(rejection) => rejected(endpoint, rejection, question),
            CredentialRefusal::GoAway(reason) => {
                let part = part_of_reason(reason, question).unwrap_or(Part::Service);
                let trouble = Trouble::credential(endpoint, &refusal);
                Verdict { reason: Some(reason.to_string()), ..Verdict::trouble(part, &trouble) }
            }
            _ => Verdict::trouble(Part::Certificate, &Trouble::credential(endpoint, &refusal)),
        },
        Outcome::NotSent { cause: NotSentCause::Invalid(error) } => {
            Verdict { wrong: Some(Part::Topic), ..Verdict::service(error) }
        }
        Outcome::NotSent { cause: NotSentCause::NoConnection(_) | NotSentCause::OutOfTime }
        | Outcome::Unknown { .. }
        | Outcome::Expired => silent(endpoint),
        other => Verdict::service(other.word()),
    }
}

fn rejected(endpoint: &Endpoint, rejection: &Rejection, question: &Question) -> Verdict {
    let reason = rejection.reason().to_owned();
    let status = Some(rejection.status());
    let Some(part) = part_of_reason(&reason, question) else {
        let what = match question.by_certificate {
            true => {
                "certificate, topic and environment are right: the service looked for the device, and there is none"
            }
            false => "key, team, topic and environment are right: the service looked for the device, and there is none",
        };
        return Verdict { wrong: None, status, reason: Some(reason), what: what.to_owned(), remedy: None };
    };
    let trouble = Trouble::rejected(endpoint, rejection);
    let remedy = match (&question.other_key_id, part) {
        (Some(named), Part::Key) => {
            Some(format!("The name of the key's file says that its id is {named}; --key-id says another."))
        }
        _ => None,
    };
    let verdict = Verdict::trouble(part, &trouble);
    Verdict { status, reason: Some(reason), remedy: remedy.or(verdict.remedy), ..verdict }
}

/// What an answer says is wrong; nothing where it is about the device token alone.
fn part_of_reason(reason: &str, question: &Question) -> Option<Part> {
    Some(match Reason::from(reason) {
        Reason::BadDeviceToken | Reason::DeviceTokenNotForTopic | Reason::ExpiredToken | Reason::Unregistered => {
            return None;
        }
        Reason::InvalidProviderToken | Reason::MissingProviderToken | Reason::UnrelatedKeyIdInToken => Part::Key,
        Reason::ExpiredProviderToken => Part::Clock,
        Reason::BadEnvironmentKeyIdInToken | Reason::BadCertificateEnvironment => Part::Environment,
        Reason::BadTopic
        | Reason::MissingTopic
        | Reason::TopicDisallowed
        | Reason::TopicMismatch
        | Reason::InvalidPushType => Part::Topic,
        Reason::BadCertificate => Part::Certificate,
        Reason::Forbidden if question.by_certificate => Part::Certificate,
        Reason::Forbidden => Part::Key,
        _ => Part::Service,
    })
}

const fn part_of(step: DialStep) -> Part {
    match step {
        DialStep::ProxyResolve | DialStep::ProxyConnect | DialStep::ProxyTls | DialStep::Proxy => Part::Proxy,
        DialStep::Resolve => Part::Name,
        DialStep::Connect => Part::Network,
        DialStep::Tls => Part::Tls,
        DialStep::Identity | DialStep::Certificate => Part::Certificate,
        DialStep::Protocol => Part::Protocol,
        _ => Part::Network,
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.environment == "host" { "" } else { self.environment };
        let gap = if name.is_empty() { "" } else { " at " };
        match self.wrong {
            None => write!(f, "{name}{gap}{}: works", self.endpoint)?,
            Some(part) => write!(f, "{name}{gap}{}: {part} is wrong", self.endpoint)?,
        }
        write!(f, "\n  {}", self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "\n  {remedy}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_about_the_credential_is_blamed_on_the_service() {
        let question = Question { topic: None, other_key_id: None, by_certificate: false };
        let mut about_us = 0;
        for reason in Reason::KNOWN.iter().filter(|reason| reason.status() == Some(403)) {
            let part = part_of_reason(&reason.to_string(), &question);
            assert!(!matches!(part, None | Some(Part::Service)), "{reason}: {part:?}");
            about_us += 1;
        }
        assert!(about_us > 5);
        for reason in Reason::KNOWN.iter().filter(|reason| reason.status() >= Some(500)) {
            assert_eq!(part_of_reason(&reason.to_string(), &question), Some(Part::Service), "{reason}");
        }
    }
}
