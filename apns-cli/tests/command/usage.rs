//! What cannot be understood is said so, with exit status 2, and before anything is sent.

use crate::support::{Folder, Sim, run, run_with_stdin, token};

#[test]
fn help_and_version_are_no_errors() {
    assert!(run(["--help"]).expect(0).stdout.contains("demo"));
    assert!(run(["--version"]).expect(0).stdout.starts_with("apns "));
    for command in ["demo", "sim", "send", "feedback", "decode", "explain", "check", "channels", "broadcast", "token"] {
        assert!(run(["help", command]).expect(0).stdout.contains(&format!("Usage: apns {command}")), "{command}");
        assert!(run([command, "--help"]).expect(0).stdout.contains("Usage: apns"), "{command}");
    }
    assert!(run::<&str>([]).expect(2).stderr.contains("Usage: apns"));
}

#[test]
fn options_that_do_not_fit_are_refused() {
    let sim = Sim::start();
    let one = token(1);
    for (options, words) in [
        (&["--body", "x"][..], "--token <HEX>...|--tokens <FILE|->|--batch"),
        (&["--token", &one, "--batch", "-", "--body", "x"], "cannot be used with"),
        (&["--token", &one], "nothing says what to send"),
        (&["--token", &one, "--payload", "-", "--title", "x"], "cannot be used with"),
        (&["--token", &one, "--body", "x", "--ttl", "1s", "--expiration", "1"], "cannot be used with"),
        (&["--token", &one, "--body", "x", "--ttl", "soon"], "begins with a whole number"),
        (&["--token", &one, "--body", "x", "--timeout", "0s"], "above zero"),
        (&["--token", &one, "--body", "x", "--timeout", "5x"], "ends with its unit"),
        (&["--token", &one, "--body", "x", "--priority", "7"], "10, 5, or 1"),
        (&["--token", &one, "--body", "x", "--command", "3"], "0, 1 and 2"),
        (&["--token", &one, "--body", "x", "--on-loss", "weep"], "report, resend"),
        (&["--token", &one, "--badge", "many"], "invalid digit"),
        (&["--token", &one, "--custom", "name=Ann"], "a text needs quotes of its own"),
        (&["--token", &one, "--custom", "aps={}"], "cannot be named `aps`"),
        (&["--token", &one, "--titel", "x"], "unexpected argument '--titel'"),
        (&["--batch", "-", "--payload", "-"], "cannot both be standard input"),
    ] {
        let run = run(sim.send(options)).expect(2);
        assert!(run.stderr.contains(words), "{options:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{options:?}");
    }
    for (left_out, words) in [("--host", "no --host"), ("--port", "no --port"), ("--cert", "no --cert")] {
        let mut arguments = sim.send(&["--token", &one, "--body", "x"]);
        let place = arguments.iter().position(|argument| argument == left_out).unwrap();
        drop(arguments.drain(place..place + 2));
        assert!(run(arguments).expect(2).stderr.contains(words), "{left_out}");
    }
    for (option, value) in [("--topic", "com.example.app"), ("--key-id", "ABCDE12345"), ("--retry", "2")] {
        let run = run(sim.send(&["--token", &one, "--body", "x", option, value])).expect(2);
        assert!(run.stderr.contains("for the HTTP/2 provider API"), "{option}: {}", run.stderr);
    }
    assert_eq!(sim.simulator.counts().gateway_connections, 0);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let sim = Sim::start();
    let folder = Folder::new();
    let one = token(1);
    let missing = folder.path("missing");
    let junk = folder.write("junk", "not a certificate");
    let broken = folder.write("broken.json", "{\"aps\":");
    let list = folder.write("list.json", "[1]");
    for (options, words) in [
        (&["--batch", &missing, "--body", "x"][..], "cannot be read"),
        (&["--token", &one, "--payload", &missing], "cannot be read"),
        (
            &["--token", &one, "--payload", &broken],
            "the payload cannot be used: the payload is not valid JSON at line 1",
        ),
        (&["--token", &one, "--payload", &list], "JSON but not an object"),
        (&["--token", &one, "--body", "x", "--cert-password-file", &missing], "cannot be read"),
    ] {
        let run = run(sim.send(options)).expect(2);
        assert!(run.stderr.contains(words), "{options:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{options:?}");
    }
    for (flag, file, words) in [
        ("--cert", &missing, "cannot be read"),
        ("--cert", &junk, "neither PEM nor PKCS#12"),
        ("--ca", &missing, "cannot be read"),
        ("--ca", &junk, "there is no certificate in it"),
    ] {
        let mut arguments = sim.send(&["--token", &one, "--body", "x"]);
        let place = arguments.iter().position(|argument| argument == flag).unwrap();
        arguments[place + 1].clone_from(file);
        let run = run(arguments).expect(2);
        assert!(run.stderr.contains(words), "{flag} {file}: {}", run.stderr);
    }
    let run = run_with_stdin(sim.send(&["--token", &one, "--payload", "-"]), b"\xff").expect(2);
    assert!(run.stderr.contains("not UTF-8"), "{}", run.stderr);
}
