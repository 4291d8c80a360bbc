//! How the command ends: the exit status, and the message where it cannot go on.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use apns_credentials::SigningKeyError;
use apns_credentials::disclosure::shown;
use apns_proto::PayloadError;
use apns_proto::internal::HexError;
use apns_sim::{ScriptError, StartError};
use apns_tokio::{BuildError, Endpoint, IdentityError, RootsError};

use crate::trouble::Trouble;

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// 0: all that was asked for happened.
    Fine,
    /// 1: some of it did not: a notification was not accepted, a list was cut, a frame is bad.
    Partly,
    /// 2: the command line or an input cannot be used.
    Input,
    /// 3: there was no connection, or the credentials were refused.
    NoConnection,
}

impl Exit {
    /// The number.
    pub(crate) const fn status(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Partly => 1,
            Self::Input => 2,
            Self::NoConnection => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.status())
    }
}

/// Why a command could not do its work at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The options do not fit together.
    #[error("{0}\n\nFor more information, try '--help'.")]
    Usage(String),
    /// A file or standard input could not be read.
    #[error("{name} cannot be read: {error}")]
    Read { name: String, error: io::Error },
    /// A file is larger than anything of its kind can be.
    #[error("{name} is larger than {limit} bytes")]
    TooLarge { name: String, limit: u64 },
    /// A file could not be written.
    #[error("{name} cannot be written: {error}")]
    Write { name: String, error: io::Error },
    /// The client certificate or its key.
    #[error("the client certificate in {place} cannot be used: {error}")]
    Identity { place: String, error: IdentityError },
    /// The signing key for provider tokens.
    #[error("the signing key in {place} cannot be used: {error}")]
    Key { place: String, error: SigningKeyError },
    /// The certificate authorities.
    #[error("the certificate authorities in {} cannot be used: {error}", shown(path))]
    Roots { path: PathBuf, error: RootsError },
    /// The payload that all notifications share.
    #[error("the payload cannot be used: {0}")]
    Payload(#[from] PayloadError),
    /// A value that is not hexadecimal.
    #[error("{0}: only digits are expected, with white space, | or : between")]
    Hex(#[from] HexError),
    /// There is no connection, or the peer wants none with these credentials.
    #[error(transparent)]
    NoConnection(#[from] Trouble),
    /// The client could not be started.
    #[error("{0}")]
    Start(#[source] BuildError),
    /// The script of a simulator.
    #[error("the script in {} cannot be used: {error}", shown(path))]
    Script { path: PathBuf, error: ScriptError },
    /// The simulator could not be started.
    #[error("the simulator cannot start: {0}")]
    Simulator(#[from] StartError),
    /// Something that only one command knows of.
    #[error(transparent)]
    Special(Box<dyn std::error::Error + Send + Sync>),
    /// An address cannot be listened at.
    #[error("nobody can listen at {address}: {error}")]
    Listen { address: std::net::SocketAddr, error: io::Error },
    /// A program that is to do a part of the work.
    #[error("{} cannot be run: {error}", shown(path))]
    Program { path: PathBuf, error: io::Error },
    /// The asynchronous runtime could not be started.
    #[error("the system gives no threads or timers: {0}")]
    Runtime(io::Error),
}

impl Failure {
    /// For a client, or a handle, that could not even be made.
    pub(crate) fn not_started(endpoint: &Endpoint, error: BuildError) -> Self {
        Trouble::start(endpoint, error).map_or_else(Self::Start, Self::NoConnection)
    }

    /// The exit status for it.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::NoConnection(_) => Exit::NoConnection,
            _ => Exit::Input,
        }
    }
}
