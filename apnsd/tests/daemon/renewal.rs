//! Files that are renewed while the daemon runs.

use std::path::Path;

use apnsd::{Service, config::Config};

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
