//! XML-RPC, as the clients of pyapns speak it: their requests byte by byte, and the answers byte by byte.

use std::time::{Duration, Instant};

use apns_sim::RequestRecord;

use crate::http::{Answer, get};
use crate::pyapns::{Old, exchange};
use crate::support::{shop, token, until};

/// The head that a client sends, with `{path}`, `{host}` and `{length}` to be filled in.
const HEADS: [(&str, &str); 5] = [
    (
        "Python 2.6",
        "POST {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: xmlrpclib.py/1.0.1 (by www.pythonware.com)\r\n\
         Content-Type: text/xml\r\nContent-Length: {length}\r\n\r\n",
    ),
    (
        "Python 2.7",
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\n\
         User-Agent: xmlrpclib.py/1.0.1 (by www.pythonware.com)\r\nContent-Type: text/xml\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n",
    ),
    (
        "Python 3",
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: gzip\r\nContent-Type: text/xml\r\n\
         User-Agent: Python-xmlrpc/3.11\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
    ),
    (
        "Ruby",
        "POST {path} HTTP/1.1\r\nUser-Agent: XMLRPC::Client (Ruby 2.1.0)\r\nContent-Type: text/xml; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\nAccept-Encoding: identity\r\nAccept: */*\r\nHost: {host}\r\n\r\n",
    ),
    (
        "Rapuncel",
        "POST {path} HTTP/1.1\r\nUser-Agent: Rapuncel, Ruby XMLRPC Client\r\nContent-Type: text/xml\r\n\
         Accept: text/xml\r\nContent-Length: {length}\r\nHost: {host}\r\nConnection: close\r\n\r\n",
    ),
];

const PATHS: [&str; 3] = ["/", "/RPC2", "/some/where?else=1"];

const NIL: &str = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><nil/></value></param>\n</params>\n\
                   </methodResponse>\n";
const NO_FEEDBACK: &str = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><array><data>\n\
                           </data></array></value>\n</param>\n</params>\n</methodResponse>\n";

fn fault(code: u32, text: &str) -> String {
    format!(
        "<?xml version='1.0'?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n\
         <value><int>{code}</int></value>\n</member>\n<member>\n<name>faultString</name>\n\
         <value><string>{text}</string></value>\n</member>\n</struct></value>\n</fault>\n</methodResponse>\n"
    )
}

const UNKNOWN_APP: (u32, &str) = (404, "The app_id specified has not been provisioned.");

fn unknown_app() -> String {
    fault(UNKNOWN_APP.0, UNKNOWN_APP.1)
}

impl Old {
    async fn sent_by(&self, client: &str, path: &str, xml: &str) -> Answer {
        let (_, head) = HEADS.iter().find(|(name, _)| *name == client).unwrap();
        let address = self.rpc();
        let head = head
            .replace("{path}", path)
            .replace("{host}", &format!("localhost:{}", address.port()))
            .replace("{length}", &xml.len().to_string());
        exchange(address, format!("{head}{xml}").as_bytes()).await
    }

    /// What a call is answered with, headers checked.
    async fn call(&self, xml: &str) -> String {
        let answer = self.sent_by("Python 3", "/", xml).await;
        expect_http(&answer);
        answer.body
    }
}

/// The device token that a request is for, in hexadecimal.
fn token_of(request: &RequestRecord) -> &str {
    request.path.strip_prefix("/3/device/").unwrap()
}

fn expect_http(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/xml"), "{answer:?}");
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()), "{answer:?}");
}

/// A call as Python's library writes it.
fn call(method: &str, params: &[String]) -> String {
    let params: String = params.iter().map(|param| format!("<param>\n{param}</param>\n")).collect();
    format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n<params>\n{params}</params>\n\
         </methodCall>\n"
    )
}

fn text(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<value><string>{text}</string></value>\n")
}

fn int(number: i64) -> String {
    format!("<value><int>{number}</int></value>\n")
}

fn array(values: &[String]) -> String {
    format!("<value><array><data>\n{}</data></array></value>\n", values.concat())
}

fn members(members: &[(&str, String)]) -> String {
    let member = |(name, value): &(&str, String)| format!("<member>\n<name>{name}</name>\n{value}</member>\n");
    format!("<value><struct>\n{}</struct></value>\n", members.iter().map(member).collect::<String>())
}

fn alert(alert: &str) -> String {
    members(&[("aps", members(&[("alert", text(alert))]))])
}

fn hex(number: u32) -> String {
    token(number).to_hex()
}

fn notify(app: &str, tokens: String, notifications: String) -> String {
    call("notify", &[text(app), tokens, notifications])
}

/// The same calls in the words of each client.
fn dialects(client: &str, pem: &str, tea: &str) -> [String; 3] {
    match client {
        // `<i4>`, a text alone with a list of one, and no declaration of an encoding.
        "Ruby" => [
            format!(
                "<?xml version=\"1.0\" ?><methodCall><methodName>provision</methodName><params>\
                 <param><value><string>tea</string></value></param><param><value><string>{pem}</string></value></param>\
                 <param><value><string>sandbox</string></value></param><param><value><i4>15</i4></value></param>\
                 </params></methodCall>\n"
            ),
            format!(
                "<?xml version=\"1.0\" ?><methodCall><methodName>notify</methodName><params>\
                 <param><value><string>tea</string></value></param><param><value><string>{tea}</string></value></param>\
                 <param><value><array><data><value><struct><member><name>aps</name><value><struct><member>\
                 <name>alert</name><value><string>Tea is ready</string></value></member><member><name>badge</name>\
                 <value><i4>1</i4></value></member></struct></value></member></struct></value></data></array></value>\
                 </param></params></methodCall>\n"
            ),
            "<?xml version=\"1.0\" ?><methodCall><methodName>feedback</methodName><params><param><value>\
             <string>tea</string></value></param></params></methodCall>\n"
                .to_owned(),
        ],
        "Rapuncel" => [
            format!(
                "<?xml version=\"1.0\"?>\n<methodCall>\n  <methodName>provision</methodName>\n  <params>\n    <param>\n      \
                 <value>\n        <string>tea</string>\n      </value>\n    </param>\n    <param>\n      <value>\n        \
                 <string>{pem}</string>\n      </value>\n    </param>\n    <param>\n      <value>\n        \
                 <string>sandbox</string>\n      </value>\n    </param>\n    <param>\n      <value>\n        \
                 <int>15</int>\n      </value>\n    </param>\n  </params>\n</methodCall>\n"
            ),
            format!(
                "<?xml version=\"1.0\"?>\n<methodCall>\n  <methodName>notify</methodName>\n  <params>\n    <param>\n      \
                 <value>\n        <string>tea</string>\n      </value>\n    </param>\n    <param>\n      <value>\n        \
                 <array>\n          <data>\n            <value>\n              <string>{tea}</string>\n            \
                 </value>\n          </data>\n        </array>\n      </value>\n    </param>\n    <param>\n      \
                 <value>\n        <array>\n          <data>\n            <value>\n              <struct>\n                \
                 <member>\n                  <name>aps</name>\n                  <value>\n                    \
                 <struct>\n                      <member>\n                        <name>alert</name>\n                        \
                 <value>\n                          <string>Tea is ready</string>\n                        </value>\n                      \
                 </member>\n                      <member>\n                        <name>badge</name>\n                        \
                 <value>\n                          <int>1</int>\n                        </value>\n                      \
                 </member>\n                    </struct>\n                  </value>\n                </member>\n              \
                 </struct>\n            </value>\n          </data>\n        </array>\n      </value>\n    </param>\n  \
                 </params>\n</methodCall>\n"
            ),
            "<?xml version=\"1.0\"?>\n<methodCall>\n  <methodName>feedback</methodName>\n  <params>\n    <param>\n      \
             <value>\n        <string>tea</string>\n      </value>\n    </param>\n  </params>\n</methodCall>\n"
                .to_owned(),
        ],
        _ => [
            call("provision", &[text("tea"), text(pem), text("sandbox"), int(15)]),
            notify("tea", text(tea), members(&[("aps", members(&[("alert", text("Tea is ready")), ("badge", int(1))]))])),
            call("feedback", &[text("tea")]),
        ],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_answered_on_every_path() {
    let old = Old::new().await;
    let mut sent = 0;
    for (client, _) in HEADS {
        for path in PATHS {
            sent += 1;
            let tea = hex(sent);
            let spaced = format!("{} {}", &tea[..8], &tea[8..]);
            let [provision, notify, feedback] = dialects(client, &old.pem(), &spaced);
            for (request, expected) in [(provision, NIL), (notify, NIL), (feedback, NO_FEEDBACK)] {
                let answer = old.sent_by(client, path, &request).await;
                expect_http(&answer);
                assert_eq!(answer.body, expected, "{client} {path}");
            }
        }
    }
    assert_eq!((NIL.len(), NO_FEEDBACK.len()), (114, 138));
    let requests = old.requests(sent as usize).await;
    let mut tokens: Vec<&str> = requests.iter().map(token_of).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (1..=sent).map(hex).collect::<Vec<_>>());
    for request in &requests {
        assert_eq!(&request.payload[..], br#"{"aps":{"alert":"Tea is ready","badge":1}}"#);
        assert_eq!(request.push_type.as_deref(), Some("alert"));
        assert_eq!(request.topic.as_deref(), Some("com.example.app"), "what the certificate is for");
    }
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_come_in_every_shape() {
    let old = Old::new().await;
    let list = |numbers: &[u32]| array(&numbers.iter().map(|number| text(&hex(*number))).collect::<Vec<_>>());
    for (tokens, notifications) in [
        (text(&hex(1)), alert("one to one")),
        (list(&[2, 3]), array(&[alert("first"), alert("second")])),
        (text(&hex(4)), array(&[alert("one in a list")])),
        (list(&[5, 6]), alert("one for all")),
        (list(&[7]), array(&[alert("lists of one")])),
    ] {
        assert_eq!(old.call(&notify("shop", tokens, notifications)).await, NIL);
    }
    let mut found: Vec<(String, String)> = old
        .requests(7)
        .await
        .into_iter()
        .map(|request| (token_of(&request).to_owned(), String::from_utf8(request.payload.to_vec()).unwrap()))
        .collect();
    found.sort();
    let expected: Vec<(String, String)> =
        ["one to one", "first", "second", "one in a list", "one for all", "one for all", "lists of one"]
            .into_iter()
            .zip(1..)
            .map(|(alert, number)| (hex(number), format!(r#"{{"aps":{{"alert":"{alert}"}}}}"#)))
            .collect();
    assert_eq!(found, expected);
    // Nothing to do is done.
    assert_eq!(old.call(&notify("shop", array(&[]), array(&[]))).await, NIL);
    assert_eq!(old.call(&notify("shop", array(&[]), alert("to nobody"))).await, NIL);
    old.daemon.stop().await;
    assert_eq!(old.world.simulator.requests().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_larger_than_what_is_stored_at_once_is_taken_whole_or_refused_before_any_is_taken() {
    let old = Old::new().await;
    let tokens = || array(&(1..=5500).map(|number| text(&hex(number))).collect::<Vec<_>>());
    let large = members(&[("aps", members(&[("alert", text(&"x".repeat(5000)))]))]);
    let refused = old.call(&notify("shop", tokens(), large)).await;
    assert!(refused.contains("<fault>"), "{refused}");
    assert_eq!(old.daemon.service().total().await.unwrap().waiting, 0);
    assert_eq!(old.call(&notify("shop", tokens(), alert("one for all"))).await, NIL);
    let found: std::collections::BTreeSet<String> =
        old.requests(5500).await.iter().map(|request| token_of(request).to_owned()).collect();
    assert_eq!(found.len(), 5500, "each once");
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_arrive_as_they_were_written() {
    let old = Old::new().await;
    let value = |inner: &str| format!("<value>{inner}</value>\n");
    let payload = members(&[
        ("zebra", text("日本語 & <Grüße> 🎈")),
        ("aps", members(&[("sound", text("")), ("alert", text("a\"b\\c")), ("badge", value("<i4>0</i4>"))])),
        ("nothing", value("<nil/>")),
        ("list", array(&[value("<boolean>1</boolean>"), value("<double>0.25</double>"), value("plain"), int(-3)])),
    ]);
    assert_eq!(old.call(&notify("shop", text(&hex(1)), payload)).await, NIL);
    let request = old.requests(1).await.remove(0);
    assert_eq!(
        str::from_utf8(&request.payload).unwrap(),
        "{\"zebra\":\"日本語 & <Grüße> 🎈\",\"aps\":{\"sound\":\"\",\"alert\":\"a\\\"b\\\\c\",\"badge\":0},\
         \"nothing\":null,\"list\":[true,0.25,\"plain\",-3]}"
    );
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_has_the_bytes_that_clients_know() {
    let old = Old::new().await;
    let one = |number: u32| text(&hex(number));
    let nested = "<value><array><data>".repeat(5000);
    let bomb = "<?xml version='1.0'?><!DOCTYPE b [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>\
                <methodCall><methodName>&b;</methodName></methodCall>";
    let error = || fault(8002, "error");
    let environment = |found: &str| {
        fault(
            401,
            &format!("Invalid environment provided `{found}`. Valid environments are `sandbox` and `production`"),
        )
    };
    let pem = old.pem_path();
    let provision = |app: &str, cert: &str, environment: &str| {
        call("provision", &[text(app), text(cert), text(environment), int(15)])
    };
    let key_only = old.world.folder.path().join("client.key");
    for (request, expected) in [
        (provision("tea", &pem, "beta"), environment("beta")),
        (provision("shop", "/nowhere.pem", "<&>"), environment("&lt;&amp;&gt;")),
        (call("provision", &[text("tea"), text(&pem), int(3)]), environment("3")),
        (notify("tea", one(1), alert("x")), unknown_app()),
        (call("notify", &[int(7), int(7), int(7)]), unknown_app()),
        (notify(&"long".repeat(100), one(1), alert("x")), unknown_app()),
        (call("feedback", &[text("tea")]), unknown_app()),
        (call("feedback", &[int(7)]), unknown_app()),
        (call("config", &[text("shop")]), fault(8001, "procedure config not found")),
        (call("system.listMethods", &[]), fault(8001, "no such subHandler system")),
        (call("a.b.c", &[]), fault(8001, "no such subHandler a")),
        (call("provision", &[text("tea")]), error()),
        (call("provision", &[text("tea"), text(&pem), text("sandbox"), text("soon")]), error()),
        (call("provision", &[text("tea"), text(&pem), text("sandbox"), int(-1)]), error()),
        (call("provision", &[text("tea"), text(&pem), text("sandbox"), int(1), int(1)]), error()),
        (call("provision", &[int(1), text(&pem), text("sandbox")]), error()),
        (provision("tea", "/nowhere.pem", "sandbox"), error()),
        (provision("tea", key_only.to_str().unwrap(), "sandbox"), error()),
        (provision("tea", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----", "sandbox"), error()),
        (call("notify", &[text("shop"), one(1)]), error()),
        (call("notify", &[text("shop"), one(1), alert("x"), int(1)]), error()),
        (call("feedback", &[]), error()),
        (call("feedback", &[text("shop"), int(1)]), error()),
        (notify("shop", text("not hex"), alert("x")), error()),
        (notify("shop", text("abc"), alert("x")), error()),
        (notify("shop", text(""), alert("x")), error()),
        (notify("shop", int(5), alert("x")), error()),
        (notify("shop", array(&[one(1), int(5)]), alert("x")), error()),
        (notify("shop", one(1), text("x")), error()),
        (notify("shop", one(1), "<value><nil/></value>".to_owned()), error()),
        (
            notify(
                "shop",
                one(1),
                members(&[("at", "<value><dateTime.iso8601>20130101T00:00:00</dateTime.iso8601></value>".to_owned())]),
            ),
            error(),
        ),
        (notify("shop", one(1), members(&[("raw", "<value><base64>AAEC</base64></value>".to_owned())])), error()),
        (notify("shop", one(1), members(&[("n", "<value><double>nan</double></value>".to_owned())])), error()),
        (notify("shop", one(1), alert(&"x".repeat(5000))), error()),
        (
            notify("shop", one(1), array(&[alert("x"), alert("y")])),
            fault(8002, "error: 1 device tokens and 2 notifications; nothing was sent, as many of each are needed"),
        ),
        (
            notify("shop", array(&[one(1), one(2), one(3)]), array(&[alert("x")])),
            fault(8002, "error: 3 device tokens and 1 notifications; nothing was sent, as many of each are needed"),
        ),
        (bomb.to_owned(), fault(8002, "Can't deserialize input: a document type is not taken")),
        (
            String::new(),
            fault(
                8002,
                "Can't deserialize input: the end of the document was found where &lt;methodCall&gt; has to be",
            ),
        ),
        (
            format!("<methodCall><methodName>notify</methodName><params><param>{nested}"),
            fault(8002, "Can't deserialize input: values are nested deeper than 64"),
        ),
    ] {
        let answer = old.sent_by("Python 3", "/", &request).await;
        expect_http(&answer);
        assert_eq!(answer.body, expected, "{request}");
        assert!(answer.header("x-apns-detail").is_some() == (expected == error()), "{answer:?}");
        assert!(!format!("{answer:?}").contains(&hex(1)[..16]), "{answer:?}");
    }
    let malformed = old.call("<methodCall><methodName>notify</methodCall>").await;
    assert!(
        malformed.contains("<int>8002</int>") && malformed.contains(">Can't deserialize input: it is not well-formed")
    );
    old.daemon.stop().await;
    assert_eq!(old.world.simulator.requests().len(), 0, "what is refused is not sent in part");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_than_post_are_turned_away_in_html() {
    let old = Old::new().await;
    for path in PATHS {
        let answer = get(old.rpc(), path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
        assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{answer:?}");
        assert!(answer.body.contains("<h1>Method Not Allowed</h1>"));
    }
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_a_fault() {
    let old = Old::with("{}", "").await;
    let limit = 16 << 20;
    let answer = old.sent_by("Python 3", "/", &"x".repeat(limit + 1)).await;
    expect_http(&answer);
    let text = format!("Can't deserialize input: the call is larger than {limit} bytes");
    assert_eq!(answer.body, fault(8002, &text));
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_again_replaces() {
    let old = Old::new().await;
    let path = old.pem_path();
    let provision = |cert: &str, environment: &str| call("provision", &[text("tea"), text(cert), text(environment)]);
    assert_eq!(old.call(&provision("/nowhere.pem", "sandbox")).await, fault(8002, "error"));
    assert_eq!(old.call(&notify("tea", text(&hex(1)), alert("x"))).await, unknown_app(), "it is not there by halves");
    assert_eq!(old.call(&provision(&path, "production")).await, NIL);
    assert_eq!(old.call(&provision(&old.pem(), "sandbox")).await, NIL);
    let info = old.daemon.service().info(&"tea".parse().unwrap()).unwrap();
    assert_eq!(info.environment, apns_tokio::Environment::Sandbox.into());
    assert_eq!(info.patience, Duration::from_secs(15), "the timeout when none is told");
    assert_eq!(old.call(&provision("/nowhere.pem", "sandbox")).await, fault(8002, "error"));
    assert_eq!(old.call(&notify("tea", text(&hex(1)), alert("x"))).await, NIL, "what could be used stays in use");
    old.requests(1).await;

    // One of the file keeps what the client does not tell.
    let shop_again = call("provision", &[text("shop"), text(&path), text("sandbox"), int(7)]);
    assert_eq!(old.call(&shop_again).await, NIL);
    let info = old.daemon.service().info(&shop()).unwrap();
    assert_eq!((info.topic.as_deref(), info.patience), (Some("com.example.app"), Duration::from_secs(7)));
    assert!(matches!(info.credential, apnsd::Credential::Certificate { .. }));
    old.daemon.stop().await;

    // It outlives the daemon.
    let again = Old::start(&old.world, "").await;
    assert!(again.service().knows(&"tea".parse().unwrap()));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_of_the_file_can_be_kept_from_their_clients() {
    let world = crate::support::World::new().await;
    let text_of = world.config_text("").replace("[pyapns]\n", "[pyapns]\nkeep_apps = true\n");
    let config = apnsd::config::Config::parse(&text_of, world.folder.path()).unwrap();
    let old = Old { daemon: apnsd::Daemon::start(config).await.unwrap(), world };
    for (cert, environment, expected) in [
        ("/gone/with/the/old/host.pem", "production", NIL.to_owned()),
        (
            "/gone/with/the/old/host.pem",
            "beta",
            fault(401, "Invalid environment provided `beta`. Valid environments are `sandbox` and `production`"),
        ),
    ] {
        let answer = old.call(&call("provision", &[text("shop"), text(cert), text(environment), int(15)])).await;
        assert_eq!(answer, expected);
    }
    assert_eq!(old.call(&notify("shop", text(&hex(1)), alert("with the signing key"))).await, NIL);
    old.requests(1).await;
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn feedback_is_told_once_and_oldest_first() {
    let unregistered = |number: u32, time: u64| format!("{{\"token\": \"{}\", \"timestamp_ms\": {time}}}", hex(number));
    let script = format!(
        "{{\"invalid_tokens\": [\"{}\"], \"http2\": {{\"unregistered\": [{}, {}]}}}}",
        hex(9),
        unregistered(1, 1_386_604_500_000),
        unregistered(2, 1_500_000_000_000)
    );
    let old = Old::with(&script, "").await;
    assert_eq!(old.call(&call("feedback", &[text("shop")])).await, NO_FEEDBACK);
    let wait = Duration::from_secs(60);
    for number in [1, 9, 2] {
        let one = crate::support::notification(number).into();
        let accepted = old.daemon.service().submit(&shop(), vec![one]).await.unwrap();
        old.daemon.service().wait(accepted[0].id, wait).await.unwrap().unwrap();
    }
    let request = call("feedback", &[text("shop")]);
    let told = |records: &[(&str, u32)]| {
        let records: String = records
            .iter()
            .map(|(time, number)| {
                format!(
                    "<value><array><data>\n<value><dateTime.iso8601>{time}</dateTime.iso8601></value>\n\
                     <value><string>{}</string></value>\n</data></array></value>\n",
                    hex(*number)
                )
            })
            .collect();
        NO_FEEDBACK.replace("</data>", &format!("{records}</data>"))
    };
    let expected = told(&[("20131209T15:55:00", 1), ("20170714T02:40:00", 2)]);
    assert_eq!(old.call(&request).await, expected, "without the one that may be of the other environment");
    assert_eq!(old.call(&request).await, NO_FEEDBACK);
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_for_an_app_that_is_not_there_are_cheap() {
    let old = Old::new().await;
    let provision = call("provision", &[text("tea"), text(&old.pem_path()), text("sandbox"), int(15)]);
    let notify = notify("unknown", text(&hex(1)), alert("x"));
    let began = Instant::now();
    for _ in 0..325 {
        assert_eq!(old.call(&provision).await, NIL);
        assert_eq!(old.call(&notify).await, unknown_app());
    }
    let took = began.elapsed();
    // Far more than it takes on a busy machine; one connection to the service for each would take longer.
    assert!(took < Duration::from_secs(30), "{took:?}");
    old.daemon.stop().await;
    assert!(
        old.world.simulator.counts().http2_connections <= 2,
        "and what is provisioned anew as it was stays connected"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_fault_500() {
    let old = Old::with("{}", "").await;
    let world = &old.world;
    let full = world
        .config_text("rate = 1\n")
        .replace("[api]", "[outbox]\nmax_notifications = 2\n[api]")
        .replace("data = \"data\"", "data = \"full\"");
    // Nothing leaves: there is no service at this port.
    let full = full.replace(&format!("port = {}\n", world.simulator.http2_address().port()), "port = 1\n");
    let config = apnsd::config::Config::parse(&full, world.folder.path()).unwrap();
    let daemon = apnsd::Daemon::start(config).await.unwrap();
    let old = Old { daemon, world: crate::support::World::new().await };
    let tokens: Vec<String> = (1..=3).map(|number| text(&hex(number))).collect();
    let down = fault(500, "Connection to the APNS server could not be made.");
    assert_eq!(old.call(&notify("shop", array(&tokens[..1]), alert("no connection, and stored"))).await, NIL);
    let began = Instant::now();
    assert_eq!(old.call(&notify("shop", array(&tokens), alert("too many at once"))).await, down);
    assert!(began.elapsed() > Duration::from_secs(5), "there was time for room to come");
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for_as_everywhere() {
    let tokens = "[[token]]\nname = \"tea\"\nsecret = \"tea-0123456789abcdef\"\napps = [\"shop\"]\n\
                  [[token]]\nname = \"root\"\nsecret = \"root-0123456789abcdef\"\nadmin = true\n";
    let old = Old::with("{}", tokens).await;
    let provision = call("provision", &[text("tea"), text(&old.pem_path()), text("sandbox")]);
    let notify_shop = notify("shop", text(&hex(1)), alert("x"));
    let with = |authorization: &str, xml: &str| {
        let header =
            if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}\r\n") };
        format!(
            "POST / HTTP/1.1\r\nHost: daemon.example\r\nConnection: close\r\n{header}Content-Type: text/xml\r\n\
                 Content-Length: {}\r\n\r\n{xml}",
            xml.len()
        )
    };
    // `user:tea-0123456789abcdef`, as Python makes it of `http://user:tea-…@host/`.
    let basic = "Basic dXNlcjp0ZWEtMDEyMzQ1Njc4OWFiY2RlZg==";
    let root = "Bearer root-0123456789abcdef";
    for (authorization, xml, status) in [
        ("", &notify_shop, 401),
        ("Bearer wrong-0123456789abc", &notify_shop, 401),
        (basic, &notify_shop, 200),
        (basic, &provision, 403),
        (basic, &notify("tea", text(&hex(1)), alert("x")), 403),
        (root, &provision, 200),
        (root, &notify("nobody", text(&hex(1)), alert("x")), 200),
    ] {
        let answer = exchange(old.rpc(), with(authorization, xml).as_bytes()).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_web_page_can_send() {
    let old = Old::new().await;
    let xml = notify("shop", text(&hex(1)), alert("x"));
    for header in
        ["Host: evil.example", "Host: localhost\r\nOrigin: http://evil.example", "Host: localhost\r\nOrigin: null"]
    {
        let request = format!(
            "POST / HTTP/1.1\r\n{header}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{xml}",
            xml.len()
        );
        assert_eq!(exchange(old.rpc(), request.as_bytes()).await.status, 403, "{header}");
    }
    old.daemon.stop().await;
    assert_eq!(old.world.simulator.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p10_all_that_call_while_the_first_connection_is_made_are_served() {
    let old = Old::new().await;
    let provision = call("provision", &[text("tea"), text(&old.pem_path()), text("sandbox"), int(15)]);
    assert_eq!(old.call(&provision).await, NIL);
    let calls = (0..20).map(|number| {
        let old = &old;
        async move { old.call(&notify("tea", text(&hex(number)), alert("at the same time"))).await }
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, NIL, "every second one had fault 500");
    }
    assert_eq!(old.requests(20).await.len(), 20);
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn p14_a_short_token_is_sent_as_it_is() {
    let old = Old::new().await;
    let short = "27 ".repeat(28);
    assert_eq!(old.call(&notify("shop", text(&short), alert("x"))).await, NIL);
    assert_eq!(token_of(&old.requests(1).await[0]), "27".repeat(28), "neither filled up nor cut");
    old.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b92_only_hexadecimal_reaches_the_path() {
    let old = Old::new().await;
    for token in ["../x", "//host/x", "a?b", "a%2fb", "ab\r\nx: y", "(null)"] {
        assert_eq!(old.call(&notify("shop", text(token), alert("x"))).await, fault(8002, "error"), "{token}");
    }
    old.daemon.stop().await;
    assert_eq!(old.world.simulator.counts().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_what_is_called_while_the_connection_is_gone_is_delivered() {
    // The service ends each of the first connections behind its second request.
    let script = "{\"http2\": {\"connections\": [{\"close_after\": 2}, {\"close_after\": 2}]}}";
    let old = Old::with(script, "").await;
    for number in 1..=8 {
        assert_eq!(old.call(&notify("shop", text(&hex(number)), alert("x"))).await, NIL);
    }
    let ended = async || old.daemon.service().snapshot(&shop()).unwrap().ended.values().sum::<u64>() >= 8;
    until("all have an end", ended).await;
    let snapshot = old.daemon.service().snapshot(&shop()).unwrap();
    let accepted = snapshot.ended.get("accepted").copied().unwrap_or_default();
    let unknown = snapshot.ended.get("unknown").copied().unwrap_or_default();
    assert_eq!(accepted + unknown, 8, "each has an end that is true: {:?}", snapshot.ended);
    assert!(accepted > 0, "{:?}", snapshot.ended);
    old.daemon.stop().await;
}
