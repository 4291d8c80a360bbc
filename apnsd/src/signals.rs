//! The signals to the process.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Hears what the process is told by signals.
///
/// What comes from [`Signals::listen`] on is kept until [`Daemon::run`](crate::Daemon::run) asks for it. Listen before
/// the daemon starts: a SIGHUP for which nobody listens ends the process.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: Stream,
    #[cfg(unix)]
    terminate: Stream,
    #[cfg(unix)]
    hang_up: Stream,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Stop,
    #[cfg_attr(not(unix), expect(dead_code, reason = "there is no signal for it"))]
    Reread,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// When the system does not hand out signals.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime that drives I/O.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reread,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    ///
    /// Never here.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    pub(crate) async fn next(&mut self) -> Signal {
        // Without Ctrl-C there is nothing that could end it but the death of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Stop
    }
}

impl Signals {
    /// Waits until the process is told to stop, whatever it is told besides.
    pub(crate) async fn told_to_stop(&mut self) {
        while self.next().await != Signal::Stop {}
    }
}
