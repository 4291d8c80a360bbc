//! HTTP/2 under any bytes of a service: frames, and the header blocks in them; and requests as another implementation reads
//! them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use apns_proto::http2::{Client, Credential, ProviderApi};
use apns_proto::{ApnsId, CollapseId, Connection, ConnectionEvent, End, Machine, Now, Submission, Topic, Transmit};
use apns_sim::machine::{Answer, ProviderRequest, ProviderServer, ServerConfig, Verdict};
use bytes::BytesMut;

use crate::clock::{after, start};
use crate::feed::{Feed, pieces};
use crate::frames::{self, frame};
use crate::notifications::any_notification;

/// `:status: 200` from the static table, which ends the stream.
const ACCEPTED: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x88";

/// So many requests are open when the service begins to speak.
const OPEN: u32 = 4;

const SHORT: std::time::Duration = std::time::Duration::from_millis(1);

/// A client that waits for the answers on the streams 3 to 9.
struct Asked {
    client: Client<u32>,
    now: Now,
    /// How each ended.
    told: BTreeMap<u32, String>,
    out: BytesMut,
    open: usize,
}

impl Asked {
    fn new() -> Self {
        let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).expect("this is a name");
        let now = start();
        let client = api.connect(now);
        let mut asked = Self { client, now, told: BTreeMap::new(), out: BytesMut::new(), open: 0 };
        asked.client.handle_input(now, &frames::settings_of_a_service());
        asked.submit(0);
        asked.transmit();
        asked.client.handle_input(now, ACCEPTED);
        (1..=OPEN).for_each(|key| asked.submit(key));
        asked.transmit();
        asked.take_events();
        assert_eq!(asked.open, OPEN as usize);
        (asked.told, asked.out) = (BTreeMap::new(), BytesMut::new());
        asked
    }

    fn submit(&mut self, key: u32) {
        let submission = Submission::new(key, crate::notifications::notification(key));
        assert!(self.client.submit(self.now, submission).is_ok(), "{key} finds no room");
        self.open += 1;
    }

    fn transmit(&mut self) {
        while self.client.poll_transmit(self.now, &mut self.out) == Transmit::Ready {}
    }

    fn end_of(&mut self, key: u32, end: String) {
        assert_eq!(self.told.insert(key, end), None, "{key} ends twice");
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            match &event {
                ConnectionEvent::Settled(_) | ConnectionEvent::Returned(_) => self.open -= 1,
                ConnectionEvent::Closed(closed) => self.open -= closed.unsettled.len(),
                _ => {}
            }
            // Whether one is told before the end of the connection or with it may depend on the pieces.
            match event {
                ConnectionEvent::Settled(settled) => self.end_of(settled.key, format!("{:?}", settled.outcome)),
                ConnectionEvent::Returned(one) => self.end_of(one.submission.key, format!("{:?}", one.fate)),
                ConnectionEvent::Closed(closed) => {
                    for one in closed.unsettled {
                        self.end_of(one.submission.key, format!("{:?}", one.fate));
                    }
                }
                _ => {}
            }
        }
    }

    /// The service says this and closes. Gives how each ended.
    fn hears<'a>(mut self, bytes: impl IntoIterator<Item = &'a [u8]>) -> BTreeMap<u32, String> {
        for piece in bytes {
            self.client.handle_input(self.now, piece);
            self.take_events();
        }
        self.transmit();
        self.take_events();
        self.client.handle_end(self.now, End::Clean);
        self.take_events();
        self.transmit();
        assert!(self.client.is_closed() && self.open == 0, "{} have no outcome: {:?}", self.open, self.told);
        self.told
    }
}

/// Any bytes behind the first SETTINGS. In pieces they mean for each notification what they mean at once.
///
/// What else is said may differ: behind a GOAWAY frame that leaves nothing open, what comes at once with it is still read.
pub fn http2_frames(data: &[u8]) {
    let mut feed = Feed::new(data);
    let (first, second) = (feed.byte(), feed.byte());
    let sizes = if first < 128 { [1 + usize::from(first % 32), 1 + usize::from(second)] } else { [1, 1] };
    let bytes = feed.rest();
    let whole = Asked::new().hears([bytes]);
    assert_eq!(whole, Asked::new().hears(pieces(bytes, &sizes)), "in pieces of {sizes:?}");
}

/// Any header blocks. One that comes in several frames, or with padding and a priority, says what it says in one.
pub fn http2_header_blocks(data: &[u8]) {
    const HEADERS: u8 = 1;
    const CONTINUATION: u8 = 9;
    const END_HEADERS: u8 = 4;
    const PADDED_WITH_PRIORITY: u8 = 8 | 32;
    let mut feed = Feed::new(data);
    let (mut whole, mut otherwise) = (Vec::new(), Vec::new());
    while !feed.is_empty() {
        let stream = 3 + 2 * u32::from(feed.byte() % OPEN as u8);
        let kind = feed.byte();
        let (end, is_cut, is_padded) = (kind & 1, kind & 2 == 0, kind & 4 == 0);
        let size = 1 + usize::from(feed.byte());
        let block = feed.short();
        whole.extend(frame(HEADERS, end | END_HEADERS, stream, block));

        let pieces = if is_cut { pieces(block, &[size.max(block.len() / 8 + 1)]) } else { vec![block] };
        let mut parts = pieces.into_iter();
        let (mut flags, mut payload) = (end, Vec::new());
        if is_padded {
            flags |= PADDED_WITH_PRIORITY;
            payload = vec![size as u8, 0, 0, 0, 0, 16];
        }
        if !is_cut {
            flags |= END_HEADERS;
        }
        payload.extend_from_slice(parts.next().unwrap_or_default());
        if is_padded {
            payload.resize(payload.len() + usize::from(size as u8), 0);
        }
        otherwise.extend(frame(HEADERS, flags, stream, &payload));
        if is_cut {
            parts.for_each(|part| otherwise.extend(frame(CONTINUATION, 0, stream, part)));
            otherwise.extend(frame(CONTINUATION, END_HEADERS, stream, b""));
        }
    }
    assert_eq!(Asked::new().hears([&whole[..]]), Asked::new().hears([&otherwise[..]]), "cut or padded");
}

/// Any notifications, one after the other on a connection. Another implementation of HTTP/2 reads what was meant.
pub fn http2_requests(data: &[u8]) {
    let mut feed = Feed::new(data);
    let api = ProviderApi::new("api.push.apple.com", Credential::Certificate).expect("this is a name");
    let mut now = start();
    let mut client = api.connect(now);
    let arrived = Rc::new(RefCell::new(Vec::<ProviderRequest>::new()));
    let record = arrived.clone();
    let judge = move |_: Now, request: &ProviderRequest| {
        record.borrow_mut().push(request.clone());
        Verdict::answer(Answer::new(200))
    };
    let table = feed.of(&[4096_u32, 0, 100, 65_536]);
    let config = ServerConfig::default().with_settings(vec![(1, table), (3, 1000), (4, 1 << 20)]);
    let mut server = ProviderServer::new(judge, &config);
    for key in 0..200 {
        if feed.is_empty() {
            break;
        }
        let mut made = any_notification(&mut feed, key).with_topic(Topic::new("com.example.app").expect("a topic"));
        if feed.flag() {
            let name: ApnsId = format!("00000000-0000-0000-0000-0000{key:08x}").parse().expect("this is a UUID");
            made = made.with_apns_id(name);
        }
        let text = feed.text();
        if let Ok(collapse_id) = CollapseId::new(text.as_str()) {
            made = made.with_collapse_id(collapse_id);
        }
        let taken = client.submit(now, Submission::new(key, made.clone())).is_ok();
        let (mut expired, mut rounds) = (false, 0);
        while taken && client.unsettled() > 0 {
            let (mut up, mut down) = (BytesMut::new(), BytesMut::new());
            while client.poll_transmit(now, &mut up) == Transmit::Ready {}
            server.handle_input(now, &up);
            while server.poll_event().is_some() {}
            while server.poll_transmit(now, &mut down) == Transmit::Ready {}
            client.handle_input(now, &down);
            now = after(now, SHORT);
            while let Some(event) = client.poll_event() {
                expired |= matches!(&event, ConnectionEvent::Settled(one) if !one.outcome.is_accepted());
            }
            rounds += 1;
            assert!(rounds < 100, "{key} does not end");
        }
        let Some(request) = arrived.borrow_mut().pop().filter(|_| taken && !expired) else { continue };
        let text = |name| request.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
        assert_eq!(request.path(), format!("/3/device/{}", made.token().to_hex()));
        assert_eq!((request.method(), request.authority()), ("POST", Some("api.push.apple.com")));
        assert_eq!(&request.body()[..], made.payload().as_bytes());
        assert_eq!(text("apns-topic").as_deref(), Some("com.example.app"));
        assert_eq!(text("apns-id"), made.apns_id().map(|id| id.to_string()));
        assert_eq!(text("apns-collapse-id").as_deref(), made.collapse_id().map(|id| id.as_str()));
        assert_eq!(text("apns-expiration").is_some(), made.expiration().seconds(now.wall).is_some());
    }
}
