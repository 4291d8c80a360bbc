//! Requests, for the wire.

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue};

use super::wire::client::{Indexing as WireIndexing, Request as WireRequest, Response as WireResponse};
use super::{Api, Indexing, Method, Request, Response};
use crate::WallTime;

/// The same request, for the wire; the wire has the authority.
pub(super) fn to_wire(request: Request) -> WireRequest {
    let Request { method, path, headers, body, .. } = request;
    let method = match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Delete => http::Method::DELETE,
    };
    let path =
        PathAndQuery::from_maybe_shared(path).expect("paths are made of fixed text, hexadecimal digits and names");
    let mut wire = WireRequest::new(method, path, body);
    for header in headers {
        let value = HeaderValue::from_maybe_shared(header.value).expect("values have no control characters");
        let indexing = match header.indexing {
            Indexing::Incremental => WireIndexing::Shared,
            Indexing::Without => WireIndexing::PerRequest,
            Indexing::Never => WireIndexing::Secret,
        };
        wire = wire.header(HeaderName::from_static(header.name), value, indexing);
    }
    wire
}

/// The same answer, read.
pub(super) fn from_wire(api: Api, now: WallTime, response: WireResponse) -> Response {
    let WireResponse { status, headers, body, complete: _ } = response;
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Response::parse(api, now, status.as_u16(), fields, body)
}
