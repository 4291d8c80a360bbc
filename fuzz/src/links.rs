//! Client against service over a hostile link: the simulation's days, with the bytes of a fuzzer for dice.

use crate::pretend::dice::Dice;
use crate::pretend::{gateway_day, provider_day};

/// A day of the binary protocol.
pub fn binary_link(data: &[u8]) {
    let (mut world, day) = gateway_day::build(Dice::of_bytes(data));
    world.run();
    gateway_day::verify(&world, &day);
}

/// A day of the provider API.
pub fn http2_link(data: &[u8]) {
    let (mut world, day) = provider_day::build(Dice::of_bytes(data));
    world.run();
    provider_day::verify(&world, &day);
}
