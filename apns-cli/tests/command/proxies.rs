//! The way through a proxy, as options, variables and profiles say it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{Folder, Run, Sim, apns, finish, run, token};

/// A proxy of HTTP.
pub(crate) struct Proxy {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Opens every tunnel to this place.
    pub(crate) fn to(service: SocketAddr) -> Self {
        Self::start(move |mut client| {
            let mut service = TcpStream::connect(service).unwrap();
            drop(client.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
            let (mut from, mut to) = (client.try_clone().unwrap(), service.try_clone().unwrap());
            thread::spawn(move || {
                drop(std::io::copy(&mut from, &mut to));
                drop(to.shutdown(Shutdown::Write));
            });
            drop(std::io::copy(&mut service, &mut client));
            drop(client.shutdown(Shutdown::Write));
        })
    }

    /// Says this to everybody.
    pub(crate) fn saying(words: &'static str) -> Self {
        Self::start(move |mut client| drop(client.write_all(words.as_bytes())))
    }

    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, serve) = (heads.clone(), Arc::new(serve));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (mut client, kept, serve) = (client.unwrap(), kept.clone(), serve.clone());
                thread::spawn(move || {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let mut byte = [0];
                        if client.read(&mut byte).unwrap_or(0) == 0 {
                            return;
                        }
                        head.push(byte[0]);
                    }
                    kept.lock().unwrap().push(String::from_utf8(head).unwrap());
                    serve(client);
                });
            }
        });
        Self { url, heads }
    }

    /// The URL with this before the host.
    fn with(&self, user_info: &str) -> String {
        self.url.replace("://", &format!("://{user_info}@"))
    }

    fn asked(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

/// The arguments for a host that this machine cannot resolve.
fn behind(mut arguments: Vec<String>, host: &str) -> Vec<String> {
    let place = arguments.iter().position(|argument| argument == "localhost").unwrap();
    host.clone_into(&mut arguments[place]);
    arguments
}

const APPLE: &str = "api.push.apple.com";

#[test]
fn both_protocols_feedback_and_channels_go_through_the_proxy() {
    let sim = Sim::scripted(r#"{"feedback": {"records": [{"token": "deadbeef", "timestamp": 1}]}}"#);
    let simulator = &sim.simulator;
    let one = ["--token", &token(1), "--body", "x"];
    let proxy = Proxy::to(simulator.http2_address());
    let options = [&one[..], &["--proxy", &proxy.url]].concat();
    assert_eq!(run(behind(sim.provider(&options), APPLE)).expect(0).outcomes(), ["accepted"]);
    let port = simulator.http2_address().port();
    assert!(proxy.heads.lock().unwrap()[0].starts_with(&format!("CONNECT {APPLE}:{port} HTTP/1.1\r\n")));

    let key = sim.folder.path("AuthKey_SIMULATOR0.p8");
    let mut channels = behind(sim.to_provider(&["channels", "list", "--topic", "com.example.app"]), APPLE);
    for (option, value) in
        [("--p8", &*key), ("--key-id", simulator.key_id()), ("--team-id", simulator.team_id()), ("--proxy", &proxy.url)]
    {
        channels.extend([option.to_owned(), value.to_owned()]);
    }
    run(channels).expect(0);
    assert_eq!(proxy.asked(), 2);

    let proxy = Proxy::to(simulator.gateway_address());
    let options = [&one[..], &["--proxy", &proxy.url]].concat();
    assert_eq!(run(behind(sim.send(&options), "gateway.push.apple.com")).expect(0).outcomes(), ["accepted"]);
    let proxy = Proxy::to(simulator.feedback_address());
    let feedback = run(behind(sim.feedback(&["--proxy", &proxy.url]), "feedback.push.apple.com")).expect(0);
    assert!(feedback.stdout.contains("deadbeef"), "{feedback:?}");
}

#[track_caller]
fn assert_says(run: &Run, words: &[&str]) {
    for words in words {
        assert!(run.stderr.contains(words), "{words:?} is not in {}", run.stderr);
    }
    assert!(!format!("{run:?}").contains("s3cret"), "{run:?}");
}

#[test]
fn a_refusal_of_the_proxy_is_said_with_a_remedy_and_is_none_of_the_service() {
    let sim = Sim::start();
    for (words, user_info, said) in [
        ("HTTP/1.1 407 Who\r\n\r\n", "", &["answers 407 Who: it wants a user and a password", "--proxy-password-file"]),
        (
            "HTTP/1.1 407 Who\r\n\r\n",
            "me:s3cret@",
            &["it does not take the user and the password", "were not looked at"],
        ),
        ("HTTP/1.1 403 No\r\n\r\n", "", &["answers 403 No", "has to allow CONNECT to this host and port"]),
    ] {
        let proxy = Proxy::saying(words);
        let url = proxy.url.replace("://", &format!("://{user_info}"));
        let arguments = sim.provider(&["--token", &token(1), "--body", "x", "--timeout", "20s", "--proxy", &url]);
        let run = run(arguments).expect(3);
        assert_eq!(run.row()["outcome"], json!("not_sent"), "{run:?}");
        assert_says(
            &run,
            &[&["no connection to localhost:", "the proxy opened no tunnel: http://127.0.0.1:"], &said[..]].concat(),
        );
        assert_eq!(proxy.asked(), 1, "it is not tried again");
    }
    // What may be over soon is tried again.
    let proxy = Proxy::saying("HTTP/1.1 503 Not now\r\n\r\n");
    let arguments = sim.send(&["--token", &token(1), "--body", "x", "--timeout", "2s", "--proxy", &proxy.url]);
    let run = run(arguments).expect(3);
    assert_says(&run, &["answers 503 Not now", "the proxy's own network"]);
    assert!(proxy.asked() >= 2, "{}", proxy.asked());
}

#[test]
fn the_password_may_be_in_a_file() {
    let sim = Sim::start();
    let proxy = Proxy::to(sim.simulator.http2_address());
    let file = sim.folder.write("password", "s3cret\n");
    let url = proxy.with("me");
    let one = ["--token", &token(1), "--body", "x", "--proxy-password-file", &file, "--proxy"];
    run(sim.provider(&[&one[..], &[&url]].concat())).expect(0);
    let head = proxy.heads.lock().unwrap()[0].clone();
    assert!(head.contains(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode("me:s3cret"))), "{head}");
    for (url, words) in [(&proxy.url, "its URL names no user"), (&proxy.with("me:other"), "there are two passwords")] {
        let run = run(sim.provider(&[&one[..], &[url]].concat())).expect(2);
        assert_says(&run, &["the proxy in the options", words]);
    }
}

/// Which of three proxies is asked, by what is set.
#[test]
fn the_first_layer_that_says_something_names_the_proxy() {
    let sim = Sim::start();
    let folder = Folder::new();
    let [option, variable, profile, everywhere] = [(); 4].map(|()| Proxy::saying("HTTP/1.1 403 No\r\n\r\n"));
    let config = folder.write("config.toml", format!("[x]\nproxy = '{}'\n[none]\nproxy = 'none'\n", profile.url));
    let send = |options: &[&str], variables: &[(&str, &str)]| {
        let one = ["--token", &token(1), "--body", "x", "--timeout", "100ms"];
        let options = [&one[..], options].concat();
        let mut command = apns(behind(sim.provider(&options), "api.invalid"));
        command.env("APNS_CONFIG", &config).envs(variables.iter().copied());
        finish(command.spawn().unwrap()).expect(3);
        let asked =
            [&option, &variable, &profile, &everywhere].map(|proxy| proxy.heads.lock().unwrap().drain(..).count());
        asked.map(|count| count.min(1))
    };
    let from_variable = ("APNS_PROXY", &*variable.url);
    let from_everywhere = ("HTTPS_PROXY", &*everywhere.url);
    let both = &[from_variable, from_everywhere];
    assert_eq!(send(&["--proxy", &option.url, "--profile", "x"], both), [1, 0, 0, 0]);
    assert_eq!(send(&["--profile", "x"], both), [0, 1, 0, 0]);
    assert_eq!(send(&["--profile", "x"], &[from_everywhere]), [0, 0, 1, 0]);
    assert_eq!(send(&[], &[from_everywhere]), [0, 0, 0, 1]);
    assert_eq!(send(&[], &[("all_proxy", &*everywhere.url)]), [0, 0, 0, 1]);
    // Nothing but what it says, and nothing at all where that is wanted.
    assert_eq!(send(&[], &[from_everywhere, ("NO_PROXY", "invalid")]), [0, 0, 0, 0]);
    assert_eq!(send(&["--proxy", &option.url], &[("NO_PROXY", "*")]), [1, 0, 0, 0]);
    assert_eq!(send(&["--no-proxy", "--profile", "x"], both), [0, 0, 0, 0]);
    assert_eq!(send(&["--profile", "none"], &[from_everywhere]), [0, 0, 0, 0]);
    assert_eq!(send(&["--profile", "x"], &[("APNS_PROXY", "none"), from_everywhere]), [0, 0, 0, 0]);
    // This machine is not reached through a proxy that is meant for all programs.
    let mut command = apns(sim.provider(&["--token", &token(1), "--body", "x"]));
    finish(command.env("HTTPS_PROXY", &everywhere.url).spawn().unwrap()).expect(0);
    assert_eq!(everywhere.asked(), 0);
}

#[test]
fn a_proxy_that_cannot_be_used_is_an_error_of_input_that_names_its_place() {
    let sim = Sim::start();
    let folder = Folder::new();
    let config = folder.write("config.toml", "[x]\nproxy = 'ftp://me:s3cret@proxy'\n");
    let one = ["--token", &token(1), "--body", "x"];
    let wrong = "ftp://me:s3cret@proxy";
    let send = |options: &[&str], variable: &str| {
        let mut command = apns(behind(sim.provider(&[&one, options].concat()), "api.invalid"));
        finish(command.env("APNS_CONFIG", &config).env(variable, wrong).spawn().unwrap()).expect(2)
    };
    assert_says(
        &send(&["--proxy", wrong], "X"),
        &["the proxy in the options: the proxy's URL has to begin with http://"],
    );
    assert_says(&send(&["--profile", "x"], "X"), &["the proxy in the profile: "]);
    assert_says(&send(&[], "APNS_PROXY"), &["the proxy in the APNS_ variables: "]);
    assert_says(
        &send(&[], "HTTPS_PROXY"),
        &["HTTPS_PROXY: the proxy's URL has to begin with", "--no-proxy does without it"],
    );
    assert_says(&send(&["--proxy", "x", "--no-proxy"], "X"), &["cannot be used with"]);
}
