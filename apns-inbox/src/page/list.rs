//! The middle pane as a list: what fits, in pages that are told by numbers of pushes, so that new ones move nothing.

use std::sync::Arc;

use maud::{Markup, html};

use super::icons::icon;
use super::{Scene, View, grouped, phone};
use crate::clock;
use crate::filter::{FIELDS, Filter};
use crate::phone::answer_words;
use crate::push::{Answer, Push};

/// How many pushes are on a page.
const PAGE: usize = 50;

/// How many bars the picture of the time has.
const BARS: usize = 40;

pub(super) fn draw(scene: &Scene<'_>) -> Markup {
    let pushes = scene.pushes;
    if pushes.is_empty() {
        return nothing(scene);
    }
    let page = page(pushes, scene.view);
    html! {
        section.pane.mid.many #phone aria-label="List of pushes" {
            (head(scene))
            (rail(scene))
            (pager(scene, page, "Pages"))
            ul.lines data-walk { @for push in page.iter().rev() { li { (line(scene, push)) } } }
            (pager(scene, page, "Pages, again"))
        }
    }
}

/// The pushes of a page, oldest first.
fn page<'a>(pushes: &'a [Arc<Push>], view: &View) -> &'a [Arc<Push>] {
    if let Some(after) = view.after {
        let start = pushes.partition_point(|push| push.seq <= after);
        return &pushes[start..pushes.len().min(start + PAGE)];
    }
    let end = match view.before {
        Some(before) => pushes.partition_point(|push| push.seq < before),
        None => pushes.len(),
    };
    &pushes[end.saturating_sub(PAGE)..end]
}

fn head(scene: &Scene<'_>) -> Markup {
    let refused = scene.pushes.iter().filter(|push| !push.accepted()).count();
    let count = format!("{} pushes, {} refused", grouped(scene.pushes.len() as u64), grouped(refused as u64));
    if let Some(device) = scene.device.filter(|_| scene.view.filter.is_device_alone()) {
        return html! { (phone::who(scene, device)) p.caption { (count) } };
    }
    let words = filter_words(&scene.view.filter);
    let phone = scene.chosen.and_then(|push| scene.device_link(&push.device()?));
    html! {
        div.who {
            div {
                h2 { @if words.is_empty() { "All devices" } @else { (words) } }
                p { (count) " · the last " (grouped(scene.shared.keep() as u64)) " are kept" }
            }
            @if !words.is_empty() {
                a.button href="?view=all" { "Leave out the filters" }
            } @else if let Some((_, phone)) = phone {
                nav.switch aria-label="View" {
                    a href=(phone) { "Lock screen" }
                    a href=(scene.view.href()) aria-current="page" { "List" }
                }
            }
        }
    }
}

/// What is asked for, in words.
fn filter_words(filter: &Filter) -> String {
    let words = filter.pairs().map(|(name, value)| match name {
        "q" => format!("“{value}”"),
        name => format!("{} {value}", name.replace('_', "-")),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn nothing(scene: &Scene<'_>) -> Markup {
    debug_assert!(FIELDS.len() == 7, "every filter has a word above");
    let words = filter_words(&scene.view.filter);
    html! {
        section.pane.mid #phone aria-label="List of pushes" {
            div.none {
                (icon("search"))
                h3 { "No push fits" }
                p { "Searched " (grouped(scene.snapshot.pushes.len() as u64)) " pushes" @if !words.is_empty() { " for " (words) } "." }
                a.button href="?view=all" { "Leave out the filters" }
            }
        }
    }
}

fn line(scene: &Scene<'_>, push: &Push) -> Markup {
    let device = push.device().map(|token| {
        // Its name, where it has one.
        let known = scene.devices.iter().find(|device| device.token == token);
        match known.and_then(|device| device.name.clone()) {
            Some(name) => (name, true),
            None => (super::short_token(&token), false),
        }
    });
    let kind = if push.is_broadcast() { "broadcast".to_owned() } else { push.push_type().as_str().to_owned() };
    let here = scene.chosen.is_some_and(|chosen| chosen.seq == push.seq);
    html! {
        a.line href=(scene.view.with_push(push.seq)) aria-current=[here.then_some("true")] {
            (scene.app_icon(push.app(), None))
            span.one { b dir="auto" { (push.headline()) } }
            span.ends {
                @match push.answer() {
                    Answer::Accepted(_) => {}
                    Answer::Silent => span.pill { "binary" },
                    refused @ Answer::Refused(..) => span.pill.bad { (answer_words(refused)) },
                    Answer::None => span.pill.care { "no answer" },
                }
                time { (clock::exact(push.at, scene.now)) }
            }
            span.does.one {
                (kind) " · "
                @match device {
                    Some((device, true)) => span dir="auto" { (device) },
                    Some((token, false)) => span.mono { (token) },
                    None => "no device",
                }
                " · " (push.seq)
            }
        }
    }
}

fn pager(scene: &Scene<'_>, page: &[Arc<Push>], label: &str) -> Markup {
    let (Some(first), Some(last)) = (page.first(), page.last()) else { return Markup::default() };
    let total = scene.pushes.len();
    if total <= page.len() {
        return Markup::default();
    }
    let to = |before: Option<u64>, after: Option<u64>| {
        View { before, after, push: None, list: scene.view.list, ..scene.view.clone() }.href()
    };
    let newer = scene.pushes.last().is_some_and(|newest| newest.seq > last.seq);
    let older = scene.pushes.first().is_some_and(|oldest| oldest.seq < first.seq);
    html! {
        nav.pager aria-label=(label) {
            span.turn {
                @if newer {
                    a.button href=(to(None, None)) { "Newest" }
                    a.button rel="prev" href=(to(None, Some(last.seq))) { "Newer " (PAGE) }
                }
            }
            span { (grouped(last.seq)) " – " (grouped(first.seq)) ", " (grouped(total as u64)) " in all" }
            span.turn {
                @if older {
                    a.button rel="next" href=(to(Some(first.seq), None)) { "Older " (PAGE) }
                    a.button href=(to(None, Some(0))) { "Oldest" }
                }
            }
        }
    }
}

/// How many came when, in bars that lead there.
fn rail(scene: &Scene<'_>) -> Markup {
    let (Some(first), Some(last)) = (scene.pushes.first(), scene.pushes.last()) else { return Markup::default() };
    let (start, end) = (first.at.as_millis(), last.at.as_millis());
    let width = (end.saturating_sub(start) / BARS as u64).max(1);
    if scene.pushes.len() <= PAGE || end <= start {
        return Markup::default();
    }
    // How many came, how many were refused, and the last of them.
    let mut bars = vec![(0_u64, 0_u64, 0_u64); BARS];
    for push in scene.pushes {
        let place = usize::try_from(push.at.as_millis().saturating_sub(start) / width).unwrap_or(BARS).min(BARS - 1);
        let (count, refused, newest) = &mut bars[place];
        *count += 1;
        *refused += u64::from(!push.accepted());
        *newest = (*newest).max(push.seq);
    }
    let highest = bars.iter().map(|(count, _, _)| *count).max().unwrap_or(1).max(1);
    let height = |count: u64| if count == 0 { 0 } else { (count * 50 / highest).max(2) };
    html! {
        svg.rail viewBox="0 0 400 54" preserveAspectRatio="none" role="group"
            aria-label="Pushes over time; each bar leads to its pushes" {
            @for (place, (count, refused, newest)) in bars.iter().enumerate() {
                @if *count > 0 {
                    @let begin = apns_proto::WallTime::from_millis(start + width * place as u64);
                    @let label = format!("{}, {count} pushes, {refused} refused", clock::exact(begin, scene.now));
                    @let before = View { before: Some(newest + 1), after: None, push: None, ..scene.view.clone() };
                    a href=(before.href()) aria-label=(label) {
                        title { (label) }
                        rect.room x=(place * 10) y="0" width="10" height="54" {}
                        rect.hit x=(place * 10 + 1) y=(54 - height(*count)) width="8" height=(height(*count)) rx="1.5" {}
                        @if *refused > 0 {
                            rect.no x=(place * 10 + 1) y=(54 - height(*refused)) width="8" height=(height(*refused)) rx="1" {}
                        }
                    }
                }
            }
        }
        p.hours aria-hidden="true" {
            span { (clock::exact(first.at, scene.now)) } span { (clock::exact(last.at, scene.now)) }
        }
    }
}
