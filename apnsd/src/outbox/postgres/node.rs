//! This process among the others: its lease, and the lanes that it holds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connections::{ANSWERS_WITHIN, Address, Link, Trouble};
use super::{AppNumber, Shared};
use crate::outbox::{Left, OutboxError};

/// How long what is under way may take when a lane goes to another node.
const HANDED_OVER_WITHIN: Duration = Duration::from_secs(10);

/// A node does not take a lane again that it just gave to another.
const NOT_AGAIN_WITHIN: Duration = Duration::from_secs(5);

/// The wait before a server that failed is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// One process.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    /// What tells this process from earlier ones of the same node.
    incarnation: i64,
    lease: Duration,
    /// Until when what this node claimed may leave, by this machine's clock.
    good_until: watch::Sender<Instant>,
    /// The lease has to be renewed now.
    renew: Notify,
    lanes: Mutex<HashMap<AppNumber, Held>>,
    /// The apps whose lanes this node waits for, and how often it does.
    wishes: Mutex<BTreeMap<AppNumber, usize>>,
    /// The other nodes, when that was last known.
    peers: Mutex<Peers>,
    gave: Mutex<HashMap<AppNumber, Instant>>,
    closed: CancellationToken,
}

/// The nodes beside this one whose leases last.
#[derive(Debug, Default)]
struct Peers {
    count: usize,
    /// For each app that one of them waits for, how many lanes the one of these has that has the fewest.
    fewest: HashMap<AppNumber, usize>,
}

/// This node waits for the lane of an app, for as long as this lives.
pub(super) struct Wish {
    shared: Arc<Shared>,
    app: AppNumber,
}

impl Wish {
    pub(super) fn new(shared: Arc<Shared>, app: AppNumber) -> Self {
        *shared.node.wishes.lock().entry(app).or_default() += 1;
        Self { shared, app }
    }

    pub(super) const fn app(&self) -> AppNumber {
        self.app
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        let mut wishes = self.shared.node.wishes.lock();
        if let Entry::Occupied(mut times) = wishes.entry(self.app) {
            *times.get_mut() -= 1;
            if *times.get() == 0 {
                times.remove();
            }
        }
    }
}

/// A lane that is held.
#[derive(Debug)]
struct Held {
    epoch: i64,
    left: watch::Sender<Option<Left>>,
}

impl Node {
    pub(super) fn new(name: &str, incarnation: i64, lease: Duration, closed: CancellationToken) -> Self {
        Self {
            name: name.to_owned(),
            incarnation,
            lease,
            good_until: watch::Sender::new(Instant::now()),
            renew: Notify::new(),
            lanes: Mutex::default(),
            wishes: Mutex::default(),
            peers: Mutex::default(),
            gave: Mutex::default(),
            closed,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn incarnation(&self) -> i64 {
        self.incarnation
    }

    /// The sign that this node is closed.
    pub(super) fn closing(&self) -> CancellationToken {
        self.closed.clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// Whether there may be others who want to hear of something.
    pub(super) fn has_peers(&self) -> bool {
        self.peers.lock().count > 0
    }

    /// Whether another node that waits for this lane comes first: it holds fewer.
    pub(super) fn yields(&self, app: AppNumber) -> bool {
        let fewest = self.peers.lock().fewest.get(&app).copied();
        fewest.is_some_and(|fewest| fewest < self.lanes.lock().len())
    }

    /// Whether it gave this lane away a moment ago.
    pub(super) fn just_gave(&self, app: AppNumber) -> bool {
        self.gave.lock().get(&app).is_some_and(|at| at.elapsed() < NOT_AGAIN_WITHIN)
    }

    /// Takes the lease, in the place of an earlier process of this node.
    pub(super) async fn begin(&self, link: &Link) -> Result<(), Trouble> {
        let before = Instant::now();
        let take = "INSERT INTO node (name, incarnation, until, version)
            VALUES ($1, $2, clock_timestamp() + $3::int8 * interval '1 ms', $4)
            ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, until = excluded.until,
                version = excluded.version, wants = excluded.wants";
        link.run(take, &[&self.name, &self.incarnation, &super::span(self.lease), &env!("CARGO_PKG_VERSION")]).await?;
        self.renewed(before);
        self.look_around(link).await
    }

    /// Counted from before the question, and less than the lease: clocks may run apart, and an answer may be slow.
    fn renewed(&self, before: Instant) {
        self.good_until.send_replace(before + self.lease * 13 / 20);
    }

    /// Says whether this process is the node's still.
    async fn extend(&self, link: &Link) -> Result<bool, Trouble> {
        let before = Instant::now();
        let wants: Vec<AppNumber> = self.wishes.lock().keys().copied().collect();
        let extend = "UPDATE node SET until = clock_timestamp() + $3::int8 * interval '1 ms', wants = $4
            WHERE name = $1 AND incarnation = $2";
        if link.run(extend, &[&self.name, &self.incarnation, &super::span(self.lease), &wants]).await? == 0 {
            return Ok(false);
        }
        self.renewed(before);
        self.look_around(link).await?;
        Ok(true)
    }

    /// Looks who else is there, and gives a lane to one that waits for it and holds fewer, also afterwards. One that cannot
    /// deliver an app does not wait for it, and is given nothing in vain.
    async fn look_around(&self, link: &Link) -> Result<(), Trouble> {
        let look =
            "SELECT n.wants, (SELECT count(*) FROM lane AS l WHERE l.node = n.name AND l.incarnation = n.incarnation)
            FROM node AS n WHERE n.until > clock_timestamp() AND n.name <> $1";
        let rows = link.rows(look, &[&self.name]).await?;
        let mut peers = Peers { count: rows.len(), fewest: HashMap::new() };
        for row in &rows {
            let holds = usize::try_from(row.get::<_, i64>(1)).unwrap_or_default();
            for app in row.get::<_, Vec<AppNumber>>(0) {
                let fewest = peers.fewest.entry(app).or_insert(holds);
                *fewest = holds.min(*fewest);
            }
        }
        {
            let held = self.lanes.lock();
            let staying = || held.iter().filter(|(_, one)| one.left.borrow().is_none());
            // Those that are leaving count for the others.
            let leaving = held.len() - staying().count();
            let given = staying()
                .filter_map(|(app, one)| Some((*peers.fewest.get(app)?, *app, one)))
                .min_by_key(|(fewest, app, _)| (*fewest, *app))
                .filter(|(fewest, ..)| fewest + leaving + 2 <= held.len() - leaving);
            if let Some((_, app, one)) = given {
                self.gave.lock().insert(app, Instant::now());
                one.left.send_replace(Some(Left::Wanted(HANDED_OVER_WITHIN)));
            }
        }
        *self.peers.lock() = peers;
        Ok(())
    }

    /// Gives up the lease, and with it every lane.
    pub(super) async fn end(&self, link: &Link) -> Result<(), Trouble> {
        link.run("DELETE FROM node WHERE name = $1 AND incarnation = $2", &[&self.name, &self.incarnation])
            .await
            .map(drop)
    }

    /// This node has a lane now.
    pub(super) fn took(&self, app: AppNumber, epoch: i64) -> watch::Receiver<Option<Left>> {
        let (left, leaving) = watch::channel(None);
        if let Some(earlier) = self.lanes.lock().insert(app, Held { epoch, left }) {
            earlier.left.send_replace(Some(Left::Lost));
        }
        leaving
    }

    /// And has it no more.
    pub(super) fn lost(&self, app: AppNumber, epoch: i64) {
        let mut lanes = self.lanes.lock();
        if lanes.get(&app).is_some_and(|held| held.epoch == epoch)
            && let Some(held) = lanes.remove(&app)
        {
            held.left.send_replace(Some(Left::Lost));
        }
    }

    /// What is at the server of the lanes that this node believes to hold: their epochs, where others have them.
    pub(super) fn compare(&self, of_others: &HashMap<AppNumber, i64>) {
        let gone: Vec<_> = {
            let lanes = self.lanes.lock();
            // An earlier epoch is one from before the lane was taken.
            let gone = lanes.iter().filter(|(app, held)| of_others.get(app).is_some_and(|epoch| *epoch > held.epoch));
            gone.map(|(app, held)| (*app, held.epoch)).collect()
        };
        gone.into_iter().for_each(|(app, epoch)| self.lost(app, epoch));
    }

    fn lost_all(&self) {
        for (_, held) in self.lanes.lock().drain() {
            held.left.send_replace(Some(Left::Lost));
        }
    }

    /// Waits until what this node claimed may not leave any more.
    pub(super) async fn lapsed(&self) {
        let mut good_until = self.good_until.subscribe();
        loop {
            let until = *good_until.borrow_and_update();
            tokio::select! {
                // A process that stood still finds both: its time was over before it was renewed.
                biased;
                () = tokio::time::sleep_until(until) => return,
                // The sender is there for as long as the node is.
                _renewed = good_until.changed() => {}
            }
        }
    }

    /// Has the lease renewed now.
    pub(super) fn renew_now(&self) {
        self.renew.notify_one();
    }
}

/// Renews the lease for as long as this process runs.
pub(super) async fn keep(shared: Arc<Shared>, address: Address, link: Link) {
    let node = &shared.node;
    let mut link = Some(link);
    let (mut lapsed, mut replaced) = (false, false);
    loop {
        let wait = if link.is_some() { node.lease / 4 } else { RETRY };
        tokio::select! {
            () = sleep(wait) => {}
            () = node.renew.notified() => {}
            () = node.closed() => return,
        }
        let extended = async {
            let link = match link.take() {
                Some(link) if !link.client.is_closed() => link,
                _ => address.connect().await?,
            };
            let ours = node.extend(&link).await?;
            Ok::<_, Trouble>((ours, link))
        };
        match timeout(ANSWERS_WITHIN.min(node.lease / 4), extended).await.unwrap_or(Err(Trouble::Silent)) {
            Ok((true, kept)) => {
                link = Some(kept);
                replaced = false;
                if std::mem::take(&mut lapsed) {
                    tracing::info!("node {}: its lease is renewed again", node.name);
                }
            }
            Ok((false, kept)) => {
                // The younger process of the two goes on. Where there is none, somebody removed the row.
                node.lost_all();
                match node.claim_back(&kept).await {
                    Ok(true) => tracing::warn!("node {}: its lease was removed, and is taken again", node.name),
                    Ok(false) if std::mem::replace(&mut replaced, true) => {}
                    Ok(false) => {
                        tracing::error!(
                            "node {}: another process runs under this name, and this one delivers nothing: give each its own name",
                            node.name
                        );
                    }
                    Err(_) => continue,
                }
                link = Some(kept);
            }
            Err(trouble) => {
                let over = *node.good_until.borrow() <= Instant::now();
                if over && !std::mem::replace(&mut lapsed, true) {
                    let why = OutboxError::from(trouble);
                    tracing::error!("node {}: its lease cannot be renewed, and it delivers nothing: {why}", node.name);
                }
            }
        }
    }
}

impl Node {
    /// Takes the lease where nobody of this name has one.
    async fn claim_back(&self, link: &Link) -> Result<bool, Trouble> {
        let before = Instant::now();
        let take = "INSERT INTO node (name, incarnation, until, version)
            VALUES ($1, $2, clock_timestamp() + $3::int8 * interval '1 ms', $4) ON CONFLICT (name) DO NOTHING";
        let version = env!("CARGO_PKG_VERSION");
        let taken = link.run(take, &[&self.name, &self.incarnation, &super::span(self.lease), &version]).await? > 0;
        if taken {
            self.renewed(before);
        }
        Ok(taken)
    }
}
