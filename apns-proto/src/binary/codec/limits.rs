//! What a gateway accepts.

use crate::{InvalidNotification, Notification, Priority};

/// The largest device token and payload that a decoder accepts.
///
/// Apple's documents disagree on the payload (256 bytes in the appendix on the enhanced format, 2048 in the payload
/// chapter of the same guide), so it is a parameter. The default is [`FROM_2014`](Self::FROM_2014).
///
/// A decoder buffers at most [`message_max`](Self::message_max) bytes of a message that has not arrived in full.
///
/// ```
/// use apns_proto::binary::Limits;
///
/// assert_eq!(Limits::default().frame_max(), 2172);
/// let voip = Limits::FROM_2014.with_payload_max(4096);
/// assert_eq!((voip.token_max(), voip.payload_max()), (100, 4096));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub(super) token_max: u16,
    pub(super) payload_max: u16,
    longest_frame: usize,
}

impl Limits {
    /// Until mid 2014: payloads of up to 256 bytes (*Legacy Notification Format*).
    ///
    /// Tokens are held to the later limit of 100 bytes; no earlier one was published.
    pub const PRE_2014: Self = Self { token_max: 100, payload_max: 256, longest_frame: 0 };

    /// From June 2014 to the end: payloads of up to 2048 bytes (*Creating the Remote Notification Payload*), tokens
    /// of up to 100 (*Binary Provider API*, item 1).
    pub const FROM_2014: Self = Self { token_max: 100, payload_max: 2048, longest_frame: 0 };

    /// Sets the largest device token in bytes; 100 in both profiles.
    #[must_use]
    pub const fn with_token_max(mut self, bytes: u16) -> Self {
        self.token_max = bytes;
        self
    }

    /// Sets the largest payload in bytes; 256 or 2048 in the profiles.
    #[must_use]
    pub const fn with_payload_max(mut self, bytes: u16) -> Self {
        self.payload_max = bytes;
        self
    }

    /// Reads frames of command 2 up to this length whole, also where that breaks a limit, so that what is wrong in them can
    /// be named with their identifier. Default: [`frame_max`](Self::frame_max), which is also the least.
    #[must_use]
    pub const fn with_longest_frame(mut self, bytes: usize) -> Self {
        self.longest_frame = bytes;
        self
    }

    /// The largest frame data of command 2 that is read.
    #[must_use]
    pub(crate) const fn longest_frame(self) -> usize {
        if self.longest_frame > self.frame_max() { self.longest_frame } else { self.frame_max() }
    }

    /// The largest device token in bytes.
    #[must_use]
    pub const fn token_max(self) -> usize {
        self.token_max as usize
    }

    /// The largest payload in bytes.
    #[must_use]
    pub const fn payload_max(self) -> usize {
        self.payload_max as usize
    }

    /// The largest frame data of command 2 that breaks no limit: one of each item.
    #[must_use]
    pub const fn frame_max(self) -> usize {
        let headers = 5 * 3;
        let identifier_expiration_priority = 4 + 4 + 1;
        headers + self.token_max() + self.payload_max() + identifier_expiration_priority
    }

    /// The largest message of any command that is read: a frame behind its command and length.
    #[must_use]
    pub const fn message_max(self) -> usize {
        1 + 4 + self.longest_frame()
    }

    /// Whether a gateway with these limits could take a notification at all.
    ///
    /// # Errors
    ///
    /// * [`PayloadTooLarge`](InvalidNotification::PayloadTooLarge): above the largest payload;
    /// * [`Expiration`](InvalidNotification::Expiration): beyond the end of the protocol's clock;
    /// * [`PriorityNotSupported`](InvalidNotification::PriorityNotSupported): one that the binary protocol has no number for.
    pub fn check(self, notification: &Notification) -> Result<(), InvalidNotification> {
        let (size, limit) = (notification.payload().size(), self.payload_max());
        if size > limit {
            return Err(InvalidNotification::PayloadTooLarge { size, limit });
        }
        notification.expiration().check()?;
        match notification.priority() {
            Some(priority @ Priority::NeverWake) => {
                Err(InvalidNotification::PriorityNotSupported { priority: priority.number() })
            }
            Some(Priority::Immediate | Priority::PowerSaving) | None => Ok(()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::FROM_2014
    }
}
