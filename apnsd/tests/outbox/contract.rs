//! What every store does.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::{DeviceToken, Environment, Expiration, LossPolicy};
use apnsd::outbox::{
    AppPause, Bounds, Change, Claim, Cursor, GoneToken, NewEntry, Outbox, OutboxError, Postponement, ReadFrom, Route,
    Routes, Selection, Share, State, StoredApp, Tries, Unread, Withdrawal,
};
use apnsd::{AppName, NotificationId};

use crate::home::Home;
use crate::{app, at, entry, hold, postpone, settle};

pub(crate) use crate::finding::*;

/// The limit of what is looked at in one step, and some more.
const MANY: usize = 5100;

async fn many(outbox: &dyn Outbox, app: &AppName) -> Vec<NotificationId> {
    let entries = (0..MANY).map(|number| entry(number as u8, None, 1000)).collect();
    outbox.accept(app, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect()
}

pub(crate) async fn tokens_that_are_gone_are_kept_with_their_time_and_read_by_place(home: &Home) {
    let outbox = home.open(Bounds::default().with_gone_tokens(Duration::from_secs(10))).await;
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

pub(crate) async fn outcomes_and_keys_are_forgotten_in_their_time(home: &Home) {
    let bounds = Bounds::default().with_outcomes(Duration::from_secs(5)).with_idempotency(Duration::from_secs(1));
    let outbox = home.open(bounds).await;
    let app = app("one");
    let first = outbox.accept(&app, vec![entry(1, Some(1), 1000)]).await.unwrap().swap_remove(0);
    let lane = hold(&outbox, &app).await;
    let claimed = lane.claim(1, at(1000)).await.unwrap();
    assert_eq!(claimed.entries[0].idempotency_key.as_deref(), Some("key 1"));
    lane.change(vec![settle(first.id, claimed.entries[0].claim, &app, Tries::default(), 1500)]).await.unwrap();
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

pub(crate) async fn a_clock_that_is_set_back_keeps_nothing_waiting(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    outbox.accept(&app, vec![entry(1, None, 7_210_000), entry(2, None, 7_210_000)]).await.unwrap();
    // One was put back, the other is held for 40 s.
    let lane = hold(&outbox, &app).await;
    let claimed = lane.claim(2, at(7_210_000)).await.unwrap().entries;
    let put_back = postpone(&claimed[0], 7_210_000, Tries::default());
    let held = postpone(&claimed[1], 7_250_000, Tries { retries: 1, ..Tries::default() });
    lane.change(vec![Change::Postpone(put_back), Change::Postpone(held)]).await.unwrap();
    outbox.clock_set_back(Duration::from_secs(7200), at(12_000)).await.unwrap();
    let claimed = lane.claim(2, at(12_000)).await.unwrap();
    assert_eq!(claimed.entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [put_back.id]);
    assert_eq!(claimed.next_due, Some(at(50_000)), "what is held is held no longer");
    outbox.close().await.unwrap();
}

pub(crate) async fn outcomes_of_a_clock_that_was_set_back_are_in_nobodys_way(home: &Home) {
    let outbox = home.open(Bounds::default().with_outcomes(Duration::from_secs(5))).await;
    let app = app("one");
    let ids = many(&*outbox, &app).await;
    let lane = hold(&outbox, &app).await;
    let claimed = lane.claim(MANY, at(1000)).await.unwrap().entries;
    assert_eq!(claimed.len(), MANY);
    let far = 40 * 24 * 60 * 60 * 1000;
    // More than are looked at in one step, and all in front.
    let changes = claimed.iter().enumerate().map(|(place, one)| {
        let settled_at = if place < MANY - 10 { far } else { 1500 };
        settle(one.id, one.claim, &app, Tries::default(), settled_at)
    });
    lane.change(changes.collect()).await.unwrap();
    while outbox.sweep(at(10_000)).await.unwrap() {}
    let left = outbox.lookup(ids).await.unwrap().into_iter().flatten().count();
    assert_eq!(left, MANY - 10, "the old ones behind them are forgotten, and those of the future stay");
    outbox.close().await.unwrap();
}

pub(crate) async fn what_was_accepted_before_the_clock_was_set_back_does_not_wait_for_it(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let (hour, day) = (60 * 60 * 1000, 24 * 60 * 60 * 1000);
    let ids = outbox.accept(&app, vec![entry(1, None, day), entry(2, None, hour), entry(3, None, 900)]).await.unwrap();
    // One that was refused for the time being, and has to wait.
    let lane = hold(&outbox, &app).await;
    let claimed = lane.claim(1, at(1000)).await.unwrap().entries;
    assert_eq!(claimed[0].id, ids[2].id);
    let tries = Tries { retries: 1, ..Tries::default() };
    lane.change(vec![Change::Postpone(postpone(&claimed[0], day, tries))]).await.unwrap();
    outbox.sweep(at(1000)).await.unwrap();
    let claim = lane.claim(9, at(1000)).await.unwrap();
    assert_eq!(claim.entries.len(), 2, "nobody put these off");
    assert_eq!(claim.next_due, Some(at(day)));
    outbox.close().await.unwrap();
}

pub(crate) async fn what_is_left_of_an_app_is_settled_in_steps_and_what_is_under_way_as_unknown(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let ids = many(&*outbox, &app).await;
    let lane = hold(&outbox, &app).await;
    assert_eq!(lane.claim(10, at(1000)).await.unwrap().entries.len(), 10);
    lane.release().await.unwrap();
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

pub(crate) async fn a_key_stands_for_one_notification(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
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

/// A selection goes on where it ended, over more than it looks at in one go, and takes nothing that is in flight.
pub(crate) async fn what_waits_is_withdrawn_step_by_step(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let (app, other) = (app("one"), app("two"));
    let entries: Vec<_> =
        (0..5000_u32).map(|number| entry((number % 2) as u8, None, 1000 + u64::from(number))).collect();
    outbox.accept(&app, entries).await.unwrap();
    outbox.accept(&other, vec![entry(1, None, 1000)]).await.unwrap();
    let flying: Vec<_> =
        hold(&outbox, &app).await.claim(10, at(9000)).await.unwrap().entries.into_iter().map(|one| one.id).collect();
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
    let outbox = home.open(Bounds::default()).await;
    assert_eq!(outbox.outcomes(&app, &Cursor::default(), 5000).await.unwrap().len(), 1995);
    outbox.close().await.unwrap();
}

pub(crate) async fn a_pause_is_kept_until_it_is_taken_back(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let pause = AppPause { since: at(5), reason: Some("wrong text".into()) };
    outbox.set_pause(&app, Some(pause.clone())).await.unwrap();
    outbox.close().await.unwrap();
    let outbox = home.open(Bounds::default()).await;
    assert_eq!(outbox.pauses().await.unwrap(), [(app.clone(), pause)]);
    outbox.set_pause(&app, None).await.unwrap();
    outbox.close().await.unwrap();
    assert_eq!(home.open(Bounds::default()).await.pauses().await.unwrap(), []);
}

pub(crate) async fn what_had_its_one_attempt_ends_while_it_waits(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let once = |number: u8, millis: u64| {
        let mut entry = entry(number, None, millis);
        entry.notification = entry.notification.with_expiration(Expiration::Immediately);
        entry
    };
    let entries = vec![once(1, 1000), entry(2, None, 1000), once(3, 1000), once(4, 2000)];
    let ids: Vec<_> = outbox.accept(&app, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect();
    // The first is in flight, and no attempt is over for it.
    let lane = hold(&outbox, &app).await;
    assert_eq!(lane.claim(1, at(1000)).await.unwrap().entries[0].id, ids[0]);
    let ended = lane.end_attempts(Routes::ALL, at(1001), at(1500)).await.unwrap();
    let ended: Vec<_> = ended.iter().map(|(_, record)| (record.id, &*record.outcome)).collect();
    assert_eq!(ended, [(ids[2], "expired")]);
    assert_eq!(lane.end_attempts(Routes::ALL, at(1001), at(1500)).await.unwrap(), []);
    // It comes back from a process that died, and may have arrived.
    lane.release().await.unwrap();
    let lane = hold(&outbox, &app).await;
    lane.recover(LossPolicy::Resend { at_most: 3 }, at(1600)).await.unwrap();
    let ended = lane.end_attempts(Routes::ALL, at(1001), at(1700)).await.unwrap();
    let ended: Vec<_> = ended.iter().map(|(_, record)| (record.id, &*record.outcome)).collect();
    assert_eq!(ended, [(ids[0], "unknown")]);
    let counts = outbox.counts(&app).await.unwrap();
    assert_eq!((counts.waiting, counts.in_flight), (2, 0));
    outbox.close().await.unwrap();
}

pub(crate) async fn outcomes_are_bounded_by_their_bytes(home: &Home) {
    let outbox = home.open(Bounds::default().with_outcome_bytes(50_000)).await;
    let app = app("one");
    let entries = (0..1000).map(|number| entry((number % 250) as u8, None, 1000)).collect();
    let ids: Vec<_> = outbox.accept(&app, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect();
    let lane = hold(&outbox, &app).await;
    let claimed = lane.claim(1000, at(1000)).await.unwrap().entries;
    let changes = claimed.iter().map(|one| settle(one.id, one.claim, &app, Tries::default(), 1500));
    lane.change(changes.collect()).await.unwrap();
    while outbox.sweep(at(2000)).await.unwrap() {}
    let left = outbox.outcomes(&app, &Cursor::default(), 1000).await.unwrap();
    assert!((50..500).contains(&left.len()), "{}", left.len());
    assert_eq!(left.last().unwrap().1.id, ids[999], "the newest stay");
    outbox.close().await.unwrap();
}

pub(crate) async fn definitions_are_kept_and_shown_to_nobody(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let stored = StoredApp { name: app("one"), definition: "{\"key\": \"secret\"}".into() };
    assert!(!format!("{stored:?}").contains("secret"));
    outbox.keep_app(stored.clone()).await.unwrap();
    outbox.close().await.unwrap();
    drop(outbox);
    let outbox = home.open(Bounds::default()).await;
    assert_eq!(outbox.kept_apps().await.unwrap(), [stored]);
    outbox.forget_app(&app("one")).await.unwrap();
    assert!(outbox.kept_apps().await.unwrap().is_empty());
    outbox.close().await.unwrap();
    assert_eq!(outbox.kept_apps().await.unwrap_err(), OutboxError::Closed);
}

/// A change speaks of one claim, and never of a later one of the same notification.
pub(crate) async fn a_change_counts_for_its_own_claim(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    outbox.accept(&app, vec![entry(1, None, 1000)]).await.unwrap();
    let lane = hold(&outbox, &app).await;
    let first = lane.claim(1, at(1000)).await.unwrap().entries.swap_remove(0);
    let back = Change::Postpone(postpone(&first, 1000, Tries::default()));
    lane.change(vec![back.clone()]).await.unwrap();
    lane.change(vec![back.clone()]).await.unwrap();
    let second = lane.claim(1, at(1000)).await.unwrap().entries.swap_remove(0);
    assert_ne!(first.claim, second.claim);
    // The answer to the first claim's change was lost, and it is asked for again.
    lane.change(vec![back]).await.unwrap();
    assert_eq!(outbox.counts(&app).await.unwrap().in_flight, 1, "it may be on its way");
    let late = settle(first.id, first.claim, &app, Tries::default(), 1500);
    assert_eq!(lane.change(vec![late]).await.unwrap(), []);
    let settled = lane.change(vec![settle(second.id, second.claim, &app, Tries::default(), 1500)]).await.unwrap();
    assert_eq!(settled.len(), 1);
    outbox.close().await.unwrap();
}

pub(crate) async fn what_is_to_be_sent_later_waits_for_its_time_whatever_the_clock_did(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let later = |number: u8| NewEntry { send_at: Some(at(50_000)), ..entry(number, Some(number), 10_000) };
    let once = |entry: NewEntry| {
        let notification = entry.notification.with_expiration(Expiration::Immediately);
        NewEntry { notification, ..entry }
    };
    let entries = vec![entry(1, None, 10_000), later(2), once(later(3)), later(4), later(5)];
    let ids: Vec<_> = outbox.accept(&app, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect();
    let lane = hold(&outbox, &app).await;
    let claim = lane.claim(9, at(10_000)).await.unwrap();
    assert_eq!((claim.entries.len(), claim.next_due), (1, Some(at(50_000))));
    assert_eq!(claim.entries[0].begun(), at(10_000));

    // It is counted as what waits, and is taken back like anything else.
    assert_eq!(outbox.counts(&app).await.unwrap().waiting, 4);
    let selection = Selection { ids: Some(vec![ids[3]]), ..Selection::default() };
    let start = Cursor::default();
    let gone = outbox.withdraw(&app, selection, Withdrawal::Cancelled, &start, at(20_000)).await.unwrap();
    assert_eq!(gone.settled[0].1.send_at, Some(50_000));

    // Neither a clock that is set back, nor the end of attempts that began before, nor housekeeping brings it forward.
    outbox.clock_set_back(Duration::from_secs(5), at(5000)).await.unwrap();
    outbox.sweep(at(5000)).await.unwrap();
    assert_eq!(lane.end_attempts(Routes::ALL, at(50_000), at(45_000)).await.unwrap(), []);
    assert_eq!(lane.claim(9, at(49_999)).await.unwrap().entries, []);
    let waiting = outbox.lookup(vec![ids[1]]).await.unwrap().swap_remove(0).unwrap();
    assert!(matches!(waiting.state, State::Waiting { due, .. } if due == at(50_000)), "{waiting:?}");

    // Nor a kill.
    drop(lane);
    home.crash(outbox, true).await;
    let outbox = home.open(Bounds::default()).await;
    let lane = hold(&outbox, &app).await;
    lane.recover(LossPolicy::Report, at(30_000)).await.unwrap();
    assert_eq!(lane.claim(9, at(49_999)).await.unwrap().entries, []);
    let due = lane.claim(9, at(50_000)).await.unwrap().entries;
    assert_eq!(due.iter().map(|claimed| claimed.id).collect::<Vec<_>>(), [ids[1], ids[2], ids[4]]);
    assert!(due.iter().all(|claimed| (claimed.begun(), claimed.accepted_at) == (at(50_000), at(10_000))));

    // What was put off waits for the later time, and not before its own.
    lane.change(vec![Change::Postpone(postpone(&due[0], 90_000, Tries::default()))]).await.unwrap();
    outbox.clock_set_back(Duration::from_secs(60), at(55_000)).await.unwrap();
    assert_eq!(lane.claim(9, at(54_999)).await.unwrap().entries, []);
    assert_eq!(lane.claim(9, at(55_000)).await.unwrap().entries.len(), 1);
    outbox.close().await.unwrap();
}

/// Has so many notifications of an app end at this time, and gives their ids.
async fn end(outbox: &Arc<dyn Outbox>, app: &AppName, count: u8, now: u64) -> Vec<NotificationId> {
    outbox.accept(app, (0..count).map(|number| entry(number, None, now)).collect()).await.unwrap();
    let lane = hold(outbox, app).await;
    let claimed = lane.claim(count.into(), at(now)).await.unwrap().entries;
    assert_eq!(claimed.len(), usize::from(count));
    let changes = claimed.iter().map(|one| settle(one.id, one.claim, app, Tries::default(), now)).collect();
    let settled = lane.change(changes).await.unwrap();
    lane.release().await.unwrap();
    settled.into_iter().map(|(_, record)| record.id).collect()
}

pub(crate) async fn a_reader_is_told_every_outcome_or_that_some_were_forgotten(home: &Home) {
    let outbox = home.open(Bounds::default().with_outcomes(Duration::from_secs(5))).await;
    let (app, other) = (app("one"), app("two"));
    assert_eq!(outbox.unread_outcomes(&app, "a", None, 9).await.unwrap(), None, "nobody knows it");
    let first = end(&outbox, &app, 2, 1000).await;
    outbox.begin_reading(&app, "new", ReadFrom::Newest, at(1000)).await.unwrap();
    outbox.begin_reading(&app, "old", ReadFrom::Beginning, at(1000)).await.unwrap();
    end(&outbox, &other, 3, 1500).await;
    let second = end(&outbox, &app, 3, 2000).await;
    let read = async |reader: &str, after: Option<&Cursor>, limit: usize| {
        let unread = outbox.unread_outcomes(&app, reader, after, limit).await.unwrap().unwrap();
        let ids: Vec<_> = unread.outcomes.iter().map(|(_, record)| record.id).collect();
        (ids, unread)
    };
    let all: Vec<_> = first.iter().chain(&second).copied().collect();
    assert_eq!(read("new", None, 9).await.0, second);
    let (ids, unread) = read("old", None, 2).await;
    assert_eq!((ids, unread.forgotten), (first.clone(), None));
    // Nothing moves until it is said to.
    assert_eq!(read("old", None, 9).await.0, all);
    let behind = &unread.outcomes[1].0;
    assert_eq!(read("old", Some(behind), 9).await.0, second);
    let backlog = outbox.backlog(&app, "old").await.unwrap().unwrap();
    assert_eq!((backlog.outcomes, backlog.oldest), (5, Some(at(1000))));
    outbox.mark_read(&app, "old", behind).await.unwrap();
    let (ids, unread) = read("old", None, 1).await;
    assert_eq!((&ids[..], &unread.after), (&second[..1], behind));
    outbox.mark_read(&app, "old", &unread.outcomes[0].0).await.unwrap();
    assert_eq!(outbox.backlog(&app, "old").await.unwrap().unwrap().outcomes, 2);
    // Two of them are forgotten before they were read, and one comes later.
    while outbox.sweep(at(7001)).await.unwrap() {}
    let (ids, unread) = read("old", None, 9).await;
    assert_eq!(ids, []);
    let upto = unread.forgotten.expect("something was forgotten");
    let last = end(&outbox, &app, 1, 7100).await;
    let (ids, unread) = read("old", None, 9).await;
    assert_eq!((ids, unread.forgotten.as_ref()), (last.clone(), Some(&upto)), "it is said until it is read");
    outbox.mark_read(&app, "old", &unread.outcomes[0].0).await.unwrap();
    assert_eq!(read("old", None, 9).await, (Vec::new(), outbox_unread(unread.outcomes[0].0.clone())));
    // Who begins now has missed nothing.
    for (reader, from, told) in [("late", ReadFrom::Newest, vec![]), ("later", ReadFrom::Beginning, last)] {
        outbox.begin_reading(&app, reader, from, at(7200)).await.unwrap();
        let (ids, unread) = read(reader, None, 9).await;
        assert_eq!((ids, unread.forgotten), (told, None), "{reader}");
    }
    outbox.close().await.unwrap();
}

/// Nothing is there, and nothing was forgotten.
fn outbox_unread(after: Cursor) -> Unread {
    Unread { after, ..Unread::default() }
}

pub(crate) async fn a_reader_has_its_place_until_it_is_not_used_for_long(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let day = 24 * 60 * 60 * 1000;
    outbox.begin_reading(&app, "a", ReadFrom::Newest, at(day)).await.unwrap();
    outbox.begin_reading(&app, "b", ReadFrom::Newest, at(day)).await.unwrap();
    outbox.mark_read(&app, "feedback", &Cursor::new("7")).await.unwrap();
    let sorted = async || {
        let mut readers = outbox.readers().await.unwrap();
        readers.sort();
        readers.into_iter().map(|(of, reader)| (of == app).then_some(reader).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(sorted().await, ["a", "b"], "of outcomes alone");
    end(&outbox, &app, 1, 2 * day).await;
    // It keeps its place when it is there again.
    outbox.begin_reading(&app, "b", ReadFrom::Newest, at(50 * day)).await.unwrap();
    assert_eq!(outbox.unread_outcomes(&app, "b", None, 9).await.unwrap().unwrap().outcomes.len(), 1);
    outbox.sweep(at(91 * day)).await.unwrap();
    assert_eq!(sorted().await, ["a", "b"]);
    outbox.sweep(at(91 * day + 1)).await.unwrap();
    assert_eq!(sorted().await, ["b"]);
    outbox.close().await.unwrap();
}

pub(crate) async fn each_route_is_claimed_for_itself_and_what_moves_waits_on_its_new_one(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let (production, sandbox) = (Environment::Production, Environment::Sandbox);
    let on = |number: u8, route: Route, time: u64| NewEntry { route, ..entry(number, None, time) };
    let entries = vec![
        on(1, Route::Named(sandbox), 10),
        on(2, Route::Default, 20),
        on(3, Route::Named(production), 15),
        on(4, Route::Auto, 5),
        on(5, Route::Default, 12),
    ];
    let ids: Vec<_> = outbox.accept(&app, entries).await.unwrap().into_iter().map(|one| one.id).collect();
    let lane = hold(&outbox, &app).await;
    let share = |routes: Routes, limit| Share { routes, limit };
    let named = |claim: &Claim| claim.entries.iter().map(|one| one.id).collect::<Vec<_>>();

    // Nothing of it, and when there is something.
    let looked = lane.claim_from(vec![share([Route::Default].into(), 0)], at(100)).await.unwrap();
    assert_eq!((looked.entries.len(), looked.next_due), (0, Some(at(12))));
    assert_eq!(looked.waits, [Route::Default].into());
    let nothing = lane.claim_from(vec![share([Route::Probe].into(), 9)], at(100)).await.unwrap();
    assert_eq!(nothing, Claim::default());

    // The oldest of several routes come first, and each share has its own limit.
    let to_production: Routes = [Route::Default, Route::Named(production)].into();
    let shares = vec![share(to_production, 2), share([Route::Auto].into(), 1)];
    let claim = lane.claim_from(shares, at(100)).await.unwrap();
    assert_eq!(named(&claim), [ids[3], ids[4], ids[2]]);
    assert_eq!(claim.next_due, Some(at(20)), "not that of the sandbox, of which nothing was asked");
    assert_eq!(claim.waits, [Route::Default].into(), "and nothing else of what was asked for");
    let routes: Vec<Route> = claim.entries.iter().map(|one| one.route).collect();
    assert_eq!(routes, [Route::Auto, Route::Default, Route::Named(production)]);

    // It moves, and is where it moved to after the store was opened anew.
    let moved = Postponement { route: Route::Last(sandbox), ..postpone(&claim.entries[0], 5, Tries::default()) };
    let put_back = claim.entries[1..].iter().map(|one| postpone(one, 30, Tries::default()));
    lane.change(put_back.chain([moved]).map(Change::Postpone).collect()).await.unwrap();
    lane.release().await.unwrap();
    outbox.close().await.unwrap();
    let outbox = home.open(Bounds::default()).await;
    let lane = hold(&outbox, &app).await;
    assert_eq!(outbox.oldest_waiting(&app).await.unwrap(), Some(at(5)));
    let to_sandbox: Routes = [Route::Named(sandbox), Route::Found(sandbox), Route::Last(sandbox)].into();
    let claim = lane.claim_from(vec![share(to_sandbox, 9)], at(100)).await.unwrap();
    assert_eq!((named(&claim), claim.next_due), (vec![ids[3], ids[0]], None));
    assert_eq!(claim.entries[0].route, Route::Last(sandbox));
    let early = lane.claim(9, at(10)).await.unwrap();
    let waits = [Route::Default, Route::Named(production)].into();
    assert_eq!((named(&early), early.waits), (vec![], waits), "also before its time");
    let left = lane.claim(9, at(100)).await.unwrap();
    assert_eq!(left.waits, Routes::default());
    assert_eq!(named(&left), [ids[1], ids[2], ids[4]], "all routes, by time and by row");
    outbox.close().await.unwrap();
}
