//! What the tests over real sockets share.

use apns_driver::BinaryBuilder;
use apns_sim::Simulator;
use apns_tokio::proto::{DeviceToken, Notification, Payload};
use apns_tokio::{Client, Endpoint, Identity, Roots, Tokio};

/// Where the simulator's gateway is, by a name that its certificate is good for.
pub(crate) fn gateway(simulator: &Simulator) -> Endpoint {
    let address = simulator.gateway_address();
    Endpoint::new(address.ip().to_string(), address.port())
}

pub(crate) fn feedback(simulator: &Simulator) -> Endpoint {
    let address = simulator.feedback_address();
    Endpoint::new(address.ip().to_string(), address.port())
}

pub(crate) fn identity(simulator: &Simulator) -> Identity {
    let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
    Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None).expect("the simulator makes good ones")
}

pub(crate) fn roots(simulator: &Simulator) -> Roots {
    Roots::only_pem(simulator.ca_pem().as_bytes()).expect("the simulator makes good ones")
}

pub(crate) fn client(simulator: &Simulator) -> BinaryBuilder<Tokio> {
    Client::binary(gateway(simulator), identity(simulator)).roots(roots(simulator))
}

/// The first byte of every token that the script [`BAD_TOKENS`] refuses.
pub(crate) const BAD: u8 = 0xbb;

pub(crate) const BAD_TOKENS: &str = r#"{"invalid_tokens": ["bb*"]}"#;

pub(crate) fn token(first: u8, number: u32) -> DeviceToken {
    let mut bytes = [first; 32];
    bytes[1..5].copy_from_slice(&number.to_be_bytes());
    DeviceToken::from_bytes(bytes).expect("32 bytes are a token")
}

pub(crate) fn good(number: u32, payload: &Payload) -> Notification {
    Notification::new(token(0xaa, number), payload.clone())
}

pub(crate) fn bad(number: u32, payload: &Payload) -> Notification {
    Notification::new(token(BAD, number), payload.clone())
}
