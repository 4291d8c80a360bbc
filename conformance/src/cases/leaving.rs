//! What a caller that keeps a journal hears before anything is written.

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use apns_driver::{Client, Runtime};
use apns_proto::Payload;
use apns_sim::Simulator;
use futures_util::{StreamExt, stream};

use super::common::*;

const COUNT: u32 = 500;

/// Whether this one came, on either protocol.
fn arrived(simulator: &Simulator, number: u32) -> bool {
    let sent = token(0xaa, number);
    simulator.inspect(|log| {
        let hex = sent.to_hex();
        log.accepted_by_token().any(|(token, _)| token[..] == *sent.as_bytes())
            || log.requests().any(|request| request.token_hex() == hex)
    })
}

async fn named_before_it_leaves<R: Runtime + Default>(
    client: &Client<R>,
    simulator: &Arc<Simulator>,
    numbers: Range<u32>,
) {
    let (count, payload) = (numbers.len(), Payload::alert("Tea is ready"));
    let named = Arc::new(Mutex::new(BTreeSet::new()));
    let (seen, service) = (named.clone(), simulator.clone());
    let hook = move |numbers: &[u32]| {
        for number in numbers {
            assert!(!arrived(&service, *number), "{number} was named too late");
        }
        seen.lock().unwrap().extend(numbers.iter().copied());
    };
    let all = stream::iter(numbers.map(|number| (number, good(number, &payload))));
    let mut run = pin!(client.send_all(all).before_leaving(|number| *number, hook));
    while let Some((number, delivery)) = run.next().await {
        assert!(delivery.outcome.is_accepted(), "{number}: {delivery:?}");
        assert!(named.lock().unwrap().contains(&number), "{number} was not named");
    }
    assert_eq!(named.lock().unwrap().len(), count);
}

/// Each is named, and before it leaves, over both protocols.
pub async fn what_is_about_to_leave_is_named_before_it_does<R: Runtime + Default>() {
    let simulator = Arc::new(simulator());
    let provider = with_token::<R>(&simulator).start().unwrap();
    named_before_it_leaves(&provider, &simulator, 0..COUNT).await;
    drop(provider.close(LIMIT).await);
    let gateway = client::<R>(&simulator).start().unwrap();
    named_before_it_leaves(&gateway, &simulator, COUNT..2 * COUNT).await;
    drop(gateway.close(LIMIT).await);
}
