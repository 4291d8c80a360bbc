//! Bytes, field by field.

use serde_json::Value;

use crate::support::{run, run_with_stdin};

#[test]
fn each_kind_is_recognised() {
    for (text, first_line, last_line) in [
        ("000004deadbeef00027b7d", "notification at byte 0, 11 bytes", "       9  payload       {}"),
        (
            "020000000c010004deadbeef0200027b7d",
            "notification at byte 0, 17 bytes",
            "      12  item 2        payload, 2 bytes: {}",
        ),
        (
            "080a00000007",
            "error response at byte 0, 6 bytes",
            "          what was written before it was accepted, and so was this one; what was written after it was thrown away",
        ),
        ("65 53 f1 00 | 0004 | de:ad:be:ef", "feedback record at byte 0, 10 bytes", "       6  device token  deadbeef"),
    ] {
        let run = run(["decode", text]).expect(0);
        assert_eq!(run.stdout.lines().next(), Some(first_line));
        assert_eq!(run.stdout.lines().last(), Some(last_line));
        assert_eq!(run.stderr, "");
    }
}

#[test]
fn standard_input_is_read_on_demand() {
    let run = run_with_stdin(["decode", "-"], b"01 00000001 00000000\n0004 deadbeef\n0002 7b7d\n").expect(0);
    assert_eq!(
        run.stdout,
        "\
notification at byte 0, 19 bytes
       0  command       1 (enhanced)
       1  identifier    1
       5  expiration    0 (one attempt, no storage)
       9  token length  4
      11  device token  deadbeef
      15  payload length  2
      17  payload       {}
"
    );
}

#[test]
fn a_bad_one_has_exit_status_1_and_its_place_on_both_outputs() {
    let run = run(["decode", "0200000010010004deadbeef0200027b7d05000101"]).expect(1);
    let words = "wrong at byte 17: priority 1, which is neither 5 nor 10";
    assert!(
        run.stdout.ends_with(&format!(" !    17  item 5        priority, 1 byte: 1\n !        {words}\n")),
        "{run:#?}"
    );
    assert_eq!(run.stderr, format!("apns: {words}\n"));
}

#[test]
fn what_is_no_hexadecimal_has_exit_status_2() {
    assert!(run(["decode", "0x00"]).expect(2).stderr.contains("'x' at position 1 is no hexadecimal digit"));
    assert!(run(["decode", "000"]).expect(2).stderr.contains("3 hexadecimal digits"));
    assert!(run_with_stdin(["decode", "-"], b"\xff\xfe0\0").expect(2).stderr.contains("it is UTF-16"));
    assert!(run_with_stdin(["decode", "-"], b"00\xff").expect(2).stderr.contains("it is not UTF-8 from byte 2 on"));
    assert!(run(["decode", ""]).expect(1).stderr.contains("there are no bytes"));
}

#[test]
fn all_vectors_are_read_as_they_say() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../apns-proto/tests/vectors/binary-vectors.json")).unwrap();
    let mut seen = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let (name, hex) = (&vector["name"], vector["hex"].as_str().unwrap());
        let kind = match vector["decoder"].as_str().unwrap() {
            "notification" | "notification_stream" => "notification",
            "error_response" => "error",
            "feedback_stream" => "feedback",
            other => panic!("{other}"),
        };
        // Those of the limits before 2014 are good today.
        if hex.is_empty() || vector["limit_profile"] == "pre_2014" {
            continue;
        }
        seen += 1;
        let run = run(["decode", "--kind", kind, hex]);
        if vector["valid"] == true {
            assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{name}");
            continue;
        }
        assert_eq!(run.status, 1, "{name}");
        // Behind a whole notification there is room for another here, which is then what is wrong.
        if vector["expected_error"]["kind"] != "trailing_bytes" {
            let place = format!("wrong at byte {}: ", vector["expected_error"]["offset"]);
            assert!(run.stderr.contains(&place), "{name}: {place:?} is not in {}", run.stderr);
        }
    }
    assert!(seen > 90, "{seen}");
}
