//! Bodies: bounded, and not waited for for ever.

use apns_proto::encoding;
use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::problem::Problem;
use super::shares::NoRoom;
use crate::config::Limits;

/// The next part of a body; `None` at its end.
pub(crate) async fn next_part(body: &mut Body, limits: &Limits) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(limits.body_idle, body.frame()).await;
        match frame {
            Err(_) => return Err(Problem::body_too_slow().closing()),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) if is_no_room(&error) => {
                let problem = Problem::busy().detail("too many bytes of bodies are under way; send JSON lines");
                return Err(problem.retry_after(std::time::Duration::from_secs(1)).closing());
            }
            Ok(Some(Err(error))) => return Err(Problem::not_json().detail(error).closing()),
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn is_no_room(error: &axum::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(one) = source {
        if one.is::<NoRoom>() {
            return true;
        }
        source = one.source();
    }
    false
}

/// A whole body as text. An array that has too many elements is refused at the first that is one too many.
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
    let mut elements = Elements::default();
    while let Some(part) = next_part(&mut body, limits).await? {
        if bytes.len() + part.len() > limits.body {
            return Err(too_large());
        }
        if elements.count(&part) > limits.batch {
            return Err(batch_too_large(limits).closing());
        }
        bytes.extend_from_slice(&part);
    }
    text(&bytes).map(str::to_owned)
}

/// A body, or a line of one, as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Problem> {
    encoding::text(bytes).map_err(|error| Problem::not_json().detail(error))
}

/// There are too many elements in an array.
pub(super) fn batch_too_large(limits: &Limits) -> Problem {
    let detail = format!("at most {} notifications are taken in one array; send JSON lines for more", limits.batch);
    Problem::batch_too_large().detail(detail)
}

/// Counts the elements of an array while it comes, without knowing more of JSON than texts and brackets.
#[derive(Debug, Default)]
struct Elements {
    depth: u32,
    in_text: bool,
    escaped: bool,
    /// The body is an array: its first byte says so.
    array: Option<bool>,
    begun: usize,
    /// The next byte that is no white space begins an element.
    expecting: bool,
}

impl Elements {
    /// Says how many have begun, with this part.
    fn count(&mut self, part: &[u8]) -> usize {
        for byte in part {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            // Also past the mark that says that it is UTF-8.
            if byte.is_ascii_whitespace() || self.array.is_none() && b"\xef\xbb\xbf".contains(byte) {
                continue;
            }
            if !*self.array.get_or_insert(*byte == b'[') {
                return 0;
            }
            if self.expecting && *byte != b']' {
                self.begun += 1;
                self.expecting = false;
            }
            match byte {
                b'"' => self.in_text = true,
                b'[' | b'{' => {
                    self.expecting = self.depth == 0;
                    self.depth = self.depth.saturating_add(1);
                }
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                b',' if self.depth == 1 => self.expecting = true,
                _ => {}
            }
        }
        self.begun
    }
}

/// What a body says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    JsonLines,
}

impl MediaType {
    /// Refuses everything but JSON.
    pub(super) fn ensure_json(headers: &HeaderMap) -> Result<(), Problem> {
        match Self::of(headers)? {
            Self::Json => Ok(()),
            Self::JsonLines => Err(Problem::media_type().field("Content-Type", "application/json").closing()),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_as_they_come() {
        let text = br#" [{"a": "],[{\"", "b": [1, 2, {}]}, [] , "x,y", 4 ]"#;
        assert_eq!(Elements::default().count(text), 4);
        let mut slowly = Elements::default();
        assert_eq!(text.iter().map(|byte| slowly.count(&[*byte])).max(), Some(4));
        assert_eq!(Elements::default().count(b"[]"), 0);
        assert_eq!(Elements::default().count(b"{\"a\": [1, 2, 3]}"), 0, "no array");
        assert_eq!(Elements::default().count(b"[[[[,,]]]"), 1);
    }
}
