//! The lane of an app, as this node holds it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apns_proto::{LossPolicy, Outcome, UnknownCause, WallTime};
use futures_util::future;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::sleep;

use super::connections::{Link, Trouble};
use super::ends::{Pending, pending_columns};
use super::node::Wish;
use super::settings::session_name;
use super::{AppNumber, Shared, millis, time, unsigned};
use crate::outbox::outcome::abandoned;
use crate::outbox::{
    Answer, Change, Claim, ClaimNumber, Claimed, Cursor, Lane, Left, OutboxError, OutcomeRecord, Postponement,
    Recovered, Route, Routes, Share, decode,
};
use crate::{AppName, NotificationId};

/// How often it is tried to take a lane that another node has.
const TRIED_EVERY: Duration = Duration::from_secs(1);

/// A node tries that many times less often where another one wants the lane and holds fewer.
const RELUCTANCE: u32 = 4;

/// How many are recovered in one transaction.
const PAGE: i64 = 1000;

/// A claim is named by the epoch of its lane, and a number within it.
const EPOCH_SHIFT: u32 = 32;

/// The lane, held.
#[derive(Debug)]
pub(super) struct PostgresLane {
    shared: Arc<Shared>,
    app: AppName,
    number: AppNumber,
    /// The epoch in which it was taken.
    taken: i64,
    leaving: watch::Receiver<Option<Left>>,
    claims: Mutex<Claims>,
    /// One claim at a time: what one claimed whose answer did not come is put back by the next.
    claiming: tokio::sync::Mutex<()>,
    waiting: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Claims {
    /// A claim counts in the lane's last epoch only. This one may be later than that in which the lane was taken.
    epoch: i64,
    /// The last number that was given.
    last: i64,
    /// One whose answer did not come: the server may have carried it out.
    unsure: Option<i64>,
}

/// Waits until this node has the lane.
pub(super) async fn hold(shared: Arc<Shared>, app: AppName) -> Result<PostgresLane, OutboxError> {
    let mut tries = 0_u32;
    let mut wish: Option<Wish> = None;
    loop {
        let name = app.clone();
        let yields = wish.as_ref().is_some_and(|wish| shared.node.yields(wish.app()));
        let reluctant = yields && !tries.is_multiple_of(RELUCTANCE);
        tries += 1;
        if !reluctant {
            let taken = shared.read(move |shared, link| async move {
                let number = shared.number_of(&link, &name).await?;
                if shared.node.just_gave(number) {
                    return Ok((number, None));
                }
                Ok((number, shared.take(&link, number).await?))
            });
            let (number, epoch) = taken.await?;
            if let Some(epoch) = epoch {
                let leaving = shared.node.took(number, epoch);
                let claims = Mutex::new(Claims { epoch, last: 0, unsure: None });
                return Ok(PostgresLane {
                    shared,
                    app,
                    number,
                    taken: epoch,
                    leaving,
                    claims,
                    claiming: tokio::sync::Mutex::default(),
                    waiting: Arc::default(),
                });
            }
            // The holder learns of it with the next renewal of the lease.
            wish.get_or_insert_with(|| Wish::new(shared.clone(), number));
        }
        sleep(TRIED_EVERY).await;
    }
}

impl Shared {
    /// Takes a lane that nobody has whose lease lasts, or an earlier engine of this node. What an earlier holder is doing at the
    /// server at this moment is ended first: it may stand still with what it does half done.
    pub(super) async fn take(&self, link: &Link, app: AppNumber) -> Result<Option<i64>, Trouble> {
        let node = &self.node;
        let look = "SELECT l.epoch, l.node IS NULL OR (l.node = $2 AND l.incarnation = $3), l.incarnation,
                EXISTS (SELECT 1 FROM node AS n WHERE n.name = l.node AND n.incarnation = l.incarnation
                    AND n.until > clock_timestamp()),
                EXISTS (SELECT 1 FROM node AS n WHERE n.name = $2 AND n.incarnation = $3 AND n.until > clock_timestamp())
            FROM lane AS l WHERE l.app = $1";
        let row = link.one(look, &[&app, &node.name(), &node.incarnation()]).await?;
        let (seen, free, incarnation): (i64, bool, Option<i64>) = (row.get(0), row.get(1), row.get(2));
        let (alive, ours_lasts): (bool, bool) = (row.get(3), row.get(4));
        if !ours_lasts {
            node.renew_now();
            return Ok(None);
        }
        if !free && alive {
            return Ok(None);
        }
        if let Some(incarnation) = incarnation.filter(|one| *one != node.incarnation()) {
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE application_name = $1 AND datname = current_database() AND usename = current_user";
            link.rows(end, &[&session_name(incarnation)]).await?;
        }
        let take = "UPDATE lane SET node = $2, incarnation = $3, epoch = epoch + 1 WHERE app = $1 AND epoch = $4 RETURNING epoch";
        let taken = link.rows(take, &[&app, &node.name(), &node.incarnation(), &seen]).await?;
        Ok(taken.first().map(|row| row.get(0)))
    }

    /// Gives a lane back, if this holding of it lasts still; a later one of this node is not meant.
    pub(super) async fn give_back(&self, link: &Link, app: AppNumber, epoch: i64) -> Result<(), Trouble> {
        let give = "UPDATE lane SET node = NULL, incarnation = NULL
            WHERE app = $1 AND node = $2 AND incarnation = $3 AND epoch = $4";
        link.run(give, &[&app, &self.node.name(), &self.node.incarnation(), &epoch]).await.map(drop)
    }
}

/// Holds the lane's row, so that a claim and a take-over follow each other.
const CLAIM: &str = concat!(
    "WITH l AS MATERIALIZED (SELECT 1 FROM lane WHERE app = $1 AND epoch = $2 FOR SHARE),
     t AS (SELECT w.row, row_number() OVER (PARTITION BY s.share ORDER BY w.due, w.row) AS place, s.most
        FROM unnest($4::int4[], $6::int2[], $7::int8[]) AS s(share, route, most),
        LATERAL (SELECT row, due FROM pending WHERE app = $1 AND route = s.route AND state = 0 AND due <= $3
            AND EXISTS (SELECT 1 FROM l) ORDER BY due, row LIMIT s.most) AS w),
     c AS MATERIALIZED (SELECT row FROM t WHERE place <= most),
     u AS (UPDATE pending AS p SET state = 1, claim = $5 FROM c WHERE p.row = c.row AND p.state = 0
        RETURNING p.row, p.claim, p.due, p.accepted_at, p.attempts, p.replays, p.retries, p.key, p.send_at, p.route,
            p.tag, p.body)
     SELECT ",
    pending_columns!(),
    ", body FROM u ORDER BY due, row"
);

/// What else is to be known after a claim.
const AFTERWARDS: &str = "
    SELECT w.due, w.routes, (SELECT coalesce(sum(waiting), 0)::int8 FROM tally WHERE app = $1),
        EXISTS (SELECT 1 FROM lane WHERE app = $1 AND epoch = $2)
    FROM (SELECT min(first.due) AS due, coalesce(array_agg(r.route), '{}') AS routes FROM unnest($3::int2[]) AS r(route),
        LATERAL (SELECT due FROM pending WHERE app = $1 AND pending.route = r.route AND state = 0
            ORDER BY due, row LIMIT 1) AS first) AS w";

const POSTPONE: &str = "
    UPDATE pending AS p SET state = 0, due = s.due, attempts = s.attempts, replays = s.replays, retries = s.retries,
        route = s.route
    FROM unnest($2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int2[])
        AS s(row, claim, due, attempts, replays, retries, route)
    WHERE p.row = s.row AND p.app = $1 AND p.state = 1 AND p.claim = s.claim";

/// A job for a lane: what it needs of it.
#[derive(Debug, Clone)]
struct Held {
    shared: Arc<Shared>,
    app: AppName,
    number: AppNumber,
    taken: i64,
    epoch: i64,
}

impl Held {
    /// Whether this is the holder still; if so, it is until the end of the transaction.
    async fn is_locked(&self, link: &Link) -> Result<bool, Trouble> {
        let lock = "SELECT 1 FROM lane WHERE app = $1 AND epoch = $2 FOR SHARE";
        Ok(!link.rows(lock, &[&self.number, &self.epoch]).await?.is_empty())
    }

    /// Puts back what an earlier call claimed whose answer did not come: nobody was handed any of it, and the next claim may be
    /// for other routes. A new epoch begins with it: so it waits until that call is over, if the server is at it still, and one
    /// that comes to the server later claims nothing. Changes go by the claim, and are not affected. False where another holder
    /// has the lane.
    async fn let_go(&self, link: &Link, claim: i64) -> Result<bool, Trouble> {
        let node = &self.shared.node;
        link.batch("BEGIN").await?;
        // This may be asked for the second time as well.
        let begin = "UPDATE lane SET epoch = $4::int8 + 1 WHERE app = $1 AND node = $2 AND incarnation = $3 AND epoch IN ($4::int8, $4::int8 + 1)";
        if link.run(begin, &[&self.number, &node.name(), &node.incarnation(), &self.epoch]).await? == 0 {
            link.batch("ROLLBACK").await?;
            return Ok(false);
        }
        let put_back = "UPDATE pending SET state = 0 WHERE app = $1 AND state = 1 AND claim = $2";
        link.run(put_back, &[&self.number, &claim]).await?;
        link.batch("COMMIT").await?;
        Ok(true)
    }

    /// Claims as many under this number.
    async fn claim(
        self,
        link: Arc<Link>,
        (shares, now): (Vec<Share>, WallTime),
        claim: i64,
        waiting: Arc<AtomicU64>,
    ) -> Result<Claim, Trouble> {
        let (claiming, afterwards) = (link.statement(CLAIM).await?, link.statement(AFTERWARDS).await?);
        let (mut numbers, mut routes, mut limits) = (Vec::<i32>::new(), Vec::<i16>::new(), Vec::<i64>::new());
        for (number, share) in (0..).zip(&shares) {
            for route in share.routes.numbers() {
                numbers.push(number);
                routes.push(route.into());
                limits.push(i64::try_from(share.limit).unwrap_or(i64::MAX));
            }
        }
        let now_millis = millis(now);
        let params: [super::Param<'_>; 7] =
            [&self.number, &self.epoch, &now_millis, &numbers, &claim, &routes, &limits];
        let about: [super::Param<'_>; 3] = [&self.number, &self.epoch, &routes];
        let (claimed, then) =
            future::join(link.client.query(&claiming, &params), link.client.query_one(&afterwards, &about)).await;
        let (rows, then) = (claimed?, then?);
        waiting.store(unsigned(then.get(2)), Ordering::Relaxed);
        if !then.get::<_, bool>(3) {
            self.shared.node.lost(self.number, self.taken);
        }
        let (mut entries, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let pending = Pending::read(row);
            match decode(row.get(Pending::WIDTH)) {
                Ok(notification) => entries.push(Claimed {
                    id: self.shared.names.name(pending.row),
                    notification,
                    idempotency_key: pending.key(),
                    tag: pending.tag.clone(),
                    accepted_at: pending.accepted_at(),
                    send_at: pending.send_at,
                    route: pending.route,
                    tries: pending.tries,
                    claim: ClaimNumber::new(pending.claim),
                }),
                Err(error) => unreadable.push((pending, abandoned(&error.to_string()))),
            }
        }
        if !unreadable.is_empty() {
            self.shared.end_in_flight(&link, (&self.app, self.number), unreadable, now).await?;
        }
        let waits = then.get::<_, Vec<i16>>(1).into_iter().map(|route| Route::from_number(route.into()));
        let waits = waits.fold(Routes::default(), Routes::with);
        Ok(Claim { entries, next_due: then.get::<_, Option<i64>>(0).map(time), waits })
    }

    /// One page; `None` at the end.
    async fn recover(&self, link: &Link, policy: LossPolicy, now: WallTime) -> Result<Option<Recovered>, Trouble> {
        link.batch("BEGIN").await?;
        if !self.is_locked(link).await? {
            link.batch("ROLLBACK").await?;
            self.shared.node.lost(self.number, self.taken);
            return Ok(None);
        }
        let find = concat!(
            "SELECT ",
            pending_columns!(),
            " FROM pending WHERE app = $1 AND state = 1 AND claim < $2 ORDER BY due, row LIMIT $3 FOR UPDATE"
        );
        let found = link.rows(find, &[&self.number, &(self.taken << EPOCH_SHIFT), &PAGE]).await?;
        let (mut again, mut ending) = (Vec::new(), Vec::new());
        for row in &found {
            let pending = Pending::read(row);
            let cause = match policy {
                LossPolicy::Resend { at_most } if pending.tries.replays < at_most => {
                    again.push(pending.row);
                    continue;
                }
                LossPolicy::Resend { at_most } if at_most > 0 => {
                    UnknownCause::ReplaysExhausted { replays: pending.tries.replays }
                }
                _ => UnknownCause::ConnectionLost("the daemon ended before an answer was kept".into()),
            };
            ending.push((pending, Outcome::Unknown { cause }));
        }
        let resend = "UPDATE pending SET state = 0, due = $3, replays = replays + 1 WHERE app = $1 AND row = ANY($2)";
        let resent = if again.is_empty() { 0 } else { link.run(resend, &[&self.number, &again, &millis(now)]).await? };
        let reported = self.shared.end_in_flight(link, (&self.app, self.number), ending, now).await?;
        link.batch("COMMIT").await?;
        Ok((!found.is_empty()).then_some(Recovered { resent, reported }))
    }

    async fn change(self, link: Arc<Link>, changes: Vec<Change>) -> Result<Vec<(Cursor, OutcomeRecord)>, Trouble> {
        let (mut settled, mut postponed) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Settle(settlement) => settled.push(*settlement),
                Change::Postpone(postponement) => postponed.push(postponement),
            }
        }
        let (ended, put_back) =
            future::join(self.shared.settle(&link, self.number, settled), self.put_back(&link, &postponed)).await;
        put_back?;
        ended
    }

    async fn put_back(&self, link: &Link, postponed: &[Postponement]) -> Result<(), Trouble> {
        if postponed.is_empty() {
            return Ok(());
        }
        let known: Vec<_> = postponed.iter().filter_map(|one| Some((self.shared.names.row(one.id)?, one))).collect();
        let column = |of: &dyn Fn(&Postponement) -> i64| known.iter().map(|(_, one)| of(one)).collect::<Vec<i64>>();
        let rows: Vec<i64> = known.iter().map(|(row, _)| *row).collect();
        let (claims, due) = (column(&|one| one.claim.get()), column(&|one| millis(one.due)));
        let (attempts, replays) = (column(&|one| one.tries.attempts.into()), column(&|one| one.tries.replays.into()));
        let retries = column(&|one| one.tries.retries.into());
        let routes: Vec<i16> = known.iter().map(|(_, one)| one.route.number().into()).collect();
        let params: [super::Param<'_>; 8] =
            [&self.number, &rows, &claims, &due, &attempts, &replays, &retries, &routes];
        link.run(POSTPONE, &params).await.map(drop)
    }
}

impl PostgresLane {
    fn held(&self) -> Held {
        let epoch = self.claims.lock().epoch;
        Held { shared: self.shared.clone(), app: self.app.clone(), number: self.number, taken: self.taken, epoch }
    }
}

impl Lane for PostgresLane {
    fn recover(&self, policy: LossPolicy, now: WallTime) -> Answer<'_, Recovered> {
        let held = self.held();
        Box::pin(self.shared.change(move |_, link| async move {
            let mut all = Recovered::default();
            while let Some(page) = held.recover(&link, policy, now).await? {
                all.resent += page.resent;
                all.reported.extend(page.reported);
            }
            Ok(all)
        }))
    }

    fn claim_from(&self, shares: Vec<Share>, now: WallTime) -> Answer<'_, Claim> {
        let waiting = self.waiting.clone();
        Box::pin(async move {
            let _one_after_another = self.claiming.lock().await;
            if self.leaving.borrow().is_some() {
                return Ok(Claim::default());
            }
            let unsure = self.claims.lock().unsure;
            if let Some(unsure) = unsure {
                let held = self.held();
                let let_go = self.shared.read(move |_, link| async move { held.let_go(&link, unsure).await });
                if !let_go.await? {
                    self.shared.node.lost(self.number, self.taken);
                    return Ok(Claim::default());
                }
                let mut claims = self.claims.lock();
                claims.epoch += 1;
                claims.unsure = None;
            }
            let number = {
                let mut claims = self.claims.lock();
                claims.last += 1;
                let number = claims.epoch << EPOCH_SHIFT | claims.last;
                claims.unsure = Some(number);
                number
            };
            let held = self.held();
            let claimed =
                self.shared.read(move |_, link| held.claim(link, (shares.clone(), now), number, waiting)).await?;
            self.claims.lock().unsure = None;
            Ok(claimed)
        })
    }

    fn end_attempts(
        &self,
        routes: Routes,
        before: WallTime,
        now: WallTime,
    ) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let held = self.held();
        Box::pin(self.shared.change(move |shared, link| async move {
            shared.end_attempts(&link, &held.app, held.number, routes, before, now).await
        }))
    }

    fn leaving(&self, _ids: &[NotificationId]) {}

    fn changing(&self, _changes: &[Change]) {}

    fn change(&self, changes: Vec<Change>) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        let held = self.held();
        Box::pin(self.shared.change(move |_, link| held.change(link, changes)))
    }

    fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn left(&self) -> Pin<Box<dyn Future<Output = Left> + Send + '_>> {
        let mut leaving = self.leaving.clone();
        Box::pin(async move {
            let told = async {
                loop {
                    let left = *leaving.borrow_and_update();
                    if let Some(left) = left {
                        return left;
                    }
                    if leaving.changed().await.is_err() {
                        return Left::Lost;
                    }
                }
            };
            tokio::select! {
                biased;
                left = told => left,
                () = self.shared.node.lapsed() => Left::Lost,
            }
        })
    }

    fn release(&self) -> Answer<'_, ()> {
        let held = self.held();
        self.shared.node.lost(self.number, self.taken);
        Box::pin(
            self.shared
                .change(move |shared, link| async move { shared.give_back(&link, held.number, held.epoch).await }),
        )
    }
}
