//! The way of what was read to the client.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use apns_proto::Notification;
use futures_util::future::Fuse;
use futures_util::{FutureExt, Stream};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Sleep, sleep_until};

use crate::batch::journal::Journal;
use crate::batch::pacer::Pacer;
use crate::row::Key;

/// The journal, while it is written to: by the hand-over, and at the end by the summary.
#[derive(Debug, Clone)]
pub(crate) struct SharedJournal(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Gone once the pass has ended.
    journal: Option<Journal>,
    failed: Option<io::Error>,
}

impl SharedJournal {
    pub(crate) fn new(journal: Journal) -> Self {
        Self(Arc::new(Mutex::new(Inner { journal: Some(journal), failed: None })))
    }

    /// Has a line covered by the mark. Says whether that worked; why not is kept.
    fn cover(&self, line: u64) -> bool {
        let mut inner = self.0.lock();
        if inner.failed.is_some() {
            return false;
        }
        let Some(journal) = &mut inner.journal else { return false };
        match journal.cover(line, Instant::now()) {
            Ok(()) => true,
            Err(error) => {
                inner.failed = Some(error);
                false
            }
        }
    }

    /// Does something with the journal, if the pass has not ended.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Journal) -> T) -> Option<T> {
        self.0.lock().journal.as_mut().map(act)
    }

    /// Takes it out for the end of the pass, and says why it could not be written, if so.
    pub(crate) fn take(&self) -> (Option<Journal>, Option<io::Error>) {
        let mut inner = self.0.lock();
        (inner.journal.take(), inner.failed.take())
    }
}

/// What is read, until the person wants to stop: each at its time, and covered by the mark.
///
/// With a journal, what was read and not handed over by the end stays for the next run. Without one it still comes, so
/// that it gets its row.
pub(crate) struct HandOver {
    notifications: mpsc::Receiver<(Key, Notification)>,
    interruption: Fuse<oneshot::Receiver<()>>,
    journal: Option<SharedJournal>,
    pacer: Option<Pacer>,
    /// Read, and waiting for its time.
    held: Option<(Key, Notification)>,
    turn: Pin<Box<Sleep>>,
    waiting: bool,
    interrupted: bool,
}

impl HandOver {
    pub(crate) fn new(
        notifications: mpsc::Receiver<(Key, Notification)>,
        interruption: oneshot::Receiver<()>,
        journal: Option<SharedJournal>,
        pacer: Option<Pacer>,
    ) -> Self {
        Self {
            notifications,
            interruption: interruption.fuse(),
            journal,
            pacer,
            held: None,
            turn: Box::pin(sleep_until(tokio::time::Instant::now())),
            waiting: false,
            interrupted: false,
        }
    }

    /// Waits for the turn of the next one.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pacer) = self.pacer.as_mut().filter(|_| !self.interrupted) else { return Poll::Ready(()) };
        loop {
            if self.waiting {
                std::task::ready!(self.turn.poll_unpin(cx));
                self.waiting = false;
            }
            match pacer.take(tokio::time::Instant::now().into_std()) {
                Ok(()) => return Poll::Ready(()),
                Err(turn) => {
                    self.turn.as_mut().reset(turn.into());
                    self.waiting = true;
                }
            }
        }
    }

    /// Takes no more, and tells the reader.
    fn end(&mut self) -> Poll<Option<(Key, Notification)>> {
        self.notifications.close();
        while self.notifications.try_recv().is_ok() {}
        self.held = None;
        Poll::Ready(None)
    }
}

impl Stream for HandOver {
    type Item = (Key, Notification);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.interrupted && self.interruption.poll_unpin(cx).is_ready() {
            self.interrupted = true;
            self.notifications.close();
        }
        if self.interrupted && self.journal.is_some() {
            return self.end();
        }
        if self.held.is_none() {
            self.held = std::task::ready!(self.notifications.poll_recv(cx));
        }
        if self.held.is_some() {
            std::task::ready!(self.poll_turn(cx));
        }
        let Some((key, notification)) = self.held.take() else { return Poll::Ready(None) };
        if self.journal.as_ref().is_some_and(|journal| !journal.cover(key.n)) {
            return self.end();
        }
        Poll::Ready(Some((key, notification)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use apns_proto::{DeviceToken, Payload};
    use futures_util::StreamExt;
    use tempfile::TempDir;

    use super::*;
    use crate::batch::departures::Departures;
    use crate::batch::fingerprint::Fingerprint;
    use crate::batch::journal::{Account, Undertaking};

    struct Scene {
        _folder: TempDir,
        path: PathBuf,
        journal: SharedJournal,
        reader: mpsc::Sender<(Key, Notification)>,
        interrupt: Option<oneshot::Sender<()>>,
        handover: HandOver,
    }

    fn item(n: u64) -> (Key, Notification) {
        let key = Key { n, id: None, token: None, registered: None, resumed: false };
        (key, Notification::new(DeviceToken::from_bytes([7; 32]).unwrap(), Payload::alert("x")))
    }

    fn scene(with_journal: bool, pacer: Option<Pacer>) -> Scene {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("journal");
        let undertaking = Undertaking {
            batch: Fingerprint::of(&mut io::empty()).unwrap(),
            protocol: "binary".to_owned(),
            host: "gateway.example".to_owned(),
            on_loss: "report".to_owned(),
        };
        let account = Account { undertaking, departures: Departures::default(), results: 0 };
        let journal = SharedJournal::new(Journal::begin(path.clone(), account).unwrap());
        let (reader, notifications) = mpsc::channel(16);
        let (interrupt, interruption) = oneshot::channel();
        let handover = HandOver::new(notifications, interruption, with_journal.then(|| journal.clone()), pacer);
        Scene { _folder: folder, path, journal, reader, interrupt: Some(interrupt), handover }
    }

    #[tokio::test]
    async fn no_line_is_handed_over_that_the_mark_does_not_cover() {
        let mut scene = scene(true, None);
        for n in [1, 2, 5, 9, 70, 71] {
            scene.reader.send(item(n)).await.unwrap();
            let (key, _) = scene.handover.next().await.unwrap();
            assert_eq!(key.n, n);
            assert!(Account::read(&scene.path).unwrap().departures.may_have_left(n));
        }
    }

    #[tokio::test]
    async fn without_a_mark_nothing_is_handed_over() {
        let mut scene = scene(true, None);
        scene.journal.with(Journal::spoil).unwrap();
        scene.reader.send(item(1)).await.unwrap();
        scene.reader.send(item(2)).await.unwrap();
        assert!(scene.handover.next().await.is_none());
        assert!(scene.reader.is_closed());
        assert!(!Account::read(&scene.path).unwrap().departures.may_have_left(1));
        let (journal, failed) = scene.journal.take();
        assert!(journal.is_some() && failed.is_some());
    }

    #[tokio::test]
    async fn an_interruption_hands_nothing_more_over_where_another_run_can() {
        for with_journal in [true, false] {
            let slow = Pacer::new("0.001".parse().unwrap());
            let mut scene = scene(with_journal, Some(slow));
            for n in 1..=3 {
                scene.reader.send(item(n)).await.unwrap();
            }
            assert_eq!(scene.handover.next().await.unwrap().0.n, 1);
            // The turn of the second one is a quarter of an hour away.
            assert!(scene.handover.next().now_or_never().is_none());
            scene.interrupt.take().unwrap().send(()).unwrap();
            let rest: Vec<u64> = scene.handover.map(|(key, _)| key.n).collect().await;
            // Where there is no other run, each still gets its row.
            assert_eq!(rest, if with_journal { vec![] } else { vec![2, 3] });
            assert!(scene.reader.is_closed());
        }
    }
}
