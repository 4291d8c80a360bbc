//! What a service manager such as systemd does for the daemon: it opens the ports, and hears how the daemon stands.
//!
//! Ports that it opened stay open while one process ends and the next begins, so no caller is refused meanwhile. Sources:
//! `sd_listen_fds(3)`, `sd_notify(3)`, `sd_watchdog_enabled(3)`.

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::time::Duration;

use parking_lot::Mutex;

/// The ports that were opened for this process and that nobody has taken yet.
static PASSED: LazyLock<Mutex<Vec<TcpListener>>> = LazyLock::new(|| Mutex::new(passed()));

#[cfg(unix)]
fn passed() -> Vec<TcpListener> {
    let mut manager = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for place in 0..manager.len() {
        match manager.take_tcp_listener(place) {
            Ok(listener) => listeners.extend(listener),
            Err(error) => tracing::warn!("socket {place} of those that were passed is not used: {error}"),
        }
    }
    listeners
}

#[cfg(not(unix))]
fn passed() -> Vec<TcpListener> {
    Vec::new()
}

/// The port that was opened at this address.
pub(crate) fn take(address: SocketAddr) -> Option<TcpListener> {
    let mut passed = PASSED.lock();
    let place = passed.iter().position(|listener| listener.local_addr().is_ok_and(|opened| opened == address))?;
    Some(passed.swap_remove(place))
}

/// The addresses of ports that were opened for nothing.
pub(crate) fn left() -> Vec<SocketAddr> {
    PASSED.lock().iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// How the daemon stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It answers at its ports.
    Ready,
    /// It settles what is under way.
    Stopping,
    /// It is alive.
    Alive,
}

/// Tells the manager. Where there is none, or it does not hear, nothing depends on it.
#[cfg(unix)]
pub(crate) fn tell(state: State) {
    let state = match state {
        State::Ready => sd_notify::NotifyState::Ready,
        State::Stopping => sd_notify::NotifyState::Stopping,
        State::Alive => sd_notify::NotifyState::Watchdog,
    };
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::debug!("the service manager cannot be told: {error}");
    }
}

#[cfg(not(unix))]
pub(crate) fn tell(_state: State) {}

/// How often the manager wants to hear that the daemon is alive, if it does.
#[cfg(unix)]
pub(crate) fn watchdog() -> Option<Duration> {
    // Twice as often as it asks for, as its manual says.
    sd_notify::watchdog_enabled().map(|patience| patience / 2)
}

#[cfg(not(unix))]
pub(crate) fn watchdog() -> Option<Duration> {
    None
}
