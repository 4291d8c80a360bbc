//! The `apns` command: sends push notifications from a shell, and runs a simulator to test them.

mod arguments;
mod batch;
mod calendar;
mod command;
#[cfg(test)]
mod configuration_page;
mod connection;
mod draft;
mod duration;
mod exit;
mod help;
mod input;
mod invalid;
mod line;
mod output;
mod progress;
mod proxy;
mod reading;
mod report;
mod row;
mod runtime;
mod settings;
mod stored;
mod trouble;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use command::Command;

/// Send Apple push notifications, read the feedback service, and look into frames.
///
/// Begin with `apns demo`: it starts a simulator on this machine and sends to it.
///
/// Options that name a variable, as [env: APNS_HOST] does, are taken from there where they are not given, and then from the
/// table that --profile names in ~/.config/apns/config.toml, or in the file that APNS_CONFIG names. docs/configuration.md
/// has them all, and every setting of the daemon's file.
#[derive(Parser)]
#[command(name = "apns", version, arg_required_else_help = true, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let outcome = arguments::read::<Cli>().command.run(|| help::explained(Cli::command()));
    let exit = outcome.unwrap_or_else(|failure| {
        output::say(format_args!("apns: {failure}"));
        failure.exit()
    });
    exit.into()
}
