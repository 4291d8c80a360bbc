//! `docs/configuration.md` says what the code takes.
//!
//! The tables there are made from the command's own options and from the settings of the daemon. After a change,
//! `WRITE_DOCS=1 cargo test -p apns-cli configuration_page` writes them anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;

use crate::settings::SETTINGS;

/// The tables of the page stand behind these lines, each up to the one that ends it.
const BEGIN: [&str; 2] =
    ["<!-- the command's settings, made from the code -->", "<!-- the daemon's settings, made from the code -->"];
const END: &str = "<!-- end of what is made from the code -->";

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> PathBuf {
    package().join("../docs/configuration.md")
}

/// The settings of the command, with what the help says of their options.
fn command_settings() -> String {
    let command = crate::Cli::command();
    let send = command.find_subcommand("send").expect("there is one");
    let mut text =
        "| setting | option | variable | takes | default | range | |\n|---|---|---|---|---|---|---|\n".to_owned();
    for setting in SETTINGS {
        let option =
            send.get_arguments().find(|argument| argument.get_id() == setting.name).expect("each has an option");
        let meaning = option.get_help().expect("each has a help");
        let long = option.get_long().expect("each is long");
        let (kind, range) = (setting.kind.name(), setting.kind.range());
        let (name, variable, preset) = (setting.name, setting.variable(), setting.preset);
        writeln!(text, "| `{name}` | `--{long}` | `{variable}` | {kind} | {preset} | {range} | {meaning} |")
            .expect("a text takes everything");
    }
    text
}

/// The settings of the daemon.
fn daemon_settings() -> String {
    let mut text = String::new();
    for table in apnsd::config::tables() {
        let gap = if text.is_empty() { "" } else { "\n" };
        let heading = if table.heading.is_empty() { String::new() } else { format!("### `{}`\n\n", table.heading) };
        let heading = format!(
            "{gap}{heading}{}\n\n| setting | takes | default | range | |\n|---|---|---|---|---|\n",
            table.meaning
        );
        text.push_str(&heading);
        for setting in table.settings {
            let (kind, range) = (setting.kind.name(), setting.kind.range());
            writeln!(text, "| `{}` | {kind} | {} | {range} | {} |", setting.name, setting.preset, setting.meaning)
                .expect("a text takes everything");
        }
    }
    text
}

#[test]
fn the_page_has_every_setting_as_the_code_takes_it() {
    let mut page_text = fs::read_to_string(page()).unwrap();
    let written = page_text.clone();
    for (begin, made) in BEGIN.into_iter().zip([command_settings(), daemon_settings()]) {
        let start = page_text.find(begin).unwrap_or_else(|| panic!("{begin} is missing")) + begin.len();
        let end = start + page_text[start..].find(END).unwrap_or_else(|| panic!("{begin} has no end"));
        page_text.replace_range(start..end, &format!("\n\n{made}\n"));
    }
    if std::env::var_os("WRITE_DOCS").is_some() {
        fs::write(page(), &page_text).unwrap();
    } else {
        assert!(page_text == written, "docs/configuration.md is not what the code says: WRITE_DOCS=1 writes it anew");
    }
}

/// The variables in a text.
fn variables(text: &str) -> BTreeSet<String> {
    let found = text
        .split(|character: char| !(character.is_ascii_uppercase() || character.is_ascii_digit() || character == '_'));
    found.filter(|word| word.starts_with("APNS_") && !word.ends_with('_')).map(str::to_owned).collect()
}

fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else {
            let source = fs::read_to_string(&path).unwrap();
            text.push_str(source.split("#[cfg(test)]\nmod tests").next().unwrap());
        }
    }
}

#[test]
fn the_page_has_every_variable_of_the_command_and_no_other() {
    let mut text = String::new();
    sources(&package().join("src"), &mut text);
    let mut read = variables(&text);
    read.extend(SETTINGS.iter().map(|setting| setting.variable()));
    assert!(read.len() > SETTINGS.len(), "{read:?}");
    assert_eq!(variables(&fs::read_to_string(page()).unwrap()), read);
}
