//! Any sequence of what can happen to an outbox, compared with a model that is as plain as can be: it is opened again in the
//! middle, and taken over by another process where the store lets two have it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::LossPolicy;
use apnsd::outbox::{Bounds, Change, ClaimNumber, Cursor, Lane, NewEntry, Outbox, Postponement, Route, State, Tries};
use apnsd::{AppName, NotificationId};
use proptest::prelude::*;

use crate::home::{Home, NODES};
use crate::{again, app, at, entry, hold, settle};

/// What is done to an outbox.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Accept {
        app: usize,
        count: u8,
        key: Option<u8>,
    },
    Claim {
        app: usize,
        limit: usize,
    },
    /// The so-manyth of those in flight.
    Settle {
        which: usize,
    },
    Postpone {
        which: usize,
        wait: u64,
    },
    /// The so-manyth of those in flight is about to be handed to the transport.
    Leave {
        which: usize,
    },
    /// An answer came to the so-manyth of those in flight, and is not kept yet.
    Hear {
        which: usize,
        wait: Option<u64>,
    },
    /// The process dies, and the next one takes care of what it left.
    Crash {
        resend: bool,
        power: bool,
        /// The next one dies as well, before it takes care of anything.
        twice: bool,
    },
    /// Another process takes over, while this one still hears of the so-manyth of those in flight.
    TakeOver {
        resend: bool,
        late: Option<usize>,
    },
    /// A change comes in that is about the so-manyth of all claims before, and not about the last one of its notification.
    Late {
        which: usize,
    },
    Pass {
        time: u64,
    },
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..2_usize, 1..6_u8, prop::option::weighted(0.3, 0..4_u8))
            .prop_map(|(app, count, key)| Step::Accept { app, count, key }),
        3 => (0..2_usize, 1..8_usize).prop_map(|(app, limit)| Step::Claim { app, limit }),
        3 => any::<usize>().prop_map(|which| Step::Settle { which }),
        2 => (any::<usize>(), 0..50_u64).prop_map(|(which, wait)| Step::Postpone { which, wait }),
        2 => any::<usize>().prop_map(|which| Step::Leave { which }),
        2 => (any::<usize>(), prop::option::of(0..50_u64)).prop_map(|(which, wait)| Step::Hear { which, wait }),
        1 => (any::<bool>(), prop::bool::weighted(0.3), prop::bool::weighted(0.3))
            .prop_map(|(resend, power, twice)| Step::Crash { resend, power, twice }),
        1 => (any::<bool>(), prop::option::of(any::<usize>()))
            .prop_map(|(resend, late)| Step::TakeOver { resend, late }),
        1 => any::<usize>().prop_map(|which| Step::Late { which }),
        2 => (1..60_u64).prop_map(|time| Step::Pass { time }),
    ];
    prop::collection::vec(step, 1..40)
}

/// A notification as the model knows it.
#[derive(Debug, Clone)]
struct Known {
    app: usize,
    number: u8,
    place: Place,
    tries: Tries,
    /// When it was or is due.
    due: u64,
    /// What is noted of it while it is in flight.
    noted: Noted,
    /// The last claim of it.
    claim: Option<ClaimNumber>,
}

#[derive(Debug, Clone, PartialEq)]
enum Noted {
    Nothing,
    Left,
    Heard(Place, Tries),
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    Waiting { due: u64 },
    InFlight,
    Settled(String),
}

const AT_MOST: u32 = 2;

/// A store, those who have it open, and what the model knows.
struct Play<'a> {
    home: &'a Home,
    bounds: Bounds,
    apps: [AppName; 2],
    outboxes: Vec<Arc<dyn Outbox>>,
    /// Which of them delivers.
    holder: usize,
    lanes: Vec<Arc<dyn Lane>>,
    /// In the order of acceptance.
    model: Vec<(NotificationId, Known)>,
    keys: BTreeMap<(usize, u8), (NotificationId, u64)>,
    /// Every claim there was, and who made it.
    claims: Vec<(Arc<dyn Lane>, NotificationId, ClaimNumber)>,
    now: u64,
    number: u8,
}

pub(crate) async fn play(home: &Home, steps: Vec<Step>) {
    let bounds = Bounds::default().with_notifications(40).with_per_app(25).with_idempotency(Duration::from_millis(100));
    let mut outboxes = Vec::new();
    for node in &NODES[..home.most()] {
        outboxes.push(home.open_as(node, bounds.clone()).await);
    }
    let apps = [app("one"), app("two")];
    let (model, keys, claims) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut play =
        Play { home, bounds, apps, outboxes, holder: 0, lanes: Vec::new(), model, keys, claims, now: 1000, number: 0 };
    play.hold_all().await;
    for step in steps {
        play.step(step).await;
        play.compare().await;
    }
    for app in &play.apps {
        let outbox = &play.outboxes[0];
        let ended = again(async || outbox.outcomes(app, &Cursor::default(), 1000).await).await;
        for (index, (cursor, _)) in ended.iter().enumerate() {
            let rest = again(async || outbox.outcomes(app, cursor, 1000).await).await;
            assert_eq!(rest, ended[index + 1..], "a cursor stands behind its outcome");
        }
    }
    for outbox in &play.outboxes {
        outbox.close().await.unwrap();
    }
}

impl Play<'_> {
    async fn hold_all(&mut self) {
        self.lanes.clear();
        for app in &self.apps {
            self.lanes.push(hold(&self.outboxes[self.holder], app).await);
        }
    }

    fn nth_in_flight(&mut self, which: usize) -> Option<(NotificationId, ClaimNumber, &mut Known)> {
        let mut flying: Vec<_> = self.model.iter_mut().filter(|(_, known)| known.place == Place::InFlight).collect();
        let index = which.checked_rem(flying.len())?;
        let (id, known) = flying.swap_remove(index);
        Some((*id, known.claim.unwrap(), known))
    }

    async fn step(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Accept { app, count, key } => self.accept(app, count, key).await,
            Step::Claim { app, limit } => self.claim(app, limit).await,
            Step::Settle { which } => {
                let (apps, lanes) = (self.apps.clone(), self.lanes.clone());
                let Some((id, claim, known)) = self.nth_in_flight(which) else { return };
                let change = settle(id, claim, &apps[known.app], known.tries, now);
                let settled = again(async || lanes[known.app].change(vec![change.clone(), change.clone()]).await).await;
                assert_eq!(settled.len(), 1, "it is settled once");
                known.place = Place::Settled("accepted".to_owned());
            }
            Step::Postpone { which, wait } => {
                let lanes = self.lanes.clone();
                let Some((id, claim, known)) = self.nth_in_flight(which) else { return };
                known.tries.retries += 1;
                let postponement =
                    Postponement { id, due: at(now + wait), route: Route::Default, tries: known.tries, claim };
                again(async || lanes[known.app].change(vec![Change::Postpone(postponement)]).await).await;
                known.place = Place::Waiting { due: now + wait };
            }
            Step::Leave { which } => {
                let lanes = self.lanes.clone();
                let Some((id, _, known)) = self.nth_in_flight(which) else { return };
                lanes[known.app].leaving(&[id]);
                known.noted = Noted::Left;
            }
            Step::Hear { which, wait } => self.hear(which, wait),
            Step::Crash { resend, power, twice } => {
                for _ in 0..=u8::from(twice) {
                    let crashed = self.outboxes.remove(self.holder);
                    self.lanes.clear();
                    self.home.crash(crashed, power).await;
                    let again = self.home.open_as(NODES[self.holder], self.bounds.clone()).await;
                    self.outboxes.insert(self.holder, again);
                    self.take_up_notes(power);
                }
                self.hold_all().await;
                self.recover(resend).await;
            }
            Step::TakeOver { resend, late } => {
                if self.outboxes.len() < 2 {
                    return;
                }
                let before = self.lanes.clone();
                self.home.lapse(NODES[self.holder]).await;
                self.holder = 1 - self.holder;
                self.hold_all().await;
                let apps = self.apps.clone();
                if let Some(which) = late
                    && let Some((id, claim, known)) = self.nth_in_flight(which)
                {
                    // What is true wins where the next holder has not come to it.
                    let change = settle(id, claim, &apps[known.app], known.tries, now);
                    let settled = again(async || before[known.app].change(vec![change.clone()]).await).await;
                    assert_eq!(settled.len(), 1);
                    known.place = Place::Settled("accepted".to_owned());
                }
                for lane in &before {
                    let claim = again(async || lane.claim(9, at(now)).await).await;
                    assert_eq!(claim.entries, [], "another one has it");
                }
                self.recover(resend).await;
            }
            Step::Late { which } => {
                let current: Vec<_> = self
                    .model
                    .iter()
                    .filter(|(_, known)| known.place == Place::InFlight)
                    .map(|(id, known)| (*id, known.claim.unwrap()))
                    .collect();
                let late: Vec<_> =
                    self.claims.iter().filter(|(_, id, claim)| !current.contains(&(*id, *claim))).collect();
                let Some(index) = which.checked_rem(late.len()) else { return };
                let (lane, id, claim) = late[index];
                let (_, known) = self.model.iter().find(|(known, _)| known == id).unwrap();
                // A process that is gone says nothing, and one that has the same file speaks for it.
                let lane = if self.home.keeps_notes() { &self.lanes[known.app] } else { lane };
                let ended = matches!(known.place, Place::Settled(_));
                let back =
                    Postponement { id: *id, due: at(0), route: Route::Default, tries: Tries::default(), claim: *claim };
                let change = settle(*id, *claim, &self.apps[known.app], Tries::default(), now + 1_000_000);
                let changes = vec![Change::Postpone(back), change];
                let settled = again(async || lane.change(changes.clone()).await).await;
                assert_eq!(settled, [], "ended: {ended}");
            }
            Step::Pass { time } => self.now += time,
        }
    }

    async fn accept(&mut self, app: usize, count: u8, key: Option<u8>) {
        let (now, number) = (self.now, self.number);
        let entries: Vec<NewEntry> = (0..count)
            // The key is the first one's alone.
            .map(|index| entry(number.wrapping_add(index), key.filter(|_| index == 0), now))
            .collect();
        let open = |of: Option<usize>| {
            let counts =
                |known: &Known| !matches!(known.place, Place::Settled(_)) && of.is_none_or(|app| app == known.app);
            self.model.iter().filter(|(_, known)| counts(known)).count() + usize::from(count)
        };
        let fits = open(None) <= 40 && open(Some(app)) <= 25;
        let outbox = &self.outboxes[usize::from(number) % self.outboxes.len()];
        let accepted = match outbox.accept(&self.apps[app], entries).await {
            Ok(accepted) => accepted,
            Err(error) => {
                assert!(error.is_full() && !fits, "{error}");
                return;
            }
        };
        assert!(fits);
        for (index, one) in (0..count).zip(&accepted) {
            let key = key.filter(|_| index == 0);
            let earlier = key.and_then(|key| self.keys.get(&(app, key))).filter(|(_, since)| since + 100 > now);
            assert_eq!(one.duplicate, earlier.is_some());
            if let Some((id, _)) = earlier {
                assert_eq!(one.id, *id);
                continue;
            }
            if let Some(key) = key {
                self.keys.insert((app, key), (one.id, now));
            }
            let known = Known {
                app,
                number: number.wrapping_add(index),
                place: Place::Waiting { due: now },
                tries: Tries::default(),
                due: now,
                noted: Noted::Nothing,
                claim: None,
            };
            self.model.push((one.id, known));
        }
        self.number = number.wrapping_add(count);
    }

    async fn claim(&mut self, app: usize, limit: usize) {
        let now = self.now;
        let claim = again(async || self.lanes[app].claim(limit, at(now)).await).await;
        let mut due: Vec<(u64, [u8; 16], usize)> = self
            .model
            .iter()
            .enumerate()
            .filter_map(|(index, (id, known))| match known.place {
                Place::Waiting { due } if known.app == app => Some((due, *id.as_bytes(), index)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        let ready: Vec<usize> =
            due.iter().filter(|(due, ..)| *due <= now).take(limit).map(|(.., index)| *index).collect();
        let next = due.get(ready.len()).map(|(due, ..)| at(*due));
        assert_eq!(claim.next_due, next);
        let expected: Vec<NotificationId> = ready.iter().map(|index| self.model[*index].0).collect();
        let claimed: Vec<NotificationId> = claim.entries.iter().map(|entry| entry.id).collect();
        assert_eq!(claimed, expected, "oldest first");
        for (entry, index) in claim.entries.iter().zip(ready) {
            let known = &mut self.model[index].1;
            assert_eq!(entry.notification.token().as_bytes(), [known.number; 32]);
            assert_eq!(entry.tries, known.tries);
            if let Place::Waiting { due } = known.place {
                known.due = due;
            }
            known.place = Place::InFlight;
            known.noted = Noted::Nothing;
            known.claim = Some(entry.claim);
            self.claims.push((self.lanes[app].clone(), entry.id, entry.claim));
        }
    }

    fn hear(&mut self, which: usize, wait: Option<u64>) {
        let (now, apps, lanes) = (self.now, self.apps.clone(), self.lanes.clone());
        let Some((id, claim, known)) = self.nth_in_flight(which) else { return };
        lanes[known.app].leaving(&[id]);
        let (change, place, tries) = match wait {
            Some(wait) => {
                let tries = Tries { attempts: known.tries.attempts + 1, ..known.tries };
                let again = Postponement { id, due: at(now + wait), route: Route::Default, tries, claim };
                (Change::Postpone(again), Place::Waiting { due: now + wait }, tries)
            }
            None => {
                let settled = Place::Settled("accepted".to_owned());
                (settle(id, claim, &apps[known.app], known.tries, now), settled, known.tries)
            }
        };
        lanes[known.app].changing(&[change]);
        known.noted = Noted::Heard(place, tries);
    }

    /// What the notes of a process that died say is done when its successor opens the store.
    fn take_up_notes(&mut self, power: bool) {
        if power || !self.home.keeps_notes() {
            return;
        }
        for (_, known) in self.model.iter_mut().filter(|(_, known)| known.place == Place::InFlight) {
            match known.noted.clone() {
                // It waits for the time for which it waited before.
                Noted::Nothing => known.place = Place::Waiting { due: known.due },
                Noted::Left => {}
                Noted::Heard(place, tries) => (known.place, known.tries) = (place, tries),
            }
        }
    }

    async fn recover(&mut self, resend: bool) {
        let policy = if resend { LossPolicy::Resend { at_most: AT_MOST } } else { LossPolicy::Report };
        for (number, lane) in self.lanes.iter().enumerate() {
            let recovered = again(async || lane.recover(policy, at(self.now)).await).await;
            let (mut resent, mut reported) = (0, 0);
            for (_, known) in self.model.iter_mut().filter(|(_, known)| known.app == number) {
                if known.place != Place::InFlight {
                    continue;
                }
                if resend && known.tries.replays < AT_MOST {
                    known.tries.replays += 1;
                    known.place = Place::Waiting { due: self.now };
                    resent += 1;
                } else {
                    known.place = Place::Settled("unknown".to_owned());
                    reported += 1;
                }
            }
            assert_eq!((recovered.resent, recovered.reported.len()), (resent, reported));
        }
    }

    async fn compare(&self) {
        let (apps, model) = (&self.apps, &self.model);
        let outbox = self.outboxes.last().unwrap();
        let ids: Vec<NotificationId> = model.iter().map(|(id, _)| *id).collect();
        let found = again(async || outbox.lookup(ids.clone()).await).await;
        let (mut waiting, mut in_flight) = ([0; 2], [0; 2]);
        for ((id, known), found) in model.iter().zip(found) {
            let found = found.unwrap_or_else(|| panic!("{id} is lost"));
            assert_eq!(found.app, apps[known.app]);
            match (&known.place, found.state) {
                (Place::Waiting { due }, State::Waiting { due: found, tries, .. }) => {
                    assert_eq!((at(*due), known.tries), (found, tries));
                    waiting[known.app] += 1;
                }
                (Place::InFlight, State::InFlight { tries, .. }) => {
                    assert_eq!(known.tries, tries);
                    in_flight[known.app] += 1;
                }
                (Place::Settled(word), State::Settled(record)) => {
                    assert_eq!((word, known.tries), (&record.outcome, record.tries));
                }
                (expected, found) => panic!("{id} should be {expected:?} and is {found:?}"),
            }
        }
        for (index, app) in apps.iter().enumerate() {
            let counts = again(async || outbox.counts(app).await).await;
            assert_eq!((counts.waiting, counts.in_flight), (waiting[index], in_flight[index]));
            assert_eq!(counts.bytes == 0, waiting[index] + in_flight[index] == 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_does_what_a_plain_model_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(&Home::folder(), steps));
    }
}

#[cfg(feature = "postgres")]
proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_in_a_database_does_what_a_plain_model_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            if let Some(home) = Home::database().await {
                play(&home, steps).await;
            }
        });
    }
}
