//! The outbox in one file: any sequence of what can happen to it, compared with a model that is as plain as can be, and
//! opened again in the middle.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::{DeviceToken, LossPolicy, Notification, Outcome, Payload, Proof, WallTime};
use apnsd::outbox::sqlite::SqliteOutbox;
use apnsd::outbox::{
    AppPause, Bounds, Change, Cursor, GoneToken, NewEntry, Outbox, OutboxError, OutcomeRecord, Postponement, Selection,
    Settlement, State, StoredApp, Tries, Withdrawal,
};
use apnsd::{AppName, NotificationId};
use proptest::prelude::*;
use tempfile::TempDir;

/// A directory that is not there yet, in one that goes away.
struct Folder(PathBuf, #[expect(dead_code, reason = "it is there to be dropped")] TempDir);

impl Folder {
    fn new() -> Self {
        let parent = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self(parent.path().join("outbox"), parent)
    }

    fn open(&self, bounds: Bounds) -> SqliteOutbox {
        SqliteOutbox::open(&self.0, bounds).unwrap()
    }
}

impl Folder {
    /// As after a loss of power: what was not synced is of another start of the machine.
    fn forget_sent(&self) {
        let path = self.0.join("outbox.sent");
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let begun: serde_json::Value = serde_json::from_str(first).unwrap();
        let boot = begun["begun"]["boot"].as_str().unwrap();
        std::fs::write(&path, format!("{}\n{rest}", first.replace(boot, "another"))).unwrap();
    }
}

fn app(name: &str) -> AppName {
    name.parse().unwrap()
}

fn at(milliseconds: u64) -> WallTime {
    WallTime::from_millis(milliseconds)
}

fn entry(number: u8, key: Option<u8>, time: u64) -> NewEntry {
    let token = DeviceToken::from_bytes([number; 32]).unwrap();
    let notification = Notification::new(token, Payload::alert("Tea is ready"));
    let key = key.map(|key| format!("key {key}").into());
    NewEntry { notification, idempotency_key: key, digest: None, at: at(time) }
}

fn settle(id: NotificationId, app: &AppName, tries: Tries, now: u64) -> Change {
    let outcome = Outcome::accepted(Proof::Confirmed);
    let record = OutcomeRecord::new(id, app.clone(), &outcome, at(0), at(now)).with_tries(tries);
    Change::Settle(Box::new(Settlement { record, gone: None }))
}

/// What is done to an outbox.
#[derive(Debug, Clone)]
enum Step {
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
    Pass {
        time: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
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

async fn play(steps: Vec<Step>) {
    let folder = Folder::new();
    let apps = [app("one"), app("two")];
    let bounds = Bounds::default().with_notifications(40).with_per_app(25).with_idempotency(Duration::from_millis(100));
    let mut outbox = folder.open(bounds.clone());
    // In the order of acceptance.
    let mut model: Vec<(NotificationId, Known)> = Vec::new();
    let mut keys: BTreeMap<(usize, u8), (NotificationId, u64)> = BTreeMap::new();
    let mut now = 1000;
    let mut number = 0_u8;
    for step in steps {
        match step {
            Step::Accept { app, count, key } => {
                let entries: Vec<NewEntry> = (0..count)
                    // The key is the first one's alone.
                    .map(|index| entry(number.wrapping_add(index), key.filter(|_| index == 0), now))
                    .collect();
                let open = |of: Option<usize>| {
                    let counts = |known: &Known| {
                        !matches!(known.place, Place::Settled(_)) && of.is_none_or(|app| app == known.app)
                    };
                    model.iter().filter(|(_, known)| counts(known)).count() + usize::from(count)
                };
                let fits = open(None) <= 40 && open(Some(app)) <= 25;
                let accepted = match outbox.accept(&apps[app], entries).await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        assert!(error.is_full() && !fits, "{error}");
                        continue;
                    }
                };
                assert!(fits);
                for (index, one) in (0..count).zip(&accepted) {
                    let key = key.filter(|_| index == 0);
                    let earlier = key.and_then(|key| keys.get(&(app, key))).filter(|(_, since)| since + 100 > now);
                    assert_eq!(one.duplicate, earlier.is_some());
                    if let Some((id, _)) = earlier {
                        assert_eq!(one.id, *id);
                        continue;
                    }
                    if let Some(key) = key {
                        keys.insert((app, key), (one.id, now));
                    }
                    let known = Known {
                        app,
                        number: number.wrapping_add(index),
                        place: Place::Waiting { due: now },
                        tries: Tries::default(),
                        due: now,
                        noted: Noted::Nothing,
                    };
                    model.push((one.id, known));
                }
                number = number.wrapping_add(count);
            }
            Step::Claim { app, limit } => {
                let claim = outbox.claim(&apps[app], limit, at(now)).await.unwrap();
                let mut due: Vec<(u64, usize)> = model
                    .iter()
                    .enumerate()
                    .filter_map(|(index, (_, known))| match known.place {
                        Place::Waiting { due } if known.app == app => Some((due, index)),
                        _ => None,
                    })
                    .collect();
                due.sort_unstable();
                let ready: Vec<usize> =
                    due.iter().filter(|(due, _)| *due <= now).take(limit).map(|(_, index)| *index).collect();
                let next = due.get(ready.len()).map(|(due, _)| at(*due));
                assert_eq!(claim.next_due, next);
                let expected: Vec<NotificationId> = ready.iter().map(|index| model[*index].0).collect();
                let claimed: Vec<NotificationId> = claim.entries.iter().map(|entry| entry.id).collect();
                assert_eq!(claimed, expected, "oldest first");
                for (entry, index) in claim.entries.iter().zip(ready) {
                    let known = &mut model[index].1;
                    assert_eq!(entry.notification.token().as_bytes(), [known.number; 32]);
                    assert_eq!(entry.tries, known.tries);
                    if let Place::Waiting { due } = known.place {
                        known.due = due;
                    }
                    known.place = Place::InFlight;
                    known.noted = Noted::Nothing;
                }
            }
            Step::Settle { which } => {
                let Some((id, known)) = nth_in_flight(&mut model, which) else { continue };
                let change = settle(*id, &apps[known.app], known.tries, now);
                let settled = outbox.change(vec![change.clone(), change]).await.unwrap();
                assert_eq!(settled.len(), 1, "it is settled once");
                known.place = Place::Settled("accepted".to_owned());
            }
            Step::Postpone { which, wait } => {
                let Some((id, known)) = nth_in_flight(&mut model, which) else { continue };
                known.tries.retries += 1;
                let postponement = Postponement { id: *id, due: at(now + wait), tries: known.tries };
                outbox.change(vec![Change::Postpone(postponement)]).await.unwrap();
                known.place = Place::Waiting { due: now + wait };
            }
            Step::Leave { which } => {
                let Some((id, known)) = nth_in_flight(&mut model, which) else { continue };
                outbox.leaving(&[*id]);
                known.noted = Noted::Left;
            }
            Step::Hear { which, wait } => {
                let Some((id, known)) = nth_in_flight(&mut model, which) else { continue };
                outbox.leaving(&[*id]);
                let (change, place, tries) = match wait {
                    Some(wait) => {
                        let tries = Tries { attempts: known.tries.attempts + 1, ..known.tries };
                        let again = Postponement { id: *id, due: at(now + wait), tries };
                        (Change::Postpone(again), Place::Waiting { due: now + wait }, tries)
                    }
                    None => {
                        let settled = Place::Settled("accepted".to_owned());
                        (settle(*id, &apps[known.app], known.tries, now), settled, known.tries)
                    }
                };
                outbox.changing(&[change]);
                known.noted = Noted::Heard(place, tries);
            }
            Step::Crash { resend, power, twice } => {
                outbox.close().await.unwrap();
                drop(outbox);
                if power {
                    folder.forget_sent();
                }
                outbox = folder.open(bounds.clone());
                if twice {
                    outbox.close().await.unwrap();
                    drop(outbox);
                    outbox = folder.open(bounds.clone());
                }
                for (_, known) in model.iter_mut().filter(|(_, known)| known.place == Place::InFlight && !power) {
                    match known.noted.clone() {
                        // It waits for the time for which it waited before.
                        Noted::Nothing => known.place = Place::Waiting { due: known.due },
                        Noted::Left => {}
                        Noted::Heard(place, tries) => (known.place, known.tries) = (place, tries),
                    }
                }
                let policy = if resend { LossPolicy::Resend { at_most: AT_MOST } } else { LossPolicy::Report };
                for (number, app) in apps.iter().enumerate() {
                    let recovered = outbox.recover(app, policy, at(now)).await.unwrap();
                    let (mut resent, mut reported) = (0, 0);
                    for (_, known) in model.iter_mut().filter(|(_, known)| known.app == number) {
                        if known.place != Place::InFlight {
                            continue;
                        }
                        if resend && known.tries.replays < AT_MOST {
                            known.tries.replays += 1;
                            known.place = Place::Waiting { due: now };
                            resent += 1;
                        } else {
                            known.place = Place::Settled("unknown".to_owned());
                            reported += 1;
                        }
                    }
                    assert_eq!((recovered.resent, recovered.reported.len()), (resent, reported));
                }
            }
            Step::Pass { time } => now += time,
        }
        compare(&outbox, &apps, &model).await;
    }
    for app in &apps {
        let ended = outbox.outcomes(app, &Cursor::default(), 1000).await.unwrap();
        for (index, (cursor, _)) in ended.iter().enumerate() {
            let rest = outbox.outcomes(app, cursor, 1000).await.unwrap();
            assert_eq!(rest, ended[index + 1..], "a cursor stands behind its outcome");
        }
    }
    outbox.close().await.unwrap();
}

fn nth_in_flight(model: &mut [(NotificationId, Known)], which: usize) -> Option<(&mut NotificationId, &mut Known)> {
    let mut flying: Vec<_> = model.iter_mut().filter(|(_, known)| known.place == Place::InFlight).collect();
    if flying.is_empty() {
        return None;
    }
    let index = which % flying.len();
    let (id, known) = flying.swap_remove(index);
    Some((id, known))
}

async fn compare(outbox: &SqliteOutbox, apps: &[AppName; 2], model: &[(NotificationId, Known)]) {
    let ids: Vec<NotificationId> = model.iter().map(|(id, _)| *id).collect();
    let found = outbox.lookup(ids).await.unwrap();
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
        let counts = outbox.counts(app).await.unwrap();
        assert_eq!((counts.waiting, counts.in_flight), (waiting[index], in_flight[index]));
        assert_eq!(counts.bytes == 0, waiting[index] + in_flight[index] == 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_does_what_a_plain_model_does(steps in steps()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(play(steps));
    }
}

/// A thousand callers do not cost a thousand syncs. The writer takes what waits while it commits, so that the number of
/// commits is far below the number of callers however fast the disk is.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_callers_share_syncs() {
    let folder = Folder::new();
    let outbox = Arc::new(folder.open(Bounds::default()));
    let app = app("one");
    outbox.accept(&app, vec![entry(0, None, 1)]).await.unwrap();
    let before = outbox.commits();
    // All ask before any is answered.
    let asked: Vec<_> = (0..1000).map(|_| outbox.accept(&app, vec![entry(1, None, 1)])).collect();
    for answer in asked {
        assert_eq!(answer.await.unwrap().len(), 1);
    }
    let commits = outbox.commits() - before;
    assert!(commits <= 100, "{commits} commits");
    assert_eq!(outbox.counts(&app).await.unwrap().waiting, 1001);
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn tokens_that_are_gone_are_kept_with_their_time_and_read_by_place() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default().with_gone_tokens(Duration::from_secs(10)));
    let app = app("one");
    let gone = |number: u8| GoneToken {
        token: DeviceToken::from_bytes([number; 32]).unwrap(),
        topic: (number > 1).then(|| "com.example.app".into()),
        since: (number > 2).then(|| at(77)),
        found_at: at(u64::from(number) * 1000),
        reason: "Unregistered".into(),
    };
    outbox.note_gone(&app, vec![gone(1), gone(2), gone(3)]).await.unwrap();
    let page = outbox.unread(&app, "a", 2).await.unwrap();
    assert_eq!(page.tokens, [gone(1), gone(2)]);
    outbox.mark_read(&app, "a", &page.next).await.unwrap();
    assert_eq!(outbox.unread(&app, "a", 2).await.unwrap().tokens, [gone(3)]);
    outbox.mark_read(&app, "a", &Cursor::new("0")).await.unwrap();
    assert_eq!(outbox.unread(&app, "a", 2).await.unwrap().tokens, [gone(3)], "a place never moves back");
    assert_eq!(outbox.unread(&app, "b", 9).await.unwrap().tokens.len(), 3);
    let late = outbox.gone(&app, &Cursor::default(), at(2000), 9).await.unwrap();
    assert_eq!(late.tokens, [gone(2), gone(3)]);
    assert!(!outbox.sweep(at(12_500)).await.unwrap());
    assert_eq!(outbox.gone(&app, &Cursor::default(), at(0), 9).await.unwrap().tokens, [gone(3)]);
    let refused = outbox.gone(&app, &Cursor::new("x"), at(0), 9).await.unwrap_err();
    assert_eq!(refused, OutboxError::Cursor { cursor: "x".to_owned() });
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn outcomes_and_keys_are_forgotten_in_their_time() {
    let folder = Folder::new();
    let bounds = Bounds::default().with_outcomes(Duration::from_secs(5)).with_idempotency(Duration::from_secs(1));
    let outbox = folder.open(bounds);
    let app = app("one");
    let first = outbox.accept(&app, vec![entry(1, Some(1), 1000)]).await.unwrap().swap_remove(0);
    let claimed = outbox.claim(&app, 1, at(1000)).await.unwrap();
    assert_eq!(claimed.entries[0].idempotency_key.as_deref(), Some("key 1"));
    outbox.change(vec![settle(first.id, &app, Tries::default(), 1500)]).await.unwrap();
    let again = outbox.accept(&app, vec![entry(1, Some(1), 1900)]).await.unwrap().swap_remove(0);
    assert_eq!((again.id, again.duplicate), (first.id, true));
    let later = outbox.accept(&app, vec![entry(1, Some(1), 2001)]).await.unwrap().swap_remove(0);
    assert!(!later.duplicate && later.id != first.id);
    outbox.sweep(at(6000)).await.unwrap();
    assert!(outbox.lookup(vec![first.id]).await.unwrap()[0].is_some());
    outbox.sweep(at(7000)).await.unwrap();
    assert!(outbox.lookup(vec![first.id]).await.unwrap()[0].is_none());
    assert!(outbox.lookup(vec![later.id]).await.unwrap()[0].is_some(), "what has no outcome is never forgotten");
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_nothing_waiting() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let app = app("one");
    outbox.accept(&app, vec![entry(1, None, 7_210_000), entry(2, None, 7_210_000)]).await.unwrap();
    // One was put back, the other is held for 40 s.
    let claimed = outbox.claim(&app, 2, at(7_210_000)).await.unwrap().entries;
    let put_back = Postponement { id: claimed[0].id, due: at(7_210_000), tries: Tries::default() };
    let held = Tries { retries: 1, ..Tries::default() };
    let held = Postponement { id: claimed[1].id, due: at(7_250_000), tries: held };
    outbox.change(vec![Change::Postpone(put_back), Change::Postpone(held)]).await.unwrap();
    outbox.clock_set_back(Duration::from_secs(7200), at(12_000)).await.unwrap();
    let claimed = outbox.claim(&app, 2, at(12_000)).await.unwrap();
    assert_eq!(claimed.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [put_back.id]);
    assert_eq!(claimed.next_due, Some(at(50_000)), "what is held is held no longer");
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn definitions_are_kept_and_shown_to_nobody() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let stored = StoredApp { name: app("one"), definition: "{\"key\": \"secret\"}".into() };
    assert!(!format!("{stored:?}").contains("secret"));
    outbox.keep_app(stored.clone()).await.unwrap();
    outbox.close().await.unwrap();
    drop(outbox);
    let outbox = folder.open(Bounds::default());
    assert_eq!(outbox.kept_apps().await.unwrap(), [stored]);
    outbox.forget_app(&app("one")).await.unwrap();
    assert!(outbox.kept_apps().await.unwrap().is_empty());
    outbox.close().await.unwrap();
    assert_eq!(outbox.kept_apps().await.unwrap_err(), OutboxError::Closed);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&folder.0).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "for its owner alone");
    }
}

/// A file of a later version is not touched.
#[tokio::test]
async fn a_later_version_is_left_alone() {
    let folder = Folder::new();
    folder.open(Bounds::default()).close().await.unwrap();
    let connection = rusqlite::Connection::open(folder.0.join("outbox.sqlite3")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteOutbox::open(&folder.0, Bounds::default()).unwrap_err();
    assert!(error.to_string().contains("later version"), "{error}");
}

/// The limit of what is looked at in one step, and some more.
const MANY: usize = 5100;

async fn many(outbox: &SqliteOutbox, app: &AppName) -> Vec<NotificationId> {
    let entries = (0..MANY).map(|number| entry(number as u8, None, 1000)).collect();
    outbox.accept(app, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect()
}

#[tokio::test]
async fn outcomes_of_a_clock_that_was_set_back_are_in_nobodys_way() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default().with_outcomes(Duration::from_secs(5)));
    let app = app("one");
    let ids = many(&outbox, &app).await;
    outbox.claim(&app, MANY, at(1000)).await.unwrap();
    let far = 40 * 24 * 60 * 60 * 1000;
    // More than are looked at in one step, and all in front.
    let changes = ids.iter().enumerate().map(|(place, id)| {
        let settled_at = if place < MANY - 10 { far } else { 1500 };
        settle(*id, &app, Tries::default(), settled_at)
    });
    outbox.change(changes.collect()).await.unwrap();
    while outbox.sweep(at(10_000)).await.unwrap() {}
    let left = outbox.lookup(ids).await.unwrap().into_iter().flatten().count();
    assert_eq!(left, MANY - 10, "the old ones behind them are forgotten, and those of the future stay");
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn what_was_accepted_before_the_clock_was_set_back_does_not_wait_for_it() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let app = app("one");
    let (hour, day) = (60 * 60 * 1000, 24 * 60 * 60 * 1000);
    let ids = outbox.accept(&app, vec![entry(1, None, day), entry(2, None, hour), entry(3, None, 900)]).await.unwrap();
    // One that was refused for the time being, and has to wait.
    outbox.claim(&app, 1, at(1000)).await.unwrap();
    let tries = Tries { retries: 1, ..Tries::default() };
    outbox.change(vec![Change::Postpone(Postponement { id: ids[2].id, due: at(day), tries })]).await.unwrap();
    outbox.sweep(at(1000)).await.unwrap();
    let claim = outbox.claim(&app, 9, at(1000)).await.unwrap();
    assert_eq!(claim.entries.len(), 2, "nobody put these off");
    assert_eq!(claim.next_due, Some(at(day)));
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn what_is_left_of_an_app_is_settled_in_steps_and_what_is_under_way_as_unknown() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let app = app("one");
    let ids = many(&outbox, &app).await;
    let under_way = outbox.claim(&app, 10, at(1000)).await.unwrap().entries;
    assert_eq!(under_way.len(), 10);
    let (mut steps, mut unknown, mut all) = (0, 0, 0);
    loop {
        let settled = outbox.abandon(&app, "its app was removed", at(2000)).await.unwrap();
        if settled.is_empty() {
            break;
        }
        assert!(settled.len() < MANY, "others have to wait for a step only");
        steps += 1;
        all += settled.len();
        unknown += settled.iter().filter(|(_, record)| &*record.outcome == "unknown").count();
    }
    assert!(steps > 1);
    assert_eq!((all, unknown), (ids.len(), 10));
    let counts = outbox.total().await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight, counts.bytes), (0, 0, 0));
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn a_key_stands_for_one_notification() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let app = app("one");
    let keyed = |number, key| {
        let entry = entry(number, Some(key), 1000);
        NewEntry { digest: Some(apnsd::outbox::digest(&entry.notification)), ..entry }
    };
    let first = outbox.accept(&app, vec![keyed(1, 1)]).await.unwrap().swap_remove(0);
    let again = outbox.accept(&app, vec![keyed(1, 1)]).await.unwrap().swap_remove(0);
    assert_eq!((again.id, again.duplicate), (first.id, true));
    let error = outbox.accept(&app, vec![keyed(2, 2), keyed(2, 1)]).await.unwrap_err();
    assert_eq!(error, OutboxError::KeyReused { index: 1 });
    let error = outbox.accept(&app, vec![keyed(3, 3), keyed(4, 3)]).await.unwrap_err();
    assert_eq!(error, OutboxError::KeyReused { index: 1 }, "within one call");
    assert_eq!(outbox.counts(&app).await.unwrap().waiting, 1, "nothing of these was taken");
    outbox.close().await.unwrap();
}

/// As the version before made it.
/// What each version of the tables has that the one before did not, undone: the latest first.
const UNDONE: [&str; 3] = [
    "ALTER TABLE app DROP COLUMN paused_at; ALTER TABLE app DROP COLUMN pause_reason; PRAGMA user_version = 3",
    "DROP INDEX pending_once; ALTER TABLE pending DROP COLUMN once; PRAGMA user_version = 2",
    "ALTER TABLE key DROP COLUMN digest; PRAGMA user_version = 1",
];

#[tokio::test]
async fn files_of_all_versions_before_go_on() {
    for steps in 1..=UNDONE.len() {
        let folder = Folder::new();
        let outbox = folder.open(Bounds::default());
        let app = app("one");
        let first = outbox.accept(&app, vec![entry(1, Some(1), 1000)]).await.unwrap().swap_remove(0);
        outbox.close().await.unwrap();
        let connection = rusqlite::Connection::open(folder.0.join("outbox.sqlite3")).unwrap();
        UNDONE[..steps].iter().for_each(|undo| connection.execute_batch(undo).unwrap());
        drop(connection);
        let outbox = folder.open(Bounds::default());
        let again = outbox.accept(&app, vec![entry(1, Some(1), 1100)]).await.unwrap().swap_remove(0);
        assert_eq!((again.id, again.duplicate), (first.id, true));
        assert_eq!(outbox.pauses().await.unwrap(), []);
        outbox.close().await.unwrap();
    }
}

/// A selection goes on where it ended, over more than it looks at in one go, and takes nothing that is in flight.
#[tokio::test]
async fn what_waits_is_withdrawn_step_by_step() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let (app, other) = (app("one"), app("two"));
    let entries: Vec<_> =
        (0..5000_u32).map(|number| entry((number % 2) as u8, None, 1000 + u64::from(number))).collect();
    outbox.accept(&app, entries).await.unwrap();
    outbox.accept(&other, vec![entry(1, None, 1000)]).await.unwrap();
    let flying: Vec<_> =
        outbox.claim(&app, 10, at(9000)).await.unwrap().entries.into_iter().map(|one| one.id).collect();
    let selection = Selection {
        token: Some(DeviceToken::from_bytes([1; 32]).unwrap()),
        accepted_before: Some(at(5000)),
        ..Selection::default()
    };
    let (mut ended, mut steps, mut after) = (Vec::new(), 0, Cursor::default());
    loop {
        let step = outbox.withdraw(&app, selection.clone(), Withdrawal::Purged, &after, at(9000)).await.unwrap();
        ended.extend(step.settled);
        steps += 1;
        let Some(next) = step.next else { break };
        after = next;
    }
    // Every second one of those that were accepted in time, but for half of those in flight.
    assert_eq!((ended.len(), steps), (1995, 3));
    assert!(ended.iter().all(|(_, record)| record.reason.as_deref() == Some("purged") && !flying.contains(&record.id)));
    let counts = outbox.counts(&app).await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight), (5000 - 10 - 1995, 10));
    assert_eq!(outbox.counts(&other).await.unwrap().waiting, 1);
    let wrong = outbox.withdraw(&app, selection, Withdrawal::Purged, &Cursor::new("x"), at(9000)).await;
    assert!(matches!(wrong, Err(OutboxError::Cursor { .. })), "{wrong:?}");
    // The numbers are those of the file.
    outbox.close().await.unwrap();
    let outbox = folder.open(Bounds::default());
    assert_eq!(outbox.outcomes(&app, &Cursor::default(), 5000).await.unwrap().len(), 1995);
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn a_pause_is_kept_until_it_is_taken_back() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let app = app("one");
    let pause = AppPause { since: at(5), reason: Some("wrong text".into()) };
    outbox.set_pause(&app, Some(pause.clone())).await.unwrap();
    outbox.close().await.unwrap();
    let outbox = folder.open(Bounds::default());
    assert_eq!(outbox.pauses().await.unwrap(), [(app.clone(), pause)]);
    outbox.set_pause(&app, None).await.unwrap();
    outbox.close().await.unwrap();
    assert_eq!(folder.open(Bounds::default()).pauses().await.unwrap(), []);
}

#[tokio::test]
async fn what_had_its_one_attempt_ends_while_it_waits() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let app = app("one");
    let once = |number: u8, millis: u64| {
        let mut entry = entry(number, None, millis);
        entry.notification = entry.notification.with_expiration(apns_proto::Expiration::Immediately);
        entry
    };
    let entries = vec![once(1, 1000), entry(2, None, 1000), once(3, 1000), once(4, 2000)];
    let ids: Vec<_> = outbox.accept(&app, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect();
    // The first is in flight, and no attempt is over for it.
    assert_eq!(outbox.claim(&app, 1, at(1000)).await.unwrap().entries[0].id, ids[0]);
    let ended = outbox.end_attempts(&app, at(1001), at(1500)).await.unwrap();
    let ended: Vec<_> = ended.iter().map(|(_, record)| (record.id, &*record.outcome)).collect();
    assert_eq!(ended, [(ids[2], "expired")]);
    assert_eq!(outbox.end_attempts(&app, at(1001), at(1500)).await.unwrap(), []);
    // It comes back from a process that died, and may have arrived.
    outbox.recover(&app, LossPolicy::Resend { at_most: 3 }, at(1600)).await.unwrap();
    let ended = outbox.end_attempts(&app, at(1001), at(1700)).await.unwrap();
    let ended: Vec<_> = ended.iter().map(|(_, record)| (record.id, &*record.outcome)).collect();
    assert_eq!(ended, [(ids[0], "unknown")]);
    let counts = outbox.counts(&app).await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight), (2, 0));
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn outcomes_are_bounded_by_their_bytes() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default().with_outcome_bytes(50_000));
    let app = app("one");
    let entries = (0..1000).map(|number| entry((number % 250) as u8, None, 1000)).collect();
    let ids: Vec<_> = outbox.accept(&app, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect();
    outbox.claim(&app, 1000, at(1000)).await.unwrap();
    outbox.change(ids.iter().map(|id| settle(*id, &app, Tries::default(), 1500)).collect()).await.unwrap();
    while outbox.sweep(at(2000)).await.unwrap() {}
    let left = outbox.outcomes(&app, &Cursor::default(), 1000).await.unwrap();
    assert!((50..500).contains(&left.len()), "{}", left.len());
    assert_eq!(left.last().unwrap().1.id, ids[999], "the newest stay");
    outbox.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn the_files_are_for_their_owner_alone_whatever_the_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode_of = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set_mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let files = |folder: &Folder| -> Vec<PathBuf> {
        std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().path()).collect()
    };
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    set_mode(&folder.0, 0o755);
    let outbox = folder.open(Bounds::default());
    outbox.accept(&app("one"), vec![entry(1, None, 1000)]).await.unwrap();
    let made = files(&folder);
    assert!(made.len() >= 4, "file, log, index of the log and lock: {made:?}");
    made.iter().for_each(|file| assert_eq!(mode_of(file), 0o600, "{file:?}"));
    // As a kill leaves them, and open to others, as an earlier version made them.
    let copy = Folder::new();
    std::fs::create_dir_all(&copy.0).unwrap();
    for file in made {
        let to = copy.0.join(file.file_name().unwrap());
        std::fs::copy(&file, &to).unwrap();
        set_mode(&to, 0o644);
    }
    outbox.close().await.unwrap();
    let outbox = copy.open(Bounds::default());
    assert_eq!(outbox.total().await.unwrap().waiting, 1);
    files(&copy).iter().for_each(|file| assert_eq!(mode_of(file), 0o600, "{file:?}"));
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn after_a_close_the_main_file_has_everything() {
    let folder = Folder::new();
    let outbox = folder.open(Bounds::default());
    let entries = (0..100).map(|number| entry(number, None, 1000)).collect();
    outbox.accept(&app("one"), entries).await.unwrap();
    outbox.lookup(Vec::new()).await.unwrap();
    outbox.close().await.unwrap();
    let copy = Folder::new();
    std::fs::create_dir_all(&copy.0).unwrap();
    std::fs::copy(folder.0.join("outbox.sqlite3"), copy.0.join("outbox.sqlite3")).unwrap();
    let outbox = copy.open(Bounds::default());
    assert_eq!(outbox.total().await.unwrap().waiting, 100);
    outbox.close().await.unwrap();
}
