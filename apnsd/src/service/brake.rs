//! The emergency brake: an app is paused, what waits is purged, one notification is cancelled.

use std::sync::Arc;
use std::time::Duration;

use super::{Service, SubmitError, in_a_task};
use crate::delivery::now;
use crate::outbox::{AppPause, Counts, Cursor, OutboxError, OutcomeRecord, Selection, State, Withdrawal};
use crate::{AppName, NotificationId};

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Purged {
    /// So many ended as not sent.
    pub purged: u64,
    /// So many ended as unknown: an earlier copy of each may have arrived.
    pub unknown: u64,
    /// So many of the app were in flight at the end, and are not touched.
    pub in_flight: u64,
}

impl Purged {
    const fn ended(&self) -> u64 {
        self.purged + self.unknown
    }
}

/// What came of the wish to cancel a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// It waited, and ended with this.
    Done(Box<OutcomeRecord>),
    /// It is with the service, or on its way there.
    InFlight,
    /// It had ended before.
    Ended(Box<OutcomeRecord>),
    /// There is none, or it was forgotten.
    Unknown,
}

impl Service {
    /// Sends nothing more of an app until [`resume`](Self::resume), also after a restart. What is in flight ends as it would
    /// have; what is submitted is accepted and waits. An app that is paused already keeps the time since when.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails.
    pub async fn pause(&self, app: &AppName, reason: Option<Arc<str>>) -> Result<AppPause, SubmitError> {
        let (service, app) = (self.clone(), app.clone());
        in_a_task(async move {
            let _one_after_another = service.0.changing.lock().await;
            let running = service.app(&app)?;
            let since = running.standing.pause().map_or_else(now, |pause| pause.since);
            let pause = AppPause { since, reason };
            // At once, and on disk: where that fails it holds for as long as this process runs.
            running.standing.set_pause(Some(pause.clone()));
            service.0.paused.lock().insert(app.clone(), pause.clone());
            service.0.outbox.set_pause(&app, Some(pause.clone())).await?;
            let reason = pause.reason.as_deref().unwrap_or("no reason was given");
            tracing::warn!("app {app} is paused: {}", apns_proto::Escaped(reason));
            Ok(pause)
        })
        .await
    }

    /// Sends again what waits. An app that is not paused goes on.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails; it stays paused then.
    pub async fn resume(&self, app: &AppName) -> Result<(), SubmitError> {
        let (service, app) = (self.clone(), app.clone());
        in_a_task(async move {
            let _one_after_another = service.0.changing.lock().await;
            let running = service.app(&app)?;
            service.0.outbox.set_pause(&app, None).await?;
            service.0.paused.lock().remove(&app);
            let was_paused = running.standing.pause().is_some();
            running.standing.set_pause(None);
            running.wake.notify_one();
            if was_paused {
                tracing::info!("app {app} is resumed");
            }
            Ok(())
        })
        .await
    }

    /// Ends what waits and is selected: as not sent, with the reason `purged`. It goes on to its end, also when the caller
    /// hangs up.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails; what had ended by then stays ended.
    pub async fn purge(&self, app: &AppName, selection: Selection) -> Result<Purged, SubmitError> {
        let (service, app) = (self.clone(), app.clone());
        in_a_task(async move {
            let running = service.app(&app)?;
            let (mut purged, mut after) = (Purged::default(), Cursor::default());
            let (began, mut selection) = (now().saturating_add(Duration::from_millis(1)), selection);
            // What goes from one environment to the other meanwhile may pass a walk; the next one finds it.
            let walks_again = running.current.read().app.has_both();
            let mut ended_before = 0;
            loop {
                let step =
                    service.0.outbox.withdraw(&app, selection.clone(), Withdrawal::Purged, &after, now()).await?;
                for (_, record) in &step.settled {
                    if record.outcome == "unknown" {
                        purged.unknown += 1;
                    } else {
                        purged.purged += 1;
                    }
                }
                running.announcer.publish(&step.settled);
                after = match step.next {
                    Some(next) => next,
                    None if walks_again && purged.ended() > ended_before => {
                        ended_before = purged.ended();
                        // What is accepted from now on was not meant.
                        let before = selection.accepted_before.map_or(began, |before| before.min(began));
                        selection.accepted_before = Some(before);
                        Cursor::default()
                    }
                    None => break,
                };
            }
            let Counts { in_flight, .. } = service.0.outbox.counts(&app).await?;
            purged.in_flight = in_flight;
            let Purged { purged: ended, unknown, .. } = purged;
            tracing::warn!(
                "app {app}: purged {ended} that waited, {unknown} more are unknown, {in_flight} are in flight"
            );
            Ok(purged)
        })
        .await
    }

    /// Ends these notifications where they wait: as not sent, with the reason `cancelled`. In the order of the ids. Those of
    /// other apps are unknown.
    ///
    /// # Errors
    ///
    /// When the app is not known, or the outbox fails.
    pub async fn cancel(&self, app: &AppName, ids: Vec<NotificationId>) -> Result<Vec<Cancelled>, SubmitError> {
        let (service, app) = (self.clone(), app.clone());
        in_a_task(async move {
            let running = service.app(&app)?;
            let selection = Selection { ids: Some(ids.clone()), ..Selection::default() };
            let start = Cursor::default();
            let step = service.0.outbox.withdraw(&app, selection, Withdrawal::Cancelled, &start, now()).await?;
            running.announcer.publish(&step.settled);
            let known = service.0.outbox.lookup(ids.clone()).await?;
            let mut done: std::collections::HashMap<_, _> =
                step.settled.into_iter().map(|(_, record)| (record.id, record)).collect();
            let told = ids.into_iter().zip(known).map(|(id, tracked)| match (done.remove(&id), tracked) {
                (Some(record), _) => Cancelled::Done(Box::new(record)),
                (None, Some(tracked)) if tracked.app == app => match tracked.state {
                    State::Settled(record) => Cancelled::Ended(record),
                    // It was claimed a moment ago, or put back since: it may leave.
                    State::Waiting { .. } | State::InFlight { .. } => Cancelled::InFlight,
                },
                (None, _) => Cancelled::Unknown,
            });
            Ok(told.collect())
        })
        .await
    }

    /// The notifications that these idempotency keys stand for; `None` for keys that are not remembered.
    ///
    /// # Errors
    ///
    /// When the outbox fails.
    pub async fn by_keys(
        &self,
        app: &AppName,
        keys: Vec<Arc<str>>,
    ) -> Result<Vec<Option<NotificationId>>, OutboxError> {
        self.0.outbox.by_keys(app, keys, now()).await
    }
}
