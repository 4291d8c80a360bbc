//! The part about the binary gateway and the feedback service.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use apns_proto::binary::{Config, ErrorResponse, FeedbackRecord, Format, Frame, Status};
use apns_proto::internal::to_hex;
use apns_proto::{CloseReason, LinkReport, Outcome, Payload, PlanSummary, Proof, WallTime};
use apns_sim::{Entry, FeedbackScript, Script, Simulator};
use apns_tokio::feedback::fetch;
use apns_tokio::{Client, Endpoint, Identity, Roots};
use bytes::BytesMut;
use futures_util::StreamExt;

use super::device::{short, token};
use super::run::Run;
use super::{LIMIT, Story};
use crate::calendar::Date;
use crate::exit::Failure;
use crate::row::Tally;
use crate::trouble::Trouble;

/// How many are sent.
const COUNT: u32 = 1000;

/// Which of them go to a device that the service does not know: one early, two next to each other, the last but one.
const BAD: [u32; 4] = [17, 404, 405, 999];

/// How many devices lost the app.
const GONE: [u32; 3] = [8, 250, 700];

/// A script that knows all devices but the bad ones, and has some in the feedback service.
fn script(since: u64) -> Script {
    let mut script = BAD
        .into_iter()
        .fold(Script::default(), |script, n| script.invalid_token(apns_sim::TokenPattern::exact(token(n))));
    let since = u32::try_from(since).unwrap_or(u32::MAX);
    let feedback = GONE.into_iter().fold(FeedbackScript::default(), |feedback, n| feedback.record(token(n), since));
    script = script.feedback(feedback);
    script
}

/// Whom to connect to, and how.
struct Apple {
    simulator: Simulator,
    roots: Roots,
    identity: Identity,
}

impl Apple {
    async fn start(since: u64) -> Result<Self, Failure> {
        let simulator = Simulator::builder().script(script(since)).start().await?;
        let roots = Roots::only_pem(simulator.ca_pem().as_bytes())
            .map_err(|error| Failure::Roots { path: "the simulator".into(), error })?;
        let (certificate, key) = (simulator.client_certificate_pem(), simulator.client_key_pem());
        let identity = Identity::from_pem(certificate.as_bytes(), Some(key.as_bytes()), None)
            .map_err(|error| Failure::Identity { place: "the simulator".to_owned(), error })?;
        Ok(Self { simulator, roots, identity })
    }
}

/// Tells it.
pub(super) async fn tell(story: &mut Story) -> Result<(), Failure> {
    let now = WallTime::from(SystemTime::now()).as_secs();
    let since = now - 86_400;
    story.line("The binary protocol, over TLS, against a simulator on this machine\n");
    let apple = Apple::start(since).await?;
    story.line(format_args!("  gateway           {}", apple.simulator.gateway_address()));
    story.line(format_args!("  feedback service  {}\n", apple.simulator.feedback_address()));

    let payload = Payload::builder().title("Tea").body("is ready").build()?;
    story.line(format_args!("{COUNT} notifications are sent, each with this payload of {} bytes:", payload.size()));
    story.line(format_args!("  {}", String::from_utf8_lossy(payload.as_bytes())));
    story.line(format_args!("The devices of these {} are unknown to the service:", BAD.len()));
    for n in BAD {
        story.line(format_args!("  number {n:>3}  {}", short(n)));
    }
    story.line("The first one as it is written (apns decode shows its fields):");
    story.line(format_args!("  {}\n", to_hex(&first_frame(&payload))));
    story
        .line("The gateway is silent about what it takes. About what it refuses it sends an error frame of six bytes:");
    story.line(
        "08, a status, and the identifier, which counts from 1 on each connection. Then it closes, and throws away",
    );
    story.line("what was written behind. A probe, a frame without a token, makes it speak where all was good.\n");

    let started = Instant::now();
    let sent = send(story, &apple, &payload).await?;
    let elapsed = started.elapsed();
    story.line(format_args!("\nAll of that took {} ms. What became of the {COUNT}:\n", elapsed.as_millis()));
    table(story, &sent);
    verify(story, &apple, &sent);

    feedback(story, &apple, since).await?;
    apple.simulator.stop().await;
    Ok(())
}

fn first_frame(payload: &Payload) -> BytesMut {
    let mut out = BytesMut::new();
    let frame = Frame {
        format: Format::Items,
        identifier: 1,
        expiration: None,
        priority: None,
        token: &token(1),
        payload: payload.as_bytes(),
    };
    apns_proto::binary::encode(&frame, &mut out).expect("32 and some dozens of bytes fit lengths of 16 bits");
    out
}

/// What was sent, and what was heard of it.
struct Sent {
    run: Run,
    plans: Vec<PlanSummary>,
}

async fn send(story: &mut Story, apple: &Apple, payload: &Payload) -> Result<Sent, Failure> {
    let endpoint = Endpoint::new("localhost", apple.simulator.gateway_address().port());
    let client = Client::binary(endpoint.clone(), apple.identity.clone())
        .roots(apple.roots.clone())
        // All is proven here; on a machine that is busy with other things silence must not count as a yes.
        .config(Config::default().with_quiet_time(LIMIT))
        .patience(LIMIT)
        .start()
        .map_err(Failure::Start)?;
    let mut plans = Vec::new();
    let run =
        Run::of(story, client, &endpoint, (COUNT, payload), |story, report| tell_end(story, &mut plans, report)).await;
    match run.trouble {
        Some(trouble) if plans.is_empty() => Err(trouble.into()),
        Some(_) | None => Ok(Sent { run, plans }),
    }
}

fn tell_end(story: &mut Story, plans: &mut Vec<PlanSummary>, report: &LinkReport) {
    let link = report.link;
    let CloseReason::ErrorResponse(plan) = &report.reason else {
        story.line(format_args!("Connection {link} ended: {}.", report.reason));
        return;
    };
    plans.push(*plan);
    let ErrorResponse { status, identifier } = plan.response;
    let mut frame = BytesMut::new();
    plan.response.emit(&mut frame);
    let frame = format!("{} {} {}", to_hex(&frame[..1]), to_hex(&frame[1..2]), to_hex(&frame[2..]));
    story.line(format_args!("Connection {link} ended."));
    story.line(format_args!("  error frame  {frame}: status {status}, identifier {identifier}"));
    if plan.answers_probe {
        story.line(format_args!(
            "  plan         it answers the probe behind the last notification: all {} before it accepted",
            plan.accepted
        ));
        return;
    }
    story.line(format_args!(
        "  plan         {} accepted (written before it), {} rejected, {} to be sent again (written after it)",
        plan.accepted,
        plan.rejected,
        plan.discarded + plan.not_written
    ));
}

fn table(story: &mut Story, sent: &Sent) {
    let mut tally = Tally::default();
    let mut attempts: BTreeMap<(&str, u32), u64> = BTreeMap::new();
    for (outcome, written) in sent.run.outcomes.values() {
        tally.add(outcome.word());
        *attempts.entry((outcome.word(), *written)).or_default() += 1;
    }
    story.line("  outcome    written    how many");
    for ((word, written), count) in &attempts {
        let times = if *written == 1 { "once".to_owned() } else { format!("{written} times") };
        story.line(format_args!("  {word:<9}  {times:<9}  {count:>8}"));
    }
    story.line(format_args!("  {:<9}  {:<9}  {:>8}\n", "together", "", tally.total()));
    story.check("outcomes", &tally.total(), &u64::from(COUNT));
    story.check("accepted", &tally.of("accepted"), &(u64::from(COUNT) - BAD.len() as u64));
    story.check("rejected", &tally.of("rejected"), &(BAD.len() as u64));
}

/// Compares what the client says with what the gateway wrote down.
fn verify(story: &mut Story, apple: &Apple, sent: &Sent) {
    let mut took: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut refused: BTreeMap<Vec<u8>, Vec<Option<Status>>> = BTreeMap::new();
    let mut probes = 0_usize;
    apple.simulator.inspect(|log| {
        for entry in log.entries() {
            match entry {
                Entry::Notification(record) if record.accepted() => {
                    *took.entry(record.token.to_vec()).or_default() += 1;
                }
                Entry::Notification(record) => refused.entry(record.token.to_vec()).or_default().push(record.status()),
                Entry::Probe(_) => probes += 1,
                _ => {}
            }
        }
    });
    let mut wrong = Vec::new();
    for n in 1..=COUNT {
        let bad = BAD.contains(&n);
        let outcome = sent.run.outcomes.get(&n).map(|(outcome, _)| outcome.clone());
        let said = match &outcome {
            Some(Outcome::Accepted { proof: Proof::Confirmed, .. }) => !bad,
            Some(Outcome::Rejected(rejection)) => bad && rejection.status() == u16::from(Status::INVALID_TOKEN.raw()),
            _ => false,
        };
        let written_down = took.get(&token(n)[..]).copied().unwrap_or(0) == u32::from(!bad)
            && refused.get(&token(n)[..]).map(Vec::as_slice) == bad.then_some(&[Some(Status::INVALID_TOKEN)][..]);
        if !said || !written_down {
            wrong.push(n);
        }
    }
    story.check("notifications of which client and gateway tell different stories", &wrong, &vec![]);
    story.check("notifications with more than one outcome", &sent.run.repeated, &0);
    let by_plan = |of: fn(&PlanSummary) -> usize| sent.plans.iter().map(of).sum::<usize>();
    story.check("accepted by the plans", &by_plan(|plan| plan.accepted), &(COUNT as usize - BAD.len()));
    story.check("rejected by the plans", &by_plan(|plan| plan.rejected), &BAD.len());
    story.check("left in doubt by the plans", &by_plan(|plan| plan.unknown), &0);
    story.check("probes that arrived", &probes, &by_plan(|plan| usize::from(plan.answers_probe)));
    let counts = apple.simulator.counts();
    story.check("connections", &counts.gateway_connections, &sent.run.connections);
    story.check("accepted by the gateway", &counts.accepted, &(u64::from(COUNT) - BAD.len() as u64));
    story.check("refused by the gateway", &counts.refused, &(BAD.len() as u64));
}

async fn feedback(story: &mut Story, apple: &Apple, since: u64) -> Result<(), Failure> {
    story.line("The feedback service lists the devices on which the app is gone:");
    let listed = read_feedback(apple).await?;
    for record in &listed {
        let n = number_of(record);
        let shown = n.map_or_else(|| to_hex(&record.token), short);
        let n = n.map_or_else(|| "?".to_owned(), |n| n.to_string());
        story.line(format_args!("  number {n:>3}  {shown}  since {}", Date(record.timestamp.as_secs())));
    }
    let again = read_feedback(apple).await?;
    story.line(format_args!("It forgets what it has told. A second reading finds {}.\n", again.len()));
    let found: Vec<_> = listed.iter().map(|record| (number_of(record), record.timestamp.as_secs())).collect();
    story.check("feedback records", &found, &GONE.iter().map(|n| (Some(*n), since)).collect());
    story.check("feedback records at the second reading", &again.len(), &0);
    Ok(())
}

fn number_of(record: &FeedbackRecord) -> Option<u32> {
    (1..=COUNT).find(|n| token(*n) == record.token[..])
}

async fn read_feedback(apple: &Apple) -> Result<Vec<FeedbackRecord>, Failure> {
    let endpoint = Endpoint::new("localhost", apple.simulator.feedback_address().port());
    let mut records = fetch(endpoint.clone(), apple.identity.clone())
        .roots(apple.roots.clone())
        .connect_timeout(LIMIT)
        .idle_time(LIMIT)
        .start()
        .map_err(Failure::Start)?;
    let mut listed = Vec::new();
    while let Some(record) = records.next().await {
        listed.push(record.map_err(|failure| Trouble::other(&endpoint, failure))?);
    }
    Ok(listed)
}
