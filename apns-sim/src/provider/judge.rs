//! Decides about each request, and writes it down.

use std::sync::Arc;
use std::time::Duration;

use apns_driver::apns_credentials::Certificate;

use crate::machine::{Answer, Judge, ProviderRequest, Step, Verdict};
use apns_proto::internal::asked;
use apns_proto::{ApnsId, Now};
use bytes::Bytes;

use super::asked::Asked;
use super::channels::ChannelStore;
use super::checks::{Client, bad, check_push};
use super::deviation::Remarks;
use super::record::{AuthenticatedBy, RequestRecord};
use super::switch::CutSwitch;
use super::tokens::{ConnectionTokens, SigningKeyPair};
use crate::log::{Entry, Keep};
use crate::script::{
    Arrival, Http2Answer, Http2GoAway, Http2Play, Http2Script, Http2Step, LastStream, Play, RequestKind, Script, mix,
};
use crate::state::{Core, State};

/// How many streams a client may have open, unless the script says otherwise (seen at Apple's servers in 2021).
const STREAM_LIMIT: u32 = 1000;

/// The header that says what no reason of Apple's says.
const DETAIL: &str = "apns-sim-detail";

pub(crate) fn stream_limit(script: &Http2Script) -> u32 {
    script.stream_limit.unwrap_or(STREAM_LIMIT)
}

/// What all connections to the provider API share, besides the log.
#[derive(Debug, Default)]
pub(crate) struct ProviderState {
    play: Http2Play,
    pub(crate) channels: ChannelStore,
    /// How many ids were made.
    ids: u64,
}

impl ProviderState {
    pub(crate) fn new(script: &Script) -> Self {
        Self { play: Http2Play::new(script), ..Self::default() }
    }

    /// Starts another script; channels stay.
    pub(crate) fn set_script(&mut self, script: &Script) {
        self.play = Http2Play::new(script);
    }

    pub(crate) fn change_script(&mut self, old: &Script, new: &Script) {
        self.play.change(old, new);
    }

    /// A UUID that nobody had before.
    fn make_id(&mut self, seed: u64) -> ApnsId {
        self.ids += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&mix(seed ^ mix(self.ids)).to_be_bytes());
        bytes[8..].copy_from_slice(&mix(self.ids).to_be_bytes());
        ApnsId::from_random(bytes)
    }
}

/// What does not change while a simulator runs.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) key: SigningKeyPair,
    /// The topics of the client certificate.
    pub(crate) topics: Arc<[String]>,
    /// Whether what Apple's recipes do and its pages do not allow is taken.
    pub(crate) lenient: bool,
}

impl Trust {
    /// The topics that a client's certificate is for. One without Apple's marks counts as the simulator's own.
    pub(crate) fn topics_of(&self, shown: &[u8]) -> Arc<[String]> {
        match Certificate::from_der(shown) {
            Ok(shown) if !shown.topics().is_empty() => shown.topics().into(),
            Ok(_) | Err(_) => Arc::clone(&self.topics),
        }
    }
}

/// Judges the requests of one connection.
#[derive(Debug)]
pub(crate) struct ScriptedJudge {
    pub(super) core: Arc<Core>,
    pub(super) trust: Arc<Trust>,
    pub(super) connection: u64,
    /// The topics of the certificate that the client showed.
    pub(super) certified: Option<Arc<[String]>>,
    /// Whether the limit of streams rises after the first good provider token.
    pub(super) limited: bool,
    pub(super) close_after: Option<u64>,
    pub(super) switch: Arc<CutSwitch>,
    pub(super) tokens: ConnectionTokens,
    pub(super) arrivals: u64,
}

impl Judge for ScriptedJudge {
    fn judge(&mut self, now: Now, request: &ProviderRequest) -> Verdict {
        self.arrivals += 1;
        let asked = Asked::read(request);
        let core = Arc::clone(&self.core);
        let mut guard = core.lock();
        let State { log, play, provider, armed, .. } = &mut *guard;
        log.counts.requests += 1;
        let seq = log.counts.requests;
        let seed = play.script().seed;

        let mut remarks = Remarks::new(self.trust.lenient);
        let client = self.authenticate(now, &play.script().http2, &asked, &mut remarks);
        let token = asked.token();
        let by_hand = match asked.kind {
            RequestKind::Push => armed.take_http2(token.as_deref().unwrap_or_default()),
            RequestKind::Broadcast | RequestKind::Channels | RequestKind::Other => None,
        };
        let armed = by_hand.is_some();
        let arrival = Arrival {
            kind: asked.kind,
            connection: self.connection,
            number: seq,
            number_in_connection: self.arrivals,
            token: token.as_deref().unwrap_or_default(),
            topic: asked.topic(),
            push_type: asked.text("apns-push-type"),
            payload: request.body(),
            ..Arrival::default()
        };
        let steps = by_hand.or_else(|| provider.play.decide(play.script(), &arrival));
        let mut steps = steps.unwrap_or_else(|| vec![Http2Step::Answer]);
        let mut judged = None;
        for step in &mut steps {
            if matches!(step, Http2Step::Answer) {
                let answer = judged.get_or_insert_with(|| {
                    let answer = answer(&asked, &client, play, provider, now, &mut remarks);
                    let detail = remarks.detail();
                    detail.into_iter().fold(answer, |answer, detail| answer.header(DETAIL, detail))
                });
                *step = Http2Step::AnswerWith(answer.clone());
            }
        }
        if self.close_after.is_some_and(|limit| limit <= self.arrivals) {
            steps.push(Http2Step::Close);
        }

        let name = match asked.kind {
            RequestKind::Push | RequestKind::Other => "apns-id",
            RequestKind::Broadcast | RequestKind::Channels => "apns-request-id",
        };
        // As it was sent, in the case that it was sent in.
        let sent = asked::uuid(request, name).ok().flatten().and_then(|_| asked.text(name)).map(str::to_owned);
        let id = sent.unwrap_or_else(|| provider.make_id(seed).to_string());
        let unique = play.script().http2.unique_ids && asked.kind == RequestKind::Push;
        let unique_id = unique.then(|| provider.make_id(seed).to_string());
        let plan = Plan { names: [(name, Some(&id)), ("apns-unique-id", unique_id.as_deref())], switch: &self.switch };
        if self.limited && client.is_ok() && first_answer(&steps).is_some() {
            self.limited = false;
            raise_limit(&mut steps, stream_limit(&play.script().http2));
        }
        let verdict = plan.verdict(request.stream(), &steps);

        let answer = first_answer(&steps);
        let accepted = answer.is_some_and(|answer| (200..300).contains(&answer.status));
        log.counts.requests_accepted += u64::from(accepted);
        log.counts.requests_refused += u64::from(answer.is_some() && !accepted);
        if core.keep() == Keep::TokenCounts
            && accepted
            && let Some(token) = &token
        {
            log.count_token(token);
        }
        core.note(guard, || {
            Entry::Request(Arc::new(RequestRecord {
                seq,
                connection: self.connection,
                stream: request.stream(),
                kind: asked.kind,
                method: request.method().to_owned(),
                path: request.path().to_owned(),
                authority: request.authority().or(asked.text("host")).map(str::to_owned),
                token,
                topic: asked.topic().map(str::to_owned),
                push_type: asked.text("apns-push-type").map(str::to_owned),
                priority: asked.number("apns-priority").and_then(|number| u8::try_from(number).ok()),
                expiration: asked.number("apns-expiration"),
                collapse_id: asked.header("apns-collapse-id").map(|id| String::from_utf8_lossy(id).into_owned()),
                channel_id: asked.text("apns-channel-id").map(str::to_owned),
                apns_id: id,
                unique_id,
                headers: request
                    .headers()
                    .filter(|(name, _)| *name != "authorization")
                    .map(|(name, value)| (name.to_owned(), Bytes::copy_from_slice(value)))
                    .collect(),
                payload: request.body().clone(),
                authenticated_by: match &client {
                    Err(_) => AuthenticatedBy::Nothing,
                    Ok(Client::Certificate(_)) => AuthenticatedBy::Certificate,
                    Ok(Client::Token(signer)) => {
                        let (key_id, team_id) = (signer.key_id.clone(), signer.team_id.clone());
                        AuthenticatedBy::Token { key_id, team_id }
                    }
                },
                status: answer.map(|answer| answer.status),
                reason: answer.and_then(|answer| answer.reason.clone()),
                timestamp_ms: answer.and_then(|answer| answer.timestamp_ms),
                retry_after: answer.and_then(|answer| answer.retry_after.clone()),
                delay_ms: if answer.is_some() { delay_ms(&steps) } else { 0 },
                armed,
                deviations: remarks.deviations().to_vec(),
                detail: judged.is_some().then(|| remarks.detail()).flatten(),
                token_issued_at: match &client {
                    Ok(Client::Token(_)) => self.tokens.issued_at(),
                    Ok(Client::Certificate(_)) | Err(_) => None,
                },
                at: now.wall,
            }))
        });
        verdict
    }
}

impl ScriptedJudge {
    /// Who the client is. With a certificate a provider token is not looked at.
    fn authenticate(
        &mut self,
        now: Now,
        script: &Http2Script,
        asked: &Asked<'_>,
        remarks: &mut Remarks,
    ) -> Result<Client, Http2Answer> {
        if let Some(topics) = &self.certified {
            return Ok(Client::Certificate(Arc::clone(topics)));
        }
        let authorization = asked.header("authorization");
        self.tokens.check(now, script, &self.trust.key, authorization, remarks).map(Client::Token)
    }
}

/// What the service says unasked.
fn answer(
    asked: &Asked<'_>,
    client: &Result<Client, Http2Answer>,
    play: &Play,
    provider: &mut ProviderState,
    now: Now,
    remarks: &mut Remarks,
) -> Http2Answer {
    let script = play.script();
    let judged = match asked.kind {
        RequestKind::Push => {
            check_push(asked, client, play, &provider.play, now.wall, remarks).map(|()| Http2Answer::accepted())
        }
        RequestKind::Broadcast => provider.channels.publish(asked, client, &script.http2, remarks),
        RequestKind::Channels => provider.channels.manage(asked, client, &script.http2, script.seed),
        RequestKind::Other => match asked::check_method(asked.request, "POST") {
            Ok(()) => Err(Http2Answer { status: 404, ..bad("BadPath") }),
            Err(reason) => Err(reason.into()),
        },
    };
    judged.unwrap_or_else(|refusal| refusal)
}

/// The answer that leaves: behind the end of the stream or of the connection none does.
fn first_answer(steps: &[Http2Step]) -> Option<&Http2Answer> {
    for step in steps {
        match step {
            Http2Step::AnswerWith(answer) => return Some(answer),
            Http2Step::Reset(_) | Http2Step::Close | Http2Step::Cut(_) => return None,
            Http2Step::Answer
            | Http2Step::WaitMs(_)
            | Http2Step::GoAway(_)
            | Http2Step::StreamLimit(_)
            | Http2Step::Settings(_)
            | Http2Step::Ping
            | Http2Step::Inject(_) => {}
        }
    }
    None
}

/// How long the first answer waits, in milliseconds.
fn delay_ms(steps: &[Http2Step]) -> u64 {
    let before = steps.iter().take_while(|step| !matches!(step, Http2Step::AnswerWith(_)));
    let waits = before.map(|step| if let Http2Step::WaitMs(wait) = step { *wait } else { 0 });
    waits.fold(0, u64::saturating_add)
}

/// Puts the higher limit of streams right behind the answer.
fn raise_limit(steps: &mut Vec<Http2Step>, limit: u32) {
    let answered = steps.iter().position(|step| matches!(step, Http2Step::AnswerWith(_)));
    let place = answered.map_or(steps.len(), |place| place + 1);
    steps.insert(place, Http2Step::StreamLimit(limit));
}

/// Makes a machine's steps of a script's.
pub(super) struct Plan<'a> {
    /// Headers that every answer carries.
    names: [(&'static str, Option<&'a str>); 2],
    switch: &'a CutSwitch,
}

impl<'a> Plan<'a> {
    /// For what answers no request.
    pub(super) const fn unnamed(switch: &'a CutSwitch) -> Self {
        Self { names: [("apns-id", None), ("apns-unique-id", None)], switch }
    }

    fn verdict(&self, stream: u32, steps: &[Http2Step]) -> Verdict {
        let mut verdict = Verdict::default();
        for (wait, step) in self.steps(stream, steps) {
            verdict = verdict.then(step).after(wait);
        }
        verdict
    }

    /// Each with how long it waits for after the one before.
    pub(super) fn steps(&self, stream: u32, steps: &[Http2Step]) -> Vec<(Duration, Step)> {
        let mut wait = Duration::ZERO;
        let mut all = Vec::new();
        for step in steps {
            let step = match step {
                Http2Step::WaitMs(milliseconds) => {
                    wait = wait.saturating_add(Duration::from_millis(*milliseconds));
                    continue;
                }
                // Those of a request were put in its place.
                Http2Step::Answer => continue,
                Http2Step::AnswerWith(answer) => Step::Answer(self.answer(answer)),
                // There is no request whose stream it would be.
                Http2Step::Reset(_) if stream == 0 => continue,
                Http2Step::Reset(code) => Step::Reset { code: *code },
                Http2Step::GoAway(go_away) => wire_go_away(stream, go_away),
                Http2Step::StreamLimit(limit) => Step::StreamLimit(*limit),
                Http2Step::Settings(settings) => Step::Settings(settings.clone()),
                Http2Step::Ping => Step::Ping(*b"apns-sim"),
                Http2Step::Inject(bytes) => Step::Inject(bytes.0.clone()),
                Http2Step::Close => Step::Close,
                Http2Step::Cut(how) => {
                    self.switch.turn(*how);
                    Step::Close
                }
            };
            all.push((std::mem::take(&mut wait), step));
        }
        all
    }

    fn answer(&self, answer: &Http2Answer) -> Answer {
        let reason = answer.reason.as_deref();
        let mut wire = match reason {
            Some(reason) => Answer::refusal(answer.status, reason),
            None => Answer::new(answer.status),
        };
        if let Some(timestamp) = answer.timestamp_ms {
            wire = wire.with_timestamp(timestamp);
        }
        if let Some(body) = &answer.body {
            wire = wire.with_body(body.clone());
        }
        for (name, id) in self.names {
            if let Some(id) = id {
                wire = wire.with_header(name, id.to_owned());
            }
        }
        if !wire.body().is_empty() {
            wire = wire.with_header("content-type", "application/json");
        }
        if let Some(value) = &answer.retry_after {
            wire = wire.with_header("retry-after", value.clone());
        }
        answer.headers.iter().fold(wire, |wire, (name, value)| wire.with_header(name, value.clone()))
    }
}

pub(super) fn wire_go_away(stream: u32, said: &Http2GoAway) -> Step {
    let debug = match (&said.debug, &said.reason) {
        (Some(debug), _) => debug.clone(),
        (None, Some(reason)) => serde_json::json!({"reason": reason}).to_string(),
        (None, None) => String::new(),
    };
    let last_stream = match said.last_stream {
        LastStream::Own => None,
        LastStream::Before => Some(stream.saturating_sub(2)),
        LastStream::At(stream) => Some(stream),
    };
    Step::GoAway { last_stream, code: said.code, debug: debug.into() }
}
