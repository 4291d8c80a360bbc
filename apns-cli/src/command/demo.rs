//! `apns demo`: everything at once, on this machine, for those who see this for the first time.

mod binary;
mod device;
mod http2;
mod run;

use std::fmt;
use std::time::Duration;

use clap::Args;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::runtime::block_on;

/// The options of `apns demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoFlags {}

impl DemoFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        block_on(async {
            let mut story = Story::new();
            http2::tell(&mut story).await?;
            binary::tell(&mut story).await?;
            story.end()
        })?
    }
}

/// How long anything here may take. It takes milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// What is told, and what is checked on the way.
struct Story {
    output: Output,
    /// What does not add up.
    wrong: Vec<String>,
    checked: usize,
}

impl Story {
    fn new() -> Self {
        Self { output: Output::new(), wrong: Vec::new(), checked: 0 }
    }

    /// Tells one line.
    fn line(&mut self, line: impl fmt::Display) {
        self.output.line(line);
        self.output.flush();
    }

    /// Checks that something is as it has to be.
    fn check<T: PartialEq + fmt::Debug>(&mut self, what: &str, found: &T, expected: &T) {
        self.checked += 1;
        if found != expected {
            self.wrong.push(format!("{what}: {found:?}, where {expected:?} was to be expected"));
        }
    }

    fn end(mut self) -> Result<Exit, Failure> {
        let wrong = std::mem::take(&mut self.wrong);
        if wrong.is_empty() {
            let checked = self.checked;
            self.line(format_args!("It adds up: {checked} checks against what the simulator wrote down."));
            return self.output.finish().map(|()| Exit::Fine);
        }
        self.line("It does not add up:");
        for line in wrong {
            self.line(format_args!("  {line}"));
        }
        self.output.finish().map(|()| Exit::Partly)
    }
}
