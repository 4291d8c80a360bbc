//! Apps that go through a proxy.

use std::fs;
use std::sync::Arc;

use apnsd::{Daemon, Health};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::http::get;
use crate::support::{World, shop, submit, until, until_some};

/// `me:s3cret`, as HTTP has it.
const BASIC: &str = "\r\nProxy-Authorization: Basic bWU6czNjcmV0\r\n";

/// Listens until the test ends, and keeps what it was asked for. The tunnels all lead to this machine.
async fn proxy_with_credentials() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let kept = kept.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await?);
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                let authority = head.split(' ').nth(1).unwrap_or_default().to_owned();
                kept.lock().push(authority.clone());
                if !head.contains(BASIC) {
                    let no = b"HTTP/1.1 407 Who is there\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
                    client.write_all(no).await?;
                    return client.shutdown().await;
                }
                let mut service = TcpStream::connect(authority).await?;
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                copy_bidirectional(&mut client, &mut service).await.map(drop)
            });
        }
    });
    (port, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_refuses_waits_until_its_password_is_mended() {
    let world = World::new().await;
    let (port, asked) = proxy_with_credentials().await;
    let password = world.folder.path().join("password");
    fs::write(&password, "other\n").unwrap();
    let more = format!("proxy = \"http://me@127.0.0.1:{port}\"\nproxy_password_file = \"password\"\n");
    let config = world.config(&more);
    let daemon = Daemon::start(config.clone()).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let service = daemon.service();
    submit(service, 20).await;
    let why = until_some("the app fails", async || match service.snapshot(&shop()).unwrap().health {
        Health::Failing { why } => Some(why),
        _ => None,
    })
    .await;
    assert!(why.contains("the proxy opened no tunnel") && why.contains("407 Who is there"), "{why}");
    assert!(why.contains("does not take the user and the password") && !why.contains("other"), "{why}");
    let snapshot = service.snapshot(&shop()).unwrap();
    assert!(snapshot.refusals.is_empty(), "the service refused nothing: {:?}", snapshot.refusals);
    let counts = service.counts(&shop()).await.unwrap();
    assert_eq!(counts.waiting + counts.in_flight, 20, "nothing is thrown away");

    let told = get(api, "/v1/apps/shop").await.json();
    assert_eq!(told["proxy"], format!("http://127.0.0.1:{port}"), "{told}");
    let page = get(api, "/").await.body;
    assert!(page.contains(&format!("through http://127.0.0.1:{port}")), "{page}");

    fs::write(&password, "s3cret\n").unwrap();
    service.reload(&config).await.unwrap();
    until("all are delivered", async || world.simulator.requests().len() == 20).await;
    until("it works", async || service.snapshot(&shop()).unwrap().health == Health::Working).await;
    let place = format!("localhost:{}", world.simulator.http2_address().port());
    assert!(asked.lock().iter().all(|asked| *asked == place), "{asked:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_gateway_and_its_feedback_service_are_reached_through_the_proxy() {
    let world = World::with_script(r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1}]}}"#).await;
    let (port, asked) = proxy_with_credentials().await;
    let mut config = world.config(&format!("proxy = \"http://me:s3cret@127.0.0.1:{port}\"\n"));
    let (gateway, feedback) = (world.simulator.gateway_address().port(), world.simulator.feedback_address().port());
    let app = config.apps.get_mut(&shop()).unwrap();
    (app.signing_key, app.key_id, app.team_id) = (None, None, None);
    app.certificate = Some(world.folder.path().join("client.pem"));
    app.key = Some(world.folder.path().join("client.key"));
    app.transport = apnsd::config::Transport::Binary;
    (app.port, app.feedback_host, app.feedback_port) = (Some(gateway), Some("localhost".to_owned()), Some(feedback));
    let daemon = Daemon::start(config).await.unwrap();
    submit(daemon.service(), 5).await;
    until("all are delivered", async || world.simulator.received().len() == 5).await;
    let places = [format!("localhost:{gateway}"), format!("localhost:{feedback}")];
    until("both were asked for", async || places.iter().all(|place| asked.lock().contains(place))).await;
    daemon.stop().await;
}
