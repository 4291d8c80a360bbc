//! Pretend gateways: what they do, and what they know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use apns_proto::binary::server::{GatewayServer, Judge, Verdict, is_probe};
use apns_proto::binary::{
    BinaryApi, Config, DecodedNotification, Format, Limits, NotificationDecoder, NotificationError, Status,
};
use apns_proto::{LinkId, Now, SessionConfig};

use super::number_of;
use super::timeline::Timeline;
use super::trouble::{How, Trouble};
use super::world::{Dialled, Service, World};

/// The binary protocol.
#[derive(Debug)]
pub(crate) struct Gateways;

impl Service for Gateways {
    type Opener = BinaryApi;
    type Script = Script;
    type Truth = Truth;
    type Server = GatewayServer<Clerk>;

    type Watch = Watch;

    fn accept(link: LinkId, script: &Script, truth: &Rc<RefCell<Truth>>, timeline: &Timeline) -> (Self::Server, Watch) {
        let clerk = Clerk { link, script: script.clone(), count: 0, truth: truth.clone(), timeline: timeline.clone() };
        (GatewayServer::new(clerk, Limits::default()), Watch::default())
    }

    fn slowness(script: &Script) -> Option<Duration> {
        let takes = |verdict: &Verdict| match verdict {
            Verdict::Refuse { after, .. } | Verdict::AcceptAndShutDown { after } => Some(*after),
            Verdict::FallSilent => None,
            _ => Some(Duration::ZERO),
        };
        let deed = script.deed.map_or(Some(Duration::ZERO), |(_, verdict)| takes(&verdict))?;
        let probe = script.probe.as_ref().map_or(Some(Duration::ZERO), takes)?;
        Some(deed.max(probe).max(script.after))
    }
}

/// Reads the client's stream.
#[derive(Debug)]
pub(crate) struct Watch(NotificationDecoder);

impl super::world::Watch for Watch {
    fn wrote(&mut self, mut bytes: &[u8]) -> Vec<u32> {
        let mut numbers = Vec::new();
        // Behind the probe, which is no notification, nothing is written.
        while let Ok(Some(notification)) = self.0.decode(&mut bytes) {
            numbers.push(number_of(&notification.token));
        }
        numbers
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self(NotificationDecoder::new(Limits::default()))
    }
}

impl World {
    /// `dialler` says how the attempt with this number, from 0, at this time after the start goes.
    pub(crate) fn new(
        config: Config,
        session: SessionConfig,
        dialler: impl FnMut(usize, Duration) -> Dialled + 'static,
    ) -> Self {
        Self::of(BinaryApi::new(config), session, dialler)
    }

    /// Refuses submissions of this number on every connection.
    pub(crate) fn is_bad(&mut self, number: u32, status: u8) {
        self.truth.borrow_mut().bad.insert(number, status);
    }

    pub(crate) fn accepted(&self, number: u32) -> u32 {
        self.truth.borrow().accepted.get(&number).copied().unwrap_or(0)
    }

    pub(crate) fn total_judged(&self) -> u32 {
        self.truth.borrow().judged.values().sum()
    }
}

/// What the gateways know.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// How often each was taken.
    pub(crate) accepted: BTreeMap<u32, u32>,
    /// With which status each was refused, under its own name.
    pub(crate) refused: BTreeMap<u32, Vec<u8>>,
    /// How often each arrived whole, thrown away unread or not.
    pub(crate) judged: BTreeMap<u32, u32>,
    /// Refused on every connection, with this status.
    pub(crate) bad: BTreeMap<u32, u8>,
    /// What arrived, in order: link, number, format, expiration, priority.
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) probes: u32,
    /// Refuses everything for the credential's sake, with this status.
    pub(crate) trouble: Option<Trouble<u8>>,
    /// How often that was said.
    pub(crate) credential_refused: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) link: LinkId,
    pub(crate) number: u32,
    pub(crate) format: Format,
    pub(crate) expiration: Option<u32>,
    pub(crate) priority: Option<u8>,
}

/// What one gateway does beside refusing what is bad.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    /// With the notification of this number on the connection, counted from 1, it does this.
    pub(crate) deed: Option<(u32, Verdict)>,
    /// What it does with a probe; by default it answers with status 2 and the probe's name.
    pub(crate) probe: Option<Verdict>,
    /// How long its answers take.
    pub(crate) after: Duration,
}

#[derive(Debug)]
pub(crate) struct Clerk {
    link: LinkId,
    script: Script,
    count: u32,
    truth: Rc<RefCell<Truth>>,
    timeline: Timeline,
}

impl Judge for Clerk {
    fn judge(&mut self, now: Now, notification: &DecodedNotification) -> Verdict {
        self.count += 1;
        let number = number_of(&notification.token);
        let mut truth = self.truth.borrow_mut();
        truth.arrivals.push(Arrival {
            link: self.link,
            number,
            format: notification.format,
            expiration: notification.expiration,
            priority: notification.priority,
        });
        *truth.judged.entry(number).or_default() += 1;
        let said = match truth.trouble.filter(|trouble| trouble.lasts(self.timeline.since_begin(now.instant))) {
            Some(Trouble { how: How::Said(status), .. }) => Some(status),
            _ => None,
        };
        let verdict = match (self.script.deed, said.or_else(|| truth.bad.get(&number).copied())) {
            (Some((at, verdict)), _) if at == self.count => verdict,
            (_, Some(status)) => {
                Verdict::Refuse { status: Status::from_raw(status), identifier: None, after: self.script.after }
            }
            _ => Verdict::Accept,
        };
        if verdict.accepts() {
            *truth.accepted.entry(number).or_default() += 1;
        }
        if let Verdict::Refuse { status, identifier: None, .. } = verdict {
            truth.refused.entry(number).or_default().push(status.raw());
        }
        if let Verdict::Refuse { status, .. } = verdict
            && matches!(status.raw(), 3 | 6)
        {
            truth.credential_refused += 1;
        }
        verdict
    }

    fn judge_malformed(&mut self, _now: Now, error: &NotificationError) -> Verdict {
        assert!(is_probe(error), "nothing else that is malformed is ever written: {error}");
        self.truth.borrow_mut().probes += 1;
        self.script.probe.unwrap_or(Verdict::Refuse {
            status: Status::MISSING_DEVICE_TOKEN,
            identifier: None,
            after: self.script.after,
        })
    }
}
