//! The middle pane as a phone: the lock screen, and what is behind it.

use maud::{Markup, html};

use super::icons::icon;
use super::{Scene, View, device_title, short_token};
use crate::clock;
use crate::content::{Text, plain};
use crate::phone::{Activity, Banner, Card, Level, Row, Stage};
use crate::roster::{DeviceLine, DeviceState};

/// How many values of a Live Activity's state are shown.
const VALUES: usize = 12;

/// How many steps of a Live Activity are shown one by one.
const STEPS: usize = 5;

pub(super) fn draw(scene: &Scene<'_>) -> Markup {
    let (Some(device), Some(screen)) = (scene.device, scene.screen) else { return Markup::default() };
    html! {
        section.pane.mid #phone aria-label="The device" {
            (who(scene, device))
            div.device {
                div.screen {
                    p.status {
                        span { (clock::short(scene.now, scene.now)) }
                        span { (device.state.word()) " " (icon(if device.state == DeviceState::Offline { "no" } else { "cast" })) }
                    }
                    div.clock {
                        b { (clock::short(scene.now, scene.now)) }
                        span { (clock::day(scene.now)) }
                    }
                    div.stack data-walk {
                        @for card in &screen.screen {
                            div {
                                @match card {
                                    Card::Activity(card) => (activity(scene, card)),
                                    Card::Banner(card) => (grouped(scene, card)),
                                }
                            }
                        }
                    }
                }
            }
            p.caption {
                @if screen.screen.is_empty() { "Nothing on the lock screen. " }
                "Dark notes are the simulator’s. What only the app knows is shown by its name."
            }
            (rows(scene, "Held by the service", "The device is offline: the latest of each app waits.", &screen.held))
            (rows(scene, "Behind the screen", "Accepted, and nothing to see on the lock screen.", &screen.behind))
            (rows(scene, "Refused", "These never came as far as the device.", &screen.refused))
            @if screen.more > 0 {
                p.caption {
                    (screen.more) " more are in the "
                    a href=(View { list: true, push: None, ..scene.view.clone() }.href()) { "list" } "."
                }
            }
        }
    }
}

/// Whose phone it is, and the switch between phone and list.
pub(super) fn who(scene: &Scene<'_>, device: &DeviceLine) -> Markup {
    let phone =
        View { list: false, all: false, before: None, after: None, push: None, ..scene.view.of_device(&device.token) };
    let list = View { list: true, ..phone.clone() };
    html! {
        div.who {
            div {
                h2 dir="auto" { (device_title(device)) }
                p {
                    span.mono title=(device.token) { (short_token(&device.token)) }
                    " · " (device.state.word())
                    @match device.follows.len() {
                        0 => {}
                        1 => " · follows 1 channel",
                        channels => { " · follows " (channels) " channels" }
                    }
                }
            }
            nav.switch aria-label="View" {
                a href=(phone.href()) aria-current=[scene.is_phone().then_some("page")] { "Lock screen" }
                a href=(list.href()) aria-current=[(!scene.is_phone()).then_some("page")] { "List" }
            }
            details.about {
                summary { "Name and channels" }
                form method="post" action="device" {
                    input type="hidden" name="device" value=(device.token);
                    input type="hidden" name="back" value=(scene.view.query());
                    input type="hidden" name="form" value=(scene.shared.secret());
                    label { "Name" input.field name="name" maxlength="100" value=[device.name.as_deref()]; }
                    label {
                        "Broadcast channels that it follows, one a line"
                        textarea.field name="follows" rows="2" {
                            @for channel in &device.follows { (channel) "\n" }
                        }
                    }
                    button.button { "Keep" }
                }
                p { "Device token " code { (device.token) } }
            }
        }
    }
}

fn rows(scene: &Scene<'_>, title: &str, said: &str, rows: &[Row]) -> Markup {
    html! {
        @if !rows.is_empty() {
            section.behind {
                h3 { (title) }
                p { (said) }
                ul.lines data-walk {
                    @for row in rows { li { (line(scene, row)) } }
                }
            }
        }
    }
}

fn line(scene: &Scene<'_>, row: &Row) -> Markup {
    html! {
        a.line href=(scene.view.with_push(row.seq)) aria-current=[current(scene, row.seq)] {
            (icon(row.icon))
            span.one { b { (row.kind) } " " span.soft title=(row.topic) { (row.topic) } }
            span.ends {
                @if let Some(answer) = &row.answer { span.pill.bad { (answer) } }
                time { (clock::short(row.at, scene.now)) }
            }
            span.does { (row.does) }
        }
    }
}

fn current(scene: &Scene<'_>, seq: u64) -> Option<&'static str> {
    scene.chosen.is_some_and(|push| push.seq == seq).then_some("true")
}

/// A banner with those of its thread behind it.
fn grouped(scene: &Scene<'_>, card: &Banner) -> Markup {
    html! {
        (banner(scene, card))
        @if let (Some(thread), false) = (&card.thread, card.earlier.is_empty()) {
            details open[card.earlier.iter().any(|earlier| current(scene, earlier.seq).is_some())] {
                summary { (card.earlier.len()) " earlier in thread " (thread) }
                div.stack { @for earlier in &card.earlier { div { (banner(scene, earlier)) } } }
            }
        }
    }
}

fn banner(scene: &Scene<'_>, card: &Banner) -> Markup {
    let passive = if card.level == Level::Passive { " passive" } else { "" };
    let expired = if card.expired_at.is_some() { " expired" } else { "" };
    html! {
        div class=[(!card.earlier.is_empty()).then_some("pile")] {
            a class={ "card" (passive) (expired) } href=(scene.view.with_push(card.seq))
                aria-current=[current(scene, card.seq)] data-seq=(card.seq) {
                (scene.app_icon(&card.app, None))
                div {
                    @if card.expired_at.is_some() { span.hide { "Expired: " } }
                    p.from { span { (scene.app_name(&card.app)) } time { (clock::short(card.at, scene.now)) } }
                    @match card.level {
                        Level::TimeSensitive => p.level { (icon("clock")) "Time-sensitive" },
                        Level::Critical => p.level.critical { (icon("warn")) "Critical" },
                        Level::Passive | Level::Active => {}
                    }
                    @if let Some(title) = &card.title { p.title dir="auto" { (text(title)) } }
                    @if let Some(subtitle) = &card.subtitle { p.sub dir="auto" { (text(subtitle)) } }
                    @if let Some(body) = &card.body { p.body dir="auto" { (text(body)) } }
                    @if !card.actions.is_empty() {
                        p.actions { @for action in &card.actions { span { (action) } } }
                    }
                }
            }
        }
        (notes(&banner_notes(scene, card)))
    }
}

/// A text; a key that the app has to translate is shown as one, with its arguments.
fn text(text: &Text) -> Markup {
    match text {
        Text::Plain(text) => html! { (text) },
        Text::Key { key, args } => html! {
            span.key { (key) }
            @if !args.is_empty() { " " span.args { @for arg in args { i { (arg) } } } }
        },
    }
}

/// Something that the simulator notes below a card: a picture, words, whether they are strong.
type Note = (&'static str, String, bool);

fn banner_notes(scene: &Scene<'_>, card: &Banner) -> Vec<Note> {
    let mut notes: Vec<Note> = Vec::new();
    let mut note = |picture, words: String| notes.push((picture, words, false));
    if let Some(sound) = &card.sound {
        let volume = sound.volume.map(|volume| format!(", volume {volume}")).unwrap_or_default();
        let through = if sound.critical { ", breaks through silence" } else { "" };
        note("sound", format!("{}{volume}{through}", sound.name));
    }
    if let Some((before, after)) = card.badge {
        let shown = |badge: u64| if badge == 0 { "none".to_owned() } else { badge.to_string() };
        let words = if before == after { shown(after) } else { format!("{} → {}", shown(before), shown(after)) };
        note("badge", words);
    }
    if card.mutable {
        note("edit", "mutable-content: an extension may change it".to_owned());
    }
    if card.wakes {
        note("moon", "content-available: wakes the app as well".to_owned());
    }
    if card.level == Level::Passive {
        note("moon", "passive: no light, no sound".to_owned());
    }
    if let Some(thread) = &card.thread {
        note("stack", format!("thread {thread}"));
    }
    if let Some(category) = &card.category {
        note("doc", format!("category {category}"));
    }
    if let Some((argument, count)) = &card.summary {
        let words = match (argument, count) {
            (Some(argument), Some(count)) => format!("summary: {count} more from {argument}"),
            (Some(argument), None) => format!("summary: from {argument}"),
            (None, count) => format!("summary counts it as {}", count.unwrap_or(1)),
        };
        note("stack", words);
    }
    if let Some(relevance) = card.relevance {
        note("stack", format!("score {relevance} in the summary"));
    }
    if let Some(filter) = &card.filter {
        note("moon", format!("filter-criteria: {filter}"));
    }
    if let Some(target) = &card.target {
        note("doc", format!("opens {target}"));
    }
    if let Some(image) = &card.launch_image {
        note("doc", format!("launch image {image}"));
    }
    if let Some(command) = card.command {
        note("link", format!("binary protocol, command {command}"));
    }
    if card.late {
        notes.insert(0, ("clock", "delivered when the device came back".to_owned(), true));
    }
    if let Some(end) = card.expired_at {
        let end = clock::short(apns_proto::WallTime::from_secs(end), scene.now);
        notes.insert(0, ("clock", format!("expired {end}, while the device was offline: never shown"), true));
    }
    if card.replaced > 0 {
        let id = card.collapse_id.as_deref().unwrap_or_default();
        notes.insert(0, ("swap", format!("replaced {} earlier of {id}", card.replaced), true));
    }
    notes
}

fn notes(notes: &[Note]) -> Markup {
    html! {
        @if !notes.is_empty() {
            ul.notes aria-label="What the simulator notes" {
                @for (picture, words, strong) in notes { li.strong[*strong] { (icon(picture)) (words) } }
            }
        }
    }
}

fn activity(scene: &Scene<'_>, card: &Activity) -> Markup {
    let at = |seconds: u64| clock::short(apns_proto::WallTime::from_secs(seconds), scene.now);
    let (kind, pill) = match card.now {
        Stage::Active => (" good", "live".to_owned()),
        Stage::Stale => (" care", format!("stale since {}", at(card.stale_at.unwrap_or_default()))),
        Stage::Ended => ("", "ended".to_owned()),
    };
    html! {
        a.card.activity href=(scene.view.with_push(card.seq)) aria-current=[current(scene, card.seq)] data-seq=(card.seq) {
            (scene.app_icon(&card.app, None))
            div {
                p.from {
                    span {
                        (scene.app_name(&card.app))
                        @if let Some(attributes_type) = &card.attributes_type { " · " span.mono { (attributes_type) } }
                    }
                    span class={ "pill" (kind) } { (pill) }
                }
                dl.state {
                    @for (key, value) in card.attributes.iter().chain(&card.state).take(VALUES) {
                        dt { (key) } dd dir="auto" { (plain(value)) }
                    }
                }
            }
            ol.steps aria-label="Events" { (steps(scene, card)) }
        }
        (notes(&activity_notes(scene, card)))
    }
}

/// The first event, the last ones, and how many there are between.
fn steps(scene: &Scene<'_>, card: &Activity) -> Markup {
    let shown = |place: usize| {
        let step = &card.events[place];
        format!("{} {}", step.event, clock::short(step.at, scene.now))
    };
    let length = card.events.len();
    let mut words: Vec<String> = Vec::new();
    if length <= STEPS && card.more_events == 0 {
        words.extend((0..length).map(shown));
    } else {
        words.extend((0..1.min(length)).map(shown));
        let last = length.saturating_sub(2).max(1);
        words.push(format!("{} more", last as u64 - 1 + card.more_events));
        words.extend((last..length).map(shown));
    }
    if card.now == Stage::Stale {
        words.push(format!(
            "stale {}",
            clock::short(apns_proto::WallTime::from_secs(card.stale_at.unwrap_or_default()), scene.now)
        ));
    }
    let count = words.len();
    html! { @for (place, word) in words.iter().enumerate() { li.now[place + 1 == count] { (word) } } }
}

fn activity_notes(scene: &Scene<'_>, card: &Activity) -> Vec<Note> {
    let at = |seconds: u64| clock::short(apns_proto::WallTime::from_secs(seconds), scene.now);
    let mut notes: Vec<Note> = Vec::new();
    let mut note = |picture, words: String| notes.push((picture, words, false));
    if card.alerted {
        let sound = card.sound.as_ref().map(|sound| format!(" with {sound}")).unwrap_or_default();
        note("bell", format!("the last event alerted{sound}"));
    }
    if let Some(channel) = &card.channel {
        let follow = if card.followers == 1 {
            "1 device follows".to_owned()
        } else {
            format!("{} devices follow", card.followers)
        };
        note("cast", format!("channel {channel}, {follow}"));
    }
    match (card.now, card.stale_at, card.leaves_at) {
        (Stage::Stale, _, _) => note("clock", "stale-date passed: the app may grey it out".to_owned()),
        (Stage::Active, Some(stale), _) => note("clock", format!("stale from {}", at(stale))),
        (Stage::Ended, _, Some(leaves)) => note("clock", format!("leaves the screen at {}", at(leaves))),
        _ => {}
    }
    if card.asks_token {
        note("link", "asks the app for a token of its own".to_owned());
    }
    if let Some(relevance) = card.relevance {
        note("stack", format!("relevance {relevance}"));
    }
    if card.ignored > 0 {
        note("no", format!("{} older updates ignored", card.ignored));
    }
    notes
}
