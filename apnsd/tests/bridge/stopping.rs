//! The bridge goes down, or is killed.

use std::path::Path;
use std::process::{Child, Command};

use apns_proto::binary::{ErrorResponse, Status};
use apnsd::config::Config;
use apnsd::{Daemon, Signals};
use tokio_rustls::rustls::SupportedProtocolVersion;
use tokio_rustls::rustls::version::TLS12;

use crate::client::{Manners, Old, frame, payload};
use crate::support::{World, shop, token, until};
use crate::world::{BRIDGE, Bridged, bad, script};

const V1_2: &[&SupportedProtocolVersion] = &[&TLS12];

#[tokio::test(flavor = "multi_thread")]
async fn going_down_names_the_last_one_that_was_taken() {
    let bridged = Bridged::new().await;
    let mut old = bridged.connect().await;
    for place in 0..100 {
        old.write(&frame(500 + place, &token(place), &payload(place))).await;
    }
    until("all are taken", || async { bridged.accepted().len() == 100 }).await;
    // With TLS 1.2 a client is through with the handshake when the other side is.
    let idle = Manners { versions: V1_2, ..Manners::usual(&bridged) };
    let idle = Old::connect_as(&bridged, bridged.gateway(), &idle).await.unwrap();
    let Bridged { world, daemon } = bridged;
    let stopping = tokio::spawn(daemon.stop());
    assert_eq!(old.response().await, ErrorResponse { status: Status::SHUTDOWN, identifier: 599 });
    let (bytes, ended) = { idle }.read_to_end().await;
    assert!(bytes.is_empty() && ended.is_err(), "nothing was taken from it, and a proper end would be a yes");
    stopping.await.unwrap();
    drop(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_named_by_status_10_is_on_disk_although_nobody_could_deliver_it() {
    let world = World::with_script(&script()).await;
    let (usual, nowhere) = (world.config(BRIDGE), world.config_text(BRIDGE));
    let nowhere = sends_to(&nowhere, &world, free_address().port());
    let daemon = Daemon::start(Config::parse(&nowhere, world.folder.path()).unwrap()).await.unwrap();
    let bridged = Bridged { world, daemon };
    let mut old = bridged.connect().await;
    for place in 0..50 {
        old.write(&frame(place, &token(place), &payload(place))).await;
    }
    until("all are stored", || async { bridged.daemon.service().snapshot(&shop()).unwrap().taken == 50 }).await;
    let Bridged { world, daemon } = bridged;
    let stopping = tokio::spawn(daemon.stop());
    assert_eq!(old.response().await, ErrorResponse { status: Status::SHUTDOWN, identifier: 49 });
    stopping.await.unwrap();
    assert_eq!(world.simulator.counts().requests, 0);
    let again = Daemon::start(usual).await.unwrap();
    until("all arrive", || async { world.simulator.counts().requests_accepted == 50 }).await;
    again.stop().await;
}

/// The configuration with another port for the service.
fn sends_to(text: &str, world: &World, port: u16) -> String {
    let there = format!("port = {}\n", world.simulator.http2_address().port());
    assert!(text.contains(&there));
    text.replace(&there, &format!("port = {port}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_stored_is_named_and_never_passed_over_in_silence() {
    let bridged = Bridged::new().await;
    // TLS 1.2, so that both sides are through with the handshake here.
    let manners = Manners { versions: V1_2, ..Manners::usual(&bridged) };
    let mut old = Old::connect_as(&bridged, bridged.gateway(), &manners).await.unwrap();
    let usual = bridged.world.config_text(BRIDGE);
    let (without, bridge) = (usual.split("[apps.shop]").next().unwrap(), BRIDGE);
    let without = Config::parse(&format!("{without}{bridge}"), bridged.world.folder.path()).unwrap();
    bridged.daemon.reload(&without).await.unwrap();
    let all: Vec<u8> = (100..103).flat_map(|place| frame(place, &token(place), &payload(place))).collect();
    old.write(&all).await;
    assert_eq!(old.response().await, ErrorResponse { status: Status::PROCESSING_ERROR, identifier: 100 });
    bridged.daemon.stop().await;
}

/// Names the file of the daemon that a child of this test is.
const CHILD: &str = "APNSD_TEST_BRIDGE";

/// Not a test of its own: what [`killed_between_taking_and_delivering_nothing_is_lost`] kills.
#[tokio::test(flavor = "multi_thread")]
async fn be_the_daemon() {
    let Ok(file) = std::env::var(CHILD) else { return };
    let signals = Signals::listen().unwrap();
    let daemon = Daemon::start(Config::load(Path::new(&file)).unwrap()).await.unwrap();
    daemon.run(None, signals).await;
}

struct Victim(Child);

impl Victim {
    fn start(config: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        Self(command.args(["--exact", "stopping::be_the_daemon"]).env(CHILD, config).spawn().unwrap())
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_address() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_taking_and_delivering_nothing_is_lost() {
    let world = World::with_script(&script()).await;
    let (gateway, api, nowhere) = (free_address(), free_address(), free_address());
    let file = world.folder.path().join("apnsd.toml");
    let text = world.config_text(&format!(
        "loss = \"resend\"\n[bridge]\nlisten = \"{gateway}\"\nfeedback_listen = \"127.0.0.1:0\"\n"
    ));
    let text = text.replacen("127.0.0.1:0", &api.to_string(), 1);
    // First to an address where nobody is, so that everything is taken and nothing delivered.
    std::fs::write(&file, sends_to(&text, &world, nowhere.port())).unwrap();
    let victim = Victim::start(&file);
    until("it listens", || async { tokio::net::TcpStream::connect(gateway).await.is_ok() }).await;
    // The last of its own certificate's files.
    let made = world.folder.path().join("data/bridge-tls/server.pem");
    until("it has a certificate", || async { made.exists() }).await;
    let ca = std::fs::read_to_string(world.folder.path().join("data/bridge-tls/ca.pem")).unwrap();
    let manners = Manners::with(world.simulator.client_certificate_pem(), world.simulator.client_key_pem());
    let mut old = Old::connect_with(&ca, gateway, &manners).await.unwrap();
    for place in 0..200 {
        old.write(&frame(place, &token(place), &payload(place))).await;
    }
    old.write(&frame(200, &bad(1), &payload(200))).await;
    until("all are taken", || async {
        let metrics = crate::http::get(api, "/metrics").await.body;
        metrics.lines().any(|line| line == "apnsd_taken_total{app=\"shop\"} 201")
    })
    .await;
    drop(victim);
    let (bytes, _) = old.read_to_end().await;
    assert!(bytes.is_empty(), "killed without a word");

    std::fs::write(&file, text).unwrap();
    let _again = Victim::start(&file);
    until("all good ones arrive", || async { world.simulator.counts().requests_accepted == 200 }).await;
    until("the bad one is refused", || async { world.simulator.counts().requests == 201 }).await;
    let tokens: std::collections::BTreeSet<_> =
        world.simulator.requests().into_iter().filter_map(|request| request.token).collect();
    assert_eq!(tokens.len(), 201, "each once");
}
