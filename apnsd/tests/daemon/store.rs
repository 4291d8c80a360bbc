//! A store that fails now and then, as a disk that is full for a while does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use apns_proto::{LossPolicy, WallTime};
use apnsd::config::Config;
use apnsd::outbox::sqlite::SqliteOutbox;
use apnsd::outbox::{
    Accepted, Answer, AppPause, Backlog, Change, Claim, Counts, Cursor, Disk, FeedbackPage, Found, GoneToken, Lane,
    Left, NewEntry, Outbox, OutboxError, OutcomeRecord, ReadFrom, Recovered, Routes, Search, Selection, Share,
    StoredApp, Tracked, Unread, Withdrawal, Withdrawn,
};
use apnsd::{AppName, NotificationId, Service, SubmitError};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::{SOON, World, notification, shop, submit, until};

/// Fails so many times at each of these, and works afterwards.
#[derive(Debug)]
pub(crate) struct Flaky {
    pub(crate) works: Arc<SqliteOutbox>,
    pub(crate) accepts: AtomicU32,
    pub(crate) claims: AtomicU32,
    changes: AtomicU32,
    recovers: AtomicU32,
    abandons: AtomicU32,
    pub(crate) probes: AtomicU32,
    /// So many calls are not stored before this opens.
    pub(crate) held: AtomicU32,
    pub(crate) gate: Semaphore,
    /// So many walks through what is withdrawn go on when this opens.
    pub(crate) walks_held: AtomicU32,
    /// So many calls are stored, and their answer is lost.
    pub(crate) lost: AtomicU32,
}

impl Flaky {
    pub(crate) fn never(config: &Config) -> Self {
        let never = || AtomicU32::new(0);
        Self {
            works: Arc::new(SqliteOutbox::open(&config.data, config.bounds.clone()).unwrap()),
            accepts: never(),
            claims: never(),
            changes: never(),
            recovers: never(),
            abandons: never(),
            probes: never(),
            held: never(),
            lost: never(),
            gate: Semaphore::new(0),
            walks_held: never(),
        }
    }
}

fn fails(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn failure<T: Send + 'static>() -> Answer<'static, T> {
    Box::pin(async { Err(OutboxError::Failed("disk full".to_owned())) })
}

impl Outbox for Flaky {
    fn accept(&self, app: &AppName, entries: Vec<NewEntry>) -> Answer<'_, Vec<Accepted>> {
        if fails(&self.accepts) {
            return failure();
        }
        if fails(&self.lost) {
            let accepted = self.works.accept(app, entries);
            return Box::pin(async {
                accepted.await?;
                Err(OutboxError::Unsure("the connection broke".to_owned()))
            });
        }
        if !fails(&self.held) {
            return self.works.accept(app, entries);
        }
        let app = app.clone();
        Box::pin(async move {
            let _open = self.gate.acquire().await;
            self.works.accept(&app, entries).await
        })
    }

    fn hold(self: Arc<Self>, app: &AppName) -> Answer<'static, Arc<dyn Lane>> {
        let holding = self.works.clone().hold(app);
        Box::pin(async move {
            let works = holding.await?;
            Ok(Arc::new(FlakyLane { flaky: self, works }) as Arc<dyn Lane>)
        })
    }

    fn abandon(&self, app: &AppName, why: &str, now: WallTime) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        if fails(&self.abandons) { failure() } else { self.works.abandon(app, why, now) }
    }

    fn withdraw(
        &self,
        app: &AppName,
        selection: Selection,
        why: Withdrawal,
        after: &Cursor,
        now: WallTime,
    ) -> Answer<'_, Withdrawn> {
        if after.as_str().is_empty() || !fails(&self.walks_held) {
            return self.works.withdraw(app, selection, why, after, now);
        }
        let (app, after) = (app.clone(), after.clone());
        Box::pin(async move {
            let _open = self.gate.acquire().await;
            self.works.withdraw(&app, selection, why, &after, now).await
        })
    }

    fn by_keys(&self, app: &AppName, keys: Vec<Arc<str>>, now: WallTime) -> Answer<'_, Vec<Option<NotificationId>>> {
        self.works.by_keys(app, keys, now)
    }

    fn set_pause(&self, app: &AppName, pause: Option<AppPause>) -> Answer<'_, ()> {
        self.works.set_pause(app, pause)
    }

    fn pauses(&self) -> Answer<'_, Vec<(AppName, AppPause)>> {
        self.works.pauses()
    }

    fn lookup(&self, ids: Vec<NotificationId>) -> Answer<'_, Vec<Option<Tracked>>> {
        self.works.lookup(ids)
    }

    fn search(&self, app: &AppName, search: Search, after: &Cursor, limit: usize) -> Answer<'_, Found> {
        self.works.search(app, search, after, limit)
    }

    fn outcomes(&self, app: &AppName, after: &Cursor, limit: usize) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        self.works.outcomes(app, after, limit)
    }

    fn newest_outcome(&self, app: &AppName) -> Answer<'_, Cursor> {
        self.works.newest_outcome(app)
    }

    fn note_gone(&self, app: &AppName, tokens: Vec<GoneToken>) -> Answer<'_, ()> {
        self.works.note_gone(app, tokens)
    }

    fn begin_reading(&self, app: &AppName, reader: &str, from: ReadFrom, now: WallTime) -> Answer<'_, ()> {
        self.works.begin_reading(app, reader, from, now)
    }

    fn unread_outcomes(
        &self,
        app: &AppName,
        reader: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Answer<'_, Option<Unread>> {
        self.works.unread_outcomes(app, reader, after, limit)
    }

    fn backlog(&self, app: &AppName, reader: &str) -> Answer<'_, Option<Backlog>> {
        self.works.backlog(app, reader)
    }

    fn readers(&self) -> Answer<'_, Vec<(AppName, String)>> {
        self.works.readers()
    }

    fn gone(&self, app: &AppName, after: &Cursor, since: WallTime, limit: usize) -> Answer<'_, FeedbackPage> {
        self.works.gone(app, after, since, limit)
    }

    fn unread(&self, app: &AppName, reader: &str, limit: usize) -> Answer<'_, FeedbackPage> {
        self.works.unread(app, reader, limit)
    }

    fn mark_read(&self, app: &AppName, reader: &str, upto: &Cursor) -> Answer<'_, ()> {
        self.works.mark_read(app, reader, upto)
    }

    fn counts(&self, app: &AppName) -> Answer<'_, Counts> {
        self.works.counts(app)
    }

    fn total(&self) -> Answer<'_, Counts> {
        self.works.total()
    }

    fn keep_app(&self, app: StoredApp) -> Answer<'_, ()> {
        self.works.keep_app(app)
    }

    fn forget_app(&self, app: &AppName) -> Answer<'_, ()> {
        self.works.forget_app(app)
    }

    fn kept_apps(&self) -> Answer<'_, Vec<StoredApp>> {
        self.works.kept_apps()
    }

    fn clock_set_back(&self, by: Duration, now: WallTime) -> Answer<'_, ()> {
        self.works.clock_set_back(by, now)
    }

    fn sweep(&self, now: WallTime) -> Answer<'_, bool> {
        self.works.sweep(now)
    }

    fn probe(&self) -> Answer<'_, Disk> {
        if fails(&self.probes) { failure() } else { self.works.probe() }
    }

    fn oldest_waiting(&self, app: &AppName) -> Answer<'_, Option<WallTime>> {
        self.works.oldest_waiting(app)
    }

    fn close(&self) -> Answer<'_, ()> {
        self.works.close()
    }
}

/// A lane of such a store.
#[derive(Debug)]
struct FlakyLane {
    flaky: Arc<Flaky>,
    works: Arc<dyn Lane>,
}

impl Lane for FlakyLane {
    fn recover(&self, policy: LossPolicy, now: WallTime) -> Answer<'_, Recovered> {
        if fails(&self.flaky.recovers) { failure() } else { self.works.recover(policy, now) }
    }

    fn claim_from(&self, shares: Vec<Share>, now: WallTime) -> Answer<'_, Claim> {
        if fails(&self.flaky.claims) { failure() } else { self.works.claim_from(shares, now) }
    }

    fn end_attempts(
        &self,
        routes: Routes,
        before: WallTime,
        now: WallTime,
    ) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        self.works.end_attempts(routes, before, now)
    }

    fn leaving(&self, ids: &[NotificationId]) {
        self.works.leaving(ids);
    }

    fn changing(&self, changes: &[Change]) {
        self.works.changing(changes);
    }

    fn change(&self, changes: Vec<Change>) -> Answer<'_, Vec<(Cursor, OutcomeRecord)>> {
        if fails(&self.flaky.changes) { failure() } else { self.works.change(changes) }
    }

    fn is_shared(&self) -> bool {
        self.works.is_shared()
    }

    fn waiting(&self) -> u64 {
        self.works.waiting()
    }

    fn left(&self) -> Pin<Box<dyn Future<Output = Left> + Send + '_>> {
        self.works.left()
    }

    fn release(&self) -> Answer<'_, ()> {
        self.works.release()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_for_a_while_loses_nothing() {
    let world = World::new().await;
    let config = world.config("");
    let outbox = Flaky {
        accepts: AtomicU32::new(1),
        claims: AtomicU32::new(2),
        changes: AtomicU32::new(2),
        recovers: AtomicU32::new(1),
        ..Flaky::never(&config)
    };
    let service = Service::start_with(&config, Arc::new(outbox)).await.unwrap();
    let refused = service.submit(&shop(), vec![notification(1).into()]).await.unwrap_err();
    assert_eq!(refused, SubmitError::Outbox(OutboxError::Failed("disk full".to_owned())), "the caller is told");
    let ids = submit(&service, 200).await;
    let records = service.wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(OutcomeRecord::is_accepted)));
    assert_eq!(world.simulator.counts().requests, 200, "each of them once");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_while_an_app_is_replaced_keeps_the_outcomes_that_are_known() {
    let world = World::new().await;
    let mut config = world.config("");
    // For longer than what is under way may take when an app is replaced.
    let outbox = Flaky { changes: AtomicU32::new(13), ..Flaky::never(&config) };
    let service = Service::start_with(&config, Arc::new(outbox)).await.unwrap();
    let ids = submit(&service, 20).await;
    until("the service has answered", async || world.simulator.counts().requests > 0).await;
    config.apps.get_mut(&shop()).unwrap().in_flight = Some(77);
    service.reload(&config).await.unwrap();
    let records = service.wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(OutcomeRecord::is_accepted)), "{records:?}");
    assert_eq!(world.simulator.counts().requests, 20, "each of them once");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_while_an_app_is_removed_settles_it_later() {
    let world = World::new().await;
    let mut config = world.config("");
    let mut definition = config.apps.remove(&shop()).unwrap();
    definition.port = Some(1);
    let outbox = Flaky { abandons: AtomicU32::new(1), ..Flaky::never(&config) };
    let service = Service::start_with(&config, Arc::new(outbox)).await.unwrap();
    service.provision(&shop(), definition).await.unwrap();
    let ids = submit(&service, 3).await;
    service.remove(&shop()).await.unwrap();
    assert!(!service.knows(&shop()), "it is gone all the same");
    let records = service.wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| &*record.outcome == "not_sent")));
    service.stop(SOON).await;
}

/// Begins to store one notification for an app, and has the app removed before that is done.
async fn removed_meanwhile(service: &Service, outbox: &Flaky) -> JoinHandle<Result<Vec<Accepted>, SubmitError>> {
    outbox.held.store(1, Ordering::SeqCst);
    let submitting = {
        let service = service.clone();
        tokio::spawn(async move { service.submit(&shop(), vec![notification(1).into()]).await })
    };
    until("it is being stored", async || outbox.held.load(Ordering::SeqCst) == 0).await;
    service.remove(&shop()).await.unwrap();
    submitting
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_for_an_app_that_was_removed_and_came_back_is_sent() {
    let world = World::new().await;
    let mut config = world.config("");
    let definition = config.apps.remove(&shop()).unwrap();
    let outbox = Arc::new(Flaky::never(&config));
    let service = Service::start_with(&config, outbox.clone()).await.unwrap();
    service.provision(&shop(), definition.clone()).await.unwrap();
    let submitting = removed_meanwhile(&service, &outbox).await;
    service.provision(&shop(), definition).await.unwrap();
    // The engine has nothing to do any more when it is stored.
    let first = submit(&service, 1).await;
    service.wait(first[0], SOON).await.unwrap().unwrap();
    outbox.gate.add_permits(1);
    let accepted = submitting.await.unwrap().unwrap();
    // Well before everything is looked at once more.
    let record = service.wait(accepted[0].id, Duration::from_secs(20)).await.unwrap();
    assert!(record.as_ref().is_some_and(OutcomeRecord::is_accepted), "{record:?}");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_for_an_app_that_is_gone_was_accepted_and_ends_as_not_sent() {
    let world = World::new().await;
    let mut config = world.config("");
    let definition = config.apps.remove(&shop()).unwrap();
    let outbox = Arc::new(Flaky::never(&config));
    let service = Service::start_with(&config, outbox.clone()).await.unwrap();
    for failures in [0, 1] {
        service.provision(&shop(), definition.clone()).await.unwrap();
        let mut outcomes = service.outcomes(&shop(), None).await.unwrap();
        let watching = tokio::spawn(async move { outcomes.next().await.unwrap() });
        let submitting = removed_meanwhile(&service, &outbox).await;
        outbox.abandons.store(failures, Ordering::SeqCst);
        outbox.gate.add_permits(1);
        let accepted = submitting.await.unwrap().expect("it is stored, whatever fails afterwards");
        outbox.gate.forget_permits(1);
        let record = service.wait(accepted[0].id, SOON).await.unwrap().unwrap();
        assert_eq!(record.outcome, "not_sent", "{record:?}");
        if failures == 0 {
            let seen = watching.await.unwrap().map(|(_, record)| record.id);
            assert_eq!(seen, Some(accepted[0].id), "who watches is told");
        }
    }
    assert_eq!(world.simulator.counts().requests, 0);
    service.stop(SOON).await;
}
