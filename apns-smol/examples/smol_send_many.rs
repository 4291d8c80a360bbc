//! Ten tasks of smol share one client.
//!
//! ```text
//! cargo run -p apns-smol --example smol_send_many
//! ```
//!
//! There is nothing to set up: the client's own task runs on smol's global executor, as the tasks below do.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;
use std::time::Duration;

use apns_sim::Simulator;
use apns_smol::proto::{DeviceToken, Notification, Payload};
use apns_smol::{Client, Endpoint, Identity, Roots};

fn main() -> Result<(), Box<dyn Error>> {
    let simulator = Simulator::builder().start_on_thread()?;
    let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
    let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None)?;
    let endpoint = Endpoint::new("localhost", simulator.http2_address().port());
    let roots = Roots::only_pem(simulator.ca_pem().as_bytes())?;

    smol::block_on(async {
        let client = Client::http2(endpoint, identity).roots(roots).start()?;
        let payload = Payload::alert("Tea is ready");
        // Tasks of smol share the client.
        let senders: Vec<_> = (0..10)
            .map(|number| {
                let (client, payload) = (client.clone(), payload.clone());
                smol::spawn(async move {
                    smol::Timer::after(Duration::from_millis(number.into())).await;
                    let token = DeviceToken::from_bytes([number; 32]).expect("32 bytes are a token");
                    client.send(Notification::new(token, payload)).await
                })
            })
            .collect();
        for sender in senders {
            let outcome = sender.await;
            assert!(outcome.is_accepted(), "{outcome:?}");
        }
        assert_eq!(client.close(Duration::from_secs(10)).await.unsettled, []);
        println!("ten notifications were accepted");
        Ok(())
    })
}
