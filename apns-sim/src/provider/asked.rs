//! A request, taken apart.

use crate::machine::ProviderRequest;
use bytes::Bytes;

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
        let path = request.path();
        let (kind, target) = if let Some(token) = under(path, "/3/device") {
            (RequestKind::Push, token)
        } else if let Some(bundle_id) = under(path, "/4/broadcasts/apps") {
            (RequestKind::Broadcast, bundle_id)
        } else if let Some(rest) = under(path, "/1/apps") {
            (RequestKind::Channels, rest)
        } else {
            (RequestKind::Other, "")
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
        self.request.header(name).and_then(|value| str::from_utf8(value).ok())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.request.header(name)
    }

    /// A header's value, if it is a number in decimal digits.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        let value = self.text(name)?;
        // `parse` would take a sign.
        if value.starts_with('+') { None } else { value.parse().ok() }
    }
}

/// What is under a folder: the rest of the path without the slash, empty for the folder itself.
fn under<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    match path.strip_prefix(folder)? {
        "" => Some(""),
        rest => rest.strip_prefix('/'),
    }
}
