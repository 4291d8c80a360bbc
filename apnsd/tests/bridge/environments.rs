//! An app for both environments: a client's certificate says which one its device tokens are of.

use apns_sim::{Script, Simulator};
use apnsd::Daemon;
use apnsd::config::Config;
use rcgen::{CertificateParams, CustomExtension};

use crate::client::{Manners, Old, frame, payload};
use crate::door::certificate;
use crate::support::{World, token, until};
use crate::world::{BRIDGE, Bridged};

/// As Apple marks what it issues for development (1) and for production (2).
fn issued_for(environment: u64) -> impl FnOnce(&mut CertificateParams) {
    move |parameters| {
        let oid = [1, 2, 840, 113_635, 100, 6, 3, environment];
        parameters.custom_extensions = vec![CustomExtension::from_oid_content(&oid, vec![5, 0])];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_sends_to_the_environment_that_its_certificate_is_for() {
    let world = World::new().await;
    let sandbox = Simulator::builder().script(Script::default()).start().await.unwrap();
    sandbox.write_certificates(world.folder.path().join("sandbox")).unwrap();
    let both = format!("{}{}", world.simulator.ca_pem(), sandbox.ca_pem());
    std::fs::write(world.folder.path().join("both.pem"), both).unwrap();
    let config = |environment: &str| {
        let text = format!(
            "data = \"data\"\n{BRIDGE}by_topic = true\n\
             [apps.shop]\nenvironment = \"{environment}\"\ntopic = \"com.example.app\"\nca = \"both.pem\"\n\
             [apps.shop.production]\nsigning_key = \"AuthKey_SIMULATOR0.p8\"\nkey_id = \"{}\"\nteam_id = \"{}\"\n\
             host = \"localhost\"\nport = {}\n\
             [apps.shop.sandbox]\ncertificate = \"sandbox/client.pem\"\nkey = \"sandbox/client.key\"\n\
             host = \"localhost\"\nport = {}\n",
            world.simulator.key_id(),
            world.simulator.team_id(),
            world.simulator.http2_address().port(),
            sandbox.http2_address().port(),
        );
        Config::parse(&text, world.folder.path()).unwrap()
    };
    let (daemon, other_default) = (Daemon::start(config("production")).await.unwrap(), config("sandbox"));
    let bridged = Bridged { world, daemon };
    let own = (sandbox.client_certificate_pem().to_owned(), sandbox.client_key_pem().to_owned());
    let development = certificate("com.example.app", issued_for(1));
    let production = certificate("com.example.app", issued_for(2));
    let unmarked = certificate("com.example.app", |_| {});
    let mut number = 0;
    for default in ["production", "sandbox"] {
        if default == "sandbox" {
            bridged.daemon.reload(&other_default).await.unwrap();
        }
        for (what, (certificate, key), to) in [
            ("the app's own for the sandbox", &own, "sandbox"),
            ("issued for development", &development, "sandbox"),
            ("issued for production", &production, "production"),
            ("issued for neither", &unmarked, default),
        ] {
            number += 1;
            let mut old = Old::connect_as(&bridged, bridged.gateway(), &Manners::with(certificate, key)).await.unwrap();
            old.write(&frame(number, &token(number), &payload(number))).await;
            let asked = |simulator: &Simulator| {
                let sent = token(number);
                simulator.requests().iter().filter(|one| one.token.as_deref() == Some(sent.as_bytes())).count()
            };
            let counts = || [asked(&bridged.world.simulator), asked(&sandbox)];
            until(what, async || counts() != [0, 0]).await;
            let expected = if to == "sandbox" { [0, 1] } else { [1, 0] };
            assert_eq!(counts(), expected, "{what}, by default {default}");
            old.close().await;
        }
    }
    bridged.daemon.stop().await;
}
