//! Conversations between sessions and pretend services of the provider API, in memory and in pretend time.

#![cfg(all(feature = "http2", feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

mod world;

use apns_proto::{Outcome, Proof};
use world::*;

#[test]
fn each_notification_gets_its_own_answer() {
    for split in SPLITS {
        let mut world = World::of(|_, request| match key_of(request) {
            2 => refuse(400, "BadDeviceToken"),
            _ => accept(request),
        })
        .split(split);
        world.submit(1..=3);
        let accepted = |key| Outcome::Accepted { proof: Proof::Confirmed, apns_id: Some(id_of(key)), unique_id: None };
        assert_eq!(*world.outcome(1), accepted(1));
        assert_eq!(*world.outcome(3), accepted(3));
        let Outcome::Rejected(rejection) = world.outcome(2) else { panic!("2 was refused") };
        assert_eq!((rejection.status(), rejection.reason()), (400, "BadDeviceToken"));
        assert_eq!(world.dials.len(), 1);
    }
}
