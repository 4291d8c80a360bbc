//! The inbox of `apns sim`: the page that shows what came.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apns_credentials::disclosure::shown;
use apns_inbox::{FileError, Inbox, InboxError, Names, NamesError, Recorder, Serving, Settings};
use apns_sim::Simulator;
use clap::Args;

use crate::arguments::parse_address;
use crate::exit::Failure;
use crate::input::Source;
use crate::output::say;

/// Where the inbox listens unless it is told otherwise.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8025);

/// The most that is read of a file with names.
const LARGEST_NAMES: u64 = 4 * 1024 * 1024;

/// The options about the inbox.
#[derive(Debug, Args)]
#[command(next_help_heading = "Inbox")]
pub(crate) struct InboxFlags {
    /// Where the inbox listens, a page that shows each push as a phone would, with an API for tests; port 0 takes any that
    /// is free, off serves none. By default 127.0.0.1:8025, or any free port where that is taken. It has no password:
    /// anybody who reaches the address reads payloads and device tokens
    #[arg(long, value_name = "ADDR|off", value_parser = parse_place)]
    inbox: Option<Place>,
    /// How many pushes the inbox keeps, the last ones, by default 10000; or the file in which it keeps them over restarts,
    /// beside memory. May be given once for each. A file whose name is a number is ./N
    #[arg(long, value_name = "N|FILE", value_parser = parse_keep)]
    inbox_keep: Vec<Keep>,
    /// What the inbox calls devices, apps and the buttons of categories, in JSON
    #[arg(long, value_name = "FILE.json")]
    inbox_names: Option<PathBuf>,
    /// A host name that the inbox answers to, beside localhost, addresses and names without a dot; may be repeated
    #[arg(long, value_name = "NAME")]
    inbox_host: Vec<String>,
}

/// Where the inbox listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Off,
    At(SocketAddr),
}

fn parse_place(text: &str) -> Result<Place, String> {
    if text == "off" { Ok(Place::Off) } else { parse_address(text).map(Place::At) }
}

/// What `--inbox-keep` says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Keep {
    Pushes(usize),
    In(PathBuf),
}

/// The most pushes that can be kept.
const MOST_KEPT: usize = 10_000_000;

fn parse_keep(text: &str) -> Result<Keep, String> {
    if text.is_empty() {
        return Err("give a number or a file".to_owned());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(Keep::In(text.into()));
    }
    let pushes = text.parse().ok().filter(|pushes| (1..=MOST_KEPT).contains(pushes));
    pushes.map(Keep::Pushes).ok_or_else(|| format!("1 to {MOST_KEPT} can be kept"))
}

/// An inbox that takes note already, and is not served yet.
#[derive(Debug)]
pub(super) struct Prepared {
    inbox: Inbox,
    /// `None` for the usual one, or any that is free.
    address: Option<SocketAddr>,
}

impl InboxFlags {
    /// The inbox, unless none is wanted.
    ///
    /// With the folder of the certificates, and a signing key that is not there.
    pub(super) fn prepare(&self, certs: &Path, signing_key: Option<&Path>) -> Result<Option<Prepared>, Failure> {
        let address = match self.inbox {
            Some(Place::Off) => return Ok(None),
            Some(Place::At(address)) => Some(address),
            None => None,
        };
        let names = match &self.inbox_names {
            Some(path) => read_names(path)?,
            None => Names::default(),
        };
        let pushes = self.only(|keep| match keep {
            Keep::Pushes(pushes) => Some(*pushes),
            Keep::In(_) => None,
        })?;
        let file = self.only(|keep| match keep {
            Keep::In(file) => Some(file),
            Keep::Pushes(_) => None,
        })?;
        let settings = pushes.into_iter().fold(Settings::default(), Settings::keep);
        let settings = settings.names(names).certificates(certs.to_string_lossy());
        let settings = signing_key.iter().fold(settings, |settings, file| settings.signing_key(file.to_string_lossy()));
        let settings = self.inbox_host.iter().fold(settings, |settings, host| settings.host(host.as_str()));
        let inbox = match file {
            Some(path) => Inbox::in_file(settings, path)
                .map_err(|error| Failure::Special(Box::new(NotKept { path: path.clone(), error })))?,
            None => Inbox::new(settings),
        };
        Ok(Some(Prepared { inbox, address }))
    }

    /// What `--inbox-keep` says of one thing.
    fn only<'a, T>(&'a self, of: impl Fn(&'a Keep) -> Option<T>) -> Result<Option<T>, Failure> {
        let mut said = self.inbox_keep.iter().filter_map(of);
        let first = said.next();
        match said.next() {
            Some(_) => Err(Failure::Usage("--inbox-keep takes one number and one file".to_owned())),
            None => Ok(first),
        }
    }
}

/// The file of names cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the names in {} cannot be used: {error}", shown(path))]
struct Unusable {
    path: PathBuf,
    error: NamesError,
}

/// The file that is to keep the pushes cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", shown(path))]
struct NotKept {
    path: PathBuf,
    error: FileError,
}

fn read_names(path: &Path) -> Result<Names, Failure> {
    let text = Source::File(path.to_owned()).read_text(LARGEST_NAMES)?;
    let read = Names::from_json(&text);
    read.map_err(|error| Failure::Special(Box::new(Unusable { path: path.to_owned(), error })))
}

impl Prepared {
    pub(super) fn recorder(&self) -> Recorder {
        self.inbox.recorder()
    }

    /// Listens, and says where.
    pub(super) async fn serve(self, simulator: Arc<Simulator>) -> Result<Serving, Failure> {
        let Self { inbox, address } = self;
        let serving = match address {
            Some(address) => inbox.serve(address, simulator).await,
            None => match inbox.serve(ADDRESS, Arc::clone(&simulator)).await {
                // Another simulator's, mostly.
                Err(InboxError::Bind { .. }) => inbox.serve(SocketAddr::new(ADDRESS.ip(), 0), simulator).await,
                served => served,
            },
        };
        let serving = serving.map_err(|error| Failure::Special(Box::new(error)))?;
        say(format_args!("the inbox: http://{}/", serving.address()));
        Ok(serving)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_address_or_off() {
        assert_eq!(parse_place("off"), Ok(Place::Off));
        assert_eq!(parse_place("127.0.0.1:0"), Ok(Place::At("127.0.0.1:0".parse().unwrap())));
        assert!(parse_place("of").is_err());
    }

    #[test]
    fn what_is_kept_is_a_number_or_a_file() {
        assert_eq!(parse_keep("7"), Ok(Keep::Pushes(7)));
        assert_eq!(parse_keep("./7"), Ok(Keep::In("./7".into())));
        assert_eq!(parse_keep("pushes.inbox"), Ok(Keep::In("pushes.inbox".into())));
        for wrong in ["", "0", "10000001", "99999999999999999999999"] {
            assert!(parse_keep(wrong).is_err(), "{wrong}");
        }
    }
}
