//! The right pane: the truth about one push. What the service said, the rules, the sizes, the request as it came, and how to
//! send it again.

use apns_proto::WallTime;
use apns_sim::{AuthenticatedBy, RequestRecord, Service};
use maud::{Markup, html};

use super::icons::icon;
use super::{Scene, View, grouped, json};
use crate::clock;
use crate::phone::answer_words;
use crate::push::{Answer, Connection, Push, Source};
use crate::rules::{Finding, Severity};

/// How long a provider token is good, in seconds.
const TOKEN_AGE: u64 = 60 * 60;

/// The most of a payload that is drawn; all of it is in the API and in exports.
const LONGEST: usize = 64 * 1024;

pub(super) fn draw(scene: &Scene<'_>) -> Markup {
    match (scene.chosen, scene.view.push) {
        (Some(push), _) => of(scene, push),
        (None, Some(seq)) => gone(scene, seq),
        (None, None) => html! {
            section.pane.right #push aria-label="The selected push" {
                div.none { (icon("doc")) h3 { "No push selected" } p { "What is chosen on the phone or in the list is shown here." } }
            }
        },
    }
}

/// One that made room for later ones, or never was.
fn gone(scene: &Scene<'_>, seq: u64) -> Markup {
    let newest = View { push: None, ..scene.view.clone() };
    html! {
        section.pane.right #push aria-label="The selected push" {
            div.none {
                (icon("doc"))
                h3 { "Push " (seq) " is not kept" }
                p {
                    "The inbox keeps the last " (grouped(scene.shared.keep() as u64)) " pushes; "
                    code { "--inbox-keep" } " makes it more."
                }
                a.button href=(newest.href()) { "To the newest push" }
            }
        }
    }
}

fn of(scene: &Scene<'_>, push: &Push) -> Markup {
    let place = scene.pushes.binary_search_by_key(&push.seq, |one| one.seq);
    let (newer, older) = match place {
        Ok(place) => (scene.pushes.get(place + 1), place.checked_sub(1).and_then(|place| scene.pushes.get(place))),
        Err(place) => (scene.pushes.get(place), place.checked_sub(1).and_then(|place| scene.pushes.get(place))),
    };
    let assumed = match push.said_type() {
        None if push.request().is_some() => format!("{}, assumed", push.push_type().as_str()),
        Some(_) | None => push.push_type().as_str().to_owned(),
    };
    let kind = match &push.source {
        Source::Request(_) if push.is_broadcast() => "broadcast".to_owned(),
        Source::Request(_) => assumed,
        Source::Frame(record) => format!("binary, command {}", record.format.command()),
        Source::Unreadable(_) => "binary, no notification".to_owned(),
    };
    // From a list to the phone.
    let device = push.device().filter(|_| !scene.is_phone()).and_then(|token| scene.device_link(&token));
    html! {
        section.pane.right #push data-seq=(push.seq) aria-label="The selected push" {
            header {
                div {
                    h2 dir="auto" { (push.headline()) }
                    p.sub {
                        "push " (push.seq) " · " (clock::precise(push.at, scene.now)) " · " (kind) " · " (push.topic())
                        @if let Some(device) = device { " · " a href=(device.1) dir="auto" { (device.0) } }
                    }
                }
                nav.turn aria-label="Neighbours" {
                    @if let Some(newer) = newer { a.button rel="prev" href=(scene.view.with_push(newer.seq)) { "Newer" } }
                    @if let Some(older) = older { a.button rel="next" href=(scene.view.with_push(older.seq)) { "Older" } }
                }
            }
            (answer(scene, push))
            (rules(push))
            (sizes(push))
            (payload(push))
            (request(scene, push))
            (link(scene, push))
            (again(scene, push))
        }
    }
}

fn answer(scene: &Scene<'_>, push: &Push) -> Markup {
    let (class, said) = match push.answer() {
        Answer::Accepted(status) => ("", format!("{status} accepted")),
        Answer::Silent => (" silent", "taken, no answer".to_owned()),
        refused @ Answer::Refused(..) => (" refused", answer_words(refused)),
        Answer::None => (" refused", "no answer".to_owned()),
    };
    let request = push.request();
    let mut facts: Vec<String> = Vec::new();
    if let Some(request) = request {
        if request.delay_ms > 0 {
            facts.push(format!("held back {} ms", request.delay_ms));
        }
        if let Some(wait) = &request.retry_after {
            facts.push(format!("retry-after {wait}"));
        }
        if let Some(since) = request.timestamp_ms {
            facts.push(format!("not in use since {}", clock::exact(WallTime::from_millis(since), scene.now)));
        }
    }
    if push.armed() {
        facts.push("a bad day by hand".to_owned());
    }
    let fate = scene.device.and_then(|device| scene.snapshot.fate(&device.bytes, push.seq));
    html! {
        div class={ "answer" (class) } {
            b { (said) }
            p.sub {
                @match push.answer() {
                    Answer::Silent => "The binary protocol answers only to refuse. ",
                    Answer::None => "The stream or the connection ended, or nothing was said. ",
                    Answer::Accepted(_) | Answer::Refused(..) => {
                        @if let Some(explanation) = push.explanation() { (explanation.to_do) " " }
                    }
                }
                @for fact in &facts { (fact) " · " }
                @if let Some(id) = push.apns_id() { "apns-id " code { (id) } }
                @if let Some(id) = request.and_then(|request| request.unique_id.as_deref()) {
                    " · apns-unique-id " code { (id) }
                }
                @if let Some(fate) = fate { " · " (fate_words(fate, scene.now)) }
            }
        }
    }
}

fn fate_words(fate: crate::store::Fate, now: WallTime) -> String {
    use crate::store::Fate;
    match fate {
        Fate::Held => "kept by the service, as the device is offline".to_owned(),
        Fate::Replaced(by) => format!("never delivered: push {by} took its place"),
        Fate::Missed => "never delivered: one attempt, and the device was offline".to_owned(),
        Fate::Expired => "never delivered: it expired while the device was offline".to_owned(),
        Fate::Late(at) => format!("delivered at {}, when the device came back", clock::exact(at, now)),
    }
}

fn rules(push: &Push) -> Markup {
    let judgement = push.judgement();
    let count = judgement.faults();
    let verdict = match (push.accepted(), count) {
        (true, 0) if judgement.broken.is_empty() => "Accepted, and nothing speaks against it".to_owned(),
        (true, 0) => "Accepted, with something to know".to_owned(),
        (true, _) if push.request().is_none() => "Taken here; Apple’s own gateway is gone".to_owned(),
        (true, _) => "Accepted here, but Apple or the device might not take it".to_owned(),
        (false, 0) => "Refused for no fault of its own".to_owned(),
        (false, 1) => "1 rule broken".to_owned(),
        (false, count) => format!("{count} rules broken; an answer names only the first"),
    };
    html! {
        div.part {
            h3 { (verdict) }
            ul.rules { @for finding in &judgement.broken { (rule(finding)) } }
            @if !judgement.kept.is_empty() {
                details.kept {
                    summary { (judgement.kept.len()) " rules kept" }
                    ul { @for kept in &judgement.kept { li { (kept) } } }
                }
            }
        }
    }
}

fn rule(finding: &Finding) -> Markup {
    let (title, url) = finding.page.link();
    html! {
        li data-rule=(finding.rule) {
            @match finding.kind {
                Severity::Refuse => svg.i.bad-mark aria-hidden="true" { use href="#i-no" {} },
                Severity::May | Severity::Know => svg.i.care-mark aria-hidden="true" { use href="#i-warn" {} },
            }
            b { (finding.title) }
            p { (inline(&finding.text)) }
            p.from { (icon("link")) " " a href=(url) rel="noreferrer" { (title) } }
        }
    }
}

/// Text in which code stands in backquotes.
fn inline(text: &str) -> Markup {
    html! {
        @for (place, piece) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (piece) } } @else { (piece) }
        }
    }
}

fn sizes(push: &Push) -> Markup {
    let mut sizes = vec![("Payload", push.payload().len(), push.payload_limit().bytes())];
    if let Some(id) = push.collapse_id() {
        sizes.push(("Collapse id", id.len(), 64));
    }
    html! {
        div.part {
            h3 { "Sizes against the limits" }
            ul.sizes {
                @for (name, size, limit) in sizes {
                    @let class = if size > limit { " over" } else if size * 100 > limit * 85 { " near" } else { "" };
                    @let width = (size.saturating_mul(1000) / limit.max(1)).clamp(6, 1000);
                    li {
                        span { (name) }
                        svg class={ "gauge" (class) } viewBox="0 0 1000 8" preserveAspectRatio="none" aria-hidden="true" {
                            rect width=(width) height="8" {}
                        }
                        span class={ "of" (if size > limit { " over" } else { "" }) } {
                            (grouped(size as u64)) " of " (grouped(limit as u64)) " bytes"
                        }
                    }
                }
            }
        }
    }
}

/// Two forms of something to choose from, without a script.
fn choice(name: &str, what: &str, first: &str, second: &str, second_first: bool) -> Markup {
    html! {
        span.seg role="radiogroup" aria-label=(what) {
            label { input type="radio" name=(name) value="first" checked[!second_first]; (first) }
            label { input type="radio" name=(name) value="second" checked[second_first]; (second) }
        }
    }
}

fn payload(push: &Push) -> Markup {
    let bytes = push.payload();
    if bytes.is_empty() {
        return html! { div.part { h3 { "Payload" } p.sub { "There was none." } } };
    }
    let shown = &bytes[..bytes.len().min(LONGEST)];
    let raw = String::from_utf8_lossy(shown);
    let whole = bytes.len() <= LONGEST;
    let readable = whole && push.content().object.is_some();
    html! {
        div.part {
            div.head {
                h3 { "Payload" }
                span.tools {
                    @if readable { (choice("payload", "Form of the payload", "Pretty", "Raw", false)) }
                    button.button type="button" data-copy=(if readable { "pretty raw" } else { "raw" }) hidden { "Copy" }
                    @if push.content().object.is_some() {
                        a.button href={ "v1/pushes/" (push.seq) "/apns" } download={ "push-" (push.seq) ".apns" }
                            title="For Xcode’s simulator: xcrun simctl push" { "Save as .apns" }
                    }
                }
            }
            @if readable {
                pre.code.first #pretty { (json::coloured(&raw)) }
                pre.code.second #raw { (raw) }
            } @else {
                pre.code #raw { (raw) }
                @if !whole { p.sub { "The first " (grouped(LONGEST as u64)) " bytes; all of it is in the export." } }
            }
        }
    }
}

fn request(scene: &Scene<'_>, push: &Push) -> Markup {
    let broken: Vec<(&str, Severity)> =
        push.judgement().broken.iter().filter_map(|finding| Some((finding.field.as_deref()?, finding.kind))).collect();
    match &push.source {
        Source::Request(request) => headers(scene, push, request, &broken),
        Source::Frame(record) => {
            let items = record.item_order.as_slice().iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
            html! {
                div.part {
                    h3 { "Request: binary frame, as it came" }
                    table.table { tbody {
                        (cell("command", &html! { (record.format.command()) }))
                        (cell("device token", &html! { (record.token_hex()) }))
                        (cell("payload", &html! { (record.payload.len()) " bytes " small { "above" } }))
                        @if let Some(identifier) = record.identifier { (cell("identifier", &html! { (identifier) })) }
                        @if let Some(expiration) = record.expiration {
                            (cell("expiration", &date(scene, u64::from(expiration), push.at)))
                        }
                        @if let Some(priority) = record.priority { (cell("priority", &html! { (priority) })) }
                        @if !items.is_empty() { (cell("item order", &html! { (items) })) }
                    } }
                }
            }
        }
        Source::Unreadable(unreadable) => html! {
            div.part {
                h3 { "What came" }
                table.table { tbody {
                    (cell("problem", &html! { (unreadable.error) }))
                    @if let Some(identifier) = unreadable.identifier { (cell("identifier", &html! { (identifier) })) }
                } }
            }
        },
    }
}

fn headers(scene: &Scene<'_>, push: &Push, request: &RequestRecord, broken: &[(&str, Severity)]) -> Markup {
    let class = |name: &str| {
        let worst = broken.iter().filter(|(field, _)| *field == name).map(|(_, kind)| *kind).min()?;
        Some(if worst == Severity::Refuse { "wrong" } else { "flag" })
    };
    let missing = broken
        .iter()
        .map(|(field, _)| *field)
        .find(|field| field.starts_with("apns-") && request.header(field).is_none());
    html! {
        div.part {
            h3 { "Request: HTTP/2, as it came" }
            table.table { tbody {
                (cell(":method", &html! { (request.method) }))
                tr class=[class(":path")] { th scope="row" { ":path" } td { (request.path) } }
                @if let Some(authority) = &request.authority { (cell(":authority", &html! { (authority) })) }
                @if matches!(request.authenticated_by, AuthenticatedBy::Token { .. }) {
                    (cell("authorization", &html! { "bearer … " small { "read below, never kept" } }))
                }
                @for (name, value) in &request.headers {
                    tr class=[class(name)] {
                        th scope="row" { (name) }
                        td {
                            @match (name.as_str(), request.expiration) {
                                ("apns-expiration", Some(seconds)) if seconds > 0 => (date(scene, seconds, push.at)),
                                _ => (String::from_utf8_lossy(value)),
                            }
                        }
                    }
                }
                @if let Some(missing) = missing {
                    tr class=[class(missing)] { th scope="row" { (missing) } td { "— " small { "missing" } } }
                }
            } }
        }
    }
}

fn cell(name: &str, value: &Markup) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

/// Seconds since 1970 as they came, and as a time.
fn date(scene: &Scene<'_>, seconds: u64, came: WallTime) -> Markup {
    let time = WallTime::from_secs(seconds);
    html! {
        (seconds) " "
        small { @if seconds > 0 { (clock::exact(time, scene.now)) ", " (clock::distance(time, came)) } @else { "one attempt" } }
    }
}

fn link(scene: &Scene<'_>, push: &Push) -> Markup {
    html! {
        div.part {
            h3 { "Connection and credential" }
            table.table { tbody {
                @if let Some(connection) = &push.connection { (connection_rows(scene, push, connection)) }
                @match push.credential() {
                    Some(AuthenticatedBy::Token { key_id, team_id }) => {
                        (cell("provider token", &html! {
                            "ES256, key " (key_id) ", team " (team_id) " "
                            @if let Some(issued_at) = push.request().and_then(|request| request.token_issued_at) {
                                @let end = WallTime::from_secs(issued_at.saturating_add(TOKEN_AGE));
                                small {
                                    "signed " (clock::exact(WallTime::from_secs(issued_at), scene.now))
                                    ", good until " (clock::exact(end, scene.now))
                                }
                            }
                        }))
                    }
                    Some(AuthenticatedBy::Certificate) => (cell("certificate", &html! { "one of the simulator’s, for " (push.default_topic) })),
                    Some(_) => (cell("credential", &html! { "none, or one that was refused" })),
                    None => (cell("certificate", &html! { "one of the simulator’s, for " (push.default_topic) })),
                }
            } }
        }
    }
}

fn connection_rows(scene: &Scene<'_>, push: &Push, connection: &Connection) -> Markup {
    let gateway = connection.service == Service::Gateway;
    let name = format!("{}{}", if gateway { "g" } else { "" }, connection.number);
    let filter = crate::filter::Filter { connection: Some(name.clone()), ..crate::filter::Filter::default() };
    let count = connection.pushes.load(std::sync::atomic::Ordering::Relaxed);
    let stream = push.request().map(|request| request.stream);
    html! {
        (cell("connection", &html! {
            a href=(scene.view.listing(filter).href()) { (name) }
            @if let Some(stream) = stream { ", stream " (stream) }
            small {
                " · " (count) @if count == 1 { " push" } @else { " pushes" } " so far, "
                @match connection.closed.get() {
                    Some((at, how)) => { "closed " (clock::exact(*at, scene.now)) ": " (how) }
                    None => { "open since " (clock::exact(connection.since, scene.now)) }
                }
            }
        }))
        (cell("from", &html! {
            @match connection.peer { Some(peer) => (peer), None => "not known" }
            " " small { "TLS " (connection.tls) }
        }))
    }
}

fn again(scene: &Scene<'_>, push: &Push) -> Markup {
    let again = scene.shared.again(push);
    let exact_first = !push.accepted();
    html! {
        @match (&again.send, &again.curl) {
            (None, None) => {}
            (Some(send), Some(curl)) => {
                div.part {
                    div.head {
                        h3 { "Send it again" }
                        span.tools {
                            (choice("again", "Command", "apns", "curl", exact_first))
                            button.button type="button" data-copy="send curl" hidden { "Copy" }
                        }
                    }
                    @if let Some(mends) = &again.mends { p.sub.mends { (mends) } }
                    pre.code.first #send { (send) }
                    pre.code.second #curl { (curl) }
                }
            }
            (Some(only), None) | (None, Some(only)) => {
                div.part {
                    div.head {
                        h3 { "Send it again" }
                        span.tools { button.button type="button" data-copy="send" hidden { "Copy" } }
                    }
                    pre.code #send { (only) }
                }
            }
        }
    }
}
