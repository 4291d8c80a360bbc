//! A transport that is not a socket: a pipe in memory, with a gateway at its other end that plays a script.
//!
//! ```text
//! cargo run -p apns-proto --example custom_transport
//! ```
//!
//! The clock is the example's own too, so that three seconds of silence take no time. It fails when a notification does
//! not end as it must.

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use apns_proto::binary::{Client, Config, Limits, NotificationDecoder};
use apns_proto::{
    CloseReason, Closed, Connection, ConnectionEvent, DeviceToken, End, Fate, Machine, Notification, Now, Outcome,
    Payload, Submission, Transmit, WallTime,
};
use bytes::BytesMut;

/// A clock that stands still until it is told to move.
struct Clock(Now);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "an `Instant` cannot be made otherwise; this is the only reading")]
    fn start() -> Self {
        Self(Now::new(Instant::now(), WallTime::from_secs(1_700_000_000)))
    }

    fn advance(&mut self, span: Duration) {
        self.0 = Now::new(self.0.instant + span, self.0.wall.saturating_add(span));
    }
}

/// The peer: reads whole notifications, and follows its script.
struct ScriptedGateway {
    decoder: NotificationDecoder,
    taken: Vec<u8>,
    /// Refuses a token that begins with this byte, with an error response, and reads nothing more.
    refuses: u8,
    closed: bool,
}

impl ScriptedGateway {
    fn new(refuses: u8) -> Self {
        Self { decoder: NotificationDecoder::new(Limits::default()), taken: Vec::new(), refuses, closed: false }
    }

    /// What it answers to these bytes.
    fn hears(&mut self, mut bytes: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
        while !self.closed {
            let Some(notification) = self.decoder.decode(&mut bytes)? else { break };
            let first = notification.token[0];
            if first == self.refuses {
                self.closed = true;
                let identifier = notification.identifier.ok_or("this client numbers its notifications")?;
                // Command 8, status 8 (invalid token), and which notification.
                return Ok([&[8, 8], &identifier.to_be_bytes()[..]].concat());
            }
            self.taken.push(first);
        }
        Ok(Vec::new())
    }
}

/// One round of the contract of `Machine`: out with the machine's bytes, in with the peer's, a few bytes at a time.
fn exchange(
    client: &mut Client<u8>,
    gateway: &mut ScriptedGateway,
    now: Now,
) -> Result<Vec<ConnectionEvent<u8>>, Box<dyn Error>> {
    let mut events = Vec::new();
    loop {
        let mut out = BytesMut::new();
        let transmit = client.poll_transmit(now, &mut out);
        // The pipe has taken everything by the next call; a transport that is slower asks later.
        let mut answer = Vec::new();
        for piece in out.chunks(7) {
            answer.extend(gateway.hears(piece)?);
        }
        for piece in answer.chunks(4) {
            client.handle_input(now, piece);
        }
        if gateway.closed {
            client.handle_end(now, End::Clean);
        }
        events.extend(std::iter::from_fn(|| client.poll_event()));
        if transmit != Transmit::Ready {
            return Ok(events);
        }
    }
}

fn submit(client: &mut Client<u8>, now: Now, numbers: impl IntoIterator<Item = u8>) -> Result<(), Box<dyn Error>> {
    let payload = Payload::alert("Tea is ready");
    for number in numbers {
        let notification = Notification::new(DeviceToken::from_bytes([number; 32])?, payload.clone());
        client.submit(now, Submission::new(number, notification)).map_err(|refused| refused.cause)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut clock = Clock::start();

    // One is refused: what was sent before it was taken, what was sent behind it was thrown away.
    let mut client = Client::new(Config::default(), clock.0);
    let mut gateway = ScriptedGateway::new(3);
    submit(&mut client, clock.0, 1..=5)?;
    let (mut accepted, mut rejected, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for event in exchange(&mut client, &mut gateway, clock.0)? {
        match event {
            ConnectionEvent::Settled(settled) if settled.outcome.is_accepted() => accepted.push(settled.key),
            ConnectionEvent::Settled(settled) => {
                assert!(matches!(settled.outcome, Outcome::Rejected(ref why) if why.status() == 8), "{settled:?}");
                rejected.push(settled.key);
            }
            ConnectionEvent::Closed(Closed { reason: CloseReason::ErrorResponse(why), unsettled }) => {
                println!("the gateway closed: {why}");
                assert!(unsettled.iter().all(|one| one.fate == Fate::Discarded));
                again.extend(unsettled.into_iter().map(|one| one.submission.key));
            }
            _ => {}
        }
    }
    println!("accepted {accepted:?}, rejected {rejected:?}, to be sent again {again:?}");
    assert_eq!((accepted, rejected, again), (vec![1, 2], vec![3], vec![4, 5]));
    assert_eq!(gateway.taken, [1, 2]);

    // The rest on the next connection. Silence means yes, after the quiet time.
    let mut client = Client::new(Config::default(), clock.0);
    let mut gateway = ScriptedGateway::new(0);
    submit(&mut client, clock.0, 4..=5)?;
    let early = exchange(&mut client, &mut gateway, clock.0)?;
    assert!(early.is_empty(), "nothing is known yet: {early:?}");
    let due = client.poll_timeout().ok_or("the machine waits for the quiet time")?;
    clock.advance(due - clock.0.instant);
    client.handle_timeout(clock.0);
    let settled: Vec<_> = exchange(&mut client, &mut gateway, clock.0)?
        .into_iter()
        .filter_map(|event| match event {
            ConnectionEvent::Settled(settled) => Some((settled.key, settled.outcome.is_accepted())),
            _ => None,
        })
        .collect();
    println!("after {:?} of silence: accepted {settled:?}", Config::default().quiet_time());
    assert_eq!(settled, [(4, true), (5, true)]);
    assert_eq!(gateway.taken, [4, 5]);
    Ok(())
}
