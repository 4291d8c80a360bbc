//! Nobody from a page of another site: names, origins, forms, and what the answers forbid.

use crate::support::{World, alert, call, hex, sent};

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_stranger_can_own_is_not_answered() {
    let world = World::with(apns_inbox::Settings::default().host("inbox.test")).await;
    for (host, answered) in [
        ("localhost", true),
        ("127.0.0.1:8025", true),
        ("apns", true),
        ("inbox.test", true),
        ("evil.example", false),
        ("localhost.evil.example", false),
    ] {
        for path in ["/", "/v1/pushes", "/events?x", "/nowhere"] {
            if path == "/events?x" && answered {
                continue;
            }
            let answer = call(world.address(), "GET", path, &format!("Host: {host}\r\n"), "").await;
            if answered {
                assert_ne!(answer.status, 403, "{host} {path}");
            } else {
                assert_eq!(answer.problem(), "#host", "{host} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_something_comes_from_here() {
    let world = World::new().await;
    let client = world.client();
    assert!(sent(&client, alert(1, "precious")).await.is_accepted());
    world.pushes(1, "").await;
    let own = format!("Origin: http://{}\r\n", world.address());
    for foreign in ["Origin: http://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        for (method, path) in
            [("DELETE", "/v1/pushes"), ("POST", "/clear"), ("POST", "/v1/go-away"), ("PATCH", "/v1/devices/01")]
        {
            let answer = call(world.address(), method, path, foreign, "").await;
            assert_eq!(answer.problem(), "#foreign-page", "{foreign} {method} {path}");
        }
    }
    // A form of another site can say that it is text, not that it is JSON.
    let form = "Content-Type: text/plain\r\n";
    for (method, path) in [("POST", "/v1/bad-days"), ("PUT", "/v1/script"), ("PATCH", "/v1/devices/01")] {
        let answer = call(world.address(), method, path, form, r#"{"device": "*", "next": "500"}"#).await;
        assert_eq!(answer.problem(), "#media-type", "{method} {path}");
    }
    // A form without the secret, or with a wrong one, is none of the page's.
    let headers = format!("{own}Content-Type: application/x-www-form-urlencoded\r\n");
    for path in ["/clear", "/bad-day", "/device"] {
        for body in ["", "form=", "form=00000000000000000000000000000000", "form=x&form="] {
            let body = format!("{body}&device={}&next=500&name=x", hex(1));
            assert_eq!(call(world.address(), "POST", path, &headers, &body).await.problem(), "#foreign-page", "{path}");
        }
    }
    assert_eq!(world.get("/v1/pushes").await.json()["kept"], 1);
    assert!(world.simulator.armed().is_empty());
    assert_eq!(call(world.address(), "DELETE", "/v1/pushes", &own, "").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_a_browser_may_do_with_it() {
    let world = World::new().await;
    for path in ["/", "/style.css", "/live.js", "/v1/pushes", "/export.jsonl", "/nowhere", "/healthz", "/openapi.json"]
    {
        let answer = world.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
        assert!(answer.header("access-control-allow-origin").is_none(), "other sites may not read");
    }
}
