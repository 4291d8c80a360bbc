//! `apns ctl`: looks at a running daemon, and stops what should not be sent.

mod api;
mod find;

use std::fmt;

use clap::{Args, Subcommand};
use http::Method;
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use crate::calendar::Date;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::runtime::{block_on, interrupted};
use api::{Daemon, DaemonFlags, segment};
use find::FindFlags;

/// The options of `apns ctl`.
#[derive(Debug, Args)]
pub(crate) struct CtlFlags {
    #[command(flatten)]
    daemon: DaemonFlags,
    /// Print the daemon's answer in JSON, one line for each object
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    order: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Whether the daemon takes notifications, and how its apps stand
    Status,
    /// The apps, or one of them
    Apps {
        /// Only this one
        app: Option<String>,
    },
    /// Send nothing more of an app until it is resumed
    Pause {
        /// The app
        app: String,
        /// Why, for others who look at it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Send again what waits
    Resume {
        /// The app
        app: String,
    },
    /// End what waits, without sending it
    Purge(PurgeFlags),
    /// Find notifications: what waits, what is in flight, what ended and how
    Find(FindFlags),
    /// Take back single notifications that wait
    Cancel {
        /// The app
        app: String,
        /// The notifications' ids
        ids: Vec<String>,
        /// A caller's own key for one; may be repeated
        #[arg(long = "idempotency-key", value_name = "KEY")]
        keys: Vec<String>,
        /// All with this tag that wait
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
    },
    /// Print the outcomes of an app as they come
    Tail {
        /// The app
        app: String,
        /// Begin behind this cursor; without it with what comes now
        #[arg(long, value_name = "CURSOR")]
        after: Option<String>,
    },
    /// Where a notification stands, and why
    Explain {
        /// The notification's id
        id: String,
    },
}

/// Which of those that wait are meant: every condition that is given has to hold.
#[derive(Debug, Args)]
struct PurgeFlags {
    /// The app
    app: String,
    /// Everything that waits
    #[arg(long, conflicts_with_all = ["older_than", "device", "topic", "push_type", "collapse_id", "tag"])]
    all: bool,
    /// Accepted so long ago, such as 10m or 2h
    #[arg(long, value_name = "DURATION")]
    older_than: Option<String>,
    /// To this device token
    #[arg(long, value_name = "HEX")]
    device: Option<String>,
    /// With this topic, where the caller named one
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Of this push type
    #[arg(long, value_name = "TYPE")]
    push_type: Option<String>,
    /// With this collapse id
    #[arg(long, value_name = "ID")]
    collapse_id: Option<String>,
    /// With this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

impl PurgeFlags {
    fn body(&self) -> Value {
        let mut body = Map::new();
        if self.all {
            body.insert("all".to_owned(), true.into());
        }
        for (name, given) in [
            ("older_than", &self.older_than),
            ("token", &self.device),
            ("topic", &self.topic),
            ("push_type", &self.push_type),
            ("collapse_id", &self.collapse_id),
            ("tag", &self.tag),
        ] {
            if let Some(text) = given {
                body.insert(name.to_owned(), text.clone().into());
            }
        }
        body.into()
    }
}

impl CtlFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let daemon = self.daemon.daemon()?;
        block_on(carry_out(&daemon, self.order, self.json))?
    }
}

async fn carry_out(daemon: &Daemon, order: Order, as_json: bool) -> Result<Exit, Failure> {
    let mut output = Output::new();
    let exit = match order {
        Order::Status => status(daemon, as_json, &mut output).await?,
        Order::Apps { app } => {
            let path = app.as_deref().map_or_else(|| "/v1/apps".to_owned(), app_path);
            let answer = daemon.ask(Method::GET, &path, None).await?;
            show_each(&answer, as_json, &mut output, &AppLine);
            Exit::Fine
        }
        Order::Pause { app, reason } => {
            let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
            let answer = daemon.ask(Method::POST, &format!("{}/pause", app_path(&app)), Some(&body)).await?;
            show_each(&answer, as_json, &mut output, &AppLine);
            Exit::Fine
        }
        Order::Resume { app } => {
            let answer = daemon.ask(Method::POST, &format!("{}/resume", app_path(&app)), Some(&json!({}))).await?;
            show_each(&answer, as_json, &mut output, &AppLine);
            Exit::Fine
        }
        Order::Purge(flags) => {
            let path = format!("{}/purge", app_path(&flags.app));
            let answer = daemon.ask(Method::POST, &path, Some(&flags.body())).await?;
            show_each(&answer, as_json, &mut output, &PurgedLine);
            Exit::Fine
        }
        Order::Cancel { app, ids, keys, tag } => {
            let body = json!({ "ids": ids, "idempotency_keys": keys, "tag": tag });
            let answer = daemon.ask(Method::POST, &format!("{}/cancel", app_path(&app)), Some(&body)).await?;
            show_each(&answer, as_json, &mut output, &CancelledLine);
            let all = answer.as_array().is_some_and(|all| all.iter().all(|one| one["state"] == "cancelled"));
            if all { Exit::Fine } else { Exit::Partly }
        }
        Order::Find(flags) => find::find(daemon, &flags, as_json, &mut output).await?,
        Order::Tail { app, after } => tail(daemon, &app, after.as_deref(), as_json, &mut output).await?,
        Order::Explain { id } => {
            let answer = daemon.ask(Method::GET, &format!("/v1/notifications/{}", segment(&id)), None).await?;
            show_each(&answer, as_json, &mut output, &Standing);
            Exit::Fine
        }
    };
    output.finish()?;
    Ok(exit)
}

fn app_path(app: &str) -> String {
    format!("/v1/apps/{}", segment(app))
}

/// How an object of an answer is written for a person.
trait Line {
    fn write(&self, object: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

struct Shown<'a>(&'a Value, &'a dyn Line);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.1.write(self.0, f)
    }
}

fn show_each(answer: &Value, as_json: bool, output: &mut Output, line: &dyn Line) {
    let objects = answer.as_array().map_or_else(|| std::slice::from_ref(answer), Vec::as_slice);
    for object in objects {
        if as_json { output.json(object) } else { output.line(Shown(object, line)) }
    }
}

/// A text member, or nothing.
fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object[member].as_str().unwrap_or_default()
}

fn number(object: &Value, member: &str) -> u64 {
    object[member].as_u64().unwrap_or_default()
}

/// A time of the API, which counts milliseconds.
fn date(object: &Value, member: &str) -> Option<Date> {
    object[member].as_u64().map(|millis| Date(millis / 1000))
}

struct AppLine;

impl Line for AppLine {
    fn write(&self, app: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, health) = (text(app, "name"), text(app, "health"));
        let (waiting, in_flight) = (number(app, "waiting"), number(app, "in_flight"));
        write!(f, "{name}: {health}, {waiting} waiting, {in_flight} in flight")?;
        if let Some(environments) = app["environments"].as_array().filter(|environments| environments.len() > 1) {
            let each: Vec<String> = environments
                .iter()
                .map(|one| format!("{} {}", text(one, "environment"), text(one, "health")))
                .collect();
            write!(f, " ({})", each.join(", "))?;
        }
        if let Some(since) = date(&app["paused"], "since") {
            write!(f, "; paused since {since}")?;
            if let Some(reason) = app["paused"]["reason"].as_str() {
                write!(f, " ({reason})")?;
            }
        }
        match app["why"].as_str() {
            Some(why) => write!(f, "\n      {why}"),
            None => Ok(()),
        }
    }
}

/// How a webhook of this name stands with one app.
struct WebhookLine<'a>(&'a str);

impl Line for WebhookLine<'_> {
    fn write(&self, told: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (app, state, behind) = (text(told, "app"), text(told, "state"), number(told, "behind"));
        write!(f, "webhook {} of {app}: {state}, behind by {behind}", self.0)?;
        match told["why"].as_str() {
            Some(why) => write!(f, "\n      {why}"),
            None => Ok(()),
        }
    }
}

struct PurgedLine;

impl Line for PurgedLine {
    fn write(&self, answer: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ended without being sent", number(answer, "purged"))?;
        match number(answer, "unknown") {
            0 => {}
            unknown => write!(f, "; {unknown} are unknown: an earlier copy of each may have arrived")?,
        }
        match number(answer, "in_flight") {
            0 => Ok(()),
            in_flight => write!(f, "; {in_flight} are in flight and not touched"),
        }
    }
}

struct CancelledLine;

impl Line for CancelledLine {
    fn write(&self, one: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = one["id"].as_str().or(one["idempotency_key"].as_str()).unwrap_or("?");
        match text(one, "state") {
            "cancelled" => write!(f, "{name}: cancelled"),
            "in_flight" => write!(f, "{name}: not cancelled, it may have left"),
            "settled" => write!(f, "{name}: not cancelled, it had ended: {}", Shown(&one["outcome"], &OutcomeLine)),
            _ => write!(f, "{name}: there is none, or it was forgotten"),
        }
    }
}

struct OutcomeLine;

impl Line for OutcomeLine {
    fn write(&self, record: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text(record, "outcome"))?;
        if let Some(reason) = record["reason"].as_str() {
            write!(f, ", {reason}")?;
        }
        if let Some(status) = record["status"].as_u64() {
            write!(f, " (status {status})")?;
        }
        Ok(())
    }
}

/// One outcome of many, with its time and its id.
struct TailLine;

impl Line for TailLine {
    fn write(&self, record: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(settled) = date(record, "settled_at") {
            write!(f, "{settled}  ")?;
        }
        write!(f, "{}  {}", text(record, "id"), Shown(record, &OutcomeLine))
    }
}

struct Standing;

impl Line for Standing {
    fn write(&self, report: &Value, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of app {}", text(report, "id"), text(report, "app"))?;
        if let Some(tag) = report["tag"].as_str() {
            write!(f, ", tag {tag}")?;
        }
        if let Some(accepted) = date(report, "accepted_at") {
            write!(f, "\n  accepted by the daemon at {accepted}")?;
        }
        let outcome = &report["outcome"];
        match text(report, "state") {
            "waiting" => {
                let next = date(report, "next_attempt_at").map(|at| format!(", not before {at}")).unwrap_or_default();
                write!(f, "\n  it waits for its turn{next}")?;
            }
            "in_flight" => write!(f, "\n  it is with the service, or on its way there")?,
            _ => {
                write!(f, "\n  {}", Shown(outcome, &OutcomeLine))?;
                if let Some(settled) = date(outcome, "settled_at") {
                    write!(f, ", at {settled}")?;
                }
                if let Some(detail) = outcome["detail"].as_str() {
                    write!(f, "\n  {detail}")?;
                }
            }
        }
        let tries = if outcome.is_null() { report } else { outcome };
        for (member, words) in [
            ("attempts", "times written"),
            ("retries", "times put off by the service"),
            ("replays", "times sent again in doubt"),
        ] {
            match number(tries, member) {
                0 => {}
                count => write!(f, "\n  {count} {words}")?,
            }
        }
        Ok(())
    }
}

/// 503 is an answer as well: it says what is wrong.
async fn status(daemon: &Daemon, as_json: bool, output: &mut Output) -> Result<Exit, Failure> {
    let answers = |status: StatusCode| status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE;
    let ready = daemon.ask_for(Method::GET, "/readyz", None, answers).await?;
    let apps = daemon.ask(Method::GET, "/v1/apps", None).await?;
    let webhooks = daemon.ask(Method::GET, "/v1/webhooks", None).await?;
    let is_ready = ready["ready"] == true;
    if as_json {
        output.json(&json!({ "ready": is_ready, "outbox": ready["outbox"], "apps": apps, "webhooks": webhooks }));
    } else {
        match ready["outbox"]["why"].as_str() {
            Some(why) => output.line(format_args!("the daemon takes nothing: {why}")),
            None if is_ready => output.line("the daemon takes notifications"),
            None => output.line("the daemon is not ready"),
        }
        show_each(&apps, false, output, &AppLine);
        for webhook in webhooks.as_array().into_iter().flatten() {
            show_each(&webhook["apps"], false, output, &WebhookLine(text(webhook, "name")));
        }
    }
    let some = |all: &Value, is: fn(&Value) -> bool| all.as_array().is_some_and(|all| all.iter().any(is));
    let app_fails = some(&apps, |app| app["health"] == "failing" || app["paused"].is_object());
    let webhook_fails = webhooks.as_array().is_some_and(|webhooks| {
        webhooks.iter().any(|webhook| some(&webhook["apps"], |told| told["state"] == "failing"))
    });
    let all_well = is_ready && !app_fails && !webhook_fails;
    Ok(if all_well { Exit::Fine } else { Exit::Partly })
}

/// The longest line of a stream of outcomes, in bytes.
const LONGEST_LINE: usize = 1024 * 1024;

/// Prints outcomes until the person, or the daemon, ends it.
async fn tail(
    daemon: &Daemon,
    app: &str,
    after: Option<&str>,
    as_json: bool,
    output: &mut Output,
) -> Result<Exit, Failure> {
    let query = after.map(|after| format!("?after={}", segment(after))).unwrap_or_default();
    let mut body = daemon.events(&format!("{}/outcomes{query}", app_path(app))).await?;
    let mut unread = Vec::new();
    let mut cursor = after.map(str::to_owned);
    let mut interrupted = Box::pin(interrupted());
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = &mut interrupted => return Ok(Exit::Fine),
        };
        let Some(Ok(frame)) = frame else {
            output.flush();
            let place = cursor.map(|cursor| format!("; go on with --after {cursor}")).unwrap_or_default();
            say(format_args!("apns: the daemon ended the stream{place}"));
            return Ok(Exit::Partly);
        };
        let Ok(data) = frame.into_data() else { continue };
        unread.extend_from_slice(&data);
        if unread.len() > LONGEST_LINE {
            return Err(daemon.trouble("a line of its stream has no end: this is not the daemon's API"));
        }
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            if let Some(id) = line.strip_prefix("id: ") {
                cursor = Some(id.to_owned());
            } else if let Some(record) = line.strip_prefix("data: ").and_then(|text| serde_json::from_str(text).ok()) {
                show_each(&record, as_json, output, &TailLine);
            }
        }
        output.flush();
        if output.is_closed() {
            return Ok(Exit::Fine);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_a_line_for_each_app_that_says_what_is_wrong() {
        let told = json!({"app": "shop", "state": "failing", "behind": 17, "why": "it answers 500"});
        let line = Shown(&told, &WebhookLine("crm")).to_string();
        assert_eq!(line, "webhook crm of shop: failing, behind by 17\n      it answers 500");
        let told = json!({"app": "shop", "state": "working", "behind": 0});
        assert_eq!(Shown(&told, &WebhookLine("crm")).to_string(), "webhook crm of shop: working, behind by 0");
    }
}
