//! Whether a client certificate can be used, said before it is: the same to those who check a file, to those who check a
//! configuration, and to those who send.

use apns_proto::{Environment, WallTime};

use crate::{
    certificate::{Certificate, CertificateEnvironment},
    error::{IdentityError, date},
    private_key,
    validity::Validity,
};

/// What a certificate is to be used for, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Purpose<'a> {
    /// The topic of the notifications.
    pub topic: Option<&'a str>,
    /// Where they go.
    pub environment: Option<Environment>,
}

impl<'a> Purpose<'a> {
    /// For notifications of this topic.
    #[must_use]
    pub const fn with_topic(self, topic: Option<&'a str>) -> Self {
        Self { topic, ..self }
    }

    /// For this environment.
    #[must_use]
    pub const fn with_environment(self, environment: Option<Environment>) -> Self {
        Self { environment, ..self }
    }
}

/// What there is to say about a client certificate before it is used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Verdict {
    /// Why it cannot be used. A client refuses to start for each of them.
    pub problems: Vec<IdentityError>,
    /// What may be wrong. A client starts all the same: the server has the last word.
    pub warnings: Vec<IdentityWarning>,
}

/// Something about a client certificate that may be a mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityWarning {
    /// It is near its end: see [`Validity::SOON`].
    #[error("the certificate of {subject} expires soon, at {}: renew it", date(*at))]
    ExpiresSoon {
        /// Its subject.
        subject: String,
        /// The last second at which it is valid.
        at: WallTime,
    },
    /// It is none of Apple's push certificates.
    #[error(
        "the certificate of {subject} is no push certificate of Apple: it names neither a topic nor an environment"
    )]
    NoPushCertificate {
        /// Its subject.
        subject: String,
    },
    /// The topic is not the one in its name, and it has no list of topics.
    #[error("the certificate is not for the topic {topic}, only for {}", topics.join(", "))]
    OtherTopic {
        /// The topic.
        topic: String,
        /// Those that it is for.
        topics: Vec<String>,
    },
    /// It is for the other environment.
    #[error("the certificate is for {} only", match certificate {
        CertificateEnvironment::Development => "the sandbox",
        CertificateEnvironment::Production | CertificateEnvironment::Both => "production",
    })]
    OtherEnvironment {
        /// The environment that it is for.
        certificate: CertificateEnvironment,
    },
}

/// A topic may be given without the suffix that its push type adds.
fn is_for(allowed: &str, topic: &str) -> bool {
    allowed.strip_prefix(topic).is_some_and(|suffix| suffix.is_empty() || suffix.starts_with('.'))
}

impl Certificate {
    /// Whether it can be used as a client certificate, as far as that can be known without its key.
    ///
    /// Who issued it, its version, its policies and its extensions are not judged: that is for the server.
    #[must_use]
    pub fn judge(&self, purpose: Purpose<'_>, now: WallTime) -> Verdict {
        let mut verdict = Verdict::default();
        let subject = || self.subject().to_owned();
        match self.validity(now) {
            Validity::Ok => {}
            Validity::ExpiresSoon { at } => {
                verdict.warnings.push(IdentityWarning::ExpiresSoon { subject: subject(), at });
            }
            Validity::Expired { at } => verdict.problems.push(IdentityError::Expired { subject: subject(), at }),
            Validity::NotYet { at } => verdict.problems.push(IdentityError::NotYetValid { subject: subject(), at }),
        }
        if self.signs_code() {
            verdict.problems.push(IdentityError::CodeSigning { subject: subject() });
        } else if self.topics().is_empty() && self.environment().is_none() {
            verdict.warnings.push(IdentityWarning::NoPushCertificate { subject: subject() });
        }
        verdict.problems.extend(private_key::ensure_supported(self.public_key()).err());
        if let Some(topic) = purpose.topic
            && !self.topics().is_empty()
            && !self.topics().iter().any(|allowed| is_for(allowed, topic))
        {
            let (topic, topics) = (topic.to_owned(), self.topics().to_vec());
            if self.lists_topics() {
                verdict.problems.push(IdentityError::OtherTopic { topic, topics });
            } else {
                verdict.warnings.push(IdentityWarning::OtherTopic { topic, topics });
            }
        }
        if let (Some(environment), Some(certificate)) = (purpose.environment, self.environment()) {
            let suits = match environment {
                Environment::Production => certificate.allows_production(),
                Environment::Sandbox => certificate.allows_development(),
            };
            if !suits {
                verdict.warnings.push(IdentityWarning::OtherEnvironment { certificate });
            }
        }
        verdict
    }
}
