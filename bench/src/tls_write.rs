//! The bytes of all notifications, made before, written through the same TLS stream; a probe at the end shows that the
//! gateway read them.

use apns_proto::binary::{Format, Frame, encode, encode_probe};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::task::{Clocks, Row, Task, connect, payload, token};

/// As much as the client under test offers at once.
const OFFER: usize = 16 * 1024;

pub async fn run(task: &Task) -> Row {
    let payload = payload(task);
    let share = task.count / u32::from(task.connections);
    let mut streams = Vec::new();
    for connection in 0..u32::from(task.connections) {
        let first = connection * share;
        let end = if connection + 1 == u32::from(task.connections) { task.count } else { first + share };
        let mut bytes = BytesMut::new();
        for n in first..end {
            let token = token(n);
            let frame = Frame {
                format: Format::Items,
                identifier: n - first + 1,
                expiration: None,
                priority: None,
                token: &token,
                payload: &payload,
            };
            encode(&frame, &mut bytes).unwrap();
        }
        encode_probe(end - first + 1, &mut bytes);
        streams.push((connect(task, None).await, bytes, end - first));
    }
    let clocks = Clocks::start(task);
    let writes = streams.into_iter().map(async |(mut stream, bytes, count)| {
        for offer in bytes.chunks(OFFER) {
            stream.write_all(offer).await.unwrap();
            stream.flush().await.unwrap();
        }
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        let expected = (count + 1).to_be_bytes();
        if answer[2..] == expected { count } else { 0 }
    });
    let accepted = futures_util::future::join_all(writes).await.into_iter().sum();
    clocks.row(task, accepted)
}
