//! Payloads as an application builds them, and the bytes that come of it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::collections::BTreeMap;

use apns_proto::{
    Payload, PayloadBuilder, PayloadError, PayloadLimit, PushType, WallTime,
    encoding::EncodingError,
    payload::{AccessoryMessage, InterruptionLevel, LiveActivity, LiveActivityAlert, LiveActivityEvent},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation as _;

fn text(payload: &Payload) -> &str {
    str::from_utf8(payload.as_bytes()).unwrap()
}

fn built(builder: &PayloadBuilder) -> String {
    text(&builder.build().unwrap()).into()
}

fn refused(builder: &PayloadBuilder) -> PayloadError {
    let error = builder.build().unwrap_err();
    assert_eq!(builder.fit(PayloadLimit::HTTP2).unwrap_err(), error, "both ways out check the same");
    error
}

fn at(seconds: u64) -> WallTime {
    WallTime::from_secs(seconds)
}

mod sizes {
    use super::*;

    #[test]
    fn b96_limits_by_transport_and_push_type() {
        let limits = [
            (PayloadLimit::BINARY_LEGACY, 256),
            (PayloadLimit::BINARY_2014, 2048),
            (PayloadLimit::HTTP2, 4096),
            (PayloadLimit::VOIP, 5120),
            (PayloadLimit::BROADCAST, 5120),
            (PushType::Alert.payload_limit(), 4096),
            (PushType::Voip.payload_limit(), 5120),
        ];
        for (limit, bytes) in limits {
            assert_eq!(limit.bytes(), bytes);
            let frame = Payload::alert("").size();
            let full = Payload::alert("x".repeat(bytes - frame));
            assert_eq!(full.size(), bytes);
            assert_eq!(full.check_size(limit), Ok(()));
            let over = Payload::alert("x".repeat(bytes - frame + 1));
            assert_eq!(over.check_size(limit), Err(PayloadError::TooLarge { size: bytes + 1, limit }));
        }
        let message = PayloadError::TooLarge { size: 4100, limit: PayloadLimit::HTTP2 }.to_string();
        assert_eq!(message, "the payload has 4100 bytes, 4 more than the limit of 4096 bytes");
    }
}

mod keys {
    use super::*;

    #[test]
    fn b97_badge_zero_is_sent_and_none_is_not() {
        assert_eq!(built(&Payload::builder().badge(0)), r#"{"aps":{"badge":0}}"#);
        assert_eq!(built(&Payload::builder().badge(Some(0))), r#"{"aps":{"badge":0}}"#);
        assert_eq!(built(&Payload::builder().badge(None)), r#"{"aps":{}}"#);
        assert_eq!(built(&Payload::builder().badge(7).badge(None)), r#"{"aps":{}}"#);
    }

    #[test]
    fn b94_text_outside_ascii_stays_as_it_is() {
        let payload = Payload::alert("日本語");
        assert_eq!(payload.as_bytes(), r#"{"aps":{"alert":"日本語"}}"#.as_bytes());
        assert_eq!(payload.size(), Payload::alert("").size() + 9);
        assert_eq!(built(&Payload::builder().custom("k", "日本語")), r#"{"aps":{},"k":"日本語"}"#);
    }

    #[test]
    fn only_what_json_requires_is_escaped() {
        let payload = Payload::alert("\" \\ / \u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f} \u{2028}");
        assert_eq!(
            text(&payload),
            "{\"aps\":{\"alert\":\"\\\" \\\\ / \\b\\f\\n\\r\\t\\u0000\\u001f\u{7f} \u{2028}\"}}"
        );
    }

    #[test]
    fn b100_a_critical_sound_has_the_number_one() {
        assert_eq!(
            built(&Payload::builder().critical_sound("default", 0.5)),
            r#"{"aps":{"sound":{"critical":1,"name":"default","volume":0.5}}}"#
        );
        assert_eq!(
            built(&Payload::builder().critical_sound("alarm.caf", 1.0)),
            r#"{"aps":{"sound":{"critical":1,"name":"alarm.caf","volume":1.0}}}"#
        );
    }

    #[test]
    fn b102_aps_is_never_wiped_or_doubled() {
        let builder = Payload::builder().alert("hi").custom("aps", json!({"x": 1}));
        assert_eq!(refused(&builder), PayloadError::ReservedKey);
        assert_eq!(Payload::from_json(r#"{"aps":{"alert":"a"},"aps":{}}"#), Err(PayloadError::DuplicateAps));
        assert_eq!(
            Payload::from_json(r#"{"aps":{"alert":"a"},"\u0061ps":{}}"#),
            Err(PayloadError::DuplicateAps),
            "an escape does not hide it"
        );
    }

    #[test]
    fn a_later_set_replaces_and_the_position_stays() {
        let builder =
            Payload::builder().custom("z", 1).custom("a", 2).sound("x").title("t").sound("y").custom("z", "new");
        assert_eq!(built(&builder), r#"{"aps":{"alert":{"title":"t"},"sound":"y"},"z":"new","a":2}"#);
        let builder = Payload::builder().critical_sound("x", 0.1).sound("y");
        assert_eq!(built(&builder), r#"{"aps":{"sound":"y"}}"#);
        let builder = Payload::builder().aps_key("later", 1).aps_key("b", 1).aps_key("later", [2]);
        assert_eq!(built(&builder), r#"{"aps":{"later":[2],"b":1}}"#);
    }

    #[test]
    fn every_key_of_an_alert() {
        let builder = Payload::builder()
            .summary_arg_count(2)
            .summary_arg("Anna")
            .action("View")
            .action_loc_key("VIEW")
            .loc_args(["a", "b"])
            .loc_key("BODY")
            .subtitle_loc_args(["c"])
            .subtitle_loc_key("SUB")
            .title_loc_args([String::from("\"")])
            .title_loc_key("TITLE")
            .launch_image("launch.png")
            .body("b")
            .subtitle("s")
            .title("t");
        assert_eq!(
            built(&builder),
            concat!(
                r#"{"aps":{"alert":{"title":"t","subtitle":"s","body":"b","launch-image":"launch.png","#,
                r#""title-loc-key":"TITLE","title-loc-args":["\""],"subtitle-loc-key":"SUB","subtitle-loc-args":["c"],"#,
                r#""loc-key":"BODY","loc-args":["a","b"],"action-loc-key":"VIEW","action":"View","#,
                r#""summary-arg":"Anna","summary-arg-count":2}}}"#,
            )
        );
        assert_eq!(
            built(&Payload::builder().body("b").no_action_button()),
            r#"{"aps":{"alert":{"body":"b","action-loc-key":null}}}"#
        );
    }

    #[test]
    fn the_short_form_of_an_alert_is_used_only_when_asked_for_and_possible() {
        assert_eq!(built(&Payload::builder().alert("hi")), r#"{"aps":{"alert":"hi"}}"#);
        assert_eq!(built(&Payload::builder().body("hi")), r#"{"aps":{"alert":{"body":"hi"}}}"#);
        assert_eq!(built(&Payload::builder().alert("hi").title("t")), r#"{"aps":{"alert":{"title":"t","body":"hi"}}}"#);
        assert_eq!(built(&Payload::builder().title("t").alert("hi")), r#"{"aps":{"alert":{"title":"t","body":"hi"}}}"#);
    }

    #[test]
    fn every_other_key_of_aps() {
        let builder = Payload::builder()
            .url_args(["news", "7"])
            .content_changed()
            .filter_criteria("work")
            .relevance_score(0.25)
            .interruption_level(InterruptionLevel::TimeSensitive)
            .target_content_id("w")
            .mutable_content()
            .content_available()
            .category("c")
            .thread_id("t")
            .sound("default")
            .badge(1);
        assert_eq!(
            built(&builder),
            concat!(
                r#"{"aps":{"badge":1,"sound":"default","thread-id":"t","category":"c","content-available":1,"#,
                r#""mutable-content":1,"target-content-id":"w","interruption-level":"time-sensitive","#,
                r#""relevance-score":0.25,"filter-criteria":"work","content-changed":true,"url-args":["news","7"]}}"#,
            )
        );
        for level in ["passive", "active", "time-sensitive", "critical"] {
            assert_eq!(level.parse::<InterruptionLevel>().unwrap().to_string(), level);
        }
        assert_eq!("urgent".parse::<InterruptionLevel>(), Err(PayloadError::UnknownInterruptionLevel));
    }

    #[test]
    fn keys_with_a_setter_are_refused_as_unknown_ones() {
        let builder = Payload::builder().aps_key("alert", "hi");
        assert_eq!(refused(&builder), PayloadError::KnownApsKey { key: "alert" });
        let builder = Payload::builder().aps_key("thread-id", "hi");
        assert_eq!(refused(&builder), PayloadError::KnownApsKey { key: "thread-id" });
    }

    #[test]
    fn custom_values_may_have_any_shape() {
        #[derive(serde::Serialize)]
        struct Order<'a> {
            id: u64,
            note: Option<&'a str>,
        }
        let builder = Payload::builder()
            .custom("order", Order { id: u64::MAX, note: None })
            .custom("list", [1.5, -0.0])
            .custom("quo\"te", Value::Null);
        assert_eq!(
            built(&builder),
            r#"{"aps":{},"order":{"id":18446744073709551615,"note":null},"list":[1.5,-0.0],"quo\"te":null}"#
        );
    }
}

mod checks {
    use super::*;

    #[test]
    fn numbers_that_json_cannot_express_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let not_finite = |key: &str| PayloadError::NotFinite { key: key.into() };
            assert_eq!(refused(&Payload::builder().custom("k", bad)), not_finite("k"));
            assert_eq!(refused(&Payload::builder().custom("k", BTreeMap::from([("deep", [bad])]))), not_finite("k"));
            assert_eq!(refused(&Payload::builder().aps_key("k", bad)), not_finite("k"));
            assert_eq!(refused(&Payload::builder().relevance_score(bad)), not_finite("relevance-score"));
            assert_eq!(refused(&Payload::builder().critical_sound("s", bad)), not_finite("volume"));
            let builder = LiveActivity::update(at(1), BTreeMap::from([("v", bad)])).into_builder();
            assert_eq!(refused(&builder), not_finite("content-state"));
        }
    }

    #[test]
    fn ranges() {
        assert_eq!(refused(&Payload::builder().relevance_score(1.01)), PayloadError::RelevanceScore { score: 1.01 });
        assert_eq!(refused(&Payload::builder().relevance_score(-0.1)), PayloadError::RelevanceScore { score: -0.1 });
        assert!(LiveActivity::update(at(1), json!({})).relevance_score(75.0).build().is_ok());
        assert_eq!(refused(&Payload::builder().critical_sound("s", 1.1)), PayloadError::Volume { volume: 1.1 });
        assert_eq!(refused(&Payload::builder().summary_arg_count(0)), PayloadError::SummaryArgCount);
    }

    #[test]
    fn a_mistake_that_is_corrected_is_forgotten() {
        let builder = Payload::builder().critical_sound("s", 2.0).critical_sound("s", 1.0);
        assert!(builder.build().is_ok());
        let builder = Payload::builder().relevance_score(2.0).relevance_score(1.0).custom("k", f64::NAN).custom("k", 1);
        assert!(builder.build().is_ok());
    }

    #[test]
    fn values_that_cannot_be_json() {
        let keys = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(refused(&Payload::builder().custom("k", keys)), PayloadError::NotSerializable { key: "k".into() });
        assert_eq!(
            refused(&Payload::builder().event(LiveActivityEvent::Update).content_state(5)),
            PayloadError::ValueNotAnObject { key: "content-state" }
        );
    }

    #[test]
    fn a_declared_background_push_holds_only_the_wake_up() {
        let background = || Payload::builder().push_type(PushType::Background);
        let foreign = |key: &str| PayloadError::ForeignKey { push_type: PushType::Background, key: key.into() };
        assert_eq!(refused(&background()), PayloadError::MissingContentAvailable);
        assert_eq!(refused(&background().content_available().alert("x")), foreign("alert"));
        assert_eq!(refused(&background().content_available().badge(1)), foreign("badge"));
        assert_eq!(refused(&background().content_available().aps_key("new", 1)), foreign("new"));
        let builder = background().content_available().custom("k", 1);
        assert_eq!(built(&builder), r#"{"aps":{"content-available":1},"k":1}"#);
    }

    #[test]
    fn mdm_and_file_provider_stand_alone() {
        let foreign = |push_type, key: &str| PayloadError::ForeignKey { push_type, key: key.into() };
        assert_eq!(refused(&Payload::builder().mdm("m").alert("x")), foreign(PushType::Mdm, "alert"));
        assert_eq!(refused(&Payload::builder().badge(1).mdm("m")), foreign(PushType::Mdm, "badge"));
        assert_eq!(refused(&Payload::builder().mdm("m").custom("mdm", 1)), foreign(PushType::Mdm, "mdm"));
        let builder = Payload::builder().file_provider("c", "d").custom("k", 1);
        assert_eq!(refused(&builder), foreign(PushType::FileProvider, "k"));
    }
}

mod live_activities {
    use super::*;

    fn alert() -> LiveActivityAlert {
        LiveActivityAlert::new().title("Race").body_loc("LEAD", ["Anna"]).sound("chime.aiff")
    }

    #[test]
    fn b101_a_start_without_its_required_keys_is_refused() {
        use LiveActivityEvent::Start;
        let missing = |key| PayloadError::MissingLiveActivityKey { event: Start, key };
        let start = Payload::builder().event(Start);
        assert_eq!(refused(&start), missing("timestamp"));
        let start = start.timestamp(at(1));
        assert_eq!(refused(&start), missing("content-state"));
        let start = start.content_state(json!({}));
        assert_eq!(refused(&start), missing("attributes-type"));
        let start = start.attributes_type("A");
        assert_eq!(refused(&start), missing("attributes"));
        let start = start.attributes(json!({}));
        assert_eq!(refused(&start), missing("alert"));
        assert!(start.clone().live_activity_alert(alert()).build().is_ok());
        assert!(start.title("t").body("b").build().is_ok());
    }

    #[test]
    fn updates_and_ends_have_their_required_keys_too() {
        let update = Payload::builder().event(LiveActivityEvent::Update).timestamp(at(1));
        assert_eq!(
            refused(&update),
            PayloadError::MissingLiveActivityKey { event: LiveActivityEvent::Update, key: "content-state" }
        );
        let end = Payload::builder().event(LiveActivityEvent::End);
        assert_eq!(
            refused(&end),
            PayloadError::MissingLiveActivityKey { event: LiveActivityEvent::End, key: "timestamp" }
        );
        assert!(end.timestamp(at(1)).build().is_ok());
        for builder in [
            Payload::builder().timestamp(at(1)),
            Payload::builder().stale_date(at(1)),
            Payload::builder().live_activity_alert(alert()),
            Payload::builder().push_type(PushType::LiveActivity),
        ] {
            assert_eq!(refused(&builder), PayloadError::MissingLiveActivityEvent);
        }
        assert_eq!("stop".parse::<LiveActivityEvent>(), Err(PayloadError::UnknownLiveActivityEvent));
        assert_eq!("end".parse(), Ok(LiveActivityEvent::End));
    }

    #[test]
    fn start_update_end_byte_for_byte() {
        let start = LiveActivity::start(at(1_700_000_000), "Race", json!({"name": "R"}), json!({"lap": 1}), alert())
            .input_push_channel("dHN0LXNyY2gtY2hubA==")
            .stale_date(at(1_700_000_600))
            .relevance_score(100.0)
            .custom("k", 1)
            .build()
            .unwrap();
        assert_eq!(
            text(&start),
            concat!(
                r#"{"aps":{"alert":{"title":"Race","body":{"loc-key":"LEAD","loc-args":["Anna"]},"sound":"chime.aiff"},"#,
                r#""relevance-score":100.0,"timestamp":1700000000,"event":"start","content-state":{"lap":1},"#,
                r#""stale-date":1700000600,"attributes-type":"Race","attributes":{"name":"R"},"#,
                r#""input-push-channel":"dHN0LXNyY2gtY2hubA=="},"k":1}"#,
            )
        );
        let update = LiveActivity::update(at(5), json!({"lap": 2}))
            .alert(LiveActivityAlert::new().title_loc("T", ["x"]).body("b"))
            .build()
            .unwrap();
        assert_eq!(
            text(&update),
            concat!(
                r#"{"aps":{"alert":{"title":{"loc-key":"T","loc-args":["x"]},"body":"b"},"#,
                r#""timestamp":5,"event":"update","content-state":{"lap":2}}}"#,
            )
        );
        let end = LiveActivity::end(at(9)).dismissal_date(at(0)).content_state(json!({"lap": 3})).build().unwrap();
        assert_eq!(text(&end), r#"{"aps":{"timestamp":9,"event":"end","content-state":{"lap":3},"dismissal-date":0}}"#);
        for payload in [start, update, end, LiveActivity::end(at(1)).build().unwrap()] {
            assert_eq!(payload.inferred_push_type(), Some(PushType::LiveActivity));
        }
    }

    #[test]
    fn what_excludes_each_other_is_refused() {
        let start = LiveActivity::start(at(1), "A", json!({}), json!({}), alert());
        let both = start.clone().input_push_token().input_push_channel("x").into_builder();
        assert_eq!(refused(&both), PayloadError::TokenAndChannel);
        assert_eq!(refused(&start.clone().into_builder().title("t")), PayloadError::TwoAlerts);
        assert!(start.input_push_token().build().is_ok());
    }
}

mod kinds {
    use super::*;

    #[test]
    fn short_cuts_byte_for_byte() {
        let table = [
            (Payload::alert("hi"), r#"{"aps":{"alert":"hi"}}"#, PushType::Alert),
            (Payload::background(), r#"{"aps":{"content-available":1}}"#, PushType::Background),
            (Payload::mdm("ab-c"), r#"{"mdm":"ab-c"}"#, PushType::Mdm),
            (Payload::file_provider("c", "d"), r#"{"container-identifier":"c","domain":"d"}"#, PushType::FileProvider),
            (Payload::widgets(), r#"{"aps":{"content-changed":true}}"#, PushType::Widgets),
            (Payload::controls(), r#"{"aps":{"content-changed":true}}"#, PushType::Controls),
            (Payload::wallet_pass(), r#"{"aps":{}}"#, PushType::Alert),
        ];
        for (payload, json, push_type) in table {
            assert_eq!(text(&payload), json);
            assert_eq!(payload.inferred_push_type(), Some(push_type));
        }
    }

    #[test]
    fn messages_for_accessories() {
        let message = AccessoryMessage {
            encrypted_data: "c2VjcmV0".into(),
            session_identifier: "s-1".into(),
            key_id: "a2V5".into(),
            message_index: 42,
        };
        let payload = Payload::accessory(message.clone()).unwrap();
        assert_eq!(
            text(&payload),
            r#"{"aps":{"encryptedData":"c2VjcmV0","sessionIdentifier":"s-1","keyID":"a2V5","messageIndex":"42"}}"#
        );
        assert_eq!(payload.inferred_push_type(), Some(PushType::Accessory));
        let bad = AccessoryMessage { key_id: "not base64".into(), ..message };
        assert_eq!(Payload::accessory(bad), Err(PayloadError::ValueNotBase64 { key: "keyID" }));
    }

    #[test]
    fn a_website_push() {
        let builder = Payload::builder().title("T").body("B").action("View").url_args([""; 0]);
        assert_eq!(built(&builder), r#"{"aps":{"alert":{"title":"T","body":"B","action":"View"},"url-args":[]}}"#);
    }
}

mod ready_made {
    use super::*;

    #[test]
    fn bytes_are_kept() {
        let json = "{ \"n\" : 1e400, \"big\":123456789012345678901234567890, \"half\":\"\\ud83d\", \"\\ud83d\":1,\n\"aps\": {\"\\udc00\":1} }\n";
        let payload = Payload::from_json(json).unwrap();
        assert_eq!(text(&payload), json);
        let compact = Payload::from_json_compact(json).unwrap();
        assert_eq!(
            text(&compact),
            r#"{"n":1e400,"big":123456789012345678901234567890,"half":"\ud83d","\ud83d":1,"aps":{"\udc00":1}}"#
        );
    }

    #[test]
    fn a_byte_order_mark_is_not_sent() {
        let json = "\u{feff}{ \"aps\":{\"alert\":\"\u{feff}\"}}";
        assert_eq!(text(&Payload::from_json(json).unwrap()), "{ \"aps\":{\"alert\":\"\u{feff}\"}}");
        assert_eq!(text(&Payload::from_json_compact(json).unwrap()), "{\"aps\":{\"alert\":\"\u{feff}\"}}");
    }

    #[test]
    fn what_is_not_a_payload_is_refused() {
        let error = |bytes: &[u8]| {
            let error = Payload::from_json(bytes.to_vec()).unwrap_err();
            assert_eq!(Payload::from_json_compact(bytes), Err(error.clone()));
            error
        };
        assert_eq!(error(b""), PayloadError::Empty);
        assert_eq!(error(b"\xef\xbb\xbf"), PayloadError::Empty);
        assert_eq!(error(b"\xff\xfe{\0}\0"), EncodingError::Utf16.into());
        assert_eq!(error(b"\0{\0}"), EncodingError::Utf16.into());
        assert_eq!(error(b"{\"a\":\"\xff\"}"), EncodingError::NotUtf8 { position: 6 }.into());
        for other in ["[]", " 5 ", "\"aps\"", "null"] {
            assert_eq!(error(other.as_bytes()), PayloadError::NotAnObject);
        }
        assert_eq!(
            error(b"{\"aps\":{\"alert\":\"secret"),
            PayloadError::InvalidJson { line: 1, column: 23, cut: true }
        );
        assert!(matches!(error(b"{\n\"aps\":{},}"), PayloadError::InvalidJson { line: 2, cut: false, .. }));
        assert!(matches!(error(b"   "), PayloadError::InvalidJson { cut: true, .. }));
        for bad in
            ["{}{}", "{'a':1}", "{\"a\":01}", "{\"a\":\"\t\"}", "{\"a\":\"\\U0001F600\"}", "{\"a\":NaN}", "\u{a0}{}"]
        {
            assert!(matches!(error(bad.as_bytes()), PayloadError::InvalidJson { .. }), "{bad}");
        }
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!("{{\"aps\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(Payload::from_json(deep.clone()).unwrap().size(), deep.len());
        assert!(Payload::from_json(format!("{{\"a\":{}", "{\"a\":".repeat(100_000))).is_err());
    }

    #[test]
    fn the_push_type_is_read_from_the_content() {
        let table = [
            (r#"{"aps":{"alert":"x"}}"#, Some(PushType::Alert)),
            (r#"{"aps":{"\u0061lert":"x"}}"#, Some(PushType::Alert)),
            (r#"{"aps":{"badge":0}}"#, Some(PushType::Alert)),
            (r#"{"aps":{"sound":"x","content-available":1}}"#, Some(PushType::Alert)),
            (r#"{"x":{"alert":1},"aps":{"content-available":1}}"#, Some(PushType::Background)),
            (r#"{"aps":{"content-available":1,"alert":null}}"#, Some(PushType::Background)),
            (r#"{"aps":{"content-available":0}}"#, None),
            (r#"{"aps":{"content-available":1,"category":"c"}}"#, None),
            (r#"{"aps":{"event":"update","content-state":{},"alert":"x"}}"#, Some(PushType::LiveActivity)),
            (r#"{"aps":{"event":"\u0065nd","timestamp":1}}"#, Some(PushType::LiveActivity)),
            (r#"{"aps":{"event":"party","timestamp":1}}"#, None),
            (r#"{"aps":{"event":7,"timestamp":1}}"#, None),
            (r#"{"aps":{"event":"start"}}"#, None),
            (r#"{"aps":{"content-changed":true}}"#, None),
            (r#"{"aps":{}}"#, None),
            (r#"{"aps":""}"#, None),
            (r#"{}"#, None),
            (r#"{"alert":"x"}"#, None),
            (r#"{"mdm":"x"}"#, Some(PushType::Mdm)),
            (r#"{"mdm":"x","aps":{}}"#, None),
            (r#"{"mdm":1}"#, None),
            (r#"{"domain":"x","container-identifier":"y"}"#, Some(PushType::FileProvider)),
            (r#"{"domain":"x"}"#, None),
        ];
        for (json, push_type) in table {
            assert_eq!(Payload::from_json(json).unwrap().inferred_push_type(), push_type, "{json}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\\\\" \t\n{}:,]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn compacting_a_pretty_text_gives_the_compact_text(values in proptest::collection::btree_map(any::<String>(), any_json(), 0..4)) {
            let value = Value::Object(values.into_iter().collect());
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let payload = Payload::from_json_compact(&pretty).unwrap();
            prop_assert_eq!(text(&payload), value.to_string());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Payload::from_json(bytes);
        }

        #[test]
        fn it_accepts_what_serde_json_accepts_as_an_object(text in "[{}\\[\\]:,\"a\\\\u0-9 .eE+-]{0,12}") {
            // serde_json also refuses numbers beyond a double and half surrogate pairs, which JSON itself allows.
            let reference = serde_json::from_str::<Value>(&text);
            if reference.as_ref().is_ok_and(Value::is_object) {
                prop_assert!(Payload::from_json(text.clone()).is_ok());
            }
            if Payload::from_json(text.clone()).is_ok() {
                prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok());
            }
        }
    }
}

mod fitting {
    use super::*;

    fn body_of(payload: &Payload) -> String {
        let value: Value = serde_json::from_slice(payload.as_bytes()).unwrap();
        let alert = &value["aps"]["alert"];
        alert.as_str().or_else(|| alert["body"].as_str()).unwrap().into()
    }

    #[test]
    fn b93_text_is_never_cut_inside_a_character() {
        let emoji = "\u{1F600}";
        let frame = Payload::alert("").size();
        for spare in 0..=3 {
            let limit = PayloadLimit::new(frame + 4 * 500 + spare);
            let payload = Payload::builder().alert(emoji.repeat(2000)).fit(limit).unwrap();
            assert_eq!(body_of(&payload), emoji.repeat(500), "{spare} bytes to spare");
            assert_eq!(payload.size(), frame + 2000);
        }
        for (room, kept) in [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (5, 1)] {
            let limit = PayloadLimit::new(frame + room);
            let payload = Payload::builder().alert(emoji.repeat(2000)).fit(limit).unwrap();
            assert_eq!(body_of(&payload), emoji.repeat(kept));
        }
        let payload = Payload::builder().alert(emoji.repeat(2000)).fit(PayloadLimit::HTTP2).unwrap();
        assert!(payload.size() <= 4096 && payload.size() > 4092);
    }

    #[test]
    fn b93_text_is_never_cut_inside_an_escape() {
        let frame = Payload::alert("").size();
        for (last, len) in [("\\", 2), ("\"", 2), ("\n", 2), ("\u{1}", 6)] {
            for room in 0..=len {
                let limit = PayloadLimit::new(frame + 3 + room);
                let payload = Payload::builder().alert(format!("abc{last}")).fit(limit).unwrap();
                let expected = if room == len { format!("abc{last}") } else { "abc".into() };
                assert_eq!(body_of(&payload), expected);
            }
        }
    }

    #[test]
    fn what_a_reader_sees_as_one_character_stays_whole() {
        let frame = Payload::alert("").size();
        for cluster in ["👨‍👩‍👧‍👦", "🇩🇪", "e\u{301}", "👍🏽", "क्षि", "\r\n"] {
            let size = Payload::alert(cluster).size() - frame;
            let limit = PayloadLimit::new(frame + 2 * size - 1);
            let payload = Payload::builder().alert(cluster.repeat(2)).fit(limit).unwrap();
            assert_eq!(body_of(&payload), cluster);
        }
    }

    #[test]
    fn the_ellipsis_counts_and_comes_only_when_needed() {
        let frame = Payload::alert("").size();
        let limit = PayloadLimit::new(frame + 10);
        let fit =
            |body: &str, ellipsis: &str| body_of(&Payload::builder().alert(body).fit_with(limit, ellipsis).unwrap());
        assert_eq!(fit("0123456789", "…"), "0123456789");
        assert_eq!(fit("0123456789a", "…"), "0123456…");
        assert_eq!(fit("0123456789a", "\"\""), "012345\"\"");
        assert_eq!(fit("0123456789a", "0123456789"), "0123456789");
        assert_eq!(fit("abcdefghijklm", "longer than room"), "abcdefghij");
    }

    #[test]
    fn when_nothing_helps_the_error_says_how_much_is_over() {
        let limit = PayloadLimit::new(100);
        let builder = Payload::builder().alert("some body").custom("k", "x".repeat(200));
        let over = built(&builder.clone().alert("")).len() - 100;
        assert_eq!(builder.fit(limit), Err(PayloadError::CannotFit { over, limit }));
        let without_body = Payload::builder().title("x".repeat(200));
        let over = built(&without_body).len() - 100;
        assert_eq!(without_body.fit(limit), Err(PayloadError::CannotFit { over, limit }));
        let localized = LiveActivity::update(at(1), json!({})).alert(LiveActivityAlert::new().body_loc("K", ["x"; 50]));
        assert!(matches!(localized.fit(limit), Err(PayloadError::CannotFit { .. })));
    }

    #[test]
    fn every_kind_of_body_is_shortened() {
        let limit = PayloadLimit::new(200);
        let long = "wörter ".repeat(100);
        let plain = Payload::builder().alert(&*long).badge(1).fit(limit).unwrap();
        let object = Payload::builder().body(&*long).title("t").launch_image("l").custom("k", 1).fit(limit).unwrap();
        let activity = LiveActivity::update(at(1), json!({"s": 1}))
            .alert(LiveActivityAlert::new().title("t").body(&*long).sound("s"))
            .fit(limit)
            .unwrap();
        for payload in [plain, object, activity] {
            assert!((198..=200).contains(&payload.size()));
            assert!(long.starts_with(&body_of(&payload)));
        }
    }

    /// Builds and measures a payload for every prefix.
    fn naive(make: &dyn Fn(&str) -> PayloadBuilder, body: &str, limit: PayloadLimit, ellipsis: &str) -> Option<String> {
        let whole = built(&make(body));
        if whole.len() <= limit.bytes() {
            return Some(whole);
        }
        let longest = |ellipsis: &str| {
            let ends = body.grapheme_indices(true).map(|(index, _)| index).chain([body.len()]);
            let candidates = ends.map(|end| built(&make(&format!("{}{ellipsis}", &body[..end]))));
            candidates.filter(|json| json.len() <= limit.bytes()).last()
        };
        longest(ellipsis).or_else(|| longest(""))
    }

    fn any_text() -> impl Strategy<Value = String> {
        prop_oneof![any::<String>(), "(\\PC|[\"\\\\\n\u{1}\u{7f}é]|👩🏽‍🚀|🇩🇪|👨‍👩‍👧|\u{301}|\r\n|क्षि|각){0,40}",]
    }

    proptest! {
        #[test]
        fn b93_the_fit_is_the_longest_prefix(
            body in any_text(),
            title in any_text(),
            ellipsis in prop_oneof![Just(""), Just("…"), Just("..."), Just("\"\\")],
            limit in 0_usize..250,
            shape in 0..3,
        ) {
            let limit = PayloadLimit::new(limit);
            let make = |body: &str| match shape {
                0 => Payload::builder().alert(body).custom("k", &title),
                1 => Payload::builder().custom("k", 1).sound("s").body(body).launch_image("i").title(&title),
                _ => LiveActivity::update(at(1), json!({"t": title}))
                    .alert(LiveActivityAlert::new().body(body).title(&*title).sound("s"))
                    .into_builder(),
            };
            match make(&body).fit_with(limit, ellipsis) {
                Ok(payload) => {
                    let expected = naive(&make, &body, limit, ellipsis);
                    prop_assert_eq!(Some(text(&payload)), expected.as_deref());
                    prop_assert!(payload.check_size(limit).is_ok());
                }
                Err(error) => {
                    let over = built(&make("")).len() - limit.bytes();
                    prop_assert_eq!(error, PayloadError::CannotFit { over, limit });
                }
            }
        }

        #[test]
        fn the_order_of_the_calls_does_not_matter(
            body in any_text(),
            order in Just([0, 1, 2, 3, 4, 5]).prop_shuffle(),
            limit in 100_usize..300,
        ) {
            let apply = |builder: PayloadBuilder, step: &i32| match step {
                0 => builder.body(&*body),
                1 => builder.title("title"),
                2 => builder.badge(3),
                3 => builder.sound("default"),
                4 => builder.loc_args(["a"]),
                _ => builder.custom("k", [1, 2]),
            };
            let limit = PayloadLimit::new(limit);
            let sorted = [0, 1, 2, 3, 4, 5].iter().fold(Payload::builder(), apply);
            let shuffled = order.iter().fold(Payload::builder(), apply);
            prop_assert_eq!(sorted.fit_with(limit, "…"), shuffled.fit_with(limit, "…"));
        }
    }
}

proptest! {
    #[test]
    fn the_builder_knows_what_a_scan_would_find(
        steps in proptest::collection::vec(0..14, 0..5),
        value in proptest::option::of(any::<String>()),
    ) {
        let builder = steps.iter().fold(Payload::builder(), |builder, step| match step {
            0 => builder.alert("x"),
            1 => builder.badge(1),
            2 => builder.sound("x"),
            3 => builder.content_available(),
            4 => builder.category("c"),
            5 => builder.content_changed(),
            6 => builder.event(LiveActivityEvent::Update).timestamp(at(1)).content_state(json!({})),
            7 => builder.event(LiveActivityEvent::End).timestamp(at(1)),
            8 => builder.custom("mdm", &value),
            9 => builder.custom("k", &value),
            10 => builder.aps_key("k", &value),
            11 => builder.mdm("m"),
            12 => builder.file_provider("c", "d"),
            _ => builder.title("t"),
        });
        if let Ok(payload) = builder.build() {
            let scanned = Payload::from_json(payload.to_bytes()).unwrap();
            prop_assert_eq!(scanned.inferred_push_type(), payload.inferred_push_type());
            prop_assert_eq!(&Payload::from_json_compact(payload.as_bytes()).unwrap(), &scanned);
        }
    }

    #[test]
    fn values_come_back_as_they_went_in(
        title in any::<String>(),
        body in any::<String>(),
        arguments in proptest::collection::vec(any::<String>(), 0..4),
        key in any::<String>(),
        value in any::<String>(),
    ) {
        prop_assume!(key != "aps");
        let payload = Payload::builder().title(&title).body(&*body).loc_args(&arguments).custom(&*key, &value).build().unwrap();
        let parsed: Value = serde_json::from_slice(payload.as_bytes()).unwrap();
        prop_assert_eq!(&parsed["aps"]["alert"]["title"], &title);
        prop_assert_eq!(&parsed["aps"]["alert"]["body"], &body);
        prop_assert_eq!(&parsed["aps"]["alert"]["loc-args"], &json!(arguments));
        prop_assert_eq!(&parsed[&key], &value);
    }
}

#[test]
fn debug_and_errors_never_show_contents() {
    let secret = "TOPSECRET";
    let builder = Payload::builder().title(secret).body(secret).custom("k", secret).thread_id(secret);
    let alert = LiveActivityAlert::new().title(secret).body_loc(secret, [secret]).sound(secret);
    let activity = LiveActivity::update(at(1), json!({"k": secret})).alert(alert.clone());
    let message = AccessoryMessage {
        encrypted_data: secret.into(),
        session_identifier: secret.into(),
        key_id: secret.into(),
        message_index: 1,
    };
    let broken = Payload::from_json(format!("{{\"aps\":{{\"alert\":\"{secret}\",}}}}")).unwrap_err();
    let not_an_object = Payload::from_json(format!("\"{secret}\"")).unwrap_err();
    let limit = PayloadLimit::new(3);
    let too_large = builder.fit(limit).unwrap_err();
    let shown = format!(
        "{:?} {builder:?} {alert:?} {activity:?} {message:?} {broken:?} {broken} {not_an_object:?} {too_large:?} {too_large}",
        builder.build().unwrap()
    );
    assert!(!shown.contains(secret), "{shown}");
    assert!(shown.starts_with(&format!("Payload({} bytes)", builder.build().unwrap().size())));
}

#[test]
fn clones_share_the_bytes() {
    let payload = Payload::alert("x".repeat(1000));
    assert_eq!(payload.clone().as_bytes().as_ptr(), payload.as_bytes().as_ptr());
}
