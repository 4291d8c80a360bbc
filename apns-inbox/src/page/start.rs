//! The page before the first push: how to send one.

use apns_proto::WallTime;
use maud::{Markup, html};

use super::View;
use super::frame::{Body, page};
use crate::again::quoted;
use crate::http::Shared;
use crate::store::Snapshot;

/// A device token for the examples.
const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

pub(super) fn draw(shared: &Shared, snapshot: &Snapshot, view: &View, now: WallTime) -> Markup {
    let body = Body { classes: "flow plain", panes: false, kept: "no push yet".to_owned() };
    page(shared, "No push yet", &body, view, &content(shared, snapshot, now))
}

fn content(shared: &Shared, snapshot: &Snapshot, now: WallTime) -> Markup {
    let simulator = shared.simulator();
    let (port, certs) = (simulator.http2_address().port(), shared.certs());
    let (key_id, team_id, topic) = (simulator.key_id(), simulator.team_id(), simulator.topic());
    let file = |name: &str| quoted(&format!("{certs}/{name}"));
    let signing_key = shared.signing_key();
    let send = format!(
        "apns send --host localhost --port {port} --ca {} \\\n  --p8 {} --key-id {key_id} --team-id {team_id} \\\n  \
         --topic {topic} --token {TOKEN} \\\n  --title Kitchen --body 'Tea is ready'",
        file("ca.pem"),
        quoted(&signing_key)
    );
    let node = format!(
        "const apn = require('@parse/node-apn')\nconst provider = new apn.Provider({{\n  token: {{ key: \
         '{signing_key}', keyId: '{key_id}', teamId: '{team_id}' }},\n  address: 'localhost', port: {port}, \
         ca: ['{certs}/ca.pem'],\n}})\nconst note = new apn.Notification({{\n  topic: '{topic}', pushType: 'alert', alert: \
         'Tea is ready',\n}})\nprovider.send(note, '{TOKEN}')\n  .then((result) => {{ console.log(result); \
         provider.shutdown() }})"
    );
    let curl = format!(
        "curl --http2 --cacert {} --cert {} --key {} \\\n  -H 'apns-topic: {topic}' -H 'apns-push-type: alert' \\\n  -d \
         '{{\"aps\":{{\"alert\":\"Tea is ready\"}}}}' \\\n  https://localhost:{port}/3/device/{TOKEN}",
        file("ca.pem"),
        file("client.pem"),
        file("client.key")
    );
    let from = if certs.starts_with('/') {
        "With the tool that this inbox comes with.".to_owned()
    } else {
        format!("With the tool that this inbox comes with. Run it where {certs} is.")
    };
    let library = format!("Point it at localhost:{port}, let it trust {certs}/ca.pem, and give it the pretend key.");
    let ways = [
        ("way1", "1. From the command line", from, send),
        ("way2", "2. From your own sender, here node-apn", library, node),
        ("way3", "3. With curl", "A client certificate in the place of a key.".to_owned(), curl),
    ];
    let addresses = [
        (
            "HTTP/2 provider API",
            format!("localhost:{port}"),
            "in the place of api.push.apple.com:443; broadcasts and channels as well",
        ),
        ("binary gateway", format!("localhost:{}", simulator.gateway_address().port()), "commands 0, 1 and 2"),
        (
            "feedback",
            format!("localhost:{}", simulator.feedback_address().port()),
            "the devices on which the app is gone",
        ),
        ("credentials", certs.to_owned(), "ca.pem, client.pem, client.key, client.p12, the signing key"),
        ("key and team", format!("{key_id}, {team_id}"), "for provider tokens"),
        ("for tests", "/v1/pushes?wait=5s".to_owned(), "and more in /openapi.json"),
    ];
    html! {
        main.start #start {
            h1 { "Nothing has been pushed yet" }
            p {
                "Send one of these. It appears here as a phone would show it, with what Apple would have said. Any device token \
                 in hexadecimal digits will do: a device is made when the first push to it comes."
            }
            @if let Some(last) = snapshot.failures.last.back() {
                p.alert.care role="status" {
                    span {
                        b { (snapshot.failures.count) " connections failed" } ", the last at "
                        (crate::clock::short(last.at, now)) ": " (last.why)
                    }
                }
            }
            @for (id, title, said, code) in ways {
                section {
                    div.head {
                        h2 { (title) }
                        button.button type="button" data-copy=(id) hidden { "Copy" }
                    }
                    p { (said) }
                    pre.code id=(id) { (code) }
                }
            }
            section {
                h2 { "Addresses" }
                p { "The name has to be " code { "localhost" } ", or one of Apple’s: the pretend certificate is for these." }
                table.table { tbody {
                    @for (name, value, said) in addresses {
                        tr { th scope="row" { (name) } td { (value) " " small { (said) } } }
                    }
                } }
            }
        }
    }
}
