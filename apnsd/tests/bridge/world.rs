//! A daemon with a bridge, in front of a simulator.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use apns_proto::DeviceToken;
use apns_sim::RequestRecord;
use apnsd::Daemon;

use crate::client::Old;
use crate::support::{World, shop, token, until};

/// Tokens from this number on are bad.
pub(crate) const BAD: u32 = 0x4000_0000;
/// Tokens from this number on are unregistered.
pub(crate) const GONE: u32 = 0x8000_0000;
/// Since this time, in milliseconds.
pub(crate) const GONE_SINCE: u64 = 1_700_000_000_123;

/// A token that the service does not know.
pub(crate) fn bad(number: u32) -> DeviceToken {
    token(BAD + number)
}

/// A token on which the app is gone.
pub(crate) fn gone(number: u32) -> DeviceToken {
    token(GONE + number)
}

/// A simulator that refuses [`bad`] and [`gone`] tokens of numbers below 1000.
pub(crate) fn script() -> String {
    let hex = |token: DeviceToken| format!("\"{}\"", token.to_hex());
    let bad: Vec<String> = (0..1000).map(|number| hex(bad(number))).collect();
    let gone: Vec<String> = (0..1000)
        .map(|number| format!("{{\"token\": {}, \"timestamp_ms\": {GONE_SINCE}}}", hex(gone(number))))
        .collect();
    format!("{{\"invalid_tokens\": [{}], \"http2\": {{\"unregistered\": [{}]}}}}", bad.join(","), gone.join(","))
}

/// Both ports of a bridge.
pub(crate) const BRIDGE: &str = "[bridge]\nlisten = \"127.0.0.1:0\"\nfeedback_listen = \"127.0.0.1:0\"\n";

pub(crate) struct Bridged {
    pub(crate) world: World,
    pub(crate) daemon: Daemon,
}

impl Bridged {
    pub(crate) async fn new() -> Self {
        Self::with("", "").await
    }

    /// `app` comes into the app's table, `bridge` into that of the bridge.
    pub(crate) async fn with(app: &str, bridge: &str) -> Self {
        Self::with_script(&script(), app, bridge).await
    }

    pub(crate) async fn with_script(script: &str, app: &str, bridge: &str) -> Self {
        let world = World::with_script(script).await;
        let daemon = Daemon::start(world.config(&format!("{app}\n{BRIDGE}{bridge}"))).await.unwrap();
        Self { world, daemon }
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.daemon.address("bridge.listen").unwrap()
    }

    pub(crate) fn feedback(&self) -> SocketAddr {
        self.daemon.address("bridge.feedback_listen").unwrap()
    }

    /// What clients have to trust.
    pub(crate) fn ca(&self) -> String {
        std::fs::read_to_string(self.world.folder.path().join("data/bridge-tls/ca.pem")).unwrap()
    }

    pub(crate) async fn connect(&self) -> Old {
        Old::connect(self).await
    }

    /// How often the simulator took something for each device token.
    pub(crate) fn accepted(&self) -> BTreeMap<Vec<u8>, u64> {
        self.world.simulator.inspect(|log| {
            let mut counts = BTreeMap::new();
            for request in log.requests().filter(|request| request.accepted()) {
                *counts.entry(request.token.as_deref().unwrap().to_vec()).or_default() += 1;
            }
            counts
        })
    }

    pub(crate) fn requests(&self) -> Vec<RequestRecord> {
        self.world.simulator.requests()
    }

    /// Waits until nothing is under way.
    pub(crate) async fn idle(&self) {
        let service = self.daemon.service();
        until("nothing is under way", || async {
            let counts = service.total().await.unwrap();
            counts.waiting + counts.in_flight == 0
        })
        .await;
    }

    /// Waits until so many were taken, and have their outcomes.
    pub(crate) async fn settled(&self, taken: u64) {
        let service = self.daemon.service();
        until("everything has its outcome", || async {
            let counts = service.total().await.unwrap();
            service.snapshot(&shop()).unwrap().taken == taken && counts.waiting + counts.in_flight == 0
        })
        .await;
    }
}
