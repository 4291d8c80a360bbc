//! A request of the provider API, ready to be written by any HTTP/2 implementation.

use std::fmt;

use bytes::Bytes;

use super::outgoing::header_list_size;
use crate::InvalidNotification;

enum_with_texts! {
    /// A method of the provider API.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Method {
        /// `GET`: reads and lists channels.
        Get = "GET",
        /// `POST`: sends, and makes a channel.
        Post = "POST",
        /// `DELETE`: deletes a channel.
        Delete = "DELETE",
    }

    /// The text on the wire.
    fn as_str;
}

/// How a header field is best compressed (RFC 7541 section 6.2).
///
/// The service keeps a small dynamic table (4096 bytes), so values that do not come back must not fill it. This is advice:
/// any valid encoding is understood. Sources: Apple, "Sending notification requests to APNs" and "Establishing a
/// connection to APNs".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Indexing {
    /// The value comes back: literal with incremental indexing (section 6.2.1), so that it is one byte the next time.
    Incremental,
    /// The value is another one each time: literal without indexing (section 6.2.2). The first use of such a name on a
    /// connection may be with incremental indexing, to have the name in the table.
    Without,
    /// The value is secret: never indexed, not by anybody on the way either (sections 6.2.3 and 7.1.3).
    Never,
}

/// One header field. The name is in lower case, as HTTP/2 requires.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub name: &'static str,
    /// The value. Cloning shares it.
    pub value: Bytes,
    /// How to compress it.
    pub indexing: Indexing,
}

impl Header {
    pub(super) const fn new(name: &'static str, value: Bytes, indexing: Indexing) -> Self {
        Self { name, value, indexing }
    }
}

/// The name only: a value may be a secret.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: <{} bytes>", self.name, self.value.len())
    }
}

/// A request. The scheme is always `https`. With an empty body the stream ends on HEADERS, without a DATA frame.
///
/// [`Debug`](fmt::Debug) shows no values: the path holds a device token, the headers a provider token, the body a payload.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `:method`.
    pub method: Method,
    /// `:path`. Not worth indexing: each device has another.
    pub path: Bytes,
    /// `:authority`.
    pub authority: Bytes,
    /// All other fields, in order, each name once.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// All fields in the order of the wire: the four pseudo-header fields first (RFC 9113 section 8.3).
    pub fn fields(&self) -> impl Iterator<Item = Header> + '_ {
        let scheme = Bytes::from_static(b"https");
        let method = Bytes::from_static(self.method.as_str().as_bytes());
        [
            Header::new(":method", method, Indexing::Incremental),
            Header::new(":scheme", scheme, Indexing::Incremental),
            Header::new(":authority", self.authority.clone(), Indexing::Incremental),
            Header::new(":path", self.path.clone(), Indexing::Without),
        ]
        .into_iter()
        .chain(self.headers.iter().cloned())
    }

    /// The size that the peer's SETTINGS_MAX_HEADER_LIST_SIZE limits: 32 bytes beside each name and value (RFC 9113
    /// section 6.5.2).
    #[must_use]
    pub fn header_list_size(&self) -> usize {
        header_list_size(self.method, &self.authority, &self.path, self.headers.iter())
    }

    /// Whether the peer would take a header list of this size.
    ///
    /// # Errors
    ///
    /// [`HeadersTooLarge`](InvalidNotification::HeadersTooLarge) with the size and the limit.
    pub fn check_header_list(&self, limit: usize) -> Result<(), InvalidNotification> {
        let size = self.header_list_size();
        if size > limit { Err(InvalidNotification::HeadersTooLarge { size, limit }) } else { Ok(()) }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("body", &format_args!("<{} bytes>", self.body.len()))
            .finish_non_exhaustive()
    }
}
