//! `apns ctl find`: notifications by what is known of them.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apnsd::config::Span;
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Map, Value};

use super::api::Daemon;
use super::{Line, OutcomeLine, Shown, app_path, date, number, show_each, text};
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};

/// The most that the daemon gives at once.
const PAGE: usize = 1000;

/// Which are meant: every condition that is given has to hold.
#[derive(Debug, Args)]
pub(super) struct FindFlags {
    /// The app
    app: String,
    /// To this device token
    #[arg(long, value_name = "HEX")]
    device: Option<String>,
    /// With this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// With this collapse id
    #[arg(long, value_name = "ID")]
    collapse_id: Option<String>,
    /// With this apns-id, or this id of the daemon
    #[arg(long, value_name = "UUID")]
    apns_id: Option<String>,
    /// Ended at most so long ago, such as 2h, or accepted then if they have not ended
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    since: Option<Duration>,
    /// Ended at least so long ago, or accepted then if they have not ended
    #[arg(long, value_name = "DURATION", value_parser = parse_span)]
    until: Option<Duration>,
    /// In this state
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<Wanted>,
    /// With this outcome, such as rejected
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// With this reason in the outcome, such as BadDeviceToken
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Print so many at most
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Wanted {
    Waiting,
    InFlight,
    Settled,
}

fn parse_span(text: &str) -> Result<Duration, String> {
    Span::parse(text).map(|Span(span)| span).map_err(|error| error.to_string())
}

/// A time so long ago, in milliseconds since 1970.
fn ago(span: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_sub(span).as_millis()).unwrap_or(u64::MAX)
}

impl FindFlags {
    fn body(&self) -> Map<String, Value> {
        let mut body = Map::new();
        for (name, given) in [
            ("token", &self.device),
            ("tag", &self.tag),
            ("collapse_id", &self.collapse_id),
            ("apns_id", &self.apns_id),
            ("outcome", &self.outcome),
            ("reason", &self.reason),
        ] {
            if let Some(text) = given {
                body.insert(name.to_owned(), text.clone().into());
            }
        }
        for (name, given) in [("since", self.since), ("until", self.until)] {
            if let Some(span) = given {
                body.insert(name.to_owned(), ago(span).into());
            }
        }
        if let Some(state) = self.state.and_then(|state| state.to_possible_value()) {
            body.insert("state".to_owned(), state.get_name().into());
        }
        body
    }
}

/// Prints what is found, page by page.
pub(super) async fn find(
    daemon: &Daemon,
    flags: &FindFlags,
    as_json: bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let path = format!("{}/search", app_path(&flags.app));
    let mut body = flags.body();
    let mut left = flags.limit;
    while left > 0 {
        body.insert("limit".to_owned(), left.min(PAGE).into());
        let answer = daemon.ask(Method::POST, &path, Some(&body.clone().into())).await?;
        let found = &answer["notifications"];
        left = left.saturating_sub(found.as_array().map_or(0, Vec::len));
        show_each(found, as_json, output, &FoundLine);
        output.flush();
        let Some(next) = answer["next"].as_str().filter(|_| !output.is_closed()) else { return Ok(Exit::Fine) };
        body.insert("after".to_owned(), next.into());
    }
    say(format_args!("apns: there may be more: --limit is {}", flags.limit));
    Ok(Exit::Fine)
}

/// One that was found.
struct FoundLine;

impl Line for FoundLine {
    fn write(&self, report: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(accepted) = date(report, "accepted_at") {
            write!(f, "{accepted}  ")?;
        }
        write!(f, "{}  ", text(report, "id"))?;
        let outcome = &report["outcome"];
        match text(report, "state") {
            "waiting" => f.write_str("waiting")?,
            "in_flight" => f.write_str("in flight")?,
            _ => write!(f, "{}", Shown(outcome, &OutcomeLine))?,
        }
        if let Some(settled) = date(outcome, "settled_at") {
            write!(f, ", at {settled}")?;
        }
        match number(if outcome.is_null() { report } else { outcome }, "attempts") {
            0 | 1 => {}
            attempts => write!(f, ", {attempts} attempts")?,
        }
        match report["tag"].as_str() {
            Some(tag) => write!(f, ", tag {tag}"),
            None => Ok(()),
        }
    }
}
