//! What is sent is what was meant: push type, topic, size limit and priority, as `apns send` sends them.

use apns_proto::PushType;
use apns_sim::Simulator;
use serde_json::json;

use crate::support::{Run, Sim, run, run_with_stdin, token};

const WIDGET: &str = r#"{"aps":{"content-changed":true}}"#;
const SILENT: &str = r#"{"aps":{"content-available":1,"category":"sync"}}"#;

/// Push type, topic and priority of each request, in their order.
fn sent(sim: &Sim) -> Vec<(String, String, String)> {
    let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap_or(b"-").to_vec()).unwrap();
    let requests = sim.simulator.requests();
    let header = |name: &'static str| requests.iter().map(move |request| text(request.header(name)));
    header("apns-push-type")
        .zip(header("apns-topic"))
        .zip(header("apns-priority"))
        .map(|((push_type, topic), priority)| (push_type, topic, priority))
        .collect()
}

fn with_certificate(sim: &Sim, options: &[&str]) -> Run {
    let mut arguments = sim.to_provider(&["send", "--json", "--token", "abcd"]);
    for (flag, file) in [("--cert", "client.pem"), ("--cert-key", "client.key")] {
        arguments.extend([flag.to_owned(), sim.folder.path(file)]);
    }
    arguments.extend(options.iter().map(ToString::to_string));
    run(arguments)
}

/// With a signing key and this topic.
fn for_topic(sim: &Sim, topic: &str, options: &[&str]) -> Vec<String> {
    let mut arguments = sim.provider(options);
    let place = arguments.iter().position(|argument| argument == "--topic").unwrap() + 1;
    arguments[place] = topic.to_owned();
    arguments
}

fn strings(all: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    all.iter().map(|(one, two, three)| ((*one).to_owned(), (*two).to_owned(), (*three).to_owned())).collect()
}

/// How often a text is on standard error.
fn count(run: &Run, text: &str) -> usize {
    run.stderr.matches(text).count()
}

#[test]
fn n1_every_suffix_names_the_push_type_for_one_notification_and_for_a_batch() {
    let types: Vec<_> = PushType::known().filter(|known| !known.topic_suffix().is_empty()).collect();
    let sim = Sim::start();
    let lines = types.iter().enumerate().map(|(index, push_type)| {
        let topic = push_type.topic("com.example.app");
        format!("{}\n", json!({"token": token(index as u32), "topic": topic, "body": "x"}))
    });
    run_with_stdin(sim.provider(&["--batch", "-"]), lines.collect::<String>().as_bytes()).expect(0);
    let expected: Vec<_> = types
        .iter()
        .map(|known| (known.to_string(), known.topic("com.example.app").into_owned(), "-".to_owned()))
        .collect();
    assert_eq!(sent(&sim), expected);
    for push_type in types {
        let sim = Sim::start();
        let topic = push_type.topic("com.example.app").into_owned();
        run(for_topic(&sim, &topic, &["--token", "abcd", "--body", "x"])).expect(0);
        assert_eq!(sent(&sim), [(push_type.to_string(), topic, "-".to_owned())]);
    }
}

#[test]
fn n1_a_voip_certificate_sends_voip_whether_the_topic_is_given_or_not() {
    for options in [&[][..], &["--topic", "com.example.app"], &["--topic", "com.example.app.voip"]] {
        let sim = Sim::built(Simulator::builder().topics(["com.example.app.voip"]));
        let options = [&["--body", "ring"][..], options].concat();
        assert_eq!(with_certificate(&sim, &options).expect(0).row()["outcome"], "accepted");
        assert_eq!(sent(&sim), strings(&[("voip", "com.example.app.voip", "-")]), "{options:?}");
    }
}

#[test]
fn the_size_limit_is_the_one_of_the_topics_type() {
    let sim = Sim::start();
    let body = "x".repeat(5000);
    let options = ["--token", "abcd", "--body", &body];
    run(for_topic(&sim, "com.example.app.voip", &options)).expect(0);
    let refused = run(sim.provider(&options)).expect(1);
    assert_eq!(refused.row()["outcome"], "invalid");
}

#[test]
fn an_explicit_type_wins_and_a_contradiction_is_said_once_with_both_named() {
    let sim = Sim::scripted(r#"{"http2": {"topics": ["com.example.voip"]}}"#);
    let options = ["--push-type", "alert", "--body", "x"];
    let tokens = [token(1), token(2), token(3)];
    let tokens: Vec<_> = tokens.iter().map(String::as_str).collect();
    let run = run(for_topic(&sim, "com.example.voip", &[&options[..], &["--token"], &tokens].concat())).expect(0);
    assert_eq!(sent(&sim), vec![("alert".to_owned(), "com.example.voip".to_owned(), "-".to_owned()); 3]);
    assert_eq!(count(&run, "the push type is alert, but the topic com.example.voip is one of type voip"), 1, "{run:?}");
}

#[test]
fn what_a_certificate_is_not_for_is_refused_here() {
    let topics = ["com.example.app", "com.example.app.voip"];
    let sim = Sim::built(Simulator::builder().topics(topics));
    for (options, words) in [
        (
            &["--topic", "com.example.app.voip", "--push-type", "alert"][..],
            "lists the topic com.example.app.voip for type voip",
        ),
        (&["--topic", "com.example.other"], "it lists com.example.app, com.example.app.voip"),
        (&["--push-type", "widgets"], "not for the topic com.example.app.push-type.widgets"),
        (&["--push-type", "location"], "need a signing key"),
    ] {
        let row = with_certificate(&sim, &[&["--body", "x"], options].concat()).expect(1).row();
        assert_eq!(row["outcome"], "invalid");
        assert!(row["reason"].as_str().unwrap().contains(words), "{row}");
    }
    assert_eq!(sent(&sim), []);
    with_certificate(&sim, &["--body", "x", "--push-type", "voip"]).expect(0);
    assert_eq!(sent(&sim), strings(&[("voip", "com.example.app.voip", "-")]));
}

#[test]
fn n2_a_widgets_payload_is_no_alert() {
    let sim = Sim::start();
    let payload = sim.folder.write("widget.json", WIDGET);
    let options = ["--token", "abcd", "--payload", &payload];
    let row = run(sim.provider(&options)).expect(1).row();
    assert_eq!(row["outcome"], "invalid");
    let reason = row["reason"].as_str().unwrap();
    assert!(reason.contains("widgets") && reason.contains("controls"), "{reason}");
    run(sim.provider(&[&options[..], &["--push-type", "controls"]].concat())).expect(0);
    run(for_topic(&sim, "com.example.app.push-type.widgets", &options)).expect(0);
    let expected = [
        ("controls", "com.example.app.push-type.controls", "-"),
        ("widgets", "com.example.app.push-type.widgets", "-"),
    ];
    assert_eq!(sent(&sim), strings(&expected));
}

#[test]
fn n3_a_type_that_is_not_certain_is_said() {
    let sim = Sim::start();
    let payload = sim.folder.write("silent.json", SILENT);
    let run = run(sim.provider(&["--token", "abcd", "--payload", &payload])).expect(0);
    assert_eq!(sent(&sim), strings(&[("background", "com.example.app", "5")]));
    assert_eq!(count(&run, "background is sent: set the push type"), 1, "{run:?}");
}

#[test]
fn a_priority_that_is_changed_is_said_once() {
    let sim = Sim::start();
    let lines: String = (0..20).map(|n| format!("{{\"token\":\"{}\"}}\n", token(n))).collect();
    let options = ["--batch", "-", "--content-available", "--priority", "10"];
    let run = run_with_stdin(sim.provider(&options), lines.as_bytes()).expect(0);
    assert!(sent(&sim).iter().all(|(push_type, _, priority)| push_type == "background" && priority == "5"));
    assert_eq!(count(&run, "sent with priority 5, not with the 10 that was set"), 1, "{run:?}");
}

#[test]
fn a_slip_in_the_push_type_is_refused_unless_it_is_forced() {
    let sim = Sim::start();
    let options = ["--token", "abcd", "--body", "x", "--push-type", "alrt"];
    let refused = run(sim.provider(&options)).expect(2);
    assert!(refused.stderr.contains("perhaps alert?") && refused.stderr.contains("--force-push-type"), "{refused:?}");
    let line = format!("{}\n", json!({"token": "abcd", "body": "x", "push_type": "alrt"}));
    let row = run_with_stdin(sim.provider(&["--batch", "-"]), line.as_bytes()).expect(1).row();
    assert_eq!(row["outcome"], "invalid");
    assert!(row["reason"].as_str().unwrap().contains("perhaps alert?"), "{row}");
    assert_eq!(sent(&sim), []);
    let forced = run(sim.provider(&[&options[..], &["--force-push-type"]].concat())).expect(1).row();
    assert_eq!((&forced["outcome"], &forced["reason"]), (&json!("rejected"), &json!("InvalidPushType")));
    run_with_stdin(sim.provider(&["--batch", "-", "--force-push-type"]), line.as_bytes()).expect(1);
    assert!(sent(&sim).iter().all(|(push_type, ..)| push_type == "alrt"));
    assert_eq!(sent(&sim).len(), 2);
}

/// The files of public cases, where they are at hand beside the project.
#[test]
fn payloads_of_public_cases() {
    let inputs = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/inputs/topic"));
    if !inputs.is_dir() {
        // Everything in them is also made above.
        return;
    }
    let path = |name: &str| inputs.join(name).to_str().unwrap().to_owned();
    let sim = Sim::start();
    let payload = path("widget.json");
    run(sim.provider(&["--token", "abcd", "--payload", &payload])).expect(1);
    let payload = path("silent-with-category.json");
    run(sim.provider(&["--token", "abcd", "--payload", &payload])).expect(0);
    assert_eq!(sent(&sim), strings(&[("background", "com.example.app", "5")]));
}
