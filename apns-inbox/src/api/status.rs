//! Whether it is there, and what it is.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::http::Shared;

/// `GET /healthz`: the simulator listens and the inbox answers.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /v1/status`
pub(super) async fn status(State(shared): State<Shared>) -> Json<Value> {
    let simulator = shared.simulator();
    let counts = shared.store().counts();
    let failures = shared.store().failures();
    let last = failures.last.back().map(|failure| {
        json!({
            "at": failure.at.as_millis(),
            "service": failure.service,
            "peer": failure.peer,
            "why": failure.why,
        })
    });
    Json(json!({
        "listeners": {
            "http2": simulator.http2_address(),
            "gateway": simulator.gateway_address(),
            "feedback": simulator.feedback_address(),
        },
        "key_id": simulator.key_id(),
        "team_id": simulator.team_id(),
        "kept": counts.kept,
        "keep": shared.store().keep(),
        "dropped": counts.dropped,
        "newest": counts.newest,
        "file": shared.file().map(|(path, trouble)| json!({"path": path, "trouble": trouble})),
        "handshakes_failed": {"count": failures.count, "last": last},
        "counts": simulator.counts(),
    }))
}
