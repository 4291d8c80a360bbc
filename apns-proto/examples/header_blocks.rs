//! Prints the header blocks of requests, so that other implementations of HPACK can be asked what they say.
//!
//! ```text
//! cargo run -p apns-proto --example header_blocks -- COUNT SEED
//! ```
//!
//! One JSON object a line, in the order of the wire:
//!
//! ```text
//! {"connection":"notifications, by certificate"}        a new connection, whose table has 4096 bytes
//! {"table":100}                                         from here on the peer's table has at most so many
//! {"block":"8387…","fields":[[":method","POST"],…]}     a header block in hexadecimal digits, and what it means
//! ```

#![allow(clippy::print_stdout, reason = "printing is what an example is for")]
#![allow(clippy::disallowed_methods, reason = "an `Instant` cannot be made otherwise; time is pretended from there on")]

use std::collections::VecDeque;
use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apns_proto::http2::{
    AfterRejection, Authentication, Broadcast, BundleId, ChannelCall, ChannelId, ChannelRequest, ChannelStorage,
    ClockSkew, Credential, Exchange, ProviderApi, ProviderToken, Reason, Request, Requests, TokenError, TokenSource,
    host,
};
use apns_proto::{
    ApnsId, CollapseId, Connection, DeviceToken, Expiration, Machine, Notification, Now, Payload, Priority, Submission,
    Topic, Transmit, WallTime,
};
use bytes::BytesMut;

type Fallible<T> = Result<T, Box<dyn Error>>;

/// The tables that a peer announces.
const TABLES: [u32; 5] = [0, 100, 200, 4096, 65_536];

/// Numbers that depend on the seed alone (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn text(&mut self, alphabet: &[char], longest: u64) -> String {
        (0..=self.below(longest)).map(|_| self.of(alphabet)).collect()
    }

    fn id(&mut self) -> ApnsId {
        ApnsId::from_bytes(std::array::from_fn(|_| self.below(256) as u8))
    }

    /// One of many bundle ids, of which the first come back.
    fn bundle_id(&mut self) -> String {
        let number = if self.below(4) > 0 { self.below(3) } else { self.below(1000) };
        format!("com.example.app{number}")
    }

    fn payload(&mut self) -> Fallible<Payload> {
        let text = self.of(&[
            r#"{"aps":{"alert":"Tea is ready"}}"#,
            r#"{"aps":{"content-available":1}}"#,
            r#"{"aps":{"timestamp":1700000000,"event":"update","content-state":{}}}"#,
        ]);
        Ok(Payload::from_json(text)?)
    }

    fn expiration(&mut self, now: Now) -> Expiration {
        let span = Duration::from_secs(self.below(100_000) + 1);
        self.of(&[
            Expiration::Omitted,
            Expiration::Immediately,
            Expiration::After(span),
            Expiration::At(now.wall.saturating_add(span)),
        ])
    }
}

fn notification(random: &mut Random, now: Now) -> Fallible<Notification> {
    let length = if random.below(8) > 0 { 32 } else { 1 + random.below(100) };
    let token: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
    let mut made = Notification::new(DeviceToken::from_bytes(token)?, random.payload()?)
        .with_topic(Topic::new(random.bundle_id())?)
        .with_expiration(random.expiration(now));
    if random.below(2) == 0 {
        made = made.with_priority(random.of(&[Priority::Immediate, Priority::PowerSaving, Priority::NeverWake]));
    }
    if random.below(3) == 0 {
        made = made.with_apns_id(random.id());
    }
    if random.below(3) == 0 {
        let text = random.text(&['a', 'z', '0', ' ', '~', ':', 'é', '茶'], 20);
        // What cannot be a collapse id is left out.
        if let Ok(collapse_id) = CollapseId::new(text) {
            made = made.with_collapse_id(collapse_id);
        }
    }
    Ok(made)
}

fn channel(random: &mut Random) -> Fallible<ChannelId> {
    Ok(ChannelId::new(format!("{:022}==", random.below(100)))?)
}

fn broadcast(random: &mut Random, now: Now) -> Fallible<Broadcast> {
    let payload = Payload::from_json(r#"{"aps":{"timestamp":1700000000,"event":"update","content-state":{}}}"#)?;
    let made = Broadcast::new(BundleId::new(random.bundle_id())?, channel(random)?, payload)
        .with_expiration(random.expiration(now))
        .with_priority(random.of(&[Priority::Immediate, Priority::PowerSaving]));
    let id = random.id();
    Ok(if random.below(2) == 0 { made.with_request_id(id) } else { made })
}

fn channel_call(random: &mut Random) -> Fallible<ChannelCall> {
    let request = match random.below(4) {
        0 => ChannelRequest::Create { storage: ChannelStorage::Latest },
        1 => ChannelRequest::Read(channel(random)?),
        2 => ChannelRequest::Delete(channel(random)?),
        _ => ChannelRequest::List,
    };
    let made = request.of(BundleId::new(random.bundle_id())?);
    let id = random.id();
    Ok(if random.below(2) == 0 { made.with_request_id(id) } else { made })
}

/// A provider token that nobody signed.
#[derive(Debug)]
struct Fixed(ProviderToken);

impl TokenSource for Fixed {
    fn token(&self, _: Now) -> Result<ProviderToken, TokenError> {
        Ok(self.0.clone())
    }

    fn rejected(&self, _: Now, _: &ProviderToken, _: &Reason, _: Option<ClockSkew>) -> AfterRejection {
        AfterRejection::NewConnection
    }
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` from the static table.
const ACCEPTED: &[u8] = &[0x88];

fn settings(table: u32) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in [(1_u16, table), (3, 1000), (4, 1 << 24)] {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// The other end of a connection.
struct Peer {
    unread: BytesMut,
    /// The client's first bytes were read.
    greeted: bool,
    /// The tables that were announced and not acknowledged.
    announced: VecDeque<u32>,
    /// What the next requests mean.
    meant: VecDeque<Request>,
    block: Vec<u8>,
}

impl Peer {
    /// Reads whole frames and prints what is in them; what it answers.
    fn hear(&mut self) -> Fallible<Vec<u8>> {
        const PREFACE: usize = 24;
        let mut answers = Vec::new();
        if !self.greeted && self.unread.len() >= PREFACE {
            drop(self.unread.split_to(PREFACE));
            self.greeted = true;
        }
        while let Some(&[a, b, c, kind, flags, ref stream @ ..]) = self.unread.first_chunk::<9>() {
            let (length, stream) = (u32::from_be_bytes([0, a, b, c]) as usize, u32::from_be_bytes(*stream));
            if self.unread.len() < 9 + length {
                break;
            }
            let payload = self.unread.split_to(9 + length).split_off(9);
            match kind {
                SETTINGS if flags & ACK != 0 => {
                    let table = self.announced.pop_front().ok_or("an acknowledgement of nothing")?;
                    println!(r#"{{"table":{table}}}"#);
                }
                SETTINGS => answers.extend(frame(SETTINGS, ACK, 0, &[])),
                HEADERS | CONTINUATION => {
                    self.block.extend_from_slice(&payload);
                    if flags & END_HEADERS != 0 {
                        self.print_block()?;
                        answers.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, ACCEPTED));
                    }
                }
                _ => {}
            }
        }
        Ok(answers)
    }

    fn print_block(&mut self) -> Fallible<()> {
        let request = self.meant.pop_front().ok_or("a request that was not made")?;
        let mut fields = Vec::new();
        for field in request.fields() {
            fields.push([field.name.to_owned(), std::str::from_utf8(&field.value)?.to_owned()]);
        }
        let mut block = String::new();
        for byte in self.block.drain(..) {
            write!(block, "{byte:02x}")?;
        }
        println!("{}", serde_json::json!({ "block": block, "fields": fields }));
        Ok(())
    }
}

/// Sends so many messages over one connection to a peer that changes its table while they go.
fn talk<M: Exchange>(
    name: &str,
    api: &ProviderApi<M>,
    (count, start): (u32, Now),
    random: &mut Random,
    mut make: impl FnMut(&mut Random, Now) -> Fallible<(M, Request)>,
) -> Fallible<()> {
    println!("{}", serde_json::json!({ "connection": name }));
    let mut now = start;
    let mut client = api.connect::<u32>(now);
    let mut peer = Peer {
        unread: BytesMut::new(),
        greeted: false,
        announced: VecDeque::new(),
        meant: VecDeque::new(),
        block: Vec::new(),
    };
    let table = random.of(&TABLES);
    peer.announced.push_back(table);
    client.handle_input(now, &settings(table));
    client.handle_input(now, &frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()));
    let mut sent = 0;
    loop {
        while client.poll_event().is_some() {}
        let mut burst = 1 + random.below(20);
        while sent < count && burst > 0 && client.has_room() {
            let (message, request) = make(random, now)?;
            client.submit(now, Submission::new(sent, message)).map_err(|refused| refused.cause.to_string())?;
            peer.meant.push_back(request);
            (sent, burst) = (sent + 1, burst - 1);
        }
        // One chunk: what is left was encoded before the peer's next SETTINGS come.
        let more = client.poll_transmit(now, &mut peer.unread) == Transmit::Ready;
        let answers = peer.hear()?;
        client.handle_input(now, &answers);
        if sent == count && !more && answers.is_empty() {
            break;
        }
        now = Now::new(now.instant + Duration::from_millis(200), now.wall);
        if random.below(2) == 0 {
            // Now and then two at once, of which the first may be the smaller.
            for _ in 0..=random.below(2) {
                let table = random.of(&TABLES);
                peer.announced.push_back(table);
                client.handle_input(now, &settings(table));
            }
        }
    }
    while client.poll_event().is_some() {}
    if !peer.meant.is_empty() || client.unsettled() > 0 {
        return Err(format!("{} requests never left", peer.meant.len()).into());
    }
    Ok(())
}

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, seed] = &arguments[..] else { return Err("usage: header_blocks COUNT SEED".into()) };
    let (count, seed): (u32, u64) = (count.parse()?, seed.parse()?);
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1));
    let now = Now::new(Instant::now(), WallTime::from_secs(1_700_000_000));
    let each = (count.div_ceil(4), now);

    let api = ProviderApi::new(host::PRODUCTION, Credential::Certificate)?;
    let mut requests = Requests::new(host::PRODUCTION, Authentication::Certificate);
    talk("notifications, by certificate", &api, each, &mut random, |random, now| {
        let made = notification(random, now)?;
        let request = requests.device(&made, None, now.wall)?;
        Ok((made, request))
    })?;

    // {"iat":1700000000}
    let token = ProviderToken::from_jwt("eyJhbGciOiJFUzI1NiJ9.eyJpYXQiOjE3MDAwMDAwMDB9.bm8gc2lnbmF0dXJl", now)?;
    let by_token = |host: &str| ProviderApi::new(host, Credential::Token(Arc::new(Fixed(token.clone()))));
    let mut requests = Requests::new(host::PRODUCTION, Authentication::Token);
    talk("notifications, by provider token", &by_token(host::PRODUCTION)?, each, &mut random, |random, now| {
        let made = notification(random, now)?;
        let request = requests.device(&made, Some(&token), now.wall)?;
        Ok((made, request))
    })?;
    talk("broadcasts", &by_token(host::PRODUCTION)?.of::<Broadcast>(), each, &mut random, |random, now| {
        let made = broadcast(random, now)?;
        let request = requests.broadcast(&made, Some(&token), now.wall)?;
        Ok((made, request))
    })?;

    let host = host::CHANNELS_PRODUCTION;
    let mut requests = Requests::new(host, Authentication::Token);
    talk("requests about channels", &by_token(host)?.of::<ChannelCall>(), each, &mut random, |random, _| {
        let made = channel_call(random)?;
        let request = requests.channel(&made, Some(&token));
        Ok((made, request))
    })
}
