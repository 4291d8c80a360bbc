//! `apns serve` from outside.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use tempfile::TempDir;

use crate::running::Running;

/// Where the JSON API is.
pub(crate) fn api(daemon: &mut Running) -> String {
    let line = daemon.line_with("the JSON API and the status page: http://");
    line.rsplit_once("http://").unwrap().1.trim_end_matches('/').to_owned()
}

pub(crate) fn ask(api: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(api).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

pub(crate) fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

const QUIET: &str = "data = \"data\"\n[api]\nlisten = \"127.0.0.1:0\"\n[pyapns]\nenabled = false\n";

#[cfg(unix)]
#[test]
fn without_a_configuration_there_is_something_to_try() {
    // Its ports are those that a newcomer would use; on a machine where one is taken, it says which.
    let mut daemon = Running::start("serve", &["--ports", "any"]);
    let api = api(&mut daemon);
    let folder = daemon.folder();
    assert!(std::path::Path::new(&folder).join("apnsd.toml").exists());
    let python = daemon.line_with("python3 -c 'import xmlrpc.client");
    let url = python.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let device_token = python.split("\"demo\", \"").nth(1).unwrap().split('"').next().unwrap();
    let call = format!(
        "<methodCall><methodName>notify</methodName><params><param><value>demo</value></param><param><value>\
         {device_token}</value></param><param><value><struct><member><name>aps</name><value>\
         <struct><member><name>alert</name><value>Tea</value></member></struct></value></member></struct></value>\
         </param></params></methodCall>"
    );
    assert!(ask(&url, "POST", "/", &call).ends_with("<value><nil/></value></param>\n</params>\n</methodResponse>\n"));
    let curl = daemon.line_with("curl ");
    let body = curl.split(" -d '").nth(1).unwrap().trim_end_matches('\'');
    let path = curl.split(&api).nth(1).unwrap().split('\'').next().unwrap();
    let answer = ask(&api, "POST", path, body);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"outcome\":\"accepted\""), "{answer}");
    assert!(ask(&api, "GET", "/", "").contains("demo"));
    let (status, said) = daemon.stop();
    assert_eq!(status, 0);
    assert!(said.contains("the simulator took 2 notifications"), "{said}");
    assert!(!std::path::Path::new(&folder).exists(), "it goes away");
}

#[cfg(unix)]
#[test]
fn the_file_is_read_again_on_a_signal() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = write(&folder, "apnsd.toml", QUIET);
    let mut daemon = Running::start("serve", &["--config", &file]);
    let api = api(&mut daemon);
    let token = "[[token]]\nname = \"x\"\nsecret = \"0123456789abcdef\"\nadmin = true\n";
    assert!(ask(&api, "GET", "/v1/apps", "").starts_with("HTTP/1.1 200 "));

    write(&folder, "apnsd.toml", &format!("{QUIET}{}", token.replace("admin", "amdin")));
    daemon.signal("-HUP");
    let said = daemon.line_with("was read again");
    assert!(
        said.contains("nothing has changed: token[0]: unknown field `amdin`") || said.contains("token[0].amdin"),
        "{said}"
    );
    assert!(ask(&api, "GET", "/v1/apps", "").starts_with("HTTP/1.1 200 "));

    write(&folder, "apnsd.toml", &format!("{QUIET}{token}"));
    daemon.signal("-HUP");
    assert!(daemon.line_with("was read again").ends_with("is in force"));
    assert!(ask(&api, "GET", "/v1/apps", "").starts_with("HTTP/1.1 401 "));
    assert_eq!(daemon.stop().0, 0);
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_before_anything_is_done() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let app = "[apps.shop]\nenvironment = \"sandbox\"\ncertificate = \"gone.pem\"\n";
    let file = write(&folder, "apnsd.toml", &format!("{QUIET}{app}"));
    for arguments in [&["--config", &file][..], &["--config", &file, "--check"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_apns")).arg("serve").args(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("apps.shop.certificate: ") && said.contains("gone.pem cannot be read"), "{said}");
    }
    let file = write(&folder, "good.toml", QUIET);
    let output =
        Command::new(env!("CARGO_BIN_EXE_apns")).args(["serve", "--check", "--config", &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}
