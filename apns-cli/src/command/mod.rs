//! The subcommands, one file each.

mod bench;
mod bridge;
mod broadcast;
mod channels;
mod check;
mod completions;
mod ctl;
mod daemon;
mod decode;
mod demo;
mod dry_run;
mod explain;
mod feedback;
mod help;
mod lint;
mod scratch;
mod send;
mod serve;
mod sim;
mod sim_inbox;
mod simulator_file;
mod store;
mod token;

use clap::Subcommand;

use crate::exit::{Exit, Failure};

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a simulator of Apple's services, send to it, and show what happens
    Demo(demo::DemoFlags),
    /// Run a simulator of Apple's services, with a page that shows what came
    #[command(
        after_help = "docs/simulator.md has the script with an example of each rule, the control port, a compose file, and \
                            programs in Node, Java, Python, Ruby, Go and PHP."
    )]
    Sim(Box<sim::SimFlags>),
    /// Run the provider daemon: applications hand in notifications, and it delivers them
    Serve(serve::ServeFlags),
    /// Look at a running daemon, and stop what should not be sent
    Ctl(Box<ctl::CtlFlags>),
    /// Move the outbox of a daemon from its file to a database that several share, or back
    Store(store::StoreFlags),
    /// Let old clients of the binary protocol, unchanged, deliver over today's API
    Bridge(Box<bridge::BridgeFlags>),
    /// Send notifications and tell what became of each
    Send(Box<send::SendFlags>),
    /// List the devices on which the app is gone
    Feedback(feedback::FeedbackFlags),
    /// Make, read, delete and list the broadcast channels of an app
    Channels(Box<channels::ChannelsFlags>),
    /// Send a Live Activity update to all devices that follow a channel
    Broadcast(Box<broadcast::BroadcastFlags>),
    /// Sign a provider token and say what is in it
    Token(token::TokenFlags),
    /// Print binary frames, error responses and feedback records field by field
    Decode(decode::DecodeFlags),
    /// Measure speed, cost and memory on this machine, against the simulator
    Bench(Box<bench::BenchFlags>),
    /// Say what an answer of the service means and what to do about it
    Explain(explain::ExplainFlags),
    /// Say what is wrong with a payload before it is sent, or print the schema of a push type
    Lint(lint::LintFlags),
    /// Say what a file of credentials is and what is wrong with it
    Check(Box<check::CheckFlags>),
    /// Print what a shell needs to complete commands and options
    Completions(completions::CompletionsFlags),
    /// Print the help of a command, or its manual page
    Help(help::HelpFlags),
}

impl Command {
    /// Does it. `whole` makes a description of all commands.
    pub(crate) fn run(self, whole: impl FnOnce() -> clap::Command) -> Result<Exit, Failure> {
        match self {
            Self::Demo(flags) => flags.run(),
            Self::Sim(flags) => flags.run(),
            Self::Serve(flags) => flags.run(),
            Self::Ctl(flags) => flags.run(),
            Self::Store(flags) => flags.run(),
            Self::Bridge(flags) => flags.run(),
            Self::Send(flags) => flags.run(),
            Self::Feedback(flags) => flags.run(),
            Self::Channels(flags) => flags.run(),
            Self::Broadcast(flags) => flags.run(),
            Self::Token(flags) => flags.run(),
            Self::Decode(flags) => flags.run(),
            Self::Bench(flags) => flags.run(),
            Self::Explain(flags) => flags.run(),
            Self::Lint(flags) => flags.run(),
            Self::Check(flags) => flags.run(),
            Self::Completions(flags) => flags.run(whole()),
            Self::Help(flags) => flags.run(whole()),
        }
    }
}
