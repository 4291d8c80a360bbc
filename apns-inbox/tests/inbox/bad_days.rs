//! Bad days by hand, through the API and through the page's forms.

use apns_tokio::proto::{Outcome, Rejection};

use crate::support::{World, alert, call, hex, sent};

fn refusal(outcome: &Outcome) -> (u16, String) {
    match outcome {
        Outcome::Rejected(rejection) => (rejection.status(), rejection.reason().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_counts_once_for_the_device_it_is_armed_for() {
    let world = World::new().await;
    let client = world.client();
    for (next, status, reason) in [
        ("410", 410, "Unregistered"),
        ("400", 400, "BadDeviceToken"),
        ("429", 429, "TooManyRequests"),
        ("500", 500, "InternalServerError"),
    ] {
        let order = format!(r#"{{"device": "{}", "next": "{next}"}}"#, hex(1));
        assert_eq!(world.json("POST", "/v1/bad-days", &order).await.status, 201);
        assert!(sent(&client, alert(2, "elsewhere")).await.is_accepted());
        assert_eq!(refusal(&sent(&client, alert(1, next)).await), (status, reason.to_owned()));
        assert!(sent(&client, alert(1, "again")).await.is_accepted());
    }
    let refused = world.pushes(4, "answer=refused").await;
    assert!(refused.iter().all(|push| push["answer"]["armed"] == true));
    assert_eq!(refused[1]["answer"]["retry_after"], "30");
    assert!(refused[3]["answer"]["timestamp"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(world.get("/v1/bad-days").await.json()["armed"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_can_be_late_or_cut_off_and_a_test_can_make_its_own() {
    let world = World::new().await;
    let client = world.client();
    let own = r#"{"device": "01*", "times": 2, "http2": [{"wait_ms": 30}, {"answer_with": {"status": 503, "reason": "Shutdown"}}]}"#;
    assert_eq!(world.json("POST", "/v1/bad-days", own).await.status, 201);
    for _ in 0..2 {
        assert_eq!(refusal(&sent(&client, alert(1, "own")).await), (503, "Shutdown".to_owned()));
    }
    let cut = format!(r#"{{"device": "{}", "next": "cut"}}"#, hex(1));
    assert_eq!(world.json("POST", "/v1/bad-days", &cut).await.status, 201);
    assert!(matches!(sent(&client, alert(1, "cut")).await, Outcome::Unknown { .. }));
    let pushes = world.pushes(3, "").await;
    assert_eq!((&pushes[0]["answer"]["words"], &pushes[2]["answer"]["delay_ms"]), (&"no answer".into(), &30.into()));
    // Late by five seconds is what is armed; that it is armed is enough here.
    let late = format!(r#"{{"device": "{}", "next": "late"}}"#, hex(1));
    assert_eq!(world.json("POST", "/v1/bad-days", &late).await.json()["next"], "late");
    assert_eq!(world.json("DELETE", &format!("/v1/bad-days?device={}", hex(1)), "").await.status, 204);
    assert!(world.simulator.armed().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_protocol_has_bad_days_as_well() {
    let world = World::new().await;
    let client = world.binary_client();
    let order = format!(r#"{{"device": "{}", "next": "400"}}"#, hex(1));
    assert_eq!(world.json("POST", "/v1/bad-days", &order).await.status, 201);
    let outcome = sent(&client, alert(1, "bad")).await;
    assert!(matches!(&outcome, Outcome::Rejected(Rejection::Gateway(status)) if status.raw() == 8), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_says_goaway_and_clients_go_on_over_another_connection() {
    let world = World::new().await;
    let client = world.client();
    assert!(sent(&client, alert(1, "before")).await.is_accepted());
    assert_eq!(world.json("POST", "/v1/go-away", "").await.status, 204);
    let mut number = 1;
    // The client hears of it in its own time; each push is taken meanwhile.
    while number == 1 {
        assert!(sent(&client, alert(1, "after")).await.is_accepted());
        number = world.pushes(1, "").await[0]["connection"]["number"].as_u64().unwrap();
    }
    assert_eq!(number, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_read_and_replaced() {
    let world = World::new().await;
    let client = world.client();
    let script = format!(r#"{{"invalid_tokens": ["{}"]}}"#, hex(1));
    assert_eq!(world.json("PUT", "/v1/script", &script).await.status, 204);
    assert_eq!(world.get("/v1/script").await.json()["invalid_tokens"][0], hex(1));
    assert_eq!(refusal(&sent(&client, alert(1, "bad")).await).1, "BadDeviceToken");
    let slip = world.json("PUT", "/v1/script", r#"{"gateway": {"rule": []}}"#).await;
    assert!(slip.json()["detail"].as_str().unwrap().starts_with("at gateway.rule: "), "{slip:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_armed_is_named() {
    let world = World::new().await;
    for order in [
        r#"{"next": "410"}"#,
        r#"{"device": "xy", "next": "410"}"#,
        r#"{"device": "01", "next": "418"}"#,
        r#"{"device": "01"}"#,
        r#"{"device": "01", "next": "410", "http2": []}"#,
        r#"{"device": "01", "next": "410", "times": 0}"#,
        r#"{"device": "01", "next": "410", "time": 1}"#,
    ] {
        assert_eq!(world.json("POST", "/v1/bad-days", order).await.problem(), "#invalid", "{order}");
    }
    for number in 0..1000_u32 {
        let order = format!(r#"{{"device": "{number:08x}", "next": "410"}}"#);
        assert_eq!(world.json("POST", "/v1/bad-days", &order).await.status, 201);
    }
    assert_eq!(world.json("POST", "/v1/bad-days", r#"{"device": "ff", "next": "410"}"#).await.problem(), "#too-many");
    assert_eq!(world.json("POST", "/v1/bad-days", r#"{"device": "00000007", "next": "500"}"#).await.status, 201);
    assert_eq!(world.json("DELETE", "/v1/bad-days?devices=x", "").await.problem(), "#invalid");
    assert_eq!(world.json("DELETE", "/v1/bad-days", "").await.status, 204);
    assert!(world.simulator.armed().is_empty());
}

/// The secret that the page puts into its forms.
async fn secret(world: &World) -> String {
    let page = world.get("/").await.body;
    let (_, behind) = page.split_once(r#"name="form" value=""#).unwrap();
    behind.split('"').next().unwrap().to_owned()
}

async fn post(world: &World, path: &str, fields: &str) -> crate::support::Answer {
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    call(world.address(), "POST", path, headers, fields).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forms_of_the_page_do_the_same() {
    let world = World::new().await;
    let client = world.client();
    assert!(sent(&client, alert(1, "hello")).await.is_accepted());
    world.pushes(1, "").await;
    let (form, device) = (secret(&world).await, hex(1));
    let answer =
        post(&world, "/bad-day", &format!("form={form}&device={device}&next=410&back=device%3D0101%26q%3Dx")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/?device=0101&q=x")));
    assert!(world.get("/").await.body.contains(r#"value="410" aria-pressed="true""#));
    post(&world, "/bad-day", &format!("form={form}&device={device}&next=410")).await;
    assert!(world.simulator.armed().is_empty(), "pressed again it is taken back");
    post(&world, "/bad-day", &format!("form={form}&device={device}&device-is=offline")).await;
    assert_eq!(world.get(&format!("/v1/devices/{device}")).await.json()["state"], "offline");
    post(&world, "/bad-day", &format!("form={form}&device={device}&device-is=online")).await;
    post(&world, "/device", &format!("form={form}&device={device}&name=Test+phone&follows=YQ%3D%3D%0D%0AYg%3D%3D"))
        .await;
    let phone = world.get(&format!("/v1/devices/{device}")).await.json();
    assert_eq!((&phone["state"], &phone["name"]), (&"online".into(), &"Test phone".into()));
    assert_eq!(phone["follows"], serde_json::json!(["YQ==", "Yg=="]));
    assert_eq!(post(&world, "/bad-day", &format!("form={form}&device=*&service=goaway")).await.status, 303);
    let answer = post(&world, "/clear", &format!("form={form}&back=//evil.example")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/?")));
    assert_eq!(world.get("/v1/pushes").await.json()["kept"], 0);
}
