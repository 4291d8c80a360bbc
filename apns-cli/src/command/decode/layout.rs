//! Which byte is which field, for good messages and as far as bad ones go.

use std::fmt;

use apns_proto::binary::{ErrorResponse, Format, Status, StatusKind};
use apns_proto::internal::to_hex;

use super::Fault;
use crate::calendar::Date;

/// A message with its fields.
pub(super) struct Layout {
    what: &'static str,
    start: usize,
    /// One byte behind it; absent for a bad one, of which nobody knows.
    end: Option<usize>,
    fields: Vec<Field>,
    fault: Option<String>,
    /// The field in which the fault lies, if it lies in one.
    marked: Option<usize>,
    remark: Option<String>,
}

struct Field {
    offset: usize,
    name: String,
    value: String,
}

impl Layout {
    /// Marks the place of the fault, and leaves out what lies behind it.
    pub(super) fn with_fault(mut self, fault: &Fault) -> Self {
        let offset = usize::try_from(fault.offset).unwrap_or(usize::MAX);
        self.fields.retain(|field| field.offset <= offset);
        self.marked = self.fields.iter().position(|field| field.offset == offset);
        self.fault = Some(fault.complaint());
        self
    }

    /// Adds something that a person may want to know.
    pub(super) fn with_remark(mut self, remark: String) -> Self {
        self.remark = Some(remark);
        self
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.start)?;
        if let Some(end) = self.end {
            write!(f, ", {}", bytes_in_words(end - self.start))?;
        }
        for (index, Field { offset, name, value }) in self.fields.iter().enumerate() {
            let mark = if self.marked == Some(index) { " !" } else { "  " };
            write!(f, "\n{mark}{offset:>6}  {name:<12}  {value}")?;
        }
        if let Some(fault) = &self.fault {
            write!(f, "\n !        {fault}")?;
        }
        if let Some(remark) = &self.remark {
            write!(f, "\n          {remark}")?;
        }
        Ok(())
    }
}

fn bytes_in_words(count: usize) -> String {
    if count == 1 { "1 byte".to_owned() } else { format!("{count} bytes") }
}

/// Goes through the bytes of one message, as far as they go.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    fields: Vec<Field>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], start: usize, end: Option<usize>) -> Self {
        Self { bytes: &bytes[..end.unwrap_or(bytes.len())], at: start, fields: Vec::new() }
    }

    fn put(&mut self, offset: usize, name: impl Into<String>, value: String) {
        self.fields.push(Field { offset, name: name.into(), value });
    }

    /// A field of so many bytes, shown by `show`. Where there are fewer, they are shown as they are, and the walk is over.
    fn take(&mut self, name: &str, length: usize, show: impl FnOnce(&[u8]) -> String) -> Option<&'a [u8]> {
        let offset = self.at;
        let rest = &self.bytes[offset..];
        let data = &rest[..length.min(rest.len())];
        self.at += data.len();
        if data.len() < length {
            if !data.is_empty() {
                self.put(offset, name, format!("{} (cut)", to_hex(data)));
            }
            return None;
        }
        self.put(offset, name, show(data));
        Some(data)
    }

    fn number(&mut self, name: &str, length: usize, show: impl FnOnce(u32) -> String) -> Option<u32> {
        self.take(name, length, |data| show(number(data))).map(number)
    }

    fn length(&mut self, name: &str, width: usize) -> Option<usize> {
        self.number(name, width, |length| length.to_string()).and_then(|length| usize::try_from(length).ok())
    }

    fn finish(self, what: &'static str, start: usize, end: Option<usize>) -> Layout {
        Layout { what, start, end, fields: self.fields, fault: None, marked: None, remark: None }
    }
}

/// The number in at most four bytes.
fn number(data: &[u8]) -> u32 {
    data.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A notification that starts there.
pub(super) fn notification(bytes: &[u8], start: usize, end: Option<usize>) -> Layout {
    let mut walk = Walk::new(bytes, start, end);
    // Stops where the bytes end.
    let _complete: Option<()> = walk_notification(&mut walk);
    walk.finish("notification", start, end)
}

fn walk_notification(walk: &mut Walk<'_>) -> Option<()> {
    let command = walk.number("command", 1, |command| {
        let format = u8::try_from(command).ok().and_then(Format::from_command);
        match format {
            Some(Format::Simple) => "0 (simple)".to_owned(),
            Some(Format::Enhanced) => "1 (enhanced)".to_owned(),
            Some(Format::Items) => "2 (frame of items)".to_owned(),
            None => command.to_string(),
        }
    })?;
    match u8::try_from(command).ok().and_then(Format::from_command)? {
        Format::Simple => walk_token_and_payload(walk),
        Format::Enhanced => {
            walk.number("identifier", 4, |identifier| identifier.to_string())?;
            walk.number("expiration", 4, expiration)?;
            walk_token_and_payload(walk)
        }
        Format::Items => {
            let length = walk.length("frame length", 4)?;
            let end = walk.at.saturating_add(length).min(walk.bytes.len());
            while walk.at < end {
                walk_item(walk, end)?;
            }
            Some(())
        }
    }
}

fn walk_token_and_payload(walk: &mut Walk<'_>) -> Option<()> {
    let length = walk.length("token length", 2)?;
    walk.take("device token", length, to_hex)?;
    let length = walk.length("payload length", 2)?;
    walk.take("payload", length, payload)?;
    Some(())
}

/// An item on one line. It ends where its frame does.
fn walk_item(walk: &mut Walk<'_>, end: usize) -> Option<()> {
    let offset = walk.at;
    let item = &walk.bytes[offset..end];
    let [id, high, low, data @ ..] = item else {
        walk.at = end;
        walk.put(offset, "rest", format!("{} (no item)", to_hex(item)));
        return None;
    };
    let length = super::length(*high, *low);
    let name = match id {
        1 => "device token",
        2 => "payload",
        3 => "identifier",
        4 => "expiration",
        5 => "priority",
        _ => "unknown",
    };
    let data = &data[..length.min(data.len())];
    walk.at = offset + 3 + data.len();
    let value = match (id, data.len()) {
        (_, present) if present < length => format!("{} (cut)", to_hex(data)),
        (_, 0) => "nothing".to_owned(),
        (2, _) => payload(data),
        (3, 4) => number(data).to_string(),
        (4, 4) => expiration(number(data)),
        (5, 1) => priority(number(data)),
        _ => to_hex(data),
    };
    walk.put(offset, format!("item {id}"), format!("{name}, {}: {value}", bytes_in_words(length)));
    Some(())
}

/// The text, if it is one; without anything that would move the cursor.
fn payload(data: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(data) else { return format!("{} (not UTF-8)", to_hex(data)) };
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        shown.push_str(" (not JSON)");
    }
    shown
}

fn expiration(seconds: u32) -> String {
    match seconds {
        0 => "0 (one attempt, no storage)".to_owned(),
        _ => date(seconds),
    }
}

fn date(seconds: u32) -> String {
    format!("{seconds} ({})", Date(u64::from(seconds)))
}

fn priority(number: u32) -> String {
    match number {
        5 => "5 (when it suits the device)".to_owned(),
        10 => "10 (at once)".to_owned(),
        _ => number.to_string(),
    }
}

/// An error response that starts there.
pub(super) fn error_response(bytes: &[u8], start: usize, end: Option<usize>) -> Layout {
    let mut walk = Walk::new(bytes, start, Some(end.unwrap_or(bytes.len()).min(start + ErrorResponse::LEN)));
    let _complete: Option<()> = walk_error_response(&mut walk);
    walk.finish("error response", start, end)
}

fn walk_error_response(walk: &mut Walk<'_>) -> Option<()> {
    walk.number("command", 1, |command| command.to_string())?;
    walk.take("status", 1, |status| Status::from_raw(status[0]).to_string())?;
    walk.number("identifier", 4, |identifier| match identifier {
        0 => "0 (the gateway does not know which)".to_owned(),
        _ => identifier.to_string(),
    })?;
    Some(())
}

/// What a response says about all that was written.
pub(super) fn meaning(response: ErrorResponse) -> String {
    let before = "what was written before it was accepted";
    let after = "what was written after it was thrown away";
    match response.status.kind() {
        _ if response.identifier == 0 => {
            "it names nothing, so nobody knows what became of what was written and not proven".to_owned()
        }
        StatusKind::Shutdown => format!("{before}, and so was this one; {after}"),
        StatusKind::NoErrors => format!("{before}, what became of this one is not known, {after}"),
        _ => format!("{before}, this one was rejected, {after}"),
    }
}

/// A feedback record that starts there.
pub(super) fn feedback_record(bytes: &[u8], start: usize, end: Option<usize>) -> Layout {
    let mut walk = Walk::new(bytes, start, end);
    let _complete: Option<()> = walk_feedback_record(&mut walk);
    walk.finish("feedback record", start, end)
}

fn walk_feedback_record(walk: &mut Walk<'_>) -> Option<()> {
    walk.number("timestamp", 4, date)?;
    let length = walk.length("token length", 2)?;
    walk.take("device token", length, to_hex)?;
    Some(())
}
