//! One connection of a client to the gateway: takes, waits for what becomes of it, says so where it must.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::Environment;
use apns_proto::binary::{ErrorResponse, Status};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::clients::Client;
use super::ending::{part, say_and_part};
use super::line::{Due, Fate, Line};
use super::reading::{Arrival, Reading, What};
use super::status::invalid;
use super::taken::{Fates, Taken};
use crate::NotificationId;
use crate::config::{BridgeErrors, EnvironmentChoice};
use crate::delivery::Listener;
use crate::listen::{Busy, Place};
use crate::outbox::OutboxError;
use crate::service::{Service, Submission, SubmitError};

/// What is read at once. It bounds, with the largest message, what a connection holds that is not stored.
const READ: usize = 16 * 1024;
/// The most notifications of a connection whose fate is waited for. Those beyond are not told of any more; the outcomes
/// are. About 300 bytes each.
const LINE: usize = 100_000;
/// How many may be open before no more is read, as long as outcomes come. A refusal throws away what follows it, and old
/// clients remember little of what they wrote: apn 1.7 the last 1000, say.
const AHEAD: usize = 500;
/// Without any outcome for so long, the service is away, and reading goes on into the outbox.
const AWAY: Duration = Duration::from_secs(1);
/// How long storing what was read may take when the bridge goes down.
const STORED_WITHIN: Duration = Duration::from_secs(3);
/// The wait before a store that is full or fails is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// What a connection works with.
pub(super) struct ClientConnection {
    pub(super) service: Service,
    pub(super) client: Arc<Client>,
    /// Of this connection: the same certificate may have been for another one when the client connected first.
    pub(super) environment: Option<Environment>,
    pub(super) errors: BridgeErrors,
    pub(super) idle: Duration,
    pub(super) reading: Reading,
    pub(super) place: Place,
    pub(super) stop: watch::Receiver<bool>,
    /// Held until nothing more is stored.
    pub(super) storing: Storing,
}

/// Counts the connections that may still store something.
#[derive(Debug, Clone)]
pub(super) struct Storing(watch::Sender<usize>);

impl Storing {
    pub(super) fn counted_by(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Storing {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// Why a connection ends.
enum Ending {
    /// The client closed. It takes its silence for a yes.
    Closed,
    /// Something is refused.
    Refused(Due),
    /// The bridge wants no more. What was read and not stored was not taken.
    GoingDown,
}

/// How a connection is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// All was said.
    Properly,
    /// Nothing was taken that could be named, and what the client may be writing is not read. It takes a proper end for a
    /// yes, and would see none of that in its next write.
    ByReset,
}

type Stored = Result<(), SubmitError>;
type Pause = Option<Pin<Box<dyn Future<Output = ()> + Send>>>;

/// Some arrivals on their way into the store.
struct Batch {
    arrivals: Vec<Arrival>,
    /// Those that are new, in their order.
    taken: Vec<Arc<Taken>>,
    stored: Pin<Box<dyn Future<Output = Stored> + Send>>,
}

/// What was read and is not in the line yet.
struct Intake {
    waiting: VecDeque<Arrival>,
    batch: Option<Batch>,
    /// How many are stored at once: fewer where there is little room.
    limit: usize,
    pause: Pause,
}

impl ClientConnection {
    /// Goes on until one side has enough. Says how to leave.
    pub(super) async fn run<S>(mut self, stream: &mut S) -> Leave
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut line = Line::new(LINE);
        let mut intake = Intake { waiting: VecDeque::new(), batch: None, limit: usize::MAX, pause: None };
        let app = self.client.admitted.app.clone();
        self.service.note_bridge(&app, |figures| figures.connections += 1);
        let ending = self.take(stream, &mut line, &mut intake).await;
        let closed = matches!(ending, Ending::Closed);
        let response = match ending {
            Ending::Closed => None,
            Ending::Refused(due) => {
                // Before it is said, so that the answer to it finds them.
                let held = line.behind(due.place).flatten().chain(intake.taken_before());
                self.client.hold(Instant::now().into_std(), held);
                Some(ErrorResponse { status: due.status, identifier: due.identifier })
            }
            Ending::GoingDown => intake.going_down(&self.client, line.last_identifier()),
        };
        drop(self.storing);
        self.service.note_bridge(&app, |figures| {
            figures.connections = figures.connections.saturating_sub(1);
            if let Some(response) = response {
                *figures.responses.entry(response.status.raw()).or_default() += 1;
            }
        });
        match response {
            Some(response) => {
                let mut bytes = BytesMut::new();
                response.emit(&mut bytes);
                say_and_part(stream, &bytes).await;
                Leave::Properly
            }
            None if closed => {
                part(stream).await;
                Leave::Properly
            }
            None => Leave::ByReset,
        }
    }

    async fn take<S>(&mut self, stream: &mut S, line: &mut Line<Option<Arc<Taken>>>, intake: &mut Intake) -> Ending
    where
        S: AsyncRead + Unpin,
    {
        let (fates, mut told) = mpsc::unbounded_channel();
        let mut stop = self.stop.clone();
        let mut buffer = vec![0; READ];
        let (mut closed, mut stopping) = (false, None);
        let mut idle_since = Instant::now();
        let mut heard = Instant::now();
        loop {
            let now = Instant::now();
            while let Ok((place, fate)) = told.try_recv() {
                line.settle(now.into_std(), place, fate);
                heard = now;
            }
            if intake.batch.is_none() {
                if let Some(due) = line.due(now.into_std()) {
                    return Ending::Refused(due);
                }
                if intake.waiting.is_empty() && closed {
                    return Ending::Closed;
                }
                if stopping.is_some_and(|deadline| intake.waiting.is_empty() || deadline <= now) {
                    return Ending::GoingDown;
                }
                if intake.begin(self, line, &fates) {
                    continue;
                }
            }
            // What stands behind one that is refused would only be thrown away.
            let wants = !closed && stopping.is_none() && intake.is_empty() && line.deadline().is_none();
            let paced = (wants && line.open() >= AHEAD).then_some(heard + AWAY).filter(|until| now < *until);
            let reads = wants && paced.is_none();
            let nothing_to_do = line.is_empty() && intake.is_empty();
            let _busy = (!nothing_to_do).then(|| Busy::new(self.place.slot.clone()));
            let deadline = [line.deadline().map(Instant::from_std), stopping.filter(|_| intake.batch.is_none()), paced];
            tokio::select! {
                biased;
                Some((place, fate)) = told.recv() => {
                    heard = Instant::now();
                    line.settle(heard.into_std(), place, fate);
                }
                stored = stored(&mut intake.batch) => {
                    if !intake.on_stored(self, line, &fates, stored) {
                        return Ending::GoingDown;
                    }
                }
                () = optional(&mut intake.pause) => intake.pause = None,
                read = stream.read(&mut buffer), if reads => match read {
                    Ok(count) if count > 0 => {
                        let now = Instant::now();
                        idle_since = now;
                        if line.is_empty() {
                            heard = now;
                        }
                        self.reading.read(now.into_std(), &buffer[..count], &self.client, &mut intake.waiting);
                        let again = intake.waiting.iter().filter(|arrival| matches!(arrival.what, What::Again(_)));
                        match again.count() {
                            0 => {}
                            count => self
                                .service
                                .note_bridge(&self.client.admitted.app, |figures| figures.recognised += count as u64),
                        }
                    }
                    // However it ended: what is whole was read.
                    Ok(_) | Err(_) => closed = true,
                },
                () = until(deadline.into_iter().flatten().min()) => {}
                _ = stop.wait_for(|stop| *stop), if stopping.is_none() => {
                    stopping = Some(Instant::now() + STORED_WITHIN);
                }
                // The longest idle one makes room for another.
                () = self.place.slot.leave.notified(), if stopping.is_none() => {
                    stopping = Some(Instant::now() + STORED_WITHIN);
                }
                () = sleep_until(idle_since + self.idle), if nothing_to_do && stopping.is_none() => {
                    stopping = Some(Instant::now());
                }
            }
        }
    }
}

impl Intake {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.batch.is_none()
    }

    /// Begins to store what waits, or puts into the line what needs no storing. Says whether the latter.
    fn begin(&mut self, connection: &ClientConnection, line: &mut Line<Option<Arc<Taken>>>, fates: &Fates) -> bool {
        if self.waiting.is_empty() || self.pause.is_some() {
            return false;
        }
        let mut arrivals: Vec<Arrival> = self.waiting.drain(..self.limit.min(self.waiting.len())).collect();
        // A status is known at once, and in the line only behind everything before it.
        if let Some(refused) = arrivals.iter().position(|arrival| matches!(arrival.what, What::Refused(_))) {
            arrivals.truncate(refused + 1);
        }
        let (mut taken, mut submissions) = (Vec::new(), Vec::new());
        for arrival in &arrivals {
            if let What::New(likeness, notification) = &arrival.what {
                taken.push(connection.client.take(*likeness, connection.errors));
                let environment = connection.environment.map(EnvironmentChoice::from);
                submissions.push(Submission { environment, ..notification.clone().into() });
            }
        }
        if submissions.is_empty() {
            push_all(line, fates, arrivals, taken);
            return true;
        }
        let (service, app) = (connection.service.clone(), connection.client.admitted.app.clone());
        let listeners = taken.clone();
        let stored = Box::pin(async move {
            let accepted = service.submit(&app, submissions).await?;
            let listeners: Vec<(NotificationId, Arc<dyn Listener>)> =
                accepted.iter().zip(listeners).map(|(one, taken)| (one.id, taken as Arc<dyn Listener>)).collect();
            // Those that ended in this very moment are not told of where the store fails: they were stored all the same.
            drop(service.listen(listeners).await);
            Ok(())
        });
        self.batch = Some(Batch { arrivals, taken, stored });
        false
    }

    /// Says whether to go on.
    fn on_stored(
        &mut self,
        connection: &mut ClientConnection,
        line: &mut Line<Option<Arc<Taken>>>,
        fates: &Fates,
        stored: Stored,
    ) -> bool {
        let Some(Batch { arrivals, taken, stored: _ }) = self.batch.take() else { return true };
        let pause: Pause = match stored {
            Ok(()) => {
                self.limit = self.limit.saturating_mul(2);
                push_all(line, fates, arrivals, taken);
                return true;
            }
            Err(SubmitError::Invalid { index, cause }) => {
                self.refuse(connection, arrivals, index, invalid(&cause));
                return true;
            }
            // The protocol has no status for it.
            Err(SubmitError::Payload { index, .. }) => {
                self.refuse(connection, arrivals, index, Status::UNKNOWN);
                return true;
            }
            // The app was removed or sends no more where the client's certificate belongs, or the service stops. What was
            // not stored is sent again elsewhere, or here by a client that is judged anew.
            Err(
                SubmitError::UnknownApp(_) | SubmitError::Environment { .. } | SubmitError::Outbox(OutboxError::Closed),
            ) => {
                self.put_back(arrivals);
                return false;
            }
            Err(SubmitError::TooFast { wait }) => Some(Box::pin(sleep(wait))),
            // Perhaps there is room for some of them.
            Err(SubmitError::Outbox(error)) if error.is_full() && arrivals.len() > 1 => {
                self.limit = arrivals.len() / 2;
                None
            }
            Err(SubmitError::Outbox(error)) if error.is_full() => {
                let service = connection.service.clone();
                Some(Box::pin(async move { service.room(STORE_RETRY).await }))
            }
            // Old clients give no idempotency keys.
            Err(SubmitError::Outbox(_) | SubmitError::KeyReused { .. } | SubmitError::SendAt { .. }) => {
                Some(Box::pin(sleep(STORE_RETRY)))
            }
        };
        self.put_back(arrivals);
        self.pause = pause;
        true
    }

    fn put_back(&mut self, arrivals: Vec<Arrival>) {
        for arrival in arrivals.into_iter().rev() {
            self.waiting.push_front(arrival);
        }
    }

    /// Those of what waits that were taken on an earlier connection.
    fn taken_before(self) -> impl Iterator<Item = Arc<Taken>> {
        self.waiting.into_iter().filter_map(|arrival| match arrival.what {
            What::Again(taken) => Some(taken),
            What::New(..) | What::Refused(_) => None,
        })
    }

    /// What a client hears when the bridge goes down: the last one that was taken, here or earlier. Where none was, the
    /// first that was read and not stored; silence would be a yes to it. `None` where nothing whole was read.
    fn going_down(mut self, client: &Client, last: Option<u32>) -> Option<ErrorResponse> {
        let (mut last, mut unread) = (last, None);
        // Sent again behind nothing new: these were taken, and nothing else is said of them.
        while let Some(Arrival { what: What::Again(_), .. }) = self.waiting.front()
            && let Some(arrival) = self.waiting.pop_front()
        {
            last = Some(arrival.identifier.unwrap_or(0));
        }
        if let Some(arrival) = self.waiting.front() {
            unread = Some(arrival.identifier.unwrap_or(0));
        }
        // The client sends these once more as well, because they stand behind what is named.
        client.hold(Instant::now().into_std(), self.taken_before());
        let shutdown = last.map(|identifier| ErrorResponse { status: Status::SHUTDOWN, identifier });
        shutdown.or_else(|| unread.map(|identifier| ErrorResponse { status: Status::PROCESSING_ERROR, identifier }))
    }

    /// The new one at this index cannot be taken, and nothing behind it is.
    fn refuse(&mut self, connection: &mut ClientConnection, arrivals: Vec<Arrival>, index: usize, status: Status) {
        connection.reading.end();
        let (mut new, mut over) = (0, false);
        let mut dropped = Vec::new();
        let mut kept = VecDeque::new();
        for mut arrival in arrivals.into_iter().chain(self.waiting.drain(..)) {
            match &arrival.what {
                What::Again(taken) if over => dropped.push(taken.clone()),
                What::New(..) | What::Refused(_) if over => {}
                What::New(..) => {
                    over = new == index;
                    new += 1;
                    if over {
                        arrival.what = What::Refused(status);
                    }
                    kept.push_back(arrival);
                }
                What::Again(_) | What::Refused(_) => kept.push_back(arrival),
            }
        }
        self.waiting = kept;
        connection.client.hold(Instant::now().into_std(), dropped);
    }
}

/// They are stored, or need no storing.
fn push_all(line: &mut Line<Option<Arc<Taken>>>, fates: &Fates, arrivals: Vec<Arrival>, taken: Vec<Arc<Taken>>) {
    let now = Instant::now().into_std();
    let mut taken = taken.into_iter();
    for Arrival { identifier, what } in arrivals {
        let one = match what {
            What::New(..) => taken.next(),
            What::Again(taken) => Some(taken),
            What::Refused(status) => {
                line.push(now, identifier, Fate::Refused(status), None);
                continue;
            }
        };
        let place = line.next_place();
        let fate = one.as_ref().map_or(Fate::Fine, |taken| taken.tell(fates.clone(), place));
        line.push(now, identifier, fate, one);
    }
}

/// Waits for what is being stored. Can be dropped and called again without loss.
async fn stored(batch: &mut Option<Batch>) -> Stored {
    match batch {
        Some(batch) => batch.stored.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn optional(pause: &mut Pause) {
    match pause {
        Some(pause) => pause.as_mut().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use apns_proto::{DeviceToken, Notification, Payload};

    use super::super::clients::{Admitted, Clients};
    use super::*;

    fn arrivals(client: &Client, kinds: &str) -> Intake {
        let waiting = kinds.bytes().zip(1..).map(|(kind, number)| {
            let likeness = [number; 32];
            let what = match kind {
                b'a' => What::Again(client.take(likeness, BridgeErrors::Frame)),
                _ => What::New(
                    likeness,
                    Notification::new(DeviceToken::from_bytes([number; 32]).unwrap(), Payload::alert("Tea is ready")),
                ),
            };
            Arrival { identifier: Some(number.into()), what }
        });
        Intake { waiting: waiting.collect(), batch: None, limit: usize::MAX, pause: None }
    }

    #[test]
    fn going_down_is_never_silent_about_what_was_read() {
        let now = Instant::now().into_std();
        let said = |status, identifier| Some(ErrorResponse { status, identifier });
        let shutdown = |identifier| said(Status::SHUTDOWN, identifier);
        for (kinds, last, expected, held) in [
            ("", None, None, &[][..]),
            ("", Some(7), shutdown(7), &[]),
            ("nn", Some(7), shutdown(7), &[]),
            ("nn", None, said(Status::PROCESSING_ERROR, 1), &[]),
            // What was taken earlier and stands at the front is as good as taken here.
            ("aan", None, shutdown(2), &[]),
            ("a", Some(7), shutdown(1), &[]),
            // Behind what is not taken it comes once more, and has to be recognised once more.
            ("naa", None, said(Status::PROCESSING_ERROR, 1), &[2, 3]),
            ("ana", Some(7), shutdown(1), &[3]),
        ] {
            let admitted =
                Admitted { app: "shop".parse().unwrap(), environment: None, topic: None, fingerprint: [0; 32] };
            let client = Clients::default().enter(now, admitted);
            assert_eq!(arrivals(&client, kinds).going_down(&client, last), expected, "{kinds}");
            let again: Vec<u8> = (1..=3).filter(|number| client.recall(now, &[*number; 32]).is_some()).collect();
            assert_eq!(again, held, "{kinds}");
        }
    }
}
