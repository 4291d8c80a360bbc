//! A provider token, and what is in it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{Sim, apns, finish, run};

/// base64url without padding (RFC 4648 section 5).
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for character in text.bytes() {
        let digit = ALPHABET.iter().position(|one| *one == character).expect("base64url and nothing else");
        held = (held << 6 | digit as u32) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    bytes
}

fn parts(token: &str) -> (Value, Value, usize) {
    let parts: Vec<Vec<u8>> = token.split('.').map(decode).collect();
    let [header, claims, signature] = &parts[..] else { panic!("{} parts", parts.len()) };
    (serde_json::from_slice(header).unwrap(), serde_json::from_slice(claims).unwrap(), signature.len())
}

fn arguments(sim: &Sim, options: &[&str]) -> Vec<String> {
    let key = sim.folder.path("AuthKey_SIMULATOR0.p8");
    let all = ["token", "--p8", &key, "--key-id", sim.simulator.key_id(), "--team-id", sim.simulator.team_id()];
    all.iter().chain(options).map(ToString::to_string).collect()
}

#[test]
fn the_token_alone_is_on_standard_output() {
    let sim = Sim::start();
    let run = run(arguments(&sim, &[])).expect(0);
    let token = run.stdout.strip_suffix('\n').unwrap();
    let (header, claims, signature) = parts(token);
    assert_eq!(header, json!({"alg": "ES256", "kid": sim.simulator.key_id()}));
    assert_eq!(claims["iss"], sim.simulator.team_id());
    assert_eq!(signature, 64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now - claims["iat"].as_u64().unwrap() < 60, "{claims}");
    for words in [sim.simulator.key_id(), sim.simulator.team_id(), "good until"] {
        assert!(run.stderr.contains(words), "{words:?} is not in {}", run.stderr);
    }
    assert!(!run.stderr.contains(token), "{}", run.stderr);
}

#[test]
fn a_program_gets_the_claims_beside_the_token() {
    let sim = Sim::start();
    let run = run(arguments(&sim, &["--json"])).expect(0);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    let (header, claims, _) = parts(told["token"].as_str().unwrap());
    assert_eq!((&told["alg"], &told["kid"]), (&header["alg"], &header["kid"]));
    assert_eq!((&told["iss"], &told["iat"]), (&claims["iss"], &claims["iat"]));
    assert_eq!(told["expires"].as_u64().unwrap(), told["iat"].as_u64().unwrap() + 3600);
    assert_eq!(run.stderr, "");
}

#[test]
fn ids_come_from_the_file_name_and_the_variables() {
    let sim = Sim::start();
    let key = std::fs::read(sim.folder.path("AuthKey_SIMULATOR0.p8")).unwrap();
    let path = sim.folder.write("AuthKey_ABCDE12345.p8", key);
    let mut command = apns(["token", "--json"]);
    let run = finish(command.env("APNS_P8", path).env("APNS_TEAM_ID", "TEAM567890").spawn().unwrap()).expect(0);
    let told: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&told["kid"], &told["iss"]), (&json!("ABCDE12345"), &json!("TEAM567890")));
}

#[test]
fn what_is_missing_or_no_key_is_named() {
    let sim = Sim::start();
    assert!(run(["token"]).expect(2).stderr.contains("no --p8"));
    let key = sim.folder.path("AuthKey_SIMULATOR0.p8");
    let nameless = sim.folder.write("key.p8", std::fs::read(&key).unwrap());
    assert!(run(["token", "--p8", &nameless, "--team-id", "TEAM567890"]).expect(2).stderr.contains("no --key-id"));
    assert!(run(["token", "--p8", &nameless, "--key-id", "ABCDE12345"]).expect(2).stderr.contains("no --team-id"));
    let certificate = sim.folder.path("client.pem");
    let options = ["--key-id", "ABCDE12345", "--team-id", "TEAM567890"];
    let run = run(["token", "--p8", &certificate].iter().chain(&options)).expect(2);
    assert!(run.stderr.contains("this is a certificate"), "{}", run.stderr);
}
