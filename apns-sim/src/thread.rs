//! A thread with a runtime of its own, for users who have none.

use std::future::Future;
use std::sync::mpsc;

use tokio::sync::oneshot;

use crate::StartError;

/// Runs what was spawned on it until it is dropped.
#[derive(Debug)]
pub(crate) struct OwnThread {
    /// Its end ends the runtime.
    _running: oneshot::Sender<()>,
}

impl OwnThread {
    /// Waits, blocking, for the first thing that is done there.
    pub(crate) fn start<T, F>(first: F) -> Result<(T, Self), StartError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StartError>> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
        let (answer, answered) = mpsc::channel();
        let (running, over) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("apns-sim".to_owned());
        let spawned = thread.spawn(move || {
            runtime.block_on(async {
                // The caller waits for it.
                let _ = answer.send(first.await);
                // Never sent, only dropped.
                let _ = over.await;
            });
        });
        spawned.map_err(StartError::Thread)?;
        let first = answered.recv().expect("the thread answers first of all")?;
        Ok((first, Self { _running: running }))
    }
}
