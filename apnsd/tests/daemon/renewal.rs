//! Files that are renewed while the daemon runs.

use std::path::Path;

use std::net::SocketAddr;
use std::sync::Arc;

use apnsd::{Daemon, Service, config::Config};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::{SOON, World, shop, submit, until};

/// A certificate of its own maker, good for the app, with its key in the same file.
fn certificate(name: &str) -> String {
    let parameters = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    format!("{}{}", certificate.pem(), key.serialize_pem())
}

fn fingerprint(service: &Service) -> String {
    format!("{:?}", service.info(&shop()).unwrap().credential)
}

fn with_certificate(world: &World, path: &str) -> Config {
    let mut config = world.config("");
    let definition = config.apps.get_mut(&shop()).unwrap();
    (definition.signing_key, definition.key_id, definition.team_id) = (None, None, None);
    definition.certificate = Some(world.folder.path().join(path));
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_definition_with_another_file_is_another_app() {
    let world = World::new().await;
    let file = world.folder.path().join("app.pem");
    std::fs::write(&file, certificate("one")).unwrap();
    let mut config = with_certificate(&world, "app.pem");
    let definition = config.apps.remove(&shop()).unwrap();
    let service = Service::start(&config).await.unwrap();
    service.provision(&shop(), definition.clone()).await.unwrap();
    let first = fingerprint(&service);
    service.provision(&shop(), definition.clone()).await.unwrap();
    assert_eq!(fingerprint(&service), first, "nothing has changed");
    std::fs::write(&file, certificate("two")).unwrap();
    service.provision(&shop(), definition).await.unwrap();
    let second = fingerprint(&service);
    assert_ne!(second, first, "it was provisioned again");
    // The file of the configuration says nothing of it, and SIGHUP has it read again all the same.
    std::fs::write(&file, certificate("three")).unwrap();
    service.reload(&config).await.unwrap();
    assert_ne!(fingerprint(&service), second, "the configuration was read again");
    // One that cannot be used changes nothing.
    let third = fingerprint(&service);
    std::fs::write(&file, "nothing of use").unwrap();
    service.reload(&config).await.unwrap();
    assert_eq!(fingerprint(&service), third);
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(unix)]
async fn a_file_that_is_swapped_is_taken_within_a_minute() {
    let world = World::new().await;
    let folder = world.folder.path();
    // As Kubernetes mounts a secret: the file is a link into a directory that is a link itself, which is swapped.
    let link = |from: &Path, to: &str| std::os::unix::fs::symlink(to, from).unwrap();
    for (version, name) in [("..v1", "one"), ("..v2", "two")] {
        std::fs::create_dir(folder.join(version)).unwrap();
        std::fs::write(folder.join(version).join("app.pem"), certificate(name)).unwrap();
    }
    link(&folder.join("..data"), "..v1");
    link(&folder.join("app.pem"), "..data/app.pem");
    let service = Service::start(&with_certificate(&world, "app.pem")).await.unwrap();
    let first = fingerprint(&service);
    link(&folder.join("..next"), "..v2");
    std::fs::rename(folder.join("..next"), folder.join("..data")).unwrap();
    let told = std::time::Instant::now();
    until("the new one is taken", async || fingerprint(&service) != first).await;
    assert!(told.elapsed() < std::time::Duration::from_secs(60));
    service.stop(SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_out_when_the_file_that_was_wrong_is_renewed() {
    let world = World::new().await;
    let trusted = world.folder.path().join("trusted.pem");
    std::fs::write(&trusted, certificate("somebody else")).unwrap();
    let mut config = world.config("");
    config.apps.get_mut(&shop()).unwrap().ca = Some(trusted.clone());
    let service = Service::start(&config).await.unwrap();
    let ids = submit(&service, 20).await;
    until("the service is not trusted", async || !service.failing().is_empty()).await;
    std::fs::copy(world.folder.path().join("ca.pem"), &trusted).unwrap();
    let records = service.wait_all(&ids, SOON).await.unwrap();
    assert!(records.iter().all(|record| record.as_ref().is_some_and(|record| record.is_accepted())), "{records:?}");
    assert!(service.failing().is_empty());
    service.stop(SOON).await;
}

/// Which of these certificates a port shows, by its place.
async fn shown(port: SocketAddr, certificates: &[CertificateDer<'static>]) -> usize {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    // With TLS 1.3 the server shows itself before it judges the client, which the bridge would not let in.
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&tokio_rustls::rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(port).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let found = &stream.get_ref().1.peer_certificates().unwrap()[0];
    certificates.iter().position(|certificate| certificate == found).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_the_ports_are_renewed_by_themselves_and_on_a_signal() {
    let world = World::new().await;
    let path = |name: &str| world.folder.path().join(name);
    let made: Vec<_> =
        (0..3).map(|_| rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap()).collect();
    let certificates: Vec<CertificateDer<'static>> = made.iter().map(|made| made.cert.der().clone()).collect();
    let put = |number: usize| {
        std::fs::write(path("port.pem"), made[number].cert.pem()).unwrap();
        std::fs::write(path("port.key"), made[number].signing_key.serialize_pem()).unwrap();
    };
    put(0);
    let files = "certificate = \"port.pem\"\nkey = \"port.key\"\n";
    let tls = format!("[api.tls]\nlisten = \"127.0.0.1:0\"\n{files}[pyapns]");
    let bridge = format!("[bridge]\nlisten = \"127.0.0.1:0\"\nfeedback_listen = \"127.0.0.1:0\"\n{files}");
    let text = world.config_text(&bridge).replace("[pyapns]", &tls);
    let config = Config::parse(&text, world.folder.path()).unwrap();
    let daemon = Daemon::start(config.clone()).await.unwrap();
    let ports =
        ["api.tls.listen", "bridge.listen", "bridge.feedback_listen"].map(|field| daemon.address(field).unwrap());
    let all_show = async |number: usize| {
        for port in ports {
            if shown(port, &certificates).await != number {
                return false;
            }
        }
        true
    };
    assert!(all_show(0).await);
    put(1);
    until("the new one is shown", async || all_show(1).await).await;
    put(2);
    daemon.reload(&config).await.unwrap();
    assert!(all_show(2).await);
    daemon.stop().await;
}
