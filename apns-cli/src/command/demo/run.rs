//! Sends to devices that do not exist, tells what happens to the connections, and keeps what became of each.

use std::collections::BTreeMap;
use std::pin::pin;

use apns_proto::{DeviceToken, LinkReport, Notification, Outcome, Payload};
use apns_tokio::{Client, ClientEvent, Endpoint};
use futures_util::{StreamExt, stream};

use super::device::token;
use super::{LIMIT, Story};
use crate::trouble::Trouble;

/// What was sent, and what was heard of it.
#[derive(Default)]
pub(super) struct Run {
    /// How each one ended, and how often it was written.
    pub(super) outcomes: BTreeMap<u32, (Outcome, u32)>,
    /// More than one outcome for the same notification.
    pub(super) repeated: usize,
    pub(super) connections: u64,
    /// The last thing that kept a connection from being had.
    pub(super) trouble: Option<Trouble>,
}

impl Run {
    /// Sends so many, and closes. `tell_end` tells how a connection ended.
    pub(super) async fn of(
        story: &mut Story,
        client: Client,
        endpoint: &Endpoint,
        (count, payload): (u32, &Payload),
        mut tell_end: impl FnMut(&mut Story, &LinkReport),
    ) -> Self {
        let mut events = client.events();
        let source = stream::iter((1..=count).map(|n| {
            let token = DeviceToken::from_bytes(token(n)).expect("32 bytes are a token");
            (n, Notification::new(token, payload.clone()))
        }));
        let mut outcomes = pin!(client.send_all(source));
        let mut run = Self::default();
        loop {
            tokio::select! {
                biased;
                Some(event) = events.next() => {
                    run.trouble = Trouble::event(endpoint, &event).or(run.trouble.take());
                    run.tell(story, &event, &mut tell_end);
                }
                outcome = outcomes.next() => match outcome {
                    Some((n, delivery)) => {
                        let earlier = run.outcomes.insert(n, (delivery.outcome, delivery.attempts));
                        run.repeated += usize::from(earlier.is_some());
                    }
                    None => break,
                }
            }
        }
        drop(client.close(LIMIT).await);
        while let Some(event) = events.try_next() {
            run.tell(story, &event, &mut tell_end);
        }
        run
    }

    fn tell(&mut self, story: &mut Story, event: &ClientEvent, tell_end: &mut impl FnMut(&mut Story, &LinkReport)) {
        match event {
            ClientEvent::Connected { link, .. } => {
                self.connections += 1;
                story.line(format_args!("Connection {link} is open."));
            }
            ClientEvent::DialFailed { failure, .. } => story.line(format_args!("No connection: {failure}.")),
            ClientEvent::Closed { report, .. } => tell_end(story, report),
            ClientEvent::Warning { warning, .. } => story.line(format_args!("  {warning}")),
            _ => {}
        }
    }
}
