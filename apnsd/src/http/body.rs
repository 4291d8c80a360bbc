//! Bodies: bounded, and not waited for for ever.

use apns_proto::encoding;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::problem::Problem;
use crate::config::Limits;

/// The next part of a body; `None` at its end.
pub(crate) async fn next_part(body: &mut Body, limits: &Limits) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(limits.body_idle, body.frame()).await;
        match frame {
            Err(_) => return Err(Problem::body_too_slow().closing()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(Problem::not_json().detail(error).closing()),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// A whole body as text.
pub(super) async fn read_text(headers: &HeaderMap, mut body: Body, limits: &Limits) -> Result<String, Problem> {
    let too_large = || {
        let detail = format!("at most {} bytes are taken; send JSON lines for more", limits.body);
        Problem::body_too_large().detail(detail).closing()
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limits.body as u64) {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(part) = next_part(&mut body, limits).await? {
        if bytes.len() + part.len() > limits.body {
            return Err(too_large());
        }
        bytes.extend_from_slice(&part);
    }
    text(&bytes).map(str::to_owned)
}

/// A body, or a line of one, as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Problem> {
    encoding::text(bytes).map_err(|error| Problem::not_json().detail(error))
}

/// What a body says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    JsonLines,
}

impl MediaType {
    /// By the header. A page in a browser cannot set these without asking first, which is answered with a no.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/json" => Ok(Self::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/json-lines" => {
                Ok(Self::JsonLines)
            }
            _ => Err(Problem::media_type().field("Content-Type", "application/json or application/x-ndjson").closing()),
        }
    }
}
