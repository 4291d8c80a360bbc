//! Broadcast channels: their management, and what is published to them.

use std::collections::BTreeMap;

use apns_proto::PayloadLimit;
use apns_proto::http2::ChannelStorage;
use apns_proto::internal::asked;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::asked::Asked;
use super::checks::{Client, bad, check_json};
use super::deviation::{Deviation, Remarks};
use crate::script::{Http2Answer, Http2Script, mix};

/// How many channels an app may have (*Sending channel management requests to APNs*).
const MAX_CHANNELS: u64 = 10_000;

/// The longest channel id that is looked at. Apple promises no size.
const MAX_CHANNEL_ID: usize = 1024;

/// A broadcast channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channel {
    /// The app.
    pub bundle_id: String,
    /// The id, in base64.
    pub id: String,
    /// What is kept for devices that are away.
    pub storage: ChannelStorage,
}

/// The channels of all apps.
#[derive(Debug, Default)]
pub(crate) struct ChannelStore {
    apps: BTreeMap<String, BTreeMap<String, ChannelStorage>>,
    made: u64,
}

impl ChannelStore {
    /// The channels of an app.
    pub(crate) fn of(&self, bundle_id: &str) -> impl Iterator<Item = &str> {
        self.apps.get(bundle_id).into_iter().flat_map(|channels| channels.keys().map(String::as_str))
    }

    /// All channels, by app and id.
    pub(crate) fn all(&self) -> impl Iterator<Item = Channel> {
        self.apps.iter().flat_map(|(bundle_id, channels)| {
            channels.iter().map(|(id, storage)| Channel {
                bundle_id: bundle_id.clone(),
                id: id.clone(),
                storage: *storage,
            })
        })
    }

    /// Makes a channel with an id that never was before.
    pub(crate) fn create(&mut self, seed: u64, bundle_id: &str, storage: ChannelStorage) -> String {
        self.made += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&mix(seed ^ mix(self.made)).to_be_bytes());
        id[8..].copy_from_slice(&self.made.to_be_bytes());
        let id = STANDARD.encode(id);
        self.apps.entry(bundle_id.to_owned()).or_default().insert(id.clone(), storage);
        id
    }

    fn find(&self, bundle_id: &str, channel: &str) -> Result<ChannelStorage, Http2Answer> {
        let channel = self.apps.get(bundle_id).and_then(|channels| channels.get(channel));
        channel.copied().ok_or_else(|| bad("ChannelNotRegistered"))
    }

    /// Judges a broadcast. The first check that fails decides:
    ///
    /// 1. BadPath: path and method;
    /// 2. DuplicateHeaders;
    /// 3. MissingProviderToken and what else can be wrong with the credential;
    /// 4. TopicDisallowed, TopicMismatch, FeatureNotEnabled: the bundle id;
    /// 5. BadMessageId: `apns-request-id`, and `apns-id` where it is sent;
    /// 6. MissingChannelId, BadChannelId, ChannelNotRegistered: `apns-channel-id`;
    /// 7. MissingPushType, InvalidPushType: `apns-push-type` is `liveactivity` in any case;
    /// 8. BadExpirationDate: `apns-expiration` is there, and 0 for a channel that stores nothing;
    /// 9. BadPriority: `apns-priority` is there, and 10, 5 or 1;
    /// 10. PayloadEmpty, PayloadTooLarge, BadRequestPayload: the body, which is a JSON object.
    pub(crate) fn publish(
        &self,
        asked: &Asked<'_>,
        client: &Result<Client, Http2Answer>,
        script: &Http2Script,
        remarks: &mut Remarks,
    ) -> Result<Http2Answer, Http2Answer> {
        if asked.request.method() != "POST" || asked.target.is_empty() || asked.target.contains('/') {
            return Err(bad_path());
        }
        check_app(asked, client, script, asked.target)?;
        asked::uuid(asked.request, "apns-id")?;
        let storage = self.find(asked.target, channel_id(asked)?)?;
        let push_type = asked.header("apns-push-type").ok_or_else(|| bad("MissingPushType"))?;
        if !push_type.eq_ignore_ascii_case(b"liveactivity") {
            return Err(bad("InvalidPushType"));
        }
        match (asked.number("apns-expiration"), storage) {
            (Some(0), _) | (Some(_), ChannelStorage::Latest) => {}
            (None, _) if asked.header("apns-expiration").is_none() && remarks.allow(Deviation::NoExpiration) => {}
            (Some(_) | None, _) => return Err(bad("BadExpirationDate")),
        }
        asked::priority(asked.request)?.ok_or_else(|| bad("BadPriority"))?;
        asked::check_size(asked.request, PayloadLimit::BROADCAST.bytes())?;
        check_json(asked, "BadRequestPayload", remarks)?;
        Ok(Http2Answer::accepted())
    }

    /// Judges a request about channels, and does what it asks for. The order is that of [`publish`](Self::publish), with
    /// PayloadEmpty, PayloadTooLarge, BadRequestPayload, BadRequestParams, MissingPushType, InvalidPushType and
    /// CannotCreateChannelConfig for the body of a creation.
    pub(crate) fn manage(
        &mut self,
        asked: &Asked<'_>,
        client: &Result<Client, Http2Answer>,
        script: &Http2Script,
        seed: u64,
    ) -> Result<Http2Answer, Http2Answer> {
        let (bundle_id, rest) = asked.target.split_once('/').filter(|(id, _)| !id.is_empty()).ok_or_else(bad_path)?;
        let check = || check_app(asked, client, script, bundle_id);
        match (asked.request.method(), rest) {
            ("POST", "channels") => {
                check()?;
                // That there is a limit is documented, how high it is not.
                asked::check_size(asked.request, PayloadLimit::BROADCAST.bytes())?;
                let storage = wanted_channel(asked.request.body())?;
                let limit = script.max_channels.unwrap_or(MAX_CHANNELS);
                if self.of(bundle_id).count() as u64 >= limit {
                    return Err(bad("CannotCreateChannelConfig"));
                }
                let id = self.create(seed, bundle_id, storage);
                Ok(with_status(201).header("apns-channel-id", id))
            }
            ("GET", "channels") => {
                check()?;
                let storage = self.find(bundle_id, channel_id(asked)?)?;
                let body = serde_json::json!({"message-storage-policy": storage.number(), "push-type": "LiveActivity"});
                Ok(Http2Answer::accepted().body(body.to_string()))
            }
            ("DELETE", "channels") => {
                check()?;
                let channel = channel_id(asked)?;
                self.find(bundle_id, channel)?;
                if let Some(channels) = self.apps.get_mut(bundle_id) {
                    channels.remove(channel);
                }
                Ok(with_status(204))
            }
            ("GET", "all-channels") => {
                check()?;
                let channels: Vec<&str> = self.of(bundle_id).collect();
                Ok(Http2Answer::accepted().body(serde_json::json!({"channels": channels}).to_string()))
            }
            _ => Err(bad_path()),
        }
    }
}

fn bad_path() -> Http2Answer {
    Http2Answer::new(404, "BadPath")
}

fn with_status(status: u16) -> Http2Answer {
    Http2Answer { status, ..Http2Answer::accepted() }
}

/// What comes before the channel: headers, credential, bundle id, request id.
fn check_app(
    asked: &Asked<'_>,
    client: &Result<Client, Http2Answer>,
    script: &Http2Script,
    bundle_id: &str,
) -> Result<(), Http2Answer> {
    asked::check_duplicates(asked.request)?;
    let client = client.as_ref().map_err(Clone::clone)?;
    if bundle_id.ends_with(".push-type.liveactivity") {
        return Err(bad("TopicDisallowed"));
    }
    let covered = match client {
        Client::Certificate(topics) => topics.iter().any(|topic| topic == bundle_id),
        Client::Token(signer) => script.allows(&signer.key_id, |topic| topic == bundle_id),
    };
    if !covered {
        return Err(Http2Answer::new(403, "TopicMismatch"));
    }
    if script.no_broadcast.iter().any(|one| one == bundle_id) {
        return Err(bad("FeatureNotEnabled"));
    }
    asked::uuid(asked.request, "apns-request-id")?;
    Ok(())
}

fn channel_id<'a>(asked: &Asked<'a>) -> Result<&'a str, Http2Answer> {
    let id = asked.header("apns-channel-id").ok_or_else(|| bad("MissingChannelId"))?;
    let text = str::from_utf8(id).ok().filter(|text| !text.is_empty() && text.len() <= MAX_CHANNEL_ID);
    text.filter(|text| STANDARD.decode(text).is_ok()).ok_or_else(|| bad("BadChannelId"))
}

/// Reads the body of a creation: an object with `message-storage-policy` (0 or 1) and `push-type` (LiveActivity). Numbers
/// as text and the push type in any case are taken, as clients exist that send them.
fn wanted_channel(body: &[u8]) -> Result<ChannelStorage, Http2Answer> {
    let body: Map<String, Value> = serde_json::from_slice(body).map_err(|_| bad("BadRequestPayload"))?;
    if body.keys().any(|key| key != "message-storage-policy" && key != "push-type") {
        return Err(bad("BadRequestParams"));
    }
    match body.get("push-type") {
        None => return Err(bad("MissingPushType")),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("liveactivity") => {}
        Some(_) => return Err(bad("InvalidPushType")),
    }
    match body.get("message-storage-policy") {
        Some(policy) if *policy == 0 || *policy == "0" => Ok(ChannelStorage::Nothing),
        Some(policy) if *policy == 1 || *policy == "1" => Ok(ChannelStorage::Latest),
        Some(_) | None => Err(bad("BadRequestParams")),
    }
}
