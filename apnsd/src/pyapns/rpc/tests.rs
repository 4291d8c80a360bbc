//! Texts and dates.

use super::*;

#[test]
fn dates_have_no_zone_and_are_in_the_one_that_is_asked_for() {
    let time = WallTime::from_secs(1_386_604_500);
    assert_eq!(date(time, &TimeZone::UTC), "20131209T15:55:00");
    let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    assert_eq!(date(time, &berlin), "20131209T16:55:00");
    assert_eq!(date(WallTime::from_secs(1_372_636_800), &berlin), "20130701T02:00:00");
    assert_eq!(date(WallTime::EPOCH, &TimeZone::UTC), "19700101T00:00:00");
    // Whatever a service says, it is a date.
    assert_eq!(date(WallTime::from_millis(u64::MAX), &TimeZone::UTC), "99991230T22:00:00");
}

#[test]
fn details_fit_into_a_header() {
    assert_eq!(header_text("a\r\nb é\u{7f}"), "a??b ??");
    assert_eq!(header_text(&"x".repeat(10_000)).len(), LONGEST_DETAIL);
}

#[test]
fn faults_have_the_texts_that_clients_know() {
    for (fault, code, text) in [
        (
            Fault::Environment("beta".into()),
            401,
            "Invalid environment provided `beta`. Valid environments are `sandbox` and `production`",
        ),
        (Fault::UnknownApp, 404, "The app_id specified has not been provisioned."),
        (Fault::NotStored("full".into()), 500, "Connection to the APNS server could not be made."),
        (Fault::Procedure("x".into()), 8001, "procedure x not found"),
        (Fault::SubHandler("system".into()), 8001, "no such subHandler system"),
        (Fault::Failure("why".into()), 8002, "error"),
        (Fault::Input("why".into()), 8002, "Can't deserialize input: why"),
    ] {
        assert_eq!((fault.code(), &*fault.to_string()), (code, text));
    }
}
