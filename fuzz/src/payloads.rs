//! What a notification says.

use apns_proto::payload::InterruptionLevel;
use apns_proto::{Payload, PayloadBuilder, PayloadError, PayloadLimit};
use serde_json::{Map, Value, json};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::feed::Feed;

/// One step of building, and what it does to the JSON that is expected.
fn step(feed: &mut Feed<'_>, builder: PayloadBuilder, expected: &mut Expected) -> PayloadBuilder {
    match feed.byte() % 16 {
        0 | 1 => {
            let text = feed.text();
            expected.body = Some(text.clone());
            builder.body(text)
        }
        2 => {
            let text = feed.text();
            expected.alert.insert("title".into(), text.clone().into());
            builder.title(text)
        }
        3 => {
            let text = feed.text();
            expected.alert.insert("subtitle".into(), text.clone().into());
            builder.subtitle(text)
        }
        4 => {
            let arguments: Vec<String> = (0..feed.below(4)).map(|_| feed.text()).collect();
            expected.alert.insert("title-loc-args".into(), json!(arguments));
            builder.title_loc_args(arguments)
        }
        5 => {
            let badge = feed.u32();
            expected.aps.insert("badge".into(), badge.into());
            builder.badge(badge)
        }
        6 => {
            let name = feed.text();
            expected.aps.insert("sound".into(), name.clone().into());
            builder.sound(name)
        }
        7 => {
            let id = feed.text();
            expected.aps.insert("thread-id".into(), id.clone().into());
            builder.thread_id(id)
        }
        8 => {
            expected.aps.insert("content-available".into(), 1.into());
            builder.content_available()
        }
        9 => {
            expected.aps.insert("mutable-content".into(), 1.into());
            builder.mutable_content()
        }
        10 => {
            let level = feed.of(&[InterruptionLevel::Passive, InterruptionLevel::TimeSensitive]);
            expected.aps.insert("interruption-level".into(), level.as_str().into());
            builder.interruption_level(level)
        }
        11 => {
            // Also what is no number, and what lies outside.
            let score = f64::from_bits(u64::from(feed.u32()) << 32 | u64::from(feed.u32()));
            expected.score = Some(score);
            builder.relevance_score(score)
        }
        12 | 13 => {
            let key = feed.text();
            let value = match feed.byte() % 4 {
                0 => Value::from(feed.text()),
                1 => Value::from(feed.u32()),
                2 => json!({ feed.text(): [feed.text(), null, true] }),
                _ => Value::Null,
            };
            expected.reserved |= key == "aps";
            expected.own.insert(key.clone(), value.clone());
            builder.custom(key, value)
        }
        14 => {
            let key = feed.text();
            let number = feed.u32();
            expected.known |= is_known(&key);
            expected.further.insert(key.clone(), number.into());
            builder.aps_key(key, number)
        }
        _ => builder,
    }
}

/// A key of `aps` that has a setter of its own is not to be set by its name. Which those are, the builder's rustdoc says.
fn is_known(key: &str) -> bool {
    matches!(Payload::builder().aps_key(key, 0).build(), Err(PayloadError::KnownApsKey { .. }))
}

#[derive(Debug, Default)]
struct Expected {
    body: Option<String>,
    alert: Map<String, Value>,
    aps: Map<String, Value>,
    further: Map<String, Value>,
    own: Map<String, Value>,
    score: Option<f64>,
    reserved: bool,
    known: bool,
}

impl Expected {
    fn is_valid(&self) -> bool {
        !self.reserved && !self.known && self.score.is_none_or(|score| (0.0..=1.0).contains(&score))
    }

    /// The whole, with this text as the body.
    fn json(&self, body: Option<&str>) -> Value {
        let mut aps = self.aps.clone();
        let mut alert = self.alert.clone();
        if let Some(body) = body {
            if alert.is_empty() {
                aps.insert("alert".into(), json!({ "body": body }));
            } else {
                alert.insert("body".into(), body.into());
            }
        }
        if !alert.is_empty() {
            aps.insert("alert".into(), alert.into());
        }
        if let Some(score) = self.score {
            aps.insert("relevance-score".into(), score.into());
        }
        aps.extend(self.further.clone());
        let mut whole = Map::new();
        whole.insert("aps".into(), aps.into());
        whole.extend(self.own.clone());
        whole.into()
    }
}

/// `{"body": …}` and the text alone are the same alert.
fn normal(mut json: Value) -> Value {
    if let Some(alert) = json.pointer_mut("/aps/alert")
        && let Some(text) = alert.as_str()
    {
        *alert = json!({ "body": text });
    }
    json
}

/// Steps of building, then a limit and an ellipsis to fit it to.
pub fn payload(data: &[u8]) {
    let mut feed = Feed::new(data);
    let limit = PayloadLimit::new(feed.below(700));
    let ellipsis = feed.of(&["", "…", "...", "\u{301}", "\"\n"]);
    let mut expected = Expected::default();
    let mut builder = Payload::builder();
    while !feed.is_empty() {
        builder = step(&mut feed, builder, &mut expected);
    }

    let built = match builder.build() {
        Ok(built) => built,
        Err(error) => {
            assert!(!expected.is_valid(), "{error}");
            assert_eq!(builder.fit_with(limit, ellipsis), Err(error));
            return;
        }
    };
    assert!(expected.is_valid(), "{expected:?} was built");
    assert_eq!(parsed(&built), expected.json(expected.body.as_deref()));
    let taken = Payload::from_json(built.to_bytes()).expect("what is built can be taken");
    assert_eq!(taken.as_bytes(), built.as_bytes());
    assert_eq!(taken.inferred_push_type(), built.inferred_push_type(), "{}", text(&built));
    assert_eq!(Payload::from_json_compact(&built).unwrap().as_bytes(), built.as_bytes(), "it is compact");
    fits(&builder, &expected, &built, limit, ellipsis);
}

fn fits(builder: &PayloadBuilder, expected: &Expected, built: &Payload, limit: PayloadLimit, ellipsis: &str) {
    let fitted = match builder.fit_with(limit, ellipsis) {
        Ok(fitted) => fitted,
        Err(error) => {
            assert!(built.size() > limit.bytes(), "{error}");
            // Even without a body it is too large.
            let bare = match &expected.body {
                Some(_) => builder.clone().body("").build().unwrap().size(),
                None => built.size(),
            };
            assert_eq!(error, PayloadError::CannotFit { over: bare - limit.bytes(), limit });
            return;
        }
    };
    assert!(fitted.size() <= limit.bytes());
    if built.size() <= limit.bytes() {
        assert_eq!(fitted.as_bytes(), built.as_bytes(), "what fits is left alone");
        return;
    }
    let body = expected.body.as_deref().expect("only a body can be cut");
    let fitted = parsed(&fitted);
    let left =
        fitted.pointer("/aps/alert/body").and_then(Value::as_str).expect("the body is cut, and stays").to_owned();
    // The longest prefix of whole clusters, by trying each.
    let attempt = |ellipsis: &str| {
        let ends = body.grapheme_indices(true).map(|(at, _)| at);
        ends.map(|end| format!("{}{ellipsis}", &body[..end]))
            .filter(|text| builder.clone().body(text.as_str()).build().unwrap().size() <= limit.bytes())
            .max_by_key(String::len)
    };
    let longest = attempt(ellipsis).or_else(|| attempt("")).expect("it does fit without a body");
    assert_eq!(left, longest);
    assert_eq!(fitted, expected.json(Some(&longest)), "nothing but the body is touched");
}

fn parsed(payload: &Payload) -> Value {
    normal(serde_json::from_slice(payload.as_bytes()).expect("a payload is JSON"))
}

fn text(payload: &Payload) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(payload.as_bytes())
}

/// Ready-made JSON.
pub fn payload_json(data: &[u8]) {
    let strict = serde_json::from_slice::<Value>(data);
    let taken = Payload::from_json(data.to_vec());
    let compact = Payload::from_json_compact(data);
    assert_eq!(taken.is_ok(), compact.is_ok());
    match (&taken, &compact) {
        (Ok(taken), Ok(compact)) => {
            let without_mark = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
            assert_eq!(taken.as_bytes(), without_mark, "it is kept byte for byte");
            assert!(compact.size() <= taken.size());
            assert_eq!(taken.inferred_push_type(), compact.inferred_push_type());
            let again = Payload::from_json_compact(compact).expect("what was compacted can be taken");
            assert_eq!(again.as_bytes(), compact.as_bytes(), "compact stays compact");
            if let (Ok(before), Ok(after)) = (strict, serde_json::from_slice::<Value>(compact.as_bytes())) {
                assert!(before.is_object());
                assert_eq!(before, after, "no value changes");
            }
        }
        (Err(error), Err(compact)) => {
            assert_eq!(error, compact);
            let excused = matches!(error, PayloadError::DuplicateAps);
            assert!(excused || !strict.is_ok_and(|value| value.is_object()), "{error}: refused without a reason");
        }
        (_, _) => unreachable!("both were taken or both were not"),
    }
}
