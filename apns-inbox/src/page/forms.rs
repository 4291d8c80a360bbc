//! What a person does on the page. Every form brings the secret that the page gave it; `http::guard` has looked where it
//! comes from before.

use std::collections::BTreeMap;

use apns_sim::TokenPattern;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use subtle::ConstantTimeEq as _;

use super::view::View;
use crate::api::{Problem, check_name, read_token};
use crate::bad_day::Choice;
use crate::clock;
use crate::filter::pairs;
use crate::http::{Body, Shared};

/// The fields of a form, the last of each name.
struct Form(BTreeMap<String, String>);

impl Form {
    fn read(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !said.starts_with("application/x-www-form-urlencoded") {
            return Err(Problem::media_type().detail("a form is application/x-www-form-urlencoded"));
        }
        let text = str::from_utf8(body).map_err(|_| Problem::invalid().detail("the form is no text"))?;
        let form = Self(pairs(text).into_iter().collect());
        let given = form.get("form");
        // In a time that does not depend on how much of it is right.
        if !bool::from(given.as_bytes().ct_eq(shared.secret().as_bytes())) {
            return Err(Problem::foreign_page().detail("reload the page and try again: the inbox was started anew"));
        }
        Ok(form)
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Back to the view that it came from; nowhere else, whatever it says.
    fn back(&self) -> Response {
        Redirect::to(&format!("/{}", View::read(self.get("back")).href())).into_response()
    }
}

/// `POST /bad-day`
pub(super) async fn bad_day(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let form = Form::read(&shared, &headers, &body)?;
    let device = form.get("device");
    let tokens: TokenPattern = device.parse().map_err(|error| Problem::invalid().detail(format!("device: {error}")))?;
    if !form.get("next").is_empty() {
        let choice = Choice::from_word(form.get("next")).ok_or_else(|| Problem::invalid().detail("next"))?;
        let there = shared.armed_for(device);
        // Pressed again it is taken back.
        if there.is_some_and(|armed| armed.label() == Some(choice.word())) {
            shared.disarm(&tokens);
        } else {
            shared.arm(choice.armed(tokens, 1, clock::now()))?;
        }
    }
    match form.get("service") {
        "" => {}
        "goaway" => shared.go_away(),
        _ => return Err(Problem::invalid().detail("service: it is goaway")),
    }
    match form.get("device-is") {
        "" => {}
        "offline" => shared.store().go_offline(&read_token(device)?, clock::now())?,
        "online" => shared.store().come_back(&read_token(device)?, clock::now()),
        _ => return Err(Problem::invalid().detail("device-is: it is online or offline")),
    }
    Ok(form.back())
}

/// `POST /clear`
pub(super) async fn clear(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let form = Form::read(&shared, &headers, &body)?;
    shared.store().clear();
    Ok(form.back())
}

/// `POST /device`: its name and the channels that it follows.
pub(super) async fn device(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, Problem> {
    let form = Form::read(&shared, &headers, &body)?;
    let token = read_token(form.get("device"))?;
    shared.store().name(&token, check_name(Some(form.get("name").to_owned()))?)?;
    let channels = form.get("follows").lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty());
    shared.store().follow_only(&token, channels.collect())?;
    Ok(form.back())
}
