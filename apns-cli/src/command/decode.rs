//! `apns decode`: what the bytes of the binary protocol say, field by field.

mod layout;

use std::fmt;

use apns_proto::binary::{
    ErrorResponse, ErrorResponseDecoder, FeedbackDecoder, Limits, NotificationDecoder, NotificationError,
};
use apns_proto::internal::from_hex;
use clap::{Args, ValueEnum};

use self::layout::Layout;
use crate::exit::{Exit, Failure};
use crate::input::Source;
use crate::output::{Output, say};

/// The options of `apns decode`.
#[derive(Args)]
pub(crate) struct DecodeFlags {
    /// The bytes in hexadecimal, with white space, | or : between as you like; - for standard input
    #[arg(value_name = "HEX|-")]
    bytes: String,
    /// What the bytes are: sent to the gateway, sent by it, or sent by the feedback service
    #[arg(long, value_enum, default_value = "auto")]
    kind: Kind,
}

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Whatever fits: 00, 01 and 02 begin a notification, 08 an error response, a date a feedback record
    Auto,
    /// Notifications: commands 0, 1 and 2
    Notification,
    /// Error responses: command 8
    Error,
    /// Records of the feedback service
    Feedback,
}

/// The most that is read from standard input.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What may stand between digits.
fn between(found: char) -> bool {
    found.is_whitespace() || found == '|' || found == ':'
}

impl DecodeFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let text = match self.bytes.as_str() {
            "-" => Source::Stdin.read_text(LARGEST)?,
            _ => self.bytes,
        };
        let bytes = from_hex(&text, between)?;
        let mut output = Output::new();
        let complaint = decode(&bytes, self.kind, &mut |layout| output.line(layout));
        output.finish()?;
        match complaint {
            None if bytes.is_empty() => {
                say(format_args!("apns: there are no bytes"));
                Ok(Exit::Partly)
            }
            None => Ok(Exit::Fine),
            Some(complaint) => {
                say(format_args!("apns: {complaint}"));
                Ok(Exit::Partly)
            }
        }
    }
}

/// Shows one message after another, the bad one last. Gives what is wrong with it.
fn decode(bytes: &[u8], kind: Kind, show: &mut dyn FnMut(Layout)) -> Option<String> {
    match kind {
        Kind::Auto => decode(bytes, guess(bytes), show),
        Kind::Notification => notifications(bytes, show),
        Kind::Error => error_responses(bytes, show),
        Kind::Feedback => feedback_records(bytes, show),
    }
}

/// The first byte of a message is its command; that of a feedback record is the first of a time, which has been above 8
/// since 1974.
fn guess(bytes: &[u8]) -> Kind {
    match bytes {
        [0..=2, ..] => Kind::Notification,
        [8, ..] => Kind::Error,
        [_, _, _, _, high, low, ..] if (1..=Limits::default().token_max()).contains(&length(*high, *low)) => {
            Kind::Feedback
        }
        _ => Kind::Notification,
    }
}

fn length(high: u8, low: u8) -> usize {
    usize::from(u16::from_be_bytes([high, low]))
}

/// Something is wrong at a byte.
struct Fault {
    offset: u64,
    what: String,
}

impl Fault {
    fn new(offset: u64, kind: &dyn fmt::Display) -> Self {
        Self { offset, what: kind.to_string() }
    }

    fn complaint(&self) -> String {
        format!("wrong at byte {}: {}", self.offset, self.what)
    }
}

fn notifications(bytes: &[u8], show: &mut dyn FnMut(Layout)) -> Option<String> {
    let mut decoder = NotificationDecoder::new(Limits::default());
    let mut rest = bytes;
    loop {
        let start = bytes.len() - rest.len();
        match decoder.decode(&mut rest) {
            Ok(Some(_)) => show(layout::notification(bytes, start, Some(bytes.len() - rest.len()))),
            Ok(None) => match decoder.finish() {
                Ok(()) => return None,
                Err(error) => return Some(refused(bytes, start, &error, show)),
            },
            Err(error) => return Some(refused(bytes, start, &error, show)),
        }
    }
}

fn refused(bytes: &[u8], start: usize, error: &NotificationError, show: &mut dyn FnMut(Layout)) -> String {
    let fault = Fault::new(error.offset, &error.kind);
    let mut shown = layout::notification(bytes, start, None).with_fault(&fault);
    if let Some(status) = error.gateway_status_hint() {
        shown = shown.with_remark(format!("a gateway would most likely answer with status {status}"));
    }
    show(shown);
    fault.complaint()
}

fn error_responses(bytes: &[u8], show: &mut dyn FnMut(Layout)) -> Option<String> {
    // A gateway sends one on each connection; a capture may hold those of several.
    for (index, one) in bytes.chunks(ErrorResponse::LEN).enumerate() {
        let start = index * ErrorResponse::LEN;
        let mut decoder = ErrorResponseDecoder::new();
        let read = decoder.decode(&mut &one[..]).and_then(|response| decoder.finish().map(|()| response));
        match read {
            Ok(response) => {
                let end = start + one.len();
                let shown = layout::error_response(bytes, start, Some(end));
                show(match response {
                    Some(response) => shown.with_remark(layout::meaning(response)),
                    None => shown,
                });
            }
            Err(error) => {
                let fault = Fault::new(start as u64 + error.offset, &error.kind);
                show(layout::error_response(bytes, start, None).with_fault(&fault));
                return Some(fault.complaint());
            }
        }
    }
    None
}

fn feedback_records(bytes: &[u8], show: &mut dyn FnMut(Layout)) -> Option<String> {
    let mut decoder = FeedbackDecoder::default();
    let mut rest = bytes;
    loop {
        let start = bytes.len() - rest.len();
        let error = match decoder.decode(&mut rest) {
            Ok(Some(_)) => {
                show(layout::feedback_record(bytes, start, Some(bytes.len() - rest.len())));
                continue;
            }
            Ok(None) => match decoder.finish() {
                Ok(()) => return None,
                Err(error) => error,
            },
            Err(error) => error,
        };
        let fault = Fault::new(error.offset, &error.kind);
        show(layout::feedback_record(bytes, start, None).with_fault(&fault));
        return Some(fault.complaint());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, kind: Kind) -> (String, Option<String>) {
        let mut shown = String::new();
        let complaint = decode(&from_hex(text, between).unwrap(), kind, &mut |layout| {
            shown += &format!("{layout}\n");
        });
        (shown, complaint)
    }

    #[test]
    fn a_frame_of_items() {
        let text = "02 0000001e 010004deadbeef 0200027b7d 03000400000007 0400046553f100 0500010a";
        let expected = "\
notification at byte 0, 35 bytes
       0  command       2 (frame of items)
       1  frame length  30
       5  item 1        device token, 4 bytes: deadbeef
      12  item 2        payload, 2 bytes: {}
      17  item 3        identifier, 4 bytes: 7
      24  item 4        expiration, 4 bytes: 1700000000 (2023-11-14T22:13:20Z)
      31  item 5        priority, 1 byte: 10 (at once)
";
        assert_eq!(shown(text, Kind::Auto), (expected.to_owned(), None));
    }

    #[test]
    fn several_in_one_write() {
        let text = "000004deadbeef00027b7d|0100000001000000000004deadbeef00027b7d|0200000013010004deadbeef0200027b7d03000400000007";
        let (shown, complaint) = shown(text, Kind::Auto);
        let expected = "\
notification at byte 0, 11 bytes
       0  command       0 (simple)
       1  token length  4
       3  device token  deadbeef
       7  payload length  2
       9  payload       {}
notification at byte 11, 19 bytes
      11  command       1 (enhanced)
      12  identifier    1
      16  expiration    0 (one attempt, no storage)
      20  token length  4
";
        assert!(shown.starts_with(expected), "{shown}");
        assert!(shown.contains("notification at byte 30, 24 bytes\n"), "{shown}");
        assert_eq!(complaint, None);
    }

    #[test]
    fn a_bad_one_is_marked_where_it_is_bad() {
        let text = "000004deadbeef00027b7d 020000000c010004deadbeef0200037b7d";
        let (shown, complaint) = shown(text, Kind::Auto);
        let expected = "\
notification at byte 11
      11  command       2 (frame of items)
      12  frame length  12
      16  item 1        device token, 4 bytes: deadbeef
 !    23  item 2        payload, 3 bytes: 7b7d (cut)
 !        wrong at byte 23: an item of 3 bytes, and 2 are left in the frame
          a gateway would most likely answer with status 128 (protocol_error)
";
        assert!(shown.ends_with(expected), "{shown}");
        assert_eq!(complaint.unwrap(), "wrong at byte 23: an item of 3 bytes, and 2 are left in the frame");
    }

    #[test]
    fn an_error_response_says_what_it_means() {
        let expected = "\
error response at byte 0, 6 bytes
       0  command       8
       1  status        8 (invalid_token)
       2  identifier    7
          what was written before it was accepted, this one was rejected, what was written after it was thrown away
";
        assert_eq!(shown("080800000007", Kind::Auto), (expected.to_owned(), None));
        let (shown, complaint) = shown("0808000000", Kind::Auto);
        assert!(shown.contains(" !        wrong at byte 5: the input ends, and a response has 6 bytes"), "{shown}");
        assert!(complaint.is_some());
    }

    #[test]
    fn feedback_records() {
        let expected = "\
feedback record at byte 0, 10 bytes
       0  timestamp     1700000000 (2023-11-14T22:13:20Z)
       4  token length  4
       6  device token  deadbeef
";
        assert_eq!(shown("6553f100 0004 deadbeef", Kind::Auto), (expected.to_owned(), None));
        let (shown, complaint) = shown("000000010004deadbeef000000020004deadbe", Kind::Feedback);
        assert!(shown.contains("      16  device token  deadbe (cut)\n !        wrong at byte 19: "), "{shown}");
        assert!(complaint.is_some());
    }

    #[test]
    fn nothing_is_fine() {
        for kind in [Kind::Auto, Kind::Notification, Kind::Error, Kind::Feedback] {
            assert_eq!(shown("", kind), (String::new(), None));
        }
    }
}
