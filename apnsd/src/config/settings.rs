//! Every setting of the configuration file, for documents: its name, what it takes, and what it means.
//!
//! Tests hold this against what the reader takes: the names, the presets, and both ends of each range.

use std::fmt;
use std::time::Duration;

use super::span::LONGEST;
use crate::span;

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// The path of a file; a relative one begins at the directory of the configuration.
    File,
    /// The path of a directory.
    Directory,
    /// An address of this machine with its port.
    Address,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number {
        /// The least.
        least: u64,
        /// The most, where there is one.
        most: Option<u64>,
    },
    /// A number of bytes.
    Bytes {
        /// The least.
        least: u64,
        /// The most, where there is one.
        most: Option<u64>,
    },
    /// A span of time, in both ends.
    Span {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A table of its own.
    Table,
}

impl Kind {
    /// The name of what it takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "text, secret",
            Self::File => "file",
            Self::Directory => "directory",
            Self::Address => "address with port",
            Self::Flag => "flag",
            Self::Number { .. } => "number",
            Self::Bytes { .. } => "bytes",
            Self::Span { .. } => "duration",
            Self::Word(_) => "word",
            Self::Texts => "list of texts",
            Self::Table => "table",
        }
    }

    /// What values are possible, where the name does not say it.
    #[must_use]
    pub fn range(self) -> String {
        let ends = |least: &dyn fmt::Display, most: Option<u64>| match most {
            Some(most) => format!("{least} to {most}"),
            None => format!("{least} or more"),
        };
        match self {
            Self::Number { least, most } | Self::Bytes { least, most } => ends(&least, most),
            Self::Span { least, most } if least.is_zero() => format!("0 to {}", span::text(most)),
            Self::Span { least, most } => format!("{} to {}", span::text(least), span::text(most)),
            Self::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Self::Flag => "`true`, `false`".to_owned(),
            _ => String::new(),
        }
    }
}

/// What holds where a file does not name a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// This value, as it would stand in the file.
    Value(&'static str),
    /// What these words say.
    Words(&'static str),
    /// Nothing.
    Nothing,
    /// It has to be there.
    Required,
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "`{}`", value.trim_matches('"')),
            Self::Words(words) => f.write_str(words),
            Self::Nothing => Ok(()),
            Self::Required => f.write_str("has to be given"),
        }
    }
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its name, with `_` between words.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds without it.
    pub preset: Preset,
    /// What it is.
    pub meaning: &'static str,
}

/// A table of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingsTable {
    /// How it begins in the file: `[api]`, `[[token]]`, `[apps.NAME]`; empty for what stands before all tables.
    pub heading: &'static str,
    /// What it is.
    pub meaning: &'static str,
    /// What it holds.
    pub settings: &'static [Setting],
}

/// All tables of the TOML file.
#[must_use]
pub const fn tables() -> &'static [SettingsTable] {
    TABLES
}

const fn setting(name: &'static str, kind: Kind, preset: Preset, meaning: &'static str) -> Setting {
    Setting { name, kind, preset, meaning }
}

const fn table(heading: &'static str, meaning: &'static str, settings: &'static [Setting]) -> SettingsTable {
    SettingsTable { heading, meaning, settings }
}

const ANY: Kind = Kind::Number { least: 0, most: None };
const ONE_OR_MORE: Kind = Kind::Number { least: 1, most: None };
const PORT: Kind = Kind::Number { least: 1, most: Some(65_535) };
const BYTES: Kind = Kind::Bytes { least: 0, most: None };
const WITHIN: Kind = Kind::Span { least: Duration::from_millis(100), most: Duration::from_secs(5 * 60) };
const SPAN: Kind = Kind::Span { least: Duration::ZERO, most: LONGEST };

use Kind::{Address, Directory, File, Flag, Secret, Table, Text, Texts, Word};
use Preset::{Nothing, Required, Value, Words};

/// The table of a port with TLS.
const TLS_PORT: &[Setting] = &[
    setting("listen", Address, Required, "The address of the port."),
    setting("certificate", File, Required, "The certificate and its chain, in PEM."),
    setting("key", File, Required, "The key of the certificate, in PEM."),
];

const TABLES: &[SettingsTable] = &[
    table(
        "",
        "Before all tables.",
        &[
            setting(
                "data",
                Directory,
                Words("`$STATE_DIRECTORY`, else `apnsd-data` beside the file"),
                "The directory of the outbox; created with access for its owner only.",
            ),
            setting("stop_within", SPAN, Value("\"20s\""), "How long a graceful stop may take."),
        ],
    ),
    table(
        "[outbox]",
        "How much the outbox holds, and for how long.",
        &[
            setting(
                "max_notifications",
                ANY,
                Value("1000000"),
                "The most notifications without an outcome, in all apps.",
            ),
            setting("max_per_app", ANY, Words("half of `max_notifications`"), "The same for one app."),
            setting(
                "max_bytes",
                BYTES,
                Value("4294967296"),
                "The most bytes of notifications without an outcome, in all apps.",
            ),
            setting("keep_outcomes", SPAN, Value("\"7d\""), "How long outcomes are kept."),
            setting(
                "keep_bytes",
                BYTES,
                Value("4294967296"),
                "The approximate size of the stored outcomes; beyond it the oldest are deleted earlier. Checked once a minute.",
            ),
            setting("keep_invalid_tokens", SPAN, Value("\"90d\""), "How long invalid device tokens are kept."),
            setting("keep_idempotency_keys", SPAN, Value("\"1d\""), "How long idempotency keys are kept."),
            setting(
                "tokens",
                Word(&["hash", "none"]),
                Value("\"hash\""),
                "What is kept of a device token beside the outcome: `hash`, a keyed hash, so that notifications are found by \
                 their device token; `none`, nothing.",
            ),
        ],
    ),
    table(
        "[store]",
        "One PostgreSQL, version 15 or later, for the outbox of several daemons, in place of the outbox file in `data`: see \
         [several daemons](cluster.md). It needs a program that was built with the feature `postgres`.",
        &[
            setting(
                "url",
                Text,
                Required,
                "Where it is, and as whom: `postgres://apnsd@db1,db2/apnsd?sslmode=verify-full`. On another machine \
                 `sslmode=verify-full` is required. The password is in `password_file`.",
            ),
            setting("password_file", File, Nothing, "The file with the password of the role, in its first line."),
            setting(
                "ca",
                File,
                Words("those of the system"),
                "The certificate authorities that vouch for the server, in PEM.",
            ),
            setting(
                "node",
                Text,
                Words("the name of the host"),
                "The name of this daemon among the others; each has its own.",
            ),
            setting(
                "lease",
                Kind::Span { least: super::store::LEASE.0, most: super::store::LEASE.1 },
                Value("\"20s\""),
                "How long this daemon may be silent until the others take over what it delivers.",
            ),
            setting(
                "connections",
                Kind::Number {
                    least: super::store::CONNECTIONS.0 as u64,
                    most: Some(super::store::CONNECTIONS.1 as u64),
                },
                Value("8"),
                "How many connections it has to the server.",
            ),
        ],
    ),
    table(
        "[api]",
        "The JSON API and the status page. `max_body`, `max_connections`, `head_within` and `body_idle` hold for the ports \
         of pyapns as well.",
        &[
            setting("enabled", Flag, Value("true"), "`false` switches the port without TLS off."),
            setting("listen", Address, Value("\"127.0.0.1:7080\""), "The address of the port without TLS."),
            setting("tls", Table, Nothing, "`[api.tls]`: a port with TLS, beside or in place of the other."),
            setting(
                "max_body",
                Kind::Bytes { least: 1024, most: None },
                Value("16777216"),
                "The largest body of a request other than JSON lines.",
            ),
            setting("max_line", Kind::Bytes { least: 1024, most: None }, Value("65536"), "The longest JSON line."),
            setting(
                "max_batch",
                ONE_OR_MORE,
                Value("10000"),
                "The most notifications in an array; reading stops at the first one beyond it. Calls to the pyapns interfaces are \
                 stored 5000 at a time.",
            ),
            setting(
                "max_connections",
                ONE_OR_MORE,
                Value("800"),
                "The most connections of a port. A new connection replaces the one that is idle for the longest time. If all are \
                 busy, eight more are accepted, for `/healthz` and `/readyz` only.",
            ),
            setting(
                "max_bodies",
                Kind::Bytes { least: 16 << 20, most: None },
                Value("268435456"),
                "The most bytes of request bodies in memory at a time, except JSON lines; beyond it 503. At least `max_body`.",
            ),
            setting(
                "max_bodies_per_token",
                Kind::Bytes { least: 16 << 20, most: None },
                Words("half of `max_bodies`"),
                "The same for one access token. At least `max_body`.",
            ),
            setting(
                "max_requests_per_token",
                ONE_OR_MORE,
                Words("half of `max_connections`"),
                "The most requests of one access token at a time; beyond it 429.",
            ),
            setting("max_streams_per_token", ONE_OR_MORE, Value("100"), "The most event streams of one access token."),
            setting(
                "head_within",
                SPAN,
                Value("\"15s\""),
                "The time limit for the head of a request, and for idle connections.",
            ),
            setting("body_idle", SPAN, Value("\"30s\""), "How long a body may be without a new byte."),
        ],
    ),
    table("[api.tls]", "A port with TLS.", TLS_PORT),
    table(
        "[provider_api]",
        "Apple's provider API, for clients that get this machine's address in place of Apple's: HTTP/2 and HTTP/1.1. \
         `max_connections`, `head_within` and `body_idle` of `[api]` hold here as well.",
        &[
            setting("listen", Address, Nothing, "The address of the port without TLS."),
            setting("tls", Table, Nothing, "`[provider_api.tls]`: a port with TLS, beside or in place of the other."),
            setting(
                "answer_within",
                Kind::Span { least: Duration::ZERO, most: Duration::from_secs(300) },
                Value("\"30s\""),
                "How long a caller waits for Apple's answer.",
            ),
            setting(
                "max_streams",
                Kind::Number { least: 1, most: Some(u32::MAX as u64) },
                Value("1000"),
                "The most requests at a time on one connection of HTTP/2.",
            ),
            setting(
                "max_requests",
                ONE_OR_MORE,
                Value("20000"),
                "The most requests at a time on all connections. One access token may have half of them. Beyond it the answer is 429.",
            ),
        ],
    ),
    table("[provider_api.tls]", "A port with TLS.", TLS_PORT),
    table(
        "[pyapns]",
        "The interfaces of pyapns. Requests of web pages of other sites are refused there (`Origin`, `Sec-Fetch-Site`), with \
         access tokens and without.",
        &[
            setting("enabled", Flag, Value("true"), "`false` switches both interfaces off."),
            setting("listen", Address, Value("\"127.0.0.1:7077\""), "The XML-RPC interface."),
            setting("rest_listen", Address, Value("\"127.0.0.1:8088\""), "The REST interface."),
            setting(
                "local_time",
                Flag,
                Value("false"),
                "Whether feedback over XML-RPC has dates in this machine's local time, as in pyapns 0.4.1, and not in UTC.",
            ),
            setting(
                "keep_apps",
                Flag,
                Value("false"),
                "Whether apps of this file stay unchanged when a client provisions them.",
            ),
            setting(
                "app",
                Table,
                Nothing,
                "`[pyapns.app]`, like `[apps.NAME]`: the other settings of apps that clients provision; the clients give \
                 environment, certificate and timeout.",
            ),
        ],
    ),
    table(
        "[bridge]",
        "The bridge for clients of the binary protocol. The presence of the table starts it.",
        &[
            setting("enabled", Flag, Value("true"), "`false` switches the bridge off."),
            setting("listen", Address, Value("\"127.0.0.1:2195\""), "The address of the push gateway."),
            setting("feedback_listen", Address, Value("\"127.0.0.1:2196\""), "The address of the feedback service."),
            setting(
                "certificate",
                File,
                Words("made in `bridge-tls` of the data directory"),
                "The server certificate, in PEM; use RSA if clients support nothing else.",
            ),
            setting("key", File, Nothing, "The key of `certificate`, in PEM."),
            setting("names", Texts, Nothing, "More host names for the certificate that the bridge makes."),
            setting(
                "errors",
                Word(&["frame", "feedback"]),
                Value("\"frame\""),
                "What becomes of a bad device token: an error response, or a place in the feedback list.",
            ),
            setting(
                "by_topic",
                Flag,
                Words("`true` if only this machine can connect and there is no `[[token]]`"),
                "Whether the topic in a client certificate identifies the app.",
            ),
            setting(
                "max_payload",
                Kind::Bytes { least: 2, most: Some(5120) },
                Value("2048"),
                "The largest payload; 4096 is the limit of the HTTP/2 provider API.",
            ),
            setting(
                "max_connections",
                ONE_OR_MORE,
                Value("800"),
                "The most connections of each port, without those in the TLS handshake; of these at most 128 are open at a time.",
            ),
            setting("handshake_within", SPAN, Value("\"15s\""), "The time limit for the TLS handshake."),
            setting(
                "idle",
                SPAN,
                Value("\"1d\""),
                "How long a connection may be idle. What an old client writes to a closed connection is lost, so prefer a long time.",
            ),
            setting("client", Table, Nothing, "`[[bridge.client]]`: which clients belong to which apps."),
        ],
    ),
    table(
        "[[bridge.client]]",
        "A client of the bridge: its app, and one of the others.",
        &[
            setting("app", Text, Required, "The app that it sends for."),
            setting("fingerprint", Text, Nothing, "The SHA-256 of its certificate, 64 hexadecimal digits."),
            setting("certificate", File, Nothing, "Its certificate, in PEM."),
            setting("topic", Text, Nothing, "A topic that its certificate names."),
        ],
    ),
    table(
        "[log]",
        "The log, on standard error.",
        &[
            setting("format", Word(&["text", "json"]), Value("\"text\""), "A line of text for each event, or of JSON."),
            setting(
                "level",
                Word(&["error", "warn", "info", "debug"]),
                Value("\"info\""),
                "How much it has: each word has what those before it have.",
            ),
        ],
    ),
    table(
        "[[token]]",
        "An access token: `secret` or `file`, and `apps` or `admin`.",
        &[
            setting("name", Text, Required, "A name for your own use."),
            setting("secret", Secret, Nothing, "The token, 16 characters or more."),
            setting("file", File, Nothing, "A file whose first line is the token."),
            setting("apps", Texts, Nothing, "The apps that it gives access to."),
            setting("admin", Flag, Value("false"), "Access to everything: all apps, and provisioning."),
        ],
    ),
    table(
        "[[webhook]]",
        "Who is told of outcomes: see [webhooks](daemon.md#webhooks).",
        &[
            setting(
                "name",
                Text,
                Required,
                "Its name: letters, digits, `.`, `_` and `-`. Its place among the outcomes is kept under this name.",
            ),
            setting(
                "url",
                Text,
                Required,
                "Where outcomes are sent. `http://` is used only for addresses that `allow` names.",
            ),
            setting(
                "secret_files",
                Texts,
                Required,
                "Files whose first lines are secrets, `whsec_` and 24 to 64 bytes in base64. Each request is signed with all \
                 of them, at most 5.",
            ),
            setting("apps", Texts, Words("all apps"), "The apps whose outcomes it is told."),
            setting(
                "only",
                Word(&["all", "failures", "dropped_tokens"]),
                Value("\"all\""),
                "Which outcomes it is told: all, those that are not `accepted`, or those that say that a device token is no \
                 longer valid.",
            ),
            setting(
                "from",
                Word(&["newest", "beginning"]),
                Value("\"newest\""),
                "Where a webhook begins that is new: with the outcomes that come from then on, or with the oldest that is kept.",
            ),
            setting(
                "allow",
                Texts,
                Nothing,
                "Addresses, or ranges such as `10.0.0.0/8`, that it may be at although they are not public.",
            ),
            setting("ca", File, Words("the system's authorities"), "The certificate authorities to trust, in PEM."),
            setting(
                "max_batch",
                Kind::Number { least: 1, most: Some(10_000) },
                Value("1000"),
                "The most outcomes in one request.",
            ),
            setting(
                "max_body",
                Kind::Bytes { least: 1024, most: Some(16 << 20) },
                Value("1048576"),
                "The most bytes of outcomes in one request that has more than one.",
            ),
            setting(
                "wait",
                Kind::Span { least: Duration::ZERO, most: Duration::from_secs(60 * 60) },
                Value("\"500ms\""),
                "How long a request that is not full waits for more outcomes.",
            ),
            setting("connect_within", WITHIN, Value("\"5s\""), "The time limit for a connection, with TLS."),
            setting("answer_within", WITHIN, Value("\"30s\""), "The time limit for an answer."),
        ],
    ),
    table(
        "[apps.NAME]",
        "An app. `NAME` is what callers name it by. A certificate or a signing key is needed.",
        &[
            setting(
                "environment",
                Word(&["production", "sandbox", "auto"]),
                Required,
                "Which of Apple's environments notifications go to that name none (`sandbox` is `development` as well); with \
                 `auto` the daemon finds out where each device token belongs: see [both \
                 environments](daemon.md#both-environments).",
            ),
            setting("production", Table, Nothing, "`[apps.NAME.production]`: what is for production alone."),
            setting("sandbox", Table, Nothing, "`[apps.NAME.sandbox]`: what is for the sandbox alone."),
            setting(
                "wrong_probes",
                Kind::Number { least: 1, most: Some(10_000) },
                Value("100"),
                "How many device tokens the wrong environment is asked for in a minute at most, with `auto`; others wait.",
            ),
            setting("certificate", File, Nothing, "The client certificate: PEM or PKCS#12."),
            setting("certificate_data", Secret, Nothing, "The certificate itself: PEM, or PKCS#12 in base64."),
            setting("key", File, Nothing, "The key of the certificate in PEM, where it has a file of its own."),
            setting("key_data", Secret, Nothing, "That key itself."),
            setting("password", Secret, Nothing, "The password of the key or of the PKCS#12 file."),
            setting("password_file", File, Nothing, "A file whose first line is that password."),
            setting(
                "signing_key",
                File,
                Nothing,
                "The key for provider tokens (`.p8`); `key_id` and `team_id` go with it.",
            ),
            setting("signing_key_data", Secret, Nothing, "That key itself."),
            setting("key_id", Text, Nothing, "The id of the signing key: ten characters."),
            setting("team_id", Text, Nothing, "The id of the team that the key belongs to: ten characters."),
            setting("topic", Text, Words("what the certificate tells"), "The topic of notifications that name none."),
            setting(
                "transport",
                Word(&["http2", "binary"]),
                Value("\"http2\""),
                "The HTTP/2 provider API, or the binary protocol for a private gateway.",
            ),
            setting("host", Text, Words("Apple's for the environment"), "The server."),
            setting("port", PORT, Words("443; 2195 with `binary`"), "The port there."),
            setting("ca", File, Words("the system's authorities"), "The certificate authorities to trust, in PEM."),
            setting(
                "proxy",
                Secret,
                Nothing,
                "The URL of the [proxy](proxies.md) to go through, or `environment` for the one that the daemon's environment \
                 names.",
            ),
            setting(
                "proxy_password_file",
                File,
                Nothing,
                "A file whose first line is the password of the user in that URL.",
            ),
            setting(
                "proxy_ca",
                File,
                Words("the system's authorities"),
                "The authorities to trust for a proxy with `https://`, in PEM.",
            ),
            setting(
                "feedback_host",
                Text,
                Words("Apple's for the environment"),
                "The feedback service, with `binary`.",
            ),
            setting("feedback_port", PORT, Words("2196"), "The port there."),
            setting(
                "feedback_every",
                Kind::Span { least: Duration::from_secs(1), most: LONGEST },
                Value("\"1h\""),
                "How often the feedback service is read.",
            ),
            setting("connections", Kind::Number { least: 1, most: Some(64) }, Value("1"), "How many connections."),
            setting(
                "in_flight",
                Kind::Number { least: 1, most: Some(200_000) },
                Words("2000 for each connection; 20 000 with `binary`"),
                "How many notifications may be in flight at once; never more than the peer has streams for.",
            ),
            setting(
                "patience",
                SPAN,
                Value("\"1m\""),
                "How long a notification waits for a connection in one attempt, at least 100 ms; then it returns to the outbox and waits again.",
            ),
            setting(
                "retry",
                Table,
                Nothing,
                "`[apps.NAME.retry]`: what is sent again after a refusal for the time being.",
            ),
            setting(
                "loss",
                Word(&["report", "resend"]),
                Value("\"report\""),
                "Whether a notification that may have arrived is reported as unknown or sent again.",
            ),
            setting("resend_at_most", ANY, Words("3"), "How often it is sent again, with `loss = \"resend\"`."),
            setting(
                "validate",
                Word(&["off", "warn", "refuse"]),
                Value("\"off\""),
                "What becomes of a payload that a device would drop: see [what a device drops](daemon.md#what-a-device-drops).",
            ),
            setting(
                "provider_api",
                Word(&["through", "stored"]),
                Value("\"through\""),
                "What [Apple's provider API](daemon.md#apples-provider-api) answers here: Apple's answer, or 200 once the \
                 notification is on disk.",
            ),
            setting(
                "rate",
                ONE_OR_MORE,
                Nothing,
                "The most notifications per second from callers; the notifications of one second may arrive at once. Without it there is no limit.",
            ),
            setting(
                "send_rate",
                ONE_OR_MORE,
                Nothing,
                "The most notifications per second that are sent to the service, in steps of a tenth of a second; the others wait in the outbox.",
            ),
        ],
    ),
    table(
        "[apps.NAME.production]",
        "What an app has for production alone. Without a certificate or a signing key here the credential is that of \
         `[apps.NAME]`.",
        ENVIRONMENT,
    ),
    table("[apps.NAME.sandbox]", "The same for the sandbox.", ENVIRONMENT),
    table(
        "[apps.NAME.retry]",
        "What is sent again after the service refused it for the time being.",
        &[
            setting("attempts", ANY, Value("5"), "How often; 0 for never."),
            setting(
                "within",
                SPAN,
                Value("\"1d\""),
                "For how long after it was taken, or after its `send_at`; also how far ahead `send_at` may be.",
            ),
            setting("longest_wait", SPAN, Value("\"1h\""), "Between two attempts, unless the service asks for more."),
        ],
    ),
];

/// What an environment of an app has for itself.
const ENVIRONMENT: &[Setting] = &[
    setting("certificate", File, Nothing, "The client certificate: PEM or PKCS#12."),
    setting("certificate_data", Secret, Nothing, "The certificate itself: PEM, or PKCS#12 in base64."),
    setting("key", File, Nothing, "The key of the certificate in PEM, where it has a file of its own."),
    setting("key_data", Secret, Nothing, "That key itself."),
    setting("password", Secret, Nothing, "The password of the key or of the PKCS#12 file."),
    setting("password_file", File, Nothing, "A file whose first line is that password."),
    setting("signing_key", File, Nothing, "The key for provider tokens (`.p8`); `key_id` goes with it."),
    setting("signing_key_data", Secret, Nothing, "That key itself."),
    setting("key_id", Text, Nothing, "The id of the signing key: ten characters."),
    setting("team_id", Text, Words("that of `[apps.NAME]`"), "The id of the team that the key belongs to."),
    setting("host", Text, Words("Apple's for the environment"), "The server."),
    setting("port", PORT, Words("443"), "The port there."),
];

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::LazyLock;

    use super::super::Config;
    use super::*;

    /// The names that the reader says it would have taken in a table.
    fn taken(heading: &str) -> Vec<String> {
        let text = format!("{}\nno_such_name = 1\n", heading.replace("NAME", "shop"));
        let text =
            if heading == "[apps.NAME]" { text.replacen('\n', "\nenvironment = \"sandbox\"\n", 1) } else { text };
        let problem = Config::parse(&text, Path::new("/etc/apnsd")).unwrap_err().problem;
        let (_, expected) = problem.split_once("expected").unwrap_or_else(|| panic!("{heading}: {problem}"));
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn the_names_are_those_that_the_reader_takes() {
        for table in TABLES {
            let mut taken = taken(table.heading);
            if table.heading.is_empty() {
                let is_table = |name: &String| {
                    TABLES.iter().any(|one| one.heading.trim_matches(['[', ']']).split('.').next() == Some(name))
                };
                assert!(taken.iter().filter(|name| is_table(name)).count() > 5, "{taken:?}");
                taken.retain(|name| !is_table(name));
            }
            let mut told: Vec<&str> = table.settings.iter().map(|setting| setting.name).collect();
            taken.sort();
            told.sort_unstable();
            assert_eq!(taken, told, "{}", table.heading);
        }
    }

    const KEY: &str = "signing_key_data = '''KEY'''\nkey_id = \"ABCDE12345\"\nteam_id = \"TEAM123456\"\n";

    /// A file that says one thing, and beside it what has to be there.
    fn file(table: &SettingsTable, setting: &Setting, value: &str) -> String {
        let name = setting.name;
        static SIGNING_KEY: LazyLock<String> = LazyLock::new(|| rcgen::KeyPair::generate().unwrap().serialize_pem());
        let app = KEY.replace("KEY'''", &format!("{}'''", *SIGNING_KEY));
        let said = |heading: &str| {
            let heading = heading.replace("NAME", "shop");
            format!("{heading}\n{name} = {value}\n")
        };
        let environment = if name == "environment" { "" } else { "environment = \"production\"\n" };
        let shop = format!("[apps.shop]\n{environment}{app}");
        match table.heading {
            "" => format!("{name} = {value}\n{shop}"),
            "[apps.NAME]" => format!("{shop}{name} = {value}\n"),
            "[[token]]" => {
                format!("[[token]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\napps = []\n{name} = {value}\n{shop}")
            }
            "[[webhook]]" => {
                let needed = [
                    ("name", "\"a\"".to_owned()),
                    ("url", "\"http://localhost\"".to_owned()),
                    ("secret_files", format!("[{:?}]", SECRET.path().join("secret"))),
                ];
                let rest = needed.iter().filter(|(needed, _)| *needed != name);
                let rest: String = rest.map(|(name, value)| format!("{name} = {value}\n")).collect();
                format!("{shop}{}{rest}", said("[[webhook]]"))
            }
            "[store]" if name != "url" => {
                format!("{shop}{}url = \"postgres://apnsd@localhost/apnsd\"\n", said("[store]"))
            }
            heading => format!("{shop}{}", said(heading)),
        }
    }

    /// A folder with a secret of a webhook.
    static SECRET: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        folder
    });

    fn read(text: &str) -> Result<Config, String> {
        let config = Config::parse(text, Path::new("/etc/apnsd")).map_err(|error| error.to_string())?;
        config.check_apps().map_err(|error| error.to_string())?;
        Ok(config)
    }

    /// What the apps come to, with all that was left out.
    fn meaning(config: &Config) -> String {
        let resolve = |definition: &crate::config::AppDefinition| {
            definition.resolve(crate::config::FilesToldTo::Owner).map_err(|error| error.to_string())
        };
        let apps: Vec<_> = config.apps.values().map(resolve).collect();
        let mut rest = config.clone();
        rest.apps.clear();
        format!("{apps:?} {rest:?}")
    }

    #[test]
    fn a_preset_is_what_holds_without_the_setting() {
        let mut looked_at = 0;
        for table in TABLES {
            for setting in table.settings {
                let Value(value) = setting.preset else { continue };
                let text = file(table, setting, value);
                let said = read(&text).unwrap_or_else(|error| panic!("{} {}: {error}", table.heading, setting.name));
                let line = format!("{} = {value}\n", setting.name);
                let without = read(&text.replacen(&line, "", 1)).unwrap();
                assert_eq!(meaning(&said), meaning(&without), "{} {}", table.heading, setting.name);
                looked_at += 1;
            }
        }
        assert!(looked_at > 30, "{looked_at}");
    }

    #[test]
    fn both_ends_of_a_range_are_taken_and_what_lies_beyond_is_not() {
        let mut looked_at = 0;
        for table in TABLES {
            for setting in table.settings {
                let text = |milliseconds: Duration| format!("\"{}ms\"", milliseconds.as_millis());
                let (least, below, most, above) = match setting.kind {
                    Kind::Number { least, most } | Kind::Bytes { least, most } => (
                        least.to_string(),
                        least.checked_sub(1).map(|below| below.to_string()),
                        most.map(|most| most.to_string()),
                        most.map(|most| (most + 1).to_string()),
                    ),
                    Kind::Span { least, most } => (
                        text(least),
                        least.checked_sub(Duration::from_millis(1)).map(text),
                        Some(text(most)),
                        Some(text(most + Duration::from_millis(1))),
                    ),
                    Word(words) => {
                        for word in words {
                            let text = file(table, setting, &format!("\"{word}\""));
                            Config::parse(&text, Path::new("/etc/apnsd")).unwrap();
                        }
                        (format!("\"{}\"", words[0]), Some("\"other\"".to_owned()), None, None)
                    }
                    _ => continue,
                };
                let name = format!("{} {}", table.heading, setting.name);
                for value in [Some(least), most].into_iter().flatten() {
                    read(&file(table, setting, &value)).unwrap_or_else(|error| panic!("{name} = {value}: {error}"));
                }
                for value in [below, above].into_iter().flatten() {
                    assert!(read(&file(table, setting, &value)).is_err(), "{name} = {value}");
                }
                looked_at += 1;
            }
        }
        assert!(looked_at > 30, "{looked_at}");
    }
}
