//! The left pane: what can be asked for, devices, apps.

use apns_proto::PushType;
use maud::{Markup, html};

use super::icons::icon;
use super::{Scene, View, address_token, short_token};
use crate::filter::Filter;
use crate::roster::{DeviceLine, DeviceState, apps};

/// How many devices and apps are shown unless all are asked for, and then.
const SHOWN: usize = 12;
const ALL: usize = 1000;

/// The answers that can be asked for: value and words.
const ANSWERS: [(&str, &str); 10] = [
    ("accepted", "accepted"),
    ("refused", "refused"),
    ("broken", "breaks a rule"),
    ("400", "400"),
    ("403", "403"),
    ("410", "410"),
    ("413", "413"),
    ("429", "429"),
    ("5xx", "500, 503"),
    ("none", "no answer"),
];

pub(super) fn draw(scene: &Scene<'_>) -> Markup {
    let bound = if scene.view.all_devices { ALL } else { SHOWN };
    let apps = apps(scene.snapshot, scene.device.map(|device| &device.bytes));
    let badges = scene.screen.map(|screen| &screen.badges);
    let total = scene.devices.len();
    html! {
        nav.pane.left #devices aria-label="Devices and apps" {
            (find(scene))
            h2 {
                span { "Devices" }
                @if total > bound {
                    a href=(View { all_devices: true, ..scene.view.clone() }.href()) { "all " (total) }
                } @else if total > 1 {
                    a href=(View { all: true, ..View::default() }.href()) { "all " (total) " in one list" }
                }
            }
            ul {
                @for device in scene.devices.iter().take(bound) { li { (device_row(scene, device)) } }
            }
            h2 {
                span { "Apps" }
                span { @if badges.is_some() { "badges of this device" } @else { "pushes" } }
            }
            ul {
                @for (bundle_id, app) in apps.iter().take(bound) {
                    @let badge = badges.and_then(|badges| badges.get(*bundle_id)).copied();
                    @let filter = Filter { app: Some((*bundle_id).to_owned()), ..Filter::default() };
                    li {
                        a.row href=(scene.view.listing(filter).href())
                            aria-current=[(scene.view.filter.app.as_deref() == Some(*bundle_id)).then_some("true")] {
                            (scene.app_icon(bundle_id, badge))
                            span { b { (scene.app_name(bundle_id)) } small.mono { (bundle_id) } }
                            span.more {
                                @if let Some(badge) = badge { span.hide { "badge " (badge) ", " } }
                                (app.pushes)
                                (unread(app.unread))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn unread(unread: usize) -> Markup {
    html! {
        @if unread > 0 {
            span.dot title={ (unread) " not looked at" } {}
            span.hide { (unread) " not looked at" }
        }
    }
}

fn device_row(scene: &Scene<'_>, device: &DeviceLine) -> Markup {
    let here = scene.device.is_some_and(|chosen| chosen.token == device.token);
    let href = scene.view.of_device(address_token(&device.token, scene.devices)).href();
    let state = match device.state {
        DeviceState::Online => "",
        DeviceState::Offline => "offline",
        DeviceState::Gone => "gone",
    };
    html! {
        a.row href=(href) aria-current=[here.then_some("true")] {
            span class={ "handset " (state) } { (icon("phone")) }
            span {
                @match &device.name {
                    Some(name) => {
                        b dir="auto" { (name) }
                        small { span.mono { (short_token(&device.token)) } (said(device.state)) }
                    }
                    None => {
                        b { span.mono { (short_token(&device.token)) } }
                        small { "no name" (said(device.state)) }
                    }
                }
            }
            span.more { (device.pushes) (unread(device.unread)) }
        }
    }
}

fn said(state: DeviceState) -> &'static str {
    match state {
        DeviceState::Online => "",
        DeviceState::Offline => " · offline",
        DeviceState::Gone => " · gone",
    }
}

fn find(scene: &Scene<'_>) -> Markup {
    let filter = &scene.view.filter;
    let types = PushType::known().map(|push_type| push_type.as_str().to_owned());
    let types: Vec<String> = types.chain(["broadcast".to_owned()]).collect();
    let chosen = |field: &Option<String>, value: &str| field.as_deref() == Some(value);
    let apps = apps(scene.snapshot, None);
    html! {
        form.find method="get" action="" role="search" aria-label="Pushes" {
            label {
                span.hide { "Search titles, payloads, tokens and ids" }
                input.field type="search" name="q" placeholder="Search (Ctrl K)" value=[filter.q.as_deref()];
            }
            @if let Some(device) = filter.device.as_deref() { input type="hidden" name="device" value=(device); }
            label {
                span.hide { "App" }
                select.field name="app" {
                    option value="" { "any app" }
                    @for bundle_id in apps.keys().take(ALL) {
                        option value=(bundle_id) selected[chosen(&filter.app, bundle_id)] { (scene.app_name(bundle_id)) }
                    }
                }
            }
            label {
                span.hide { "Push type" }
                select.field name="type" {
                    option value="" { "any type" }
                    @for word in &types { option value=(word) selected[chosen(&filter.push_type, word)] { (word) } }
                    option value="binary" selected[chosen(&filter.push_type, "binary")] { "binary protocol" }
                }
            }
            label {
                span.hide { "Answer" }
                select.field name="answer" {
                    option value="" { "any answer" }
                    @for (value, words) in ANSWERS {
                        option value=(value) selected[chosen(&filter.answer, value)] { (words) }
                    }
                }
            }
            button.button { (icon("search")) "Find" }
        }
    }
}
