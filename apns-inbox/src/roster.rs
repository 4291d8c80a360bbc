//! The devices and apps that there are, counted over what is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use apns_proto::internal::to_hex;
use bytes::Bytes;

use crate::filter::name_of;
use crate::http::Shared;
use crate::push::Answer;
use crate::store::Snapshot;

/// A device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceLine {
    pub(crate) bytes: Bytes,
    pub(crate) token: String,
    pub(crate) name: Option<String>,
    pub(crate) state: DeviceState,
    pub(crate) pushes: usize,
    pub(crate) unread: usize,
    /// The last push to it.
    pub(crate) last: u64,
    pub(crate) follows: BTreeSet<String>,
}

/// Whether a device takes pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeviceState {
    Online,
    Offline,
    /// The last answer said that the app is gone from it.
    Gone,
}

impl DeviceState {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Gone => "gone",
        }
    }
}

/// An app.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AppLine {
    pub(crate) pushes: usize,
    pub(crate) unread: usize,
}

impl Shared {
    /// All devices: those that were pushed to last come first, then those of which only a person spoke.
    pub(crate) fn devices(&self, snapshot: &Snapshot) -> Vec<DeviceLine> {
        let mut found: HashMap<&Bytes, (usize, usize, u64, bool)> = HashMap::new();
        for push in &snapshot.pushes {
            let Some(token) = push.token() else { continue };
            let (pushes, unread, last, gone) = found.entry(token).or_default();
            *pushes += 1;
            *unread += usize::from(!push.looked_at());
            *last = push.seq;
            *gone = matches!(push.answer(), Answer::Refused(410, _));
        }
        let spoken_of = snapshot.devices.keys();
        for token in spoken_of {
            found.entry(token).or_default();
        }
        let mut devices: Vec<DeviceLine> = found
            .into_iter()
            .map(|(token, (pushes, unread, last, gone))| {
                let hex = to_hex(token);
                let device = snapshot.devices.get(token);
                let given = device.and_then(|device| device.name.as_deref());
                DeviceLine {
                    bytes: token.clone(),
                    name: name_of(self.names(), given, &hex),
                    state: match device {
                        Some(device) if device.offline_since.is_some() => DeviceState::Offline,
                        _ if gone => DeviceState::Gone,
                        Some(_) | None => DeviceState::Online,
                    },
                    follows: device.map(|device| device.follows.clone()).unwrap_or_default(),
                    token: hex,
                    pushes,
                    unread,
                    last,
                }
            })
            .collect();
        devices.sort_by(|one, other| (other.last, &one.token).cmp(&(one.last, &other.token)));
        devices
    }
}

/// The apps, by bundle id: of one device, or of all.
pub(crate) fn apps<'a>(snapshot: &'a Snapshot, device: Option<&Bytes>) -> BTreeMap<&'a str, AppLine> {
    let mut apps: BTreeMap<&str, AppLine> = BTreeMap::new();
    for push in &snapshot.pushes {
        if device.is_some() && push.token() != device {
            continue;
        }
        let line = apps.entry(push.app()).or_default();
        line.pushes += 1;
        line.unread += usize::from(!push.looked_at());
    }
    apps
}
