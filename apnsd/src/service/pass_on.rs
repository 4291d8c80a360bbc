//! A caller who waits for the service's own answer.

use std::time::Duration;

use apns_proto::Rejection;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::{Cancelled, Forget, Service, Submission, SubmitError, in_a_task};
use crate::delivery::Answered;
use crate::outbox::{OutboxError, OutcomeRecord, State};
use crate::{AppName, NotificationId};

/// What came of a notification whose caller waits for the service's answer.
#[derive(Debug)]
pub(crate) enum PassedOn {
    /// It ended.
    Ended(Box<OutcomeRecord>),
    /// The service refused it for the time being. It was taken back: the caller may send it again.
    Refused(Box<Rejection>),
    /// Nothing was heard of it in time, and it was taken back before it left.
    Late,
    /// The daemon stops, and it was taken back before it left.
    Stopping,
    /// It may have left, or cannot be taken back. Its outcome is told elsewhere.
    InDoubt,
}

/// What ends the wait.
enum End {
    Refused(Box<Rejection>),
    Late,
    Stopping,
}

impl Service {
    /// Accepts a notification whose caller waits for the service's answer. A caller that hangs up before this returns, which
    /// drops the future, has it taken back as well.
    pub(crate) async fn submit_attended(&self, app: &AppName, submission: Submission) -> Result<Attended, SubmitError> {
        let (service, app) = (self.clone(), app.clone());
        // What the task gives is dropped when nobody waits for it any more.
        in_a_task(async move {
            let accepted = service.submit(&app, vec![submission]).await?;
            let one = accepted.first().ok_or_else(|| OutboxError::Failed("it gave no name".to_owned()))?;
            Ok(Attended { id: one.id, service, app, waits: true })
        })
        .await
    }

    async fn first_answer(&self, app: &AppName, id: NotificationId, deadline: Instant) -> PassedOn {
        let mut stops = true;
        loop {
            let told = self.0.waiters.attend(id);
            // What ended before is not told any more.
            match self.lookup(id).await.map(|tracked| tracked.map(|tracked| tracked.state)) {
                Ok(Some(State::Settled(record))) => return PassedOn::Ended(record),
                Ok(Some(State::Waiting { .. } | State::InFlight { .. })) => {}
                Ok(None) | Err(_) => return PassedOn::InDoubt,
            }
            let end = tokio::select! {
                biased;
                answered = told => match answered {
                    Ok(Answered::Ended(record)) => return PassedOn::Ended(record),
                    Ok(Answered::Refused(rejection)) => End::Refused(rejection),
                    Err(_) => return PassedOn::InDoubt,
                },
                () = tokio::time::sleep_until(deadline) => End::Late,
                _by = self.told_to_stop(), if stops => End::Stopping,
                () = self.0.stopped.cancelled() => return PassedOn::InDoubt,
            };
            let taken_back = self.cancel(app, vec![id]).await.ok().and_then(|mut cancelled| cancelled.pop());
            match (taken_back, end) {
                (Some(Cancelled::Done(record)), end) if record.outcome == "not_sent" => {
                    return match end {
                        End::Refused(rejection) => PassedOn::Refused(rejection),
                        End::Late => PassedOn::Late,
                        End::Stopping => PassedOn::Stopping,
                    };
                }
                // An earlier copy may have arrived; or it had ended by then.
                (Some(Cancelled::Done(record) | Cancelled::Ended(record)), _) => return PassedOn::Ended(record),
                // It was claimed again: there will be another answer.
                (Some(Cancelled::InFlight), End::Refused(_)) => {}
                // What is with the service may still be answered.
                (Some(Cancelled::InFlight), End::Stopping) => stops = false,
                (Some(Cancelled::InFlight | Cancelled::Unknown) | None, _) => return PassedOn::InDoubt,
            }
        }
    }
}

/// A notification whose caller waits for the service's answer. Dropping it, when the caller hangs up, takes the notification
/// back if it has not left.
pub(crate) struct Attended {
    service: Service,
    app: AppName,
    id: NotificationId,
    waits: bool,
}

impl Attended {
    /// The name of the notification.
    pub(crate) const fn id(&self) -> NotificationId {
        self.id
    }

    /// Waits for the service's first answer. Where there is none within `limit`, and when the daemon stops, the notification is
    /// taken back if it has not left.
    pub(crate) async fn answer(mut self, limit: Duration) -> PassedOn {
        let deadline = Instant::now() + limit;
        let service = self.service.clone();
        let _passing = service.0.passing.read().await;
        let ids = [self.id];
        let _forgotten = Forget { waiters: &service.0.waiters, ids: &ids };
        let passed = service.first_answer(&self.app, self.id, deadline).await;
        self.waits = false;
        passed
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        if let (true, Ok(runtime)) = (self.waits, Handle::try_current()) {
            let (service, app, id) = (self.service.clone(), self.app.clone(), self.id);
            // Where it cannot be taken back it is sent, and its outcome told elsewhere.
            runtime.spawn(async move { drop(service.cancel(&app, vec![id]).await) });
        }
    }
}
