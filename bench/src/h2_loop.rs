//! The least that sends requests with the `h2` crate under tokio.

use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::client::{ResponseFuture, SendRequest};

use crate::task::{Clocks, OPEN, Row, TOPIC, Task, WARM_UP, connect, hex, payload, token};

async fn open(task: &Task) -> SendRequest<Bytes> {
    let stream = connect(task, Some(b"h2")).await;
    let (sender, connection) =
        h2::client::Builder::new().enable_push(false).initial_max_send_streams(OPEN).handshake(stream).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    sender.ready().await.unwrap()
}

fn send(sender: &mut SendRequest<Bytes>, authority: &str, n: u32, payload: &Bytes) -> ResponseFuture {
    let request = http::Request::post(format!("https://{authority}/3/device/{}", hex(token(n))))
        .version(http::Version::HTTP_2)
        .header("apns-push-type", "alert")
        .header("apns-topic", TOPIC)
        .body(())
        .unwrap();
    let (response, mut body) = sender.send_request(request, false).unwrap();
    body.send_data(payload.clone(), true).unwrap();
    response
}

async fn answer(response: ResponseFuture, submitted: Instant) -> (bool, Instant) {
    let response = response.await.unwrap();
    // The service says in this header which notification it took; a caller wants it.
    let _ = response.headers().get("apns-id").cloned();
    (response.status() == http::StatusCode::OK, submitted)
}

pub async fn all_at_once(task: &Task) -> Row {
    let authority = format!("localhost:{}", task.port);
    let payload = payload(task);
    let mut senders = Vec::new();
    for _ in 0..task.connections {
        senders.push(open(task).await);
    }
    for n in 0..WARM_UP {
        send(&mut senders[0], &authority, u32::MAX - n, &payload).await.unwrap();
    }
    let mut clocks = Clocks::start(task);
    let share = task.count.div_ceil(u32::from(task.connections));
    let mut runs = FuturesUnordered::new();
    for (connection, mut sender) in senders.into_iter().enumerate() {
        let (authority, payload) = (authority.clone(), payload.clone());
        let first = connection as u32 * share;
        let mut numbers = first..(first + share).min(task.count);
        runs.push(async move {
            let (mut accepted, mut open, mut submissions) = (0, FuturesUnordered::new(), Vec::new());
            loop {
                while open.len() < OPEN
                    && let Some(n) = numbers.next()
                {
                    sender = sender.ready().await.unwrap();
                    open.push(answer(send(&mut sender, &authority, n, &payload), Instant::now()));
                }
                match open.next().await {
                    Some((ok, submitted)) => {
                        accepted += u32::from(ok);
                        submissions.push(submitted.elapsed());
                    }
                    None => return (accepted, submissions),
                }
            }
        });
    }
    let mut accepted = 0;
    while let Some((some, took)) = runs.next().await {
        accepted += some;
        clocks.took(took);
    }
    clocks.row(task, accepted)
}

pub async fn one_by_one(task: &Task) -> Row {
    let authority = format!("localhost:{}", task.port);
    let payload = payload(task);
    let mut sender = open(task).await;
    for n in 0..WARM_UP {
        send(&mut sender, &authority, u32::MAX - n, &payload).await.unwrap();
    }
    let mut accepted = 0;
    let mut clocks = Clocks::start(task);
    for n in 0..task.count {
        let submitted = Instant::now();
        sender = sender.ready().await.unwrap();
        let (ok, submitted) = answer(send(&mut sender, &authority, n, &payload), submitted).await;
        clocks.answered(submitted);
        accepted += u32::from(ok);
    }
    clocks.row(task, accepted)
}
