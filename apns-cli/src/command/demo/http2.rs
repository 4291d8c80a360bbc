//! The part about the HTTP/2 provider API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use apns_credentials::{SigningKey, SigningSource};
use apns_proto::http2::{AfterRejection, ClockSkew, KeyId, ProviderToken, Reason, TeamId, TokenError, TokenSource};
use apns_proto::{
    CloseReason, DeviceToken, InvalidTokens, LinkReport, Now, Outcome, Payload, Rejection, RetryPolicy, Topic, WallTime,
};
use apns_sim::{
    Http2Condition, Http2GoAway, Http2Rule, Http2Script, Http2Step, LastStream, Script, Simulator, TokenPattern,
    Unregistered,
};
use apns_tokio::{Client, Credentials, Endpoint, Roots};

use super::device::{short, token};
use super::run::Run;
use super::{LIMIT, Story};
use crate::exit::Failure;
use crate::row::Tally;

/// How many are sent.
const COUNT: u32 = 1000;

/// Which of them go to a device that the service does not know.
const BAD: [u32; 3] = [21, 500, 998];

/// Which of them go to a device that lost the app.
const GONE: [u32; 2] = [77, 640];

/// After how many requests of its connection the service allows one at a time only.
const NARROW_AFTER: u64 = 150;

/// After how many requests of its connection the service goes away.
const AWAY_AFTER: u64 = 400;

/// For how long one at a time is allowed.
const NARROW_FOR_MS: u64 = 100;

const TOPIC: &str = "com.example.tea";

/// The computer was asleep for two hours: the first token it hands out is that old.
#[derive(Debug)]
struct Overslept {
    old: ProviderToken,
    refused: AtomicBool,
    signing: SigningSource,
}

impl TokenSource for Overslept {
    fn token(&self, now: Now) -> Result<ProviderToken, TokenError> {
        if self.refused.load(Ordering::Acquire) { self.signing.token(now) } else { Ok(self.old.clone()) }
    }

    fn rejected(&self, now: Now, token: &ProviderToken, reason: &Reason, skew: Option<ClockSkew>) -> AfterRejection {
        self.refused.store(true, Ordering::Release);
        self.signing.rejected(now, token, reason, skew)
    }
}

fn script(gone_since: WallTime) -> Script {
    let second = || Http2Condition::default().connection(2);
    let narrow = Http2Rule::new(
        second().arrival_in_connection(NARROW_AFTER),
        [Http2Step::Answer, Http2Step::StreamLimit(1), Http2Step::WaitMs(NARROW_FOR_MS), Http2Step::StreamLimit(1000)],
    );
    let away = Http2Rule::new(
        second().arrival_in_connection(AWAY_AFTER),
        [Http2Step::GoAway(Http2GoAway::new("Shutdown").last_stream(LastStream::Before))],
    );
    let mut http2 = Http2Script::default().rule(narrow).rule(away);
    for n in GONE {
        let device = Unregistered::new(TokenPattern::exact(token(n)));
        http2 = http2.unregistered(device.timestamp_ms(gone_since.as_millis()));
    }
    BAD.into_iter()
        .fold(Script::default(), |script, n| script.invalid_token(TokenPattern::exact(token(n))))
        .http2(http2)
}

/// Tells it.
pub(super) async fn tell(story: &mut Story) -> Result<(), Failure> {
    let now = Now::new(Instant::now(), SystemTime::now().into());
    let gone_since = WallTime::from_secs(now.wall.as_secs() - 86_400);
    story.line("The HTTP/2 provider API, over TLS, against a simulator on this machine\n");
    let simulator = Simulator::builder().script(script(gone_since)).start().await?;
    story.line(format_args!("  provider API  {}\n", simulator.http2_address()));

    let payload = Payload::builder().title("Tea").body("is ready").build()?;
    let (bad, gone) = (BAD.len(), GONE.len());
    story.line(format_args!(
        "{COUNT} notifications are sent: {bad} of them to devices that the service does not know, {gone} to devices that"
    ));
    story.line(
        "lost the app. And it is a bad day: the provider token at hand is two hours old; then the service allows",
    );
    story.line(format_args!(
        "one request at a time for a while (after {NARROW_AFTER}), and goes away in the middle (at {AWAY_AFTER}).\n"
    ));

    let started = Instant::now();
    let sent = send(story, &simulator, &payload, now).await?;
    let elapsed = started.elapsed();
    story.line(format_args!("\nAll of that took {} ms. What became of the {COUNT}:\n", elapsed.as_millis()));
    table(story, &sent);
    verify(story, &simulator, &sent, gone_since);
    simulator.stop().await;
    Ok(())
}

/// What was sent, and what was heard of it.
struct Sent {
    run: Run,
    /// How many connections ended because the service went away.
    gone_away: usize,
}

fn credentials(simulator: &Simulator, now: Now) -> Result<Credentials, Failure> {
    let key = SigningKey::read(simulator.signing_key_pem().as_bytes())
        .map_err(|error| Failure::Key { place: "the simulator".to_owned(), error })?;
    let id = |error| Failure::Usage(format!("the simulator's ids: {error}"));
    let key_id = KeyId::new(simulator.key_id()).map_err(id)?;
    let team_id = TeamId::new(simulator.team_id()).map_err(id)?;
    let asleep = Duration::from_secs(2 * 60 * 60);
    let then = Now::new(now.instant, WallTime::from_secs(now.wall.as_secs() - asleep.as_secs()));
    let old = key.provider_token(&key_id, &team_id, then);
    let signing = SigningSource::new(key, key_id, team_id);
    let source: Arc<dyn TokenSource> = Arc::new(Overslept { old, refused: AtomicBool::new(false), signing });
    Ok(source.into())
}

async fn send(story: &mut Story, simulator: &Simulator, payload: &Payload, now: Now) -> Result<Sent, Failure> {
    let endpoint = Endpoint::new("localhost", simulator.http2_address().port());
    let roots = Roots::only_pem(simulator.ca_pem().as_bytes())
        .map_err(|error| Failure::Roots { path: "the simulator".into(), error })?;
    let topic = Topic::new(TOPIC).map_err(|error| Failure::Usage(error.to_string()))?;
    let client = Client::http2(endpoint.clone(), credentials(simulator, now)?)
        .topic(topic)
        .roots(roots)
        .retry(RetryPolicy::default().with_retries(1))
        .request_timeout(LIMIT)
        .patience(LIMIT)
        .start()
        .map_err(Failure::Start)?;
    let mut gone_away = 0;
    let run = Run::of(story, client, &endpoint, (COUNT, payload), |story, report| {
        gone_away += usize::from(matches!(report.reason, CloseReason::GoAway { .. }));
        tell_end(story, report);
    })
    .await;
    match run.trouble {
        Some(trouble) if run.connections == 0 => Err(trouble.into()),
        Some(_) | None => Ok(Sent { run, gone_away }),
    }
}

fn tell_end(story: &mut Story, report: &LinkReport) {
    let LinkReport { link, reason, sent_again, .. } = report;
    story.line(format_args!("Connection {link} ended: {reason}."));
    if *sent_again > 0 {
        story.line(format_args!("  {sent_again} that it did not process go out again on the next"));
    }
}

fn table(story: &mut Story, sent: &Sent) {
    let mut tally = Tally::default();
    let mut answers: BTreeMap<(&str, u16, &str), u64> = BTreeMap::new();
    for (outcome, _) in sent.run.outcomes.values() {
        tally.add(outcome.word());
        let (status, reason) = match outcome {
            Outcome::Rejected(rejection) => (rejection.status(), rejection.reason()),
            _ => (200, ""),
        };
        *answers.entry((outcome.word(), status, reason)).or_default() += 1;
    }
    story.line("  outcome    status                  how many");
    for ((word, status, reason), count) in &answers {
        story.line(format_args!("  {word:<9}  {status} {reason:<16}  {count:>10}"));
    }
    story.line(format_args!("  {:<9}  {:<20}  {:>10}\n", "together", "", tally.total()));
    story.check("outcomes", &tally.total(), &u64::from(COUNT));
    story.check("accepted", &tally.of("accepted"), &(u64::from(COUNT) - (BAD.len() + GONE.len()) as u64));
    story.check("rejected", &tally.of("rejected"), &((BAD.len() + GONE.len()) as u64));
}

/// Compares what the client says with what the service wrote down.
fn verify(story: &mut Story, simulator: &Simulator, sent: &Sent, gone_since: WallTime) {
    let mut took: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut stale = 0_usize;
    for request in simulator.requests() {
        let device = request.token.clone().unwrap_or_default().to_vec();
        *took.entry(device).or_default() += u32::from(request.accepted());
        stale += usize::from(request.reason.as_deref() == Some("ExpiredProviderToken"));
    }
    let mut invalid = InvalidTokens::new();
    let mut wrong = Vec::new();
    for n in 1..=COUNT {
        let device = DeviceToken::from_bytes(token(n)).expect("32 bytes are a token");
        let outcome = sent.run.outcomes.get(&n).map(|(outcome, _)| outcome.clone());
        let said = match &outcome {
            Some(Outcome::Accepted { .. }) => !BAD.contains(&n) && !GONE.contains(&n),
            Some(Outcome::Rejected(Rejection::Provider(rejection))) => match rejection.status() {
                400 => BAD.contains(&n) && rejection.reason() == Some(&Reason::BadDeviceToken),
                410 => GONE.contains(&n) && rejection.timestamp() == Some(gone_since),
                _ => false,
            },
            _ => false,
        };
        if let Some(outcome) = &outcome {
            invalid.note_outcome(&device, None, outcome);
        }
        let accepted = u32::from(outcome.is_some_and(|outcome| outcome.is_accepted()));
        if !said || took.get(&token(n)[..]).copied().unwrap_or(0) != accepted {
            wrong.push(n);
        }
    }
    story.check("notifications of which client and service tell different stories", &wrong, &vec![]);
    story.check("notifications with more than one outcome", &sent.run.repeated, &0);
    story.check("connections", &simulator.counts().http2_connections, &sent.run.connections);
    story.check("times the service went away", &sent.gone_away, &1);
    story.check("refusals of the old provider token", &stale, &1);

    let registered_before = WallTime::from_secs(gone_since.as_secs() - 1);
    invalid.confirm_environment();
    let dropped: Vec<u32> = (1..=COUNT)
        .filter(|n| {
            let device = DeviceToken::from_bytes(token(*n)).expect("32 bytes are a token");
            invalid.drops(&device, None, registered_before)
        })
        .collect();
    let mut expected: Vec<u32> = BAD.into_iter().chain(GONE).collect();
    expected.sort_unstable();
    story.line("Device tokens to forget, unless the app registered them again since:");
    for n in &dropped {
        story.line(format_args!("  number {n:>3}  {}", short(*n)));
    }
    story.line("");
    story.check("tokens to forget", &dropped, &expected);
}
