//! Devices and what is seen on them, and broadcast channels.

use std::collections::BTreeSet;

use apns_proto::internal::{from_hex, to_hex};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::Problem;
use crate::clock;
use crate::http::{Body, Shared, read_json};
use crate::phone::Screen;
use crate::store::DeviceError;

/// The longest name of a device, in bytes.
pub(crate) const LONGEST_NAME: usize = 200;

/// The longest device token, in bytes.
const LONGEST_TOKEN: usize = 256;

/// A device token from an address.
pub(crate) fn read_token(text: &str) -> Result<Bytes, Problem> {
    let token =
        from_hex(text, |_| false).map_err(|error| Problem::invalid().detail(format!("the device token: {error}")))?;
    if token.is_empty() || token.len() > LONGEST_TOKEN {
        return Err(Problem::invalid().detail("the device token: it has from 1 to 256 bytes"));
    }
    Ok(token.into())
}

impl From<DeviceError> for Problem {
    fn from(error: DeviceError) -> Self {
        Self::too_many().detail(error)
    }
}

/// `GET /v1/devices`
pub(super) async fn list(State(shared): State<Shared>) -> Json<Value> {
    shared.work(all).await
}

fn all(shared: &Shared) -> Json<Value> {
    let snapshot = shared.store().snapshot();
    let devices: Vec<Value> = shared
        .devices(&snapshot)
        .into_iter()
        .map(|device| {
            json!({
                "token": device.token,
                "name": device.name,
                "state": device.state.word(),
                "pushes": device.pushes,
                "unread": device.unread,
                "last_push": device.last,
                "follows": device.follows,
            })
        })
        .collect();
    Json(json!({ "devices": devices }))
}

/// `GET /v1/devices/{token}`
pub(super) async fn show(State(shared): State<Shared>, Path(token): Path<String>) -> Result<Response, Problem> {
    let token = read_token(&token)?;
    Ok(shared.work(move |shared| shown(shared, &token)).await.into_response())
}

/// What a device is, and what is seen on it.
fn shown(shared: &Shared, token: &Bytes) -> Json<Value> {
    let snapshot = shared.store().snapshot();
    let screen = Screen::of(token, &snapshot, shared.names(), clock::now());
    let hex = to_hex(token);
    let known = shared.devices(&snapshot).into_iter().find(|device| device.token == hex);
    let mut body = serde_json::to_value(&screen).unwrap_or_default();
    body["token"] = json!(hex);
    body["name"] = json!(known.as_ref().and_then(|device| device.name.clone()));
    body["state"] = json!(known.as_ref().map_or("unknown", |device| device.state.word()));
    body["pushes"] = json!(known.as_ref().map_or(0, |device| device.pushes));
    body["follows"] = json!(known.map(|device| device.follows).unwrap_or_default());
    Json(body)
}

/// What may be changed of a device. What is left out stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// `null` takes it away.
    #[serde(default, deserialize_with = "some")]
    name: Option<Option<String>>,
    online: Option<bool>,
    follows: Option<BTreeSet<String>>,
}

/// Tells `null` from what is left out.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `PATCH /v1/devices/{token}`
pub(super) async fn change(
    State(shared): State<Shared>,
    Path(token): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Value>, Problem> {
    let token = read_token(&token)?;
    let change: Change = read_json(&headers, &body)?;
    let store = shared.store();
    if let Some(name) = change.name {
        store.name(&token, check_name(name)?)?;
    }
    if let Some(follows) = change.follows {
        store.follow_only(&token, follows)?;
    }
    match change.online {
        Some(true) => store.come_back(&token, clock::now()),
        Some(false) => store.go_offline(&token, clock::now())?,
        None => {}
    }
    Ok(shared.work(move |shared| shown(shared, &token)).await)
}

/// A name as it is kept: without white space around it, none if there is nothing else.
pub(crate) fn check_name(name: Option<String>) -> Result<Option<String>, Problem> {
    let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    match name {
        Some(name) if name.len() > LONGEST_NAME => Err(Problem::invalid().detail("the name: it has at most 200 bytes")),
        name => Ok(name),
    }
}

/// `GET /v1/channels`
pub(super) async fn channels(State(shared): State<Shared>) -> Json<Value> {
    let snapshot = shared.store().snapshot();
    let channels: Vec<Value> = shared
        .simulator()
        .all_channels()
        .into_iter()
        .map(|channel| {
            let followers = snapshot.devices.iter().filter(|(_, device)| device.follows.contains(&channel.id));
            json!({
                "app": channel.bundle_id,
                "channel": channel.id,
                "message_storage_policy": channel.storage.number(),
                "followers": followers.map(|(token, _)| to_hex(token)).collect::<Vec<_>>(),
            })
        })
        .collect();
    Json(json!({ "channels": channels }))
}
