//! Pretend services of the provider API: what they do, and what they know.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use apns_proto::http2::{ProviderApi, ProviderToken, TokenPolicy, format_http_date};
use apns_proto::{ApnsId, LinkId, Now};
use apns_sim::machine::{Answer, Judge, ProviderRequest, ProviderServer, ServerConfig, Step, Verdict};
use bytes::Bytes;

use super::dice::Dice;
use super::http2_faults::{Faulty, FrameFaults};
use super::http2_watch::Http2Watch;
use super::timeline::Timeline;
use super::trouble::{How, Trouble};
use super::world::Service;
use super::{ms, secs};

/// The HTTP/2 provider API.
#[derive(Debug)]
pub(crate) struct Providers;

impl Service for Providers {
    type Opener = ProviderApi;
    type Script = Temper;
    type Truth = Book;
    type Server = Faulty<ProviderServer<Clerk>>;

    type Watch = Http2Watch;

    fn accept(
        link: LinkId,
        script: &Temper,
        truth: &Rc<RefCell<Book>>,
        timeline: &Timeline,
    ) -> (Self::Server, Http2Watch) {
        let config = ServerConfig::default();
        let config = match script.stream_limit {
            Some(limit) => config.with_stream_limit(limit),
            None => config.with_settings(Vec::new()),
        };
        let window = script.faults.as_ref().and_then(|faults| faults.window);
        let config = match (window, script.stream_limit) {
            (Some(window), None) => config.with_settings(vec![(INITIAL_WINDOW_SIZE, window)]),
            (Some(window), Some(limit)) => {
                config.with_settings(vec![(INITIAL_WINDOW_SIZE, window)]).with_stream_limit(limit)
            }
            (None, _) => config,
        };
        let clerk = Clerk {
            link,
            temper: script.clone(),
            book: truth.clone(),
            timeline: timeline.clone(),
            requests: 0,
            highest: 0,
            last_stream: None,
            token: None,
        };
        let watch = Http2Watch::new(link, truth.clone(), timeline.clone());
        (Faulty::new(ProviderServer::new(clerk, &config), script.faults.clone()), watch)
    }

    fn slowness(_script: &Temper) -> Option<Duration> {
        None
    }
}

/// SETTINGS of RFC 9113 section 6.5.2.
const HEADER_TABLE_SIZE: u16 = 1;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// What the services did with a notification, all connections together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Seen {
    /// Taken: it is on the device, whatever became of the answer.
    pub(crate) taken: u32,
    /// Said to be taken before it came whole: whatever that means, it is on no device.
    pub(crate) early: u32,
    /// Answered with a refusal.
    pub(crate) refused: u32,
    /// Not looked at, because of the credential.
    pub(crate) credential: u32,
}

/// How services say that they do not take the credential.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said {
    Answer(u16, &'static str),
    /// In a GOAWAY frame that disowns everything.
    GoAway(&'static str),
    /// With a few words of HTTP/1.1.
    Http1,
}

impl Said {
    pub(crate) const ALL: [Self; 10] = [
        Self::Answer(403, "InvalidProviderToken"),
        Self::Answer(403, "MissingProviderToken"),
        Self::Answer(403, "ExpiredProviderToken"),
        Self::Answer(403, "BadCertificate"),
        Self::Answer(403, "BadEnvironmentKeyIdInToken"),
        Self::Answer(403, "Forbidden"),
        Self::Answer(403, "SomethingNew"),
        Self::Answer(429, "TooManyProviderTokenUpdates"),
        Self::GoAway("BadCertificateEnvironment"),
        Self::Http1,
    ];
}

/// What all services know together.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) seen: BTreeMap<u32, Seen>,
    /// Whims that were followed, by name.
    pub(crate) whims: BTreeMap<&'static str, usize>,
    pub(crate) trouble: Option<Trouble<Said>>,
    /// Which notification came on which stream.
    pub(crate) streams: BTreeMap<(LinkId, u32), u32>,
    /// When each was looked at first.
    pub(crate) arrived: BTreeMap<u32, Duration>,
    /// Streams whose answer refuses the credential.
    pub(crate) refusing: BTreeMap<(LinkId, u32), u16>,
    /// When the end of an answer reached the client's socket.
    pub(crate) answers: BTreeMap<(LinkId, u32), Duration>,
    /// Streams that ended for the client with a reset in place of an answer.
    pub(crate) broken_off: Vec<(LinkId, u32)>,
    /// Connections on which a service broke the rules of HTTP/2, and those on which the client says so.
    pub(crate) violated: BTreeSet<LinkId>,
    pub(crate) accused: Vec<LinkId>,
    /// How long a request may wait for its answer.
    pub(crate) request_timeout: Duration,
    /// Since when, and when still, streams were open that were to be given up.
    pub(crate) overdue: Vec<(LinkId, u32, Duration, Duration)>,
}

impl Book {
    pub(crate) fn happens(&mut self, name: &'static str) {
        *self.whims.entry(name).or_default() += 1;
    }
}

/// How one connection's service is disposed.
#[derive(Debug, Clone)]
pub(crate) struct Temper {
    pub(crate) dice: Dice,
    /// From 0, all is well, to 3.
    pub(crate) trouble: u64,
    /// At first; none announces no limit.
    pub(crate) stream_limit: Option<u32>,
    /// Checks provider tokens.
    pub(crate) with_tokens: bool,
    /// Refuses every request unread.
    pub(crate) refuses_all: bool,
    /// Refuses every provider token in this way.
    pub(crate) refuses_token: Option<(u16, &'static str)>,
    /// Says GOAWAY with the request of this number on the connection, and takes long to answer that one.
    pub(crate) leaves_with: Option<u32>,
    /// Says GOAWAY behind each answer.
    pub(crate) leaves_always: bool,
    /// Announces other SETTINGS all the time.
    pub(crate) changes_settings: bool,
    /// Its `content-length` fields are wrong.
    pub(crate) lies: bool,
    pub(crate) faults: Option<FrameFaults>,
}

impl Default for Temper {
    fn default() -> Self {
        Self {
            dice: Dice::new(0),
            trouble: 0,
            stream_limit: Some(100),
            with_tokens: false,
            refuses_all: false,
            refuses_token: None,
            leaves_with: None,
            leaves_always: false,
            changes_settings: false,
            lies: false,
            faults: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Clerk {
    link: LinkId,
    temper: Temper,
    book: Rc<RefCell<Book>>,
    timeline: Timeline,
    requests: u32,
    /// The highest stream that was looked at: requests become whole in any order.
    highest: u32,
    /// A GOAWAY with this last stream was said or is under way.
    last_stream: Option<u32>,
    /// The provider token of this connection, and since when.
    token: Option<(Bytes, Instant)>,
}

/// Resets with the code of the place, before the body came (RFC 9113 section 7).
const EARLY_RESETS: [&str; 16] = [
    "early reset 0",
    "early reset 1",
    "early reset 2",
    "early reset 3",
    "early reset 4",
    "early reset 5",
    "early reset 6",
    "early reset 7",
    "early reset 8",
    "early reset 9",
    "early reset 10",
    "early reset 11",
    "early reset 12",
    "early reset 13",
    "early reset 14",
    "early reset 15",
];

fn number_of(request: &ProviderRequest) -> u32 {
    let hex = request.path().strip_prefix("/3/device/").expect("the path of a device push");
    u32::from_str_radix(&hex[..8], 16).expect("a token begins with its number")
}

/// The service's name for the notification of this number.
pub(crate) fn name_of(number: u32) -> ApnsId {
    format!("00000000-0000-0000-0000-0000{number:08x}").parse().expect("this is a UUID")
}

fn accept(request: &ProviderRequest) -> Answer {
    Answer::accepted(name_of(number_of(request)))
}

fn refusal(status: u16, reason: &str, now: Now) -> Answer {
    Answer::refusal(status, reason).with_header("date", format_http_date(now.wall))
}

impl Clerk {
    /// What Apple says of the token, if it is not good.
    fn judge_token(&mut self, now: Now, request: &ProviderRequest) -> Option<(u16, &'static str)> {
        let authorization = request.header("authorization").expect("each request has a token");
        let text = str::from_utf8(authorization).expect("a token is text");
        let token = ProviderToken::from_jwt(text.strip_prefix("bearer ").expect("bearer"), now).expect("a token");
        match &self.token {
            Some((known, _)) if **known == *authorization => {}
            Some((_, since)) => {
                // The client's clock may have been behind for a round.
                let age = now.instant - *since + secs(15);
                assert!(age >= TokenPolicy::MIN_INTERVAL, "link {}: a new token after {age:?}", self.link);
                self.token = Some((Bytes::copy_from_slice(authorization), now.instant));
            }
            None => self.token = Some((Bytes::copy_from_slice(authorization), now.instant)),
        }
        if self.temper.refuses_token.is_some() {
            return self.temper.refuses_token;
        }
        let (old, young) = (now.wall.saturating_since(token.issued_at()), token.issued_at().saturating_since(now.wall));
        (old > secs(3600) || young > secs(300)).then_some((403, "ExpiredProviderToken"))
    }

    /// What it does with a request whose body has not come, and never will.
    fn judge_early(&mut self, now: Now, request: &ProviderRequest, slow: Duration) -> Verdict {
        let Self { temper, book, .. } = self;
        let dice = &mut temper.dice;
        let mut book = book.borrow_mut();
        let seen = book.seen.entry(number_of(request)).or_default();
        let (name, verdict) = match if temper.trouble == 0 { dice.below(2) } else { dice.below(16) } {
            0 => {
                seen.early += 1;
                ("early answer", Verdict::answer(accept(request)))
            }
            1 => {
                seen.early += 1;
                ("early answer and a reset", Verdict::answer(accept(request)).then(Step::Reset { code: 0 }))
            }
            2 => {
                seen.refused += 1;
                ("early refusal", Verdict::answer(refusal(400, "BadDeviceToken", now)))
            }
            3 => {
                seen.refused += 1;
                let verdict = Verdict::answer(refusal(413, "PayloadTooLarge", now)).then(Step::Reset { code: 0 });
                ("early refusal and a reset", verdict)
            }
            4 => ("silence before the body", Verdict::silence()),
            5 => ("close before the body", Verdict::close()),
            _ => {
                let code = dice.below(EARLY_RESETS.len() as u64) as u32;
                (EARLY_RESETS[code as usize], Verdict::reset(code))
            }
        };
        book.happens(name);
        verdict.after(slow)
    }

    /// As this service words an answer.
    fn worded(&mut self, answer: Answer) -> Answer {
        if !self.temper.lies {
            return answer;
        }
        self.book.borrow_mut().happens("a length that lies");
        let length = answer.body().len();
        let lie = match self.temper.dice.below(4) {
            0 => (length + 1).to_string(),
            1 => length.saturating_sub(1).to_string(),
            2 => "1000000000000".to_owned(),
            _ => "none".to_owned(),
        };
        answer.with_header("content-length", lie)
    }

    fn whim(&mut self) -> u64 {
        if self.temper.changes_settings && self.temper.dice.one_in(4) {
            19
        } else if self.temper.refuses_all {
            5
        } else if self.temper.trouble == 0 {
            u64::MAX
        } else {
            self.temper.dice.below(40 * self.temper.trouble)
        }
    }
}

impl Judge for Clerk {
    fn judge(&mut self, now: Now, request: &ProviderRequest) -> Verdict {
        let since_begin = self.timeline.since_begin(now.instant);
        let mut token = if self.temper.with_tokens { self.judge_token(now, request) } else { None };
        let mut go_away = None;
        if let Some(Trouble { how: How::Said(said), .. }) =
            self.book.borrow().trouble.filter(|it| it.lasts(since_begin))
        {
            match said {
                Said::Answer(status, reason) => token = Some((status, reason)),
                // It would disown what was taken before.
                Said::GoAway(reason) if self.requests > 0 => token = Some((403, reason)),
                Said::GoAway(reason) => go_away = Some(reason),
                Said::Http1 => {}
            }
        }
        self.requests += 1;
        let whim = self.whim();
        let dice = &mut self.temper.dice;
        let slow = if dice.one_in(3) { ms(dice.below(3_000)) } else { Duration::ZERO };
        let accepted = self.worded(accept(request));
        let bad_token = self.worded(refusal(400, "BadDeviceToken", now));
        let unregistered = self.worded(refusal(410, "Unregistered", now).with_timestamp(now.wall.as_millis()));
        let mut book = self.book.borrow_mut();
        let Book { seen, whims, streams, arrived, refusing, violated, request_timeout, .. } = &mut *book;
        let number = number_of(request);
        let seen = seen.entry(number).or_default();
        streams.insert((self.link, request.stream()), number);
        arrived.entry(number).or_insert(since_begin);
        if self.last_stream.is_some_and(|last| request.stream() > last) {
            *whims.entry("disowned").or_default() += 1;
            return Verdict::silence();
        }
        self.highest = self.highest.max(request.stream());
        if let Some((status, reason)) = token {
            *whims.entry(reason).or_default() += 1;
            seen.credential += 1;
            refusing.insert((self.link, request.stream()), status);
            return Verdict::answer(refusal(status, reason, now)).after(slow);
        }
        if let Some(reason) = go_away {
            *whims.entry(reason).or_default() += 1;
            seen.credential += 1;
            self.last_stream = Some(0);
            return Verdict::default().then(Step::go_away(0, reason)).then(Step::Close).after(slow);
        }
        if self.temper.leaves_with == Some(self.requests) {
            *whims.entry("leaves slowly").or_default() += 1;
            seen.taken += 1;
            self.last_stream = Some(request.stream());
            let last_stream = self.last_stream;
            return Verdict::default()
                .then(Step::GoAway { last_stream, code: 0, debug: Bytes::new() })
                .then(Step::Answer(accept(request)))
                .after(secs(25));
        }
        if request.body().is_empty() {
            drop(book);
            return self.judge_early(now, request, slow);
        }
        let dice = &mut self.temper.dice;
        let name = match whim {
            0 => "bad token",
            1 => "unregistered",
            2 => "shutdown",
            3 => "too many",
            4 => "internal error",
            5 => "refused unread",
            _ => "taken",
        };
        if whim < 5 {
            seen.refused += 1;
        } else if whim > 5 {
            seen.taken += 1;
        }
        let say = |answer| Verdict::answer(answer).after(slow);
        let (name, verdict) = match whim {
            0 => (name, say(bad_token)),
            1 => (name, say(unregistered)),
            2 => (name, say(refusal(503, "Shutdown", now))),
            3 => (
                name,
                say(refusal(429, "TooManyRequests", now).with_header("retry-after", dice.below(100).to_string())),
            ),
            4 => (name, say(refusal(500, "InternalServerError", now))),
            5 => (name, Verdict::reset(7).after(slow)),
            6 => ("reset after it was taken", Verdict::reset(dice.of(&[0, 1, 2, 3, 5, 8, 9, 10, 11, 13])).after(slow)),
            7 => ("silent", Verdict::silence()),
            8 => ("close", Verdict::close().after(slow)),
            9 => {
                let last_stream = *self.last_stream.get_or_insert(self.highest);
                let debug = dice.of(&[Bytes::new(), Bytes::from_static(b"{\"reason\":\"Shutdown\"}")]);
                ("go away", say(accept(request)).then(Step::GoAway { last_stream: Some(last_stream), code: 0, debug }))
            }
            10 => {
                // In two steps, and the first disowns nothing.
                let lowest = *self.last_stream.get_or_insert(self.highest);
                let last = |last_stream| Step::GoAway { last_stream: Some(last_stream), code: 0, debug: Bytes::new() };
                let verdict = Verdict::default().then(last(0x7fff_ffff)).after(slow).then(last(lowest)).after(slow);
                ("go away twice", verdict.then(Step::Answer(accept(request))).after(slow))
            }
            11 => {
                let (low, high) = (Step::StreamLimit(dice.below(5) as u32 * 20), Step::StreamLimit(100));
                ("limit", Verdict::answer(accept(request)).then(low).then(high).after(ms(dice.below(20_000))))
            }
            12 => {
                let (shut, open) = (Step::Settings(vec![(4, 0)]), Step::Settings(vec![(4, 65_535)]));
                ("window", Verdict::answer(accept(request)).then(shut).then(open).after(ms(dice.below(20_000))))
            }
            13 => {
                let about = (*request_timeout + ms(dice.below(600))).saturating_sub(ms(500));
                ("just in time", Verdict::answer(accepted).after(about))
            }
            14 => {
                violated.insert(self.link);
                let nonsense = dice.of(&[&b"\0\0\x05\x04\0\0\0\0\0oops!"[..], b"\0\0\x04\x03\0\0\0\0\x63\0\0\0\x08"]);
                ("violation", say(accept(request)).then(Step::Inject(Bytes::from_static(nonsense))))
            }
            15 => ("reset after the answer", say(accept(request)).then(Step::Reset { code: 8 })),
            16 => ("ping", Verdict::default().then(Step::Ping(*b"are you ")).then(Step::Answer(accept(request)))),
            17 if self.temper.faults.as_ref().is_some_and(|faults| faults.pads) => {
                // With padding it does not fit into the window.
                violated.insert(self.link);
                ("a body nobody wants", say(accept(request).with_body(vec![b'x'; 70_000])))
            }
            17 => ("a body nobody wants", say(accept(request).with_body(vec![b'x'; 70_000]))),
            18 => ("no word behind the answer", say(accept(request)).then(Step::Close)),
            19 => {
                let window = dice.of(&[0, 1, 1_000, 65_535, 1 << 20]);
                let (table, limit) = (dice.of(&[0, 100, 4_096]), dice.within(1, 100) as u32);
                let change =
                    vec![(HEADER_TABLE_SIZE, table), (MAX_CONCURRENT_STREAMS, limit), (INITIAL_WINDOW_SIZE, window)];
                let back = vec![(HEADER_TABLE_SIZE, 4_096), (INITIAL_WINDOW_SIZE, 65_535)];
                let verdict = Verdict::default().then(Step::Settings(change)).then(Step::Answer(accepted)).after(slow);
                ("settings", verdict.then(Step::Settings(back)).after(ms(dice.below(5_000))))
            }
            _ if self.temper.leaves_always => {
                let last_stream = Some(*self.last_stream.get_or_insert(self.highest));
                let go_away = Step::GoAway { last_stream, code: 0, debug: Bytes::new() };
                ("goes away behind the answer", say(accepted).then(go_away))
            }
            _ => ("all is well", say(accepted)),
        };
        *whims.entry(name).or_default() += 1;
        verdict
    }
}
