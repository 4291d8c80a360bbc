//! How large a payload may be.

use std::fmt;

/// A limit on the encoded payload, in bytes of UTF-8 exactly as sent.
///
/// Sources: Apple, "Generating a remote notification" (4096, VoIP 5120) and "Sending broadcast push notification requests
/// to APNs" (5120); the archived "Local and Remote Notification Programming Guide" (2048 and 256).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadLimit(usize);

impl PayloadLimit {
    /// The binary protocol before 2014: 256 bytes.
    pub const BINARY_LEGACY: Self = Self(256);
    /// The binary protocol from 2014 on: 2048 bytes.
    pub const BINARY_2014: Self = Self(2048);
    /// The HTTP/2 provider API for all push types but `voip`: 4096 bytes.
    pub const HTTP2: Self = Self(4096);
    /// The HTTP/2 provider API for `voip`: 5120 bytes.
    pub const VOIP: Self = Self(5120);
    /// A broadcast on a channel: 5120 bytes.
    pub const BROADCAST: Self = Self(5120);

    /// A limit of one's own, for a gateway with other rules.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// The limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }
}

impl fmt::Display for PayloadLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}
