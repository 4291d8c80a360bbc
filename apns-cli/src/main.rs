//! The `apns` command: sends push notifications from a shell, and runs a simulator to test them.

mod arguments;
mod batch;
mod calendar;
mod command;
mod connection;
mod draft;
mod duration;
mod exit;
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

use clap::Parser;

use command::Command;

/// Send Apple push notifications, read the feedback service, and look into frames.
///
/// Begin with `apns demo`: it starts a simulator on this machine and sends to it.
#[derive(Parser)]
#[command(name = "apns", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let outcome = arguments::read::<Cli>().command.run();
    let exit = outcome.unwrap_or_else(|failure| {
        output::say(format_args!("apns: {failure}"));
        failure.exit()
    });
    exit.into()
}
