//! `apns broadcast`: a Live Activity update for all devices that follow a channel.

use std::time::{Duration, SystemTime};

use apns_proto::http2::{Broadcast, ChannelId};
use apns_proto::payload::LiveActivity;
use apns_proto::{ApnsId, Expiration, Payload, Priority, WallTime};
use apns_tokio::Endpoint;
use apns_tokio::channels::ChannelFailure;
use clap::{ArgGroup, Args};
use serde_json::value::RawValue;

use super::channels::{bundle_id, failed, parse_channel};
use crate::draft::{
    LARGEST_PAYLOAD, compact, expiration_after, parse_apns_id, parse_expiration, parse_priority, said_of_past,
};
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::input::Source;
use crate::output::{Output, say};
use crate::runtime::block_on;
use crate::settings::ProviderFlags;

/// The options of `apns broadcast`.
#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["payload", "content_state", "end"]))]
pub(crate) struct BroadcastFlags {
    /// The channel: its id, as it came when the channel was made
    #[arg(long, value_name = "ID", value_parser = parse_channel, allow_hyphen_values = true)]
    channel: ChannelId,
    #[command(flatten)]
    provider: ProviderFlags,
    /// The app: its bundle id, without the suffix of a push type
    #[arg(long, value_name = "BUNDLE")]
    topic: Option<String>,
    /// The new state of the activity: a JSON object of the app's own
    #[arg(long, value_name = "JSON", value_parser = parse_state, help_heading = "Payload")]
    content_state: Option<Box<RawValue>>,
    /// End the activity
    #[arg(long, help_heading = "Payload")]
    end: bool,
    /// A file with the whole payload in JSON, or - for standard input
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["content_state", "end"], help_heading = "Payload")]
    payload: Option<Source>,
    /// When the service may stop trying, in seconds since 1970; without it there is one attempt only, which is all that
    /// a channel without storage takes
    #[arg(
        long, value_name = "UNIX", value_parser = parse_expiration, conflicts_with = "ttl", help_heading = "Delivery"
    )]
    expiration: Option<Expiration>,
    /// For how long the service may try, such as 30s, 10m or 8h
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, help_heading = "Delivery")]
    ttl: Option<Duration>,
    /// 10 for at once, 5 for what does not count against the app's budget
    #[arg(long, value_name = "N", value_parser = parse_priority, help_heading = "Delivery")]
    priority: Option<Priority>,
    /// A name for the request, a UUID; by default the service makes one
    #[arg(long, value_name = "UUID", value_parser = parse_apns_id, help_heading = "Delivery")]
    request_id: Option<ApnsId>,
    /// Print an object: channel, `request_id`; outcome, status and reason where nothing came of it
    #[arg(long)]
    json: bool,
}

fn parse_state(text: &str) -> Result<Box<RawValue>, String> {
    let state: &RawValue = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if state.get().starts_with('{') { Ok(compact(state)) } else { Err("it has to be a JSON object".to_owned()) }
}

impl BroadcastFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let settings = self.provider.clone().settings()?;
        let bundle_id = bundle_id(self.topic.clone(), &settings)?;
        let (connection, credentials, _) = settings.provider(Endpoint::provider_api)?;
        let mut broadcast = Broadcast::new(bundle_id, self.channel.clone(), self.read_payload()?);
        if let Some(text) = said_of_past(self.expiration) {
            say(format_args!("apns: {text}"));
        }
        if let Some(expiration) = self.expiration.or(self.ttl.map(expiration_after)) {
            broadcast = broadcast.with_expiration(expiration);
        }
        if let Some(priority) = self.priority {
            broadcast = broadcast.with_priority(priority);
        }
        if let Some(id) = self.request_id {
            broadcast = broadcast.with_request_id(id);
        }
        let (channel, json) = (self.channel, self.json);
        block_on(async move {
            let endpoint = connection.endpoint.clone();
            let broadcasts =
                connection.reach(credentials).broadcasts().map_err(|error| Failure::not_started(&endpoint, error))?;
            let events = broadcasts.events();
            let delivery = broadcasts.submit(broadcast).await.await;
            if let Some(failure) = ChannelFailure::of(delivery.outcome) {
                return failed(&endpoint, events, &failure, json);
            }
            let id = delivery.answer.map(|id| id.to_string());
            if json {
                let mut output = Output::new();
                output.json(&serde_json::json!({"channel": channel.as_str(), "request_id": id}));
                output.finish()?;
            } else {
                let named = id.map_or_else(String::new, |id| format!(" as {id}"));
                say(format_args!("the service took the broadcast{named}; nobody learns who follows the channel"));
            }
            Ok(Exit::Fine)
        })?
    }

    fn read_payload(&self) -> Result<Payload, Failure> {
        if let Some(source) = &self.payload {
            return Ok(Payload::from_json_compact(source.read(LARGEST_PAYLOAD)?)?);
        }
        let now = WallTime::from(SystemTime::now());
        let payload = match (&self.content_state, self.end) {
            (Some(state), false) => LiveActivity::update(now, state).build()?,
            (Some(state), true) => LiveActivity::end(now).content_state(state).build()?,
            (None, _) => LiveActivity::end(now).build()?,
        };
        Ok(payload)
    }
}
