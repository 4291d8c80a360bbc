//! The two threads that own a connection each.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::books::{Books, Totals};
use super::read::View;
use super::sent::Sent;
use super::write::Work;
use super::{Published, failed, keep_statements};
use crate::AppName;
use crate::outbox::names::Names;
use crate::outbox::{Answer, Bounds, Counts, OutboxError};

/// The most jobs that share one commit. The more, the longer the first of them waits.
const TOGETHER: usize = 1024;

/// Says how a job ended once the commit is certain, or why there was none.
type Completion = Box<dyn FnOnce(Option<&OutboxError>) + Send>;
type WriteJob = Box<dyn FnOnce(&mut Work<'_>) -> Completion + Send>;
type ReadJob = Box<dyn FnOnce(&mut View<'_>) + Send>;

enum Order {
    Write(WriteJob),
    Close(oneshot::Sender<()>),
}

/// The door to the thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    orders: Mutex<Sender<Order>>,
    published: Published,
}

impl Writer {
    pub(super) fn start(connection: Connection, books: Books, bounds: Bounds) -> io::Result<Self> {
        let (orders, inbox) = channel();
        let published = Arc::new(Mutex::new(books.totals.clone()));
        let shown = published.clone();
        thread::Builder::new()
            .name("outbox-writer".to_owned())
            .spawn(move || write_all(connection, books, &bounds, &inbox, &shown))?;
        Ok(Self { orders: Mutex::new(orders), published })
    }

    /// Has something done within the next commit.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Work<'_>) -> Result<T, OutboxError> + Send + 'static,
    ) -> Answer<'_, T> {
        let (reply, answer) = oneshot::channel();
        let job: WriteJob = Box::new(move |work| {
            let result = job(work);
            if let Err(error @ OutboxError::Failed(_)) = &result {
                work.doomed = Some(error.clone());
            }
            Box::new(move |trouble| {
                let result = match trouble {
                    Some(trouble) => Err(trouble.clone()),
                    None => result,
                };
                // The caller may have left.
                drop(reply.send(result));
            })
        });
        self.send(Order::Write(job));
        Box::pin(async move { answer.await.unwrap_or(Err(OutboxError::Closed)) })
    }

    pub(super) fn counts(&self, app: Option<&AppName>) -> Counts {
        let totals = self.published.lock();
        match app {
            None => totals.all,
            Some(app) => totals.apps.get(app).and_then(|number| totals.by_app.get(number)).copied().unwrap_or_default(),
        }
    }

    pub(super) fn commits(&self) -> u64 {
        self.published.lock().commits
    }

    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.send(Order::Close(done));
        // An error is a thread that is gone already.
        let _gone = closed.await;
    }

    fn send(&self, order: Order) {
        // When the thread is gone, the order is dropped, and the caller is told.
        let _ = self.orders.lock().send(order);
    }
}

/// Takes what waits, does it in one transaction, commits, and only then answers.
fn write_all(
    mut connection: Connection,
    mut books: Books,
    bounds: &Bounds,
    inbox: &Receiver<Order>,
    published: &Mutex<Totals>,
) {
    while let Ok(first) = inbox.recv() {
        let mut jobs = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Write(job) => jobs.push(job),
                Order::Close(done) => {
                    closing = Some(done);
                    break;
                }
            }
            if jobs.len() < TOGETHER {
                next = inbox.try_recv().ok();
            }
        }
        if !jobs.is_empty() {
            write_together(&mut connection, &mut books, bounds, jobs, published);
        }
        if let Some(done) = closing {
            // The main file holds everything, for those who copy it alone. Where that fails the log has it still.
            let _busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            drop(connection);
            let _ = done.send(());
            return;
        }
    }
}

/// Before anything else is done: takes over what the process before left, and begins a file for what is sent from now on.
pub(super) fn take_up(
    connection: &mut Connection,
    books: &mut Books,
    bounds: &Bounds,
    path: &Path,
) -> Result<Sent, OutboxError> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| failed(&error))?;
    let mut work = Work { connection: &transaction, books, bounds, doomed: None };
    let left = work.take_up(path)?;
    let opening = work.count_opening()?;
    transaction.commit().map_err(|error| failed(&error))?;
    Ok(Sent::begin(path, opening, left))
}

fn write_together(
    connection: &mut Connection,
    books: &mut Books,
    bounds: &Bounds,
    jobs: Vec<WriteJob>,
    published: &Mutex<Totals>,
) {
    let before = books.clone();
    let mut completions = Vec::with_capacity(jobs.len());
    let result = write_and_commit(connection, books, bounds, jobs, &mut completions);
    match result {
        Ok(()) => books.totals.commits += 1,
        Err(_) => *books = Books { troubled: true, ..before },
    }
    // Before the answers: a caller that has one finds it in the counts.
    published.lock().clone_from(&books.totals);
    for completion in completions {
        completion(result.as_ref().err());
    }
}

/// A job that is refused has changed nothing. One that fails, fails because the disk does, and nobody's changes last.
fn write_and_commit(
    connection: &mut Connection,
    books: &mut Books,
    bounds: &Bounds,
    jobs: Vec<WriteJob>,
    completions: &mut Vec<Completion>,
) -> Result<(), OutboxError> {
    let fails = |error: rusqlite::Error| failed(&error);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fails)?;
    let mut work = Work { connection: &transaction, books, bounds, doomed: None };
    for job in jobs {
        completions.push(job(&mut work));
    }
    if let Some(error) = work.doomed {
        return Err(error);
    }
    transaction.commit().map_err(fails)
}

/// The door to the thread that reads.
#[derive(Debug)]
pub(super) struct Reader(Mutex<Option<(Sender<ReadJob>, oneshot::Receiver<()>)>>);

impl Reader {
    pub(super) fn start(connection: Connection, names: Names) -> io::Result<Self> {
        let (jobs, inbox) = channel::<ReadJob>();
        let (done, closed) = oneshot::channel();
        thread::Builder::new().name("outbox-reader".to_owned()).spawn(move || {
            keep_statements(&connection);
            while let Ok(job) = inbox.recv() {
                job(&mut View { connection: &connection, names });
            }
            drop(connection);
            // The caller may have left.
            let _ = done.send(());
        })?;
        Ok(Self(Mutex::new(Some((jobs, closed)))))
    }

    /// Has something read.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut View<'_>) -> Result<T, OutboxError> + Send + 'static,
    ) -> Answer<'_, T> {
        let (reply, answer) = oneshot::channel();
        let job: ReadJob = Box::new(move |view| drop(reply.send(job(view))));
        if let Some((jobs, _)) = self.0.lock().as_ref() {
            // When the thread is gone, the job is dropped, and the caller is told.
            let _ = jobs.send(job);
        }
        Box::pin(async move { answer.await.unwrap_or(Err(OutboxError::Closed)) })
    }

    /// Waits until what was asked is read.
    pub(super) async fn close(&self) {
        let open = self.0.lock().take();
        if let Some((jobs, closed)) = open {
            drop(jobs);
            // An error is a thread that is gone already.
            let _gone = closed.await;
        }
    }
}
