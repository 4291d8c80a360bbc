//! `apns channels`: the broadcast channels of an app.

use apns_proto::NotSentCause;
use apns_proto::http2::{BundleId, ChannelId, ChannelStorage};
use apns_tokio::channels::{ChannelFailure, Channels};
use apns_tokio::{Endpoint, Events};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::runtime::block_on;
use crate::settings::{ProviderFlags, Settings};
use crate::trouble::Trouble;

/// The options of `apns channels`.
///
/// Each environment has channels of its own. Apple serves them on a host of its own, which is where this goes unless
/// --host names another.
#[derive(Args)]
pub(crate) struct ChannelsFlags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a channel and print its id
    Create(CreateFlags),
    /// Tell how a channel was made
    Read(OneFlags),
    /// Delete a channel for good
    Delete(OneFlags),
    /// List all channels of the app
    List(CommonFlags),
}

#[derive(Args)]
struct CreateFlags {
    /// What the service keeps for devices that are away; fixed for good
    #[arg(long, value_enum, default_value = "latest")]
    storage: Storage,
    #[command(flatten)]
    common: CommonFlags,
}

#[derive(Args)]
struct OneFlags {
    /// The id, as it came when the channel was made
    #[arg(value_name = "ID", value_parser = parse_channel, allow_hyphen_values = true)]
    channel: ChannelId,
    #[command(flatten)]
    common: CommonFlags,
}

#[derive(Args)]
struct CommonFlags {
    #[command(flatten)]
    provider: ProviderFlags,
    /// The app: its bundle id, without the suffix of a push type
    #[arg(long, value_name = "BUNDLE")]
    topic: Option<String>,
    /// Print an object for each channel, and one with outcome, status and reason where nothing came of it
    #[arg(long)]
    json: bool,
}

/// What to ask for.
enum Task {
    Create(Storage),
    Read(ChannelId),
    Delete(ChannelId),
    List,
}

/// What a channel keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Storage {
    /// The latest message, for at most eight hours
    Latest,
    /// Nothing; the app may send more often
    None,
}

impl From<Storage> for ChannelStorage {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::Latest => Self::Latest,
            Storage::None => Self::Nothing,
        }
    }
}

impl From<ChannelStorage> for Storage {
    fn from(storage: ChannelStorage) -> Self {
        match storage {
            ChannelStorage::Latest => Self::Latest,
            ChannelStorage::Nothing => Self::None,
        }
    }
}

pub(super) fn parse_channel(text: &str) -> Result<ChannelId, String> {
    ChannelId::new(text).map_err(|error| error.to_string())
}

/// One channel as it is printed.
#[derive(Serialize)]
struct Row<'a> {
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    storage: Option<Storage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_type: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn new(channel: &'a ChannelId) -> Self {
        Self { channel: channel.as_str(), storage: None, push_type: None }
    }
}

impl ChannelsFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let (task, common) = match self.action {
            Action::Create(CreateFlags { storage, common }) => (Task::Create(storage), common),
            Action::Read(OneFlags { channel, common }) => (Task::Read(channel), common),
            Action::Delete(OneFlags { channel, common }) => (Task::Delete(channel), common),
            Action::List(common) => (Task::List, common),
        };
        let CommonFlags { provider, topic, json } = common;
        let settings = provider.settings()?;
        let bundle_id = bundle_id(topic, &settings)?;
        let (connection, credentials, _) = settings.provider(Endpoint::channels)?;
        block_on(async move {
            let endpoint = connection.endpoint.clone();
            let channels = connection
                .reach(credentials)
                .channels(bundle_id)
                .map_err(|error| Failure::not_started(&endpoint, error))?;
            let events = channels.events();
            let mut output = Output::new();
            match task.run(&channels, json, &mut output).await {
                Ok(()) => {
                    output.finish()?;
                    Ok(Exit::Fine)
                }
                Err(failure) => {
                    let exit = failed(&endpoint, events, &failure, json)?;
                    if failure.is_unknown() {
                        say(format_args!("      `apns channels list` shows what there is."));
                    }
                    Ok(exit)
                }
            }
        })?
    }
}

impl Task {
    async fn run(self, channels: &Channels, json: bool, output: &mut Output) -> Result<(), ChannelFailure> {
        match self {
            Self::Create(storage) => {
                let channel = channels.create(storage.into()).await?;
                if json {
                    output.json(&Row { storage: Some(storage), ..Row::new(&channel) });
                } else {
                    output.line(&channel);
                }
            }
            Self::Read(channel) => {
                let read = channels.read(&channel).await?;
                if json {
                    let (storage, push_type) = (Some(read.storage.into()), Some(&*read.push_type));
                    output.json(&Row { storage, push_type, ..Row::new(&channel) });
                } else {
                    let storage = match read.storage {
                        ChannelStorage::Latest => "keeps the latest message",
                        ChannelStorage::Nothing => "keeps nothing",
                    };
                    output.line(format_args!("{channel}  {storage}, push type {}", read.push_type));
                }
            }
            Self::Delete(channel) => {
                channels.delete(&channel).await?;
                if json {
                    output.json(&Row::new(&channel));
                } else {
                    say(format_args!("{channel} is deleted"));
                }
            }
            Self::List => {
                let all = channels.list().await?;
                for channel in &all {
                    if json {
                        output.json(&Row::new(channel));
                    } else {
                        output.line(channel);
                    }
                }
                let word = if all.len() == 1 { "channel" } else { "channels" };
                say(format_args!("{} {word} of {}", all.len(), channels.bundle_id()));
            }
        }
        Ok(())
    }
}

/// The app, from its option or the settings.
pub(super) fn bundle_id(topic: Option<String>, settings: &Settings) -> Result<BundleId, Failure> {
    let Some(text) = topic.or_else(|| settings.topic()) else {
        return Err(Failure::Usage("no --topic: name the app by its bundle id".to_owned()));
    };
    BundleId::new(text).map_err(|error| Failure::Usage(format!("--topic: {error}")))
}

/// What is printed for programs where a request came to nothing.
#[derive(Serialize)]
struct Nothing {
    outcome: &'static str,
    status: Option<u16>,
    reason: String,
}

impl Nothing {
    fn new(failure: &ChannelFailure) -> Self {
        let outcome = match failure {
            ChannelFailure::Rejected(_) => "rejected",
            ChannelFailure::NotSent(NotSentCause::Invalid(_)) => "invalid",
            failure if failure.is_unknown() => "unknown",
            _ => "not_sent",
        };
        let (status, reason) = match failure {
            ChannelFailure::Rejected(rejection) => (Some(rejection.status()), rejection.reason().to_owned()),
            other => (None, other.to_string()),
        };
        Self { outcome, status, reason }
    }
}

/// Says what went wrong, and how the command ends for it. The events tell of the connections meanwhile.
pub(super) fn failed(
    endpoint: &Endpoint,
    mut events: Events,
    failure: &ChannelFailure,
    json: bool,
) -> Result<Exit, Failure> {
    if json {
        let mut output = Output::new();
        output.json(&Nothing::new(failure));
        output.finish()?;
    }
    match failure {
        ChannelFailure::NotSent(NotSentCause::CredentialRefused(refusal)) => {
            Err(Trouble::credential(endpoint, refusal).into())
        }
        ChannelFailure::NotSent(cause) if !matches!(cause, NotSentCause::Invalid(_)) => {
            // The last thing that went wrong with a connection says more.
            let told =
                std::iter::from_fn(|| events.try_next()).filter_map(|event| Trouble::event(endpoint, &event)).last();
            Err(told.unwrap_or_else(|| Trouble::other(endpoint, cause)).into())
        }
        ChannelFailure::Rejected(rejection) => {
            let (status, reason, told) = (rejection.status(), rejection.reason(), rejection.explain());
            say(format_args!(
                "apns: refused by {endpoint}: {status} {reason}: {}\n      {}",
                told.happened, told.to_do
            ));
            Ok(Exit::Partly)
        }
        other => {
            say(format_args!("apns: {other}"));
            Ok(Exit::Partly)
        }
    }
}
