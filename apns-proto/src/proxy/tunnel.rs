//! The opening of a tunnel, whatever the proxy speaks.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::connect::{self, Answer};
use super::socks5::Conversation;
use super::{Proxy, ProxyCause, ProxyFailure, ProxyScheme, host};

/// Asks a proxy for a tunnel to one service, without any I/O.
///
/// Over a connection to the proxy (with TLS, where its scheme says so), write what
/// [`poll_transmit`](Self::poll_transmit) appends, give [`handle_input`](Self::handle_input) what is read, and look for the
/// event after each. After the event there is nothing more to do here. What the proxy may say is bounded: 16 KiB of HTTP
/// header, a few bytes of SOCKS.
///
/// Nothing here shows the user or the password.
pub struct Tunnel {
    speech: Speech,
    /// The proxy and what it is asked for, for messages.
    who: String,
    input: BytesMut,
    out: BytesMut,
    phase: Phase,
}

#[derive(Debug)]
enum Speech {
    Http(Answer),
    Socks5(Conversation),
}

#[derive(Debug)]
enum Phase {
    Talking,
    Over(TunnelEvent),
    Told,
}

/// What one reading came to.
#[derive(Debug)]
pub(super) enum Progress {
    /// More has to come.
    More,
    /// The proxy said yes.
    Open,
    /// There is no tunnel.
    Failed(ProxyFailure),
}

/// How the opening of a tunnel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TunnelEvent {
    /// From here on the stream is the service's.
    Open {
        /// What the service said already, in the same read as the proxy's answer. It comes before all that is read later.
        early: Bytes,
    },
    /// There is no tunnel. Close the connection.
    Failed(ProxyFailure),
}

/// The service's host cannot be given to a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error(
    "the service's host cannot be given to a proxy: it has to be a name in ASCII of at most 255 bytes, or an address \
     without brackets"
)]
pub struct ProxyTargetError;

impl Tunnel {
    /// Begins to ask for a tunnel to this host and port.
    ///
    /// # Errors
    ///
    /// [`ProxyTargetError`].
    pub fn new(proxy: &Proxy, host: &str, port: u16) -> Result<Self, ProxyTargetError> {
        if !host::is_host(host) {
            return Err(ProxyTargetError);
        }
        let authority = host::authority(host, port);
        let mut out = BytesMut::new();
        let speech = match proxy.scheme() {
            ProxyScheme::Http | ProxyScheme::Https => {
                connect::request(&authority, proxy.credentials(), &mut out);
                Speech::Http(Answer::new(proxy.has_credentials()))
            }
            ProxyScheme::Socks5 => Speech::Socks5(Conversation::begin(host, port, proxy.credentials(), &mut out)),
        };
        let who = format!("{proxy}, asked for {authority},");
        Ok(Self { speech, who, input: BytesMut::new(), out, phase: Phase::Talking })
    }

    /// Appends what is to be written to the proxy now, if anything.
    pub fn poll_transmit(&mut self, out: &mut BytesMut) {
        out.unsplit(self.out.split());
    }

    /// Takes bytes of the proxy, in any split of the stream.
    pub fn handle_input(&mut self, bytes: &[u8]) {
        match &mut self.phase {
            Phase::Talking => {}
            Phase::Over(TunnelEvent::Open { early }) => {
                *early = [early, bytes].concat().into();
                return;
            }
            Phase::Over(TunnelEvent::Failed(_)) | Phase::Told => return,
        }
        self.input.extend_from_slice(bytes);
        let progress = match &mut self.speech {
            Speech::Http(answer) => answer.read(&mut self.input),
            Speech::Socks5(conversation) => conversation.read(&mut self.input, &mut self.out),
        };
        match progress {
            Progress::More => {}
            Progress::Open => self.phase = Phase::Over(TunnelEvent::Open { early: self.input.split().freeze() }),
            Progress::Failed(failure) => self.fail(failure.cause, &failure.message),
        }
    }

    /// The proxy will say nothing more, or the connection to it broke.
    pub fn handle_end(&mut self) {
        let proven = matches!(&self.speech, Speech::Socks5(conversation) if conversation.has_proven());
        self.fail(
            ProxyCause::NoAnswer,
            match () {
                () if !self.input.is_empty() => "closed in the middle of its answer",
                () if proven => "closed without an answer, just after it was given the user and the password",
                () => "closed without an answer",
            },
        );
    }

    /// What to call it when the time to connect is over.
    #[must_use]
    pub fn timed_out(&self) -> ProxyFailure {
        ProxyFailure::new(ProxyCause::NoAnswer, format!("{} did not answer in time", self.who))
    }

    fn fail(&mut self, cause: ProxyCause, what: &str) {
        if matches!(self.phase, Phase::Talking) {
            let failure = ProxyFailure::new(cause, format!("{} {what}", self.who));
            self.phase = Phase::Over(TunnelEvent::Failed(failure));
        }
    }

    /// How it ended, once it has.
    #[must_use = "an event is told once"]
    pub fn poll_event(&mut self) -> Option<TunnelEvent> {
        match std::mem::replace(&mut self.phase, Phase::Told) {
            Phase::Over(event) => Some(event),
            talking @ Phase::Talking => {
                self.phase = talking;
                None
            }
            Phase::Told => None,
        }
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("who", &self.who).field("phase", &self.phase).finish_non_exhaustive()
    }
}
