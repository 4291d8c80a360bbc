//! The buttons of the status page, and who cannot press them.

use apnsd::{Daemon, Submission};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::http::{Answer, call};
use crate::support::{SOON, World, notification, shop, submit, token};

const TOKENS: &str = "[[token]]\nname = \"one\"\nsecret = \"one-0123456789-secret\"\napps = [\"shop\"]\n\
                      [[token]]\nname = \"two\"\nsecret = \"two-0123456789-secret\"\napps = [\"shop\"]\n\
                      [[token]]\nname = \"other\"\nsecret = \"other-0123456789-secret\"\napps = []\n";

/// As a browser sends an access token.
fn basic(name: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("me:{name}-0123456789-secret")))
}

const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// The signature in the form that leads to an address.
fn signed(page: &Answer, action: &str) -> String {
    assert_eq!(page.status, 200, "{page:?}");
    let (_, form) = page.body.split_once(&format!("method=\"post\" action=\"{action}\"")).unwrap();
    let (_, value) = form.split_once("name=\"signed\" value=\"").unwrap();
    value.split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_paused_purged_and_resumed_by_hand() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config(TOKENS)).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let get = async |path: &str| call(api, "GET", path, &basic("one"), "").await;
    let press = async |path: &str, signed: &str, more: &str| {
        let body = format!("app=shop&signed={signed}{more}");
        call(api, "POST", path, &format!("{}{FORM}", basic("one")), &body).await
    };
    let page = get("/").await;
    assert!(page.header("content-security-policy").unwrap().contains("form-action 'self'"), "{page:?}");
    assert!(!page.body.contains("action=\"/page/resume\"") && !page.body.contains("<script"), "{page:?}");
    let paused = press("/page/pause", &signed(&page, "/page/pause"), "").await;
    assert_eq!((paused.status, paused.header("location")), (303, Some("/")), "{paused:?}");
    assert!(daemon.service().info(&shop()).unwrap().pause.is_some());

    let ids = submit(daemon.service(), 3).await;
    let question = get("/page/purge?app=shop").await;
    assert!(
        question.body.contains(">3</b> notifications wait") && !question.body.contains("http-equiv"),
        "{question:?}"
    );
    let good = signed(&question, "/page/purge");
    // None of them is that old.
    assert_eq!(press("/page/purge", &good, "&older_than=1h").await.status, 303);
    assert_eq!(daemon.service().total().await.unwrap().waiting, 3);
    assert_eq!(press("/page/purge", &good, "&older_than=soon").await.fields(), ["older_than"]);
    assert_eq!(press("/page/purge", &good, "&older_than=").await.status, 303);
    let records = daemon.service().wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().flatten().all(|record| record.reason.as_deref() == Some("purged")), "{records:?}");

    let page = get("/").await;
    assert_eq!(press("/page/resume", &signed(&page, "/page/resume"), "").await.status, 303);
    assert!(daemon.service().info(&shop()).unwrap().pause.is_none());
    assert_eq!(world.simulator.counts().requests, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_found_by_hand() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config(TOKENS)).await.unwrap();
    let (service, api) = (daemon.service(), daemon.address("api.listen").unwrap());
    let ids = submit(service, 3).await;
    service.wait_all(&ids, SOON).await.unwrap();
    service.pause(&shop(), None).await.unwrap();
    let tagged = |number| Submission { tag: Some("<b>tea".parse().unwrap()), ..notification(number).into() };
    let waiting = service.submit(&shop(), (0..60).map(tagged).collect()).await.unwrap();

    let form = call(api, "GET", "/page/search?app=shop", &basic("one"), "").await;
    assert!(!form.body.contains("id=\"found\"") && !form.body.contains("http-equiv"), "{form:?}");
    let good = signed(&form, "/page/search");
    let look = async |more: &str| {
        let body = format!("app=shop&signed={good}&{more}");
        call(api, "POST", "/page/search", &format!("{}{FORM}", basic("one")), &body).await
    };
    let device = token(1).to_hex();
    let found = look(&format!("token={device}&tag=&state=")).await;
    let place = |page: &Answer, id: apnsd::NotificationId| page.body.find(&id.to_string());
    let (first, second) = (place(&found, waiting[1].id).unwrap(), place(&found, ids[1]).unwrap());
    assert!(first < second && found.body.contains("&lt;b&gt;tea") && found.body.contains(">accepted<"), "{found:?}");
    assert!(found.body.contains(&format!("value=\"{device}\"")), "the form keeps what was filled in: {found:?}");
    assert_eq!(place(&found, waiting[2].id), None);
    assert!(!found.body.contains("Further"), "{found:?}");

    // Page by page.
    let page = look("tag=%3Cb%3Etea&state=waiting").await;
    assert!(place(&page, waiting[59].id).is_some() && place(&page, waiting[9].id).is_none(), "{page:?}");
    let (_, after) = page.body.split_once("name=\"after\" value=\"").unwrap();
    let after = after.split('"').next().unwrap();
    let page = look(&format!("tag=%3Cb%3Etea&state=waiting&after={after}")).await;
    assert!(place(&page, waiting[9].id).is_some() && place(&page, waiting[0].id).is_some(), "{page:?}");
    assert!(look("tag=none").await.body.contains("None."));
    assert_eq!(look("token=zz").await.fields(), ["token"]);
    assert_eq!(look("state=lost").await.fields(), ["state"]);
    let stranger =
        call(api, "POST", "/page/search", &format!("{}{FORM}", basic("two")), &format!("app=shop&signed={good}")).await;
    assert_eq!((stranger.status, stranger.problem()), (403, "#foreign-page".to_owned()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_one_who_was_shown_the_page_can_press_them() {
    let world = World::new().await;
    let daemon = Daemon::start(world.config(TOKENS)).await.unwrap();
    let api = daemon.address("api.listen").unwrap();
    let good = signed(&call(api, "GET", "/", &basic("one"), "").await, "/page/pause");
    let press = async |path: &str, headers: &str, signed: &str, app: &str| {
        call(api, "POST", path, headers, &format!("app={app}&signed={signed}")).await
    };
    let form = format!("{}{FORM}", basic("one"));
    let foreign = (403, "#foreign-page".to_owned());
    for (what, path, headers, signed, app) in [
        ("without a signature", "/page/pause", form.clone(), "", "shop"),
        ("one for something else", "/page/resume", form.clone(), &*good, "shop"),
        ("one for another app", "/page/pause", form.clone(), &*good, "bank"),
        ("one for another caller", "/page/pause", format!("{}{FORM}", basic("two")), &*good, "shop"),
        ("from another site", "/page/pause", format!("{form}Sec-Fetch-Site: cross-site\r\n"), &*good, "shop"),
        ("from another origin", "/page/pause", format!("{form}Origin: http://evil.example\r\n"), &*good, "shop"),
        ("no form", "/page/pause", format!("{}Content-Type: text/plain\r\n", basic("one")), &*good, "shop"),
    ] {
        let answer = press(path, &headers, signed, app).await;
        // Whether there is such an app is told to those who may use it.
        let wanted = if app == "bank" { (403, "#forbidden".to_owned()) } else { foreign.clone() };
        assert_eq!((answer.status, answer.problem()), wanted, "{what}: {answer:?}");
    }
    assert_eq!(press("/page/pause", FORM, &good, "shop").await.status, 401);
    let others = press("/page/pause", &format!("{}{FORM}", basic("other")), &good, "shop").await;
    assert_eq!((others.status, others.problem()), (403, "#forbidden".to_owned()));
    assert!(daemon.service().info(&shop()).unwrap().pause.is_none());
    daemon.stop().await;
}
