//! A command that goes on until it is told to stop.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

/// It does not outlive its test.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(command: &str, arguments: &[&str]) -> Self {
        let mut apns = Command::new(env!("CARGO_BIN_EXE_apns"));
        let mut child = apns.arg(command).args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines }
    }

    /// Reads lines until one has this in it.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        let mut all = String::new();
        loop {
            let start = all.len();
            assert_ne!(self.lines.read_line(&mut all).unwrap(), 0, "it never said {text:?}: {all}");
            if all[start..].contains(text) {
                return all[start..].trim_end().to_owned();
            }
        }
    }

    /// Where everything is that goes away with it.
    #[cfg(unix)]
    pub(crate) fn folder(&mut self) -> String {
        let said = self.line_with("everything is in ");
        said.split("everything is in ").nth(1).unwrap().split(", and").next().unwrap().to_owned()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The exit status, and what it said to the end.
    #[cfg(unix)]
    pub(crate) fn stop(&mut self) -> (i32, String) {
        self.signal("-TERM");
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
