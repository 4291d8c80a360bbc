//! Everything of one store, moved into the other and back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use apns_proto::{DeviceToken, LossPolicy, WallTime};
use apnsd::outbox::postgres::{PostgresOutbox, PostgresSettings};
use apnsd::outbox::sqlite::SqliteOutbox;
use apnsd::outbox::transfer::{Direction, TransferError, Transferred, cancel, transfer};
use apnsd::outbox::{
    AppPause, Bounds, Cursor, GoneToken, NewEntry, Outbox, OutcomeRecord, ReadFrom, Search, StoredApp, Tracked, Tries,
};
use apnsd::{AppName, NotificationId};

use crate::home::Folder;
use crate::nodes::Session;
use crate::{app, at, entry, hold, postpone, settle};

/// Both stores, and which of them is used.
struct Both {
    folder: Folder,
    url: String,
}

impl Both {
    async fn new() -> Option<Self> {
        Some(Self { folder: Folder::new(), url: crate::postgres::server()?.database().await })
    }

    fn server(&self) -> PostgresSettings {
        PostgresSettings::new(&self.url, "one").unwrap().with_lease(Duration::from_secs(120))
    }

    async fn open(&self, at: Direction) -> Result<Arc<dyn Outbox>, String> {
        match at {
            Direction::ToSqlite => {
                let opened = SqliteOutbox::open(&self.folder.0, Bounds::default());
                opened.map(|outbox| Arc::new(outbox) as Arc<dyn Outbox>).map_err(|error| error.to_string())
            }
            Direction::ToPostgres => {
                let opened = PostgresOutbox::open(&self.server(), Bounds::default()).await;
                opened.map(|outbox| Arc::new(outbox) as Arc<dyn Outbox>).map_err(|error| error.to_string())
            }
        }
    }

    async fn transfer(&self, direction: Direction) -> Result<Transferred, TransferError> {
        transfer(&self.folder.0, &self.server(), direction, |_| {}).await
    }

    async fn cancel(&self, direction: Direction) -> Result<(), TransferError> {
        cancel(&self.folder.0, &self.server(), direction).await
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.0.join("outbox.sqlite3")).unwrap()
    }
}

fn gone(number: u8) -> GoneToken {
    GoneToken {
        token: DeviceToken::from_bytes([number; 32]).unwrap(),
        topic: (number > 1).then(|| "com.example.app".into()),
        since: (number > 2).then(|| at(77)),
        found_at: at(u64::from(number)),
        reason: "Unregistered".into(),
    }
}

/// Some of everything, for two apps; gives the ids, in their order.
async fn fill(outbox: &Arc<dyn Outbox>, round: u8) -> Vec<NotificationId> {
    let mut ids = Vec::new();
    for (name, count) in [("one", 5), ("two", 3)] {
        let app = app(name);
        let entries = (0..count).map(|number| {
            let send_at = (number == 4).then(|| at(900_000));
            let tag = (number < 3).then(|| "tea".parse().unwrap());
            NewEntry { digest: Some([number; 32]), tag, send_at, ..entry(number, Some(number + 10 * round), 1000) }
        });
        let accepted = outbox.accept(&app, entries.collect()).await.unwrap();
        ids.extend(accepted.iter().map(|one| one.id));
        let lane = hold(outbox, &app).await;
        let claimed = lane.claim(2, at(2000)).await.unwrap().entries;
        let tries = Tries { attempts: 3, replays: 1, retries: 2 };
        lane.change(vec![
            settle(claimed[0].id, claimed[0].claim, &app, tries, 2000),
            apnsd::outbox::Change::Postpone(postpone(&claimed[1], 3000, tries)),
        ])
        .await
        .unwrap();
        outbox.note_gone(&app, (1..=3).map(gone).collect()).await.unwrap();
        let page = outbox.unread(&app, "phones", 2).await.unwrap();
        outbox.mark_read(&app, "phones", &page.next).await.unwrap();
        lane.release().await.unwrap();
    }
    outbox.set_pause(&app("two"), Some(AppPause { since: at(5), reason: Some("why\u{0}?".into()) })).await.unwrap();
    outbox.keep_app(StoredApp { name: app("two"), definition: "{\"of\":\"two\"}".into() }).await.unwrap();
    ids
}

/// What callers can see of an app.
#[derive(Debug, PartialEq)]
struct Seen {
    tracked: Vec<Option<Tracked>>,
    outcomes: Vec<OutcomeRecord>,
    unread: Vec<GoneToken>,
    keys: Vec<Option<NotificationId>>,
    /// By device token, and by tag.
    found: [Vec<Tracked>; 2],
    counts: apnsd::outbox::Counts,
}

async fn seen(outbox: &Arc<dyn Outbox>, name: &AppName, ids: &[NotificationId], after: &Cursor) -> Seen {
    let keys = (0..30).map(|number| format!("key {number}").into()).collect();
    let outcomes = outbox.outcomes(name, after, 100).await.unwrap();
    let find = async |search: Search| {
        let found = outbox.search(name, search, &Cursor::default(), 100).await.unwrap().notifications;
        assert!(!found.is_empty());
        found
    };
    let token = Some(DeviceToken::from_bytes([0; 32]).unwrap());
    let by_token = find(Search { token, ..Search::default() }).await;
    let by_tag = find(Search { tag: Some("tea".parse().unwrap()), ..Search::default() }).await;
    Seen {
        found: [by_token, by_tag],
        tracked: outbox.lookup(ids.to_vec()).await.unwrap(),
        outcomes: outcomes.into_iter().map(|(_, record)| record).collect(),
        unread: outbox.unread(name, "phones", 100).await.unwrap().tokens,
        keys: outbox.by_keys(name, keys, at(1500)).await.unwrap(),
        counts: outbox.counts(name).await.unwrap(),
    }
}

#[tokio::test]
async fn what_callers_see_is_the_same_after_a_move_there_and_back() {
    let Some(both) = Both::new().await else { return };
    let mut ids = Vec::new();
    let mut cursors = [Cursor::default(), Cursor::default()];
    let moves = [Direction::ToPostgres, Direction::ToSqlite, Direction::ToPostgres];
    for (round, direction) in (0..).zip(moves) {
        let from = if direction == Direction::ToPostgres { Direction::ToSqlite } else { Direction::ToPostgres };
        let outbox = both.open(from).await.unwrap();
        ids.extend(fill(&outbox, round).await);
        let names = [app("one"), app("two")];
        let mut before = Vec::new();
        for (name, cursor) in names.iter().zip(&mut cursors) {
            let all = seen(&outbox, name, &ids, &Cursor::default()).await;
            // A caller has read all but the last, and keeps its cursor over the move.
            let outcomes = outbox.outcomes(name, &Cursor::default(), 100).await.unwrap();
            if let Some((place, _)) = outcomes.iter().rev().nth(1) {
                *cursor = place.clone();
            }
            before.push((all, seen(&outbox, name, &ids, cursor).await));
        }
        let (pauses, apps) = (outbox.pauses().await.unwrap(), outbox.kept_apps().await.unwrap());
        outbox.close().await.unwrap();
        drop(outbox);

        let moved = both.transfer(direction).await.unwrap();
        let rounds = u64::from(round) + 1;
        assert_eq!((moved.apps, moved.pending, moved.outcomes), (2, 6 * rounds, 2 * rounds));
        assert_eq!((moved.idempotency_keys, moved.invalid_tokens), (8 * rounds, 6 * rounds));
        let refused = both.open(from).await.unwrap_err();
        assert!(refused.contains("was moved to another store"), "{refused}");
        assert!(matches!(both.transfer(direction).await, Err(TransferError::Done)));

        let outbox = both.open(direction).await.unwrap();
        for ((name, cursor), (all, rest)) in names.iter().zip(&cursors).zip(&before) {
            assert_eq!(seen(&outbox, name, &ids, &Cursor::default()).await, *all);
            assert_eq!(seen(&outbox, name, &ids, cursor).await, *rest, "a cursor from before");
            assert_eq!(rest.outcomes.len(), 1);
        }
        assert_eq!(outbox.pauses().await.unwrap(), pauses);
        assert_eq!(outbox.kept_apps().await.unwrap(), apps);
        let again = outbox.accept(&names[0], vec![NewEntry { digest: Some([0; 32]), ..entry(0, Some(0), 1500) }]).await;
        assert_eq!(again.unwrap()[0].id, ids[0], "a key stands for what it stood for");
        let fresh = outbox.accept(&names[0], vec![entry(9, None, 1600)]).await.unwrap().swap_remove(0);
        assert!(!ids.contains(&fresh.id));
        let counts = outbox.counts(&names[0]).await.unwrap();
        let lane = hold(&outbox, &names[0]).await;
        let claimed = lane.claim(100, at(WallTime::from_secs(2000).as_millis())).await.unwrap().entries;
        assert_eq!(claimed.len() as u64, counts.waiting, "each is claimed once");
        let newest = outbox.newest_outcome(&names[0]).await.unwrap();
        let last = claimed.iter().find(|one| one.id == fresh.id).unwrap();
        lane.change(vec![settle(fresh.id, last.claim, &names[0], last.tries, 4000)]).await.unwrap();
        let told = outbox.outcomes(&names[0], &newest, 9).await.unwrap();
        assert_eq!(told.len(), 1, "a new outcome stands behind all that were moved");
        // The rest is as it was for the next round.
        let rest = claimed.iter().filter(|one| one.id != fresh.id);
        let back = rest.map(|one| apnsd::outbox::Change::Postpone(postpone(one, one.begun().as_millis(), one.tries)));
        lane.change(back.collect()).await.unwrap();
        lane.release().await.unwrap();
        outbox.close().await.unwrap();
        drop(outbox);
        forget(&both, direction, fresh.id).await;
    }
}

/// Takes the outcome of the round away, so that rounds can be counted.
async fn forget(both: &Both, at: Direction, id: NotificationId) {
    let forget = format!("DELETE FROM outcome WHERE record LIKE '%{id}%'");
    match at {
        Direction::ToSqlite => assert_eq!(both.file().execute(&forget, []).unwrap(), 1),
        Direction::ToPostgres => crate::postgres::execute(&both.url, &forget.replace("outcome", "apnsd.outcome")).await,
    }
}

#[tokio::test]
async fn a_move_that_broke_off_goes_on_or_is_taken_back() {
    let Some(both) = Both::new().await else { return };
    let outbox = both.open(Direction::ToSqlite).await.unwrap();
    let ids = fill(&outbox, 0).await;
    outbox.close().await.unwrap();
    drop(outbox);
    // The mark was set, and nothing more.
    both.file().execute("INSERT INTO meta VALUES ('moving', 7)", []).unwrap();
    assert!(both.open(Direction::ToSqlite).await.unwrap_err().contains("--cancel"));
    both.cancel(Direction::ToPostgres).await.unwrap();
    assert!(matches!(both.cancel(Direction::ToPostgres).await, Err(TransferError::NotBegun)));
    both.open(Direction::ToSqlite).await.unwrap().close().await.unwrap();

    both.transfer(Direction::ToPostgres).await.unwrap();
    // All was written, and the old store does not know.
    both.file().execute_batch("UPDATE meta SET name = 'moving' WHERE name = 'moved'").unwrap();
    assert!(matches!(both.cancel(Direction::ToPostgres).await, Err(TransferError::Done)));
    let moved = both.transfer(Direction::ToPostgres).await.unwrap();
    assert_eq!((moved.apps, moved.pending), (2, 6));
    let outbox = both.open(Direction::ToPostgres).await.unwrap();
    assert!(outbox.lookup(ids.clone()).await.unwrap().iter().all(Option::is_some));
    outbox.close().await.unwrap();
    drop(outbox);

    // The same on the way back.
    let session = Session::to(&both.url).await;
    both.transfer(Direction::ToSqlite).await.unwrap();
    session.ask("UPDATE meta SET name = 'moving' WHERE name = 'moved'").await;
    assert!(both.open(Direction::ToPostgres).await.unwrap_err().contains("--cancel"));
    assert!(matches!(both.cancel(Direction::ToSqlite).await, Err(TransferError::Done)));
    both.transfer(Direction::ToSqlite).await.unwrap();
    both.file().execute_batch("UPDATE meta SET value = 0 WHERE name = 'moved_in'").unwrap();
    session.ask("UPDATE meta SET name = 'moving' WHERE name = 'moved'").await;
    both.cancel(Direction::ToSqlite).await.unwrap();
    let outbox = both.open(Direction::ToPostgres).await.unwrap();
    outbox.accept(&app("one"), vec![entry(1, None, 1)]).await.unwrap();
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_mixed_and_nothing_is_moved_away_from_a_daemon() {
    let Some(both) = Both::new().await else { return };
    let nothing = both.transfer(Direction::ToPostgres).await;
    assert!(matches!(nothing, Err(TransferError::Nothing { .. })), "{nothing:?}");
    let database = both.open(Direction::ToPostgres).await.unwrap();
    let used = both.transfer(Direction::ToSqlite).await.unwrap_err();
    assert!(used.to_string().starts_with("these daemons use the database: one."), "{used}");
    database.accept(&app("one"), vec![entry(1, None, 1)]).await.unwrap();
    database.close().await.unwrap();
    drop(database);
    let file = both.open(Direction::ToSqlite).await.unwrap();
    let used = both.transfer(Direction::ToPostgres).await.unwrap_err();
    assert!(used.to_string().contains("another process uses this outbox"), "{used}");
    file.accept(&app("two"), vec![entry(1, None, 1)]).await.unwrap();
    file.close().await.unwrap();
    drop(file);
    for direction in [Direction::ToPostgres, Direction::ToSqlite] {
        let mixed = both.transfer(direction).await.unwrap_err();
        assert!(matches!(mixed, TransferError::NotEmpty { .. }), "{mixed}");
        assert!(matches!(both.cancel(direction).await, Err(TransferError::NotBegun)), "nothing was marked");
        both.open(Direction::ToSqlite).await.unwrap().close().await.unwrap();
        both.open(Direction::ToPostgres).await.unwrap().close().await.unwrap();
    }
}

/// A process that stood still during the move, and whose lease had ended, changes nothing of what was moved.
#[tokio::test]
async fn a_daemon_that_stood_still_meanwhile_takes_nothing_in() {
    let Some(both) = Both::new().await else { return };
    let outbox = both.open(Direction::ToPostgres).await.unwrap();
    outbox.accept(&app("one"), vec![entry(1, None, 1)]).await.unwrap();
    let lane = hold(&outbox, &app("one")).await;
    let claimed = lane.claim(1, at(10)).await.unwrap().entries.swap_remove(0);
    crate::postgres::execute(&both.url, "UPDATE apnsd.node SET until = '-infinity'").await;
    both.transfer(Direction::ToSqlite).await.unwrap();
    assert!(outbox.accept(&app("one"), vec![entry(2, None, 1)]).await.is_err());
    let settled = settle(claimed.id, claimed.claim, &app("one"), Tries::default(), 20);
    assert!(lane.change(vec![settled]).await.is_err());
    drop((lane, outbox));
    let file = both.open(Direction::ToSqlite).await.unwrap();
    assert_eq!(file.counts(&app("one")).await.unwrap().in_flight, 1, "it may have been sent");
    file.close().await.unwrap();
    drop(file);

    // Also after another move it is taken care of, and what a lane claims then is another claim.
    both.transfer(Direction::ToPostgres).await.unwrap();
    let outbox = both.open(Direction::ToPostgres).await.unwrap();
    let lane = hold(&outbox, &app("one")).await;
    let recovered = lane.recover(LossPolicy::Resend { at_most: 9 }, at(30)).await.unwrap();
    assert_eq!(recovered.resent, 1);
    let again = lane.claim(1, at(40)).await.unwrap().entries.swap_remove(0);
    assert_eq!((again.id, again.tries.replays), (claimed.id, 1));
    assert_ne!(again.claim, claimed.claim);
    outbox.close().await.unwrap();
}

/// What came from the database is forgotten in its time, the oldest first whatever app it is of, and not because places have
/// gaps.
#[tokio::test]
async fn outcomes_that_were_moved_are_forgotten_in_their_time() {
    let Some(both) = Both::new().await else { return };
    let outbox = both.open(Direction::ToPostgres).await.unwrap();
    let names: Vec<AppName> = (0..4).map(|number| app(&format!("app{number}"))).collect();
    let mut lanes = Vec::new();
    for name in &names {
        lanes.push(hold(&outbox, name).await);
    }
    for time in 1..=5 {
        for (name, lane) in names.iter().zip(&lanes) {
            outbox.accept(name, vec![entry(1, None, 1)]).await.unwrap();
            let claimed = lane.claim(1, at(2)).await.unwrap().entries.swap_remove(0);
            lane.change(vec![settle(claimed.id, claimed.claim, name, Tries::default(), time * 1000)]).await.unwrap();
        }
    }
    drop(lanes);
    outbox.close().await.unwrap();
    drop(outbox);
    both.transfer(Direction::ToSqlite).await.unwrap();
    let times = async |outbox: &SqliteOutbox| {
        let mut times = Vec::new();
        for name in &names {
            let outcomes = outbox.outcomes(name, &Cursor::default(), 100).await.unwrap();
            times.push(outcomes.iter().map(|(_, record)| record.settled_at / 1000).collect::<Vec<_>>());
        }
        times
    };
    // Room for all of them, and not for many more.
    let bounds = Bounds::default().with_outcomes(Duration::from_secs(3600)).with_outcome_bytes(25 * 1000);
    let file = SqliteOutbox::open(&both.folder.0, bounds).unwrap();
    assert!(!file.sweep(at(6000)).await.unwrap());
    assert_eq!(times(&file).await, vec![vec![1, 2, 3, 4, 5]; 4]);
    file.close().await.unwrap();
    drop(file);
    let file = SqliteOutbox::open(&both.folder.0, Bounds::default().with_outcomes(Duration::from_secs(3))).unwrap();
    file.sweep(at(6500)).await.unwrap();
    assert_eq!(times(&file).await, vec![vec![4, 5]; 4]);
    file.close().await.unwrap();
}

/// What one store has and the other has not does not go along: there is a reason for each.
#[tokio::test]
async fn both_stores_have_the_same_columns() {
    let Some(both) = Both::new().await else { return };
    both.open(Direction::ToSqlite).await.unwrap().close().await.unwrap();
    both.open(Direction::ToPostgres).await.unwrap().close().await.unwrap();
    let session = Session::to(&both.url).await;
    for table in ["app", "pending", "outcome", "key", "gone", "mark", "reader"] {
        let find = format!(
            "SELECT string_agg(column_name, ' ') FROM information_schema.columns
             WHERE table_schema = 'apnsd' AND table_name = '{table}'"
        );
        let in_database = session.ask(&find).await;
        let in_database: BTreeSet<&str> = in_database.split(' ').collect();
        let file = both.file();
        let mut select = file.prepare("SELECT name FROM pragma_table_info(?)").unwrap();
        let names = select.query_map([table], |row| row.get::<_, String>(0)).unwrap();
        let in_file: Vec<String> = names.map(Result::unwrap).collect();
        let in_file: BTreeSet<&str> = in_file.iter().map(String::as_str).collect();
        let alone: Vec<&str> = in_database.symmetric_difference(&in_file).copied().collect();
        match table {
            // It follows from the places in the database.
            "app" => assert_eq!(alone, ["forgotten"]),
            // Who reads is known of nodes only.
            "reader" => assert_eq!(alone, ["incarnation", "node"]),
            _ => assert_eq!(alone, [] as [&str; 0], "{table}"),
        }
    }
}

/// Readers of outcomes go on where they were, and are told what was forgotten before they read it; nothing that is there
/// counts as forgotten.
#[tokio::test]
async fn readers_of_outcomes_go_on_where_they_were() {
    let Some(both) = Both::new().await else { return };
    let name = app("one");
    let mut from = Direction::ToSqlite;
    let outbox = both.open(from).await.unwrap();
    for reader in ["late", "early"] {
        outbox.begin_reading(&name, reader, ReadFrom::Beginning, at(1)).await.unwrap();
    }
    let mut upto = Cursor::default();
    for number in 0..4 {
        // Places of the apps are between each other in the file.
        for name in [app("two"), name.clone()] {
            let accepted = outbox.accept(&name, vec![entry(number, None, 1)]).await.unwrap().swap_remove(0);
            let lane = hold(&outbox, &name).await;
            let claim = lane.claim(1, at(2)).await.unwrap().entries[0].claim;
            let time = 2 + 1000 * u64::from(number);
            let settled = lane.change(vec![settle(accepted.id, claim, &name, Tries::default(), time)]).await.unwrap();
            lane.release().await.unwrap();
            if number == 1 {
                upto = settled[0].0.clone();
            }
        }
    }
    outbox.mark_read(&name, "early", &upto).await.unwrap();
    // The first outcome of each is forgotten: one reader has read it, the other has not.
    let mut outbox = {
        outbox.close().await.unwrap();
        drop(outbox);
        let file = SqliteOutbox::open(&both.folder.0, Bounds::default().with_outcomes(Duration::from_secs(1))).unwrap();
        file.sweep(at(1500)).await.unwrap();
        Arc::new(file) as Arc<dyn Outbox>
    };
    for direction in [Direction::ToPostgres, Direction::ToSqlite, Direction::ToPostgres] {
        let unread = async |outbox: &Arc<dyn Outbox>, reader: &str| {
            let unread = outbox.unread_outcomes(&name, reader, None, 100).await.unwrap().unwrap();
            let ids: Vec<NotificationId> = unread.outcomes.iter().map(|(_, record)| record.id).collect();
            (unread.forgotten.is_some(), ids)
        };
        let before = [unread(&outbox, "late").await, unread(&outbox, "early").await];
        assert_eq!(before.each_ref().map(|(forgotten, ids)| (*forgotten, ids.len())), [(true, 3), (false, 2)]);
        outbox.close().await.unwrap();
        drop(outbox);
        both.transfer(direction).await.unwrap();
        from = direction;
        outbox = both.open(from).await.unwrap();
        assert_eq!([unread(&outbox, "late").await, unread(&outbox, "early").await], before, "{direction:?}");
    }
    outbox.close().await.unwrap();
    drop(outbox);
}

/// More than what is on the way at a time.
#[tokio::test(flavor = "multi_thread")]
async fn many_are_moved() {
    let Some(both) = Both::new().await else { return };
    let outbox = both.open(Direction::ToSqlite).await.unwrap();
    let (name, count) = (app("one"), 20_500);
    let entries = |from: usize| (0..count / 2).map(|number| entry((from + number) as u8, None, 1000)).collect();
    for half in 0..2 {
        outbox.accept(&name, entries(half)).await.unwrap();
    }
    outbox.close().await.unwrap();
    drop(outbox);
    for direction in [Direction::ToPostgres, Direction::ToSqlite] {
        let mut told = Vec::new();
        let server = both.server();
        let moved = transfer(&both.folder.0, &server, direction, |so_far| told.push(so_far.pending)).await.unwrap();
        assert_eq!((moved.pending, told.last()), (count as u64, Some(&(count as u64))));
        assert!(told.is_sorted() && told.len() > 20);
    }
    let outbox = both.open(Direction::ToSqlite).await.unwrap();
    assert_eq!(outbox.counts(&name).await.unwrap().waiting, count as u64);
    outbox.close().await.unwrap();
}

/// A row that is damaged ends the move, and nothing has changed.
#[tokio::test]
async fn a_row_that_the_other_store_cannot_have_is_named() {
    let Some(both) = Both::new().await else { return };
    let outbox = both.open(Direction::ToSqlite).await.unwrap();
    fill(&outbox, 0).await;
    outbox.close().await.unwrap();
    drop(outbox);
    both.file().execute_batch("UPDATE pending SET due = 1.5 WHERE row = (SELECT max(row) FROM pending)").unwrap();
    let odd = both.transfer(Direction::ToPostgres).await.unwrap_err();
    assert!(matches!(odd, TransferError::Row { table: "pending", .. }), "{odd:?}");
    both.file().execute_batch("UPDATE pending SET due = 1 WHERE due = 1.5").unwrap();
    assert_eq!(both.transfer(Direction::ToPostgres).await.unwrap().pending, 6);
}
