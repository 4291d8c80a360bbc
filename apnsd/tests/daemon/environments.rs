//! An app for both environments: what is named goes where it says, and where nothing is said the daemon finds out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apns_proto::{DeviceToken, Environment, Expiration, Notification, Payload, WallTime};
use apns_sim::{RequestRecord, Script, Simulator};
use apnsd::config::{Config, EnvironmentChoice};
use apnsd::outbox::{Change, Cursor, NewEntry, Outbox as _, OutcomeRecord, Postponement, Route, Selection, Share};
use apnsd::{Daemon, Health, NotificationId, Service, Submission, SubmitError};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{call, get};
use crate::provider_api::{BODY, TOPIC};
use crate::store::Flaky;
use crate::support::{SOON, World, shop, until};

/// The first byte of a token says where it belongs; `dd` is a token of neither.
const PRODUCTION: u8 = 0xaa;
const SANDBOX: u8 = 0xbb;
const NEITHER: u8 = 0xdd;

pub(crate) fn token(home: u8, number: u32) -> DeviceToken {
    let mut bytes = [home; 32];
    bytes[28..].copy_from_slice(&number.to_be_bytes());
    DeviceToken::from_bytes(bytes).unwrap()
}

fn to(home: u8, number: u32, environment: Option<EnvironmentChoice>) -> Submission {
    let notification = Notification::new(token(home, number), Payload::alert("Tea is ready"));
    Submission { environment, ..notification.into() }
}

const AUTO: Option<EnvironmentChoice> = Some(EnvironmentChoice::Auto);

/// A simulator for each environment, with keys of their own. Each knows its own tokens alone.
struct Two {
    folder: TempDir,
    production: Simulator,
    sandbox: Simulator,
    /// The lines of a store that is not the file.
    store: String,
}

/// How an environment of the app is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Works,
    /// With the key of the other environment.
    Refused,
    Unreachable,
}

impl Two {
    async fn new() -> Self {
        Self::with_scripts(json!({}), json!({})).await
    }

    async fn with_scripts(mut production: Value, mut sandbox: Value) -> Self {
        let script = |value: &mut Value, others: &[&str]| {
            value["invalid_tokens"] = json!(others);
            Script::from_json(&value.to_string()).unwrap()
        };
        let production = script(&mut production, &["bb*", "dd*"]);
        let sandbox = script(&mut sandbox, &["aa*", "dd*"]);
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let start = async |name: &str, script: Script| {
            let simulator = Simulator::builder().script(script).start().await.unwrap();
            simulator.write_certificates(folder.path().join(name)).unwrap();
            simulator
        };
        let (production, sandbox) = (start("production", production).await, start("sandbox", sandbox).await);
        let both = format!("{}{}", production.ca_pem(), sandbox.ca_pem());
        std::fs::write(folder.path().join("ca.pem"), both).unwrap();
        Self { folder, production, sandbox, store: String::new() }
    }

    /// The same with a database.
    #[cfg(feature = "postgres")]
    async fn in_a_database() -> Option<Self> {
        let server = crate::postgres::server()?;
        let store = format!("[store]\nurl = \"{}\"\nnode = \"one\"\n", server.database().await);
        Some(Self { store, ..Self::new().await })
    }

    fn text(&self, environment: &str, sandbox: As, more: &str) -> String {
        let (key, of) = match sandbox {
            As::Refused => ("production", &self.production),
            As::Works | As::Unreachable => ("sandbox", &self.sandbox),
        };
        let port = match sandbox {
            As::Unreachable => std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(),
            As::Works | As::Refused => self.sandbox.http2_address().port(),
        };
        format!(
            "data = \"data\"\n[api]\nlisten = \"127.0.0.1:0\"\n[provider_api]\nlisten = \"127.0.0.1:0\"\n{}\
             [apps.shop]\nenvironment = \"{environment}\"\ntopic = \"com.example.app\"\nca = \"ca.pem\"\n\
             team_id = \"{}\"\n{more}\n\
             [apps.shop.production]\nsigning_key = \"production/AuthKey_SIMULATOR0.p8\"\nkey_id = \"{}\"\n\
             host = \"localhost\"\nport = {}\n\
             [apps.shop.sandbox]\nsigning_key = \"{key}/AuthKey_SIMULATOR0.p8\"\nkey_id = \"{}\"\n\
             host = \"localhost\"\nport = {port}\n",
            self.store,
            self.production.team_id(),
            self.production.key_id(),
            self.production.http2_address().port(),
            of.key_id(),
        )
    }

    fn config(&self, environment: &str, sandbox: As, more: &str) -> Config {
        Config::parse(&self.text(environment, sandbox, more), self.folder.path()).unwrap()
    }

    async fn service(&self, environment: &str, sandbox: As, more: &str) -> Service {
        Service::start(&self.config(environment, sandbox, more)).await.unwrap()
    }

    /// How often each token was answered with BadDeviceToken, in both environments.
    fn refused(&self) -> BTreeMap<Vec<u8>, usize> {
        let mut refused = BTreeMap::new();
        for request in self.production.requests().into_iter().chain(self.sandbox.requests()) {
            if request.reason.as_deref() == Some("BadDeviceToken") {
                *refused.entry(request.token.unwrap().to_vec()).or_default() += 1;
            }
        }
        refused
    }
}

fn accepted(requests: &[RequestRecord]) -> usize {
    requests.iter().filter(|request| request.status == Some(200)).count()
}

async fn submit(service: &Service, submissions: Vec<Submission>) -> Vec<NotificationId> {
    service.submit(&shop(), submissions).await.unwrap().into_iter().map(|accepted| accepted.id).collect()
}

async fn outcomes(service: &Service, ids: &[NotificationId]) -> Vec<OutcomeRecord> {
    let records = service.wait_all(ids, SOON).await.unwrap();
    records.into_iter().map(|record| record.expect("each ends")).collect()
}

/// Where each notification to these homes has to end.
fn check_all_delivered(homes: &[u8], records: &[OutcomeRecord]) {
    for (home, record) in homes.iter().zip(records) {
        let environment = if *home == SANDBOX { "sandbox" } else { "production" };
        assert!(record.is_accepted(), "{record:?}");
        assert_eq!(record.environment.as_deref(), Some(environment), "{record:?}");
    }
}

async fn a_thousand_of_each(two: &Two) {
    const EACH: u32 = 1000;
    let service = two.service("auto", As::Works, "wrong_probes = 1500").await;
    let homes: Vec<u8> = (0..2 * EACH).map(|number| if number % 2 == 0 { PRODUCTION } else { SANDBOX }).collect();
    let all = || homes.iter().zip(0..).map(|(home, number)| to(*home, number, None)).collect::<Vec<_>>();
    let records = outcomes(&service, &submit(&service, all()).await).await;
    check_all_delivered(&homes, &records);
    let refused = two.refused();
    assert!(refused.values().all(|count| *count == 1), "one wrong probe for each token at most");
    assert!(refused.len() < 1500, "{}", refused.len());
    assert_eq!(service.snapshot(&shop()).unwrap().probes.wrong, refused.len() as u64);
    for record in &records {
        let probed = record.tries.attempts - 1;
        assert!(probed <= 1 && record.tries.retries == 0 && record.tries.replays == 0, "{record:?}");
    }

    // What was learned holds.
    let records = outcomes(&service, &submit(&service, all()).await).await;
    check_all_delivered(&homes, &records);
    assert_eq!(two.refused().len(), refused.len());
    assert!(records.iter().all(|record| record.tries.attempts == 1));
    for simulator in [&two.production, &two.sandbox] {
        assert_eq!(accepted(&simulator.requests()), 2 * EACH as usize, "each once");
    }
    let gone = service.invalid_tokens(&shop(), &Cursor::default(), WallTime::EPOCH, 10).await.unwrap();
    assert_eq!(gone.tokens, [], "a token of the other environment is not dead");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tokens_of_each_environment_are_delivered_with_one_wrong_probe_at_most() {
    a_thousand_of_each(&Two::new().await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tokens_of_each_environment_are_delivered_out_of_a_database() {
    let Some(two) = Two::in_a_database().await else { return };
    a_thousand_of_each(&two).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_to_one_token_come_in_their_order_and_ask_once() {
    let two = Two::new().await;
    let service = two.service("production", As::Works, "").await;
    let numbered = |number: u64| {
        let payload = Payload::from_json(json!({"aps": {"alert": "Tea"}, "number": number}).to_string()).unwrap();
        Submission { environment: AUTO, ..Notification::new(token(SANDBOX, 1), payload).into() }
    };
    let ids = submit(&service, (0..50).map(numbered).collect()).await;
    check_all_delivered(&[SANDBOX; 50], &outcomes(&service, &ids).await);
    let number =
        |request: &RequestRecord| serde_json::from_slice::<Value>(&request.payload).unwrap()["number"].as_u64();
    let arrived: Vec<u64> = two.sandbox.requests().iter().filter_map(number).collect();
    assert_eq!(arrived, (0..50).collect::<Vec<_>>());
    assert_eq!(two.production.requests().len(), 1);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_goes_there_and_nowhere_else() {
    let two = Two::new().await;
    let service = two.service("production", As::Works, "").await;
    let (production, sandbox) = (Some(EnvironmentChoice::Production), Some(EnvironmentChoice::Sandbox));
    let all = vec![
        to(PRODUCTION, 1, None),
        to(PRODUCTION, 2, production),
        to(SANDBOX, 3, sandbox),
        to(SANDBOX, 4, production),
    ];
    let records = outcomes(&service, &submit(&service, all).await).await;
    check_all_delivered(&[PRODUCTION, PRODUCTION, SANDBOX], &records[..3]);
    assert_eq!(records[3].reason.as_deref(), Some("BadDeviceToken"), "its caller named the environment");
    assert_eq!((two.production.requests().len(), two.sandbox.requests().len()), (3, 1));
    service.stop(SOON).await;

    // An app without a credential for it says so at once.
    let mut config = two.config("production", As::Works, "");
    config.apps.get_mut(&shop()).unwrap().sandbox = None;
    config.data = two.folder.path().join("other");
    let service = Service::start(&config).await.unwrap();
    for (choice, word) in [(sandbox, "sandbox"), (AUTO, "both environments")] {
        let refused = service.submit(&shop(), vec![to(SANDBOX, 1, choice)]).await.unwrap_err();
        assert!(matches!(refused, SubmitError::Environment { index: 0, .. }), "{refused:?}");
        assert!(refused.to_string().contains(word), "{refused}");
    }
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_dead_when_both_said_so_or_when_the_one_that_knows_it_does() {
    let gone = json!({"http2": {"unregistered": [
        {"token": token(SANDBOX, 7).to_hex(), "timestamp_ms": 1_700_000_000_123_u64}
    ]}});
    let two = Two::with_scripts(json!({}), gone).await;
    let service = two.service("auto", As::Works, "").await;
    let ids = submit(&service, vec![to(NEITHER, 1, None), to(SANDBOX, 7, None), to(SANDBOX, 8, None)]).await;
    let records = outcomes(&service, &ids).await;
    let [nowhere, unregistered, alive] = &records[..] else { panic!() };
    assert_eq!((nowhere.reason.as_deref(), nowhere.token.as_deref()), (Some("BadDeviceToken"), Some("drop")));
    assert!(nowhere.detail.as_deref().unwrap().contains("Neither production nor the sandbox"), "{nowhere:?}");
    assert_eq!(nowhere.tries.attempts, 2);
    // That is an answer of the environment that knows the token: the other one is not asked to confirm it.
    assert_eq!((unregistered.status, unregistered.gone_since), (Some(410), Some(1_700_000_000_123)));
    assert_eq!(unregistered.environment.as_deref(), Some("sandbox"));
    check_all_delivered(&[SANDBOX], std::slice::from_ref(alive));
    let gone = service.invalid_tokens(&shop(), &Cursor::default(), WallTime::EPOCH, 10).await.unwrap().tokens;
    let mut gone: Vec<DeviceToken> = gone.into_iter().map(|gone| gone.token).collect();
    gone.sort();
    assert_eq!(gone, [token(SANDBOX, 7), token(NEITHER, 1)]);
    let asked = |simulator: &Simulator, token: &DeviceToken| {
        let of = |request: &RequestRecord| request.token.as_deref() == Some(token.as_bytes());
        simulator.requests().iter().filter(|request| of(request)).count()
    };
    for simulator in [&two.production, &two.sandbox] {
        assert_eq!(asked(simulator, &token(NEITHER, 1)), 1);
    }
    // Once more: one environment is enough now, because the other one's word is remembered.
    let again = submit(&service, vec![to(NEITHER, 1, None)]).await;
    assert_eq!(outcomes(&service, &again).await[0].reason.as_deref(), Some("BadDeviceToken"));
    assert_eq!(two.refused()[token(NEITHER, 1).as_bytes()], 3);
    service.stop(SOON).await;
}

async fn what_exceeds_the_bound_waits(two: &Two) {
    let service = two.service("auto", As::Works, "wrong_probes = 5").await;
    // A known one of each.
    let known = submit(&service, vec![to(PRODUCTION, 1, None), to(SANDBOX, 1, Some(EnvironmentChoice::Sandbox))]).await;
    check_all_delivered(&[PRODUCTION, SANDBOX], &outcomes(&service, &known).await);
    let learn = submit(&service, vec![to(SANDBOX, 1, None)]).await;
    outcomes(&service, &learn).await;
    let wrong = |service: &Service| service.snapshot(&shop()).unwrap().probes.wrong;
    let before = wrong(&service);
    let unknown = submit(&service, (100..140).map(|number| to(SANDBOX, number, None)).collect()).await;
    until("the bound is reached", async || service.snapshot(&shop()).unwrap().probes.waits).await;
    assert!(before <= 1);
    assert_eq!((wrong(&service), two.refused().len()), (5, 5));

    // Whatever need not be guessed passes by.
    let pass = vec![
        to(PRODUCTION, 1, None),
        to(SANDBOX, 1, None),
        to(SANDBOX, 200, Some(EnvironmentChoice::Sandbox)),
        to(PRODUCTION, 200, Some(EnvironmentChoice::Production)),
    ];
    let records = outcomes(&service, &submit(&service, pass).await).await;
    check_all_delivered(&[PRODUCTION, SANDBOX, SANDBOX, PRODUCTION], &records);
    let snapshot = service.snapshot(&shop()).unwrap();
    assert!(snapshot.probes.waits && snapshot.probes.held >= 35, "{:?}", snapshot.probes);
    let done: usize = 5 - usize::try_from(before).unwrap();
    until("those that were asked for are delivered", async || {
        let ended = service.wait_all(&unknown, Duration::ZERO).await.unwrap();
        ended.iter().flatten().count() == done
    })
    .await;
    assert_eq!(service.counts(&shop()).await.unwrap().waiting, 40 - done as u64, "none is thrown away");
    assert_eq!(two.refused().len(), 5);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_the_bound_of_wrong_probes_waits_and_is_in_nobodys_way() {
    what_exceeds_the_bound_waits(&Two::new().await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_the_bound_of_wrong_probes_waits_in_a_database() {
    let Some(two) = Two::in_a_database().await else { return };
    what_exceeds_the_bound_waits(&two).await;
}

/// The second of two unknown tokens waits for a guess, is refused for the time being when its turn comes, and waits again.
async fn what_waits_for_a_guess_is_looked_at_again(store: Option<Two>) {
    let again = json!({"http2": {"rules": [
        {"when": {"token": token(PRODUCTION, 1).to_hex()}, "then": [{"wait_ms": 500}, "answer"]},
        {
            "when": {"token": token(PRODUCTION, 2).to_hex()}, "times": 1,
            "then": [{"answer_with": {"status": 503, "reason": "ServiceUnavailable", "retry_after": "1"}}]
        }
    ]}});
    let store = store.map(|two| two.store).unwrap_or_default();
    let two = Two { store, ..Two::with_scripts(again, json!({})).await };
    let service = two.service("auto", As::Works, "wrong_probes = 1").await;
    // The service takes one at a time before its first answer.
    let first = submit(&service, vec![to(PRODUCTION, 0, None)]).await;
    outcomes(&service, &first).await;
    let ids = submit(&service, vec![to(PRODUCTION, 1, None), to(PRODUCTION, 2, None)]).await;
    let records = outcomes(&service, &ids).await;
    check_all_delivered(&[PRODUCTION; 2], &records);
    assert_eq!(records[1].tries.retries, 1, "{:?}", records[1]);
    let probes = service.snapshot(&shop()).unwrap().probes;
    assert!(probes.held >= 1 && !probes.waits, "{probes:?}");
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_guess_is_looked_at_when_its_time_comes() {
    what_waits_for_a_guess_is_looked_at_again(None).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_guess_is_looked_at_when_its_time_comes_in_a_database() {
    let Some(two) = Two::in_a_database().await else { return };
    what_waits_for_a_guess_is_looked_at_again(Some(two)).await;
}

/// What goes to production is delivered while the sandbox takes nothing; what must go to the sandbox waits until it does.
async fn trouble_in_the_sandbox(two: &Two, trouble: As) {
    let service = two.service("auto", trouble, "").await;
    let homes: Vec<u8> = (0..60).map(|number| if number % 2 == 0 { PRODUCTION } else { SANDBOX }).collect();
    let ids = submit(&service, homes.iter().zip(0..).map(|(home, number)| to(*home, number, None)).collect()).await;
    let named =
        submit(&service, (100..400).map(|number| to(SANDBOX, number, Some(EnvironmentChoice::Sandbox))).collect())
            .await;
    let of = |home: u8| -> Vec<NotificationId> {
        ids.iter().zip(&homes).filter(|(_, of)| **of == home).map(|(id, _)| *id).collect()
    };
    check_all_delivered(&[PRODUCTION; 30], &outcomes(&service, &of(PRODUCTION)).await);
    let bad = |health: &Health| match trouble {
        As::Refused => matches!(health, Health::Failing { .. }),
        As::Unreachable => matches!(health, Health::NoConnection { .. }),
        As::Works => false,
    };
    until("the sandbox is told of", async || {
        let info = service.info(&shop()).unwrap();
        info.environments[0].health == Health::Working && bad(&info.environments[1].health)
    })
    .await;
    let info = service.info(&shop()).unwrap();
    assert!(bad(&info.health) && info.health.why().unwrap().starts_with("sandbox: "), "{:?}", info.health);
    // Others still pass.
    let more = submit(&service, (500..520).map(|number| to(PRODUCTION, number, None)).collect()).await;
    check_all_delivered(&[PRODUCTION; 20], &outcomes(&service, &more).await);
    if trouble == As::Unreachable {
        let once = |home: u8, environment| {
            let submission = to(home, 900, Some(environment));
            let notification = submission.notification.clone().with_expiration(Expiration::Immediately);
            Submission { notification, ..submission }
        };
        let once = vec![once(SANDBOX, EnvironmentChoice::Sandbox), once(PRODUCTION, EnvironmentChoice::Production)];
        let ends = outcomes(&service, &submit(&service, once).await).await;
        assert_eq!(ends.iter().map(|end| &*end.outcome).collect::<Vec<_>>(), ["expired", "accepted"]);
    }
    let waiting = service.counts(&shop()).await.unwrap();
    assert_eq!(waiting.waiting + waiting.in_flight, 330, "{waiting:?}");

    let mut mended = two.config("auto", As::Works, "");
    mended.data = two.config("auto", trouble, "").data;
    service.reload(&mended).await.unwrap();
    check_all_delivered(&[SANDBOX; 30], &outcomes(&service, &of(SANDBOX)).await);
    check_all_delivered(&[SANDBOX; 300], &outcomes(&service, &named).await);
    assert!(two.refused().values().all(|count| *count <= 1), "{:?}", two.refused());
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_sandbox_refuses_holds_up_what_goes_there_alone() {
    trouble_in_the_sandbox(&Two::new().await, As::Refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_cannot_be_reached_holds_up_what_goes_there_alone() {
    trouble_in_the_sandbox(&Two::new().await, As::Unreachable).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_sandbox_refuses_holds_up_what_goes_there_alone_in_a_database() {
    let Some(two) = Two::in_a_database().await else { return };
    trouble_in_the_sandbox(&two, As::Refused).await;
}

/// What waits for an environment without a credential waits on, and the app's health says so until it has one, or nothing waits.
async fn an_environment_is_taken_away(two: &Two) {
    let service = two.service("production", As::Works, "").await;
    let both = two.config("production", As::Works, "");
    let mut single = both.clone();
    single.apps.get_mut(&shop()).unwrap().sandbox = None;
    let stranded = || {
        let health = service.info(&shop()).unwrap().health;
        let failing = service.failing().into_iter().any(|(app, _)| app == shop());
        let says = matches!(&health, Health::Failing { why } if why.contains("sandbox") && why.contains("purge"));
        assert_eq!(failing, says, "{health:?}");
        says
    };
    let works = async || until("it works", async || service.info(&shop()).unwrap().health == Health::Working).await;

    // What is found to be for it.
    service.pause(&shop(), None).await.unwrap();
    let auto = submit(&service, vec![to(SANDBOX, 1, AUTO)]).await;
    service.reload(&single).await.unwrap();
    service.resume(&shop()).await.unwrap();
    until("what is found to be for the sandbox is told of", async || stranded()).await;
    let others = submit(&service, vec![to(PRODUCTION, 2, None)]).await;
    check_all_delivered(&[PRODUCTION], &outcomes(&service, &others).await);
    assert!(stranded());
    assert_eq!((service.counts(&shop()).await.unwrap().waiting, two.refused().len()), (1, 1));
    let gone = service.invalid_tokens(&shop(), &Cursor::default(), WallTime::EPOCH, 10).await.unwrap();
    assert_eq!(gone.tokens, [], "one environment's word is not enough");
    service.reload(&both).await.unwrap();
    check_all_delivered(&[SANDBOX], &outcomes(&service, &auto).await);
    works().await;

    // What waited for it before.
    service.pause(&shop(), None).await.unwrap();
    let named = submit(&service, vec![to(SANDBOX, 3, Some(EnvironmentChoice::Sandbox))]).await;
    service.reload(&single).await.unwrap();
    until("what is named for the sandbox is told of", async || stranded()).await;
    service.purge(&shop(), Selection::default()).await.unwrap();
    assert_eq!(outcomes(&service, &named).await[0].outcome, "not_sent");
    service.resume(&shop()).await.unwrap();
    until("nothing waits in vain", async || !stranded()).await;
    let others = submit(&service, vec![to(PRODUCTION, 4, None)]).await;
    check_all_delivered(&[PRODUCTION], &outcomes(&service, &others).await);
    works().await;
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_environment_that_was_taken_away_is_told_of() {
    an_environment_is_taken_away(&Two::new().await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_environment_that_was_taken_away_is_told_of_in_a_database() {
    let Some(two) = Two::in_a_database().await else { return };
    an_environment_is_taken_away(&two).await;
}

/// What moves from the sandbox to production while a purge is on its way there has an earlier route than before.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_misses_nothing_that_moves_to_the_other_environment() {
    const MANY: u32 = 3000;
    let two = Two::new().await;
    let config = two.config("auto", As::Works, "");
    let outbox = Arc::new(Flaky::never(&config));
    let service = Service::start_with(&config, outbox.clone()).await.unwrap();
    service.pause(&shop(), None).await.unwrap();
    let now = WallTime::from(std::time::SystemTime::now());
    let on = |number: u32, environment| NewEntry {
        notification: Notification::new(token(PRODUCTION, number), Payload::alert("Tea is ready")),
        idempotency_key: None,
        digest: None,
        tag: None,
        at: now,
        send_at: None,
        route: Route::Found(environment),
    };
    let mut entries: Vec<NewEntry> = (0..MANY).map(|number| on(number, Environment::Production)).collect();
    entries.push(on(MANY, Environment::Sandbox));
    outbox.accept(&shop(), entries).await.unwrap();

    outbox.walks_held.store(1, Ordering::SeqCst);
    let purging = {
        let service = service.clone();
        tokio::spawn(async move { service.purge(&shop(), Selection::default()).await.unwrap() })
    };
    until("it is in the midst of production", async || outbox.walks_held.load(Ordering::SeqCst) == 0).await;
    let lane = outbox.works.clone().hold(&shop()).await.unwrap();
    let share = Share { routes: [Route::Found(Environment::Sandbox)].into(), limit: 9 };
    let claimed = lane.claim_from(vec![share], now).await.unwrap().entries;
    let [moves] = &claimed[..] else { panic!("{claimed:?}") };
    let due = WallTime::from_millis(now.as_millis() - 1000);
    let route = Route::Found(Environment::Production);
    let moved = Postponement { id: moves.id, due, route, tries: moves.tries, claim: moves.claim };
    lane.change(vec![Change::Postpone(moved)]).await.unwrap();
    outbox.gate.add_permits(1);
    let purged = purging.await.unwrap();
    assert_eq!((purged.purged, service.counts(&shop()).await.unwrap().waiting), (u64::from(MANY) + 1, 0));
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_name_the_environment_and_are_told_which_one_answered() {
    let two = Two::new().await;
    let daemon = Daemon::start(two.config("auto", As::Works, "")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let send = async |environment: &str, home: u8| {
        let body =
            json!({"token": token(home, 5).to_hex(), "payload": {"aps": {"alert": "Tea"}}, "environment": environment});
        let path = "/v1/apps/shop/notifications?wait=30s";
        call(api, "POST", path, "content-type: application/json\r\n", &body.to_string()).await
    };
    for (word, home, answered) in [
        ("auto", PRODUCTION, "production"),
        ("auto", SANDBOX, "sandbox"),
        ("development", SANDBOX, "sandbox"),
        ("sandbox", SANDBOX, "sandbox"),
        ("production", PRODUCTION, "production"),
    ] {
        let told = send(word, home).await;
        assert_eq!(told.status, 200, "{told:?}");
        let told = told.json();
        assert_eq!(
            (&told["outcome"]["outcome"], &told["outcome"]["environment"]),
            (&json!("accepted"), &json!(answered))
        );
    }
    let odd = send("live", SANDBOX).await;
    assert_eq!((odd.status, &odd.json()["errors"][0]["field"]), (422, &json!("environment")), "{odd:?}");

    // The same key with another environment is another notification.
    let keyed = async |environment: &str| {
        let body = json!({"token": token(SANDBOX, 6).to_hex(), "payload": {"aps": {"alert": "Tea"}},
            "environment": environment, "idempotency_key": "order 17"});
        call(api, "POST", "/v1/apps/shop/notifications", "content-type: application/json\r\n", &body.to_string()).await
    };
    let first = keyed("sandbox").await;
    assert_eq!((first.status, keyed("sandbox").await.json()["duplicate"].clone()), (202, json!(true)));
    assert_eq!(keyed("production").await.status, 422);

    let app = get(api, "/v1/apps/shop").await.json();
    assert_eq!((&app["environment"], &app["health"]), (&json!("auto"), &json!("working")), "{app}");
    let words: Vec<_> =
        app["environments"].as_array().unwrap().iter().map(|one| (&one["environment"], &one["health"])).collect();
    assert_eq!(words, [(&json!("production"), &json!("working")), (&json!("sandbox"), &json!("working"))]);
    let figures = get(api, "/metrics").await.body;
    for line in [
        "apnsd_environment_health{app=\"shop\",environment=\"sandbox\",state=\"working\"} 1",
        "apnsd_environment_connections{app=\"shop\",environment=\"production\"} 1",
        "apnsd_wrong_probes_total{app=\"shop\"} 1",
        "apnsd_probes_wait{app=\"shop\"} 0",
    ] {
        assert!(figures.contains(line), "{line}: {figures}");
    }
    let page = get(api, "/").await.body;
    assert!(page.contains(two.sandbox.key_id()) && page.contains("sandbox"), "{page}");

    // Apple's own interface: Apple's words, of the environment that decided.
    let door = daemon.address("provider_api.listen").unwrap();
    let push = async |home: u8, number: u32, environment: &str| {
        let path = format!("/3/device/{}", token(home, number).to_hex());
        let environment =
            if environment.is_empty() { String::new() } else { format!("apnsd-environment: {environment}\r\n") };
        call(door, "POST", &path, &format!("{}: {}\r\n{environment}", TOPIC.0, TOPIC.1), BODY).await
    };
    for (home, number, environment, status) in [
        (SANDBOX, 11, "", 200),
        (PRODUCTION, 11, "auto", 200),
        (NEITHER, 11, "", 400),
        (SANDBOX, 12, "development", 200),
        (SANDBOX, 12, "production", 400),
        (SANDBOX, 12, "elsewhere", 400),
    ] {
        let told = push(home, number, environment).await;
        assert_eq!(told.status, status, "{home:x} {number} {environment}: {told:?}");
        if status == 400 {
            let reason = if environment == "elsewhere" { "BadEnvironment" } else { "BadDeviceToken" };
            assert_eq!(told.json()["reason"], reason);
        }
    }
    daemon.stop().await;
}

#[tokio::test]
async fn the_files_of_both_environments_are_looked_at() {
    let two = Two::new().await;
    let config = two.config("auto", As::Works, "");
    config.check_apps().unwrap();
    assert_eq!(config.apps[&shop()].of(Environment::Sandbox).unwrap().port, Some(two.sandbox.http2_address().port()));
    std::fs::write(two.folder.path().join("sandbox/AuthKey_SIMULATOR0.p8"), "no key").unwrap();
    let refused = config.check_apps().unwrap_err();
    assert_eq!(refused.field.as_deref(), Some("apps.shop.sandbox.signing_key"), "{refused}");
    for (text, field, what) in [
        ("environment = \"auto\"\nhost = \"localhost\"", "apps.shop.host", "for one environment"),
        ("environment = \"auto\"\ntransport = \"binary\"", "apps.shop.environment", "one environment"),
        ("environment = \"auto\"\nwrong_probes = 0", "apps.shop.wrong_probes", "from 1"),
        ("environment = \"production\"\n[apps.shop.sandbox]\nport = 0", "apps.shop.port", "65535"),
    ] {
        let key =
            format!("signing_key = \"production/AuthKey_SIMULATOR0.p8\"\nkey_id = \"{}\"\n", two.production.key_id());
        let text = format!("[apps.shop]\nteam_id = \"{}\"\n{key}{text}\n", two.production.team_id());
        let refused = Config::parse(&text, two.folder.path()).unwrap().check_apps().unwrap_err();
        assert_eq!(refused.field.as_deref(), Some(field), "{refused}");
        assert!(refused.problem.contains(what), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_app_of_the_document_sends_to_both() {
    let two = Two::new().await;
    let document = include_str!("../../../docs/daemon.md");
    let (_, section) = document.split_once("\n### Both environments\n").unwrap();
    let (_, block) = section.split_once("```toml\n").unwrap();
    let mut text = block.split_once("```").unwrap().0.to_owned();
    // What is a customer's own there is a simulator's here.
    let here = [
        ("ABCDE12345", two.production.key_id(), two.production.http2_address()),
        ("FGHIJ67890", two.sandbox.key_id(), two.sandbox.http2_address()),
    ];
    for ((written, key_id, address), name) in here.into_iter().zip(["production", "sandbox"]) {
        let file = format!("AuthKey_{written}.p8");
        assert!(text.contains(&file), "{text}");
        std::fs::copy(two.folder.path().join(name).join("AuthKey_SIMULATOR0.p8"), two.folder.path().join(&file))
            .unwrap();
        let (before, after) = (format!("key_id = \"{written}\""), format!("key_id = \"{key_id}\""));
        assert!(text.contains(&before), "{text}");
        let place = format!("{after}\nhost = \"localhost\"\nport = {}", address.port());
        text = text.replace(&before, &place);
    }
    text = text.replace("TEAM123456", two.production.team_id()).replace("com.example.shop", "com.example.app");
    text = text.replacen("[apps.shop]\n", "data = \"data\"\n[apps.shop]\nca = \"ca.pem\"\n", 1);
    let config = Config::parse(&text, two.folder.path()).unwrap();
    config.check_apps().unwrap();
    let service = Service::start(&config).await.unwrap();
    let ids = submit(&service, vec![to(PRODUCTION, 1, None), to(SANDBOX, 1, None)]).await;
    check_all_delivered(&[PRODUCTION, SANDBOX], &outcomes(&service, &ids).await);
    service.stop(SOON).await;
}

/// A channel is in one environment, and nobody can find out in which: where the app has no default, it has to be named.
#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_goes_to_the_environment_that_is_named_or_else_to_the_default() {
    let two = Two::new().await;
    let daemon = Daemon::start(two.config("auto", As::Works, "")).await.unwrap();
    let door = daemon.address("provider_api.listen").unwrap();
    for (default, environment, reason, asked) in [
        ("auto", "", "TopicDisallowed", [0, 0]),
        ("auto", "apnsd-environment: auto\r\n", "TopicDisallowed", [0, 0]),
        ("auto", "apnsd-environment: sandbox\r\n", "ChannelNotRegistered", [0, 1]),
        ("auto", "apnsd-environment: production\r\n", "ChannelNotRegistered", [1, 1]),
        ("production", "", "ChannelNotRegistered", [2, 1]),
        ("production", "apnsd-environment: sandbox\r\n", "ChannelNotRegistered", [2, 2]),
        ("production", "apnsd-environment: auto\r\n", "TopicDisallowed", [2, 2]),
        ("sandbox", "", "ChannelNotRegistered", [2, 3]),
    ] {
        daemon.reload(&two.config(default, As::Works, "")).await.unwrap();
        let headers = format!(
            "apns-channel-id: dHN0LXNyY2gtY2hubA==\r\napns-push-type: liveactivity\r\napns-expiration: 0\r\n\
             apns-priority: 10\r\n{environment}"
        );
        let told = call(door, "POST", "/4/broadcasts/apps/com.example.app", &headers, BODY).await;
        assert_eq!((told.status, &told.json()["reason"]), (400, &json!(reason)), "{default}, {environment}: {told:?}");
        assert_eq!([&two.production, &two.sandbox].map(|one| one.requests().len()), asked, "{default}, {environment}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_names_what_the_app_lacks_stops_no_other() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let far = WallTime::from(std::time::SystemTime::now()).as_millis() + 400 * 24 * 60 * 60 * 1000;
    let line = |number: u32, more: Value| {
        let mut line = json!({"token": token(SANDBOX, number).to_hex(), "payload": {"aps": {"alert": "Tea"}}});
        line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        line.to_string() + "\n"
    };
    let lines = [
        line(1, json!({})),
        line(2, json!({"environment": "auto"})),
        line(3, json!({"environment": "production"})),
        line(4, json!({"send_at": far})),
        line(5, json!({"environment": "development"})),
    ];
    let head = "content-type: application/x-ndjson\r\n";
    let told = call(api, "POST", "/v1/apps/shop/notifications", head, &lines.concat()).await;
    let answers: Vec<Value> = told.body.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!(answers.last(), Some(&json!({"done": true, "accepted": 2, "refused": 3})), "{told:?}");
    for (line, field) in [(2, "environment"), (3, "environment"), (4, "send_at")] {
        let answer = answers.iter().find(|answer| answer["line"] == line).unwrap();
        assert!(answer["problem"]["errors"][0]["field"].as_str().unwrap().ends_with(field), "{answer}");
    }
    daemon.stop().await;
}
