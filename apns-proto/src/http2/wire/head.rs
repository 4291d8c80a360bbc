//! Requests, as the engine takes them.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Uri};

use super::message::SendError;
use crate::http2;
use crate::http2::{Header, Indexing, Request};

/// Makes the heads of the requests of one connection.
#[derive(Debug)]
pub(super) struct Heads {
    authority: Authority,
    /// The fields that were used before. There are about a dozen names in all.
    used: Vec<Used>,
}

/// A field that was used before: its name is in the compression table.
#[derive(Debug)]
struct Used {
    text: &'static str,
    name: HeaderName,
    /// The last value that is to be indexed. It mostly comes back, and is checked once.
    last: Option<HeaderValue>,
}

impl Heads {
    pub(super) const fn new(authority: Authority) -> Self {
        Self { authority, used: Vec::new() }
    }

    /// The head of this request, whose `:authority` is the connection's.
    ///
    /// # Errors
    ///
    /// [`SendError::Malformed`] where its path or a value is nothing that HTTP can carry.
    pub(super) fn of(&mut self, request: &Request) -> Result<http::Request<()>, SendError> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTPS);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query =
            Some(PathAndQuery::from_maybe_shared(request.path.clone()).map_err(|_| SendError::Malformed)?);
        let mut head = http::Request::new(());
        *head.method_mut() = match request.method {
            http2::Method::Get => Method::GET,
            http2::Method::Post => Method::POST,
            http2::Method::Delete => Method::DELETE,
        };
        *head.version_mut() = http::Version::HTTP_2;
        *head.uri_mut() = Uri::from_parts(uri).map_err(|_| SendError::Malformed)?;
        let headers = head.headers_mut();
        headers.reserve(request.headers.len());
        for header in &request.headers {
            let (name, value) = self.field(header)?;
            headers.append(name, value);
        }
        Ok(head)
    }

    fn field(&mut self, header: &Header) -> Result<(HeaderName, HeaderValue), SendError> {
        let checked = || HeaderValue::from_maybe_shared(header.value.clone()).map_err(|_| SendError::Malformed);
        let Some(used) = self.used.iter_mut().find(|used| used.text == header.name) else {
            let (name, mut value) = (HeaderName::from_static(header.name), checked()?);
            // Also where later values stay out of the table: this one brings the name into it.
            value.set_sensitive(header.indexing == Indexing::Never);
            let last = (header.indexing == Indexing::Incremental).then(|| value.clone());
            self.used.push(Used { text: header.name, name: name.clone(), last });
            return Ok((name, value));
        };
        if header.indexing != Indexing::Incremental {
            let mut value = checked()?;
            value.set_sensitive(true);
            return Ok((used.name.clone(), value));
        }
        let value = match &used.last {
            Some(last) if last.as_bytes() == header.value => last.clone(),
            _ => used.last.insert(checked()?).clone(),
        };
        Ok((used.name.clone(), value))
    }
}
