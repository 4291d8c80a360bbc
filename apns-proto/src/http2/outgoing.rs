//! A request in the parts that the engine writes: what comes back from request to request, and what does not.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::{Header, Indexing, Method, Request};

/// What many requests have in common. It is shared, so that the engine can keep what it encoded for it.
#[derive(Debug)]
pub struct Head {
    pub(super) method: Method,
    /// The fields, in order.
    pub(super) headers: Vec<Header>,
}

/// A request on its way to the engine.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) head: &'a Arc<Head>,
    /// The value of `authorization`.
    pub(super) authorization: Option<&'a Bytes>,
    pub(super) path: &'a [u8],
    /// The other fields of this request alone, in order.
    pub(super) varying: &'a [Header],
    pub(super) body: &'a Bytes,
}

impl Outgoing<'_> {
    /// The same, owned.
    pub(super) fn to_request(self, authority: Bytes) -> Request {
        let mut headers = Vec::with_capacity(1 + self.head.headers.len() + self.varying.len());
        headers.extend(self.authorization.map(|value| Header::new("authorization", value.clone(), Indexing::Never)));
        headers.extend(self.head.headers.iter().chain(self.varying).cloned());
        let (path, body) = (Bytes::copy_from_slice(self.path), self.body.clone());
        Request { method: self.head.method, path, authority, headers, body }
    }

    /// The size that the peer's SETTINGS_MAX_HEADER_LIST_SIZE limits, for a server of this name.
    pub(super) fn header_list_size(&self, authority: &[u8]) -> usize {
        let authorization = self.authorization.map(|value| "authorization".len() + value.len() + FIELD_OVERHEAD);
        let headers = self.head.headers.iter().chain(self.varying);
        header_list_size(self.head.method, authority, self.path, headers) + authorization.unwrap_or_default()
    }
}

/// No values: they are secrets.
impl fmt::Debug for Outgoing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("head", &self.head).finish_non_exhaustive()
    }
}

/// What each field counts beside its name and value.
const FIELD_OVERHEAD: usize = 32;

/// The size of a header list (RFC 9113 section 6.5.2).
pub(super) fn header_list_size<'a>(
    method: Method,
    authority: &[u8],
    path: &[u8],
    headers: impl Iterator<Item = &'a Header>,
) -> usize {
    let pseudo = [
        (":method", method.as_str().len()),
        (":scheme", "https".len()),
        (":authority", authority.len()),
        (":path", path.len()),
    ];
    let headers = headers.map(|header| (header.name, header.value.len()));
    pseudo.into_iter().chain(headers).map(|(name, value)| name.len() + value + FIELD_OVERHEAD).sum()
}
