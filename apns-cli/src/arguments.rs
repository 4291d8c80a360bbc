//! The command line, read without repeating in a message what was given.

use std::error::Error as _;
use std::net::{SocketAddr, ToSocketAddrs};

use apns_credentials::disclosure::is_name;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Error, Parser};

use crate::help::explained;

/// Reads the command line. Where that cannot be done, the process ends with what is wrong, or with the help.
pub(crate) fn read<A: Parser>() -> A {
    let mut command = explained(A::command());
    let read = command.try_get_matches_from_mut(std::env::args_os()).and_then(|matches| A::from_arg_matches(&matches));
    read.unwrap_or_else(|error| without_values(error, &command).exit())
}

/// Reads an address with its port, by name or by number.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let expected = "it has to be an address with a port, such as 127.0.0.1:2195";
    text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(|| expected.to_owned())
}

/// In place of a value.
const HIDDEN: &str = "…";

/// The same error, without what was given: it may be a secret, of which a quote was forgotten or that stands in the wrong
/// place. What is left is the option, what is wrong and what would be right.
fn without_values(mut error: Error, command: &clap::Command) -> Error {
    let text = |error: &Error, kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    if let (Some(value), Some(source)) = (text(&error, ContextKind::InvalidValue), error.source()) {
        let why = source.to_string();
        let why = if value.is_empty() { why } else { why.replace(&value, HIDDEN) };
        let option = text(&error, ContextKind::InvalidArg).unwrap_or_default();
        return Error::raw(error.kind(), format!("invalid value for '{option}': {why}\n")).with_cmd(command);
    }
    let unknown = match error.kind() {
        ErrorKind::UnknownArgument => text(&error, ContextKind::InvalidArg).is_none_or(|given| !is_option(&given)),
        _ => false,
    };
    let hidden =
        [(ContextKind::InvalidValue, true), (ContextKind::InvalidSubcommand, true), (ContextKind::InvalidArg, unknown)];
    for (kind, hide) in hidden {
        if hide && error.get(kind).is_some() {
            error.insert(kind, ContextValue::String(HIDDEN.to_owned()));
        }
    }
    if unknown {
        // It may repeat the argument.
        error.remove(ContextKind::Suggested);
    }
    error
}

/// Whether this is an option that does not exist, and not a value that begins with a dash.
fn is_option(given: &str) -> bool {
    match given.strip_prefix("--") {
        Some(name) => {
            is_name(name) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !name.is_empty()
        }
        None => given.chars().count() == 2,
    }
}
