//! The tables `[[webhook]]`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_driver::Roots;
use serde::Deserialize;

use super::network::Network;
use super::secret::SigningSecret;
use super::sender::Sender;
use super::target::Target;
use crate::AppName;
use crate::config::{ConfigError, FilesToldTo, Span, first_line, read_file};
use crate::outbox::{OutcomeRecord, ReadFrom};

/// Which outcomes a webhook is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebhookFilter {
    /// All.
    #[default]
    All,
    /// All but those that were accepted.
    Failures,
    /// Those that say that a device token is not valid any more.
    DroppedTokens,
}

/// A webhook as the file defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookConfig {
    /// Its name. Its place is kept under this.
    pub name: String,
    /// Where it is.
    pub url: Target,
    /// The files of the secrets that requests are signed with.
    pub secret_files: Vec<PathBuf>,
    /// The apps whose outcomes it is told; `None` for all.
    pub apps: Option<Vec<AppName>>,
    /// Which outcomes it is told.
    pub filter: WebhookFilter,
    /// Where it begins when it is new.
    pub from: ReadFrom,
    /// Ranges of addresses that may be connected to besides those of the internet.
    pub allow: Vec<Network>,
    /// A PEM file with the authorities to trust, in place of the system's.
    pub ca: Option<PathBuf>,
    /// The most outcomes of one batch. Default: 1000.
    pub max_batch: usize,
    /// The most bytes of outcomes in one batch that has more than one. Default: 1 MiB.
    pub max_body: usize,
    /// How long a batch that is not full waits for more. Default: 500 ms.
    pub wait: Duration,
    /// How long it may take to connect. Default: 5 s.
    pub connect_within: Duration,
    /// How long an answer may take. Default: 30 s.
    pub answer_within: Duration,
}

/// The table as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookSection {
    name: String,
    url: Target,
    secret_files: Vec<PathBuf>,
    apps: Option<Vec<AppName>>,
    only: Option<WebhookFilter>,
    from: Option<FromWord>,
    #[serde(default)]
    allow: Vec<Network>,
    ca: Option<PathBuf>,
    max_batch: Option<usize>,
    max_body: Option<usize>,
    wait: Option<Span>,
    connect_within: Option<Span>,
    answer_within: Option<Span>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum FromWord {
    Newest,
    Beginning,
}

/// The most secrets of one webhook.
const MOST_SECRETS: usize = 5;
/// The longest name.
const LONGEST_NAME: usize = 64;
/// The ends of what settings may be.
const BATCH: std::ops::RangeInclusive<usize> = 1..=10_000;
const BODY: std::ops::RangeInclusive<usize> = 1024..=16 << 20;
const WAIT: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60 * 60);
const WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(5 * 60);

fn within<T: PartialOrd + Copy + std::fmt::Debug>(
    field: &str,
    value: Option<T>,
    preset: T,
    range: &std::ops::RangeInclusive<T>,
) -> Result<T, ConfigError> {
    match value {
        None => Ok(preset),
        Some(value) if range.contains(&value) => Ok(value),
        Some(_) => {
            let problem = format!("it has to be {:?} at least and {:?} at most", range.start(), range.end());
            Err(ConfigError::at(field, problem))
        }
    }
}

/// Reads the tables. Relative paths begin at `base`.
pub(crate) fn read(sections: Vec<WebhookSection>, base: &Path) -> Result<Vec<WebhookConfig>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut read = Vec::new();
    for (index, section) in sections.into_iter().enumerate() {
        let one = read_one(section, base).and_then(|one| {
            let fresh = names.insert(one.name.clone());
            if fresh { Ok(one) } else { Err(ConfigError::at("name", "another webhook has this name")) }
        });
        read.push(one.map_err(|error| error.within(&format!("webhook[{index}]")))?);
    }
    Ok(read)
}

fn read_one(section: WebhookSection, base: &Path) -> Result<WebhookConfig, ConfigError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !(1..=LONGEST_NAME).contains(&section.name.len()) || !section.name.bytes().all(fits) {
        let problem = format!("it has to be 1 to {LONGEST_NAME} letters, digits, `.`, `_` or `-`");
        return Err(ConfigError::at("name", problem));
    }
    if !(1..=MOST_SECRETS).contains(&section.secret_files.len()) {
        let problem = format!("it has to name one file at least and {MOST_SECRETS} at most, each with a secret");
        return Err(ConfigError::at("secret_files", problem));
    }
    Ok(WebhookConfig {
        name: section.name,
        url: section.url,
        secret_files: section.secret_files.into_iter().map(|file| base.join(file)).collect(),
        apps: section.apps,
        filter: section.only.unwrap_or_default(),
        from: match section.from {
            None | Some(FromWord::Newest) => ReadFrom::Newest,
            Some(FromWord::Beginning) => ReadFrom::Beginning,
        },
        allow: section.allow,
        ca: section.ca.map(|file| base.join(file)),
        max_batch: within("max_batch", section.max_batch, 1000, &BATCH)?,
        max_body: within("max_body", section.max_body, 1 << 20, &BODY)?,
        wait: within("wait", section.wait.map(|span| span.0), Duration::from_millis(500), &WAIT)?,
        connect_within: within(
            "connect_within",
            section.connect_within.map(|span| span.0),
            Duration::from_secs(5),
            &WITHIN,
        )?,
        answer_within: within(
            "answer_within",
            section.answer_within.map(|span| span.0),
            Duration::from_secs(30),
            &WITHIN,
        )?,
    })
}

/// A webhook that can be used.
#[derive(Debug)]
pub(super) struct Webhook {
    pub(super) name: String,
    apps: Option<Vec<AppName>>,
    pub(super) filter: WebhookFilter,
    pub(super) from: ReadFrom,
    pub(super) max_batch: usize,
    pub(super) max_body: usize,
    pub(super) wait: Duration,
    pub(super) sender: Sender,
}

impl WebhookConfig {
    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.secret_files.iter().chain(&self.ca).map(PathBuf::as_path)
    }

    /// Reads its files. Blocks for as long as the file system takes.
    pub(super) fn resolve(&self) -> Result<Webhook, ConfigError> {
        let secrets = self.secret_files.iter().map(|file| {
            let text = first_line("secret_files", file, FilesToldTo::Owner)?;
            SigningSecret::read(text.expose()).map_err(|problem| ConfigError::at("secret_files", problem))
        });
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        let roots = match &self.ca {
            None => Roots::Platform,
            Some(path) => Roots::only_pem(&read_file("ca", path, FilesToldTo::Owner)?)
                .map_err(|error| ConfigError::at("ca", error))?,
        };
        Ok(Webhook {
            name: self.name.clone(),
            apps: self.apps.clone(),
            filter: self.filter,
            from: self.from,
            max_batch: self.max_batch,
            max_body: self.max_body,
            wait: self.wait,
            sender: Sender::new(self, secrets, roots)?,
        })
    }
}

/// The name under which the place of a webhook is kept.
pub(super) fn reader(name: &str) -> String {
    format!("webhook:{name}")
}

impl Webhook {
    /// The name under which its place is kept.
    pub(super) fn reader(&self) -> String {
        reader(&self.name)
    }

    /// Whether it is told the outcomes of an app.
    pub(super) fn takes(&self, app: &AppName) -> bool {
        self.apps.as_ref().is_none_or(|apps| apps.contains(app))
    }

    /// Whether it is told an outcome.
    pub(super) fn wants(&self, record: &OutcomeRecord) -> bool {
        match self.filter {
            WebhookFilter::All => true,
            WebhookFilter::Failures => !record.is_accepted(),
            WebhookFilter::DroppedTokens => record.drops_token(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn config(more: &str) -> Result<crate::config::Config, ConfigError> {
        let text =
            format!("[[webhook]]\nname = \"crm\"\nurl = \"http://localhost:1/a\"\nsecret_files = [\"a\"]\n{more}");
        crate::config::Config::parse(&text, Path::new("/etc/apnsd"))
    }

    /// A webhook with this in its table.
    pub(in crate::webhook) fn webhook(more: &str) -> Webhook {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(more).unwrap().webhooks.remove(0);
        config.secret_files = vec![folder.path().join("secret")];
        std::fs::write(&config.secret_files[0], SECRET).unwrap();
        config.ca = Some(folder.path().join("ca"));
        let authority = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("ca"), authority.cert.pem()).unwrap();
        config.resolve().unwrap()
    }

    #[test]
    fn a_table_is_read_and_what_is_wrong_is_named() {
        let read =
            config("apps = [\"shop\"]\nonly = \"dropped_tokens\"\nfrom = \"beginning\"\nallow = [\"::1\"]").unwrap();
        let hook = &read.webhooks[0];
        assert_eq!((&*hook.name, hook.filter, hook.from), ("crm", WebhookFilter::DroppedTokens, ReadFrom::Beginning));
        assert_eq!(hook.secret_files, [PathBuf::from("/etc/apnsd/a")]);
        assert_eq!((hook.max_batch, hook.max_body, hook.wait), (1000, 1 << 20, Duration::from_millis(500)));
        for (more, field) in [
            ("max_batch = 0", "webhook[0].max_batch"),
            ("wait = \"2h\"", "webhook[0].wait"),
            ("answer_within = \"1ms\"", "webhook[0].answer_within"),
            ("only = \"some\"", "webhook[0].only"),
            ("allow = [\"somewhere\"]", "webhook[0].allow[0]"),
            ("[[webhook]]\nname = \"crm\"\nurl = \"http://x\"\nsecret_files = [\"b\"]", "webhook[1].name"),
            ("[[webhook]]\nname = \"a b\"\nurl = \"http://x\"\nsecret_files = [\"b\"]", "webhook[1].name"),
            ("[[webhook]]\nname = \"b\"\nurl = \"http://x\"\nsecret_files = []", "webhook[1].secret_files"),
            ("[[webhook]]\nname = \"b\"\nurl = \"http://u:p@x\"\nsecret_files = [\"a\"]", "webhook[1].url"),
        ] {
            let error = config(more).unwrap_err();
            assert_eq!(error.field.as_deref(), Some(field), "{more}: {error}");
        }
    }

    #[test]
    fn a_filter_tells_what_it_says() {
        use apns_proto::{Outcome, Proof, WallTime};
        let record = |outcome: Outcome| {
            let id = "2ca378c7-8dca-8e7d-8000-000000000034".parse().unwrap();
            OutcomeRecord::new(id, "shop".parse().unwrap(), &outcome, WallTime::EPOCH, WallTime::EPOCH)
        };
        let mut dropped = record(Outcome::Expired);
        dropped.token = Some("drop_if_registered_before".to_owned());
        let mut kept = record(Outcome::Expired);
        kept.token = Some("keep".to_owned());
        let records = [record(Outcome::accepted(Proof::Confirmed)), record(Outcome::Expired), dropped, kept];
        for (filter, wanted) in [
            (WebhookFilter::All, [true, true, true, true]),
            (WebhookFilter::Failures, [false, true, true, true]),
            (WebhookFilter::DroppedTokens, [false, false, true, false]),
        ] {
            let mut hook = webhook("");
            hook.filter = filter;
            assert_eq!(records.each_ref().map(|record| hook.wants(record)), wanted, "{filter:?}");
        }
        let only = webhook("apps = [\"shop\"]");
        assert!(only.takes(&"shop".parse().unwrap()) && !only.takes(&"bank".parse().unwrap()));
    }
}
