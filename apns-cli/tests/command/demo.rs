//! The demonstration adds up, and does not take long.

use std::time::{Duration, Instant};

use crate::support::run;

#[test]
fn it_adds_up_in_seconds() {
    let began = Instant::now();
    let run = run(["demo"]).expect(0);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    for words in [
        "1000 notifications are sent: 3 of them to devices that the service does not know",
        "Connection 1 ended: the service refuses the credential: 403 ExpiredProviderToken.",
        "Connection 2 ended: the service is going away: Shutdown.",
        "accepted   200                          995",
        "rejected   410 Unregistered               2",
        "1000 notifications are sent, each with this payload",
        "error frame  08 08 00000011: status 8 (invalid_token), identifier 17",
        "16 accepted (written before it), 1 rejected",
        "Connection 2 is open.",
        "together                  1000",
        "since 20",
        "It adds up: ",
    ] {
        assert!(run.stdout.contains(words), "{words:?} is not in\n{}", run.stdout);
    }
    assert_eq!(run.stderr, "");
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 210), "{}", run.stdout);
}
