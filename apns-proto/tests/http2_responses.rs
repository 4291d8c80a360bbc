//! Every row of the table of answers of the provider API, both ways.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use apns_proto::http2::{Api, MAX_BODY, Reason, Response};
use apns_proto::{Outcome, Rejection, Retry, TokenVerdict, WallTime};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    api: RowApi,
    status: u16,
    reason: String,
    meaning_short: String,
    reaction: String,
    retry: String,
    documented: bool,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    min_delay_seconds: Option<u64>,
    #[serde(default)]
    has_timestamp_ms: bool,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RowApi {
    Device,
    BroadcastAndChannels,
}

impl From<RowApi> for Api {
    fn from(api: RowApi) -> Self {
        match api {
            RowApi::Device => Self::Device,
            RowApi::BroadcastAndChannels => Self::Broadcast,
        }
    }
}

fn rows() -> Vec<Row> {
    serde_json::from_str(include_str!("vectors/http2-responses.json")).unwrap()
}

/// The refusal that an answer with this reason is.
fn refusal(row: &Row, reason: &str) -> Rejection {
    let body = if row.has_timestamp_ms {
        format!(r#"{{"reason":"{reason}","timestamp":1700000000123}}"#)
    } else {
        format!(r#"{{"reason":"{reason}"}}"#)
    };
    let now = WallTime::from_secs(1_700_000_001);
    match Response::parse(row.api.into(), now, row.status, [], body.into()).into_outcome() {
        Outcome::Rejected(rejection) => rejection,
        other => panic!("{reason}: {other:?} is not a refusal"),
    }
}

#[test]
fn every_row_is_read_as_it_says() {
    let rows = rows();
    assert_eq!(rows.len(), 62);
    for row in &rows {
        assert!(!row.meaning_short.is_empty());
        let rejection = refusal(row, &row.reason);
        let name = &row.reason;
        assert_eq!(rejection.status(), row.status, "{name}");
        assert_eq!(rejection.reason(), row.reason, "the text as it came");
        assert_eq!(rejection.reaction().word(), row.reaction, "{name}");
        let class = match rejection.retry() {
            Retry::Never => "never",
            Retry::AfterFix => "after_fix",
            Retry::NewConnection => "new_connection",
            Retry::NewToken => "new_token",
            Retry::After(_) => "after_delay",
            other => panic!("{name}: {other:?} is in no table"),
        };
        assert_eq!(class, row.retry, "{name}");
        if let (Retry::After(wait), Some(seconds)) = (rejection.retry(), row.min_delay_seconds) {
            assert!(wait >= Duration::from_secs(seconds), "{name}: {wait:?}");
        }
        let verdict = match (row.reaction.as_str(), row.has_timestamp_ms) {
            ("drop_token", true) => TokenVerdict::DropIfRegisteredBefore(WallTime::from_millis(1_700_000_000_123)),
            ("drop_token", false) => TokenVerdict::Drop,
            _ => TokenVerdict::Keep,
        };
        assert_eq!(rejection.token_verdict(), verdict, "{name}");
        assert_eq!(
            rejection.needs_person(),
            matches!(row.reaction.as_str(), "fix_request" | "fix_credentials"),
            "{name}"
        );
        let explanation = rejection.explain();
        for text in [explanation.happened, explanation.to_do] {
            assert!(text.ends_with('.') && !text.contains("  ") && !text.contains('\n'), "{name}: {text}");
        }
    }
}

#[test]
fn every_row_is_a_reason_of_its_own_and_back() {
    for row in rows() {
        let reason = Reason::from(row.reason.as_str());
        assert!(!matches!(reason, Reason::Other(_)), "{} is unknown", row.reason);
        assert_eq!(reason.status(), Some(row.status), "{}", row.reason);
        assert_eq!(Reason::parse(format!(r#"{{"reason":"{}"}}"#, row.reason).as_bytes()), Some(reason.clone()));
        assert!(reason.spellings().contains(&row.reason.as_str()));
        for alias in &row.aliases {
            assert_eq!(Reason::from(alias.as_str()), reason, "{alias} is the same");
            assert_eq!(refusal(&row, alias).reason(), alias, "and keeps its text");
            assert!(reason.spellings().contains(&alias.as_str()));
        }
        assert!(row.documented || !row.aliases.is_empty(), "what is not documented is another spelling");
        let _ = (row.note, row.scope);
    }
}

#[test]
fn every_reason_has_a_row() {
    let in_rows: BTreeSet<String> = rows().into_iter().map(|row| row.reason).collect();
    let known: BTreeSet<String> =
        Reason::KNOWN.iter().flat_map(Reason::spellings).map(|&text| text.to_owned()).collect();
    assert_eq!(in_rows, known);
    for reason in Reason::KNOWN {
        assert_eq!(&Reason::from(reason.as_str()), reason);
        assert_eq!(reason.spellings().first(), Some(&reason.as_str()));
        for api in [Api::Device, Api::Broadcast] {
            assert!(reason.explain(api).is_some() && reason.reaction(api).is_some() && reason.retry(api).is_some());
        }
    }
}

#[test]
fn the_two_apis_differ_where_apple_says_so() {
    let disallowed = |api| Reason::TopicDisallowed.reaction(api).unwrap().word();
    assert_eq!((disallowed(Api::Device), disallowed(Api::Broadcast)), ("fix_credentials", "fix_request"));
}

#[test]
fn every_field_of_an_answer_is_read() {
    let (apns, request) = ("eabeca8d-6f2b-4c0f-9a4a-4e2b8a3b6c7d", "123e4567-e89b-12d3-a456-426655440000");
    let headers = [
        ("apns-id", apns.as_bytes()),
        ("APNS-Request-Id", request.as_bytes()),
        ("apns-channel-id", b"dHN0LXNyY2gtY2hubA=="),
    ];
    let response = Response::parse(Api::Broadcast, WallTime::EPOCH, 201, headers, "{}".into());
    assert_eq!((response.status(), &response.body()[..]), (201, &b"{}"[..]));
    assert_eq!(response.apns_id().map(|id| id.to_string()).as_deref(), Some(apns));
    assert_eq!(response.request_id().map(|id| id.to_string()).as_deref(), Some(request));
    assert_eq!(response.channel_id(), Some("dHN0LXNyY2gtY2hubA=="));

    let bare = Response::parse(Api::Broadcast, WallTime::EPOCH, 201, [], "".into());
    assert_eq!((bare.apns_id(), bare.request_id(), bare.channel_id()), (None, None, None));
}

#[test]
fn a_success_is_any_status_of_two_hundred_and_keeps_its_body_whole() {
    let large = "x".repeat(MAX_BODY + 1);
    for (status, success) in [(100, false), (199, false), (200, true), (201, true), (299, true), (300, false)] {
        let response = Response::parse(Api::Broadcast, WallTime::EPOCH, status, [], large.clone().into());
        assert_eq!(response.is_success(), success, "{status}");
        assert_eq!(response.body().len(), if success { MAX_BODY + 1 } else { MAX_BODY }, "{status}");
    }
    // What looks like a refusal in the body of a success is none.
    let body = r#"{"reason":"BadDeviceToken"}"#;
    let odd = Response::parse(Api::Device, WallTime::EPOCH, 200, [], body.into());
    assert_eq!(odd.into_rejection().token_verdict(), TokenVerdict::Keep);
}
