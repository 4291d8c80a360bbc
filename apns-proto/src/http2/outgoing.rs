//! A request in the parts that the engine writes: what comes back from request to request, and what does not.

use std::sync::Arc;

use bytes::Bytes;

use super::{Header, Method, Request};

/// What many requests have in common. It is shared, so that the engine can keep what it encoded for it.
#[derive(Debug)]
pub(super) struct Head {
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
    /// The size that the peer's SETTINGS_MAX_HEADER_LIST_SIZE limits, for a server of this name.
    pub(super) fn header_list_size(&self, authority: &[u8]) -> usize {
        let authorization = self.authorization.map(|value| "authorization".len() + value.len() + FIELD_OVERHEAD);
        let headers = self.head.headers.iter().chain(self.varying);
        header_list_size(self.head.method, authority, self.path, headers) + authorization.unwrap_or_default()
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

impl Request {
    /// What the engine takes of it beside path and body, with all its fields.
    pub(super) fn head(&self) -> Arc<Head> {
        Arc::new(Head { method: self.method, headers: self.headers.clone() })
    }

    pub(super) fn outgoing<'a>(&'a self, head: &'a Arc<Head>) -> Outgoing<'a> {
        Outgoing { head, authorization: None, path: &self.path, varying: &[], body: &self.body }
    }
}
