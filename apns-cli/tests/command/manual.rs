//! The manual pages and the completions have every command.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Folder, run};

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = run(["--help"]).expect(0).stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<String> = names.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert!(names.len() > 14, "{names:?}");
    names
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = Folder::new();
    run(["help", "--man-pages", &folder.path("")]).expect(0);
    for name in commands() {
        let page = run(["help", &name, "--man"]).expect(0).stdout;
        assert!(page.contains(&format!(".TH apns-{name} 1")), "{page}");
        assert_eq!(fs::read_to_string(folder.path(&format!("apns-{name}.1"))).unwrap(), page, "{name}");
    }
    let whole = run(["help", "--man"]).expect(0).stdout;
    assert!(whole.contains(".TH apns 1") && whole.contains("apns\\-send(1)"), "{whole}");
    let create = run(["help", "channels", "create", "--man"]).expect(0).stdout;
    assert!(create.contains("APNS_TEAM_ID"), "{create}");
    assert!(run(["help", "no-such-command"]).expect(2).stderr.contains("no such command"));
}

#[test]
fn each_shell_gets_every_command() {
    let names = commands();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(["completions", shell]).expect(0).stdout;
        for name in &names {
            assert!(script.contains(name.as_str()), "{shell}: {name}");
        }
        assert!(script.contains("cert-password-file"), "{shell}");
    }
}

#[cfg(unix)]
#[test]
fn bash_reads_what_is_made_for_it() {
    let script = run(["completions", "bash"]).expect(0).stdout;
    let mut bash = Command::new("bash")
        .args(["--norc", "-s"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As the shell does when the person asks what may follow `apns explai`.
    let asked = "\nCOMP_WORDS=(apns explai); COMP_CWORD=1; _apns apns explai apns; echo \"${COMPREPLY[@]}\"\n";
    bash.stdin.take().unwrap().write_all(format!("{script}{asked}").as_bytes()).unwrap();
    let told = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "explain", "{told:?}");
}
