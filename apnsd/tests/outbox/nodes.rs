//! Nodes beside each other on one PostgreSQL, and what one does while another looks on.

use std::sync::Arc;
use std::time::Duration;

use apns_proto::{DeviceToken, Expiration, LossPolicy};
use apnsd::AppName;
use apnsd::outbox::postgres::{PostgresOutbox, PostgresSettings};
use apnsd::outbox::{
    Bell, Bounds, Cursor, Left, Outbox, ReadFrom, Routes, Search, Selection, State, Tries, Withdrawal,
};
use futures_util::future::select_all;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{app, at, entry, hold, settle};

async fn open(url: &str, node: &str, lease: Duration, bounds: Bounds) -> Arc<dyn Outbox> {
    let settings = PostgresSettings::new(url, node).unwrap().with_lease(lease);
    Arc::new(PostgresOutbox::open(&settings, bounds).await.unwrap())
}

/// A session of somebody else.
pub(crate) struct Session(Client);

impl Session {
    pub(crate) async fn to(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("SET search_path = apnsd").await.unwrap();
        Self(client)
    }

    async fn run(&self, statements: &str) {
        self.0.batch_execute(statements).await.unwrap();
    }

    /// The one value that this asks for.
    pub(crate) async fn ask(&self, query: &str) -> String {
        let answer = self.0.simple_query(query).await.unwrap();
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        row.and_then(|row| row.get(0)).unwrap_or_default().to_owned()
    }

    async fn until(&self, query: &str, is: impl Fn(&str) -> bool) {
        let waited = async {
            while !is(&self.ask(query).await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), waited).await.unwrap_or_else(|_| panic!("{query}"));
    }
}

const LONG: Duration = Duration::from_secs(120);

type Ending = JoinHandle<usize>;

/// Something ends what waits, and between its look and its act the notification is claimed and put back as perhaps arrived.
async fn between(end: impl Fn(Arc<dyn Outbox>, AppName) -> Ending) {
    let Some(server) = crate::postgres::server() else { return };
    let url = server.database().await;
    let outbox = open(&url, "one", LONG, Bounds::default()).await;
    let app = app("one");
    let mut once = entry(1, None, 1000);
    once.notification = once.notification.with_expiration(Expiration::Immediately);
    let id = outbox.accept(&app, vec![once]).await.unwrap()[0].id;
    let other = Session::to(&url).await;
    other.run("BEGIN; SELECT 1 FROM pending FOR UPDATE").await;
    let ending = end(outbox.clone(), app.clone());
    let look = Session::to(&url).await;
    let blocked =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    look.until(blocked, |count| count == "1").await;
    other.run("UPDATE pending SET state = 1, claim = 77").await;
    other.run("UPDATE pending SET state = 0, attempts = 1, replays = 1; COMMIT").await;
    assert_eq!(ending.await.unwrap(), 0, "its record would say that it was never sent");
    let found = outbox.lookup(vec![id]).await.unwrap().swap_remove(0).unwrap();
    assert!(matches!(found.state, State::Waiting { .. }), "{found:?}");
    assert_eq!(outbox.outcomes(&app, &Cursor::default(), 9).await.unwrap(), []);
    assert_eq!(end(outbox.clone(), app.clone()).await.unwrap(), 1);
    let ended = outbox.outcomes(&app, &Cursor::default(), 9).await.unwrap();
    assert_eq!(&*ended[0].1.outcome, "unknown");
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn what_is_withdrawn_ends_as_it_was_read() {
    between(|outbox, app| {
        tokio::spawn(async move {
            let withdraw =
                outbox.withdraw(&app, Selection::default(), Withdrawal::Purged, &Cursor::default(), at(2000));
            withdraw.await.unwrap().settled.len()
        })
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_an_app_ends_as_it_was_read() {
    between(|outbox, app| {
        tokio::spawn(async move { outbox.abandon(&app, "it is gone", at(2000)).await.unwrap().len() })
    })
    .await;
}

#[tokio::test]
async fn what_had_its_attempt_ends_as_it_was_read() {
    between(|outbox, app| {
        tokio::spawn(async move {
            let lane = outbox.clone().hold(&app).await.unwrap();
            let ended = lane.end_attempts(Routes::ALL, at(1500), at(2000)).await.unwrap().len();
            lane.release().await.unwrap();
            ended
        })
    })
    .await;
}

#[tokio::test]
async fn what_a_sweep_forgot_stays_forgotten_where_the_rest_of_it_fails() {
    let Some(server) = crate::postgres::server() else { return };
    let url = server.database().await;
    let outbox = open(&url, "one", LONG, Bounds::default().with_outcomes(Duration::from_secs(5))).await;
    let app = app("one");
    outbox.accept(&app, vec![entry(1, None, 1000)]).await.unwrap();
    let lane = hold(&outbox, &app).await;
    let claimed = lane.claim(1, at(1000)).await.unwrap().entries.swap_remove(0);
    lane.change(vec![settle(claimed.id, claimed.claim, &app, Tries::default(), 1500)]).await.unwrap();
    let other = Session::to(&url).await;
    other.run("ALTER TABLE key RENAME TO away").await;
    outbox.sweep(at(100_000)).await.unwrap_err();
    assert_eq!(outbox.outcomes(&app, &Cursor::default(), 9).await.unwrap(), []);
    other.run("ALTER TABLE away RENAME TO key").await;
    assert!(!outbox.sweep(at(100_000)).await.unwrap());
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn a_lane_goes_to_a_node_that_waits_for_it_and_to_no_other() {
    let Some(server) = crate::postgres::server() else { return };
    let url = server.database().await;
    let lease = Duration::from_secs(2);
    let (one, two) =
        (open(&url, "one", lease, Bounds::default()).await, open(&url, "two", lease, Bounds::default()).await);
    let names: Vec<AppName> = (0..8).map(|number| app(&format!("app-{number}"))).collect();
    let mut lanes = Vec::new();
    for name in &names {
        lanes.push(hold(&one, name).await);
    }
    let mut left = select_all(lanes.iter().map(|lane| lane.left()));
    let look = Session::to(&url).await;
    // The other node is there and wants nothing: lanes stay, however often it is looked.
    for _ in 0..4 {
        let until = look.ask("SELECT until FROM node WHERE name = 'one'").await;
        tokio::select! {
            (why, which, _) = &mut left => panic!("{} was left: {why:?}", names[which]),
            () = look.until("SELECT until FROM node WHERE name = 'one'", |now| now != until) => {}
        }
    }
    let wanted = names[5].clone();
    let waiting = tokio::spawn({
        let (two, wanted) = (two.clone(), wanted.clone());
        async move { two.hold(&wanted).await.unwrap() }
    });
    let (why, which, others) = left.await;
    assert!(matches!(why, Left::Wanted(_)), "{why:?}");
    assert_eq!(names[which], wanted);
    lanes[5].release().await.unwrap();
    let taken = waiting.await.unwrap();
    taken.recover(LossPolicy::Report, at(1000)).await.unwrap();
    // It has what it wants.
    look.until("SELECT wants::text FROM node WHERE name = 'two'", |wants| wants == "{}").await;
    let mut others = select_all(others);
    for _ in 0..2 {
        let until = look.ask("SELECT until FROM node WHERE name = 'one'").await;
        tokio::select! {
            (why, ..) = &mut others => panic!("another was left: {why:?}"),
            () = look.until("SELECT until FROM node WHERE name = 'one'", |now| now != until) => {}
        }
    }
    two.close().await.unwrap();
    one.close().await.unwrap();
}

#[tokio::test]
async fn the_first_outcome_of_an_app_that_is_new_to_a_node_rings() {
    let Some(server) = crate::postgres::server() else { return };
    let url = server.database().await;
    let (one, two) =
        (open(&url, "one", LONG, Bounds::default()).await, open(&url, "two", LONG, Bounds::default()).await);
    let mut bells = two.bells().unwrap();
    let settled = async |name: &str| {
        let name = app(name);
        one.accept(&name, vec![entry(1, None, 1000)]).await.unwrap();
        let lane = hold(&one, &name).await;
        let claimed = lane.claim(1, at(1000)).await.unwrap().entries.swap_remove(0);
        lane.change(vec![settle(claimed.id, claimed.claim, &name, Tries::default(), 1500)]).await.unwrap();
    };
    let mut heard = async |name: &str| {
        let name = app(name);
        let heard = async {
            while let Some(bell) = bells.recv().await {
                if let Bell::Settled { app, after } = bell
                    && app == name
                {
                    return after;
                }
            }
            unreachable!("the bells are over");
        };
        tokio::time::timeout(Duration::from_secs(60), heard).await.unwrap()
    };
    // Both nodes have looked.
    let look = Session::to(&url).await;
    let looked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%JOIN app_place%' AND state = 'idle'
        AND pid <> pg_backend_pid() AND datname = current_database()";
    look.until(looked, |count| count == "2").await;
    // Everything of the app happens between two looks, which the others' statements are not held up with.
    look.run("BEGIN; LOCK TABLE meta IN ACCESS EXCLUSIVE MODE").await;
    settled("second").await;
    look.run("COMMIT").await;
    assert_eq!(heard("second").await, Cursor::new("0"));
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test]
async fn an_earlier_holding_gives_nothing_of_a_later_one_back() {
    let Some(server) = crate::postgres::server() else { return };
    let url = server.database().await;
    let outbox = open(&url, "one", LONG, Bounds::default()).await;
    let name = app("one");
    let earlier = hold(&outbox, &name).await;
    let later = hold(&outbox, &name).await;
    earlier.release().await.unwrap();
    let look = Session::to(&url).await;
    assert_eq!(look.ask("SELECT node FROM lane").await, "one");
    later.release().await.unwrap();
    assert_eq!(look.ask("SELECT node FROM lane").await, "");
    outbox.close().await.unwrap();
}

/// What each version of the tables has that the one before did not, undone: the latest first.
const UNDONE: [&str; 4] = [
    "DROP TABLE mark; ALTER TABLE pending DROP COLUMN tag; DELETE FROM meta WHERE name LIKE 'mark_key_%';
     UPDATE meta SET value = 4 WHERE name = 'version'",
    "DROP INDEX pending_waiting; ALTER TABLE pending DROP COLUMN route;
     CREATE INDEX pending_waiting ON pending (app, due, row) WHERE state = 0;
     UPDATE meta SET value = 3 WHERE name = 'version'",
    "ALTER TABLE reader DROP COLUMN used_at, DROP COLUMN node, DROP COLUMN incarnation;
     UPDATE meta SET value = 2 WHERE name = 'version'",
    "ALTER TABLE node DROP COLUMN wants; UPDATE meta SET value = 1 WHERE name = 'version'",
];

#[tokio::test]
async fn tables_of_all_versions_before_go_on() {
    let Some(server) = crate::postgres::server() else { return };
    for steps in 1..=UNDONE.len() {
        let url = server.database().await;
        let outbox = open(&url, "one", LONG, Bounds::default()).await;
        let app = app("one");
        let first = outbox.accept(&app, vec![entry(1, Some(1), 1000)]).await.unwrap().swap_remove(0);
        outbox.close().await.unwrap();
        let other = Session::to(&url).await;
        let newest = other.ask("SELECT value FROM meta WHERE name = 'version'").await;
        for undo in &UNDONE[..steps] {
            other.run(undo).await;
        }
        let outbox = open(&url, "one", LONG, Bounds::default()).await;
        assert_eq!(other.ask("SELECT value FROM meta WHERE name = 'version'").await, newest);
        assert_eq!(other.ask("SELECT wants::text FROM node").await, "{}");
        assert_eq!(other.ask("SELECT count(used_at) FROM reader").await, "0");
        let again = outbox.accept(&app, vec![entry(1, Some(1), 1100)]).await.unwrap().swap_remove(0);
        assert_eq!((again.id, again.duplicate), (first.id, true));
        // What comes from now on is found.
        let later = outbox.accept(&app, vec![entry(2, None, 1200)]).await.unwrap().swap_remove(0);
        let search = Search { token: Some(DeviceToken::from_bytes([2; 32]).unwrap()), ..Search::default() };
        let found = outbox.search(&app, search, &Cursor::default(), 9).await.unwrap();
        assert_eq!(found.notifications.iter().map(|one| one.id).collect::<Vec<_>>(), [later.id]);
        outbox.close().await.unwrap();
    }
}

/// A reader's place is used by one node at a time: the one that delivers the app, and any where none does. It changes hands
/// when the node ends, is not heard of, or gives the lane away.
#[tokio::test]
async fn one_node_at_a_time_reads_under_a_name() {
    let Some(server) = crate::postgres::server() else { return };
    let url = server.database().await;
    let look = Session::to(&url).await;
    let (one, two) =
        (open(&url, "one", LONG, Bounds::default()).await, open(&url, "two", LONG, Bounds::default()).await);
    let app = app("one");
    for outbox in [&one, &two] {
        outbox.begin_reading(&app, "r", ReadFrom::Newest, at(1)).await.unwrap();
    }
    let reads = async |outbox: &Arc<dyn Outbox>| outbox.unread_outcomes(&app, "r", None, 9).await.unwrap().is_some();
    assert_eq!((reads(&one).await, reads(&two).await, reads(&one).await), (true, false, true), "the first that asks");
    // The node that delivers is preferred: the other one leaves it the place, once it asks again.
    let lane = two.clone().hold(&app).await.unwrap();
    assert!(!reads(&two).await, "the other one may be at it");
    assert_eq!((reads(&one).await, reads(&two).await, reads(&one).await), (false, true, false));
    lane.release().await.unwrap();
    assert_eq!((reads(&one).await, reads(&two).await), (false, true), "nothing is gained by a change");
    // Its lease is over, and it renews none while its row is locked: it does so as soon as it sees that.
    let holder = Session::to(&url).await;
    loop {
        look.run("UPDATE node SET until = '-infinity' WHERE name = 'two'").await;
        holder.run("BEGIN; SELECT 1 FROM node WHERE name = 'two' FOR UPDATE").await;
        if look.ask("SELECT until FROM node WHERE name = 'two'").await == "-infinity" {
            break;
        }
        holder.run("ROLLBACK").await;
    }
    assert_eq!((reads(&two).await, reads(&one).await, reads(&two).await), (false, true, false), "a node that died");
    holder.run("COMMIT").await;
    look.until("SELECT until > clock_timestamp() FROM node WHERE name = 'two'", |renewed| renewed == "t").await;
    assert_eq!((reads(&two).await, reads(&one).await), (false, true), "its place is another's by then");
    one.close().await.unwrap();
    let later = open(&url, "one", LONG, Bounds::default()).await;
    assert!(reads(&later).await, "the next process of a node");
    later.close().await.unwrap();
    two.close().await.unwrap();
}
