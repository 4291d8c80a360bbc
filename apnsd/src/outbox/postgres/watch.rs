//! What happens at the server, told to this node: looked at each second, and sooner when another node rings.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::AsyncMessage;

use super::connections::{ANSWERS_WITHIN, Address, Link, Trouble};
use super::{AppNumber, Shared, cursor, millis};
use crate::AppName;
use crate::delivery::now;
use crate::outbox::Bell;
use crate::outbox::route::any_route;

/// How often it is looked although nobody rang: a bell may be lost.
const EVERY: Duration = Duration::from_secs(1);

/// How far apart two looks are at least, and two rings.
const APART: Duration = Duration::from_millis(50);

/// What was seen last.
#[derive(Default)]
struct Seen {
    /// `None` before the first look: what was there before is no news.
    outcomes: Option<HashMap<AppNumber, i64>>,
    registry: Option<i64>,
}

/// Looks and listens for as long as this process runs.
pub(super) async fn watch(shared: Arc<Shared>, address: Address, bells: mpsc::Sender<Bell>) {
    let mut seen = Seen::default();
    while !shared.node.is_closed() {
        // Where the server fails, those who use it say so.
        let _failed = session(&shared, &address, &bells, &mut seen).await;
        tokio::select! {
            () = sleep(EVERY) => {}
            () = shared.node.closed() => return,
        }
    }
}

async fn session(
    shared: &Arc<Shared>,
    address: &Address,
    bells: &mpsc::Sender<Bell>,
    seen: &mut Seen,
) -> Result<(), Trouble> {
    let rung = Arc::new(Notify::new());
    let link = {
        let rung = rung.clone();
        address.listening(move |message| {
            if matches!(message, AsyncMessage::Notification(_)) {
                rung.notify_one();
            }
        })
    };
    let link = link.await?;
    link.batch("LISTEN apnsd").await?;
    let (mut next_ring, mut look_at) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            () = sleep_until(look_at) => {}
            () = rung.notified() => sleep(APART).await,
            () = shared.ring.notified() => {
                if shared.node.has_peers() {
                    sleep_until(next_ring).await;
                    next_ring = Instant::now() + APART;
                    timeout(ANSWERS_WITHIN, link.batch("NOTIFY apnsd")).await.unwrap_or(Err(Trouble::Silent))?;
                }
                continue;
            }
            () = shared.node.closed() => return Ok(()),
        }
        look_at = Instant::now() + EVERY;
        let look = look(shared, &link, bells, seen);
        timeout(ANSWERS_WITHIN, look).await.unwrap_or(Err(Trouble::Silent))?;
    }
}

async fn look(shared: &Shared, link: &Link, bells: &mpsc::Sender<Bell>, seen: &mut Seen) -> Result<(), Trouble> {
    let node = &shared.node;
    let rows = link
        .rows(
            concat!(
                "SELECT a.number, a.name, p.outcome, l.epoch,
                coalesce(l.node = $1 AND l.incarnation = $2, false),
                l.node = $1 AND l.incarnation = $2 AND EXISTS (SELECT 1 FROM pending AS w WHERE w.app = a.number AND w.state = 0
                    AND w.due <= $3 AND w.",
                any_route!(),
                "),
                (SELECT value FROM meta WHERE name = 'registry')
             FROM app AS a JOIN app_place AS p ON p.app = a.number JOIN lane AS l ON l.app = a.number"
            ),
            &[&node.name(), &node.incarnation(), &millis(now())],
        )
        .await?;
    let others = rows.iter().filter(|row| !row.get::<_, bool>(4));
    node.compare(&others.map(|row| (row.get(0), row.get(3))).collect());
    let mut news = Vec::new();
    let mut outcomes = HashMap::with_capacity(rows.len());
    for row in &rows {
        let Ok(app) = AppName::new(row.get::<_, String>(1)) else { continue };
        let place: i64 = row.get(2);
        let number: AppNumber = row.get(0);
        // An app that was not there at an earlier look had no outcomes.
        let before = seen.outcomes.as_ref().map_or(place, |seen| seen.get(&number).copied().unwrap_or(0));
        outcomes.insert(number, place);
        if before != place {
            news.push(Bell::Settled { app: app.clone(), after: cursor(before) });
        }
        if row.get::<_, Option<bool>>(5) == Some(true) {
            news.push(Bell::Accepted(app));
        }
    }
    seen.outcomes = Some(outcomes);
    let registry = rows.first().map(|row| row.get(6));
    if registry.is_some() && seen.registry.replace(registry.unwrap_or_default()) != registry && registry != Some(0) {
        news.push(Bell::Apps);
    }
    for bell in news {
        // Nobody may listen.
        if bells.send(bell).await.is_err() {
            break;
        }
    }
    Ok(())
}

impl Address {
    /// A connection that tells what comes unasked.
    async fn listening(&self, tell: impl Fn(AsyncMessage) + Send + 'static) -> Result<Link, Trouble> {
        self.connect_with(|mut connection| async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                tell(message);
            }
        })
        .await
    }
}
