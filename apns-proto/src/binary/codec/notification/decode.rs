//! Reading notifications, as a gateway does.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::super::Limits;
use super::super::cursor::{Cursor, NeedMore, Parsed, Stop};
use super::super::reassembly::Reassembly;
use super::{Format, NotificationError, NotificationErrorKind, item};

/// A notification as it was read. Token and payload share one allocation of just their size.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodedNotification {
    /// Which of the three formats it came in.
    pub format: Format,
    /// What an error response names; absent in command 0, optional in command 2.
    pub identifier: Option<u32>,
    /// Seconds since 1970; absent in command 0, optional in command 2.
    pub expiration: Option<u32>,
    /// 5 or 10; only in command 2, and optional there. Absent means 10.
    pub priority: Option<u8>,
    /// The device token, raw, of 1 byte to [`Limits::token_max`].
    pub token: Bytes,
    /// The payload, of 1 byte to [`Limits::payload_max`]. Whether it is JSON was not looked at.
    pub payload: Bytes,
    /// The items of command 2 as they came; empty for the other commands.
    pub item_order: ItemOrder,
}

impl DecodedNotification {
    /// Reads exactly one notification.
    ///
    /// Checks come in this order, and the first that fails is the error. Command known. In commands 0 and 1 the
    /// length of the token, then that of the payload, each as soon as it is read. In command 2 the frame length, then
    /// the whole frame there; for each item in turn its header fits, its id is known, its length fits the frame, it
    /// is the first of its id, its length is right, its value is right; then item 1 there, then item 2. Nothing
    /// behind it.
    ///
    /// ```
    /// use apns_proto::binary::{DecodedNotification, Limits, NotificationErrorKind};
    ///
    /// let whole = [0, 0, 4, 0xde, 0xad, 0xbe, 0xef, 0, 2, b'{', b'}'];
    /// let notification = DecodedNotification::parse(&whole, Limits::default())?;
    /// assert_eq!(&notification.payload[..], b"{}");
    ///
    /// let cut = DecodedNotification::parse(&whole[..5], Limits::default()).unwrap_err();
    /// assert_eq!((cut.offset, cut.kind), (5, NotificationErrorKind::Truncated { needed_total: 7 }));
    /// # Ok::<(), apns_proto::binary::NotificationError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`NotificationError`] when the bytes are not one notification within `limits` and nothing else.
    pub fn parse(bytes: &[u8], limits: Limits) -> Result<Self, NotificationError> {
        match parse_front(bytes, 0, limits) {
            Ok(Parsed { message, length }) if length == bytes.len() => Ok(message),
            Ok(Parsed { message, length }) => Err(NotificationError {
                kind: NotificationErrorKind::TrailingBytes,
                offset: length as u64,
                item_id: None,
                identifier: message.identifier,
            }),
            Err(Stop::NeedMore(NeedMore { total })) => Err(truncated(bytes.len() as u64, total as u64)),
            Err(Stop::Malformed(error)) => Err(error),
        }
    }
}

impl fmt::Debug for DecodedNotification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodedNotification")
            .field("format", &self.format)
            .field("identifier", &self.identifier)
            .field("expiration", &self.expiration)
            .field("priority", &self.priority)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .field("payload", &format_args!("<{} bytes>", self.payload.len()))
            .field("item_order", &self.item_order)
            .finish()
    }
}

/// The ids of the items in a frame, in the order in which they came; each occurs at most once.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemOrder {
    ids: [u8; 5],
    count: u8,
}

impl ItemOrder {
    /// These ids in this order; `None` unless each is of 1 to 5 and none comes twice.
    #[must_use]
    pub fn new(ids: &[u8]) -> Option<Self> {
        ids.iter().try_fold(Self::default(), |mut order, id| {
            let fits = (item::TOKEN..=item::PRIORITY).contains(id) && !order.as_slice().contains(id);
            fits.then(|| {
                order.push(*id);
                order
            })
        })
    }

    /// The ids, each of 1 to 5.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.ids[..usize::from(self.count)]
    }

    /// `id` is one of the five known and not in here yet, which makes a sixth impossible.
    fn push(&mut self, id: u8) {
        self.ids[usize::from(self.count)] = id;
        self.count += 1;
    }
}

impl fmt::Debug for ItemOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// Reads notifications out of a stream that may be split anywhere, as a gateway does.
///
/// Keeps at most one incomplete notification, [`Limits::message_max`] bytes. An error is reported as soon as the bytes
/// that show it are there, with its place in the stream.
///
/// ```
/// use apns_proto::binary::{Frame, Format, Limits, NotificationDecoder, encode, encode_probe};
/// use bytes::BytesMut;
///
/// let mut out = BytesMut::new();
/// let (token, payload) = (&[0xde, 0xad][..], &b"{}"[..]);
/// encode(&Frame { format: Format::Items, identifier: 1, expiration: None, priority: None, token, payload }, &mut out)?;
/// encode_probe(2, &mut out);
///
/// let mut decoder = NotificationDecoder::new(Limits::default());
/// let mut input = &out[..];
/// assert_eq!(decoder.decode(&mut input)?.unwrap().identifier, Some(1));
/// let refused = decoder.decode(&mut input).unwrap_err();
/// assert_eq!(refused.identifier, Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct NotificationDecoder {
    stream: Reassembly<NotificationError>,
    limits: Limits,
}

impl NotificationDecoder {
    /// A decoder at the start of a connection.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { stream: Reassembly::new(), limits }
    }

    /// Takes bytes from the front of `input` until a notification is complete or the input is used up, which gives
    /// `None`. Call it until then.
    ///
    /// # Errors
    ///
    /// [`NotificationError`], as [`DecodedNotification::parse`] has them but for the end of the input. The decoder
    /// stays in error, and the rest of the input is thrown away: a gateway reads nothing behind a bad notification.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<DecodedNotification>, NotificationError> {
        let limits = self.limits;
        self.stream.next(input, |bytes, start| parse_front(bytes, start, limits))
    }

    /// The stream has ended. Between notifications, and at once, that is no error.
    ///
    /// # Errors
    ///
    /// [`NotificationErrorKind::Truncated`] inside a notification. An earlier error is repeated.
    pub fn finish(&self) -> Result<(), NotificationError> {
        self.stream.finish(truncated)
    }

    /// Bytes kept of a notification that is not complete; 0 between notifications.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.stream.buffered()
    }
}

type Malformed = Stop<NotificationError>;

fn truncated(present: u64, needed_total: u64) -> NotificationError {
    NotificationError {
        kind: NotificationErrorKind::Truncated { needed_total },
        offset: present,
        item_id: None,
        identifier: None,
    }
}

/// Reads one notification from the front of `bytes`, which lie at `start` in the stream.
fn parse_front(bytes: &[u8], start: u64, limits: Limits) -> Result<Parsed<DecodedNotification>, Malformed> {
    let mut fields = Cursor::new(bytes);
    let command = fields.take_u8()?;
    let message = match Format::from_command(command) {
        Some(Format::Simple) => parse_token_and_payload(&mut fields, start, limits, Format::Simple, None)?,
        Some(Format::Enhanced) => {
            let (identifier, expiration) = (fields.take_u32()?, fields.take_u32()?);
            let known = Some((identifier, expiration));
            parse_token_and_payload(&mut fields, start, limits, Format::Enhanced, known)?
        }
        Some(Format::Items) => parse_items(&mut fields, start, limits)?,
        None => {
            let kind = NotificationErrorKind::UnknownCommand { command };
            return Err(Stop::Malformed(NotificationError { kind, offset: start, item_id: None, identifier: None }));
        }
    };
    Ok(Parsed { message, length: fields.at() })
}

/// The rest of commands 0 and 1.
fn parse_token_and_payload(
    fields: &mut Cursor<'_>,
    start: u64,
    limits: Limits,
    format: Format,
    identifier_and_expiration: Option<(u32, u32)>,
) -> Result<DecodedNotification, Malformed> {
    let identifier = identifier_and_expiration.map(|(identifier, _)| identifier);
    let error = |kind, at: usize| {
        Stop::Malformed(NotificationError { kind, offset: start + at as u64, item_id: None, identifier })
    };

    let at = fields.at();
    let length = fields.take_u16()?;
    check_token_length(length, limits).map_err(|kind| error(kind, at))?;
    let token = fields.take(usize::from(length))?;

    let at = fields.at();
    let length = fields.take_u16()?;
    check_payload_length(length, limits).map_err(|kind| error(kind, at))?;
    let payload = fields.take(usize::from(length))?;

    let (token, payload) = own(token, payload);
    Ok(DecodedNotification {
        format,
        identifier,
        expiration: identifier_and_expiration.map(|(_, expiration)| expiration),
        priority: None,
        token,
        payload,
        item_order: ItemOrder::default(),
    })
}

/// The rest of command 2.
fn parse_items(fields: &mut Cursor<'_>, start: u64, limits: Limits) -> Result<DecodedNotification, Malformed> {
    let at = fields.at();
    let length = fields.take_u32()?;
    let frame_len = usize::try_from(length).unwrap_or(usize::MAX);
    if frame_len > limits.longest_frame() {
        let kind = NotificationErrorKind::FrameTooLong { length, limit: limits.longest_frame() };
        let offset = start + at as u64;
        return Err(Stop::Malformed(NotificationError { kind, offset, item_id: None, identifier: None }));
    }
    let frame_at = start + fields.at() as u64;
    let frame = fields.take(frame_len)?;

    let mut items = Items::default();
    let mut rest = frame;
    while !rest.is_empty() {
        let offset = frame_at + (frame.len() - rest.len()) as u64;
        rest = items.take_item(rest, limits).map_err(|(kind, item_id)| {
            // The usual order has the identifier behind the token and the payload.
            items.identifier = items.identifier.or_else(|| identifier_in(rest));
            Stop::Malformed(items.error(kind, offset, item_id))
        })?;
    }

    let end = frame_at + frame.len() as u64;
    let missing = |id| Stop::Malformed(items.error(NotificationErrorKind::MissingItem, end, Some(id)));
    let token = items.token.ok_or_else(|| missing(item::TOKEN))?;
    let payload = items.payload.ok_or_else(|| missing(item::PAYLOAD))?;
    let (token, payload) = own(token, payload);
    Ok(DecodedNotification {
        format: Format::Items,
        identifier: items.identifier,
        expiration: items.expiration,
        priority: items.priority,
        token,
        payload,
        item_order: items.order,
    })
}

/// The identifier in what is left of a frame, as far as its items can be told apart.
fn identifier_in(mut rest: &[u8]) -> Option<u32> {
    while let &[id, high, low, ref behind_header @ ..] = rest {
        let (data, behind) = behind_header.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        if id == item::IDENTIFIER {
            return data.try_into().ok().map(u32::from_be_bytes);
        }
        rest = behind;
    }
    None
}

/// What was read of a frame so far.
#[derive(Default)]
struct Items<'a> {
    token: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    identifier: Option<u32>,
    expiration: Option<u32>,
    priority: Option<u8>,
    order: ItemOrder,
}

impl<'a> Items<'a> {
    /// Reads the item at the front of `rest` and gives what is behind it.
    fn take_item(&mut self, rest: &'a [u8], limits: Limits) -> Result<&'a [u8], (NotificationErrorKind, Option<u8>)> {
        let &[id, high, low, ref behind_header @ ..] = rest else {
            return Err((NotificationErrorKind::TrailingBytesInFrame, None));
        };
        let error = |kind| (kind, Some(id));
        if !(item::TOKEN..=item::PRIORITY).contains(&id) {
            return Err(error(NotificationErrorKind::UnknownItemId));
        }
        let length = u16::from_be_bytes([high, low]);
        let Some((data, rest)) = behind_header.split_at_checked(usize::from(length)) else {
            let left = behind_header.len();
            return Err(error(NotificationErrorKind::ItemLengthOverrun { length, left }));
        };
        if self.order.as_slice().contains(&id) {
            return Err(error(NotificationErrorKind::DuplicateItem));
        }
        match id {
            item::TOKEN => {
                check_token_length(length, limits).map_err(error)?;
                self.token = Some(data);
            }
            item::PAYLOAD => {
                check_payload_length(length, limits).map_err(error)?;
                self.payload = Some(data);
            }
            item::IDENTIFIER => self.identifier = Some(u32::from_be_bytes(fixed(data, length).map_err(error)?)),
            item::EXPIRATION => self.expiration = Some(u32::from_be_bytes(fixed(data, length).map_err(error)?)),
            _ => {
                let [priority] = fixed(data, length).map_err(error)?;
                if !matches!(priority, 5 | 10) {
                    return Err(error(NotificationErrorKind::BadPriority { priority }));
                }
                self.priority = Some(priority);
            }
        }
        self.order.push(id);
        Ok(rest)
    }

    fn error(&self, kind: NotificationErrorKind, offset: u64, item_id: Option<u8>) -> NotificationError {
        NotificationError { kind, offset, item_id, identifier: self.identifier }
    }
}

/// The data of an item of fixed size.
fn fixed<const N: usize>(data: &[u8], length: u16) -> Result<[u8; N], NotificationErrorKind> {
    data.try_into().map_err(|_| NotificationErrorKind::BadItemLength { length, expected: N as u16 })
}

fn check_token_length(length: u16, limits: Limits) -> Result<(), NotificationErrorKind> {
    if length == 0 {
        return Err(NotificationErrorKind::ZeroLengthToken);
    }
    if length > limits.token_max {
        return Err(NotificationErrorKind::TokenTooLong { length, limit: limits.token_max });
    }
    Ok(())
}

fn check_payload_length(length: u16, limits: Limits) -> Result<(), NotificationErrorKind> {
    if length == 0 {
        return Err(NotificationErrorKind::ZeroLengthPayload);
    }
    if length > limits.payload_max {
        return Err(NotificationErrorKind::PayloadTooLong { length, limit: limits.payload_max });
    }
    Ok(())
}

/// Copies both into one allocation of just their size: a notification that is kept for long keeps nothing else alive.
fn own(token: &[u8], payload: &[u8]) -> (Bytes, Bytes) {
    let mut both = BytesMut::with_capacity(token.len() + payload.len());
    both.put_slice(token);
    both.put_slice(payload);
    let mut payload = both.freeze();
    let token = payload.split_to(token.len());
    (token, payload)
}

#[cfg(test)]
mod tests {
    use super::super::super::reassembly::Work;
    use super::super::{Frame, encode};
    use super::*;

    /// A stream of `count` small notifications in turn of all formats, and the longest possible one at its end.
    fn stream(count: u32) -> BytesMut {
        let mut out = BytesMut::new();
        for identifier in 1..=count {
            let format = [Format::Simple, Format::Enhanced, Format::Items][identifier as usize % 3];
            let frame =
                Frame { format, identifier, expiration: None, priority: None, token: &[1, 2, 3, 4], payload: b"{}" };
            encode(&frame, &mut out).unwrap();
        }
        let (token, payload) = (&[7; 100], &[b' '; 2048]);
        let (expiration, priority) = (Some(9), Some(5));
        encode(&Frame { format: Format::Items, identifier: 1, expiration, priority, token, payload }, &mut out)
            .unwrap();
        out
    }

    fn work(bytes: &[u8], chunk: usize) -> (u32, usize, Work) {
        let mut decoder = NotificationDecoder::new(Limits::default());
        let (mut read, mut most_kept) = (0, 0);
        for mut input in bytes.chunks(chunk) {
            while decoder.decode(&mut input).unwrap().is_some() {
                read += 1;
            }
            most_kept = most_kept.max(decoder.buffered());
        }
        decoder.finish().unwrap();
        (read, most_kept, decoder.stream.work())
    }

    #[test]
    fn the_cost_is_linear_in_the_bytes_however_they_are_split() {
        let bytes = stream(60_000);
        assert!(bytes.len() > 1_000_000);
        for chunk in [1, 2, 3, 7, 64, 1500, 16_384, bytes.len()] {
            let (read, most_kept, work) = work(&bytes, chunk);
            assert_eq!(read, 60_001);
            assert!(most_kept < Limits::default().message_max(), "{most_kept} bytes kept");
            assert!(work.bytes_kept <= bytes.len() as u64, "{work:?}");
            assert!(work.bytes_moved_by_growth <= 2 * Limits::default().message_max() as u64, "{work:?}");
            // At most one look for each of the seven places at which the known length grows, and one to begin with.
            assert!(work.looks <= 8 * u64::from(read), "{work:?}");
        }
        let (_, _, whole) = work(&bytes, bytes.len());
        assert_eq!(whole, Work { bytes_kept: 0, bytes_moved_by_growth: 0, looks: 60_001 });
    }

    #[test]
    fn debug_shows_neither_token_nor_payload() {
        let notification = DecodedNotification::parse(b"\0\0\x06secret\0\x04hide", Limits::default()).unwrap();
        let shown = format!("{notification:?}");
        assert_eq!(
            shown,
            "DecodedNotification { format: Simple, identifier: None, expiration: None, priority: None, \
             token: <6 bytes>, payload: <4 bytes>, item_order: [] }"
        );
    }

    #[test]
    fn debug_of_a_decoder_shows_nothing_of_what_it_keeps() {
        let mut decoder = NotificationDecoder::new(Limits::default());
        assert_eq!(decoder.decode(&mut &b"\0\0\x06sec"[..]), Ok(None));
        assert_eq!(decoder.buffered(), 6);
        let shown = format!("{decoder:?}");
        assert!(!shown.contains("115, 101, 99") && !shown.contains("sec"), "{shown}");
    }
}
