//! A credential that the service does not take for a while.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use apns_proto::{DialStep, RefusalPolicy};

use super::dice::Dice;
use super::world::{Dialled, Happening, Service, Wire, World};
use super::{ms, secs};

/// When, and how it is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trouble<H> {
    pub(crate) from: Duration,
    /// Somebody mends it.
    pub(crate) until: Duration,
    /// The session is told, so long after it was mended.
    pub(crate) told: Option<Duration>,
    pub(crate) how: How<H>,
}

/// How it is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How<H> {
    /// Within the protocol.
    Said(H),
    /// In the TLS handshake.
    InHandshake,
    /// Behind the handshake, as TLS 1.3 has it.
    BehindHandshake,
    /// The certificate is not valid by this machine's clock.
    NotValidNow,
}

impl<H: Copy> Trouble<H> {
    pub(crate) fn new(dice: &mut Dice, span: Duration, said: &[H]) -> Self {
        let from = if dice.one_in(2) { Duration::ZERO } else { span.mul_f64(dice.below(100) as f64 / 100.0) };
        let until = from + secs(dice.of(&[1, 10, 100, 400, 1_000]));
        let how = match dice.below(8) {
            0 => How::InHandshake,
            1 => How::BehindHandshake,
            2 => How::NotValidNow,
            _ => How::Said(dice.of(said)),
        };
        Self { from, until, told: dice.one_in(2).then(|| ms(dice.below(5_000))), how }
    }

    pub(crate) fn lasts(&self, at: Duration) -> bool {
        (self.from..self.until).contains(&at)
    }

    /// From when on a session with something to send has tried again at the latest.
    pub(crate) fn mended(&self) -> Duration {
        // The longest wait, and one second more.
        self.until + self.told.unwrap_or(secs(361))
    }

    /// What becomes of an attempt to connect at this time.
    pub(crate) fn dialled<C: Default>(&self, at: Duration, span: Duration, mut wire: Wire<C>) -> Dialled<C> {
        match self.how {
            _ if !self.lasts(at) => {}
            How::Said(_) => {}
            How::InHandshake => return Dialled::Refused(span, DialStep::Certificate),
            How::NotValidNow => return Dialled::Refused(span, DialStep::Identity),
            How::BehindHandshake => wire.turned_away = Some("unknown certificate"),
        }
        Dialled::Open(span, Box::new(wire))
    }

    pub(crate) fn happens_in<S: Service>(&self, world: &mut World<S>) {
        if let Some(later) = self.told {
            world.at(self.until + later, Happening::CredentialChanged);
        }
    }
}

pub(crate) fn policy(dice: &mut Dice) -> RefusalPolicy {
    dice.of(&[RefusalPolicy::Report, RefusalPolicy::Wait, RefusalPolicy::Stop])
}

/// How often there was a reason to pause, which is all that a session may pause for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reasons(Rc<Cell<usize>>);

impl Reasons {
    pub(crate) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}
