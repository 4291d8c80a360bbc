//! A gateway, a feedback service and a provider API for a client in any language, with every event as a line of JSON.
//!
//! ```text
//! cargo run -p apns-sim --example gateway -- DIRECTORY [SCRIPT]
//! ```
//!
//! Certificates and the key for provider tokens go into the directory; the addresses are the first line that is printed.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::error::Error;

use apns_sim::{Entry, Keep, Script, Simulator};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("usage: gateway DIRECTORY [SCRIPT]")?;
    let script = match arguments.next() {
        Some(path) => Script::from_json(&std::fs::read_to_string(path)?)?,
        None => Script::default(),
    };
    let print = |entry: &Entry| println!("{}", entry.to_json());
    let simulator = Simulator::builder().script(script).keep(Keep::Counts).on_entry(print).start().await?;
    simulator.write_certificates(&directory)?;
    let (gateway, feedback) = (simulator.gateway_address(), simulator.feedback_address());
    println!("gateway {gateway} feedback {feedback} http2 {}", simulator.http2_address());
    // Until it is interrupted.
    std::future::pending().await
}
