//! The page: drawn here, on every request, from what is kept. All state is in the address, so that a view can be sent to
//! somebody, and everything works by reloading. Escaping is the macro's: there is no other way to put a text into it.

mod failures;
mod forms;
mod frame;
mod icons;
mod json;
mod left;
mod list;
mod phone;
mod push;
mod start;
#[cfg(test)]
mod tests;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

use apns_proto::WallTime;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::{Markup, html};

use self::view::View;
use crate::clock;
use crate::http::Shared;
use crate::phone::{Screen, reaches};
use crate::push::Push;
use crate::roster::DeviceLine;
use crate::store::Snapshot;

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/live.js");

/// The routes of the page.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(page))
        .route("/style.css", get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/live.js", get(|| async { ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT) }))
        .route("/bad-day", post(forms::bad_day))
        .route("/clear", post(forms::clear))
        .route("/device", post(forms::device))
}

/// `GET /`
async fn page(State(shared): State<Shared>, RawQuery(query): RawQuery) -> Response {
    let view = View::read(query.as_deref().unwrap_or_default());
    let html = shared.work(move |shared| draw(shared, &view, clock::now()).into_string()).await;
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

/// What is drawn, gathered once.
struct Scene<'a> {
    shared: &'a Shared,
    view: &'a View,
    now: WallTime,
    snapshot: &'a Snapshot,
    devices: &'a [DeviceLine],
    /// The device that is looked at, if it is one.
    device: Option<&'a DeviceLine>,
    /// The pushes that the view is about, oldest first.
    pushes: &'a [Arc<Push>],
    /// The push on the right.
    chosen: Option<&'a Arc<Push>>,
    screen: Option<&'a Screen>,
    /// The colour of each app.
    hues: HashMap<&'a str, u32>,
}

impl Scene<'_> {
    fn app_name<'n>(&'n self, bundle_id: &'n str) -> &'n str {
        self.shared.names().app(bundle_id)
    }

    /// Whether the middle shows a phone, and not a list.
    fn is_phone(&self) -> bool {
        self.screen.is_some()
    }

    /// What a device is called, and the address of its phone.
    fn device_link(&self, token: &str) -> Option<(String, String)> {
        let device = self.devices.iter().find(|device| device.token == token)?;
        let of_device = self.view.of_device(address_token(token, self.devices));
        let view = View { push: self.view.push, ..of_device };
        Some((device_title(device), view.href()))
    }

    /// An app's icon: the first letter of its name, in a colour of its own.
    fn app_icon(&self, bundle_id: &str, badge: Option<u64>) -> Markup {
        let letter: String =
            self.app_name(bundle_id).chars().next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
        html! {
            span class={ "app hue-" (self.hues.get(bundle_id).copied().unwrap_or_default()) } data-badge=[badge.filter(|badge| *badge > 0)] aria-hidden="true" {
                (letter)
            }
        }
    }
}

/// How many colours there are.
const HUES: u32 = 8;

/// A colour for each app, in the order in which they came: its own, else the next that is free, so that the first eight
/// differ.
fn hues(snapshot: &Snapshot) -> HashMap<&str, u32> {
    let mut hues: HashMap<&str, u32> = HashMap::new();
    let mut taken = [false; HUES as usize];
    for push in &snapshot.pushes {
        let app = push.app();
        if hues.contains_key(app) {
            continue;
        }
        let own = hue(app);
        let free = (0..HUES).map(|step| (own + step) % HUES).find(|hue| !taken[*hue as usize]);
        let chosen = free.unwrap_or(own);
        taken[chosen as usize] = true;
        hues.insert(app, chosen);
    }
    hues
}

/// One of the colours, the same for the same app.
fn hue(bundle_id: &str) -> u32 {
    // FNV-1a: short, and spreads names that differ in their last letters alone.
    let hash = bundle_id.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) % HUES
}

fn draw(shared: &Shared, view: &View, now: WallTime) -> Markup {
    let snapshot = shared.store().snapshot();
    let devices = shared.devices(&snapshot);
    if snapshot.pushes.is_empty() && view.is_plain() {
        return start::draw(shared, &snapshot, view, now);
    }
    let device = chosen_device(view, &devices);
    let screen =
        device.filter(|_| view.wants_phone()).map(|device| Screen::of(&device.bytes, &snapshot, shared.names(), now));
    let pushes: Vec<Arc<Push>> = match (device, view.wants_phone()) {
        (Some(device), true) => {
            let known = snapshot.devices.get(&device.bytes);
            snapshot.pushes.iter().filter(|push| reaches(push, &device.bytes, known)).cloned().collect()
        }
        _ => snapshot.pushes.iter().filter(|push| shared.fits(&view.filter, push)).cloned().collect(),
    };
    let chosen = match view.push {
        Some(seq) => snapshot.push(seq),
        None => pushes.last(),
    };
    if let (Some(_), Some(push)) = (view.push, chosen) {
        shared.store().look_at(push);
    }
    let screen = screen.as_ref();
    let (pushes, devices) = (&pushes[..], &devices[..]);
    let hues = hues(&snapshot);
    let scene = Scene { shared, view, now, snapshot: &snapshot, devices, device, pushes, chosen, screen, hues };
    let middle = if view.failures {
        failures::draw(&scene)
    } else if scene.is_phone() {
        phone::draw(&scene)
    } else {
        list::draw(&scene)
    };
    let main = html! {
        main.panes.many[!scene.is_phone()] #panes {
            (left::draw(&scene))
            (middle)
            (push::draw(&scene))
        }
    };
    let title = match (chosen, device) {
        (Some(push), Some(device)) => format!("{}, {}", push.headline(), device_title(device)),
        (Some(push), None) => push.headline(),
        (None, Some(device)) => device_title(device),
        (None, None) => "Pushes".to_owned(),
    };
    frame::document(&scene, &title, &main)
}

/// The device that the address names; without one, the only one there is.
fn chosen_device<'a>(view: &View, devices: &'a [DeviceLine]) -> Option<&'a DeviceLine> {
    match view.filter.device.as_deref() {
        None if devices.len() == 1 && view.filter.is_empty() && !view.all => devices.first(),
        None => None,
        Some(wanted) => {
            let lower = wanted.to_ascii_lowercase();
            let named = devices.iter().find(|device| device.name.as_deref() == Some(wanted));
            let mut begins = devices.iter().filter(|device| device.token.starts_with(&lower));
            match (named, begins.next(), begins.next()) {
                (Some(named), _, _) => Some(named),
                (None, Some(only), None) => Some(only),
                // The whole token of one may be how another begins.
                (None, Some(_), Some(_)) => devices.iter().find(|device| device.token == lower),
                (None, None, _) => None,
            }
        }
    }
}

/// How a device is called on the page.
fn device_title(device: &DeviceLine) -> String {
    device.name.clone().unwrap_or_else(|| short_token(&device.token))
}

/// The beginning and the end of a device token.
fn short_token(token: &str) -> String {
    if token.len() <= 16 { token.to_owned() } else { format!("{}…{}", &token[..8], &token[token.len() - 6..]) }
}

/// How a device is named in an address: as short as it can be while it names no other.
fn address_token<'a>(token: &'a str, devices: &[DeviceLine]) -> &'a str {
    let start = &token[..token.len().min(8)];
    let same = devices.iter().filter(|device| device.token.starts_with(start)).count();
    if same > 1 { token } else { start }
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}
