//! When tokens are signed and which token a connection uses, with clocks that the tests own.

#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::http2::{
    AfterRejection, ClockSkew, KeyId, ProviderToken, Reason, TeamId, TokenBinding, TokenChoice, TokenError,
    TokenPolicy, TokenSource,
};
use apns_proto::{Now, WallTime};

/// Both clocks, which the test moves together or apart.
#[derive(Clone, Copy)]
struct Clocks {
    start: Instant,
    monotonic: u64,
    wall: u64,
}

impl Clocks {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made in any other way")]
        let start = Instant::now();
        Self { start, monotonic: 0, wall: 1_700_000_000 }
    }

    /// So many seconds after the start, by both clocks.
    fn at(self, seconds: u64) -> Now {
        self.apart(seconds, i64::try_from(seconds).unwrap())
    }

    /// So many minutes after the start, by both clocks.
    fn minute(self, minutes: u64) -> Now {
        self.at(minutes * 60)
    }

    fn apart(self, monotonic: u64, wall: i64) -> Now {
        let wall = self.wall.checked_add_signed(wall).unwrap();
        Now::new(self.start + Duration::from_secs(self.monotonic + monotonic), WallTime::from_secs(wall))
    }
}

fn source() -> SigningSource {
    let key = SigningKey::read(include_bytes!("../../apns-credentials/tests/keys/p8.pem")).unwrap();
    SigningSource::new(key, KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap())
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

#[test]
fn b67_age_counts_from_the_signature() {
    let (clocks, source) = (Clocks::new(), source());
    // Made at start, first used 45 minutes later by somebody else: its age goes on.
    let first = source.token(clocks.minute(0)).unwrap();
    assert_eq!(source.token(clocks.minute(45)).unwrap(), first);
    assert_eq!(source.token(clocks.at(50 * 60 - 1)).unwrap(), first);
    let second = source.token(clocks.minute(50)).unwrap();
    assert_ne!(second, first);
    assert_eq!(second.issued_at(), clocks.minute(50).wall);
    // And one first asked for at 45 minutes is good until its own 50.
    let source = self::source();
    let late = source.token(clocks.minute(45)).unwrap();
    assert_eq!(source.token(clocks.minute(55)).unwrap(), late);
    assert_eq!(source.token(clocks.minute(94)).unwrap(), late);
    assert_ne!(source.token(clocks.minute(95)).unwrap(), late);
}

#[test]
fn b67_never_renewed_below_twenty_minutes() {
    let key = SigningKey::read(include_bytes!("../../apns-credentials/tests/keys/p8.pem")).unwrap();
    let policy = TokenPolicy::default().renew_after(Duration::from_secs(1));
    let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let source = SigningSource::with_policy(key, key_id, team_id, policy);
    let clocks = Clocks::new();
    let first = source.token(clocks.at(0)).unwrap();
    assert_eq!(source.token(clocks.at(20 * 60 - 1)).unwrap(), first);
    assert_ne!(source.token(clocks.minute(20)).unwrap(), first);
}

#[test]
fn b68_ten_connections_need_two_signatures_an_hour() {
    let (clocks, source) = (Clocks::new(), source());
    let mut connections: Vec<TokenBinding> = (0..10).map(|_| TokenBinding::new()).collect();
    let mut seen: Vec<ProviderToken> = Vec::new();
    for second in (0..60 * 60).step_by(7) {
        let now = clocks.at(second);
        for connection in &mut connections {
            let offered = source.token(now).unwrap();
            assert!(matches!(connection.choose(now, &offered), TokenChoice::Use(_)));
            if !seen.contains(&offered) {
                seen.push(offered);
            }
        }
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn b68_threads_that_ask_at_once_get_one_token() {
    let (clocks, source) = (Clocks::new(), Arc::new(source()));
    let barrier = std::sync::Barrier::new(8);
    for round in 0..5 {
        let tokens: Vec<ProviderToken> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|number| {
                    let (source, barrier) = (&source, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        source.token(clocks.at(round * 3600 + number)).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]), "round {round}");
    }
}

#[test]
fn b69_a_connection_keeps_its_token_for_twenty_minutes() {
    let (clocks, source) = (Clocks::new(), source());
    let a = source.token(clocks.minute(0)).unwrap();
    let mut second = TokenBinding::new();
    assert_eq!(
        second.choose(clocks.minute(46), &source.token(clocks.minute(46)).unwrap()),
        TokenChoice::Use(a.clone())
    );
    let b = source.token(clocks.minute(50)).unwrap();
    assert_ne!(a, b);
    assert_eq!(second.choose(clocks.minute(51), &b), TokenChoice::Use(a.clone()), "still A");
    // When A gets too old before B may be used here, another connection takes over.
    assert_eq!(second.choose(clocks.minute(54), &b), TokenChoice::Use(a));
    assert_eq!(second.choose(clocks.minute(55), &b), TokenChoice::Replace);
    assert_eq!(TokenBinding::new().choose(clocks.minute(55), &b), TokenChoice::Use(b.clone()));
    // A connection that had A from the beginning may change at once, but not again soon.
    let mut first = TokenBinding::new();
    let a = source.token(clocks.minute(50)).unwrap();
    assert_eq!(first.choose(clocks.minute(50), &a), TokenChoice::Use(a));
    let c = source.token(clocks.minute(100)).unwrap();
    assert_eq!(first.choose(clocks.minute(100), &c), TokenChoice::Use(c));
}

#[test]
fn b69_never_two_changes_within_twenty_minutes_whatever_happens() {
    let clocks = Clocks::new();
    let key = SigningKey::read(include_bytes!("../../apns-credentials/tests/keys/p8.pem")).unwrap();
    let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    let mut connection = TokenBinding::new();
    let mut changes: Vec<u64> = Vec::new();
    let mut last = None;
    // A source that rotates every seven minutes, as several processes with one key might.
    for minute in 0..300 {
        let now = clocks.minute(minute);
        let offered = key.provider_token(&key_id, &team_id, clocks.minute(minute / 7 * 7));
        if let TokenChoice::Use(token) = connection.choose(now, &offered)
            && last.as_ref() != Some(&token)
        {
            changes.push(minute);
            last = Some(token);
        }
    }
    assert!(changes.len() > 5, "{changes:?}");
    assert!(changes.windows(2).all(|pair| pair[1] - pair[0] >= 20), "{changes:?}");
}

#[test]
fn b71_too_many_updates_keeps_the_token_and_leaves_the_connection() {
    let (clocks, source) = (Clocks::new(), source());
    let token = source.token(clocks.minute(0)).unwrap();
    let mut connection = TokenBinding::new();
    connection.choose(clocks.minute(0), &token);
    for minute in 1..10 {
        let after = source.rejected(clocks.minute(minute), &token, &Reason::TooManyProviderTokenUpdates, None);
        assert_eq!(after, AfterRejection::NewConnection);
        assert_eq!(source.token(clocks.minute(minute)).unwrap(), token, "nothing is signed");
    }
    connection.refused();
    assert_eq!(connection.choose(clocks.minute(10), &token), TokenChoice::Replace);
    assert_eq!(TokenBinding::new().choose(clocks.minute(10), &token), TokenChoice::Use(token));
}

#[test]
fn b73_a_wrong_clock_ends_in_an_error_that_names_it() {
    let (clocks, source) = (Clocks::new(), source());
    let skew = Some(ClockSkew::Behind(Duration::from_secs(3600)));
    let first = source.token(clocks.at(0)).unwrap();
    // Many requests under way report the same token.
    for _ in 0..5 {
        let after = source.rejected(clocks.at(1), &first, &Reason::ExpiredProviderToken, skew);
        assert_eq!(after, AfterRejection::NewConnection);
    }
    let second = source.token(clocks.at(2)).unwrap();
    assert_ne!(second, first);
    // Late reports about the first say nothing about the second.
    assert_eq!(
        source.rejected(clocks.at(3), &first, &Reason::ExpiredProviderToken, skew),
        AfterRejection::NewConnection
    );
    assert_eq!(source.token(clocks.at(3)).unwrap(), second);
    let after = source.rejected(clocks.at(4), &second, &Reason::ExpiredProviderToken, skew);
    let AfterRejection::Stop(error) = after else { panic!("{after:?}") };
    assert_eq!(error, TokenError::Clock { skew });
    assert!(error.to_string().contains("3600 s behind"), "{error}");
    // No loop of signatures.
    for second_later in 5..20 * 60 {
        assert_eq!(source.token(clocks.at(second_later)).unwrap(), second);
    }
    // Twenty minutes later it may be tried again.
    let after = source.rejected(clocks.minute(21), &second, &Reason::ExpiredProviderToken, None);
    assert_eq!(after, AfterRejection::NewConnection);
    assert_ne!(source.token(clocks.minute(21)).unwrap(), second);
}

#[test]
fn b73_the_new_token_is_for_new_connections_only() {
    let (clocks, source) = (Clocks::new(), source());
    let first = source.token(clocks.at(0)).unwrap();
    let (mut refused, mut other) = (TokenBinding::new(), TokenBinding::new());
    refused.choose(clocks.at(0), &first);
    other.choose(clocks.at(0), &first);
    source.rejected(clocks.at(60), &first, &Reason::ExpiredProviderToken, None);
    refused.refused();
    let second = source.token(clocks.at(61)).unwrap();
    assert_eq!(refused.choose(clocks.at(61), &second), TokenChoice::Replace);
    assert_eq!(other.choose(clocks.at(61), &second), TokenChoice::Use(first));
    assert_eq!(TokenBinding::new().choose(clocks.at(61), &second), TokenChoice::Use(second));
}

#[test]
fn b74_either_clock_makes_a_token_old() {
    let clocks = Clocks::new();
    for (monotonic, wall, renewed) in [
        (1, 2 * HOUR, true),
        (1, -10 * MINUTE, true),
        (3000, 1, true),
        (1, 50 * MINUTE, true),
        (21 * 60, -10 * MINUTE, true),
        // Set by an hour, and by more than a minute.
        (1, 49 * MINUTE, true),
        (49 * 60, 1, true),
        (1, 62, true),
        (62, 1, true),
        (1, 60, false),
        (1, -2, false),
        (49 * 60, 49 * MINUTE, false),
    ] {
        let source = source();
        let first = source.token(clocks.at(0)).unwrap();
        let now = clocks.apart(monotonic, wall);
        assert_eq!(source.token(now).unwrap() != first, renewed, "{monotonic} s, by the wall {wall} s");
    }
}

#[test]
fn b74_a_clock_that_was_set_has_a_token_signed_at_once_whatever_its_age() {
    for step in [2 * HOUR, -2 * HOUR, 61, -61] {
        let (clocks, source) = (Clocks::new(), source());
        source.token(clocks.at(0)).unwrap();
        // Wrong after a second, and right again after two.
        let wrong = source.token(clocks.apart(1, 1 + step)).unwrap();
        let right = source.token(clocks.at(2)).unwrap();
        assert_eq!(wrong.issued_at(), clocks.apart(1, 1 + step).wall);
        assert_eq!(right.issued_at(), clocks.at(2).wall, "set by {step} s");
        assert_eq!(source.token(clocks.at(3)).unwrap(), right, "and then kept");
        // Also where the service has called one expired before.
        let refused = source.rejected(clocks.at(4), &right, &Reason::ExpiredProviderToken, None);
        assert_eq!(refused, AfterRejection::Stop(TokenError::Clock { skew: None }), "it was signed just now");
        let again = source.token(clocks.apart(5, 5 + step)).unwrap();
        assert_eq!(again.issued_at(), clocks.apart(5, 5 + step).wall);
    }
}

#[test]
fn b74_a_clock_that_jumps_all_the_time_costs_no_connections() {
    let (clocks, source) = (Clocks::new(), source());
    let mut connection = TokenBinding::new();
    let mut used = Vec::new();
    for second in 1..=60 * 60_u64 {
        let wall = if second % 2 == 0 { 3 * HOUR } else { -3 * HOUR } + i64::try_from(second).unwrap();
        let now = clocks.apart(second, wall);
        let TokenChoice::Use(token) = connection.choose(now, &source.token(now).unwrap()) else {
            panic!("replaced after {second} s")
        };
        if used.last() != Some(&token) {
            used.push(token);
        }
    }
    assert_eq!(used.len(), 3, "the first, and one each 20 minutes");
}

#[test]
fn b75_after_an_idle_hour_the_first_request_has_a_new_token() {
    let (clocks, source) = (Clocks::new(), source());
    let first = source.token(clocks.minute(0)).unwrap();
    let mut connection = TokenBinding::new();
    connection.choose(clocks.minute(0), &first);
    let offered = source.token(clocks.minute(61)).unwrap();
    assert_ne!(offered, first);
    assert_eq!(connection.choose(clocks.minute(61), &offered), TokenChoice::Use(offered));
}

#[test]
fn what_no_token_can_mend_stops() {
    let (clocks, source) = (Clocks::new(), source());
    let token = source.token(clocks.at(0)).unwrap();
    for reason in [Reason::InvalidProviderToken, Reason::BadEnvironmentKeyIdInToken, Reason::Forbidden] {
        let after = source.rejected(clocks.at(1), &token, &reason, Some(ClockSkew::Ahead(Duration::from_secs(2))));
        assert_eq!(after, AfterRejection::Stop(TokenError::Refused(reason)));
        assert_eq!(source.token(clocks.at(1)).unwrap(), token);
    }
    // A token from the future may be called invalid, so with a clock that is far off it is the clock's fault.
    let skew = Some(ClockSkew::Ahead(Duration::from_secs(3600)));
    let after = source.rejected(clocks.at(2), &token, &Reason::InvalidProviderToken, skew);
    assert_eq!(after, AfterRejection::NewConnection);
    let second = source.token(clocks.at(3)).unwrap();
    let after = source.rejected(clocks.at(4), &second, &Reason::InvalidProviderToken, skew);
    assert_eq!(after, AfterRejection::Stop(TokenError::Clock { skew }));
}

#[test]
fn nothing_of_a_source_is_printed() {
    let source = source();
    let token = source.token(Clocks::new().at(0)).unwrap();
    let mut connection = TokenBinding::new();
    connection.choose(Clocks::new().at(0), &token);
    let printed = format!("{source:?} {connection:?}");
    assert!(!printed.contains("eyJ") && printed.contains("ABC123DEFG"), "{printed}");
}

fn shared_source() -> SigningSource {
    let key = SigningKey::read(include_bytes!("../../apns-credentials/tests/keys/p8.pem")).unwrap();
    let (key_id, team_id) = (KeyId::new("ABC123DEFG").unwrap(), TeamId::new("DEF123GHIJ").unwrap());
    SigningSource::with_policy(key, key_id, team_id, TokenPolicy::shared())
}

/// So far into the pretended hours of these tests, on a clock that is some seconds wrong, after a day without anything: what is
/// issued at a full half hour may have to be issued before the start.
fn wrong_by(clocks: Clocks, seconds: u64, wrong: i64) -> Now {
    clocks.apart(24 * 3600 + seconds, 24 * HOUR + i64::try_from(seconds).unwrap() + wrong)
}

#[test]
fn processes_that_share_a_key_sign_the_same_token_at_the_same_time() {
    let clocks = Clocks::new();
    let wrong = [0, 90, -90];
    let mut nodes: Vec<_> = wrong.iter().map(|_| shared_source()).collect();
    // Who saw which token: the text, and when it was first and last used.
    let mut used: Vec<(String, u64, u64)> = Vec::new();
    for second in (0..3 * 3600).step_by(7) {
        // Each of them is restarted now and then.
        if second % 11 == 0 {
            nodes[usize::try_from(second % 3).unwrap()] = shared_source();
        }
        for (node, wrong) in nodes.iter().zip(wrong) {
            let token = node.token(wrong_by(clocks, second, wrong)).unwrap();
            match used.iter_mut().find(|(text, ..)| text == token.jwt()) {
                Some((.., last)) => *last = second,
                None => used.push((token.jwt().to_owned(), second, second)),
            }
        }
    }
    assert!((6..=8).contains(&used.len()), "{}", used.len());
    for second in 0..3 * 3600 {
        let at_a_time = used.iter().filter(|(_, first, last)| (*first..=*last).contains(&second)).count();
        assert!(at_a_time <= 2, "{at_a_time} at {second}");
    }
    // The first is in use already when the hours begin.
    for pair in used[1..].windows(2) {
        assert!(pair[1].1 - pair[0].1 >= 20 * 60, "{pair:?}");
    }
}

#[test]
fn a_shared_token_that_is_called_expired_is_followed_by_another_one() {
    let clocks = Clocks::new();
    // Whatever the half hour has reached when it happens.
    for minute in 0..60 {
        let source = shared_source();
        let now = wrong_by(clocks, minute * 60, 0);
        let first = source.token(now).unwrap();
        assert!(first.issued_at() <= now.wall && first.issued_at().as_secs().is_multiple_of(1800));
        assert_eq!(source.rejected(now, &first, &Reason::ExpiredProviderToken, None), AfterRejection::NewConnection);
        let second = source.token(now).unwrap();
        assert_eq!(second.issued_at(), now.wall, "another one, whatever the half hour");
        // It lasts for 20 minutes at least and 50 at most, and then comes that of a half hour.
        let (mut later, mut third) = (0, second.clone());
        while third == second {
            later += 1;
            third = source.token(wrong_by(clocks, minute * 60 + later, 0)).unwrap();
        }
        assert!((20 * 60..=50 * 60).contains(&later), "{minute}: {later}");
        assert_eq!(third.issued_at().as_secs() % 1800, 0);
        // The service has not been told of two changes within 20 minutes.
        assert_eq!(source.token(wrong_by(clocks, minute * 60 + later + 20 * 60 - 1, 0)).unwrap(), third);
    }
}

#[test]
fn a_shared_token_is_signed_again_when_the_clock_was_set() {
    let (clocks, source) = (Clocks::new(), shared_source());
    let before = source.token(wrong_by(clocks, 60, 0)).unwrap();
    assert_eq!(source.token(wrong_by(clocks, 70, 59)).unwrap(), before, "a clock may drift");
    let after = source.token(wrong_by(clocks, 80, 7200)).unwrap();
    assert_eq!(after.issued_at(), before.issued_at().saturating_add(Duration::from_secs(7200)));
}
