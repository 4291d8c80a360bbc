//! What is sent: notifications to as many devices, made when they are wanted.

use apns_proto::{DeviceToken, Notification, Payload};

use super::plan::Task;

/// Makes the notifications of one measurement.
pub(super) struct Load {
    shared: Payload,
    size: usize,
    distinct: bool,
}

impl Load {
    pub(super) fn new(task: &Task) -> Self {
        let size = task.payload as usize;
        Self { shared: payload(0, size), size, distinct: task.distinct }
    }

    /// The n-th, to a device of its own.
    pub(super) fn notification(&self, n: u32) -> Notification {
        let payload = if self.distinct { payload(n, self.size) } else { self.shared.clone() };
        Notification::new(token(n), payload)
    }
}

/// Looks like a token, and no two are alike.
fn token(n: u32) -> DeviceToken {
    let mut bytes = [0; 32];
    let mut state = u64::from(n);
    for chunk in bytes.chunks_mut(8) {
        // splitmix64; the last chunk is the number itself.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    }
    bytes[28..].copy_from_slice(&n.to_be_bytes());
    DeviceToken::from_bytes(bytes).expect("32 bytes are a token")
}

/// A payload of about so many bytes, and exactly so many where there is room for a number.
fn payload(n: u32, size: usize) -> Payload {
    const FRAME: usize = r#"{"aps":{"alert":""}}"#.len();
    let room = size.saturating_sub(FRAME);
    let mut text = format!("{n:010}");
    text.truncate(room);
    let json = format!(r#"{{"aps":{{"alert":"{text:x<room$}"}}}}"#);
    Payload::from_json(json).expect("it is JSON with an aps object")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn payloads_have_the_size_that_was_asked_for() {
        for size in [20, 25, 100, 2048, 4096] {
            assert_eq!(payload(7, size).size(), size);
        }
        assert_ne!(payload(7, 100), payload(8, 100));
    }

    #[test]
    fn no_two_tokens_are_alike() {
        let tokens: BTreeSet<_> = (0..1000).map(|n| token(n).as_bytes().to_vec()).collect();
        assert_eq!(tokens.len(), 1000);
    }
}
