//! A request, taken apart.

use crate::machine::ProviderRequest;
use bytes::Bytes;

use apns_proto::internal::asked::{Fields, Target};
use apns_proto::internal::from_hex;

use crate::script::RequestKind;

/// What a request says, before it is known whether any of it is right.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a ProviderRequest,
    pub(crate) kind: RequestKind,
    /// What stands in the path: the device token, or the bundle id and what is behind it.
    pub(crate) target: &'a str,
}

impl<'a> Asked<'a> {
    pub(crate) fn read(request: &'a ProviderRequest) -> Self {
        let (kind, target) = match Target::of(request.path()) {
            Target::Device(token) => (RequestKind::Push, token),
            Target::Broadcast(bundle_id) => (RequestKind::Broadcast, bundle_id),
            Target::Channels(rest) => (RequestKind::Channels, rest),
            Target::Other => (RequestKind::Other, ""),
        };
        Self { request, kind, target }
    }

    /// The device token in the path, if it is hexadecimal.
    pub(crate) fn token(&self) -> Option<Bytes> {
        if self.kind != RequestKind::Push || self.target.is_empty() {
            return None;
        }
        from_hex(self.target, |_| false).ok().map(Bytes::from)
    }

    /// The topic, if one is named and is text.
    pub(crate) fn topic(&self) -> Option<&'a str> {
        match self.kind {
            RequestKind::Push | RequestKind::Other => self.text("apns-topic"),
            RequestKind::Broadcast => Some(self.target),
            RequestKind::Channels => Some(self.target.split_once('/').map_or(self.target, |(bundle_id, _)| bundle_id)),
        }
    }

    /// A header's value, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.request.text(name)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.request.header(name)
    }

    /// A header's value, if it is a number in decimal digits.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.request.number(name)
    }
}

impl Fields for ProviderRequest {
    fn method(&self) -> &str {
        self.method()
    }

    fn path(&self) -> &str {
        self.path()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.header(name)
    }

    fn count(&self, name: &str) -> usize {
        self.count(name)
    }

    fn body(&self) -> &[u8] {
        self.body()
    }
}
