//! The REST interface of pyapns's later branch, row by row.

use serde_json::{Value, json};

use crate::http::{Answer, call, get};
use crate::pyapns::Old;
use crate::support::{token, until};

const JSON: &str = "Content-Type: application/json\r\n";

impl Old {
    async fn get(&self, path: &str) -> Answer {
        get(self.rest(), path).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        call(self.rest(), "POST", path, JSON, &body.to_string()).await
    }

    /// Asks for disconnections until there are as many.
    async fn events(&self, path: &str, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        until(&format!("{count} disconnections are told"), async || {
            events.extend(expect_success(&self.get(path).await, 200).as_array().unwrap().iter().cloned());
            events.len() >= count
        })
        .await;
        events
    }
}

fn expect_success(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let json = answer.json();
    assert_eq!(json["code"], status);
    assert_eq!(json.as_object().unwrap().len(), 2);
    json["response"].clone()
}

fn expect_error(answer: &Answer, status: u16, message: &str, args: &Value) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let expected = json!({"code": status, "message": message, "error": message, "type": "error", "args": args});
    assert_eq!(answer.json(), expected);
}

fn expect_html(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{answer:?}");
}

const NO_APP: &str = "No app registered under that name and environment";
const NO_ENVIRONMENT: &str = "Environment must be either `production` or `sandbox`";
const NO_CERTIFICATE: &str =
    "`certificate` is a required key. It must be either a path to a .pem file or the contents of the pem itself";
const INCOMPLETE: &str = "Notifications must be a list of dictionaries in the proper format: \
                          [{\"payload\": {...}, \"token\": \"...\", \"identifier\": \"...\", \"expiry\": 30}]";

fn notification(number: u32, identifier: &Value) -> Value {
    json!({
        "payload": {"aps": {"alert": "Tea is ready"}}, "token": token(number).to_hex(),
        "identifier": identifier, "expiry": 30,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_are_listed_shown_and_replaced() {
    let old = Old::new().await;
    for path in ["/apps", "/apps/"] {
        let list = expect_success(&old.get(path).await, 200);
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert_eq!(list[0]["name"], "shop");
    }
    let missing = json!({"name": "tea", "environment": "sandbox"});
    expect_error(&old.get("/apps/tea/sandbox").await, 404, NO_APP, &missing);
    expect_error(&old.get("/apps/tea/sandbox/").await, 404, NO_APP, &missing);
    expect_error(&old.post("/apps/tea/sandbox", &json!({"timeout": 15})).await, 400, NO_CERTIFICATE, &json!({}));
    expect_error(&old.post("/apps/tea/sandbox", &json!([])).await, 400, NO_CERTIFICATE, &json!({}));

    let inline = json!({"certificate": old.pem(), "timeout": "7"});
    let answer = old.post("/apps/tea/sandbox", &inline).await;
    let app = expect_success(&answer, 201);
    assert_eq!((&app["type"], &app["name"], &app["app_id"]), (&json!("app"), &json!("tea"), &json!("tea")));
    assert_eq!((&app["environment"], &app["timeout"]), (&json!("sandbox"), &json!(7.0)));
    let told = app["certificate"].as_str().unwrap();
    assert!(told.starts_with("certificate of ") && told.contains("SHA-256 "), "{told}");
    assert!(!answer.body.contains("BEGIN") && !answer.body.contains("PRIVATE"), "no key is told");
    assert_eq!(expect_success(&old.get("/apps/tea/sandbox").await, 200), app);
    assert_eq!(expect_success(&old.get("/apps/tea/sandbox/").await, 200), app, "a slash at the end is fine");

    let path = json!({"certificate": old.pem_path()});
    let app = expect_success(&old.post("/apps/tea/sandbox/", &path).await, 201);
    assert_eq!(app["timeout"], 15.0, "replaced, with the default");
    assert_eq!(expect_success(&old.get("/apps").await, 200).as_array().unwrap().len(), 2);
    let wrong = old.post("/apps/tea/sandbox", &json!({"certificate": "/nowhere.pem"})).await;
    assert_eq!((wrong.status, wrong.json()["args"]["name"].as_str()), (400, Some("tea")));
    let wrong = old.post("/apps/tea/sandbox", &json!({"certificate": old.pem_path(), "timeout": "soon"})).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(expect_success(&old.get("/apps/tea/sandbox").await, 200), app, "it is what it was");
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_has_an_app_in_each_environment() {
    let old = Old::new().await;
    let certificate = json!({"certificate": old.pem_path()});
    let name = |name: &str| name.parse().unwrap();
    expect_error(
        &old.get("/apps/shop/production").await,
        404,
        NO_APP,
        &json!({"name": "shop", "environment": "production"}),
    );
    expect_success(&old.post("/apps/shop/production", &certificate).await, 201);
    assert!(old.daemon.service().knows(&name("shop:production")));
    let app = expect_success(&old.get("/apps/shop/production").await, 200);
    assert_eq!((&app["name"], &app["environment"]), (&json!("shop"), &json!("production")));
    assert_eq!(expect_success(&old.get("/apps/shop/sandbox").await, 200)["environment"], "sandbox");
    let list = expect_success(&old.get("/apps").await, 200);
    let mut environments: Vec<_> = list.as_array().unwrap().iter().map(|app| app["environment"].clone()).collect();
    environments.sort_by_key(ToString::to_string);
    assert_eq!(environments, ["production", "sandbox"]);
    assert!(list.as_array().unwrap().iter().all(|app| app["name"] == "shop"));
    // A new id is the plain name, so that XML-RPC knows it as well.
    expect_success(&old.post("/apps/sandbox%3Atea/production", &certificate).await, 201);
    assert!(old.daemon.service().knows(&name("sandbox:tea")));
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_stored_and_delivered() {
    let old = Old::new().await;
    let path = "/apps/shop/sandbox/notifications";
    let both = json!([notification(1, &json!("one")), notification(2, &json!(2))]);
    assert_eq!(expect_success(&old.post(path, &both).await, 201), json!({}));
    let bare = old.post(path, &notification(3, &json!("bare"))).await;
    assert_eq!(expect_success(&bare, 201), json!({}), "one alone, as in the quick start");
    assert_eq!(expect_success(&old.post(path, &json!([])).await, 201), json!({}));

    for incomplete in [
        json!("text"),
        json!(3),
        json!([1]),
        json!([{"payload": {}, "token": "ab", "identifier": 1}]),
        json!([{"payload": {}, "token": "ab", "expiry": 1}]),
        json!([{"payload": {}, "identifier": 1, "expiry": 1}]),
        json!([{"token": "ab", "identifier": 1, "expiry": 1}]),
        json!([notification(4, &json!(1)), {}]),
        json!({}),
    ] {
        expect_error(&old.post(path, &incomplete).await, 400, INCOMPLETE, &json!({}));
    }
    let mut wrong = notification(4, &json!(1));
    wrong["expiry"] = json!("soon");
    let answer = old.post(path, &json!([notification(4, &json!(1)), wrong])).await;
    expect_error(&answer, 400, "`expiry` has to be a number of seconds", &json!({"notification": "1"}));
    let mut wrong = notification(4, &json!(1));
    wrong["payload"] = json!({"aps": {"alert": "x".repeat(5000)}});
    let answer = old.post(path, &json!([wrong])).await;
    assert_eq!((answer.status, &answer.json()["args"]), (400, &json!({"notification": "0"})));
    let mut wrong = notification(4, &json!(1));
    wrong["token"] = json!("not hexadecimal");
    expect_html(&old.post(path, &json!([wrong])).await, 500);
    expect_html(&call(old.rest(), "POST", path, JSON, "[{").await, 500);
    expect_html(&call(old.rest(), "POST", "/apps/shop/sandbox", JSON, "nonsense").await, 500);

    old.requests(3).await;
    old.daemon.stop().await;
    let mut requests = old.world.simulator.requests();
    requests.sort_by(|one, other| one.path.cmp(&other.path));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(requests.len(), 3, "what is refused is not sent in part");
    for (request, number) in requests.iter().zip(1..) {
        assert_eq!(request.path, format!("/3/device/{}", token(number).to_hex()));
        assert_eq!(&request.payload[..], br#"{"aps":{"alert":"Tea is ready"}}"#);
        let expiration = request.expiration.unwrap();
        assert!((now - 60..=now + 30).contains(&expiration), "half a minute from when it came, and not the year 1970");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_is_told_once() {
    let gone = token(1).to_hex();
    let script =
        format!("{{\"http2\": {{\"unregistered\": [{{\"token\": \"{gone}\", \"timestamp_ms\": 1386604500250}}]}}}}");
    let old = Old::with(&script, "").await;
    assert_eq!(expect_success(&old.get("/apps/shop/sandbox/feedback").await, 200), json!([]));
    expect_success(&old.post("/apps/shop/sandbox/notifications", &notification(1, &json!(1))).await, 201);
    old.events("/apps/shop/sandbox/disconnections", 1).await;
    let head = call(old.rest(), "HEAD", "/apps/shop/sandbox/feedback", "", "").await;
    assert_eq!(head.status, 405, "and it clears nothing");
    let feedback = expect_success(&old.get("/apps/shop/sandbox/feedback").await, 200);
    assert_eq!(feedback, json!([{"type": "feedback", "timestamp": 1_386_604_500.25, "token": gone}]));
    assert_eq!(expect_success(&old.get("/apps/shop/sandbox/feedback").await, 200), json!([]));
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disconnections_name_the_right_notification_and_are_cleared() {
    let script = format!("{{\"invalid_tokens\": [\"{}\"]}}", token(3).to_hex());
    let old = Old::with(&script, "").await;
    let path = "/apps/shop/sandbox/disconnections";
    assert_eq!(expect_success(&old.get(path).await, 200), json!([]));
    let batch: Vec<Value> = (0..6).map(|number| notification(number, &json!(format!("id {number}")))).collect();
    expect_success(&old.post("/apps/shop/sandbox/notifications", &json!(batch)).await, 201);
    let events = old.events(path, 1).await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!((&event["type"], &event["code"]), (&json!("disconnection"), &json!(8)));
    assert_eq!(event["verbose_message"], "Invalid token");
    assert_eq!(event["reason"], "BadDeviceToken");
    assert!(event["internal_identifier"].as_u64().unwrap() > 0);
    assert!(event["timestamp"].as_f64().unwrap() > 1_700_000_000.0);
    let mut offending = batch[3].clone();
    offending["type"] = json!("notification");
    assert_eq!(event["offending_notification"], offending);
    assert_eq!(expect_success(&old.get(path).await, 200), json!([]), "cleared by reading");
    assert_eq!(old.requests(6).await.len(), 6, "and what stood behind it was sent");
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_address_is_answered_as_it_was() {
    let old = Old::new().await;
    for (path, args) in [
        ("/apps/shop/staging", json!({"environment": "staging", "app": "shop"})),
        ("/apps/shop/", json!({"environment": "", "app": "shop"})),
        ("/apps/shop/staging/feedback", json!({"environment": "staging", "app": "shop"})),
    ] {
        expect_error(&old.get(path).await, 404, NO_ENVIRONMENT, &args);
    }
    let args = json!({"app": "shop", "environment": "sandbox"});
    expect_error(&old.get("/apps/shop/sandbox/teapot").await, 404, "Unknown resource", &args);
    expect_error(&old.post("/apps/shop/sandbox/teapot", &json!({})).await, 404, "Unknown resource", &args);
    let args = json!({"name": "tea", "environment": "sandbox"});
    for leaf in ["feedback", "disconnections", "teapot"] {
        expect_error(&old.get(&format!("/apps/tea/sandbox/{leaf}")).await, 404, NO_APP, &args);
    }
    expect_error(&old.post("/apps/tea/sandbox/notifications", &json!([])).await, 404, NO_APP, &args);
    for path in ["/", "/other", "/apps%zz"] {
        expect_html(&old.get(path).await, 404);
    }
    for (method, path, status) in [
        ("GET", "/apps/shop", 405),
        ("POST", "/apps/shop", 405),
        ("POST", "/apps", 405),
        ("GET", "/apps/shop/sandbox/notifications", 405),
        ("POST", "/apps/shop/sandbox/feedback", 405),
        ("POST", "/apps/shop/sandbox/disconnections", 405),
        ("DELETE", "/apps/shop/sandbox", 501),
        ("DELETE", "/apps/shop", 501),
        ("PUT", "/apps/shop/sandbox", 501),
    ] {
        expect_html(&call(old.rest(), method, path, "", "").await, status);
    }
    assert!(old.daemon.service().knows(&"shop".parse().unwrap()));
    let large = "x".repeat((16 << 20) + 1);
    let answer = call(old.rest(), "POST", "/apps/shop/sandbox/notifications", JSON, &large).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for_and_say_what_may_be_seen() {
    let tokens = "[[token]]\nname = \"tea\"\nsecret = \"tea-0123456789abcdef\"\napps = [\"tea\"]\n\
                  [[token]]\nname = \"root\"\nsecret = \"root-0123456789abcdef\"\nadmin = true\n";
    let old = Old::with("{}", tokens).await;
    let body = json!({"certificate": old.pem_path()}).to_string();
    let tea = "Authorization: Bearer tea-0123456789abcdef\r\n";
    let root = "Authorization: Bearer root-0123456789abcdef\r\n";
    for (method, path, token, status) in [
        ("GET", "/apps", "", 401),
        ("POST", "/apps/tea/sandbox", tea, 403),
        ("POST", "/apps/tea/sandbox", root, 201),
        ("GET", "/apps/tea/sandbox", tea, 200),
        ("GET", "/apps/shop/sandbox", tea, 403),
        ("GET", "/apps/nobody/sandbox", tea, 403),
        ("GET", "/apps/shop/sandbox", root, 200),
    ] {
        let answer = call(old.rest(), method, path, token, &body).await;
        assert_eq!(answer.status, status, "{method} {path} {answer:?}");
    }
    let list = expect_success(&call(old.rest(), "GET", "/apps", tea, "").await, 200);
    assert_eq!(list.as_array().unwrap().len(), 1);
    old.daemon.stop().await;
}
