//! Proxies: their URLs, the lists of what is reached without them, and what they answer.

use apns_proto::proxy::{Proxy, Tunnel, TunnelEvent};
use bytes::BytesMut;

use crate::feed::{Feed, pieces};
use crate::tokens::shows;

const URLS: [&str; 4] =
    ["http://proxy:3128", "https://user:s3cret@proxy:3129", "socks5h://proxy", "socks5://user:s3cret@proxy"];

const HOSTS: [&str; 4] = ["api.push.apple.com", "17.188.128.1", "2001:db8::1", "localhost"];

/// A URL, a list of exceptions, or what a proxy answers.
pub fn proxy(data: &[u8]) {
    let mut feed = Feed::new(data);
    match feed.byte() % 4 {
        0 => url(&String::from_utf8_lossy(feed.rest())),
        1 => variables(&mut feed),
        _ => tunnel(&mut feed),
    }
}

fn url(text: &str) {
    let read = text.parse::<Proxy>();
    let proxy = match read {
        Ok(proxy) => proxy,
        Err(error) => return assert!(!shows(&error.to_string(), text), "{error} shows what it was given"),
    };
    // What is shown is a URL of the same place.
    let shown: Proxy = proxy.to_string().parse().expect("what is shown can be read");
    assert_eq!((shown.scheme(), shown.host(), shown.port()), (proxy.scheme(), proxy.host(), proxy.port()));
    assert!(!shown.has_credentials());
    let mut request = BytesMut::new();
    for host in HOSTS {
        Tunnel::new(&proxy, host, 443).expect("these are hosts").poll_transmit(&mut request);
    }
    // Whatever stands in user and password, a request has its lines and no more.
    let lines = request.split().iter().filter(|byte| **byte == b'\n').count();
    if text.trim().starts_with("http") {
        assert_eq!(lines, HOSTS.len() * (3 + usize::from(proxy.has_credentials())));
    }
}

fn variables(feed: &mut Feed<'_>) {
    let host = feed.of(&HOSTS);
    let (list, url) = (feed.text(), feed.text());
    let lookup = |name: &str| match name {
        "no_proxy" => Some(list.clone()),
        "all_proxy" => Some(url.clone()),
        _ => None,
    };
    let found = Proxy::from_variables(host, 443, lookup);
    if host == "localhost" || url.is_empty() {
        assert_eq!(found, Ok(None), "this machine is reached without one");
    }
    let everything = |name: &str| if name == "no_proxy" { Some(format!("{list},*")) } else { lookup(name) };
    assert_eq!(Proxy::from_variables(host, 443, everything), Ok(None));
    if let Err(error) = found {
        assert!(!shows(&error.to_string(), &url), "{error} shows what it was given");
    }
}

fn tunnel(feed: &mut Feed<'_>) {
    let (url, host) = (feed.of(&URLS), feed.of(&HOSTS));
    let sizes = [1 + feed.below(40), 1 + feed.below(40)];
    let said = feed.rest();
    let whole = talk(url, host, &[said]);
    assert_eq!(talk(url, host, &pieces(said, &sizes)), whole, "whole equals split");
    if let (_, Some(TunnelEvent::Failed(failure))) = &whole {
        assert!(failure.message.len() < 4096 && !failure.to_string().contains(char::is_control), "{failure}");
        assert!(!format!("{failure:?}").contains("s3cret"));
    }
}

/// What was written, and the event behind all of it.
fn talk(url: &str, host: &str, pieces: &[&[u8]]) -> (BytesMut, Option<TunnelEvent>) {
    let mut tunnel = Tunnel::new(&url.parse().expect("a URL"), host, 443).expect("a host");
    let mut written = BytesMut::new();
    tunnel.poll_transmit(&mut written);
    for piece in pieces {
        tunnel.handle_input(piece);
        tunnel.poll_transmit(&mut written);
    }
    tunnel.handle_end();
    let event = tunnel.poll_event();
    assert!(event.is_some(), "it has an end");
    (written, event)
}
