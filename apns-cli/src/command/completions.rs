//! `apns completions`: what a shell needs to complete this command's options.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// The options of `apns completions`.
///
/// For bash: `apns completions bash > ~/.local/share/bash-completion/completions/apns`.
#[derive(Args)]
pub(crate) struct CompletionsFlags {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl CompletionsFlags {
    /// `whole` is the command with all of its subcommands.
    pub(crate) fn run(self, mut whole: Command) -> Result<Exit, Failure> {
        let name = whole.get_name().to_owned();
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut whole, name, &mut text);
        let mut output = Output::new();
        output.program_text(&text);
        output.finish()?;
        Ok(Exit::Fine)
    }
}
