//! What the daemon says while it runs: one line each, to standard error, where a service manager picks it up.

use std::fmt;
use std::io::Write as _;

/// Says a line. A reader that is gone is no reason to stop.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    drop(writeln!(std::io::stderr().lock(), "apnsd: {line}"));
}
