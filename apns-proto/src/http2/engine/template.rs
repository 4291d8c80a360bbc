//! What was encoded for heads that come back.

use std::sync::Arc;

use bytes::Bytes;

use super::hpack::Encoder;
use crate::http2::outgoing::{Head, Outgoing};
use crate::http2::recent::Recent;
use crate::http2::{Indexing, Method};

/// The encoded blocks of the last heads, for as long as the table that they were encoded with is the same.
pub(super) struct Templates(Recent<Template>);

// No `Debug`: there is a provider token in it.
pub(super) struct Template {
    head: Arc<Head>,
    authorization: Option<Bytes>,
    /// The state of the encoder that it is good for.
    version: u64,
    /// What stands before the path and behind it.
    before: Vec<u8>,
    behind: Vec<u8>,
}

impl Templates {
    pub(super) const fn new() -> Self {
        Self(Recent::new())
    }

    /// What was encoded for the head of this request, if it is still good.
    pub(super) fn find(&self, request: &Outgoing<'_>, encoder: &Encoder) -> Option<&Template> {
        self.0.find(|template| template.version == encoder.version() && template.is_for(request))
    }

    /// Encodes a block, and keeps it if the table was not changed by it.
    pub(super) fn make(&mut self, request: &Outgoing<'_>, authority: &Bytes, encoder: &mut Encoder, out: &mut Vec<u8>) {
        encoder.begin(out);
        let version = encoder.version();
        let start = out.len();
        match request.head.method {
            Method::Get => Encoder::static_field(2, out),
            Method::Post => Encoder::static_field(3, out),
            Method::Delete => encoder.field(":method", &Bytes::from_static(b"DELETE"), Indexing::Incremental, out),
        }
        // `https`.
        Encoder::static_field(7, out);
        encoder.field(":authority", authority, Indexing::Incremental, out);
        let path = out.len();
        Encoder::path(request.path, out);
        let behind = out.len();
        if let Some(authorization) = request.authorization {
            encoder.field("authorization", authorization, Indexing::Never, out);
        }
        for header in &request.head.headers {
            encoder.field(header.name, &header.value, header.indexing, out);
        }
        if encoder.version() == version {
            let template = Template {
                head: Arc::clone(request.head),
                authorization: request.authorization.cloned(),
                version,
                before: out[start..path].to_vec(),
                behind: out[behind..].to_vec(),
            };
            self.0.keep(template, |kept| Arc::ptr_eq(&kept.head, request.head));
        }
    }
}

impl Template {
    /// Writes the block with this path.
    pub(super) fn write(&self, path: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        Encoder::path(path, out);
        out.extend_from_slice(&self.behind);
    }

    fn is_for(&self, request: &Outgoing<'_>) -> bool {
        // The same text in another place is encoded anew, which does no harm.
        let same = |one: &Bytes, other: &Bytes| one.as_ptr() == other.as_ptr() && one.len() == other.len();
        Arc::ptr_eq(&self.head, request.head)
            && match (&self.authorization, request.authorization) {
                (None, None) => true,
                (Some(one), Some(other)) => same(one, other),
                _ => false,
            }
    }
}
