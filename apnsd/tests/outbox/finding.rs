//! Finding notifications by what a caller knows of them, in any store.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::{ApnsId, DeviceToken};
use apnsd::outbox::{
    Bounds, Cursor, Lane, NewEntry, Outbox, OutboxError, Search, Selection, Stage, State, Tracked, Tries, Withdrawal,
};
use apnsd::{AppName, NotificationId};

use crate::home::Home;
use crate::{app, at, entry, hold, settle};

/// All that is found, page by page, with at most so many on each.
async fn find(outbox: &dyn Outbox, app: &AppName, search: &Search, limit: usize) -> Vec<Tracked> {
    let (mut all, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(after) = next {
        let page = outbox.search(app, search.clone(), &after, limit).await.unwrap();
        assert!(page.notifications.len() <= limit && page.next.as_ref() != Some(&after));
        all.extend(page.notifications);
        next = page.next;
    }
    all
}

async fn ids(outbox: &dyn Outbox, app: &AppName, search: &Search) -> Vec<NotificationId> {
    find(outbox, app, search, 3).await.into_iter().map(|one| one.id).collect()
}

fn tagged(entry: NewEntry, tag: &str) -> NewEntry {
    NewEntry { tag: Some(tag.parse().unwrap()), ..entry }
}

fn device(number: u8) -> Search {
    Search { token: Some(DeviceToken::from_bytes([number; 32]).unwrap()), ..Search::default() }
}

fn tag(text: &str) -> Search {
    Search { tag: Some(text.parse().unwrap()), ..Search::default() }
}

/// Claims the oldest and ends them at this time.
async fn end(lane: &Arc<dyn Lane>, app: &AppName, count: usize, now: u64) {
    let claimed = lane.claim(count, at(now)).await.unwrap().entries;
    assert_eq!(claimed.len(), count);
    let changes =
        claimed.iter().map(|one| settle(one.id, one.claim, app, Tries { attempts: 1, ..Tries::default() }, now));
    lane.change(changes.collect()).await.unwrap();
}

pub(crate) async fn what_waits_and_what_ended_is_found_by_what_a_caller_knows(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let (one, two) = (app("one"), app("two"));
    let collapsed = |number: u8| {
        let mut entry = entry(number, None, 1000);
        entry.notification = entry.notification.with_collapse_id("tea".parse().unwrap());
        entry
    };
    let own = ApnsId::from_bytes([9; 16]);
    let mut named = entry(4, None, 1000);
    named.notification = named.notification.with_apns_id(own);
    let entries = vec![
        tagged(entry(1, None, 1000), "campaign"),
        collapsed(1),
        tagged(entry(2, None, 1100), "campaign"),
        tagged(entry(3, None, 1200), "Kampagne é"),
        named,
        entry(1, None, 1300),
    ];
    let known: Vec<_> = outbox.accept(&one, entries).await.unwrap().into_iter().map(|accepted| accepted.id).collect();
    // The same token and tag in another app are another's.
    outbox.accept(&two, vec![tagged(entry(1, None, 1000), "campaign")]).await.unwrap();
    let lane = hold(&outbox, &one).await;
    // The first two end, the third is in flight.
    end(&lane, &one, 2, 1500).await;
    let flying = lane.claim(1, at(1600)).await.unwrap().entries.swap_remove(0);
    assert_eq!((flying.id, flying.tag), (known[4], None));

    let outbox = &*outbox;
    assert_eq!(ids(outbox, &one, &device(1)).await, [known[5], known[1], known[0]], "the latest first");
    assert_eq!(ids(outbox, &one, &tag("campaign")).await, [known[2], known[0]]);
    assert_eq!(ids(outbox, &one, &tag("Kampagne é")).await, [known[3]]);
    assert_eq!(ids(outbox, &one, &tag("CAMPAIGN")).await, []);
    let collapse = Search { collapse_id: Some("tea".parse().unwrap()), ..Search::default() };
    assert_eq!(ids(outbox, &one, &collapse).await, [known[1]]);
    assert_eq!(ids(outbox, &one, &Search { token: device(2).token, ..collapse.clone() }).await, []);
    assert_eq!(ids(outbox, &one, &Search { token: device(1).token, ..tag("campaign") }).await, [known[0]]);
    for (id, found) in [(own, known[4]), (known[0].apns_id(), known[0]), (known[3].apns_id(), known[3])] {
        let by_id = Search { apns_id: Some(id), ..Search::default() };
        assert_eq!(ids(outbox, &one, &by_id).await, [found]);
        assert_eq!(ids(outbox, &two, &by_id).await, [], "it is another app's");
        assert_eq!(ids(outbox, &one, &Search { token: device(9).token, ..by_id }).await, []);
    }
    assert_eq!(
        ids(outbox, &one, &Search::default()).await,
        [known[5], known[4], known[3], known[2], known[1], known[0]]
    );

    let stage = |stage| Search { stage: Some(stage), ..Search::default() };
    assert_eq!(ids(outbox, &one, &stage(Stage::Waiting)).await, [known[5], known[3], known[2]]);
    assert_eq!(ids(outbox, &one, &stage(Stage::InFlight)).await, [known[4]]);
    assert_eq!(ids(outbox, &one, &stage(Stage::Settled)).await, [known[1], known[0]]);
    let outcome = |word: &str| Search { outcome: Some(word.into()), ..Search::default() };
    assert_eq!(ids(outbox, &one, &outcome("accepted")).await, [known[1], known[0]]);
    assert_eq!(ids(outbox, &one, &outcome("rejected")).await, []);
    assert_eq!(
        ids(outbox, &one, &Search { token: device(1).token, ..outcome("accepted") }).await,
        [known[1], known[0]]
    );
    let time = |since, until| Search { since: Some(at(since)), until: Some(at(until)), ..Search::default() };
    assert_eq!(ids(outbox, &one, &time(1200, 1301)).await, [known[5], known[3]], "accepted by then, and not ended");
    assert_eq!(ids(outbox, &one, &time(1500, 1501)).await, [known[1], known[0]], "ended then");
    assert_eq!(ids(outbox, &one, &Search { tag: tag("campaign").tag, ..time(1100, 1501) }).await, [known[2], known[0]]);

    // All is told of each.
    let found = find(outbox, &one, &tag("campaign"), 9).await;
    assert_eq!(found[0].tag, tag("campaign").tag);
    assert!(matches!(found[0].state, State::Waiting { accepted_at, .. } if accepted_at == at(1100)), "{found:?}");
    let State::Settled(record) = &found[1].state else { panic!("{found:?}") };
    assert_eq!((record.tries.attempts, record.settled_at), (1, 1500));
    let tracked = outbox.lookup(vec![known[2]]).await.unwrap().swap_remove(0).unwrap();
    assert_eq!(tracked, found[0]);
    let nobody = outbox.search(&app("nobody"), Search::default(), &Cursor::default(), 9).await.unwrap();
    assert_eq!((nobody.notifications.len(), nobody.next), (0, None));
    let wrong = outbox.search(&one, Search::default(), &Cursor::new("x"), 9).await;
    assert_eq!(wrong.unwrap_err(), OutboxError::Cursor { cursor: "x".to_owned() });
    outbox.close().await.unwrap();

    // The marks are of the store, and not of the process.
    drop(lane);
    let outbox = home.open(Bounds::default()).await;
    assert_eq!(ids(&*outbox, &one, &device(1)).await, [known[5], known[1], known[0]]);
    outbox.close().await.unwrap();
}

/// More than one step, and more than one range of rows.
pub(crate) async fn a_search_over_many_goes_on_where_it_ended(home: &Home) {
    const MANY: u32 = 70_000;
    const EACH: u32 = 10_000;
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let lane = hold(&outbox, &app).await;
    let mut known = Vec::new();
    for first in (0..MANY).step_by(EACH as usize) {
        let entries = (first..first + EACH).map(|number| {
            // One of a hundred has the tag, and two tokens are there once in all.
            let token = if number == 5 || number == MANY - 5 { 77 } else { (number % 50) as u8 };
            let entry = entry(token, None, 1000 + u64::from(number));
            if number % 100 == 7 { tagged(entry, "rare") } else { tagged(entry, "often") }
        });
        let accepted = outbox.accept(&app, entries.collect()).await.unwrap();
        known.extend(accepted.into_iter().map(|accepted| accepted.id));
        if first < MANY / 2 {
            end(&lane, &app, EACH as usize, 100_000).await;
        }
    }
    let expected = |wanted: &dyn Fn(u32) -> bool| -> Vec<NotificationId> {
        (0..MANY).rev().filter(|number| wanted(*number)).map(|number| known[number as usize]).collect()
    };
    for limit in [7, 1000] {
        let found = find(&*outbox, &app, &tag("rare"), limit).await;
        let found: Vec<_> = found.into_iter().map(|one| one.id).collect();
        assert!(found == expected(&|number| number % 100 == 7), "{limit}: {}", found.len());
    }
    let found = find(&*outbox, &app, &tag("often"), 1000).await;
    assert_eq!(found.len(), MANY as usize / 100 * 99);
    assert_eq!(ids(&*outbox, &app, &device(77)).await, expected(&|number| number == 5 || number == MANY - 5));
    let settled = Search { stage: Some(Stage::Settled), ..Search::default() };
    assert_eq!(find(&*outbox, &app, &settled, 1000).await.len(), 40_000);
    outbox.close().await.unwrap();
}

/// Neither what came later nor what came earlier is gone through.
pub(crate) async fn a_time_is_found_without_a_look_at_all(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let lane = hold(&outbox, &app).await;
    for round in 0..20 {
        let entries = (0..1000).map(|_| entry(1, None, 1000)).collect();
        outbox.accept(&app, entries).await.unwrap();
        end(&lane, &app, 1000, 10_000 + round * 1000).await;
    }
    let search =
        Search { since: Some(at(15_000)), until: Some(at(16_000)), stage: Some(Stage::Settled), ..Search::default() };
    let (mut found, mut steps, mut next) = (0, 0, Some(Cursor::default()));
    while let Some(after) = next {
        let page = outbox.search(&app, search.clone(), &after, 1000).await.unwrap();
        found += page.notifications.len();
        steps += 1;
        next = page.next;
    }
    assert_eq!(found, 1000);
    assert!(steps <= 6, "{steps} steps");
    outbox.close().await.unwrap();
}

pub(crate) async fn without_device_tokens_the_rest_is_found(home: &Home) {
    let outbox = home.open(Bounds::default().with_tokens(false)).await;
    let app = app("one");
    let known = outbox.accept(&app, vec![tagged(entry(1, None, 1000), "campaign")]).await.unwrap().swap_remove(0);
    let refused = outbox.search(&app, device(1), &Cursor::default(), 9).await.unwrap_err();
    assert_eq!(refused, OutboxError::TokensNotKept);
    assert_eq!(ids(&*outbox, &app, &tag("campaign")).await, [known.id]);
    outbox.close().await.unwrap();
    // What was accepted then has nothing that a token leads to.
    let outbox = home.open(Bounds::default()).await;
    assert_eq!(ids(&*outbox, &app, &device(1)).await, []);
    outbox.close().await.unwrap();
}

pub(crate) async fn what_is_forgotten_is_found_no_more(home: &Home) {
    let outbox = home.open(Bounds::default().with_outcomes(Duration::from_secs(5))).await;
    let app = app("one");
    let entries = vec![tagged(entry(1, None, 1000), "campaign"), tagged(entry(1, None, 1000), "campaign")];
    let known = outbox.accept(&app, entries).await.unwrap();
    let lane = hold(&outbox, &app).await;
    end(&lane, &app, 1, 1500).await;
    assert_eq!(ids(&*outbox, &app, &device(1)).await, [known[1].id, known[0].id]);
    while outbox.sweep(at(10_000)).await.unwrap() {}
    assert_eq!(ids(&*outbox, &app, &device(1)).await, [known[1].id]);
    assert_eq!(ids(&*outbox, &app, &tag("campaign")).await, [known[1].id]);
    outbox.close().await.unwrap();
}

pub(crate) async fn what_has_a_tag_is_withdrawn_by_it(home: &Home) {
    let outbox = home.open(Bounds::default()).await;
    let app = app("one");
    let entries = vec![
        tagged(entry(1, None, 1000), "campaign"),
        tagged(entry(2, None, 1000), "another"),
        entry(3, None, 1000),
        tagged(entry(4, None, 1000), "campaign"),
    ];
    let known = outbox.accept(&app, entries).await.unwrap();
    let selection = Selection { tag: tag("campaign").tag, ..Selection::default() };
    let step = outbox.withdraw(&app, selection, Withdrawal::Purged, &Cursor::default(), at(2000)).await.unwrap();
    let ended: Vec<_> = step.settled.iter().map(|(_, record)| (record.id, record.tag.clone())).collect();
    assert_eq!(ended, [(known[0].id, tag("campaign").tag), (known[3].id, tag("campaign").tag)]);
    let purged = Search { reason: Some("purged".into()), ..tag("campaign") };
    assert_eq!(ids(&*outbox, &app, &purged).await, [known[3].id, known[0].id]);
    assert_eq!(outbox.counts(&app).await.unwrap().waiting, 2);
    outbox.close().await.unwrap();
}
