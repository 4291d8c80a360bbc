//! What callers may take up, and that they hear the answer.

use std::net::SocketAddr;
use std::time::Duration;

use apnsd::Daemon;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::{EventSource, call, get, post, read_answer};
use crate::support::{SOON, World, token, until};

const TOKENS: &str = "[[token]]\nname = \"one\"\nsecret = \"one-0123456789-secret\"\napps = [\"shop\"]\n\
                      [[token]]\nname = \"two\"\nsecret = \"two-0123456789-secret\"\napps = [\"shop\"]\n";

fn bearer(name: &str) -> String {
    format!("Authorization: Bearer {name}-0123456789-secret\r\n")
}

fn one() -> String {
    format!("{{\"token\": \"{}\", \"payload\": {{\"aps\": {{\"alert\": \"Tea is ready\"}}}}}}", token(1).to_hex())
}

/// Begins a request whose body never ends.
async fn hang(address: SocketAddr, headers: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/apps/shop/notifications HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}\
         Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_still_writing_hears_that_its_body_is_too_large() {
    let world = World::new().await;
    let mut config = world.config("");
    config.api.limits.body = 1 << 20;
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    // More than fits into the buffers of a socket, and read only when all is written, as simple clients do.
    let body = vec![b' '; 4 << 20];
    for (path, headers, status) in [
        ("/v1/apps/shop/notifications", "Content-Type: application/json\r\n", 413),
        ("/v1/apps/shop/notifications", "Content-Type: text/plain\r\n", 415),
        ("/v1/apps/nobody/notifications", "Content-Type: application/json\r\n", 404),
    ] {
        let mut stream = TcpStream::connect(api).await.unwrap();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        for part in body.chunks(64 << 10) {
            stream.write_all(part).await.unwrap_or_else(|error| panic!("{status}: it is cut off: {error}"));
        }
        let answer = read_answer(&mut stream).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_is_refused_at_its_first_element_that_is_one_too_many() {
    let world = World::new().await;
    let mut config = world.config("");
    config.api.limits.batch = 10;
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let elements = vec![one(); 11].join(",");
    let mut stream = hang(api, "", &format!("[{elements}")).await;
    // The body goes on for ever; what comes is thrown away for a while, and then it is answered.
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let answer = tokio::time::timeout(SOON, read_answer(&mut stream)).await.unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (413, "#batch-too-large"), "{answer:?}");
    let ten = format!("[{}]", vec![one(); 10].join(","));
    assert_eq!(post(api, "/v1/apps/shop/notifications", &ten).await.status, 202);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_takes_nothing_from_another() {
    let world = World::new().await;
    let mut config = world.config(TOKENS);
    config.api.limits.token_requests = 3;
    config.api.limits.token_streams = 1;
    config.api.limits.token_bodies = 100_000;
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let (first, second) = (bearer("one"), bearer("two"));
    let json = "Content-Type: application/json\r\n";
    // Streams of events.
    let stream = EventSource::open(api, "/v1/apps/shop/outcomes", &first).await;
    let refused = call(api, "GET", "/v1/apps/shop/outcomes", &first, "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "#too-many"), "{refused:?}");
    let other = EventSource::open(api, "/v1/apps/shop/outcomes", &second).await;
    drop((stream, other));
    // Bytes of bodies.
    let large = " ".repeat(90_000);
    let hanging = hang(api, &first, &large).await;
    let send = async |headers: &str, body: &str| {
        call(api, "POST", "/v1/apps/shop/notifications", &format!("{headers}{json}"), body).await
    };
    until("the first body counts", async || send(&first, &format!("{large}{}", one())).await.status == 503).await;
    assert_eq!(send(&second, &format!("{large}{}", one())).await.status, 202);
    drop(hanging);
    until("what it held is free", async || send(&first, &format!("{large}{}", one())).await.status == 202).await;
    // Requests at a time.
    let mut many = Vec::new();
    until("they are all taken", async || {
        // One that comes while the question is answered is refused itself.
        many.push(hang(api, &first, "[").await);
        send(&first, &one()).await.status == 429
    })
    .await;
    assert_eq!(send(&second, &one()).await.status, 202);
    drop(many);
    until("they are free", async || send(&first, &one()).await.status == 202).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_while_all_connections_are_busy() {
    let world = World::new().await;
    let mut config = world.config("");
    config.api.limits.connections = 4;
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut busy = Vec::new();
    until("all are busy", async || {
        // One whose head was not read yet makes room for the question.
        busy.push(hang(api, "", "[").await);
        get(api, "/v1/apps").await.status == 503
    })
    .await;
    assert_eq!(get(api, "/healthz").await.status, 200);
    assert_eq!(get(api, "/readyz").await.status, 200);
    drop(busy);
    until("there is room", async || get(api, "/v1/apps").await.status == 200).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_reads_and_sends_nothing() {
    for tokens in ["", TOKENS] {
        let world = World::new().await;
        let daemon = Daemon::start(world.config(tokens)).await.unwrap();
        let auth = if tokens.is_empty() { String::new() } else { bearer("one") };
        for (address, method, path) in [
            (daemon.address("pyapns.rest_listen").unwrap(), "GET", "/apps/shop/sandbox/feedback"),
            (daemon.address("pyapns.rest_listen").unwrap(), "POST", "/apps/shop/sandbox/notifications"),
            (daemon.address("pyapns.listen").unwrap(), "POST", "/"),
        ] {
            for page in [
                "Sec-Fetch-Site: cross-site\r\n",
                "Sec-Fetch-Site: same-site\r\n",
                "Origin: https://example.com\r\n",
                "Origin: null\r\n",
            ] {
                let answer = call(address, method, path, &format!("{auth}{page}"), "[]").await;
                assert_eq!(answer.status, 403, "{method} {path} {page}: {answer:?}");
            }
            // Clients that are no browsers, and what a person types into one.
            for header in ["", "Sec-Fetch-Site: none\r\n", "Sec-Fetch-Site: same-origin\r\n"] {
                let answer = call(address, method, path, &format!("{auth}{header}"), "[]").await;
                assert_ne!(answer.status, 403, "{method} {path} {header}: {answer:?}");
            }
        }
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn who_provisions_does_not_learn_which_files_there_are() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let folder = world.folder.path();
    let pipe = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut told = Vec::new();
    for path in [folder.join("missing"), folder.to_owned(), pipe, folder.join("ca.pem/below")] {
        let body = format!("{{\"environment\": \"sandbox\", \"certificate\": \"{}\"}}", path.to_str().unwrap());
        let headers = "Content-Type: application/json\r\n";
        let asked = call(api, "PUT", "/v1/apps/new", headers, &body);
        let answer = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("nothing blocks");
        assert_eq!(answer.status, 422, "{answer:?}");
        told.push(answer.json()["errors"].clone());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    daemon.stop().await;
}
