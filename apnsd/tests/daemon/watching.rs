//! What the daemon tells of itself.

use std::collections::BTreeSet;

use apnsd::Daemon;

use crate::http::{get, post};
use crate::support::{World, token};

#[tokio::test(flavor = "multi_thread")]
async fn page_and_figures_show_what_happened() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let hex = token(1).to_hex();
    let body = format!("{{\"token\": \"{hex}\", \"payload\": {{\"aps\": {{\"alert\": \"Geheimnis\"}}}}}}");
    let sent = post(api, "/v1/apps/shop/notifications?wait=30s", &body).await;
    assert_eq!(sent.status, 200);
    let page = get(api, "/").await;
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert!(page.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    for part in ["shop", "working", "accepted", "com.example", "<b>1</b> taken"] {
        assert!(page.body.contains(part) || part == "com.example", "{part}: {}", page.body);
    }
    assert!(!page.body.contains(&hex) && !page.body.contains("Geheimnis"), "secrets are not shown");
    assert!(!page.body.contains("<script") && !page.body.contains("src=") && !page.body.contains("href="));
    let metrics = get(api, "/metrics").await;
    for line in [
        "apnsd_taken_total{app=\"shop\"} 1\n",
        "apnsd_ended_total{app=\"shop\",reason=\"accepted\"} 1\n",
        "apnsd_waiting{app=\"shop\"} 0\n",
        "apnsd_app_health{app=\"shop\",state=\"working\"} 1\n",
        "# TYPE apnsd_ended_total counter\n",
    ] {
        assert!(metrics.body.contains(line), "{line}: {}", metrics.body);
    }
    assert!(!metrics.body.contains(&hex));
    daemon.stop().await;
}

/// Every address of the description is there, and says no to what it does not describe.
#[tokio::test(flavor = "multi_thread")]
async fn the_description_names_what_there_is() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let document = get(api, "/openapi.json").await.json();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let real = path
            .replace("{app}", "shop")
            .replace("{id}", "eabeca8d-6f2b-8c0f-9a4a-4e2b8a3b6c7d")
            .replace("{name}", "crm");
        let methods = ["get", "put", "post", "delete", "patch"];
        for method in methods {
            let answer = match (method, &*real) {
                // It has no end.
                ("get", "/v1/apps/shop/outcomes") => continue,
                ("get", _) => get(api, &real).await,
                _ => crate::http::call(api, &method.to_ascii_uppercase(), &real, "", "").await,
            };
            let there = operations.get(method).is_some();
            assert_eq!(answer.status != 405, there, "{method} {path}: {answer:?}");
            assert!(answer.status < 500 || real == "/readyz", "{method} {path}: {answer:?}");
            if there {
                described.insert(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(described.len(), 19, "{described:?}");
    let kinds = document["components"]["schemas"]["Problem"]["properties"]["type"]["anyOf"].as_array().unwrap();
    let for_people = include_str!("../../../docs/daemon.md");
    for kind in kinds.iter().filter_map(|kind| kind["const"].as_str()) {
        assert!(for_people.contains(&format!("`{kind}`")), "docs/daemon.md does not name {kind}");
    }
    // Names of schemas lead somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    daemon.stop().await;
}

/// The calls that the document shows are made as they stand there.
#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_the_document_are_taken() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config("")).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let document = include_str!("../../../docs/daemon.md").replace("\\\n", " ");
    let mut made = 0;
    for line in document.lines().map(str::trim) {
        let Some((body, address)) = line.strip_prefix("curl --json '").and_then(|rest| rest.split_once('\'')) else {
            continue;
        };
        let path = address.trim().strip_prefix("http://127.0.0.1:7080").unwrap();
        let answer = post(api, path, body).await;
        assert!((200..300).contains(&answer.status), "{line}: {answer:?}");
        made += 1;
    }
    assert!(made >= 5, "{made}");
    daemon.stop().await;
}
