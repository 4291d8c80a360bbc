//! Accepting notifications: what the client or the app would refuse is refused before it is stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use apns_lint::Finding;
use apns_proto::binary::Limits;
use apns_proto::{InvalidNotification, Notification, WallTime};

use super::{Service, SubmitError, in_a_task, later, validation};
use crate::config::{App, Destination, EnvironmentChoice};
use crate::delivery::now;
use crate::outbox::{Accepted, NewEntry, OutboxError, Route, digest};
use crate::{AppName, Tag};

/// A notification as a caller hands it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// What to send.
    pub notification: Notification,
    /// The caller's own name for it. The same name is not queued twice within a day: the answer names the first one.
    pub idempotency_key: Option<Arc<str>>,
    /// The caller's word for those that it belongs to, by which they are found. Any number may have the same one.
    pub tag: Option<Tag>,
    /// Not to be sent before this time, which lies within the app's `retry.within` from now. A span in its expiration is
    /// counted from then. A time in the past is as good as none.
    pub send_at: Option<WallTime>,
    /// Which environment it goes to. Default: that of the app.
    pub environment: Option<EnvironmentChoice>,
}

impl From<Notification> for Submission {
    fn from(notification: Notification) -> Self {
        Self { notification, idempotency_key: None, tag: None, send_at: None, environment: None }
    }
}

impl Service {
    /// Accepts notifications, all or none, in this order. When this returns `Ok`, they are on disk, and delivery goes on
    /// on its own whatever happens.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; nothing was accepted then.
    pub async fn submit(&self, app: &AppName, submissions: Vec<Submission>) -> Result<Vec<Accepted>, SubmitError> {
        if self.is_stopping() {
            return Err(OutboxError::Closed.into());
        }
        let running = self.app(app)?;
        let current = running.now();
        let at = now();
        let mut entries = Vec::with_capacity(submissions.len());
        let mut findings = Vec::with_capacity(submissions.len());
        for (index, submission) in submissions.into_iter().enumerate() {
            let Submission { mut notification, idempotency_key, tag, send_at, environment } = submission;
            findings.push(examine(index, &notification, environment, &current.app)?);
            // As the caller said it: who asks again after that time asks for the same.
            let digest =
                idempotency_key.is_some().then(|| later::digest_with(digest(&notification), send_at, environment));
            let send_at = send_at.filter(|send_at| *send_at > at);
            if let Some(send_at) = send_at {
                later::check(&notification, send_at, at, &current.app)
                    .map_err(|cause| SubmitError::SendAt { index, cause })?;
            }
            // What only the payload's builder was told does not survive its being written down.
            if let (None, Some(declared)) = (notification.push_type(), notification.payload().declared_push_type()) {
                let declared = declared.clone();
                notification = notification.with_push_type(declared);
            }
            running.note_expiration(&notification, at);
            notification.hand_over(send_at.unwrap_or(at));
            let route = route_of(environment);
            entries.push(NewEntry { notification, idempotency_key, digest, tag, at, send_at, route });
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        running.rate.take(entries.len(), Instant::now()).map_err(|wait| SubmitError::TooFast { wait })?;
        // To its end, also when the caller hangs up: what is stored is nobody's until its engine knows of it.
        let (service, name) = (self.clone(), app.clone());
        in_a_task(async move {
            let accepted = service.0.outbox.accept(&name, entries).await.inspect_err(|error| {
                if matches!(error, OutboxError::Failed(_) | OutboxError::Unsure(_)) {
                    service.0.store.doubt.notify_one();
                }
                if matches!(error, OutboxError::Unsure(_)) {
                    running.wake.notify_one();
                }
            });
            let mut accepted = match accepted {
                Err(OutboxError::KeyReused { index }) => return Err(SubmitError::KeyReused { index }),
                accepted => accepted?,
            };
            for (one, findings) in accepted.iter_mut().zip(findings) {
                running.told.tell(&name, &findings);
                one.findings = findings;
            }
            running.standing.took(accepted.iter().filter(|one| !one.duplicate).count() as u64);
            running.wake.notify_one();
            if running.removed.load(Ordering::SeqCst) {
                // It was accepted all the same, whatever comes of it.
                service.settle_removed(&name).await;
            }
            Ok(accepted)
        })
        .await
    }

    /// Whether only so many a second are taken for this app.
    pub(crate) fn has_rate(&self, app: &AppName) -> bool {
        self.app(app).is_ok_and(|running| running.now().app.rate.is_some())
    }

    /// Whether the client of this app would take all of these.
    pub(crate) fn check(&self, app: &AppName, submissions: &[Submission]) -> Result<(), SubmitError> {
        let current = self.app(app)?.now();
        for (index, submission) in submissions.iter().enumerate() {
            examine(index, &submission.notification, submission.environment, &current.app)?;
        }
        Ok(())
    }
}

/// The route of a notification whose caller chose this.
fn route_of(environment: Option<EnvironmentChoice>) -> Route {
    environment.map_or(Route::Default, |choice| choice.environment().map_or(Route::Auto, Route::Named))
}

/// What the client would refuse is refused before it is stored, and what the app's `validate` refuses. What is wrong with the
/// payload otherwise comes back.
fn examine(
    index: usize,
    notification: &Notification,
    environment: Option<EnvironmentChoice>,
    app: &App,
) -> Result<Vec<Finding>, SubmitError> {
    let destinations = app.destinations_of(environment);
    if destinations.is_empty() {
        return Err(SubmitError::Environment { index, environment: environment.unwrap_or(app.environment) });
    }
    for to in destinations {
        check(notification, to, app).map_err(|cause| SubmitError::Invalid { index, cause })?;
    }

    validation::judge(notification, app).map_err(|findings| SubmitError::Payload { index, findings })
}

/// What the client would refuse is refused before it is stored.
fn check(notification: &Notification, to: &Destination, app: &App) -> Result<(), InvalidNotification> {
    match to.requests(app) {
        Some(requests) => requests.check(notification),
        None => Limits::default().check(notification),
    }
}
