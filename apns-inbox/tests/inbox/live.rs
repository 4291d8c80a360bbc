//! What a page that is open gets to know.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, World, alert, sent};

struct Events {
    lines: tokio::io::Lines<BufReader<TcpStream>>,
}

impl Events {
    async fn open(world: &World) -> Self {
        let mut stream = TcpStream::connect(world.address()).await.unwrap();
        stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut events = Self { lines: BufReader::new(stream).lines() };
        assert_eq!(events.next().await, "hello");
        events
    }

    /// The name of the next event.
    async fn next(&mut self) -> String {
        loop {
            let line = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap().expect("it goes on");
            if let Some(name) = line.strip_prefix("event: ") {
                return name.to_owned();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_and_a_change_are_told_apart() {
    let world = World::new().await;
    let client = world.client();
    let mut events = Events::open(&world).await;
    assert!(sent(&client, alert(1, "hello")).await.is_accepted());
    assert_eq!(events.next().await, "push");
    world.json("PATCH", "/v1/devices/01", r#"{"name": "x"}"#).await;
    assert_eq!(events.next().await, "change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_few_events() {
    let world = World::new().await;
    let client = world.client();
    let mut events = Events::open(&world).await;
    let begun = std::time::Instant::now();
    let all = (0..200).map(|_| sent(&client, alert(1, "hello")));
    assert!(futures_util::future::join_all(all).await.iter().all(apns_tokio::proto::Outcome::is_accepted));
    world.json("DELETE", "/v1/pushes", "").await;
    let mut told = 0;
    while events.next().await == "push" {
        told += 1;
        if world.get("/v1/pushes").await.json()["newest"] == 200 {
            break;
        }
    }
    // One every 200 ms, and the first at once.
    let most = begun.elapsed().as_millis() / 200 + 1;
    assert!((1..=most).contains(&told), "{told} events in {:?}", begun.elapsed());
}
