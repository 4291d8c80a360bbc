//! The feedback service: what is gone, to a client that asks, once.

use std::collections::BTreeMap;
use std::time::Duration;

use apns_proto::WallTime;
use apns_proto::binary::FeedbackRecord;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::ending::{Parted, part};
use crate::AppName;
use crate::config::BridgeErrors;
use crate::outbox::{Cursor, GoneToken};
use crate::service::{Service, SubmitError};

/// The reader that clients of the bridge are, all of an app together.
const READER: &str = "bridge";
/// How many tokens are read at once.
const PAGE: usize = 1000;
/// How long a client may take nothing.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// Writes what is gone and was not read, and has it count as read when the client has it.
pub(super) async fn serve<S>(mut stream: S, service: &Service, app: &AppName, errors: BridgeErrors)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(Some(upto)) = write_all(&mut stream, service, app, errors).await else {
        // The client is told nothing that it could take for the whole list.
        return;
    };
    // Who breaks off, or stays, may not have read it.
    if part(&mut stream).await == Parted::Closed {
        // What cannot be noted is told again.
        drop(service.feedback_read(app, READER, &upto).await);
    }
}

/// Gives the place up to which was written; `None` when the client took nothing for too long.
async fn write_all<S>(
    stream: &mut S,
    service: &Service,
    app: &AppName,
    errors: BridgeErrors,
) -> Result<Option<Cursor>, SubmitError>
where
    S: AsyncWrite + Unpin,
{
    let mut page = service.feedback(app, READER, PAGE).await?;
    loop {
        let more = page.tokens.len() == PAGE;
        let bytes = encode(&page.tokens, errors);
        let written = timeout(WRITE_WITHIN, async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            return Ok(None);
        }
        if !more {
            return Ok(Some(page.next));
        }
        page = service.invalid_tokens(app, &page.next, WallTime::EPOCH, PAGE).await?;
    }
}

/// One record for each token, with the latest time.
fn encode(tokens: &[GoneToken], errors: BridgeErrors) -> BytesMut {
    let mut since: BTreeMap<&[u8], WallTime> = BTreeMap::new();
    for gone in tokens {
        let time = match (gone.since, errors) {
            (Some(since), _) => since,
            // A token that the service does not know was answered with an error response.
            (None, BridgeErrors::Frame) if !is_unregistered(gone) => continue,
            (None, BridgeErrors::Frame | BridgeErrors::Feedback) => gone.found_at,
        };
        let latest = since.entry(gone.token.as_bytes()).or_insert(time);
        *latest = (*latest).max(time);
    }
    let mut out = BytesMut::new();
    for (token, timestamp) in since {
        let record = FeedbackRecord { timestamp, token: Bytes::copy_from_slice(token) };
        // A time that the protocol cannot say is told as its last one.
        if record.emit(&mut out).is_err() {
            let last = FeedbackRecord { timestamp: WallTime::from_secs(u32::MAX.into()), token: record.token };
            drop(last.emit(&mut out));
        }
    }
    out
}

/// Whether the app is gone from the device, where the service gave no time.
fn is_unregistered(gone: &GoneToken) -> bool {
    matches!(&*gone.reason, "Unregistered" | "ExpiredToken")
}

#[cfg(test)]
mod tests {
    use apns_proto::DeviceToken;

    use super::*;

    fn gone(byte: u8, since: Option<u64>, found_at: u64) -> GoneToken {
        GoneToken {
            token: DeviceToken::from_bytes([byte; 32]).unwrap(),
            topic: None,
            since: since.map(WallTime::from_millis),
            found_at: WallTime::from_secs(found_at),
            reason: "BadDeviceToken".into(),
        }
    }

    #[test]
    fn b109_the_time_is_the_services_own_in_seconds() {
        let bytes = encode(&[gone(1, Some(1_527_206_400_999), 7)], BridgeErrors::Frame);
        assert_eq!(bytes.len(), 38);
        assert_eq!(bytes[..6], [0x5b, 0x07, 0x52, 0x00, 0, 32]);
    }

    #[test]
    fn a_token_is_listed_once_with_its_latest_time() {
        let tokens = [gone(1, Some(5000), 0), gone(2, Some(1000), 0), gone(1, Some(9000), 0), gone(1, Some(8000), 0)];
        let bytes = encode(&tokens, BridgeErrors::Frame);
        assert_eq!((bytes.len(), bytes[3], bytes[38 + 3]), (2 * 38, 9, 1));
    }

    #[test]
    fn tokens_that_are_not_known_are_listed_where_they_are_no_errors() {
        let tokens = [gone(1, None, 77)];
        assert!(encode(&tokens, BridgeErrors::Frame).is_empty());
        assert_eq!(encode(&tokens, BridgeErrors::Feedback)[..4], [0, 0, 0, 77]);
        let tokens = [GoneToken { reason: "Unregistered".into(), ..gone(1, None, 77) }];
        assert_eq!(encode(&tokens, BridgeErrors::Frame)[..4], [0, 0, 0, 77], "nobody else tells of these");
    }
}
