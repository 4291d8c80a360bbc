//! Apps, as clients of pyapns provision them.

use std::time::Duration;

use apns_tokio::Environment;

use super::Pyapns;
use crate::AppName;
use crate::config::{AppDefinition, EnvironmentWord, Secret, certificate_or_path};
use crate::service::{AppInfo, ProvisionError};

/// How long clients of pyapns let a notification wait for a connection when they say nothing.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);
/// Longer than anybody means.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a client tells of an app.
pub(super) struct Provision {
    pub(super) environment: Environment,
    /// PEM with the key, or the path of such a file.
    pub(super) certificate: Secret,
    pub(super) timeout: Duration,
}

/// Reads the name of an environment.
pub(super) fn environment(text: &str) -> Option<Environment> {
    match text {
        "production" => Some(EnvironmentWord::Production.into()),
        "sandbox" => Some(EnvironmentWord::Sandbox.into()),
        _ => None,
    }
}

/// A number of seconds, as long as it makes sense as a timeout.
pub(super) fn timeout(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok().map(|span| span.min(LONGEST_TIMEOUT))
}

impl Pyapns {
    /// Provisions an app, or replaces what it is. What the client does not tell comes from the configuration: from the
    /// app of this name, or from what apps have that are provisioned here.
    pub(super) async fn provision(&self, name: &AppName, told: Provision) -> Result<AppInfo, ProvisionError> {
        let settings = &self.0.settings;
        let filed = self.service().filed(name);
        if settings.keep_apps && filed.is_some() {
            return Ok(self.service().info(name)?);
        }
        let mut definition: AppDefinition = certificate_or_path(told.environment, &told.certificate);
        if let Some(rest) = filed.or_else(|| settings.app.as_deref().cloned()) {
            definition = definition.with_the_rest_of(rest);
        }
        self.service().provision(name, definition.with_patience(told.timeout)).await
    }
}
