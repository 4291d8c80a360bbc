//! The TOML file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use apns_credentials::disclosure::without_values;
use serde::Deserialize;

use super::app::{FilesToldTo, first_line};
use super::bridge::BridgeSection;
use super::span::Span;
use super::{AppDefinition, Config, ConfigError, PyapnsConfig, Secret, TlsConfig, TokenConfig};
use crate::AppName;
use crate::log::{LogFormat, LogLevel};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    stop_within: Option<Span>,
    #[serde(default)]
    outbox: OutboxSection,
    #[serde(default)]
    api: ApiSection,
    #[serde(default)]
    pyapns: PyapnsSection,
    bridge: Option<BridgeSection>,
    #[serde(default)]
    log: LogSection,
    #[serde(default)]
    token: Vec<TokenSection>,
    #[serde(default)]
    apps: BTreeMap<AppName, AppDefinition>,
}

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
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ApiSection {
    listen: Option<SocketAddr>,
    enabled: Option<bool>,
    tls: Option<TlsSection>,
    max_body: Option<usize>,
    max_line: Option<usize>,
    max_batch: Option<usize>,
    max_connections: Option<usize>,
    max_bodies: Option<usize>,
    max_bodies_per_token: Option<usize>,
    max_requests_per_token: Option<usize>,
    max_streams_per_token: Option<usize>,
    head_within: Option<Span>,
    body_idle: Option<Span>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    listen: SocketAddr,
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct PyapnsSection {
    enabled: Option<bool>,
    listen: Option<SocketAddr>,
    rest_listen: Option<SocketAddr>,
    #[serde(default)]
    local_time: bool,
    #[serde(default)]
    keep_apps: bool,
    app: Option<toml::Table>,
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
    let reader = toml::Deserializer::parse(text).map_err(|error| syntax(text, &error))?;
    let file: File = serde_path_to_error::deserialize(reader)
        .map_err(|error| ConfigError::parsed(&error.path().to_string(), error.inner().message()))?;

    let mut config = Config::new(file.data.map_or_else(|| default_data(base), |data| base.join(data)));
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

    let api = file.api;
    match (api.enabled, api.listen) {
        (Some(false), Some(_)) => {
            return Err(ConfigError::at("api.listen", "it says where, and `enabled` says not at all"));
        }
        (Some(false), None) => config.api.listen = None,
        (_, Some(listen)) => config.api.listen = Some(listen),
        (_, None) => {}
    }
    config.api.tls = api.tls.map(|tls| TlsConfig {
        listen: tls.listen,
        certificate: base.join(tls.certificate),
        key: base.join(tls.key),
    });
    let limits = &mut config.api.limits;
    set(&mut limits.body, at_least("api.max_body", api.max_body, 1024)?);
    set(&mut limits.line, at_least("api.max_line", api.max_line, 1024)?);
    set(&mut limits.batch, at_least("api.max_batch", api.max_batch, 1)?);
    set(&mut limits.connections, at_least("api.max_connections", api.max_connections, 1)?);
    set(&mut limits.bodies, at_least("api.max_bodies", api.max_bodies, limits.body)?);
    limits.token_bodies = limits.bodies.div_ceil(2).max(limits.body);
    set(&mut limits.token_bodies, at_least("api.max_bodies_per_token", api.max_bodies_per_token, limits.body)?);
    limits.token_requests = limits.connections.div_ceil(2);
    set(&mut limits.token_requests, at_least("api.max_requests_per_token", api.max_requests_per_token, 1)?);
    set(&mut limits.token_streams, at_least("api.max_streams_per_token", api.max_streams_per_token, 1)?);
    set(&mut limits.head_within, api.head_within.map(|span| span.0));
    set(&mut limits.body_idle, api.body_idle.map(|span| span.0));

    if file.pyapns.enabled == Some(false) {
        config.pyapns = None;
    } else if let Some(pyapns) = &mut config.pyapns {
        let PyapnsSection { enabled: _, listen, rest_listen, local_time, keep_apps, app } = file.pyapns;
        *pyapns = PyapnsConfig {
            listen: listen.or(pyapns.listen),
            rest_listen: rest_listen.or(pyapns.rest_listen),
            local_time,
            keep_apps,
            app: app.map(|app| app_template(app, base)).transpose()?.map(Box::new),
        };
    }

    config.bridge = file.bridge.map(|bridge| bridge.read(base)).transpose()?.flatten();
    for (index, token) in file.token.into_iter().enumerate() {
        config.tokens.push(read_token(token, base).map_err(|error| error.within(&format!("token[{index}]")))?);
    }
    config.log.format = file.log.format;
    config.log.level = file.log.level;
    if let Some(bridge) = &mut config.bridge {
        bridge.beside_tokens(!config.tokens.is_empty());
    }
    config.apps = file.apps;
    for definition in config.apps.values_mut() {
        definition.rebase(base);
    }
    Ok(config)
}

/// What apps have that are provisioned by pyapns's interfaces. Clients name environment and credential.
fn app_template(mut table: toml::Table, base: &Path) -> Result<AppDefinition, ConfigError> {
    for field in
        ["environment", "certificate", "certificate_data", "key", "key_data", "signing_key", "signing_key_data"]
    {
        if table.contains_key(field) {
            return Err(ConfigError::at(format!("pyapns.app.{field}"), "the client that provisions an app names it"));
        }
    }
    // What every definition has to have; it is never looked at.
    table.insert("environment".to_owned(), "sandbox".into());
    let mut app: AppDefinition = serde_path_to_error::deserialize(table)
        .map_err(|error| ConfigError::parsed(&error.path().to_string(), error.inner().message()))
        .map_err(|error| error.within("pyapns.app"))?;
    app.rebase(base);
    Ok(app)
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

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

pub(super) fn at_least(field: &str, value: Option<usize>, least: usize) -> Result<Option<usize>, ConfigError> {
    match value {
        Some(value) if value < least => Err(ConfigError::at(field, format_args!("it has to be {least} at least"))),
        value => Ok(value),
    }
}

/// A fault of the file as a text. The message alone: the reader's full report shows the line, which may hold a secret.
fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    let line = error.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    ConfigError::whole(format_args!("line {line}: {}", without_values(error.message())))
}
