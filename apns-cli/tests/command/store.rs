//! `apns store move`, as far as it comes without a server.

use crate::support::{Folder, run};

#[test]
fn it_says_what_it_needs() {
    let folder = Folder::new();
    let config = |text: &str| folder.write("apnsd.toml", format!("data = {:?}\n{text}", folder.path("data")));
    let ask = |config: &str| run(["store", "move", "--config", config, "--to", "postgres"]).expect(2);
    let alone = ask(&config("")).stderr;
    // A program that knows one store says that before all else.
    if alone.contains("built without the feature `postgres`") {
        return;
    }
    assert!(alone.contains("store: it is missing"), "{alone}");
    // A port that nobody listens at.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let both = config(&format!("[store]\nurl = \"postgres://apnsd@{free}/apnsd\"\nnode = \"one\"\n"));
    let nothing = ask(&both).stderr;
    assert!(nothing.contains("there is no outbox in"), "{nothing}");
    let back = run(["store", "move", "--config", &both, "--to", "sqlite"]).expect(2).stderr;
    assert!(back.contains("the outbox is not moved: "), "{back}");
    assert!(!std::path::Path::new(&folder.path("data")).exists(), "nothing was made");
}
