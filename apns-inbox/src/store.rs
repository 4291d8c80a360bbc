//! What came: bounded, fed by the simulator, read by pages and programs.
//!
//! The simulator's connections write; they only put what they have into a queue. Everything that costs time (reading
//! payloads, judging, drawing) is done by those who read, on what they copied out: references to the pushes, not the pushes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use apns_proto::WallTime;
use apns_sim::{Entry, RequestKind, Service};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::content::Content;
use crate::push::{Connection, Push, Source};

/// How many failed handshakes are remembered.
const FAILURES: usize = 50;

/// About how many devices the inbox remembers what a person said: names, channels, being away.
const MAX_DEVICES: usize = 10_000;

/// From how many apps on what is held for a device is looked through for what has been dropped.
const MAX_HELD: usize = 1000;

/// How many channels one device may follow.
const MAX_FOLLOWED: usize = 1000;

/// What the inbox keeps.
#[derive(Debug)]
pub(crate) struct Store {
    state: Mutex<State>,
    keep: usize,
    changes: watch::Sender<Version>,
    /// What a push over a connection with a certificate is for where it says nothing.
    default_topic: OnceLock<Arc<str>>,
}

/// Grows with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Version {
    pub(crate) changes: u64,
    /// The last push that came.
    pub(crate) newest: u64,
}

#[derive(Debug, Default)]
struct State {
    pushes: VecDeque<Arc<Push>>,
    newest: u64,
    dropped: u64,
    open: HashMap<(Service, u64), Arc<Connection>>,
    failures: Failures,
    devices: BTreeMap<Bytes, Device>,
    /// For pushes that were not shown at once: what became of them, for each device.
    fates: Fates,
    /// What changed since it was written to a file, where there is one.
    unwritten: Option<Unwritten>,
}

/// What became of pushes, for each device.
pub(crate) type Fates = HashMap<u64, Vec<(Bytes, Fate)>>;

/// What of the state is not in the file. It is bounded by what is kept.
#[derive(Debug, Default)]
struct Unwritten {
    /// The last push that is in the file.
    #[cfg(feature = "file")]
    written: u64,
    looked_at: BTreeSet<u64>,
    fates: BTreeSet<u64>,
    devices: BTreeSet<Bytes>,
    closed: Vec<Arc<Connection>>,
}

/// What is to be written to a file.
#[cfg(feature = "file")]
#[derive(Debug, Default)]
pub(crate) struct Unsaved {
    /// The last that came.
    pub(crate) newest: u64,
    pub(crate) dropped: u64,
    /// What is older than this one is forgotten.
    pub(crate) oldest: u64,
    /// Oldest first.
    pub(crate) pushes: Vec<Arc<Push>>,
    pub(crate) looked_at: BTreeSet<u64>,
    pub(crate) fates: Fates,
    /// `None` where there is nothing more to say of one.
    pub(crate) devices: Vec<(Bytes, Option<Device>)>,
    pub(crate) closed: Vec<Arc<Connection>>,
    written: u64,
}

/// What was read from a file.
#[cfg(feature = "file")]
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) newest: u64,
    pub(crate) dropped: u64,
    /// Oldest first.
    pub(crate) pushes: Vec<Arc<Push>>,
    pub(crate) fates: Fates,
    pub(crate) devices: BTreeMap<Bytes, Device>,
}

/// What is known of a device beside the pushes to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: Option<String>,
    pub(crate) offline_since: Option<WallTime>,
    /// The broadcast channels whose Live Activities it shows.
    pub(crate) follows: BTreeSet<String>,
    /// What the service keeps for it: the latest of each app, and of each channel.
    pub(crate) held: BTreeMap<String, u64>,
}

/// What became of a push that a device did not get at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The device is away; the service keeps it.
    Held,
    /// A later one for the same app took its place while the device was away.
    Replaced(u64),
    /// The device was away and it was for one attempt.
    Missed,
    /// Its time was over when the device came back.
    Expired,
    /// Delivered when the device came back.
    Late(WallTime),
}

/// Handshakes that failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures {
    pub(crate) count: u64,
    /// The last ones, oldest first.
    pub(crate) last: VecDeque<Failure>,
}

/// A handshake that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) at: WallTime,
    pub(crate) service: Service,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) why: String,
}

/// How many pushes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) kept: usize,
    /// How many made room for later ones.
    pub(crate) dropped: u64,
    /// The last that came, kept or not.
    pub(crate) newest: u64,
}

/// Everything at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Oldest first.
    pub(crate) pushes: Vec<Arc<Push>>,
    pub(crate) dropped: u64,
    pub(crate) devices: BTreeMap<Bytes, Device>,
    fates: Fates,
    pub(crate) failures: Failures,
}

impl Snapshot {
    /// What became of a push, where it was not shown at once.
    pub(crate) fn fate(&self, token: &[u8], seq: u64) -> Option<Fate> {
        let (_, fate) = self.fates.get(&seq)?.iter().find(|(owner, _)| owner == token)?;
        Some(*fate)
    }

    pub(crate) fn push(&self, seq: u64) -> Option<&Arc<Push>> {
        let place = self.pushes.binary_search_by_key(&seq, |push| push.seq).ok()?;
        self.pushes.get(place)
    }
}

/// Why a device could not be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeviceError {
    #[error("the inbox remembers no more than {MAX_DEVICES} devices")]
    TooMany,
    #[error("a device follows no more than {MAX_FOLLOWED} channels")]
    TooManyChannels,
}

impl Store {
    pub(crate) fn new(keep: usize) -> Self {
        let (changes, _) = watch::channel(Version::default());
        Self { state: Mutex::default(), keep: keep.max(1), changes, default_topic: OnceLock::new() }
    }

    /// How many pushes are kept at most.
    pub(crate) fn keep(&self) -> usize {
        self.keep
    }

    /// What the client certificate is for. Only the first counts.
    pub(crate) fn set_default_topic(&self, topic: &str) {
        let _ = self.default_topic.set(topic.into());
    }

    fn default_topic(&self) -> Arc<str> {
        self.default_topic.get_or_init(|| "com.example.app".into()).clone()
    }

    /// Tells of every change from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Version> {
        self.changes.subscribe()
    }

    /// Takes what the simulator says.
    pub(crate) fn note(&self, entry: &Entry) {
        match entry {
            Entry::Request(request) if request.kind == RequestKind::Channels => self.changed(),
            Entry::Request(request) => {
                let place = (Service::Http2, request.connection);
                self.add(Source::Request(Arc::clone(request)), place);
            }
            Entry::Notification(record) => {
                self.add(Source::Frame(record.clone()), (Service::Gateway, record.connection));
            }
            Entry::Malformed(what) => self.add(Source::Unreadable(what.clone()), (Service::Gateway, what.connection)),
            Entry::Connected { service, connection, peer, tls, at } => {
                let (number, pushes, closed) = (*connection, AtomicU64::new(0), OnceLock::new());
                let opened = Connection { service: *service, number, peer: *peer, tls, since: *at, pushes, closed };
                self.state.lock().open.insert((*service, number), Arc::new(opened));
            }
            Entry::Closed { service, connection, end, at, .. } => {
                let mut state = self.state.lock();
                if let Some(over) = state.open.remove(&(*service, *connection)) {
                    // It ends once.
                    let _ = over.closed.set((*at, end.clone()));
                    if let Some(unwritten) = &mut state.unwritten
                        && over.pushes.load(Ordering::Relaxed) > 0
                    {
                        unwritten.closed.push(over);
                        drop(state);
                        self.changed();
                    }
                }
            }
            Entry::HandshakeFailed { service, peer, error, should, at, .. } => {
                let why = [error.as_str()].into_iter().chain(*should).collect::<Vec<_>>().join("; ");
                let failure = Failure { at: *at, service: *service, peer: *peer, why };
                let mut state = self.state.lock();
                state.failures.count += 1;
                state.failures.last.push_back(failure);
                if state.failures.last.len() > FAILURES {
                    state.failures.last.pop_front();
                }
                drop(state);
                self.changed();
            }
            _ => {}
        }
    }

    fn add(&self, source: Source, place: (Service, u64)) {
        let followed = channel_to_follow(&source);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.newest += 1;
        let newest = state.newest;
        let connection = state.open.get(&place).cloned();
        if let Some(connection) = &connection {
            connection.pushes.fetch_add(1, Ordering::Relaxed);
        }
        let push = Arc::new(Push::new(newest, source, connection, self.default_topic()));
        if push.accepted() {
            if let (Some(channel), Some(token)) = (followed, push.token()) {
                // What is beyond the bounds is not followed; the start itself is shown.
                let _ = state.device(token).and_then(|device| device.follow(channel));
            }
            state.hold(&push);
        }
        state.pushes.push_back(push);
        let mut oldest = None;
        if state.pushes.len() > self.keep {
            state.dropped += 1;
            oldest = state.pushes.pop_front();
        }
        if let Some(oldest) = oldest.as_ref().filter(|_| !state.fates.is_empty()) {
            state.fates.remove(&oldest.seq);
        }
        drop(guard);
        // Its memory is given back where nobody waits for it.
        drop(oldest);
        self.changes.send_modify(|version| {
            version.changes += 1;
            version.newest = version.newest.max(newest);
        });
    }

    /// Tells those who wait that something changed.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|version| version.changes += 1);
    }

    /// Everything as it is now. Costs a reference for each push.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let state = self.state.lock();
        Snapshot {
            pushes: state.pushes.iter().cloned().collect(),
            dropped: state.dropped,
            devices: state.devices.clone(),
            fates: state.fates.clone(),
            failures: state.failures.clone(),
        }
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        let state = self.state.lock();
        Counts { kept: state.pushes.len(), dropped: state.dropped, newest: state.newest }
    }

    /// The handshakes that failed.
    pub(crate) fn failures(&self) -> Failures {
        self.state.lock().failures.clone()
    }

    /// A push, if it is kept.
    pub(crate) fn push(&self, seq: u64) -> Option<Arc<Push>> {
        let state = self.state.lock();
        let place = state.pushes.binary_search_by_key(&seq, |push| push.seq).ok()?;
        state.pushes.get(place).cloned()
    }

    /// The pushes that came behind this one, oldest first.
    pub(crate) fn since(&self, seq: u64) -> Vec<Arc<Push>> {
        let state = self.state.lock();
        let first = state.pushes.partition_point(|push| push.seq <= seq);
        state.pushes.range(first..).cloned().collect()
    }

    /// Forgets all pushes; what is known of devices stays.
    pub(crate) fn clear(&self) {
        let mut state = self.state.lock();
        state.pushes.clear();
        state.fates.clear();
        state.dropped = 0;
        let State { devices, unwritten, .. } = &mut *state;
        for (token, device) in devices.iter_mut().filter(|(_, device)| !device.held.is_empty()) {
            device.held.clear();
            if let Some(unwritten) = unwritten {
                unwritten.devices.insert(token.clone());
            }
        }
        devices.retain(|_, device| *device != Device::default());
        drop(state);
        self.changed();
    }

    /// A person has seen it.
    pub(crate) fn look_at(&self, push: &Push) {
        if push.look_at() {
            if let Some(unwritten) = &mut self.state.lock().unwritten {
                unwritten.looked_at.insert(push.seq);
            }
            self.changed();
        }
    }

    /// What a person called a device.
    pub(crate) fn given_name(&self, token: &[u8]) -> Option<String> {
        self.state.lock().devices.get(token)?.name.clone()
    }

    /// Names a device, or takes its name away.
    pub(crate) fn name(&self, token: &Bytes, name: Option<String>) -> Result<(), DeviceError> {
        self.change(token, |device| {
            device.name = name;
            Ok(())
        })
    }

    /// Has a device follow these channels and no others.
    pub(crate) fn follow_only(&self, token: &Bytes, channels: BTreeSet<String>) -> Result<(), DeviceError> {
        self.change(token, |device| {
            if channels.len() > MAX_FOLLOWED {
                return Err(DeviceError::TooManyChannels);
            }
            device.follows = channels;
            Ok(())
        })
    }

    /// The device is away: from now on the service keeps the latest push of each app for it.
    pub(crate) fn go_offline(&self, token: &Bytes, now: WallTime) -> Result<(), DeviceError> {
        self.change(token, |device| {
            device.offline_since.get_or_insert(now);
            Ok(())
        })
    }

    /// The device is back: what was kept is delivered, unless its time is over.
    pub(crate) fn come_back(&self, token: &Bytes, now: WallTime) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(device) = state.devices.get_mut(token) else { return };
        device.offline_since = None;
        if let Some(unwritten) = &mut state.unwritten {
            unwritten.devices.insert(Bytes::copy_from_slice(token));
        }
        for seq in std::mem::take(&mut device.held).into_values() {
            let Ok(place) = state.pushes.binary_search_by_key(&seq, |push| push.seq) else { continue };
            let over = state.pushes[place].expiration().is_some_and(|end| WallTime::from_secs(end) < now);
            state.decide(token, seq, if over { Fate::Expired } else { Fate::Late(now) });
        }
        if state.devices.get(token) == Some(&Device::default()) {
            state.devices.remove(token);
        }
        drop(guard);
        self.changed();
    }

    fn change(
        &self,
        token: &Bytes,
        change: impl FnOnce(&mut Device) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let mut state = self.state.lock();
        let changed = change(state.device(token)?);
        if state.devices.get(token) == Some(&Device::default()) {
            state.devices.remove(token);
        }
        drop(state);
        self.changed();
        changed
    }
}

#[cfg(feature = "file")]
impl Store {
    /// Begins with what was read from a file, and takes note of what changes from now on.
    pub(crate) fn restore(&self, restored: Restored) {
        let mut state = self.state.lock();
        let unwritten = Unwritten { written: restored.newest, ..Unwritten::default() };
        state.newest = restored.newest;
        state.dropped = restored.dropped;
        state.pushes = restored.pushes.into();
        state.fates = restored.fates;
        state.devices = restored.devices;
        state.unwritten = Some(unwritten);
        drop(state);
        self.changes.send_modify(|version| version.newest = restored.newest);
    }

    /// What has to be written. It counts as written unless it is [put back](Self::put_back).
    pub(crate) fn take_unsaved(&self) -> Unsaved {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let Some(unwritten) = &mut state.unwritten else { return Unsaved::default() };
        let first = state.pushes.partition_point(|push| push.seq <= unwritten.written);
        let pushes: Vec<_> = state.pushes.range(first..).cloned().collect();
        let oldest = state.pushes.front().map_or(state.newest + 1, |oldest| oldest.seq);
        let taken = std::mem::replace(unwritten, Unwritten { written: state.newest, ..Unwritten::default() });
        let known = |seq: u64| Some((seq, state.fates.get(&seq)?.clone()));
        Unsaved {
            newest: state.newest,
            dropped: state.dropped,
            oldest,
            pushes,
            looked_at: taken.looked_at,
            fates: taken.fates.into_iter().filter_map(known).collect(),
            devices: taken
                .devices
                .into_iter()
                .map(|token| (token.clone(), state.devices.get(&token).cloned()))
                .collect(),
            closed: taken.closed,
            written: taken.written,
        }
    }

    /// It could not be written. What is forgotten by now need not be.
    pub(crate) fn put_back(&self, unsaved: Unsaved) {
        let mut state = self.state.lock();
        let oldest = state.pushes.front().map_or(state.newest + 1, |oldest| oldest.seq);
        let Some(unwritten) = &mut state.unwritten else { return };
        unwritten.written = unsaved.written;
        unwritten.looked_at.extend(unsaved.looked_at.into_iter().filter(|seq| *seq >= oldest));
        unwritten.fates.extend(unsaved.fates.into_keys().filter(|seq| *seq >= oldest));
        unwritten.devices.extend(unsaved.devices.into_iter().map(|(token, _)| token));
        // Of those that are over, the ones that only forgotten pushes came over are forgotten too.
        unwritten.closed.extend(unsaved.closed);
        let keep = self.keep;
        if unwritten.closed.len() > keep {
            let surplus = unwritten.closed.len() - keep;
            unwritten.closed.drain(..surplus);
        }
    }
}

impl Device {
    fn follow(&mut self, channel: String) -> Result<(), DeviceError> {
        if self.follows.len() >= MAX_FOLLOWED && !self.follows.contains(&channel) {
            return Err(DeviceError::TooManyChannels);
        }
        self.follows.insert(channel);
        Ok(())
    }
}

impl State {
    fn device(&mut self, token: &Bytes) -> Result<&mut Device, DeviceError> {
        if self.devices.len() >= MAX_DEVICES && !self.devices.contains_key(token) {
            return Err(DeviceError::TooMany);
        }
        // A copy: the token that arrived keeps its payload alive.
        let token = Bytes::copy_from_slice(token);
        if let Some(unwritten) = &mut self.unwritten {
            unwritten.devices.insert(token.clone());
        }
        Ok(self.devices.entry(token).or_default())
    }

    /// Keeps a push for the devices that are away. *Sending notification requests to APNs*: one is stored for each app and
    /// device, mostly the latest; with an expiration of 0 there is one attempt and nothing is stored.
    fn hold(&mut self, push: &Push) {
        if self.devices.is_empty() {
            return;
        }
        let (away, key): (Vec<Bytes>, String) = match (push.token(), push.channel()) {
            (Some(token), _) => {
                let away = self.devices.get_key_value(token).filter(|(_, device)| device.offline_since.is_some());
                (away.into_iter().map(|(token, _)| token.clone()).collect(), push.app().to_owned())
            }
            (None, Some(channel)) => {
                let follows = |device: &Device| device.offline_since.is_some() && device.follows.contains(channel);
                let away = self.devices.iter().filter(|(_, device)| follows(device)).map(|(token, _)| token.clone());
                (away.collect(), format!("channel {channel}"))
            }
            (None, None) => return,
        };
        for token in away {
            if push.expiration() == Some(0) {
                self.decide(&token, push.seq, Fate::Missed);
                continue;
            }
            let oldest = self.pushes.front().map_or(push.seq, |oldest| oldest.seq);
            let Some(device) = self.devices.get_mut(&token) else { continue };
            if device.held.len() >= MAX_HELD {
                // What the inbox itself has dropped is not delivered any more.
                device.held.retain(|_, seq| *seq >= oldest);
            }
            if let Some(unwritten) = &mut self.unwritten {
                unwritten.devices.insert(token.clone());
            }
            if let Some(earlier) = device.held.insert(key.clone(), push.seq) {
                self.decide(&token, earlier, Fate::Replaced(push.seq));
            }
            self.decide(&token, push.seq, Fate::Held);
        }
    }

    fn decide(&mut self, token: &Bytes, seq: u64, fate: Fate) {
        if let Some(unwritten) = &mut self.unwritten {
            unwritten.fates.insert(seq);
        }
        let fates = self.fates.entry(seq).or_default();
        match fates.iter_mut().find(|(owner, _)| owner == token) {
            Some((_, known)) => *known = fate,
            None => fates.push((token.clone(), fate)),
        }
    }
}

/// The channel that a Live Activity listens to once it is started by this push.
fn channel_to_follow(source: &Source) -> Option<String> {
    let Source::Request(request) = source else { return None };
    let live = request.push_type.as_deref().is_some_and(|push_type| push_type.eq_ignore_ascii_case("liveactivity"));
    if !live || request.kind != RequestKind::Push {
        return None;
    }
    Content::read(&request.payload).live?.input_channel
}

#[cfg(test)]
mod tests {
    use apns_proto::internal::from_hex;

    use super::*;
    use crate::testing::{Push as Sent, START, TOKEN};

    fn token() -> Bytes {
        from_hex(TOKEN, |_| false).unwrap().into()
    }

    fn filled(keep: usize, count: u64) -> Store {
        let store = Store::new(keep);
        for number in 1..=count {
            store.note(&Sent::new(r#"{"aps":{"alert":"a"}}"#).entry(number));
        }
        store
    }

    #[test]
    fn it_keeps_the_last_and_counts_what_it_drops() {
        let store = filled(10, 25);
        let kept: Vec<u64> = store.snapshot().pushes.iter().map(|push| push.seq).collect();
        assert_eq!(kept, (16..=25).collect::<Vec<_>>());
        assert_eq!(store.counts(), Counts { kept: 10, dropped: 15, newest: 25 });
        assert_eq!(store.since(23).len(), 2);
        assert!(store.snapshot().push(15).is_none() && store.snapshot().push(16).is_some());
        store.clear();
        assert_eq!(store.counts(), Counts { kept: 0, dropped: 0, newest: 25 });
    }

    #[test]
    fn what_is_known_of_pushes_goes_with_them() {
        let store = filled(10, 0);
        store.go_offline(&token(), WallTime::from_millis(START)).unwrap();
        for number in 1..=100 {
            store.note(&Sent::new("{}").topic(&format!("com.example.n{number}")).entry(number));
        }
        assert_eq!(store.state.lock().fates.len(), 10);
        store.come_back(&token(), WallTime::from_millis(START));
        assert!(store.snapshot().devices.is_empty(), "there is nothing more to say of it");
    }

    #[test]
    fn what_is_held_for_a_device_is_bounded_by_what_is_kept() {
        let store = Store::new(10);
        store.go_offline(&token(), WallTime::from_millis(START)).unwrap();
        for number in 1..=5000 {
            store.note(&Sent::new("{}").topic(&format!("com.example.n{number}")).entry(number));
        }
        assert!(store.snapshot().devices[&token()].held.len() <= MAX_HELD + 10);
    }

    #[test]
    fn every_change_is_told() {
        let store = filled(10, 1);
        let mut changes = store.subscribe();
        let mut changed = |what: &str| {
            assert!(changes.has_changed().unwrap(), "{what}");
            *changes.borrow_and_update()
        };
        store.note(&Sent::new("{}").entry(2));
        assert_eq!(changed("a push").newest, 2);
        store.name(&token(), Some("phone".to_owned())).unwrap();
        changed("a name");
        store.go_offline(&token(), WallTime::from_millis(START)).unwrap();
        changed("away");
        store.come_back(&token(), WallTime::from_millis(START));
        changed("back");
        store.look_at(&store.snapshot().pushes[0]);
        changed("a look");
        store.look_at(&store.snapshot().pushes[0]);
        assert!(!store.changes.subscribe().has_changed().unwrap(), "a second look changes nothing");
        store.clear();
        assert_eq!(changed("nothing left").newest, 2);
    }

    #[test]
    fn a_device_follows_a_bounded_number_of_channels() {
        let store = Store::new(10);
        let channels = (0..=MAX_FOLLOWED).map(|number| number.to_string()).collect();
        assert_eq!(store.follow_only(&token(), channels), Err(DeviceError::TooManyChannels));
        assert!(store.snapshot().devices.is_empty());
    }

    #[test]
    fn connections_are_known_while_they_are_open_and_by_their_pushes() {
        let store = Store::new(10);
        let at = WallTime::from_millis(START);
        let peer = Some("127.0.0.1:5".parse().unwrap());
        store.note(&Entry::Connected { service: Service::Http2, connection: 1, peer, tls: "1.3", at });
        store.note(&Sent::new("{}").entry(1));
        store.note(&Entry::Closed { service: Service::Http2, connection: 1, end: "cut".to_owned(), discarded: 0, at });
        let snapshot = store.snapshot();
        let connection = snapshot.pushes[0].connection.as_ref().unwrap();
        assert_eq!((connection.peer, connection.pushes.load(Ordering::Relaxed)), (peer, 1));
        assert_eq!(connection.closed.get(), Some(&(at, "cut".to_owned())));
        assert!(store.state.lock().open.is_empty());
    }

    #[test]
    fn failed_handshakes_are_counted_and_the_last_are_remembered() {
        let store = Store::new(10);
        for number in 0..200 {
            let (service, at) = (Service::Gateway, WallTime::from_millis(number));
            let (error, should) = (String::new(), None);
            store.note(&Entry::HandshakeFailed { service, connection: number, peer: None, error, should, at });
        }
        let failures = store.failures();
        assert_eq!((failures.count, failures.last.len(), failures.last[0].at.as_millis()), (200, FAILURES, 150));
    }
}
