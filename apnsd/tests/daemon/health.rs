//! What the daemon says of its health: what callers feel, and whose fault it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use apnsd::{Daemon, Health, Service};

use crate::http::{call, get, post};
use crate::store::Flaky;
use crate::support::{World, notification, shop, submit, token, until, until_some};

#[tokio::test(flavor = "multi_thread")]
async fn one_apps_bad_credential_does_not_take_the_node_away_from_the_others() {
    let world = World::new().await;
    let mut config = world.config("");
    // Nobody vouches for the service.
    config.apps.get_mut(&shop()).unwrap().ca = None;
    let daemon = Daemon::start(config).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    submit(daemon.service(), 1).await;
    until("the app fails", async || !daemon.service().failing().is_empty()).await;
    let ready = get(api, "/readyz").await;
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)), "{ready:?}");
    assert_eq!(ready.json()["failing"][0]["app"], "shop");
    assert_eq!(get(api, "/readyz?apps=all").await.status, 503);
    assert_eq!(get(api, "/readyz?apps=some").await.status, 422);
    assert!(get(api, "/").await.body.contains("class=\"warning failing\""));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_known_and_is_no_fault_of_an_app() {
    let world = World::new().await;
    let config = world.config("");
    let outbox = Arc::new(Flaky::never(&config));
    let service = Service::start_with(&config, outbox.clone()).await.unwrap();
    until("it stores", async || service.store_health().await.is_ready()).await;
    outbox.probes.store(2, Ordering::SeqCst);
    outbox.accepts.store(1, Ordering::SeqCst);
    outbox.claims.store(1, Ordering::SeqCst);
    assert!(service.submit(&shop(), vec![notification(1).into()]).await.is_err());
    let why = until_some("it is asked", async || service.store_health().await.why).await;
    assert!(why.contains("disk full"), "{why}");
    until("it is good again", async || service.store_health().await.is_ready()).await;
    let ids = submit(&service, 1).await;
    until("it is delivered", async || {
        let health = service.snapshot(&shop()).unwrap().health;
        assert!(matches!(health, Health::Untried | Health::Working), "{health:?}");
        service.wait(ids[0], std::time::Duration::ZERO).await.unwrap().is_some()
    })
    .await;
    service.stop(crate::support::SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_connections_and_never_answers_fails() {
    let world = World::with_script(r#"{"http2": {"rules": [{"when": {}, "then": [{"wait_ms": 3600000}]}]}}"#).await;
    let service = Service::start(&world.config("")).await.unwrap();
    submit(&service, 3).await;
    let why =
        until_some("the first request is given up", async || service.failing().into_iter().next().map(|(_, why)| why))
            .await;
    assert!(why.contains("takes connections and does not answer"), "{why}");
    // And it recovers.
    world.simulator.set_script(apns_sim::Script::from_json("{}").unwrap());
    until("it answers", async || service.failing().is_empty()).await;
    service.stop(crate::support::SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_cannot_be_used_for_now_is_shown_with_its_reason() {
    let error =
        r#"{"http2": {"rules": [{"when": {}, "then": [{"answer_with": {"status": 500, "reason": "Bad\nday"}}]}]}}"#;
    let closes = r#"{"http2": {"connections": [{"close_after": 0}]}}"#;
    for (script, words) in [(error, "the service answers 500 Bad\\nday"), (closes, "the peer closed")] {
        let world = World::with_script(script).await;
        let service = Service::start(&world.config("")).await.unwrap();
        submit(&service, 1).await;
        let why = until_some("it is shown", async || match service.snapshot(&shop()).unwrap().health {
            Health::NoConnection { why } => Some(why),
            Health::Failing { why } => panic!("nobody has to act: {why}"),
            _ => None,
        })
        .await;
        assert!(why.contains(words), "{why}");
        // And it recovers.
        world.simulator.set_script(apns_sim::Script::from_json("{}").unwrap());
        submit(&service, 1).await;
        until("it sends", async || service.snapshot(&shop()).unwrap().health == Health::Working).await;
        service.stop(crate::support::SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_say_how_long_it_takes_what_is_refused_and_what_the_disk_has() {
    let world = World::new().await;
    let config = world.config("[[token]]\nname = \"x\"\nsecret = \"secret-0123456789-secret\"\nadmin = true\n");
    let daemon = Daemon::start(config).await.unwrap();
    let (api, rpc) = (daemon.address("api.listen").unwrap(), daemon.address("pyapns.listen").unwrap());
    let token_header = "Authorization: Bearer secret-0123456789-secret\r\n";
    let body = format!("{{\"token\": \"{}\", \"payload\": {{\"aps\": {{}}}}}}", token(1).to_hex());
    let headers = format!("{token_header}Content-Type: application/json\r\n");
    let sent = call(api, "POST", "/v1/apps/shop/notifications?wait=30s", &headers, &body).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    // Refused: without a token, with a wrong one, for its body, and by the fault of an old interface.
    let began = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(post(api, "/v1/apps/shop/notifications", "{}").await.status, 401);
    }
    assert!(
        began.elapsed() >= std::time::Duration::from_millis(900),
        "failures are slowed down: {:?}",
        began.elapsed()
    );
    assert_eq!(call(api, "POST", "/v1/apps/shop/notifications", &headers, "{}").await.status, 422);
    let xml = "<?xml version='1.0'?><methodCall><methodName>nothing</methodName><params></params></methodCall>";
    assert_eq!(call(rpc, "POST", "/", &format!("{token_header}Content-Type: text/xml\r\n"), xml).await.status, 200);
    let metrics = call(api, "GET", "/metrics", token_header, "").await.body;
    for line in [
        "apnsd_settle_seconds_bucket{app=\"shop\",le=\"+Inf\"} 1\n",
        "apnsd_settle_seconds_count{app=\"shop\"} 1\n",
        "apnsd_oldest_waiting_seconds{app=\"shop\"} 0\n",
        "apnsd_refused_calls_total{interface=\"api\",status=\"401\"} 4\n",
        "apnsd_refused_calls_total{interface=\"api\",status=\"422\"} 1\n",
        "apnsd_refused_calls_total{interface=\"xmlrpc\",status=\"8001\"} 1\n",
        "apnsd_authentication_failures_total{interface=\"api\"} 4\n",
        "apnsd_outbox_ready 1\n",
        "\napnsd_disk_free_bytes ",
        "\napnsd_outbox_disk_bytes ",
        "\napnsd_build_info{version=\"",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    daemon.stop().await;
}

/// The words in a text that begin with a prefix and go on with letters, digits and underscores.
fn words(text: &str, prefix: &str) -> std::collections::BTreeSet<String> {
    text.split(|character: char| !(character.is_ascii_alphanumeric() || character == '_'))
        .filter(|word| word.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn alerts_and_dashboard_ask_for_figures_that_there_are() {
    let world = World::new().await;
    let more = "[bridge]\nlisten = \"127.0.0.1:0\"\nfeedback_listen = \"127.0.0.1:0\"\n\
                [[webhook]]\nname = \"crm\"\nurl = \"https://crm.example\"\nsecret_files = [\"crm.secret\"]\n\
                [apps.old]\nenvironment = \"sandbox\"\ncertificate = \"client.pem\"\nkey = \"client.key\"\n";
    std::fs::write(world.folder.path().join("crm.secret"), crate::receiver::SECRET).unwrap();
    let daemon = Daemon::start(world.config(more)).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let ids = submit(daemon.service(), 1).await;
    daemon.service().wait(ids[0], crate::support::SOON).await.unwrap().unwrap();
    let told = get(api, "/metrics").await.body;
    let documented = include_str!("../../../docs/daemon.md");
    let mut families = words(&told, "apnsd_");
    // Apps for one environment do not have these.
    families.extend(["apnsd_wrong_probes_total", "apnsd_probes_held_total", "apnsd_probes_wait"].map(str::to_owned));
    // There is none before the first of these happens.
    families.extend(
        [
            "apnsd_refused_calls_total",
            "apnsd_bridge_error_responses_total",
            "apnsd_credential_refusals_total",
            "apnsd_webhook_failures_total",
        ]
        .map(str::to_owned),
    );
    for (file, text) in [
        ("alerts", include_str!("../../packaging/prometheus-alerts.yml")),
        ("dashboard", include_str!("../../packaging/grafana-dashboard.json")),
        ("document", documented),
    ] {
        let asked = words(text, "apnsd_");
        assert!(asked.len() > 5, "{file}: {asked:?}");
        let missing: Vec<_> = asked.difference(&families).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}, which there is not: {families:?}");
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(include_str!("../../packaging/grafana-dashboard.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 10);
    daemon.stop().await;
}
