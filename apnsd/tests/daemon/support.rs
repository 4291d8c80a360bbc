//! A simulator, a configuration that sends to it, and what tests ask for again and again.

use std::time::{Duration, Instant};

use apns_proto::{DeviceToken, Notification, Payload};
use apns_sim::{Script, Simulator};
use apnsd::config::Config;
use apnsd::{AppName, NotificationId, Service, Submission};
use tempfile::TempDir;

/// Long enough for anything that happens at all.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Waits for something that happens in the background.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    until_some(what, async || holds().await.then_some(())).await;
}

/// Asks for something until it is there.
pub(crate) async fn until_some<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A simulator whose certificates are in a folder.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) simulator: Simulator,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_script("{}").await
    }

    pub(crate) async fn with_script(script: &str) -> Self {
        let script = Script::from_json(script).unwrap();
        let simulator = Simulator::builder().script(script).start().await.unwrap();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        simulator.write_certificates(folder.path()).unwrap();
        Self { folder, simulator }
    }

    /// A configuration with the app `shop`, and ports that are free. `more` comes after the app's own lines.
    pub(crate) fn config(&self, more: &str) -> Config {
        Config::parse(&self.config_text(more), self.folder.path()).unwrap()
    }

    pub(crate) fn config_text(&self, more: &str) -> String {
        let port = self.simulator.http2_address().port();
        format!(
            "data = \"data\"\n\
             [api]\n\
             listen = \"127.0.0.1:0\"\n\
             [pyapns]\n\
             listen = \"127.0.0.1:0\"\n\
             rest_listen = \"127.0.0.1:0\"\n\
             [apps.shop]\n\
             environment = \"sandbox\"\n\
             signing_key = \"AuthKey_SIMULATOR0.p8\"\n\
             key_id = \"{}\"\n\
             team_id = \"{}\"\n\
             topic = \"com.example.app\"\n\
             host = \"localhost\"\n\
             port = {port}\n\
             ca = \"ca.pem\"\n\
             {more}",
            self.simulator.key_id(),
            self.simulator.team_id(),
        )
    }
}

pub(crate) fn shop() -> AppName {
    "shop".parse().unwrap()
}

/// A token of 32 bytes that ends in this number.
pub(crate) fn token(number: u32) -> DeviceToken {
    let mut bytes = [0xab; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    DeviceToken::from_bytes(bytes).unwrap()
}

pub(crate) fn notification(number: u32) -> Notification {
    Notification::new(token(number), Payload::alert("Tea is ready"))
}

/// Submits this many, and gives their ids.
pub(crate) async fn submit(service: &Service, count: u32) -> Vec<NotificationId> {
    let submissions: Vec<Submission> = (0..count).map(|number| notification(number).into()).collect();
    service.submit(&shop(), submissions).await.unwrap().into_iter().map(|accepted| accepted.id).collect()
}
