//! Callers that have no business here, and how cheaply they are turned away.

use std::time::{Duration, Instant};

use apnsd::config::Config;
use apnsd::{AppName, Daemon};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::http::{call, get, post, read_answer};
use crate::support::{SOON, World, token};

const NOTIFICATIONS: &str = "/v1/apps/shop/notifications";

fn body(number: u32) -> String {
    json!({"token": token(number).to_hex(), "payload": {"aps": {"alert": "Tea is ready"}}}).to_string()
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n")
}

const TOKENS: &str = "
[[token]]
name = \"shop\"
secret = \"shop-secret-0123456789\"
apps = [\"shop\"]
[[token]]
name = \"bank\"
secret = \"bank-secret-0123456789\"
apps = [\"bank\"]
[[token]]
name = \"root\"
secret = \"root-secret-0123456789\"
admin = true
";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_its_own_app_alone_and_is_changed_while_running() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config(TOKENS)).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let send = async |token: &str| call(api, "POST", NOTIFICATIONS, &bearer(token), &body(1)).await;
    let without = post(api, NOTIFICATIONS, &body(1)).await;
    assert_eq!((without.status, without.problem()), (401, "#unauthorized".to_owned()));
    assert!(without.head.to_ascii_lowercase().contains("www-authenticate: bearer"));
    assert_eq!(send("guess-0123456789").await.status, 401);
    let others = send("bank-secret-0123456789").await;
    assert_eq!((others.status, others.problem()), (403, "#forbidden".to_owned()));
    let accepted = send("shop-secret-0123456789").await;
    assert_eq!(accepted.status, 202);

    // What became of it is nobody else's business either, nor is whether there is an app.
    let path = format!("/v1/notifications/{}", accepted.json()["id"].as_str().unwrap());
    assert_eq!(call(api, "GET", &path, &bearer("bank-secret-0123456789"), "").await.status, 404);
    assert_eq!(call(api, "GET", &path, &bearer("shop-secret-0123456789"), "").await.status, 200);
    for path in ["/v1/apps/shop", "/v1/apps/nobody", "/v1/apps/shop/outcomes", "/v1/apps/shop/invalid-tokens"] {
        assert_eq!(call(api, "GET", path, &bearer("bank-secret-0123456789"), "").await.status, 403, "{path}");
    }
    assert_eq!(call(api, "GET", "/v1/apps", &bearer("bank-secret-0123456789"), "").await.json(), json!([]));
    assert_eq!(call(api, "PUT", "/v1/apps/new", &bearer("shop-secret-0123456789"), "{}").await.status, 403);
    assert_eq!(call(api, "DELETE", "/v1/apps/shop", &bearer("shop-secret-0123456789"), "").await.status, 403);
    assert_eq!(get(api, "/").await.status, 401);
    assert_eq!(get(api, "/metrics").await.status, 401);
    assert_eq!(get(api, "/healthz").await.status, 200);
    assert_eq!(get(api, "/readyz").await.status, 200);
    // What a browser sends: user and password. "x:root-secret-0123456789" in base64.
    let basic = "Authorization: Basic eDpyb290LXNlY3JldC0wMTIzNDU2Nzg5\r\n";
    assert_eq!(call(api, "GET", "/", basic, "").await.status, 200);

    let rotated = TOKENS.replace("shop-secret", "next-secret");
    daemon.service().reload(&world.config(&rotated)).await.unwrap();
    assert_eq!(send("shop-secret-0123456789").await.status, 401);
    assert_eq!(send("next-secret-0123456789").await.status, 202);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn off_loopback_a_token_is_needed() {
    let world = World::new().await;
    let text = world.config_text("");
    let open = text.replace("listen = \"127.0.0.1:0\"\n[pyapns]", "listen = \"0.0.0.0:0\"\n[pyapns]");
    let error = Config::parse(&open, world.folder.path()).unwrap_err();
    assert_eq!(error.field.as_deref(), Some("api.listen"));
    let config = Config::parse(&format!("{open}{TOKENS}"), world.folder.path()).unwrap();
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    assert!(api.ip().is_unspecified());
    // A configuration that takes the tokens away is refused, and those in force stay.
    let error = daemon
        .service()
        .reload(
            &Config::parse(&text, world.folder.path())
                .map(|mut config| {
                    config.api.listen = Some(api);
                    config
                })
                .unwrap(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.field.as_deref(), Some("api.listen"));
    let port = (std::net::Ipv4Addr::LOCALHOST, api.port()).into();
    assert_eq!(get(port, "/v1/apps").await.status, 401);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_this_machines_is_not_answered() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    for (host, status) in
        [("evil.example", 403), ("localhost.evil.example:80", 403), ("127.0.0.1:7080", 200), ("[::1]:7080", 200)]
    {
        let mut stream = TcpStream::connect(api).await.unwrap();
        let request = format!("GET /v1/apps HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.status, status, "{host}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_not_read() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    // A gigabyte that is announced is not even begun.
    let mut stream = TcpStream::connect(api).await.unwrap();
    let head = format!(
        "POST {NOTIFICATIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.problem()), (413, "#body-too-large".to_owned()));

    // One that is not announced ends at the limit.
    let mut stream = TcpStream::connect(api).await.unwrap();
    let head = format!(
        "POST {NOTIFICATIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let mut sent = 0_usize;
    let write = async {
        while writing.write_all(chunk.as_bytes()).await.is_ok() {
            sent += 0x10000;
            assert!(sent < 200 << 20, "it goes on being read");
        }
    };
    let read = async {
        let mut bytes = vec![0; 4096];
        let count = reading.read(&mut bytes).await.unwrap_or_default();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let ((), answer) = tokio::join!(write, read);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    // A line without end is refused as well, in the answer to the lines before it.
    let mut stream = TcpStream::connect(api).await.unwrap();
    let length = body(1).len() + 1 + (1 << 20);
    let head = format!(
        "POST {NOTIFICATIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n{}\n",
        body(1)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream.write_all(" ".repeat(1 << 20).as_bytes()).await);
    let answer = read_answer(&mut stream).await;
    assert!(answer.body.contains("#body-too-large") && answer.body.contains("\"accepted\":1"), "{answer:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_as_deep_as_it_is_wrong_is_refused() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let deep = "[".repeat(1_000_000);
    let wrong = [
        deep.clone(),
        format!("{{\"token\": \"{}\", \"payload\": {deep}", token(1).to_hex()),
        format!("{{\"token\": \"{}\", \"payload\": {{\"a\": {deep}{}}}}}", token(1).to_hex(), "]".repeat(1_000_000)),
        "{\"token\": 1e999999, \"payload\": {}}".to_owned(),
        "\u{0}".to_owned(),
        String::new(),
        "null".to_owned(),
    ];
    for body in wrong {
        let answer = post(api, NOTIFICATIONS, &body).await;
        assert!(matches!(answer.status, 413 | 422 | 400), "{answer:?}");
    }
    assert_eq!(post(api, NOTIFICATIONS, &body(1)).await.status, 202);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_has_a_clear_answer() {
    let world = World::new().await;
    let more = "rate = 50\n[outbox]\nmax_notifications = 150\nmax_per_app = 100\n";
    let text = world.config_text(more).replace("[pyapns]", "max_batch = 60\n[pyapns]");
    let mut config = Config::parse(&text, world.folder.path()).unwrap();
    // An app that cannot send: its part of the outbox fills up.
    let shop = AppName::new("shop").unwrap();
    config.apps.get_mut(&shop).unwrap().port = Some(closed_port());
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let batch = |count: u32| format!("[{}]", (0..count).map(body).collect::<Vec<_>>().join(","));
    let large = post(api, NOTIFICATIONS, &batch(61)).await;
    assert_eq!((large.status, large.problem()), (413, "#batch-too-large".to_owned()));
    assert_eq!(post(api, NOTIFICATIONS, &batch(60)).await.status, 202);
    let fast = post(api, NOTIFICATIONS, &batch(1)).await;
    assert_eq!((fast.status, fast.problem()), (429, "#too-fast".to_owned()));
    let wait: u64 = fast.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait));
    // In its time it goes on, up to the bound of the outbox.
    let began = Instant::now();
    let full = loop {
        let answer = post(api, NOTIFICATIONS, &batch(41)).await;
        match answer.status {
            429 => assert!(began.elapsed() < SOON),
            _ => break answer,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((full.status, full.problem()), (503, "#outbox-full".to_owned()));
    assert!(full.header("retry-after").is_some());
    assert!(full.json()["detail"].as_str().unwrap().contains("at most 100 may"), "{full:?}");
    daemon.stop().await;
}

fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_work() {
    let world = World::new().await;
    // The full figure needs as many file descriptors on both sides.
    let count = std::env::var("APNSD_IDLE_CONNECTIONS").map_or(1500, |text| text.parse().unwrap());
    let text = world.config_text("").replace("[pyapns]", "max_connections = 100\nhead_within = \"2s\"\n[pyapns]");
    let daemon = Daemon::start(Config::parse(&text, world.folder.path()).unwrap()).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut idle = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(api).await.unwrap();
        if number % 2 == 0 {
            // As slow as can be.
            drop(stream.write_all(b"POST / HTTP/1.1\r\nX-").await);
        }
        idle.push(stream);
        if number % 100 == 99 {
            let began = Instant::now();
            assert_eq!(post(api, NOTIFICATIONS, &body(number)).await.status, 202);
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        }
    }
    // None of them is left for long.
    for mut stream in idle {
        let mut byte = [0; 512];
        let closed = tokio::time::timeout(SOON, async {
            while matches!(stream.read(&mut byte).await, Ok(count) if count > 0) {}
        });
        closed.await.expect("an idle connection is closed");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::new().await;
    let text = world.config_text("").replace("[pyapns]", "body_idle = \"300ms\"\n[pyapns]");
    let daemon = Daemon::start(Config::parse(&text, world.folder.path()).unwrap()).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut stream = TcpStream::connect(api).await.unwrap();
    let head = format!(
        "POST {NOTIFICATIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.problem()), (408, "#body-too-slow".to_owned()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_tls_is_turned_away_and_what_is_is_served() {
    use std::sync::Arc;

    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let world = World::new().await;
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(world.folder.path().join("api.pem"), cert.pem()).unwrap();
    std::fs::write(world.folder.path().join("api.key"), signing_key.serialize_pem()).unwrap();
    let tls = "[api.tls]\nlisten = \"127.0.0.1:0\"\ncertificate = \"api.pem\"\nkey = \"api.key\"\n[pyapns]";
    let text = world.config_text("").replace("[pyapns]", &format!("head_within = \"2s\"\n{tls}"));
    let daemon = Daemon::start(Config::parse(&text, world.folder.path()).unwrap()).await.unwrap();
    let address = daemon.address("api.tls.listen").unwrap();

    let long = [0x16_u8; 5000];
    for junk in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\xff\xff", &long, b""] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(junk).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(SOON, stream.read_to_end(&mut rest)).await;
        drop(ended.expect("it is closed"));
    }

    let trusting = |authority: &rcgen::Certificate| {
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    };
    let ask = async |connector: TlsConnector| {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("ok\n"), "{text}");
        Ok::<_, std::io::Error>(())
    };
    ask(trusting(&cert)).await.unwrap();

    // A renewed certificate is taken without a restart; one that does not belong to its key changes nothing.
    let config = Config::parse(&text, world.folder.path()).unwrap();
    let renewed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(world.folder.path().join("api.pem"), renewed.cert.pem()).unwrap();
    let error = daemon.reload(&config).await.unwrap_err();
    assert_eq!(error.field.as_deref(), Some("api.tls.certificate"));
    ask(trusting(&cert)).await.unwrap();
    std::fs::write(world.folder.path().join("api.key"), renewed.signing_key.serialize_pem()).unwrap();
    daemon.reload(&config).await.unwrap();
    ask(trusting(&renewed.cert)).await.unwrap();
    assert!(ask(trusting(&cert)).await.is_err());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_read_again_is_judged_by_the_ports_that_there_are() {
    let world = World::new().await;
    let open = world.config_text("").replacen("127.0.0.1:0", "0.0.0.0:0", 1);
    let secured = format!("{open}[[token]]\nname = \"shop\"\nsecret = \"a secret of this length\"\nadmin = true\n");
    let config = |text: &str| Config::parse(text, world.folder.path()).unwrap();
    let daemon = Daemon::start(config(&secured)).await.unwrap();
    // Alone this one is fine; but the port is open to others.
    let refused = daemon.reload(&world.config("")).await.unwrap_err();
    assert!(refused.to_string().starts_with("api.listen: "), "{refused}");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], daemon.address("api.listen").unwrap().port()));
    assert_eq!(get(address, "/v1/apps").await.status, 401, "tokens are asked for as before");
    daemon.stop().await;
}
