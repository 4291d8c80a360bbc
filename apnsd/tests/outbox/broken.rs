//! Connections that break in the middle of a call: the server did what it was asked for, and the answer is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apns_proto::{Environment, LossPolicy};
use apnsd::outbox::postgres::{PostgresOutbox, PostgresSettings};
use apnsd::outbox::{Bounds, Change, Claim, Cursor, Lane, NewEntry, Outbox, OutboxError, Route, Share, Tries};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::nodes::Session;
use crate::{again, app, at, entry, hold, postpone, settle};

/// Between an outbox and its server.
struct Wire {
    url: String,
    /// The next commit is the last thing that gets through, and its answer does not come back.
    cut: Arc<AtomicBool>,
}

/// What asks for a commit: a statement without a transaction of its own commits with its `Sync`.
const COMMIT: &[u8] = b"COMMIT\0";

impl Wire {
    async fn to(url: &str) -> Self {
        let (front, database) = url.rsplit_once('/').unwrap();
        let server = front.rsplit_once('@').unwrap().1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let cutting = cut.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, cutting.clone()));
            }
        });
        Self { url: format!("postgres://apnsd@{address}/{database}"), cut }
    }

    async fn open(&self) -> Arc<dyn Outbox> {
        let settings = PostgresSettings::new(&self.url, "one").unwrap().with_lease(Duration::from_secs(120));
        Arc::new(PostgresOutbox::open(&settings, Bounds::default()).await.unwrap())
    }

    /// The connection of the next call that changes something breaks behind the change.
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        !self.cut.load(Ordering::SeqCst)
    }
}

/// Whether these bytes change something for good: a commit, or a statement that is executed on its own and writes.
fn changes(bytes: &[u8], in_transaction: &mut bool) -> bool {
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    if has(b"BEGIN\0") {
        *in_transaction = true;
    }
    if has(COMMIT) {
        *in_transaction = false;
        return true;
    }
    // `E` of Execute follows a bound statement; those of the lanes that run alone have arrays or a limit to bind.
    !*in_transaction && bytes.first() == Some(&b'B') && bytes.len() > 60
}

async fn carry(mut client: TcpStream, mut server: TcpStream, cut: Arc<AtomicBool>) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    let mut in_transaction = false;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let last = changes(&up[..count], &mut in_transaction) && cut.swap(false, Ordering::SeqCst);
                server.write_all(&up[..count]).await.unwrap();
                if last {
                    // It is carried out, and what is said of it goes nowhere.
                    assert_ne!(server.read(&mut down).await.unwrap(), 0);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn started() -> Option<(Wire, Arc<dyn Outbox>, Arc<dyn Lane>)> {
    let wire = Wire::to(&crate::postgres::server()?.database().await).await;
    let outbox = wire.open().await;
    let lane = hold(&outbox, &app("one")).await;
    again(async || lane.recover(LossPolicy::Report, at(1000)).await).await;
    Some((wire, outbox, lane))
}

#[tokio::test]
async fn what_was_stored_without_an_answer_is_stored_once() {
    let Some((wire, outbox, _lane)) = started().await else { return };
    let app = app("one");
    for round in 0..3 {
        wire.cut();
        let entries = vec![entry(1, None, 1000), entry(2, Some(round), 1000), entry(3, Some(round), 1000)];
        let accepted = outbox.accept(&app, entries).await.unwrap();
        assert!(wire.is_cut(), "the answer was lost");
        assert_eq!(accepted.iter().map(|one| one.duplicate).collect::<Vec<_>>(), [false, false, true]);
        let found = again(async || outbox.lookup(accepted.iter().map(|one| one.id).collect()).await).await;
        assert!(found.iter().all(Option::is_some));
        // The commit that is answered waits for standbys: it wrote something.
        let wrote = "SELECT (SELECT max(xmin::text::int8) FROM batch) > (SELECT max(xmin::text::int8) FROM pending)";
        assert_eq!(Session::to(&wire.url).await.ask(wrote).await, "t");
        let counts = again(async || outbox.counts(&app).await).await;
        assert_eq!(counts.waiting, 2 * (u64::from(round) + 1));
    }
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn what_was_claimed_without_an_answer_is_there_for_the_next_claim() {
    let Some((wire, outbox, lane)) = started().await else { return };
    let entries = (0..5).map(|number| entry(number, None, 1000)).collect();
    let accepted = outbox.accept(&app("one"), entries).await.unwrap();
    // A claim, so that its statements are known to the connection.
    let first = lane.claim(1, at(1000)).await.unwrap().entries;
    wire.cut();
    let lost = lane.claim(2, at(1000)).await.unwrap_err();
    assert!(matches!(lost, OutboxError::Failed(_)) && wire.is_cut(), "{lost}");
    let second = again(async || lane.claim(2, at(1000)).await).await.entries;
    let third = lane.claim(9, at(1000)).await.unwrap().entries;
    let ids: Vec<_> = [&first, &second, &third].into_iter().flatten().map(|entry| entry.id).collect();
    assert_eq!(ids, accepted.iter().map(|one| one.id).collect::<Vec<_>>(), "each once, in their order");
    assert_eq!((first.len(), second.len(), third.len()), (1, 2, 2));
    // All of them are this holder's, in whichever epoch they were claimed.
    let all = [first, second, third].concat();
    let changes: Vec<_> =
        all.iter().map(|one| settle(one.id, one.claim, &app("one"), Tries::default(), 1500)).collect();
    assert_eq!(again(async || lane.change(changes.clone()).await).await.len(), 5);
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn a_claim_hands_out_what_is_on_its_routes_also_behind_one_without_an_answer() {
    let Some((wire, outbox, lane)) = started().await else { return };
    let (production, sandbox) = (Environment::Production, Environment::Sandbox);
    let on = |number, route| NewEntry { route, ..entry(number, None, 1000) };
    let entries = vec![
        on(0, Route::Named(production)),
        on(1, Route::Named(production)),
        on(2, Route::Named(sandbox)),
        on(3, Route::Found(sandbox)),
    ];
    let accepted = outbox.accept(&app("one"), entries).await.unwrap();
    let ids: Vec<_> = accepted.iter().map(|one| one.id).collect();
    let claim = async |environment, limit| {
        let routes = [Route::Named(environment), Route::Found(environment)].into();
        lane.claim_from(vec![Share { routes, limit }], at(1000)).await
    };
    let of = |claim: &Claim| claim.entries.iter().map(|one| one.id).collect::<Vec<_>>();
    // So that its statements are known to the connection.
    assert_eq!(claim(production, 0).await.unwrap().entries, []);
    wire.cut();
    let lost = claim(production, 9).await.unwrap_err();
    assert!(matches!(lost, OutboxError::Failed(_)) && wire.is_cut(), "{lost}");
    assert_eq!(again(async || outbox.counts(&app("one")).await).await.in_flight, 2, "the server carried it out");

    let to_sandbox = again(async || claim(sandbox, 9).await).await;
    assert_eq!(of(&to_sandbox), ids[2..], "nothing of production");
    let to_production = claim(production, 9).await.unwrap();
    assert_eq!(of(&to_production), ids[..2], "each once");
    assert!(to_production.entries.iter().all(|one| one.tries == Tries::default()), "it never left");
    let all = [to_sandbox.entries, to_production.entries].concat();
    let changes = all.iter().map(|one| settle(one.id, one.claim, &app("one"), Tries::default(), 1500)).collect();
    assert_eq!(lane.change(changes).await.unwrap().len(), 4);
    outbox.close().await.unwrap();
}

#[tokio::test]
async fn what_was_changed_without_an_answer_is_told_when_it_is_asked_for_again() {
    let Some((wire, outbox, lane)) = started().await else { return };
    let app = app("one");
    outbox.accept(&app, (0..4).map(|number| entry(number, None, 1000)).collect()).await.unwrap();
    let claimed = lane.claim(3, at(1000)).await.unwrap().entries;
    let settled =
        lane.change(vec![settle(claimed[0].id, claimed[0].claim, &app, Tries::default(), 1500)]).await.unwrap();
    assert_eq!(settled.len(), 1);
    let changes = vec![
        settle(claimed[1].id, claimed[1].claim, &app, Tries::default(), 1600),
        Change::Postpone(postpone(&claimed[2], 1000, Tries { retries: 1, ..Tries::default() })),
    ];
    wire.cut();
    let lost = lane.change(changes.clone()).await.unwrap_err();
    assert!(matches!(lost, OutboxError::Failed(_)) && wire.is_cut(), "{lost}");
    let told = again(async || lane.change(changes.clone()).await).await;
    assert_eq!(told.iter().map(|(_, record)| record.id).collect::<Vec<_>>(), [claimed[1].id]);
    let kept = again(async || outbox.outcomes(&app, &Cursor::default(), 9).await).await;
    assert_eq!(kept.len(), 2, "one outcome each");
    assert_eq!(kept[1], told[0]);
    // What was put back is claimed by its next claim, and the change of the last one is not its.
    let next = again(async || lane.claim(9, at(1000)).await).await.entries;
    assert_eq!(next.len(), 2);
    again(async || lane.change(changes.clone()).await).await;
    assert_eq!(again(async || outbox.counts(&app).await).await.in_flight, 2);
    outbox.close().await.unwrap();
}
