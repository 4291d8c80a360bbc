//! Requests, as the engine takes them.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Uri};

use super::message::SendError;
use crate::http2;
use crate::http2::{Indexing, Request};

/// Makes the heads of the requests of one connection.
#[derive(Debug)]
pub(super) struct Heads {
    authority: Authority,
    /// Names that are in the compression table since their first use, whose values stay out of it.
    named: Vec<&'static str>,
}

impl Heads {
    pub(super) const fn new(authority: Authority) -> Self {
        Self { authority, named: Vec::new() }
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
            let mut value = HeaderValue::from_maybe_shared(header.value.clone()).map_err(|_| SendError::Malformed)?;
            value.set_sensitive(match header.indexing {
                Indexing::Incremental => false,
                Indexing::Never => true,
                // The name comes into the table at its first use; `sensitive` keeps later values out.
                Indexing::Without => {
                    let seen = self.named.contains(&header.name);
                    if !seen {
                        self.named.push(header.name);
                    }
                    seen
                }
            });
            headers.append(HeaderName::from_static(header.name), value);
        }
        Ok(head)
    }
}
