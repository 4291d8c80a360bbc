//! The status page: one document, without scripts, made anew each time it is asked for.

use std::time::Duration;

use apns_proto::{Escaped, WallTime};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::forms::Forms;
use super::problem::Problem;
use super::webhooks::Told;
use super::{Api, buttons, finder};
use crate::access::Caller;
use crate::delivery::{Credential, Snapshot, now};
use crate::outbox::{Counts, OutcomeRecord};
use crate::service::{AppInfo, StoreHealth};

/// Nothing from elsewhere, and nothing that runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'";

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
    let webhooks = api.webhooks_of(&caller).await?;
    let hand = api.forms().map(|forms| Hand { forms, caller: &caller });
    let html = render(&rows, &webhooks, &store, orphans, (api.service().started(), now()), hand);
    Ok((self::headers(), Html(html.into_string())).into_response())
}

/// The headers of each page.
pub(super) fn headers() -> [(header::HeaderName, &'static str); 3] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
    ]
}

/// Who looks, and what signs the forms for them.
#[derive(Clone, Copy)]
struct Hand<'a> {
    forms: &'a Forms,
    caller: &'a Caller,
}

/// A whole page, made anew after so many seconds.
pub(super) fn document(title: &str, refresh: Option<u32>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                @if let Some(seconds) = refresh { meta http-equiv="refresh" content=(seconds); }
                meta name="viewport" content="width=device-width";
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

fn render(
    rows: &[Row],
    told: &[Told],
    store: &StoreHealth,
    orphans: u64,
    (started, now): (WallTime, WallTime),
    hand: Option<Hand<'_>>,
) -> Markup {
    let sum = |of: fn(&Row) -> u64| rows.iter().map(of).sum::<u64>();
    let body = html! {
                header { h1 { "apnsd" } p { "running for " (span(now.saturating_since(started))) } }
                main {
                    @if let Some(why) = &store.why {
                        p.warning.failing #outbox { b { "nothing can be stored" } " and callers are refused: " (why) }
                    }
                    @for row in rows { (warnings(row, now)) }
                    @for Told { info, .. } in told {
                        @if let Some(why) = info.state.why() {
                            p.warning.failing {
                                "webhook " b { (info.name) } " is not told the outcomes of " b { (info.app.as_str()) } ": " (why)
                            }
                        }
                    }
                    @if orphans > 0 {
                        p.warning.expiring { b { (orphans) } " notifications wait for apps that are not configured" }
                    }
                    section.figures aria-label="Totals" {
                        p #waiting { b { (sum(|row| row.counts.waiting)) } " waiting" }
                        p #in-flight { b { (sum(|row| row.counts.in_flight)) } " in flight" }
                        p #last-minute { b { (sum(|row| row.snapshot.last_minute)) } " ended in the last minute" }
                        p #taken { b { (sum(|row| row.snapshot.taken)) } " taken since the start" }
                    }
                    section { h2 { "Apps" } (apps(rows, now, hand)) }
                    @if !told.is_empty() { section { h2 { "Webhooks" } (webhooks(told, now)) } }
                    section { h2 { "Outcomes since the start" } (reasons(rows)) }
                    (last(rows, now))
                }
    };
    document("apnsd", Some(5), &body)
}

fn warnings(row: &Row, now: WallTime) -> Markup {
    let name = row.info.name.as_str();
    html! {
        @if let Some(pause) = &row.info.pause {
            p.warning.paused {
                b { (name) } " is paused for " (span(now.saturating_since(pause.since))) ": nothing is sent"
                @if let Some(reason) = pause.reason.as_deref() { ". " (Escaped(reason).to_string()) }
            }
        }
        @if let Some(why) = row.info.health.why() {
            p class={ "warning " (row.info.health.word()) } { b { (name) } " " (why) }
        }
        @if row.snapshot.probes.waits {
            p.warning.expiring {
                b { (name) } " notifications wait because of wrong_probes: the environment of their device tokens is not \
                    known, and as many as may be were asked for in vain in the last minute"
            }
        }
        @match row.info.expires_soon(now) {
            Some(end) if end < now => p.warning.failing { b { (name) } " its certificate has expired: renew it" },
            Some(end) => p.warning.expiring {
                b { (name) } " its certificate ends in " (span(end.saturating_since(now))) ": renew it"
            },
            None => {},
        }
    }
}

fn apps(rows: &[Row], now: WallTime, hand: Option<Hand<'_>>) -> Markup {
    if rows.is_empty() {
        return html! { p { "There is no app yet." } };
    }
    html! {
        table #apps {
            thead {
                tr {
                    th { "app" } th { "state" } th { "sends to" } th { "credential" } th.n { "connections" }
                    th.n { "waiting" } th.n { "in flight" } th.n { "last minute" } th { "by hand" }
                }
            }
            tbody {
                @for Row { info, snapshot, counts } in rows {
                    tr {
                        th { (info.name.as_str()) }
                        td {
                            @for one in &info.environments {
                                span class={ "state " (one.health.word()) } {
                                    (one.health.word().replace('_', " "))
                                }
                                " "
                            }
                            @if info.pause.is_some() { " " span.state.paused { "paused" } }
                        }
                        td {
                            @for one in &info.environments { div {
                                (one.endpoint) " " small {
                                    (one.environment.word()) ", " (info.transport.word())
                                    @if let Some(proxy) = &one.proxy { ", through " (proxy) }
                                }
                            } }
                        }
                        td { @for one in &info.environments { div { (credential(&one.credential, now)) } } }
                        td.n { (snapshot.connections) }
                        td.n { (counts.waiting) }
                        td.n { (counts.in_flight) }
                        td.n { (snapshot.last_minute) }
                        td.hand { @if let Some(Hand { forms, caller }) = hand {
                            @if info.pause.is_some() {
                                (buttons::button(forms, caller, buttons::RESUME, &info.name, "Resume"))
                            } @else {
                                (buttons::button(forms, caller, buttons::PAUSE, &info.name, "Pause"))
                            }
                            (buttons::link(buttons::PURGE, &info.name, "Purge…"))
                            (buttons::link(finder::SEARCH, &info.name, "Search…"))
                        } }
                    }
                }
            }
        }
    }
}

fn webhooks(told: &[Told], now: WallTime) -> Markup {
    let ago = |time: WallTime| span(now.saturating_since(time));
    html! {
        table #webhooks {
            thead { tr {
                th { "webhook" } th { "app" } th { "state" } th { "to" }
                th.n { "behind by" } th.n { "oldest of these" } th.n { "last taken" }
            } }
            tbody {
                @for Told { info, backlog } in told {
                    tr {
                        th { (info.name) }
                        td { (info.app.as_str()) }
                        td class=(info.state.word()) title=(info.state.why().unwrap_or_default()) { (info.state.word()) }
                        td { (info.url) }
                        td.n { (backlog.outcomes) }
                        td.n { @if let Some(oldest) = backlog.oldest { (ago(oldest)) " ago" } }
                        td.n { @if let Some(at) = info.figures.delivered_at { (ago(at)) " ago" } }
                    }
                }
            }
        }
    }
}

fn credential(credential: &Credential, now: WallTime) -> Markup {
    match credential {
        Credential::Certificate { subject, not_after, .. } if *not_after < now => {
            html! { (subject) " " small { "certificate, expired" } }
        }
        Credential::Certificate { subject, not_after, .. } => {
            html! { (subject) " " small { "certificate, ends in " (span(not_after.saturating_since(now))) } }
        }
        Credential::SigningKey { key_id, team_id } => {
            html! { (key_id) " " small { "signing key of team " (team_id) } }
        }
    }
}

fn reasons(rows: &[Row]) -> Markup {
    if rows.iter().all(|row| row.snapshot.ended.is_empty()) {
        return html! { p { "None yet." } };
    }
    let most_first = |row: &Row| {
        let mut reasons: Vec<_> = row.snapshot.ended.clone().into_iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    };
    html! {
        table #reasons {
            thead { tr { th { "app" } th { "outcome" } th.n { "how many" } } }
            tbody {
                @for row in rows {
                    @for (reason, count) in most_first(row) {
                        tr { th { (row.info.name.as_str()) } td { (reason) } td.n { (count) } }
                    }
                }
            }
        }
    }
}

fn last(rows: &[Row], now: WallTime) -> Markup {
    let mut records: Vec<&OutcomeRecord> = rows.iter().flat_map(|row| &row.snapshot.last).collect();
    if records.is_empty() {
        return Markup::default();
    }
    records.sort_by_key(|record| std::cmp::Reverse(record.settled_at));
    let ago = |record: &OutcomeRecord| span(now.saturating_since(WallTime::from_millis(record.settled_at)));
    html! {
        section {
            h2 { "Last outcomes" }
            table #last {
                thead { tr { th { "app" } th { "outcome" } th { "notification" } th.n { "ago" } } }
                tbody {
                    @for record in records.into_iter().take(LAST) {
                        tr {
                            th { (record.app.as_str()) }
                            td class=(record.outcome) title=(record.detail.as_deref().unwrap_or_default()) {
                                (record.counted_as())
                                @if record.tries.replays > 0 { " " small { "perhaps twice" } }
                            }
                            td { code { (record.id) } }
                            td.n { (ago(record)) }
                        }
                    }
                }
            }
        }
    }
}

/// A span of time in its two largest units.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_part_of_the_document() {
        let store = StoreHealth { why: Some("<a b='c' d=\"e\">&".to_owned()), ..StoreHealth::default() };
        let html =
            render(&[], &[], &store, 0, (WallTime::from_secs(100), WallTime::from_secs(200)), None).into_string();
        assert!(html.contains("refused: &lt;a b='c' d=&quot;e&quot;&gt;&amp;</p>"), "{html}");
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!(
            [0, 59, 61, 3700, 90_000].map(|seconds| span(Duration::from_secs(seconds))),
            ["0 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
    }

    #[test]
    fn a_service_without_apps_has_a_page() {
        let times = (WallTime::from_secs(100), WallTime::from_secs(200));
        let html = render(&[], &[], &StoreHealth::default(), 3, times, None).into_string();
        assert!(
            html.contains("There is no app yet")
                && html.contains("<b>3</b> notifications wait for apps")
                && html.contains("1 min 40 s")
        );
        assert!(!html.contains("<script") && !html.contains("http://") && !html.contains("https://"));
    }
}
