//! Who may call: nobody from a page of another site.
//!
//! The inbox has no password, so a page in somebody's browser is the enemy. It can give its own name this machine's address
//! (DNS rebinding): only names that no stranger can own are answered. It can post forms across sites: what changes something
//! has to come from the inbox's own page, or from a program, which sends neither `Origin` nor `Sec-Fetch-Site`. And it can
//! have the inbox in a frame or run what a payload says: the content security policy allows neither.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Shared;
use crate::api::Problem;

/// Nothing from elsewhere, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer says. Device tokens stand in addresses: they go to no other site.
static HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

pub(super) async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = if !is_own_host(headers, &shared.0.hosts) {
        let detail =
            "the inbox answers to localhost, to addresses, to names without a dot, and to those of --inbox-host";
        Problem::wrong_host().detail(detail).into_response()
    } else if !request.method().is_safe() && comes_from_elsewhere(headers) {
        Problem::foreign_page().into_response()
    } else {
        next.run(request).await
    };
    for (name, value) in &HEADERS {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

/// Whether the host is one that no stranger can own: an address, a name without a dot (as containers have them), one below
/// `localhost`, or one that was given. A request without any comes from no browser.
fn is_own_host(headers: &HeaderMap, given: &[String]) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let lower = name.to_ascii_lowercase();
    lower.parse::<IpAddr>().is_ok()
        || (!lower.is_empty() && !lower.contains('.'))
        || lower.ends_with(".localhost")
        || given.iter().any(|one| one.eq_ignore_ascii_case(&lower))
}

/// Whether a browser says that a page of another site sent it.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return true;
    }
    let host = text(header::HOST).unwrap_or_default();
    headers.get_all(header::ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().unwrap_or("?");
        let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        own.is_none_or(|origin| !origin.eq_ignore_ascii_case(host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_names_that_no_stranger_can_own_are_answered() {
        let given = ["inbox.test".to_owned()];
        let own = |host: &str| is_own_host(&with(&[("host", host)]), &given);
        for host in [
            "localhost",
            "localhost:8025",
            "127.0.0.1:8025",
            "[::1]:8025",
            "192.168.1.2",
            "apns:8025",
            "a.localhost",
            "INBOX.test:80",
        ] {
            assert!(own(host), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example:8025", "127.0.0.1.evil.example", "", ":8025", "inbox.test.evil"]
        {
            assert!(!own(host), "{host}");
        }
        assert!(is_own_host(&HeaderMap::new(), &given));
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let foreign = |pairs: &[(&'static str, &str)]| comes_from_elsewhere(&with(pairs));
        assert!(!foreign(&[("host", "localhost:8025")]), "a program");
        assert!(!foreign(&[
            ("host", "localhost:8025"),
            ("origin", "http://localhost:8025"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(foreign(&[("host", "localhost:8025"), ("origin", "http://evil.example")]));
        assert!(
            foreign(&[("host", "localhost:8025"), ("origin", "http://localhost:9999")]),
            "another port is another site"
        );
        assert!(foreign(&[("host", "localhost:8025"), ("origin", "null")]));
        let mut two = with(&[("host", "localhost:8025"), ("origin", "http://localhost:8025")]);
        two.append(header::ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(comes_from_elsewhere(&two), "one of them is enough");
        assert!(foreign(&[("host", "localhost:8025"), ("sec-fetch-site", "cross-site")]));
        assert!(foreign(&[("host", "localhost:8025"), ("sec-fetch-site", "same-site")]));
    }
}
