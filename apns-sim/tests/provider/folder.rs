//! The folder in which authority and keys stay.

use std::fs;
use std::path::PathBuf;

use apns_sim::{CredentialFolder, Simulator, StartError};

use crate::client::{Client, Request, TOKEN, bearer_of};
use crate::support::{Identity, tls_trusting};

/// A folder that goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("apns-sim-{name}-{}", std::process::id())))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap()
    }

    async fn start(&self) -> Result<Simulator, StartError> {
        Simulator::builder().credentials_in(CredentialFolder::new(&self.0)).start().await
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[tokio::test]
async fn authority_and_keys_stay_from_one_simulator_to_the_next() {
    let folder = Folder::new("stay");
    let first = folder.start().await.unwrap();
    let (authority, key, signing) =
        (folder.read("ca.pem"), folder.read("client.key"), folder.read("AuthKey_SIMULATOR0.p8"));
    assert_eq!((first.ca_pem(), first.client_key_pem(), first.signing_key_pem()), (&*authority, &*key, &*signing));
    let old_certificate = first.client_certificate_pem().to_owned();
    let old_token = bearer_of(&first, first.key_id(), first.team_id(), 0);
    drop(first);

    let second = folder.start().await.unwrap();
    assert_eq!((second.ca_pem(), second.client_key_pem(), second.signing_key_pem()), (&*authority, &*key, &*signing));
    // What a client read before the restart is as good as what it reads now.
    let mut client = Client::new(&second).await;
    assert_eq!(client.send(&Request::bare(TOKEN).with("authorization", old_token)).await.status, 200);
    let identity = Identity::Pem(old_certificate, key.clone());
    let mut client =
        Client::over(tls_trusting(&authority, second.http2_address(), identity, &[b"h2"]).await.unwrap()).await;
    assert_eq!(client.send(&Request::bare(TOKEN)).await.status, 200);
    drop(second);

    // Another authority has to be wanted.
    fs::write(folder.0.join("ca.pem"), Simulator::start().await.unwrap().ca_pem()).unwrap();
    let error = folder.start().await.unwrap_err();
    assert!(error.to_string().contains("it is not the key of ca.pem"), "{error}");
    fs::remove_file(folder.0.join("ca.key")).unwrap();
    let anew = folder.start().await.unwrap();
    assert_ne!(anew.ca_pem(), authority);
    assert_eq!(folder.read("ca.pem"), anew.ca_pem());
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = Folder::new("file");
    fs::write(&folder.0, "").unwrap();
    let error = folder.start().await.unwrap_err();
    fs::remove_file(&folder.0).unwrap();
    assert!(matches!(error, StartError::Folder { .. }), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_private_unless_it_is_said_so() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new("modes");
    for (readable, expected) in [(false, 0), (true, 0o044)] {
        let wanted = CredentialFolder::new(&folder.0);
        let wanted = if readable { wanted.readable() } else { wanted };
        drop(Simulator::builder().credentials_in(wanted).start().await.unwrap());
        let mode = |name: &str| fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        for name in ["client.key", "client.p12", "AuthKey_SIMULATOR0.p8"] {
            assert_eq!(mode(name) & 0o077, expected, "{name}");
        }
        assert_eq!(mode("ca.pem") & 0o044, 0o044);
        assert_eq!(mode("ca.key") & 0o077, 0, "no client needs it");
    }
}

#[tokio::test]
async fn a_teams_own_authority_is_trusted_for_what_its_certificates_name() {
    let team = Simulator::builder().apps(["com.example.team"]).start().await.unwrap();
    let builder = Simulator::builder().client_authority(team.ca_pem());
    let simulator = builder.start().await.unwrap();
    let identity = Identity::Pem(team.client_certificate_pem().to_owned(), team.client_key_pem().to_owned());
    let tls = tls_trusting(simulator.ca_pem(), simulator.http2_address(), identity, &[b"h2"]).await.unwrap();
    let mut client = Client::over(tls).await;
    let push = |topic: &str| Request::bare(TOKEN).with("apns-topic", topic);
    assert_eq!(client.send(&push("com.example.team")).await.status, 200);
    assert_eq!(client.send(&push("com.example.app")).await.told(), (400, "TopicDisallowed".to_owned()));
    assert_eq!(
        Client::certified(&simulator).await.send(&push("com.example.app")).await.status,
        200,
        "its own still counts"
    );
    let wrong = Simulator::builder().client_authority("nothing").start().await.unwrap_err();
    assert!(matches!(wrong, StartError::ClientAuthority(_)), "{wrong}");
}
