/// Why a message cannot be put on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The length field of a device token has two bytes.
    #[error("the device token has {length} bytes, and its length field holds at most 65535")]
    TokenTooLong {
        /// Bytes in the token.
        length: usize,
    },
    /// The length field of a payload has two bytes.
    #[error("the payload has {length} bytes, and its length field holds at most 65535")]
    PayloadTooLong {
        /// Bytes in the payload.
        length: usize,
    },
    /// The time field of a feedback record has four bytes: it ends on 2106-02-07.
    #[error("the timestamp is {seconds} s after 1970, and its field holds at most 4294967295")]
    TimestampTooLate {
        /// Seconds since 1970.
        seconds: u64,
    },
}
