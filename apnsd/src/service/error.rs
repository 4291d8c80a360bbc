//! Why a service does not take something.

use std::time::Duration;

use apns_lint::Finding;
use apns_proto::InvalidNotification;

use super::later::SendAtError;
use crate::config::EnvironmentChoice;
use crate::outbox::OutboxError;

/// There is no app of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no app of this name")]
pub struct UnknownApp;

/// Why notifications were not accepted. None of them was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// There is no app of this name.
    #[error(transparent)]
    UnknownApp(#[from] UnknownApp),
    /// No service would take this one.
    #[error("{cause}")]
    Invalid {
        /// Its place, from 0.
        index: usize,
        /// Why.
        cause: InvalidNotification,
    },
    /// A device would drop it, and the app's `validate` says to refuse such ones.
    #[error("a device would drop the payload: {}", told(findings))]
    Payload {
        /// Its place, from 0.
        index: usize,
        /// What is wrong, the worst first. Keys are named, and no value.
        findings: Vec<Finding>,
    },
    /// It cannot be sent at the time that its caller wants.
    #[error("{cause}")]
    SendAt {
        /// Its place, from 0.
        index: usize,
        /// Why.
        cause: SendAtError,
    },
    /// The app does not send to the environment that the caller named; `auto` needs both.
    #[error("{}", lacks(*environment))]
    Environment {
        /// Its place, from 0.
        index: usize,
        /// What was named.
        environment: EnvironmentChoice,
    },
    /// Its idempotency key was given before, with another notification.
    #[error("the idempotency key was given before, with another notification")]
    KeyReused {
        /// Its place, from 0.
        index: usize,
    },
    /// The app takes no more at the moment: its rate limit.
    #[error("too many notifications for this app: try again in {} s", .wait.as_secs_f64().ceil())]
    TooFast {
        /// How long to wait.
        wait: Duration,
    },
    /// The outbox is full, or fails.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

const fn lacks(environment: EnvironmentChoice) -> &'static str {
    match environment {
        EnvironmentChoice::Production => "the app does not send to production: give it a credential for it",
        EnvironmentChoice::Sandbox => "the app does not send to the sandbox: give it a credential for it",
        EnvironmentChoice::Auto => "`auto` needs an app that sends to both environments",
    }
}

fn told(findings: &[Finding]) -> String {
    let one = |finding: &Finding| match &*finding.at {
        "" => finding.what.clone(),
        at => format!("{at}: {}", finding.what),
    };
    findings.iter().map(one).collect::<Vec<_>>().join("; ")
}
