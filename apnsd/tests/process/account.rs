//! Callers who hand in notifications until each is accepted, and the account of what became of them: one outcome for each that
//! was accepted, none that is false, and copies only where the outcome says that there may be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use apns_sim::Simulator;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::victim::{APPS, LIMIT, Random, post, read_outcomes, token};

const CALLERS: u64 = 10;

/// Callers at work. Each asks again with the same idempotency keys where it gets no answer.
pub(crate) struct Callers {
    tasks: Vec<JoinHandle<Vec<(u64, String)>>>,
    accepted: watch::Receiver<u64>,
    notifications: u64,
}

impl Callers {
    /// Begins to hand in so many, at one of these daemons of one service each time.
    pub(crate) fn start(apis: &[SocketAddr], notifications: u64, seed: u64) -> Self {
        let (progress, accepted) = watch::channel(0);
        let (progress, next) = (Arc::new(progress), Arc::new(AtomicU64::new(0)));
        let tasks = (0..CALLERS)
            .map(|caller| {
                let daemons = Daemons { apis: apis.to_vec(), connection: None, random: Random(seed ^ (caller << 40)) };
                tokio::spawn(hand_in(daemons, next.clone(), notifications, progress.clone()))
            })
            .collect();
        Self { tasks, accepted, notifications }
    }

    /// Waits until so many are accepted.
    pub(crate) async fn have_handed_in(&mut self, count: u64) {
        self.accepted.wait_for(|accepted| *accepted >= count).await.unwrap();
    }

    /// Waits until all are accepted, and gives the number of each by its id.
    pub(crate) async fn finish(self) -> BTreeMap<String, u64> {
        let mut ids = BTreeMap::new();
        for caller in self.tasks {
            for (number, id) in caller.await.unwrap() {
                assert!(ids.insert(id, number).is_none(), "an id names one notification");
            }
        }
        assert_eq!(ids.len() as u64, self.notifications);
        ids
    }
}

/// The daemons of one service, as a caller knows them.
struct Daemons {
    apis: Vec<SocketAddr>,
    /// Where there is one only, it is asked over the same connection for as long as that lasts.
    connection: Option<TcpStream>,
    random: Random,
}

impl Daemons {
    /// Asks one of them. Nothing where it does not answer, or cannot store just now while others may.
    async fn ask(&mut self, path: &str, body: &str) -> Option<String> {
        let answered = match self.apis[..] {
            [api] => {
                let answered = post(&mut self.connection, api, path, body).await;
                if answered.is_none() {
                    self.connection = None;
                }
                answered
            }
            _ => {
                let api = self.apis[usize::try_from(self.random.below(self.apis.len() as u64)).unwrap()];
                // One that stands still does not answer, and the next one knows the same keys.
                tokio::time::timeout(Duration::from_secs(4), post(&mut None, api, path, body)).await.ok().flatten()
            }
        };
        match answered? {
            (202, answer) => Some(answer),
            // Its store is away.
            (503, _) if self.apis.len() > 1 => None,
            (status, answer) => panic!("{status}: {answer}"),
        }
    }
}

/// Takes numbers and hands in their notifications, single ones and batches, until all are accepted. Gives number and id.
async fn hand_in(
    mut daemons: Daemons,
    next: Arc<AtomicU64>,
    notifications: u64,
    progress: Arc<watch::Sender<u64>>,
) -> Vec<(u64, String)> {
    let mut accepted = Vec::new();
    loop {
        let size = if daemons.random.below(4) == 0 { 1 } else { 2 + daemons.random.below(200) };
        let first = next.fetch_add(size, Ordering::Relaxed);
        if first >= notifications {
            return accepted;
        }
        for app in APPS {
            let numbers: Vec<u64> =
                (first..notifications.min(first + size)).filter(|number| app_of(*number) == app).collect();
            if numbers.is_empty() {
                continue;
            }
            let batch = numbers.iter().map(|number| {
                json!({"token": token(*number), "payload": {"aps": {"alert": "Tea is ready"}},
                       "idempotency_key": format!("number-{number}")})
            });
            let body = Value::Array(batch.collect()).to_string();
            let path = format!("/v1/apps/{app}/notifications");
            let deadline = Instant::now() + LIMIT;
            let receipts = loop {
                assert!(Instant::now() < deadline, "some daemon came back");
                // Killed, perhaps after it has stored them. The same keys make that harmless.
                match daemons.ask(&path, &body).await {
                    Some(answer) => break answer,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            let receipts: Vec<Value> = serde_json::from_str(&receipts).unwrap();
            assert_eq!(receipts.len(), numbers.len());
            progress.send_modify(|count| *count += numbers.len() as u64);
            let ids = receipts.iter().map(|receipt| receipt["id"].as_str().unwrap().to_owned());
            accepted.extend(numbers.into_iter().zip(ids));
        }
    }
}

/// Waits until all have ended, and gives the outcome of each by its number. The apps are asked after at these daemons in turn.
pub(crate) async fn outcomes_of(ids: &BTreeMap<String, u64>, apis: &[SocketAddr]) -> BTreeMap<u64, Value> {
    let mut outcomes: BTreeMap<u64, Value> = BTreeMap::new();
    for (app, api) in APPS.into_iter().zip(apis.iter().cycle()) {
        let expected = ids.values().filter(|number| app_of(**number) == app).count();
        let told = tokio::time::timeout(LIMIT, read_outcomes(*api, app, expected)).await;
        for outcome in told.expect("every notification ends") {
            let id = outcome["id"].as_str().unwrap();
            let number = *ids.get(id).unwrap_or_else(|| panic!("nobody handed in {outcome}"));
            assert_eq!(app_of(number), app);
            assert!(outcomes.insert(number, outcome).is_none(), "one outcome each");
        }
    }
    outcomes
}

/// Compares the outcomes with what arrived at the service, and says in a line how many were in doubt.
pub(crate) fn settle_accounts(outcomes: &BTreeMap<u64, Value>, simulator: &Simulator) -> String {
    let mut arrived: BTreeMap<u64, u64> = BTreeMap::new();
    simulator.inspect(|log| {
        for request in log.requests() {
            let digits = request.token_hex();
            *arrived.entry(u64::from_str_radix(&digits[48..], 16).unwrap()).or_default() += 1;
        }
    });
    let (mut unknown, mut replayed, mut copies) = (0, 0, 0);
    for (number, outcome) in outcomes {
        let count = arrived.get(number).copied().unwrap_or_default();
        let replays = outcome["replays"].as_u64().unwrap();
        copies += count.saturating_sub(1);
        replayed += u64::from(replays > 0);
        match outcome["outcome"].as_str().unwrap() {
            "accepted" => assert!(count >= 1, "missing at the service: {outcome}"),
            "unknown" => {
                unknown += 1;
                assert_eq!(app_of(*number), "reports", "{outcome}");
            }
            _ => panic!("nobody refuses anything here: {outcome}"),
        }
        assert!(count <= 1 + replays, "{count} copies, and the outcome knows of {replays}: {outcome}");
        if app_of(*number) == "reports" {
            assert_eq!(replays, 0, "{outcome}");
        }
    }
    assert!(arrived.keys().all(|number| outcomes.contains_key(number)), "nothing was sent that nobody handed in");
    format!("{unknown} reported as unknown, {replayed} sent again and marked, {copies} copies arrived")
}

fn app_of(number: u64) -> &'static str {
    APPS[usize::try_from(number % 2).unwrap()]
}
