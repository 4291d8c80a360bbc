//! The status page: one document, without scripts, made anew each time it is asked for.

use std::fmt::Write as _;

use apns_proto::WallTime;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};

use super::Api;
use super::problem::Problem;
use crate::delivery::{Credential, Snapshot, now};
use crate::outbox::{Counts, OutcomeRecord};
use crate::service::{AppInfo, StoreHealth};

/// Nothing from elsewhere, and nothing that runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'none'";

const STYLE: &str = include_str!("page.css");

/// How many of the last outcomes are shown.
const LAST: usize = 25;

/// An app as it is shown.
struct Row {
    info: AppInfo,
    snapshot: Snapshot,
    counts: Counts,
}

/// `GET /`
pub(super) async fn page(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = api.caller(&headers)?;
    let mut rows = Vec::new();
    for info in api.service().list().into_iter().filter(|info| caller.may_use(&info.name)) {
        let Ok(snapshot) = api.service().snapshot(&info.name) else { continue };
        let counts = api.service().counts(&info.name).await?;
        rows.push(Row { info, snapshot, counts });
    }
    let total = api.service().total().await?;
    let known: u64 = rows.iter().map(|row| row.counts.waiting + row.counts.in_flight).sum();
    let orphans = if caller.is_admin() { (total.waiting + total.in_flight).saturating_sub(known) } else { 0 };
    let store = api.service().store_health().await;
    let html = render(&rows, &store, orphans, api.service().started(), now());
    let headers = [(header::CONTENT_SECURITY_POLICY, POLICY), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Html(html)).into_response())
}

/// Puts a line together; a text takes everything.
macro_rules! put {
    ($html:expr, $($arguments:tt)*) => {
        write!($html, $($arguments)*).expect("a text takes everything")
    };
}

fn render(rows: &[Row], store: &StoreHealth, orphans: u64, started: WallTime, now: WallTime) -> String {
    let mut html = String::with_capacity(16 * 1024);
    put!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>apnsd</title>\
         <meta http-equiv=\"refresh\" content=\"5\"><meta name=\"viewport\" content=\"width=device-width\">\
         <style>{STYLE}</style></head><body>\
         <header><h1>apnsd</h1><p>running for {}</p></header><main>",
        span(now.saturating_since(started).as_secs())
    );
    if let Some(why) = &store.why {
        put!(
            html,
            "<p class=\"warning failing\" id=\"outbox\"><b>nothing can be stored</b> and callers are refused: {}</p>",
            escaped(why)
        );
    }
    warnings(&mut html, rows, now);
    if orphans > 0 {
        put!(
            html,
            "<p class=\"warning expiring\"><b>{orphans}</b> notifications wait for apps that are not configured</p>"
        );
    }
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    put!(html, "<section class=\"figures\" aria-label=\"Totals\">");
    for (id, what, value) in [
        ("waiting", "waiting", sum(|row| row.counts.waiting)),
        ("in-flight", "in flight", sum(|row| row.counts.in_flight)),
        ("last-minute", "ended in the last minute", sum(|row| row.snapshot.last_minute)),
        ("taken", "taken since the start", sum(|row| row.snapshot.taken)),
    ] {
        put!(html, "<p id=\"{id}\"><b>{value}</b> {what}</p>");
    }
    put!(html, "</section>");
    apps(&mut html, rows, now);
    reasons(&mut html, rows);
    last(&mut html, rows, now);
    put!(html, "</main></body></html>");
    html
}

fn warnings(html: &mut String, rows: &[Row], now: WallTime) {
    for row in rows {
        let name = escaped(row.info.name.as_str());
        if let Some(why) = row.info.health.why() {
            put!(html, "<p class=\"warning {}\"><b>{name}</b> {}</p>", row.info.health.word(), escaped(why));
        }
        if let Some(end) = row.info.expires_soon(now) {
            if end < now {
                put!(html, "<p class=\"warning failing\"><b>{name}</b> its certificate has expired: renew it</p>");
            } else {
                let left = span(end.saturating_since(now).as_secs());
                put!(html, "<p class=\"warning expiring\"><b>{name}</b> its certificate ends in {left}: renew it</p>");
            }
        }
    }
}

fn apps(html: &mut String, rows: &[Row], now: WallTime) {
    put!(html, "<section><h2>Apps</h2>");
    if rows.is_empty() {
        put!(html, "<p>There is no app yet.</p></section>");
        return;
    }
    put!(
        html,
        "<table id=\"apps\"><thead><tr><th>app</th><th>state</th><th>sends to</th><th>credential</th>\
         <th class=\"n\">connections</th><th class=\"n\">waiting</th><th class=\"n\">in flight</th>\
         <th class=\"n\">last minute</th></tr></thead><tbody>"
    );
    for Row { info, snapshot, counts } in rows {
        let health = info.health.word();
        put!(
            html,
            "<tr><th>{}</th><td><span class=\"state {health}\">{}</span></td><td>{} <small>{}, {}</small></td><td>{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escaped(info.name.as_str()),
            health.replace('_', " "),
            escaped(&info.endpoint),
            info.environment.word(),
            info.transport.word(),
            credential(&info.credential, now),
            snapshot.connections,
            counts.waiting,
            counts.in_flight,
            snapshot.last_minute,
        );
    }
    put!(html, "</tbody></table></section>");
}

fn credential(credential: &Credential, now: WallTime) -> String {
    match credential {
        Credential::Certificate { subject, not_after, .. } => {
            let left = if *not_after < now {
                "expired".to_owned()
            } else {
                format!("ends in {}", span(not_after.saturating_since(now).as_secs()))
            };
            format!("{} <small>certificate, {left}</small>", escaped(subject))
        }
        Credential::SigningKey { key_id, team_id } => {
            format!("{} <small>signing key of team {}</small>", escaped(key_id), escaped(team_id))
        }
    }
}

fn reasons(html: &mut String, rows: &[Row]) {
    put!(html, "<section><h2>Outcomes since the start</h2>");
    if rows.iter().all(|row| row.snapshot.ended.is_empty()) {
        put!(html, "<p>None yet.</p></section>");
        return;
    }
    put!(
        html,
        "<table id=\"reasons\"><thead><tr><th>app</th><th>outcome</th><th class=\"n\">how many</th></tr></thead><tbody>"
    );
    for row in rows {
        let mut reasons: Vec<_> = row.snapshot.ended.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons {
            let name = escaped(row.info.name.as_str());
            put!(html, "<tr><th>{name}</th><td>{}</td><td class=\"n\">{count}</td></tr>", escaped(reason));
        }
    }
    put!(html, "</tbody></table></section>");
}

fn last(html: &mut String, rows: &[Row], now: WallTime) {
    let mut records: Vec<&OutcomeRecord> = rows.iter().flat_map(|row| &row.snapshot.last).collect();
    if records.is_empty() {
        return;
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.settled_at));
    put!(
        html,
        "<section><h2>Last outcomes</h2><table id=\"last\"><thead><tr><th>app</th><th>outcome</th><th>notification</th>\
         <th class=\"n\">ago</th></tr></thead><tbody>"
    );
    for record in records.into_iter().take(LAST) {
        let again = match record.tries.replays {
            0 => "",
            _ => " <small>perhaps twice</small>",
        };
        put!(
            html,
            "<tr><th>{}</th><td class=\"{}\" title=\"{}\">{}{again}</td><td><code>{}</code></td><td class=\"n\">{}</td></tr>",
            escaped(record.app.as_str()),
            escaped(&record.outcome),
            escaped(record.detail.as_deref().unwrap_or_default()),
            escaped(record.counted_as()),
            record.id,
            span(now.saturating_since(WallTime::from_millis(record.settled_at)).as_secs()),
        );
    }
    put!(html, "</tbody></table></section>");
}

/// A span of time in its two largest units.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_part_of_the_document() {
        assert_eq!(escaped("<a b='c' d=\"e\">&"), "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;");
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!([0, 59, 61, 3700, 90_000].map(span), ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_service_without_apps_has_a_page() {
        let html = render(&[], &StoreHealth::default(), 3, WallTime::from_secs(100), WallTime::from_secs(200));
        assert!(
            html.contains("There is no app yet")
                && html.contains("<b>3</b> notifications wait for apps")
                && html.contains("1 min 40 s")
        );
        assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
    }
}
