//! What all interfaces count, and how failed authentication is slowed down.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep_until};

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// A status that goes with an answer of another one: XML-RPC says all it has to say with 200.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal(pub(crate) u16);

/// A refusal, of whatever status, for want of a good access token or another proof of who calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unproved;

/// What was refused since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// By interface and status.
    calls: BTreeMap<(&'static str, u16), u64>,
    unauthenticated: HashMap<IpAddr, Unauthenticated>,
}

/// An address from which no good access token came.
#[derive(Debug)]
struct Unauthenticated {
    /// When the next failure is answered.
    answered: Instant,
    /// When that was last said in the log.
    said: Instant,
    left_out: u64,
}

/// How long the answer to a failure waits behind the one before, of the same address.
const SLOWED: Duration = Duration::from_millis(250);
/// The longest wait.
const SLOWEST: Duration = Duration::from_secs(10);
/// Failures of one address are said at most so often.
const SAID_EVERY: Duration = Duration::from_secs(1);
/// How many addresses are followed.
const UNAUTHENTICATED: usize = 4096;

impl Refusals {
    fn state(&self) -> MutexGuard<'_, Seen> {
        self.0.lock()
    }

    /// How many calls were refused, by interface and status.
    pub(crate) fn calls(&self) -> BTreeMap<(&'static str, u16), u64> {
        self.state().calls.clone()
    }

    pub(crate) fn note(&self, interface: &'static str, status: u16) {
        *self.state().calls.entry((interface, status)).or_default() += 1;
    }

    /// An access token was missing or not known. Says when that is answered.
    fn failed(&self, interface: &str, from: IpAddr, now: Instant) -> Instant {
        let mut state = self.state();
        if state.unauthenticated.len() >= UNAUTHENTICATED {
            state.unauthenticated.retain(|_, unauthenticated| unauthenticated.answered > now);
        }
        if state.unauthenticated.len() >= UNAUTHENTICATED && !state.unauthenticated.contains_key(&from) {
            // Too many at a time to follow each.
            return now + SLOWEST;
        }
        let unauthenticated = state.unauthenticated.entry(from).or_insert(Unauthenticated {
            answered: now,
            said: now.checked_sub(SAID_EVERY).unwrap_or(now),
            left_out: 0,
        });
        unauthenticated.answered = (unauthenticated.answered.max(now) + SLOWED).min(now + SLOWEST);
        let answered = unauthenticated.answered;
        if now.saturating_duration_since(unauthenticated.said) >= SAID_EVERY {
            unauthenticated.said = now;
            let before = std::mem::take(&mut unauthenticated.left_out);
            drop(state);
            tracing::warn!(interface, %from, before, "no access token, or one that is not known");
        } else {
            unauthenticated.left_out += 1;
        }
        answered
    }

    /// Watches what an interface answers.
    pub(crate) fn watch(&self, router: Router, interface: &'static str) -> Router {
        // Counted from the start, so that the first failure is a rise.
        self.state().calls.entry((interface, StatusCode::UNAUTHORIZED.as_u16())).or_default();
        router.layer(from_fn_with_state((self.clone(), interface), watch))
    }
}

async fn watch(
    State((refusals, interface)): State<(Refusals, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let from = request.extensions().get::<Peer>().map(|peer| peer.0);
    let response = next.run(request).await;
    let status = response.extensions().get::<Refusal>().map_or(response.status().as_u16(), |refusal| refusal.0);
    if status >= 400 {
        refusals.note(interface, status);
    }
    let unproved = response.status() == StatusCode::UNAUTHORIZED || response.extensions().get::<Unproved>().is_some();
    if let Some(from) = from.filter(|_| unproved) {
        sleep_until(refusals.failed(interface, from, Instant::now())).await;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_address_wait_for_each_other_and_those_of_others_do_not() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let wait = |last: u8| refusals.failed("api", IpAddr::from([10, 0, 0, last]), now) - now;
        assert_eq!([wait(1), wait(1), wait(1)], [SLOWED, 2 * SLOWED, 3 * SLOWED]);
        assert_eq!(wait(2), SLOWED);
        for _ in 0..1000 {
            assert!(wait(1) <= SLOWEST);
        }
        for place in 0..100_000_u32 {
            refusals.failed("api", IpAddr::from(place.to_be_bytes()), now);
        }
        assert!(refusals.state().unauthenticated.len() <= UNAUTHENTICATED);
    }
}
