//! `apns feedback`: the devices on which the app is gone.

use std::fmt;

use apns_proto::binary::{FeedbackEnd, FeedbackRecord};
use apns_proto::internal::to_hex;
use apns_tokio::Identity;
use apns_tokio::feedback::{FeedbackFailure, fetch};
use clap::Args;
use futures_util::{FutureExt, StreamExt};
use serde::Serialize;

use crate::calendar::Date;
use crate::connection::Connection;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::runtime::{block_on, interrupted};
use crate::settings::ConnectionFlags;
use crate::trouble::Trouble;

/// The options of `apns feedback`.
///
/// The service forgets what it has told, so store what comes before anything else.
#[derive(Debug, Args)]
pub(crate) struct FeedbackFlags {
    #[command(flatten)]
    connection: ConnectionFlags,
    /// Print an object with token and timestamp for each record
    #[arg(long)]
    json: bool,
}

/// One record as it is printed.
#[derive(Serialize)]
struct Row {
    token: String,
    /// Seconds since 1970.
    timestamp: u64,
}

impl From<FeedbackRecord> for Row {
    fn from(record: FeedbackRecord) -> Self {
        Self { token: to_hex(&record.token), timestamp: record.timestamp.as_secs() }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", Date(self.timestamp), self.token)
    }
}

impl FeedbackFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let (connection, identity) = self.connection.settings()?.binary()?;
        block_on(read(connection, identity, self.json))?
    }
}

async fn read(connection: Connection, identity: Identity, json: bool) -> Result<Exit, Failure> {
    let connect_timeout = connection.connect_timeout();
    let Connection { endpoint, roots, way, timeout } = connection;
    let mut records = fetch(endpoint.clone(), identity)
        .roots(roots)
        .proxy(way.proxy)
        .proxy_roots(way.roots)
        .connect_timeout(connect_timeout)
        .idle_time(timeout)
        .start()
        .map_err(|error| Failure::not_started(&endpoint, error))?;
    let mut output = Output::new();
    let mut count = 0_u64;
    let mut interrupted = Box::pin(interrupted());
    let end = loop {
        let next = match records.next().now_or_never() {
            Some(next) => next,
            None => {
                // Those who store the records get them before anything is waited for.
                output.flush();
                tokio::select! {
                    next = records.next() => next,
                    () = &mut interrupted => break Some(FeedbackEnd::ClosedHere),
                }
            }
        };
        match next {
            Some(Ok(record)) => {
                count += 1;
                let row = Row::from(record);
                output.row(json, &row);
            }
            Some(Err(FeedbackFailure::Dial(failure))) => return Err(Trouble::dial(&endpoint, &failure).into()),
            Some(Err(FeedbackFailure::Incomplete(FeedbackEnd::Refused(words)))) => {
                output.finish()?;
                return Err(Trouble::refused(&endpoint, words).into());
            }
            Some(Err(FeedbackFailure::Incomplete(end))) => break Some(end),
            Some(Err(other)) => return Err(Trouble::other(&endpoint, other).into()),
            None => break None,
        }
    };
    output.finish()?;
    let records = if count == 1 { "record" } else { "records" };
    match end {
        None => {
            say(format_args!("{count} {records}; the list is complete"));
            Ok(Exit::Fine)
        }
        Some(end) => {
            say(format_args!("{count} {records}; {end}"));
            Ok(Exit::Partly)
        }
    }
}
