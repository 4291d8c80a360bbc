//! Without default features nothing that this crate depends on can open a socket.
//!
//! The tree is small enough to be read: a list of the crates that may be in it, and a search of their sources for
//! every way in which Rust code gets at one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What may be in the tree, with the reason.
const ALLOWED: &[(&str, &str)] = &[
    ("apns-proto", "this crate"),
    ("base64", "device tokens in base64"),
    ("bytes", "shared payloads and buffers"),
    ("httparse", "the answer of an HTTP proxy"),
    ("itoa", "numbers in JSON, for serde_json"),
    ("memchr", "searching, for serde_json"),
    ("percent-encoding", "user and password in the URL of a proxy"),
    ("ryu", "numbers in JSON, for serde_json"),
    ("serde", "custom payload keys"),
    ("serde_core", "its core"),
    ("serde_json", "payloads"),
    ("thiserror", "errors"),
    ("unicode-segmentation", "shortening text between graphemes"),
    ("zmij", "numbers in JSON, for serde_json"),
];

/// Names without which no socket can be had: those of the standard library, of its C interface, and of calls beneath.
const WAYS_OUT: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "libc::",
    "rustix",
    "mio::",
    "socket2",
    "syscall",
    "winapi",
    "windows_sys",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "--locked", "--offline"])
        .output()
        .expect("cargo runs these tests, so it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// The platform that the tests run on: crates for others may not have been fetched.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc compiled these tests, so it can be run");
    let text = String::from_utf8(output.stdout).expect("rustc writes UTF-8");
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// Name and folder of each crate that is linked into the library; procedural macros run in the compiler only.
fn tree() -> BTreeSet<(String, PathBuf)> {
    let listing = cargo(&[
        "tree",
        "--package",
        "apns-proto",
        "--no-default-features",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let metadata =
        cargo(&["metadata", "--format-version", "1", "--all-features", "--filter-platform", host().as_str()]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let names: BTreeSet<(&str, &str)> = listing
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(" v")?;
            Some((name, rest.split([' ', '(']).next()?))
        })
        .collect();
    packages
        .iter()
        .filter_map(|package| {
            let (name, version) = (package["name"].as_str()?, package["version"].as_str()?);
            let folder = Path::new(package["manifest_path"].as_str()?).parent()?.join("src");
            names.contains(&(name, version)).then(|| (name.to_owned(), folder))
        })
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a crate has a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// With every feature: no runtime, and no HTTP of somebody else.
#[test]
fn the_protocol_is_our_own() {
    let listing = cargo(&[
        "tree",
        "--package",
        "apns-proto",
        "--all-features",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]);
    let names: BTreeSet<&str> = listing.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains("serde_json"), "the tree was not understood: {names:?}");
    for foreign in ["tokio", "h2", "http", "hyper", "futures-core", "futures-util", "mio", "httlib-hpack"] {
        assert!(!names.contains(foreign), "{foreign} is in the tree");
    }
}

#[test]
fn nothing_in_the_tree_can_open_a_socket() {
    let tree = tree();
    assert!(tree.iter().any(|(name, _)| name == "bytes"), "the tree was not understood: {tree:?}");
    for (name, folder) in tree {
        assert!(ALLOWED.iter().any(|(allowed, _)| *allowed == name), "{name} is new in the tree: read it first");
        let mut files = Vec::new();
        sources(&folder, &mut files);
        assert!(!files.is_empty(), "{name} has no sources in {}", folder.display());
        for file in files {
            let text = std::fs::read_to_string(&file).expect("sources are UTF-8");
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let way = WAYS_OUT.iter().find(|way| line.contains(**way));
                assert!(way.is_none(), "{} has {}: {line}", file.display(), way.unwrap_or(&""));
            }
        }
    }
}
