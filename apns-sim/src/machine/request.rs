//! A request as the service sees it.

use std::fmt;

use bytes::Bytes;

use crate::wire;

/// A request that arrived, whole or as far as it is kept.
///
/// [`Debug`](fmt::Debug) shows no values: the path holds a device token, the headers a provider token, the body a payload.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderRequest {
    stream: u32,
    method: Box<str>,
    path: Box<str>,
    authority: Option<Box<str>>,
    headers: Vec<(Box<str>, Bytes)>,
    body: Bytes,
    complete: bool,
}

impl ProviderRequest {
    pub(super) fn from_wire(request: wire::Request) -> Self {
        let headers = request.headers.iter().map(|(name, value)| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            (name.as_str().into(), value)
        });
        Self {
            stream: request.stream,
            method: request.method.as_str().into(),
            headers: headers.collect(),
            path: request.path.into(),
            authority: request.authority.map(Into::into),
            body: request.body,
            complete: request.complete,
        }
    }

    /// The stream identifier, which names the request on its connection.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        self.stream
    }

    /// The `:method`.
    #[must_use]
    pub const fn method(&self) -> &str {
        &self.method
    }

    /// The `:path`.
    #[must_use]
    pub const fn path(&self) -> &str {
        &self.path
    }

    /// The `:authority`; some clients send `host` instead.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// All header fields, in order. Fields of the same name stand together.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (&**name, &value[..]))
    }

    /// The value of a header field; the first, where the name occurs more than once. Give the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// How often a header field occurs.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.headers().filter(|(found, _)| *found == name).count()
    }

    /// The body.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether the body is whole: it was not longer than what is kept, and the client did not break it off.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }
}

impl fmt::Debug for ProviderRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderRequest")
            .field("stream", &self.stream)
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .field("body_len", &self.body.len())
            .field("complete", &self.complete)
            .finish_non_exhaustive()
    }
}
