//! Webhooks over real sockets: what a receiver is told, whatever it does meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apnsd::Daemon;
use apnsd::config::Config;
use apnsd::outbox::{Cursor, Outbox as _};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;

use crate::http::{call, get, post};
use crate::receiver::{Mode, Receiver, SECRET};
use crate::support::{SOON, World, shop, submit, until, until_some};

/// Writes the secret, and gives the table of a webhook named `crm` at this address.
fn table(world: &World, url: &str, more: &str) -> String {
    std::fs::write(world.folder.path().join("crm.secret"), format!("{SECRET}\n")).unwrap();
    format!(
        "[[webhook]]\nname = \"crm\"\nurl = \"{url}\"\nsecret_files = [\"crm.secret\"]\nallow = [\"127.0.0.0/8\"]\n\
         wait = \"20ms\"\n{more}\n"
    )
}

fn to(world: &World, receiver: &Receiver, more: &str) -> String {
    table(world, &format!("http://{}/hooks", receiver.address), more)
}

/// A certificate for `localhost`, with its authority in `hook-ca.pem`.
fn tls(world: &World) -> TlsAcceptor {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(world.folder.path().join("hook-ca.pem"), made.cert.pem()).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// How the webhook stands with the app `shop`.
async fn standing(daemon: &Daemon) -> Value {
    let all = get(daemon.address("api.listen").unwrap(), "/v1/webhooks").await.json();
    all[0]["apps"].as_array().unwrap().iter().find(|told| told["app"] == "shop").cloned().unwrap_or_default()
}

async fn test_event(daemon: &Daemon) -> Value {
    post(daemon.address("api.listen").unwrap(), "/v1/webhooks/crm/test", "{}").await.json()
}

/// Delivers so many, and gives the ids of all outcomes that the store has, in their order.
async fn deliver(daemon: &Daemon, count: u32) -> Vec<String> {
    let ids = submit(daemon.service(), count).await;
    let records = daemon.service().wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| record.is_accepted())), "{records:?}");
    in_order(daemon).await
}

async fn in_order(daemon: &Daemon) -> Vec<String> {
    let mut stream = daemon.service().outcomes(&shop(), Some(Cursor::default())).await.unwrap();
    let mut ids = Vec::new();
    while let Ok(next) = tokio::time::timeout(Duration::from_millis(100), stream.next()).await {
        ids.push(next.unwrap().unwrap().1.id.to_string());
    }
    ids
}

fn ids(outcomes: &[Value]) -> Vec<String> {
    outcomes.iter().map(|outcome| outcome["id"].as_str().unwrap().to_owned()).collect()
}

async fn has(receiver: &Receiver, expected: &[String]) {
    until("the receiver has them", async || receiver.outcomes().len() >= expected.len()).await;
    assert_eq!(ids(&receiver.outcomes()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_are_told_in_batches_signed_and_in_order() {
    let world = World::new().await;
    let receiver = Receiver::start(Some(tls(&world))).await;
    let url = format!("https://localhost:{}/hooks?key=1", receiver.address.port());
    let more = "ca = \"hook-ca.pem\"\nmax_batch = 40\n";
    let text = table(&world, &url, more).replace("[\"crm.secret\"]", "[\"other.secret\", \"crm.secret\"]");
    std::fs::write(world.folder.path().join("other.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    let all = deliver(&daemon, 250).await;
    has(&receiver, &all).await;
    let taken = receiver.state.taken.lock().clone();
    assert!(taken.len() >= 7 && taken.len() < 100, "{} batches", taken.len());
    let mut after = json!("0");
    for one in &taken {
        assert_eq!((one.signatures, &one.event["type"]), (2, &json!("outcomes")), "{one:?}");
        let data = &one.event["data"];
        assert_eq!((&data["webhook"], &data["app"], &data["after"]), (&json!("crm"), &json!("shop"), &after));
        assert!(data["outcomes"].as_array().unwrap().len() <= 40 && data.get("forgotten_up_to").is_none());
        after = data["next"].clone();
    }
    let names: std::collections::BTreeSet<&str> = taken.iter().map(|one| &*one.id).collect();
    assert_eq!(names.len(), taken.len(), "each has a name of its own");
    assert_eq!(receiver.state.connections.load(Ordering::SeqCst), 1, "one connection is used for all");
    // What stands where the daemon is asked.
    let api = daemon.address("api.listen").unwrap();
    until("its place is kept", async || standing(&daemon).await["behind"] == 0).await;
    let shown = get(api, "/v1/webhooks").await.json();
    assert_eq!(shown[0]["url"], format!("https://localhost:{}/hooks", receiver.address.port()), "without the query");
    assert_eq!(standing(&daemon).await["state"], "working", "{shown}");
    let metrics = get(api, "/metrics").await.body;
    for line in [
        "apnsd_webhook_outcomes_total{webhook=\"crm\",app=\"shop\"} 250\n",
        "apnsd_webhook_behind{webhook=\"crm\",app=\"shop\"} 0\n",
        "apnsd_webhook_state{webhook=\"crm\",app=\"shop\",state=\"working\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let page = get(api, "/").await.body;
    assert!(page.contains("<h2>Webhooks</h2>") && !page.contains("key=1"), "{page}");
    daemon.stop().await;
}

/// Whatever a receiver does, delivery goes on, health says what is wrong, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_comes_back_is_told_what_it_missed() {
    let world = World::new().await;
    let (receiver, elsewhere) = (Receiver::start(None).await, Receiver::start(None).await);
    let location: &'static str = Box::leak(format!("http://{}/", elsewhere.address).into_boxed_str());
    let headers: &'static [_] = Box::leak(Box::new([("location", location)]));
    let text = to(&world, &receiver, "answer_within = \"300ms\"\n");
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let mut expected = Vec::new();
    for (mode, kind, why) in [
        (
            Mode::Refuse(503, &[("retry-after", "3000")], "busy\n\u{1b}[2J"),
            "status",
            "it answers 503: busy\\n\\u{1b}[2J",
        ),
        (Mode::Hang, "timeout", "no answer came within 0.3 s"),
        (Mode::Slow(Duration::from_secs(20)), "timeout", "no answer came within 0.3 s"),
        (Mode::Cut, "cut", "the connection ended without an answer"),
        (Mode::Refuse(307, headers, ""), "redirect", "redirects are not followed"),
        (Mode::Refuse(410, &[], ""), "gone", "410 (gone)"),
    ] {
        let told_again = matches!(mode, Mode::Slow(_));
        receiver.set(mode.clone());
        let before = expected.len();
        expected = deliver(&daemon, 30).await;
        assert_eq!(expected.len(), before + 30, "delivery does not wait for the receiver: {mode:?}");
        let found = until_some("it fails", async || {
            standing(&daemon).await["why"].as_str().filter(|found| found.contains(why)).map(str::to_owned)
        });
        let found = found.await;
        assert!(!found.contains('\n') && !found.contains('\u{1b}'), "{found}");
        let ready = get(api, "/readyz").await;
        assert_eq!((ready.status, &ready.json()["failing_webhooks"][0]["webhook"]), (200, &json!("crm")), "{ready:?}");
        assert!(get(api, "/").await.body.contains("is not told the outcomes of"));
        let counted = format!("apnsd_webhook_failures_total{{webhook=\"crm\",app=\"shop\",kind=\"{kind}\"}}");
        assert!(get(api, "/metrics").await.body.contains(&counted), "{kind}");
        let failed = test_event(&daemon).await;
        assert!(failed["delivered"] == false && failed["why"].as_str().unwrap().contains(why), "{failed}");
        // It works again, and is tried at once.
        receiver.set(Mode::Take);
        assert_eq!(test_event(&daemon).await, json!({"delivered": true, "status": 204}));
        until("all is told", async || standing(&daemon).await["behind"] == 0).await;
        let told = ids(&receiver.outcomes());
        if told_again {
            // It took a batch and did not say so in time.
            let mut once = told.clone();
            once.dedup_by_key(|id| expected.iter().position(|one| one == id));
            let distinct: std::collections::BTreeSet<&String> = told.iter().collect();
            assert!(told.len() > expected.len() && distinct.len() == expected.len(), "{}", told.len());
            receiver.state.taken.lock().clear();
            let batch = json!({"data": {"outcomes": expected.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()}});
            let told = crate::receiver::Taken { id: String::new(), signatures: 1, event: batch };
            receiver.state.taken.lock().push(told);
        } else {
            assert_eq!(told, expected, "{mode:?}");
        }
        assert_eq!(standing(&daemon).await["state"], "working");
    }
    assert_eq!(elsewhere.state.connections.load(Ordering::SeqCst), 0, "nobody follows a redirect");
    assert_eq!(post(api, "/v1/webhooks/nobody/test", "{}").await.problem(), "#unknown-webhook");
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    assert_eq!(call(api, "POST", "/v1/webhooks/crm/test", form, "").await.status, 415);
    daemon.stop().await;
}

/// The query of the URL may be a secret. A receiver that says it back makes it known to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_says_of_the_query_is_shown_nowhere() {
    let world = World::new().await;
    let receiver = Receiver::start(None).await;
    let text = table(&world, &format!("http://{}/apns?key=hunter2", receiver.address), "");
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    for (mode, expected) in [
        (
            Mode::Refuse(301, &[("location", "https://me:hunter3@www.example.com/apns?key=hunter2")], ""),
            "a redirect to https://www.example.com/apns: redirects",
        ),
        (Mode::Refuse(302, &[("location", "/login/apns%3Fkey%3Dhunter2")], ""), "a redirect to /login/apns%3Fkey%3D…:"),
        (Mode::Refuse(404, &[], "Cannot POST /apns?key=hunter2, as hunter2 is wrong"), "/apns?…, as … is wrong"),
    ] {
        receiver.set(mode);
        deliver(&daemon, 1).await;
        let tested = test_event(&daemon).await;
        assert!(tested["why"].as_str().unwrap().contains(expected), "{tested}");
        until("it is tried", async || {
            daemon.service().webhooks().iter().any(|hook| hook.state.why().is_some_and(|why| why.contains(expected)))
        })
        .await;
        for path in ["/readyz", "/v1/webhooks", "/"] {
            let shown = get(api, path).await.body;
            assert!(shown.contains("it answers") && !shown.contains("hunter"), "{path}: {shown}");
        }
        receiver.set(Mode::Take);
        assert_eq!(test_event(&daemon).await["delivered"], true);
        until("all is told", async || standing(&daemon).await["behind"] == 0).await;
    }
    daemon.stop().await;
}

/// A name may lead anywhere: the address decides, and nothing is sent to one that nobody named.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_named_is_not_connected_to() {
    let world = World::new().await;
    let receiver = Receiver::start(Some(tls(&world))).await;
    for origin in
        ["https://127.0.0.1", "https://localhost", "https://[::ffff:127.0.0.1]", "http://localhost", "http://0x7f.1"]
    {
        let url = format!("{origin}:{}/", receiver.address.port());
        let text = table(&world, &url, "ca = \"hook-ca.pem\"").replace("allow = [\"127.0.0.0/8\"]", "allow = []");
        let daemon = Daemon::start(world.config(&text)).await.unwrap();
        let answer = test_event(&daemon).await;
        let why = answer["why"].as_str().unwrap();
        assert!(why.contains("not a public address") || why.contains("cannot be resolved"), "{origin}: {why}");
        daemon.stop().await;
        std::fs::remove_dir_all(world.folder.path().join("data")).unwrap();
    }
    assert_eq!(receiver.state.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_has_to_show_a_certificate_that_is_trusted() {
    let world = World::new().await;
    let receiver = Receiver::start(Some(tls(&world))).await;
    let url = format!("https://localhost:{}/", receiver.address.port());
    // The authority of somebody else.
    let daemon = Daemon::start(world.config(&table(&world, &url, "ca = \"ca.pem\""))).await.unwrap();
    let answer = test_event(&daemon).await;
    assert!(answer["why"].as_str().unwrap().starts_with("TLS: localhost is not trusted"), "{answer}");
    daemon.stop().await;
    assert_eq!(receiver.state.asked.load(Ordering::SeqCst), 0);
}

/// The place of a webhook outlives restarts and the absence of its table; one that is new begins where it is told to.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_goes_on_where_it_was() {
    let world = World::new().await;
    let receiver = Receiver::start(None).await;
    let text = to(&world, &receiver, "");
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let first = deliver(&daemon, 5).await;
    // A file that is read again brings it, with the outcomes that come from now on.
    daemon.reload(&world.config(&text)).await.unwrap();
    until("it is there", async || standing(&daemon).await["behind"] == 0).await;
    let all = deliver(&daemon, 5).await;
    has(&receiver, &all[5..]).await;
    // It is taken out for a while, also over a restart.
    daemon.reload(&world.config("")).await.unwrap();
    assert_eq!(get(daemon.address("api.listen").unwrap(), "/v1/webhooks").await.json(), json!([]));
    deliver(&daemon, 5).await;
    daemon.stop().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let all = deliver(&daemon, 5).await;
    daemon.stop().await;
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    has(&receiver, &all[5..]).await;
    // Under another name it is new.
    let other = Receiver::start(None).await;
    let renamed = to(&world, &other, "from = \"beginning\"\n").replace("\"crm\"", "\"other\"");
    daemon.reload(&world.config(&renamed)).await.unwrap();
    has(&other, &all).await;
    assert_eq!(first, all[..5]);
    // A filter holds from when it is read on.
    let filtered = renamed.replace("from =", "only = \"failures\"\nfrom =");
    daemon.reload(&world.config(&filtered)).await.unwrap();
    let all = deliver(&daemon, 5).await;
    until("they are passed over", async || standing(&daemon).await["behind"] == 0).await;
    assert_eq!(other.outcomes().len(), all.len() - 5);
    daemon.stop().await;
}

/// Who was away for longer than outcomes are kept is told that some are gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_before_it_was_told_is_said() {
    let world = World::new().await;
    let receiver = Receiver::start(None).await;
    let outbox = "[outbox]\nkeep_outcomes = \"1ms\"\n";
    let text = to(&world, &receiver, "");
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    let all = deliver(&daemon, 4).await;
    has(&receiver, &all).await;
    daemon.reload(&world.config("")).await.unwrap();
    deliver(&daemon, 4).await;
    daemon.stop().await;
    // They are forgotten while nobody asks for them.
    let daemon = Daemon::start(world.config(outbox)).await.unwrap();
    until("they are forgotten", async || in_order(&daemon).await.is_empty()).await;
    daemon.reload(&world.config(&text)).await.unwrap();
    let told = until_some("it is told", async || {
        receiver.state.taken.lock().iter().find(|one| one.event["data"].get("forgotten_up_to").is_some()).cloned()
    });
    let told = told.await;
    let data = &told.event["data"];
    assert_eq!((&data["forgotten_up_to"], &data["outcomes"]), (&data["next"], &json!([])), "{told:?}");
    let api = daemon.address("api.listen").unwrap();
    until("it is counted", async || {
        get(api, "/metrics").await.body.contains("apnsd_webhook_gaps_total{webhook=\"crm\",app=\"shop\"} 1\n")
    })
    .await;
    assert_eq!(
        receiver.state.taken.lock().iter().filter(|one| one.event["data"]["forgotten_up_to"] != Value::Null).count(),
        1
    );
    daemon.stop().await;
}

/// The last outcomes of an app are told that was removed, and those of one that is new from its first on.
#[tokio::test(flavor = "multi_thread")]
async fn apps_come_and_go() {
    let world = World::new().await;
    let receiver = Receiver::start(None).await;
    let text = to(&world, &receiver, "");
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let definition = json!({"environment": "sandbox", "signing_key": world.folder.path().join("AuthKey_SIMULATOR0.p8"),
        "key_id": world.simulator.key_id(), "team_id": world.simulator.team_id(), "topic": "com.example.app",
        "host": "localhost", "port": world.simulator.http2_address().port(), "ca": world.folder.path().join("ca.pem")});
    let made = call(api, "PUT", "/v1/apps/fresh", "Content-Type: application/json\r\n", &definition.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let body =
        format!(r#"{{"token": "{}", "payload": {{"aps": {{"alert": "x"}}}}}}"#, crate::support::token(1).to_hex());
    let sent = post(api, "/v1/apps/fresh/notifications?wait=30s", &body).await.json();
    assert_eq!(sent["outcome"]["outcome"], "accepted", "{sent}");
    until("its first outcome is told", async || ids(&receiver.outcomes()) == [sent["id"].as_str().unwrap()]).await;
    receiver.set(Mode::Refuse(500, &[], ""));
    assert_eq!(post(api, "/v1/apps/fresh/pause", "{}").await.status, 200);
    let waits = post(api, "/v1/apps/fresh/notifications", &body).await.json();
    assert_eq!(call(api, "DELETE", "/v1/apps/fresh", "", "").await.status, 204);
    // Also by the next process.
    until("it was tried", async || receiver.state.asked.load(Ordering::SeqCst) > 1).await;
    daemon.stop().await;
    receiver.set(Mode::Take);
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    until("its last outcome is told", async || receiver.outcomes().len() == 2).await;
    let last = &receiver.outcomes()[1];
    assert_eq!((&last["id"], &last["outcome"], &last["app"]), (&waits["id"], &json!("not_sent"), &json!("fresh")));
    let api = daemon.address("api.listen").unwrap();
    until("nothing is left of it", async || {
        let shown = get(api, "/v1/webhooks").await.json();
        shown[0]["apps"].as_array().unwrap().iter().all(|told| told["app"] != "fresh")
    })
    .await;
    daemon.stop().await;
}

/// What is left of an app that was removed is told as the webhook is now: where it is now, and signed with what its files have
/// now. A secret that was withdrawn signs nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_an_app_goes_where_the_webhook_is_now() {
    // By the process that had the app, and by one that found something left of it.
    for anew in [false, true] {
        let world = World::new().await;
        let (old, receiver) = (Receiver::start(None).await, Receiver::start(None).await);
        old.set(Mode::Refuse(500, &[], ""));
        let text = to(&world, &old, "");
        let mut daemon = Daemon::start(world.config(&text)).await.unwrap();
        let all = deliver(&daemon, 3).await;
        until("it was tried", async || old.state.asked.load(Ordering::SeqCst) > 0).await;
        let without = |text: &str| {
            let whole = world.config_text(text);
            let (before, app) = whole.split_once("[apps.shop]").unwrap();
            let after = app.find("\n[").map_or("", |end| &app[end..]);
            Config::parse(&format!("{before}{after}"), world.folder.path()).unwrap()
        };
        daemon.reload(&without(&text)).await.unwrap();
        if anew {
            daemon.stop().await;
            daemon = Daemon::start(without(&text)).await.unwrap();
        }
        assert_eq!(standing(&daemon).await["app"], "shop", "something is left of it");
        // Somewhere else, with a secret that the receiver does not know, and then with the one that it verifies with.
        let mended = to(&world, &receiver, "");
        std::fs::write(world.folder.path().join("crm.secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let nowhere = mended.replace(&format!(":{}/", receiver.address.port()), ":1/");
        daemon.reload(&without(&nowhere)).await.unwrap();
        until("it is tried there", async || {
            standing(&daemon).await["why"].as_str().is_some_and(|why| why.contains("no connection"))
        })
        .await;
        let before = old.state.asked.load(Ordering::SeqCst);
        daemon.reload(&without(&to(&world, &receiver, ""))).await.unwrap();
        has(&receiver, &all).await;
        assert_eq!(old.state.asked.load(Ordering::SeqCst), before, "nothing more goes where it was");
        daemon.stop().await;
    }
}

/// A secret that is replaced is used, and one that cannot be used leaves the old one in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_be_used_changes_nothing() {
    let world = World::new().await;
    let receiver = Receiver::start(None).await;
    let text = to(&world, &receiver, "");
    let daemon = Daemon::start(world.config(&text)).await.unwrap();
    for (secret, field) in [("whsec_short", "webhook[0].secret_files"), ("", "webhook[0].secret_files")] {
        std::fs::write(world.folder.path().join("crm.secret"), secret).unwrap();
        let config: Config = Config::parse(&world.config_text(&text), world.folder.path()).unwrap();
        let error = daemon.reload(&config).await.unwrap_err();
        assert_eq!(error.field.as_deref(), Some(field), "{error}");
        assert_eq!(config.check_apps().unwrap_err().field.as_deref(), Some(field), "`serve --check` says it as well");
    }
    assert_eq!(test_event(&daemon).await["delivered"], true, "the old secret is in force");
    daemon.stop().await;
}

/// What the store says of a webhook is the store's alone: nothing of it is the JSON API's feedback.
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_reads_no_feedback() {
    let world = World::new().await;
    let receiver = Receiver::start(None).await;
    let config = world.config(&to(&world, &receiver, ""));
    let daemon = Daemon::start(config.clone()).await.unwrap();
    let all = deliver(&daemon, 3).await;
    has(&receiver, &all).await;
    until("its place is kept", async || standing(&daemon).await["behind"] == 0).await;
    daemon.stop().await;
    let outbox = apnsd::outbox::sqlite::SqliteOutbox::open(&config.data, config.bounds.clone()).unwrap();
    assert_eq!(outbox.readers().await.unwrap(), [(shop(), "webhook:crm".to_owned())]);
    outbox.close().await.unwrap();
}

/// What the document shows for receivers is run with a request as it came.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_of_the_document_verifies_a_request() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: there is no python3");
        return;
    }
    let document = include_str!("../../../docs/daemon.md");
    let program = document
        .split("```python\n")
        .find_map(|part| part.split("```").next().filter(|part| part.contains("def verify")));
    let world = World::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let daemon = Daemon::start(world.config(&table(&world, &url, ""))).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let asking = tokio::spawn(async move { post(api, "/v1/webhooks/crm/test", "{}").await.json() });
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"}}") {
        assert!(tokio::io::AsyncReadExt::read_buf(&mut stream, &mut request).await.unwrap() > 0);
    }
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert_eq!(asking.await.unwrap(), json!({"delivered": true, "status": 200}));
    daemon.stop().await;
    let text = String::from_utf8(request).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let headers: serde_json::Map<String, Value> = head
        .lines()
        .skip(1)
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect();
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let run = |secret: &str, headers: &serde_json::Map<String, Value>, body: &str| {
        let check = "import json, sys\nsecret, headers, body = json.load(sys.stdin)\nprint(verify(secret, headers, body.encode()))";
        let mut python = std::process::Command::new("python3")
            .args(["-c", &format!("{}\n{check}", program.unwrap())])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        serde_json::to_writer(python.stdin.take().unwrap(), &json!([secret, headers, body])).unwrap();
        String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap()
    };
    assert_eq!(run(SECRET, &headers, body), "True\n");
    assert_eq!(run(other, &headers, body), "False\n");
    assert_eq!(run(SECRET, &headers, &body.replace("test", "best")), "False\n");
    let mut old = headers.clone();
    old.insert("webhook-timestamp".to_owned(), json!("1700000000"));
    assert_eq!(run(SECRET, &old, body), "False\n");
}
