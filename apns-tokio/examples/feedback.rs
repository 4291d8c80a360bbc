//! Reads the feedback service of the binary protocol: the devices on which the app is gone.
//!
//! ```text
//! cargo run -p apns-tokio --example feedback
//! cargo run -p apns-tokio --example feedback -- HOST PORT CA.pem CERTIFICATE.pem KEY.pem
//! ```
//!
//! Without arguments it reads from a simulator on this machine. The service clears its list by being read.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;

use apns_sim::Simulator;
use futures_util::StreamExt;

use apns_tokio::feedback::fetch;
use apns_tokio::proto::WallTime;
use apns_tokio::{Endpoint, Identity, Roots};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            let simulator = Simulator::builder().start_on_thread()?;
            simulator.push_feedback([0xaa; 32], WallTime::from_secs(1_700_000_000));
            simulator.push_feedback([0xbb; 32], WallTime::from_secs(1_700_000_001));
            let endpoint = Endpoint::new("localhost", simulator.feedback_address().port());
            let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
            let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None)?;
            let roots = Roots::only_pem(simulator.ca_pem().as_bytes())?;
            assert_eq!(read(endpoint.clone(), identity.clone(), roots.clone()).await?, 2);
            assert_eq!(read(endpoint, identity, roots).await?, 0);
        }
        [host, port, ca, certificate, key] => {
            let roots = Roots::only_pem(&std::fs::read(ca)?)?;
            let identity = Identity::from_files(certificate.as_ref(), Some(key.as_ref()), None)?;
            read(Endpoint::new(host, port.parse()?), identity, roots).await?;
        }
        _ => return Err("no arguments, or HOST PORT CA CERTIFICATE KEY".into()),
    }
    Ok(())
}

async fn read(endpoint: Endpoint, identity: Identity, roots: Roots) -> Result<usize, Box<dyn Error>> {
    let mut records = fetch(endpoint, identity).roots(roots).start()?;
    let mut count = 0;
    while let Some(record) = records.next().await {
        // An error says that the list is not complete. What came before it stands, and is not told again.
        let record = record?;
        let token: String = record.token.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("gone since second {}: {token}", record.timestamp.as_secs());
        count += 1;
    }
    println!("{count} devices");
    Ok(count)
}
