//! The TOML file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::app::{FilesToldTo, first_line};
use super::span::Span;
use super::store::StoreSection;
use super::toml_text::{ChosenNames, toml_reader};
use super::{AppDefinition, Config, ConfigError, Secret, StoreConfig, TokenConfig};
use crate::AppName;
use crate::interface::{Interface, interfaces};
use crate::log::{LogFormat, LogLevel};
use crate::webhook::{self, WebhookSection};

macro_rules! file {
    ($($(#[$doc:meta])* $name:ident: $interface:ty,)*) => {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            data: Option<PathBuf>,
            stop_within: Option<Span>,
            #[serde(default)]
            outbox: OutboxSection,
            store: Option<StoreSection>,
            $($name: Option<<$interface as Interface>::Table>,)*
            #[serde(default)]
            log: LogSection,
            #[serde(default)]
            token: Vec<TokenSection>,
            #[serde(default)]
            webhook: Vec<WebhookSection>,
            #[serde(default)]
            apps: BTreeMap<AppName, AppDefinition>,
        }

        impl File {
            fn read_interfaces(&mut self, config: &mut Config, base: &Path) -> Result<(), ConfigError> {
                $(config.$name = Interface::read(self.$name.take(), base)?;)*
                Ok(())
            }
        }
    };
}
interfaces!(file!);

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LogSection {
    #[serde(default)]
    format: LogFormat,
    #[serde(default)]
    level: LogLevel,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct OutboxSection {
    max_notifications: Option<u64>,
    max_per_app: Option<u64>,
    max_bytes: Option<u64>,
    keep_outcomes: Option<Span>,
    keep_bytes: Option<u64>,
    keep_invalid_tokens: Option<Span>,
    keep_idempotency_keys: Option<Span>,
    tokens: Option<KeptTokens>,
}

/// What is kept of device tokens, so that notifications are found by them.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KeptTokens {
    /// A keyed hash.
    Hash,
    /// Nothing.
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenSection {
    name: String,
    secret: Option<Secret>,
    file: Option<PathBuf>,
    apps: Option<Vec<AppName>>,
    #[serde(default)]
    admin: bool,
}

/// Where the outbox is if nobody says: where systemd wants it, otherwise beside the file.
pub(super) fn default_data(base: &Path) -> PathBuf {
    std::env::var_os("STATE_DIRECTORY").map_or_else(|| base.join("apnsd-data"), PathBuf::from)
}

pub(super) fn parse(text: &str, base: &Path) -> Result<Config, ConfigError> {
    let reader = toml_reader(text, ChosenNames::In("apps")).map_err(ConfigError::whole)?;
    let mut file: File = serde_path_to_error::deserialize(reader)
        .map_err(|error| ConfigError::parsed(&error.path().to_string(), error.inner().message()))?;

    let mut config = Config::new(file.data.take().map_or_else(|| default_data(base), |data| base.join(data)));
    config.store = file.store.take().map(|store| StoreConfig::read(store, base));
    file.read_interfaces(&mut config, base)?;
    if let Some(span) = file.stop_within {
        config.stop_within = span.0;
    }
    let outbox = file.outbox;
    let bounds = &mut config.bounds;
    set(&mut bounds.notifications, outbox.max_notifications);
    bounds.per_app = outbox.max_per_app.unwrap_or_else(|| bounds.per_app.min(bounds.notifications.div_ceil(2)));
    set(&mut bounds.bytes, outbox.max_bytes);
    set(&mut bounds.outcomes, outbox.keep_outcomes.map(|span| span.0));
    set(&mut bounds.outcome_bytes, outbox.keep_bytes);
    set(&mut bounds.gone_tokens, outbox.keep_invalid_tokens.map(|span| span.0));
    set(&mut bounds.idempotency, outbox.keep_idempotency_keys.map(|span| span.0));
    set(&mut bounds.tokens, outbox.tokens.map(|kept| kept == KeptTokens::Hash));

    for (index, token) in file.token.into_iter().enumerate() {
        config.tokens.push(read_token(token, base).map_err(|error| error.within(&format!("token[{index}]")))?);
    }
    config.webhooks = webhook::read(file.webhook, base)?;
    config.log.format = file.log.format;
    config.log.level = file.log.level;
    config.apps = file.apps;
    for definition in config.apps.values_mut() {
        definition.rebase(base);
    }
    Ok(config)
}

fn read_token(token: TokenSection, base: &Path) -> Result<TokenConfig, ConfigError> {
    let TokenSection { name, secret, file, apps, admin } = token;
    let secret = match (secret, file) {
        (Some(secret), None) => secret,
        (None, Some(file)) => first_line("file", &base.join(file), FilesToldTo::Owner)?,
        (Some(_), Some(_)) => return Err(ConfigError::at("secret", "give a secret or a file, not both")),
        (None, None) => return Err(ConfigError::at("secret", "a secret or a file is needed")),
    };
    if apps.is_none() && !admin {
        return Err(ConfigError::at("apps", "say for which apps it is, or that it is for everything: admin = true"));
    }
    Ok(TokenConfig { name, secret, apps, admin })
}

pub(crate) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

pub(crate) fn at_least(field: &str, value: Option<usize>, least: usize) -> Result<Option<usize>, ConfigError> {
    match value {
        Some(value) if value < least => Err(ConfigError::at(field, format_args!("it has to be {least} at least"))),
        value => Ok(value),
    }
}
