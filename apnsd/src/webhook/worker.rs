//! Tells the outcomes of one app to one webhook, one batch after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::batch::{Batch, Composed, compose};
use super::config::Webhook;
use super::schedule::Schedule;
use super::sender::Line;
use super::standing::Standing;
use crate::AppName;
use crate::delivery::now;
use crate::outbox::{Cursor, Outbox, OutboxError, Unread};

/// The wait before a store that failed is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often it is looked although nobody said that there is something.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same where another process sends, which may end.
const LOOK_ELSEWHERE: Duration = Duration::from_secs(2);
/// How often the place is kept where nothing of what came was for the receiver.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often the store is told that this webhook is there.
const NOTE_EVERY: Duration = Duration::from_secs(60 * 60);

pub(super) struct Worker {
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) hook: Arc<Webhook>,
    pub(super) app: AppName,
    pub(super) standing: Arc<Standing>,
    /// Counts how often outcomes were added. It ends with the app.
    pub(super) changes: watch::Receiver<u64>,
    /// A receiver that failed is tried at once.
    pub(super) mended: Arc<Notify>,
    pub(super) stopping: watch::Receiver<bool>,
}

/// How far it came.
struct Progress {
    /// Passed over, and not kept in the store yet.
    ahead: Option<Cursor>,
    /// When the place was kept last.
    kept: Instant,
    /// When the store was told last that this webhook is there.
    noted: Option<Instant>,
    /// What is there waited for more.
    waited: bool,
    line: Option<Line>,
}

impl Worker {
    /// Runs until it is told to stop, or until the app is gone and everything was told of it.
    pub(super) async fn run(mut self) {
        let mut progress = Progress { ahead: None, kept: Instant::now(), noted: None, waited: false, line: None };
        while !*self.stopping.borrow() {
            match self.step(&mut progress).await {
                Ok(true) => {}
                Ok(false) | Err(OutboxError::Closed) => break,
                Err(_) => self.pause(STORE_RETRY).await,
            }
        }
        if let Some(ahead) = &progress.ahead {
            // Where it is not kept, the next one passes over it again.
            drop(self.outbox.mark_read(&self.app, &self.hook.reader(), ahead).await);
        }
    }

    /// Reads, sends, and keeps the place. Says whether to go on.
    async fn step(&mut self, progress: &mut Progress) -> Result<bool, OutboxError> {
        let reader = self.hook.reader();
        self.note(progress).await?;
        // What is added from here on is seen as a change.
        self.changes.mark_unchanged();
        let after = progress.ahead.as_ref();
        let unread = self.outbox.unread_outcomes(&self.app, &reader, after, self.hook.max_batch).await?;
        self.standing.set_elsewhere(unread.is_none());
        let Some(unread) = unread else {
            (progress.ahead, progress.line, progress.waited) = (None, None, false);
            return self.idle(&reader, LOOK_ELSEWHERE).await;
        };
        let many = unread.outcomes.len() >= self.hook.max_batch;
        let Composed { upto, batch } = compose(&self.hook, &self.app, &unread, now());
        match batch {
            None => self.pass_over(progress, &unread, upto, many).await,
            Some(batch) if !(many || batch.full || progress.waited || self.hook.wait.is_zero()) => {
                progress.waited = true;
                self.rest(self.hook.wait).await;
                Ok(true)
            }
            Some(batch) => {
                progress.waited = false;
                if self.deliver(progress, &batch).await {
                    self.keep(&upto).await?;
                    (progress.ahead, progress.kept) = (None, Instant::now());
                } else {
                    // A lease that may be over is renewed, or is another's.
                    self.rest(STORE_RETRY).await;
                }
                Ok(true)
            }
        }
    }

    /// Tells the store now and then that this webhook is there. It forgets the place of one that is not.
    async fn note(&self, progress: &mut Progress) -> Result<(), OutboxError> {
        if progress.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY) {
            self.outbox.begin_reading(&self.app, &self.hook.reader(), self.hook.from, now()).await?;
            progress.noted = Some(Instant::now());
        }
        Ok(())
    }

    /// Nothing of what was read is for the receiver.
    async fn pass_over(
        &mut self,
        progress: &mut Progress,
        unread: &Unread,
        upto: Cursor,
        many: bool,
    ) -> Result<bool, OutboxError> {
        if upto != unread.after {
            progress.ahead = Some(upto);
        }
        let reader = self.hook.reader();
        if let Some(ahead) = progress.ahead.as_ref().filter(|_| progress.kept.elapsed() >= KEEP_EVERY) {
            self.outbox.mark_read(&self.app, &reader, ahead).await?;
            (progress.ahead, progress.kept) = (None, Instant::now());
        }
        if many { Ok(true) } else { self.idle(&reader, LOOK_EVERY).await }
    }

    /// Waits until there may be more. Says that there will not be where the app is gone and nothing is left of it.
    async fn idle(&mut self, reader: &str, most: Duration) -> Result<bool, OutboxError> {
        if self.changes.has_changed().is_err() {
            let counts = self.outbox.counts(&self.app).await?;
            let backlog = self.outbox.backlog(&self.app, reader).await?.unwrap_or_default();
            if counts.waiting + counts.in_flight + backlog.outcomes == 0 {
                return Ok(false);
            }
        }
        self.pause(most).await;
        Ok(true)
    }

    /// Does nothing for so long, unless it is told to stop.
    async fn rest(&mut self, span: Duration) {
        tokio::select! {
            () = sleep(span) => {}
            _stop = self.stopping.wait_for(|stop| *stop) => {}
        }
    }

    /// Does nothing for so long, unless there is something new.
    async fn pause(&mut self, most: Duration) {
        let there = self.changes.has_changed().is_ok();
        tokio::select! {
            () = sleep(most) => {}
            _changed = self.changes.changed(), if there => {}
            _stop = self.stopping.wait_for(|stop| *stop) => {}
        }
    }

    /// Sends a batch until the receiver takes it; `false` where it is told to stop before, or another process may send.
    async fn deliver(&mut self, progress: &mut Progress, batch: &Batch) -> bool {
        let mut schedule = Schedule::default();
        let (hook, app) = (self.hook.clone(), self.app.clone());
        loop {
            let answered = tokio::select! {
                biased;
                () = self.outbox.lapsed() => return false,
                answered = hook.sender.post(&mut progress.line, &batch.event) => answered,
            };
            let name = &hook.name;
            let failure = match answered {
                Ok(_) => {
                    if self.standing.delivered(batch.count, batch.gap, now()) {
                        tracing::info!("webhook {name}, app {app}: the receiver takes outcomes again");
                    }
                    return true;
                }
                Err(failure) => failure,
            };
            if self.standing.failed(&failure, now()) {
                tracing::warn!(
                    "webhook {name}, app {app}: outcomes are not taken, and this is tried again until they are: {failure}"
                );
            }
            tokio::select! {
                () = sleep(schedule.failed(failure.retry_after(), random())) => {}
                () = self.mended.notified() => {}
                _stop = self.stopping.wait_for(|stop| *stop) => return false,
            }
            // Another process may have the place by now. A store that does not say is asked again.
            let ours = self.outbox.unread_outcomes(&app, &hook.reader(), None, 0).await;
            if matches!(ours, Ok(None)) {
                return false;
            }
            // A store that fails is told after the next attempt.
            drop(self.note(progress).await);
        }
    }

    /// Keeps the place behind what the receiver has.
    async fn keep(&mut self, upto: &Cursor) -> Result<(), OutboxError> {
        let reader = self.hook.reader();
        loop {
            match self.outbox.mark_read(&self.app, &reader, upto).await {
                Ok(()) => return Ok(()),
                // The next process tells it again.
                Err(error) if error == OutboxError::Closed || *self.stopping.borrow() => return Err(error),
                Err(_) => self.pause(STORE_RETRY).await,
            }
        }
    }
}

/// A number that spreads those who failed together.
fn random() -> u16 {
    let mut bytes = [0; 2];
    // Without one they are not spread.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    u16::from_ne_bytes(bytes)
}
