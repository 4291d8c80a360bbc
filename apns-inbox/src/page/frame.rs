//! What is around the panes: the bar, the bad days, the alerts.

use maud::{DOCTYPE, Markup, html};

use super::icons::{icon, logo, sprite};
use super::{Scene, View, device_title, grouped};
use crate::bad_day::Choice;
use crate::clock;
use crate::http::Shared;
use crate::roster::{DeviceLine, DeviceState};
use crate::store::Snapshot;

/// The page with its panes.
pub(super) fn document(scene: &Scene<'_>, title: &str, main: &Markup) -> Markup {
    let alerts = alerts(scene.snapshot, scene);
    let body = Body {
        classes: if alerts.is_some() { "has-alert" } else { "" },
        panes: true,
        kept: kept(scene.snapshot.pushes.len(), scene.snapshot.dropped),
    };
    let inner = html! {
        @if let Some(alerts) = &alerts { (alerts) }
        (bad_days(scene))
        (main)
    };
    page(scene.shared, title, &body, scene.view, &inner)
}

/// How the frame differs.
pub(super) struct Body {
    pub(super) classes: &'static str,
    /// Whether there are panes to go to.
    pub(super) panes: bool,
    pub(super) kept: String,
}

/// How many pushes there are, in words.
fn kept(kept: usize, dropped: u64) -> String {
    match (kept, dropped) {
        (0, _) => "no push kept".to_owned(),
        (1, 0) => "1 push kept".to_owned(),
        (kept, 0) => format!("{} pushes kept", grouped(kept as u64)),
        (kept, dropped) => {
            format!("last {} pushes kept, {} before them dropped", grouped(kept as u64), grouped(dropped))
        }
    }
}

/// The whole document.
pub(super) fn page(shared: &Shared, title: &str, body: &Body, view: &View, inner: &Markup) -> Markup {
    let simulator = shared.simulator();
    let tabs = [
        ("devices", "search", "Devices"),
        ("phone", "phone", "Phone"),
        ("push", "doc", "Push"),
        ("bad", "storm", "Bad days"),
    ];
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) " · apns inbox" }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 26 26'%3E%3Crect width='26' height='26' rx='7' fill='%232a56c6'/%3E%3Cpath d='M5 14.5h4.5a3.5 3.5 0 0 0 7 0H21V19a2 2 0 0 1-2 2H7a2 2 0 0 1-2-2z' fill='%23fff'/%3E%3C/svg%3E";
                link rel="stylesheet" href="style.css";
                script src="live.js" defer {}
            }
            body class=[Some(body.classes).filter(|classes| !classes.is_empty())] {
                (sprite())
                @if body.panes {
                    a.skip href="#phone" { "To the phone" }
                    a.skip href="#push" { "To the selected push" }
                } @else {
                    a.skip href="#start" { "To the content" }
                }
                header.top {
                    @if body.panes {
                        h1 { a.brand href="?" { (logo()) "apns inbox" } }
                    } @else {
                        p { a.brand href="?" { (logo()) "apns inbox" } }
                    }
                    p.where {
                        span { "HTTP/2 " code { "localhost:" (simulator.http2_address().port()) } }
                        span { "binary " code { "localhost:" (simulator.gateway_address().port()) } }
                        span { "feedback " code { "localhost:" (simulator.feedback_address().port()) } }
                        span #kept { (body.kept) }
                    }
                    div.end {
                        a.live #live href="" { "reload" }
                        @if body.panes { (ends(shared, view)) }
                    }
                }
                (inner)
                @if body.panes {
                    nav.tabs aria-label="Panes" {
                        @for (id, picture, name) in tabs {
                            a href={ "#" (id) } { (icon(picture)) (name) }
                        }
                    }
                }
            }
        }
    }
}

fn ends(shared: &Shared, view: &View) -> Markup {
    let query = View { filter: view.filter.clone(), ..View::default() }.query();
    html! {
        a.button href={ "export.jsonl?" (query) } download="pushes.jsonl" aria-label="Export as JSON lines" {
            (icon("down")) span { "Export" }
        }
        form method="post" action="clear" {
            input type="hidden" name="form" value=(shared.secret());
            button.button.danger aria-label="Clear all pushes" { (icon("bin")) span { "Clear" } }
        }
    }
}

/// What a person should know: the file cannot be written, or clients knocked and did not come in, unless some have since.
fn alerts(snapshot: &Snapshot, scene: &Scene<'_>) -> Option<Markup> {
    let alerts: Vec<Markup> = [unwritten(scene), failed_handshakes(snapshot, scene)].into_iter().flatten().collect();
    let some = !alerts.is_empty();
    some.then(|| {
        html! {
            div {
                @for alert in alerts {
                    p.alert.care role="status" { (icon("warn")) (alert) }
                }
            }
        }
    })
}

fn unwritten(scene: &Scene<'_>) -> Option<Markup> {
    let (path, trouble) = scene.shared.file()?;
    let why = trouble?;
    Some(html! {
        span {
            b { "What came last is only in memory" } ": " code { (path) } " cannot be written (" (why) "). It is tried again every \
             second."
        }
    })
}

fn failed_handshakes(snapshot: &Snapshot, scene: &Scene<'_>) -> Option<Markup> {
    let last = snapshot.failures.last.back()?;
    if snapshot.pushes.last().is_some_and(|push| push.at > last.at) {
        return None;
    }
    let count = snapshot.failures.count;
    Some(html! {
        span {
            b { @if count == 1 { "A client knocked and left" } @else { (grouped(count)) " clients knocked and left" } }
            ", the last at " (clock::short(last.at, scene.now))
            @if let Some(peer) = last.peer { " from " (peer) }
            ": " (last.why) ". Let it trust " code { (scene.shared.certs()) "/ca.pem" } ", and call this "
            code { "localhost" } ". "
            a href="?connections=failed" { "All failed connections" }
        }
    })
}

fn bad_days(scene: &Scene<'_>) -> Markup {
    let (pattern, phone) = match scene.device {
        Some(device) => {
            (device.token.clone(), if scene.is_phone() { "this phone".to_owned() } else { device_title(device) })
        }
        None => ("*".to_owned(), "any phone".to_owned()),
    };
    let armed = scene.shared.armed_for(&pattern);
    let label = armed.as_ref().and_then(|armed| armed.label());
    let left = armed.as_ref().map_or(0, |armed| armed.left());
    let times = if left == 1 { "once".to_owned() } else { format!("{left} times") };
    let offline = |device: &DeviceLine| device.state == DeviceState::Offline;
    html! {
        form.days #bad method="post" action="bad-day" aria-label="Bad days" {
            input type="hidden" name="device" value=(pattern);
            input type="hidden" name="back" value=(scene.view.query());
            input type="hidden" name="form" value=(scene.shared.secret());
            h2 { (icon("storm")) "Bad days" }
            span.lead { "next push to " (phone) }
            span.set role="group" aria-label="Answer to the next push" {
                @for choice in Choice::ALL {
                    @let pressed = label == Some(choice.word());
                    button.button name="next" value=(choice.word()) aria-pressed=(pressed) {
                        @match choice.reason() {
                            Some(reason) => { b { (choice.word()) } " " (reason) }
                            None if choice == Choice::Late => "5 s late",
                            None => "cut off",
                        }
                        @if pressed { " · " (times) }
                    }
                }
            }
            @if let Some(label) = label {
                span.hide role="status" { "armed: " (label) ", " (times) "; press again to disarm" }
            }
            span.rule {}
            button.button name="service" value="goaway" aria-label="GOAWAY: the service says it on all connections" {
                "GOAWAY"
                @if let Some(said) = scene.shared.gone_away() { " · said " (clock::exact(said, scene.now)) }
            }
            @if let Some(device) = scene.device {
                @if offline(device) {
                    button.button name="device-is" value="online" aria-pressed="true"
                        aria-label="Come back: the device gets what the service kept for it" { "Come back" }
                } @else {
                    button.button name="device-is" value="offline" aria-label="Go offline: the device takes no pushes" {
                        "Go offline"
                    }
                }
            }
            p.why {
                "An answer that is armed counts once, for the next push to this phone; press it again to take it back. GOAWAY \
                 goes out on every open connection. While a phone is offline, the service keeps one push of each app, the \
                 latest, and delivers it when the phone is back, unless it has expired."
            }
        }
    }
}
