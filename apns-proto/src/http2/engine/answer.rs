//! An answer on its way in: its status, the fields that matter, its body.

use std::fmt;

use super::hpack::Name;
use super::message::Response;

/// A header field of an answer that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// `apns-id`.
    ApnsId,
    /// `apns-unique-id`, of the sandbox.
    UniqueId,
    /// `apns-request-id`, of broadcasts and channels.
    RequestId,
    /// `apns-channel-id`, of channels.
    ChannelId,
    /// `retry-after`.
    RetryAfter,
    /// `date`.
    Date,
}

/// How many fields are kept.
const KEPT: usize = 6;

impl Field {
    /// The field with this name.
    pub(super) const fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"apns-id" => Self::ApnsId,
            b"apns-unique-id" => Self::UniqueId,
            b"apns-request-id" => Self::RequestId,
            b"apns-channel-id" => Self::ChannelId,
            b"retry-after" => Self::RetryAfter,
            b"date" => Self::Date,
            _ => return None,
        })
    }
}

/// The values of the fields that are kept. What an answer mostly has (two UUIDs, a date, a few digits) needs no allocation.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    text: [u8; Self::ROOM],
    used: u8,
    /// Where each value is in `text`.
    spans: [Option<(u8, u8)>; KEPT],
    /// Values that did not fit.
    large: Vec<(Field, Box<[u8]>)>,
}

impl Fields {
    const ROOM: usize = 112;

    pub(super) const fn new() -> Self {
        Self { text: [0; Self::ROOM], used: 0, spans: [None; KEPT], large: Vec::new() }
    }

    /// The value of a field; of one that stood there twice, the first.
    pub(crate) fn get(&self, field: Field) -> Option<&[u8]> {
        if let Some((at, len)) = self.spans[field as usize] {
            return self.text.get(usize::from(at)..usize::from(at + len));
        }
        self.large.iter().find(|(known, _)| *known == field).map(|(_, value)| &**value)
    }

    pub(super) fn put(&mut self, field: Field, value: &[u8]) {
        if self.get(field).is_some() {
            return;
        }
        let at = usize::from(self.used);
        match self.text.get_mut(at..at + value.len()) {
            Some(place) => {
                place.copy_from_slice(value);
                self.spans[field as usize] = Some((self.used, value.len() as u8));
                self.used += value.len() as u8;
            }
            None => self.large.push((field, value.into())),
        }
    }
}

/// Values are the peer's, and may repeat what was sent to it.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").finish_non_exhaustive()
    }
}

/// What has come of an answer.
#[derive(Debug)]
pub(super) struct Assembly {
    /// 0 until it came.
    pub(super) status: u16,
    fields: Fields,
    body: Vec<u8>,
    /// What `content-length` says.
    length: Option<u64>,
    pub(super) malformed: bool,
    cut: bool,
}

/// What a header block turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// An answer that says that another one follows.
    Interim,
    /// The answer, or what comes behind its body.
    Part,
    /// None of these: there is no status.
    Nothing,
}

/// The fields of one header block on their way in.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    answer: &'a mut Assembly,
    status: Option<u16>,
    trailers: bool,
    /// A field without a colon came; none with one may follow (RFC 9113 section 8.3).
    regular: bool,
    bad: bool,
}

impl Assembly {
    pub(super) const fn new() -> Self {
        Self { status: 0, fields: Fields::new(), body: Vec::new(), length: None, malformed: false, cut: false }
    }

    /// Whether the status came.
    pub(super) const fn has_status(&self) -> bool {
        self.status != 0
    }

    pub(super) const fn read(&mut self) -> Reading<'_> {
        let trailers = self.has_status();
        Reading { answer: self, status: None, trailers, regular: false, bad: false }
    }

    /// Takes a part of the body. Says whether all of it is kept: at most `max` bytes are.
    pub(super) fn push(&mut self, data: &[u8], max: usize) -> bool {
        let room = max - self.body.len();
        self.body.extend_from_slice(&data[..data.len().min(room)]);
        self.cut = data.len() > room;
        !self.cut
    }

    /// The answer came to its end: looks whether its length is what it said.
    pub(super) fn ended(&mut self) {
        let length = self.body.len() as u64;
        let none = matches!(self.status, 204 | 304);
        // Such an answer may say how long the body would have been (RFC 9110 section 8.6).
        let lies = self.length.is_some_and(|said| said != length && !(none && length == 0));
        self.malformed |= lies || (none && length > 0);
    }

    /// The answer, as far as it came; `None` before its status.
    pub(super) fn into_response(self, complete: bool) -> Option<Response> {
        self.has_status().then(|| Response {
            status: self.status,
            fields: self.fields,
            body: self.body.into(),
            complete: complete && !self.cut,
            malformed: self.malformed,
        })
    }
}

impl Reading<'_> {
    /// Takes a field.
    pub(super) fn field(&mut self, name: Name, value: &[u8]) {
        match name {
            Name::Status => {
                self.bad |= self.regular || self.trailers || self.status.is_some();
                if self.status.is_none() && !self.trailers {
                    self.status = status(value);
                }
                return;
            }
            Name::Pseudo | Name::Forbidden => self.bad = true,
            Name::ContentLength if !self.trailers => {
                let said = number(value);
                self.bad |= said.is_none() || self.answer.length.is_some_and(|before| Some(before) != said);
                self.answer.length = said;
            }
            Name::Known(field) if !self.trailers => self.answer.fields.put(field, value),
            Name::Known(_) | Name::ContentLength | Name::Other => {}
        }
        self.regular = true;
        self.bad |= value.iter().fold(false, |bad, byte| bad | matches!(byte, 0 | b'\r' | b'\n'));
    }

    /// The block is over, and perhaps the answer with it.
    pub(super) fn done(self, end: bool) -> Block {
        let Self { answer, status, trailers, bad, .. } = self;
        if trailers {
            // What follows a body ends the answer (RFC 9113 section 8.1).
            answer.malformed |= bad || !end;
            return Block::Part;
        }
        match status {
            None => Block::Nothing,
            Some(100..=199) => {
                (answer.fields, answer.length) = (Fields::new(), None);
                if end { Block::Nothing } else { Block::Interim }
            }
            Some(status) => {
                answer.status = status;
                answer.malformed |= bad || status < 100;
                Block::Part
            }
        }
    }
}

/// Three digits. Those below 100 are no status, and are told as they came; only 000 is taken for none.
fn status(value: &[u8]) -> Option<u16> {
    let &[a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = value else { return None };
    let status = [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (status != 0).then_some(status)
}

fn number(value: &[u8]) -> Option<u64> {
    let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(fields: &[(Name, &str)], body: &str, end_on_headers: bool) -> Option<Response> {
        let mut answer = Assembly::new();
        let mut reading = answer.read();
        fields.iter().for_each(|(name, value)| reading.field(*name, value.as_bytes()));
        if reading.done(end_on_headers) == Block::Part {
            answer.push(body.as_bytes(), 100);
            answer.ended();
        }
        answer.into_response(true)
    }

    #[test]
    fn an_answer_that_lies_about_its_length_is_kept_and_marked() {
        for (length, body, malformed) in [
            ("2", "{}", false),
            ("1", "{}", true),
            ("3", "{}", true),
            ("x", "{}", true),
            ("0", "", false),
            ("7", "", true),
        ] {
            let fields = [(Name::Status, "410"), (Name::ContentLength, length)];
            let response = answer(&fields, body, body.is_empty()).unwrap();
            assert_eq!((response.status, &response.body[..]), (410, body.as_bytes()));
            assert_eq!((response.complete, response.malformed), (true, malformed), "{length} {body}");
        }
        let twice = [(Name::Status, "200"), (Name::ContentLength, "2"), (Name::ContentLength, "3")];
        assert!(answer(&twice, "abc", false).unwrap().malformed);
    }

    #[test]
    fn a_body_where_none_may_be_is_kept_and_marked() {
        for status in ["204", "304"] {
            assert!(answer(&[(Name::Status, status)], "{}", false).unwrap().malformed);
            let would = [(Name::Status, status), (Name::ContentLength, "10")];
            assert!(!answer(&would, "", true).unwrap().malformed);
        }
    }

    #[test]
    fn what_is_no_status_is_none() {
        for value in ["", "20", "2000", "abc", "2 0", "-20", "000"] {
            assert_eq!(answer(&[(Name::Status, value)], "", true), None, "{value}");
        }
        let odd = answer(&[(Name::Status, "099")], "", true).unwrap();
        assert_eq!((odd.status, odd.malformed), (99, true));
        assert_eq!(
            answer(&[(Name::Status, "999")], "", true).map(|odd| (odd.status, odd.malformed)),
            Some((999, false))
        );
    }

    #[test]
    fn fields_that_may_not_be_mark_an_answer() {
        for (name, value) in [
            (Name::Forbidden, "x"),
            (Name::Pseudo, "/"),
            (Name::Status, "200"),
            (Name::Other, "a\r\nb"),
            (Name::Known(Field::Date), "\0"),
        ] {
            let response = answer(&[(Name::Status, "410"), (name, value)], "", true).unwrap();
            assert!(response.malformed, "{name:?}: {value:?}");
            assert_eq!(response.status, 410);
        }
        let late = [(Name::Other, "x"), (Name::Status, "200")];
        assert!(answer(&late, "", true).unwrap().malformed);
    }

    #[test]
    fn the_first_of_two_fields_counts_and_a_long_one_fits_too() {
        let long = "x".repeat(300);
        let fields = [
            (Name::Status, "200"),
            (Name::Known(Field::UniqueId), &*long),
            (Name::Known(Field::ApnsId), "a"),
            (Name::Known(Field::ApnsId), "b"),
            (Name::Known(Field::UniqueId), "c"),
        ];
        let response = answer(&fields, "", true).unwrap();
        assert_eq!(response.fields.get(Field::ApnsId), Some(&b"a"[..]));
        assert_eq!(response.fields.get(Field::UniqueId), Some(long.as_bytes()));
        assert_eq!(response.fields.get(Field::Date), None);
    }

    #[test]
    fn the_fields_of_an_interim_answer_are_dropped() {
        let mut answer = Assembly::new();
        for (status, date, block) in [("103", "early", Block::Interim), ("200", "late", Block::Part)] {
            let mut reading = answer.read();
            reading.field(Name::Status, status.as_bytes());
            reading.field(Name::Known(Field::Date), date.as_bytes());
            assert_eq!(reading.done(false), block);
        }
        assert_eq!(answer.into_response(true).unwrap().fields.get(Field::Date), Some(&b"late"[..]));
        let mut last = Assembly::new();
        let mut reading = last.read();
        reading.field(Name::Status, b"103");
        assert_eq!(reading.done(true), Block::Nothing, "nothing follows");
    }
}
