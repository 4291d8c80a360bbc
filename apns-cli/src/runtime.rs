//! What a command runs on while it waits: a runtime, and the signals that end it.

use std::future::Future;

use crate::exit::Failure;

/// Runs something asynchronous to its end, without waiting for what it leaves behind: a name service that does not
/// answer must not hold up the exit.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Runtime)?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// Waits until the person, or the system, asks to stop.
pub(crate) async fn interrupted() {
    let by_person = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut by_system) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = by_person => {}
                _ = by_system.recv() => {}
            }
            return;
        }
    }
    // Without a way to hear of it, the default of the system stands: the process ends.
    if by_person.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The signal that asks a command to read its files again (SIGHUP). Elsewhere than on Unix it never comes.
pub(crate) struct Hangups(#[cfg(unix)] Option<tokio::signal::unix::Signal>);

impl Hangups {
    /// Takes note of them from now on. Where that cannot be, the default of the system stands.
    pub(crate) fn listen() -> Self {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Self(signal(SignalKind::hangup()).ok())
        }
        #[cfg(not(unix))]
        Self()
    }

    /// Leaves them to the system.
    pub(crate) const fn ignored() -> Self {
        #[cfg(unix)]
        {
            Self(None)
        }
        #[cfg(not(unix))]
        Self()
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.0
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
