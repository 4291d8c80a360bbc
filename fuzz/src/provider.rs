//! What the provider API answers.

use apns_proto::http2::{
    Api, ChannelId, ChannelRequest, ChannelStorage, MAX_BODY, MAX_RETRY_AFTER, ProviderToken, Reason, Response,
    format_http_date, parse_http_date,
};
use apns_proto::{Outcome, Rejection, RetryPolicy, WallTime};
use bytes::Bytes;

use crate::clock::{WALL, start};
use crate::feed::Feed;
use crate::tokens::shows;

const NAMES: [&str; 9] = [
    "apns-id",
    "Apns-Unique-Id",
    "apns-request-id",
    "APNS-CHANNEL-ID",
    "retry-after",
    "date",
    "content-type",
    "x-apns",
    "apns-id",
];

/// An answer: its status, header fields, and the body.
pub fn provider_response(data: &[u8]) {
    let mut feed = Feed::new(data);
    let api = feed.of(&[Api::Device, Api::Broadcast]);
    let status = match feed.byte() % 4 {
        0 => 200,
        1 => feed.of(&[400, 403, 404, 405, 410, 413, 429, 500, 503]),
        2 => 201,
        _ => 100 + feed.below(900) as u16,
    };
    let headers: Vec<(&str, &[u8])> = (0..feed.below(8)).map(|_| (feed.of(&NAMES), feed.short())).collect();
    let now = WallTime::from_secs(WALL);
    let body = Bytes::copy_from_slice(feed.rest());

    let read = |upper: bool| {
        let named: Vec<(String, &[u8])> = (headers.iter())
            .map(|(name, value)| (if upper { name.to_ascii_uppercase() } else { name.to_ascii_lowercase() }, *value))
            .collect();
        let fields = named.iter().map(|(name, value)| (name.as_str(), *value));
        Response::parse(api, now, status, fields, body.clone())
    };
    let response = read(false);
    assert_eq!(response, read(true), "the case of a header's name does not matter");
    assert_eq!(response.status(), status);
    assert!(response.is_success() || response.body().len() <= MAX_BODY);
    assert_eq!(&response.body()[..], &body[..response.body().len()]);

    let channel = ChannelId::new("dHN0LXNyY2gtY2hubA==").expect("this is a channel id");
    let requests = [
        ChannelRequest::Create { storage: ChannelStorage::Latest },
        ChannelRequest::Read(channel.clone()),
        ChannelRequest::Delete(channel),
        ChannelRequest::List,
    ];
    for request in requests {
        let answer = request.answer(response.clone());
        assert!(response.is_success() || answer.is_err(), "a refusal grants nothing");
    }

    if let Some(date) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("date"))
        && let Ok(text) = str::from_utf8(date.1)
        && let Some(time) = parse_http_date(text)
    {
        assert_eq!(parse_http_date(&format_http_date(time)), Some(time), "a date that is written reads back");
    }

    let taken = status == 200 || (api == Api::Broadcast && (200..300).contains(&status));
    let rejection = match response.into_outcome() {
        Outcome::Accepted { .. } => {
            assert!(taken, "{api:?}: {status}");
            return;
        }
        Outcome::Rejected(rejection) => rejection,
        other => panic!("an answer is {other:?}"),
    };
    assert!(!taken, "{api:?}: {status}");
    assert!(rejection.status() == status && !rejection.reason().is_empty());
    let _ = (rejection.reaction(), rejection.retry(), rejection.token_verdict());
    assert!(!rejection.explain().happened.is_empty());
    let Rejection::Provider(details) = &rejection else { panic!("an answer of the provider API") };
    assert!(details.retry_after().is_none_or(|wait| wait <= MAX_RETRY_AFTER));
    if let Some(reason) = details.reason_text() {
        let body = serde_json::json!({ "reason": reason }).to_string();
        let parsed = Reason::parse(body.as_bytes()).expect("a reason that was read can be read again");
        assert_eq!(Some(&parsed), details.reason());
        let _ = (parsed.reaction(api), parsed.retry(api), parsed.status(), parsed.explain(api));
    }
    // Policies decide on anything, and nothing is retried for ever.
    let policy = RetryPolicy::default();
    let _ = policy.decide(&rejection, u32::MAX, std::time::Duration::MAX, 1);
}

/// A provider token that was signed elsewhere.
pub fn provider_token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match ProviderToken::from_jwt(text, start()) {
        Ok(token) => {
            assert_eq!(token.jwt(), text.trim());
            assert_eq!(token.authorization(), format!("bearer {}", text.trim()).as_bytes());
            assert_eq!(token.issued().wall, token.issued_at());
            assert!(token.issued().instant <= start().instant);
            assert!(!shows(&format!("{token:?}"), text), "a token is shown");
        }
        Err(error) => assert!(!shows(&format!("{error} {error:?}"), text), "{error} shows the token"),
    }
}
