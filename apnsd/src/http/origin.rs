//! Where a request says that it comes from, and whom it says it is for.

use std::str::FromStr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};

/// Whether a request names this machine, as far as it names one.
pub(crate) fn names_loopback(headers: &HeaderMap) -> bool {
    match headers.get(header::HOST).map(HeaderValue::to_str) {
        None => true,
        Some(Ok(host)) => is_loopback(without_port(host)),
        Some(Err(_)) => false,
    }
}

/// The name that a request gives this machine, without the port. In HTTP/2 it stands beside the path, and some clients send
/// the header all the same.
pub(crate) fn host(parts: &Parts) -> Option<&str> {
    let header = || parts.headers.get(header::HOST)?.to_str().ok().map(without_port);
    parts.uri.host().map(|host| host.trim_matches(['[', ']'])).or_else(header)
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether it is a name of this machine.
pub(crate) fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || std::net::IpAddr::from_str(name).is_ok_and(|address| address.is_loopback())
}

/// Whether a browser marks the request as cross-site (`Sec-Fetch-Site`, `Origin`). Requests for images have no `Origin`.
pub(crate) fn comes_from_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let elsewhere = site.is_some_and(|site| site != b"same-origin" && site != b"none");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let foreign = headers.get_all(header::ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        !origin.is_some_and(|(_, name)| host.is_some_and(|host| name.eq_ignore_ascii_case(host)))
    });
    elsewhere || foreign
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn a_host_is_found_in_both_versions_of_http() {
        let of = |uri: &str, header: Option<&str>| {
            let mut request = Request::post(uri);
            if let Some(header) = header {
                request = request.header("host", header);
            }
            host(&request.body(()).expect("it is one").into_parts().0).map(str::to_owned)
        };
        assert_eq!(of("https://api.push.apple.com/3/device/ab", None).as_deref(), Some("api.push.apple.com"));
        assert_eq!(of("http://[::1]:2197/3/device/ab", None).as_deref(), Some("::1"));
        assert_eq!(of("/3/device/ab", Some("[::1]:2197")).as_deref(), Some("::1"));
        assert_eq!(of("/3/device/ab", Some("localhost:2197")).as_deref(), Some("localhost"));
        assert_eq!(of("/3/device/ab", None), None);
        assert!(is_loopback("LOCALHOST") && is_loopback("127.0.0.9") && is_loopback("::1") && !is_loopback("10.0.0.1"));
    }
}
