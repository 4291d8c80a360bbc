//! A daemon as clients of pyapns find it.

use std::net::SocketAddr;

use apns_sim::RequestRecord;
use apnsd::Daemon;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::http::{Answer, read_answer};
use crate::support::{World, until_some};

/// A daemon whose apps, also those that clients provision, send to the simulator.
pub(crate) struct Old {
    pub(crate) world: World,
    pub(crate) daemon: Daemon,
}

impl Old {
    pub(crate) async fn new() -> Self {
        Self::with("{}", "").await
    }

    /// `more` comes at the end of the configuration.
    pub(crate) async fn with(script: &str, more: &str) -> Self {
        let world = World::with_script(script).await;
        let daemon = Self::start(&world, more).await;
        Self { world, daemon }
    }

    pub(crate) async fn start(world: &World, more: &str) -> Daemon {
        let port = world.simulator.http2_address().port();
        let app = format!("[pyapns.app]\nhost = \"localhost\"\nport = {port}\nca = \"ca.pem\"\n{more}");
        Daemon::start(world.config(&app)).await.unwrap()
    }

    pub(crate) fn rpc(&self) -> SocketAddr {
        self.daemon.address("pyapns.listen").unwrap()
    }

    pub(crate) fn rest(&self) -> SocketAddr {
        self.daemon.address("pyapns.rest_listen").unwrap()
    }

    /// The client certificate with its key, as pyapns wanted it: one file, one text.
    pub(crate) fn pem(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.world.folder.path().join(name)).unwrap();
        read("client.pem") + &read("client.key")
    }

    /// The path of such a file.
    pub(crate) fn pem_path(&self) -> String {
        let path = self.world.folder.path().join("both.pem");
        std::fs::write(&path, self.pem()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// What arrived at the service, once there is so much of it.
    pub(crate) async fn requests(&self, count: usize) -> Vec<RequestRecord> {
        let arrived = async || Some(self.world.simulator.requests()).filter(|requests| requests.len() >= count);
        until_some(&format!("{count} requests arrive"), arrived).await
    }
}

/// Sends these bytes as they are, and reads the answer to its end.
pub(crate) async fn exchange(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has made up its mind closes before all is written.
    drop(stream.write_all(bytes).await);
    read_answer(&mut stream).await
}
