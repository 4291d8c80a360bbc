//! `apns help`: the help of each command, and the same as manual pages.

use std::io;
use std::path::PathBuf;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::exit::{Exit, Failure};
use crate::output::Output;

/// The options of `apns help`.
#[derive(Args)]
pub(crate) struct HelpFlags {
    /// The command to explain, such as `send` or `channels create`; by default all of apns
    #[arg(value_name = "COMMAND")]
    names: Vec<String>,
    /// Print a manual page: `apns help send --man | man -l -`
    #[arg(long)]
    man: bool,
    /// Write the manual page of each command into this directory, such as /usr/local/share/man/man1
    #[arg(long, value_name = "DIR", conflicts_with_all = ["man", "names"])]
    man_pages: Option<PathBuf>,
}

impl HelpFlags {
    /// `whole` is the command with all of its subcommands.
    pub(crate) fn run(self, mut whole: Command) -> Result<Exit, Failure> {
        whole.build();
        if let Some(folder) = self.man_pages {
            let unwritable = |error| Failure::Write { name: "the manual pages".to_owned(), error };
            clap_mangen::generate_to(whole, folder).map_err(unwritable)?;
            return Ok(Exit::Fine);
        }
        let mut command = &mut whole;
        for name in &self.names {
            let Some(found) = command.find_subcommand_mut(name) else {
                return Err(Failure::Usage("there is no such command; `apns help` lists them".to_owned()));
            };
            command = found;
        }
        let written = if self.man { page(command) } else { command.print_long_help() };
        match written {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::Write { name: "standard output".to_owned(), error })
            }
            _ => Ok(Exit::Fine),
        }
    }
}

fn page(command: &Command) -> io::Result<()> {
    let mut text = Vec::new();
    Man::new(command.clone()).render(&mut text)?;
    let mut output = Output::new();
    output.program_text(&text);
    output.finish().map_err(|failure| io::Error::other(failure.to_string()))
}
