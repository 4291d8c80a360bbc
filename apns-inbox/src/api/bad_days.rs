//! Bad days: what happens to the next push, GOAWAY, and the script.

use apns_sim::{Action, Armed, Http2Step, Script, TokenPattern};
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Problem;
use crate::bad_day::Choice;
use crate::clock;
use crate::filter::pairs;
use crate::http::{Body, Shared, read_json};

/// How many device tokens may have something armed at the same time.
pub(crate) const MAX_ARMED: usize = 1000;

/// `GET /v1/bad-days`
pub(super) async fn list(State(shared): State<Shared>) -> Json<Value> {
    let armed = shared.simulator().armed();
    let armed: Vec<Value> = armed.iter().map(shown).collect();
    Json(json!({ "armed": armed }))
}

fn shown(armed: &Armed) -> Value {
    json!({"device": armed.token(), "next": armed.label(), "times": armed.left()})
}

/// What is to happen: one of the words, or steps and an action as in a script.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    device: TokenPattern,
    next: Option<String>,
    http2: Option<Vec<Http2Step>>,
    gateway: Option<Action>,
    #[serde(default = "once")]
    times: u64,
}

const fn once() -> u64 {
    1
}

/// `POST /v1/bad-days`
pub(super) async fn arm(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let order: Order = read_json(&headers, &body)?;
    if order.times == 0 {
        return Err(Problem::invalid().detail("times: it is 1 at least"));
    }
    let armed = match (order.next, order.http2, order.gateway) {
        (Some(word), None, None) => {
            let choice = Choice::from_word(&word).ok_or_else(|| {
                let words: Vec<&str> = Choice::ALL.iter().map(|choice| choice.word()).collect();
                Problem::invalid().detail(format!("next: it is one of {}", words.join(", ")))
            })?;
            choice.armed(order.device, order.times, clock::now())
        }
        (None, None, None) | (Some(_), _, _) => {
            return Err(Problem::invalid().detail("give either next, or http2 or gateway or both of these"));
        }
        (None, http2, gateway) => {
            let armed = Armed::new(order.device).times(order.times).labelled("custom");
            let armed = match http2 {
                Some(steps) => armed.http2(steps),
                None => armed,
            };
            match gateway {
                Some(action) => armed.gateway(action),
                None => armed,
            }
        }
    };
    let shown = shown(&armed);
    shared.arm(armed)?;
    Ok((StatusCode::CREATED, Json(shown)))
}

/// `DELETE /v1/bad-days?device=`: takes back what is armed for a device, or everything.
pub(super) async fn disarm(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Result<StatusCode, Problem> {
    let mut device = None;
    for (name, value) in pairs(query.as_deref().unwrap_or_default()) {
        if name != "device" {
            return Err(Problem::invalid().detail(format!("{name}: there is no such parameter")));
        }
        let pattern = value.parse().map_err(|error| Problem::invalid().detail(format!("device: {error}")))?;
        device = Some(pattern);
    }
    match device {
        Some(pattern) => shared.disarm(&pattern),
        None => {
            for armed in shared.simulator().armed() {
                shared.disarm(armed.token());
            }
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/go-away`: GOAWAY on every open connection to the provider API.
pub(super) async fn go_away(State(shared): State<Shared>) -> StatusCode {
    shared.go_away();
    StatusCode::NO_CONTENT
}

/// `GET /v1/script`
pub(super) async fn script(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let script = serde_json::to_value(shared.simulator().script());
    script.map(Json).map_err(|error| Problem::invalid().detail(error))
}

/// `PUT /v1/script`: starts this script from its beginning.
pub(super) async fn set_script(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<StatusCode, Problem> {
    let script: Script = read_json(&headers, &body)?;
    shared.simulator().set_script(script);
    Ok(StatusCode::NO_CONTENT)
}
