//! The opening of a tunnel, by every split of what a proxy says.

#![expect(clippy::unwrap_used, reason = "a panic in a test is a failed test")]

use apns_proto::proxy::{Proxy, ProxyCause, ProxyFailure, Tunnel, TunnelEvent};
use bytes::{Bytes, BytesMut};

const HOST: &str = "api.push.apple.com";

/// What was written, and how it ended.
type Told = (Vec<u8>, Option<TunnelEvent>);

/// A proxy that says these pieces, each once the one before was answered, and closes behind the last.
fn talk(url: &str, host: &str, pieces: &[&[u8]]) -> Told {
    let mut tunnel = Tunnel::new(&url.parse().unwrap(), host, 443).unwrap();
    let mut written = BytesMut::new();
    tunnel.poll_transmit(&mut written);
    let mut event = tunnel.poll_event();
    for piece in pieces {
        tunnel.handle_input(piece);
        tunnel.poll_transmit(&mut written);
        if event.is_none() {
            event = tunnel.poll_event();
        }
    }
    tunnel.handle_end();
    event = event.or_else(|| tunnel.poll_event());
    assert_eq!(tunnel.poll_event(), None, "an event is told once");
    (written.to_vec(), event)
}

/// The same for each way to say it: in one piece, cut at every byte, byte by byte.
fn in_every_split(url: &str, host: &str, said: &[u8]) -> Told {
    let whole = talk(url, host, &[said]);
    let bytes: Vec<&[u8]> = said.chunks(1).collect();
    let same = |(written, event): Told| {
        assert_eq!(written, whole.0);
        match (event, &whole.1) {
            // What was read before the event was taken is in it; the rest is for the next reader.
            (Some(TunnelEvent::Open { early }), Some(TunnelEvent::Open { early: all })) => {
                assert!(all.starts_with(&early));
            }
            (event, expected) => assert_eq!(&event, expected),
        }
    };
    same(talk(url, host, &bytes));
    for at in 0..=said.len() {
        same(talk(url, host, &[&said[..at], &said[at..]]));
    }
    whole
}

fn failure(url: &str, said: &[u8]) -> ProxyFailure {
    match in_every_split(url, HOST, said).1 {
        Some(TunnelEvent::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn opened(early: &'static [u8]) -> Option<TunnelEvent> {
    Some(TunnelEvent::Open { early: Bytes::from_static(early) })
}

#[test]
fn connect_is_asked_with_host_port_and_credentials() {
    let asked = |url, host| String::from_utf8(talk(url, host, &[]).0).unwrap();
    let target = "api.push.apple.com:443";
    assert_eq!(asked("http://proxy:1", HOST), format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert!(asked("https://proxy:1", "::1").starts_with("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n"));
    // RFC 7617 section 2: the user is Aladdin, the password "open sesame".
    let with_credentials = asked("http://Aladdin:open%20sesame@proxy:1", HOST);
    assert!(with_credentials.ends_with("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"));
}

#[test]
fn any_status_of_success_opens_the_tunnel_and_what_follows_is_the_services() {
    for said in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 204 \nVia: x\n\n",
        // RFC 9110 section 9.3.6: these have no meaning here.
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\nBad Name: x\r\n folded\r\n\r\n",
    ] {
        let early = format!("{said}\x16\x03\x03early");
        let (_, event) = in_every_split("http://proxy:1", HOST, early.as_bytes());
        assert_eq!(event, opened(b"\x16\x03\x03early"), "{said}");
    }
    // More than has room in a header, behind one.
    let long = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![7; 100_000]].concat();
    let (_, event) = talk("http://proxy:1", HOST, &[&long]);
    assert_eq!(event, Some(TunnelEvent::Open { early: vec![7; 100_000].into() }));
}

#[test]
fn what_comes_between_the_answer_and_its_event_is_not_lost() {
    let mut tunnel = Tunnel::new(&"http://proxy:1".parse().unwrap(), HOST, 443).unwrap();
    tunnel.handle_input(b"HTTP/1.1 200 OK\r\n\r\none ");
    tunnel.handle_input(b"two");
    tunnel.handle_end();
    assert_eq!(tunnel.poll_event(), opened(b"one two"));
}

#[test]
fn a_refusal_of_http_says_status_words_and_who_has_to_act() {
    use ProxyCause::*;
    let who = "http://proxy:1, asked for api.push.apple.com:443, answers";
    for (head, cause, words) in [
        ("403 Forbidden", Forbidden, "403 Forbidden"),
        ("511 Network Authentication Required", Forbidden, "511 Network Authentication Required"),
        (
            "503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111",
            ServiceUnreachable,
            "503 Service Unavailable (ERR_CONNECT_FAIL 111)",
        ),
        (
            "502 Bad Gateway\r\nProxy-Status: p; error=dns_error",
            ServiceUnreachable,
            "502 Bad Gateway (p; error=dns_error)",
        ),
        ("500 Unable to connect", ServiceUnreachable, "500 Unable to connect"),
        ("504 ", ServiceUnreachable, "504"),
        ("429 Slow down", Busy, "429 Slow down"),
        ("405 Method Not Allowed", NoTunnels, "405 Method Not Allowed"),
        ("501 Not Implemented", NoTunnels, "501 Not Implemented"),
        ("302 Found\r\nLocation: http://sign-in.example/", NoTunnels, "302 Found"),
        ("400 Bad Request", NoTunnels, "400 Bad Request"),
        ("999 Odd", NoTunnels, "999 Odd"),
    ] {
        let body = "<html>HTTP/1.1 200 OK\r\n\r\n";
        let failure = failure("http://proxy:1", format!("HTTP/1.1 {head}\r\n\r\n{body}").as_bytes());
        assert_eq!((failure.cause, failure.to_string()), (cause, format!("{who} {words}")));
    }
}

#[test]
fn credentials_that_are_missing_and_refused_are_told_apart() {
    let basic = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
    let missing = failure("http://proxy:1", basic);
    assert_eq!(missing.cause, ProxyCause::CredentialsMissing);
    assert!(
        missing.message.ends_with("407 Proxy Authentication Required: it wants a user and a password"),
        "{missing}"
    );
    let refused = failure("http://me:s3cret@proxy:1", basic);
    assert_eq!(refused.cause, ProxyCause::CredentialsRefused);
    assert!(refused.message.ends_with(": it does not take the user and the password"), "{refused}");
    assert!(!format!("{refused:?}").contains("s3cret"));
    let tinyproxy = failure("http://me:s3cret@proxy:1", b"HTTP/1.0 401 Unauthorized\r\nServer: tinyproxy\r\n\r\n");
    assert_eq!(tinyproxy.cause, ProxyCause::CredentialsRefused);
    let others = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nproxy-authenticate: NTLM, x\r\n\r\n";
    let others = failure("http://me:s3cret@proxy:1", others).message;
    assert!(others.ends_with(", by Negotiate, NTLM and not by Basic, which is all that is spoken here"), "{others}");
}

#[test]
fn the_words_of_a_proxy_are_escaped_and_cut() {
    let said = format!("HTTP/1.1 403 no\x1b[2J{}\r\n\r\n", "é".repeat(2000));
    let failure = failure("http://proxy:1", said.as_bytes());
    // A reason that is not one by the rules is not told at all.
    assert!(failure.to_string().len() < 1000 && !failure.to_string().contains('\x1b'), "{failure}");
    let said = format!("HTTP/1.1 503 No\r\nX-Squid-Error: {}\r\n\r\n", "x".repeat(2000));
    let long = self::failure("http://proxy:1", said.as_bytes()).to_string();
    assert!(long.ends_with("xxx…)") && long.len() < 400, "{long}");
}

#[test]
fn what_is_no_proxy_is_known_by_its_first_wrong_byte() {
    for url in ["http://proxy:1", "socks5://proxy:1"] {
        for said in ["SSH-2.0-OpenSSH_9.2\r\n", "\x15\x03\x01\x00\x02\x02\x46", "220 mail\r\n", "<html>", "\0\x5a"] {
            let failure = failure(url, said.as_bytes());
            assert_eq!(failure.cause, ProxyCause::NotAProxy, "{said:?}");
            // Without waiting for the rest.
            assert!(matches!(talk(url, HOST, &[&said.as_bytes()[..1]]).1, Some(TunnelEvent::Failed(_))));
        }
    }
    let http = failure("socks5://proxy:1", b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(http.message.contains("http://"), "{http}");
    for said in ["HTTP/1.1 200OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.9 \r\n\r\n", "HTTP/1.1\r\n\r\n"] {
        assert_eq!(failure("http://proxy:1", said.as_bytes()).cause, ProxyCause::NotAProxy, "{said:?}");
    }
}

#[test]
fn a_proxy_that_never_comes_to_the_point_is_left() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(17);
    assert_eq!(failure("http://proxy:1", interim.as_bytes()).cause, ProxyCause::NotAProxy);

    for line in ["X: y\r\n", "x", "X: y\r\n z\r\n"] {
        let mut tunnel = Tunnel::new(&"http://proxy:1".parse().unwrap(), HOST, 443).unwrap();
        tunnel.handle_input(b"HTTP/1.1 200 OK\r\n");
        let mut fed = 0;
        let event = loop {
            tunnel.handle_input(line.as_bytes());
            fed += line.len();
            if let Some(event) = tunnel.poll_event() {
                break event;
            }
            assert!(fed < 17 * 1024, "it is kept");
        };
        let TunnelEvent::Failed(failure) = event else { panic!("{event:?}") };
        assert_eq!(failure.cause, ProxyCause::NotAProxy);
        assert!(failure.message.contains("more than 16384 bytes"), "{failure}");
    }
}

#[test]
fn an_end_without_an_answer_is_said() {
    for (url, said, words) in [
        ("http://proxy:1", b"".as_slice(), "closed without an answer"),
        ("http://proxy:1", b"HTTP/1.1 200 OK\r\n", "closed in the middle of its answer"),
        ("socks5://proxy:1", b"", "closed without an answer"),
        ("socks5://proxy:1", b"\x05", "closed in the middle of its answer"),
        ("socks5://a:b@proxy:1", b"\x05\x02", "just after it was given the user and the password"),
        ("socks5://proxy:1", b"\x05\x00\x05\x00\x00\x03\xff", "closed in the middle of its answer"),
    ] {
        let failure = failure(url, said);
        assert_eq!(failure.cause, ProxyCause::NoAnswer);
        assert!(failure.message.ends_with(words), "{failure}");
    }
}

#[test]
fn socks_is_asked_for_the_name_and_gives_the_stream_back() {
    let greeting = b"\x05\x01\x00".as_slice();
    let request = [b"\x05\x01\x00\x03\x12".as_slice(), HOST.as_bytes(), b"\x01\xbb"].concat();
    for bound in [
        b"\x01\x7f\0\0\x01\x1f\x90".as_slice(),
        b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x1f\x90",
        b"\x03\x05proxy\x1f\x90",
        b"\x03\0\x1f\x90",
    ] {
        let said = [b"\x05\x00\x05\x00\x00".as_slice(), bound, b"early"].concat();
        let (written, event) = in_every_split("socks5h://proxy:1", HOST, &said);
        assert_eq!(written, [greeting, &request].concat());
        assert_eq!(event, opened(b"early"));
    }
    let said = b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0";
    let (written, _) = in_every_split("socks5://proxy:1", "17.0.0.1", said);
    assert_eq!(written, [greeting, b"\x05\x01\x00\x01\x11\x00\x00\x01\x01\xbb"].concat());
    let (written, _) = in_every_split("socks5://proxy:1", "2001:db8::1", said);
    let address = b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x01\xbb";
    assert_eq!(written, [greeting, address].concat());
}

#[test]
fn socks_gives_user_and_password_only_where_they_are_asked_for() {
    let rest = b"\x05\x00\x00\x01\0\0\0\0\0\0".as_slice();
    // RFC 1929: its version is 1. Some servers say 5.
    for version in [1, 5] {
        let said = [&[5, 2, version, 0], rest].concat();
        let (written, event) = in_every_split("socks5://me:s3cret@proxy:1", HOST, &said);
        assert!(written.starts_with(b"\x05\x02\x00\x02\x01\x02me\x06s3cret\x05\x01\x00\x03"), "{written:?}");
        assert_eq!(event, opened(b""));
    }
    let (written, event) = in_every_split("socks5://me:s3cret@proxy:1", HOST, &[b"\x05\x00", rest].concat());
    assert!(written.starts_with(b"\x05\x02\x00\x02\x05\x01\x00\x03"), "{written:?}");
    assert_eq!(event, opened(b""));
}

#[test]
fn a_refusal_of_socks_says_code_words_and_who_has_to_act() {
    use ProxyCause::*;
    for (code, cause, words) in [
        (1, ServiceUnreachable, "general SOCKS server failure"),
        (2, Forbidden, "connection not allowed by ruleset"),
        (3, ServiceUnreachable, "network unreachable"),
        (4, ServiceUnreachable, "host unreachable"),
        (5, ServiceUnreachable, "connection refused"),
        (6, ServiceUnreachable, "TTL expired"),
        (7, NoTunnels, "command not supported"),
        (8, NoTunnels, "address type not supported"),
        (200, ServiceUnreachable, "a code without a meaning"),
    ] {
        // Servers that refuse may close behind the code.
        for behind in [b"".as_slice(), b"\x00\x01\0\0\0\0\0\0"] {
            let failure = failure("socks5://proxy:1", &[&[5, 0, 5, code], behind].concat());
            assert_eq!(failure.cause, cause);
            assert!(failure.message.ends_with(&format!("answers with reply code {code}: {words}")), "{failure}");
        }
    }
    for (url, said, cause) in [
        ("socks5://proxy:1", b"\x05\xff".as_slice(), CredentialsMissing),
        ("socks5://a:b@proxy:1", b"\x05\xff", CredentialsRefused),
        ("socks5://a:b@proxy:1", b"\x05\x02\x01\x01", CredentialsRefused),
        ("socks5://proxy:1", b"\x05\x02", NotAProxy),
        ("socks5://a:b@proxy:1", b"\x05\x01", NotAProxy),
        ("socks5://proxy:1", b"\x05\x00\x05\x00\x00\x02\x00\x00", NotAProxy),
        ("socks5://proxy:1", b"\x05\x00\x04\x00", NotAProxy),
    ] {
        assert_eq!(failure(url, said).cause, cause, "{said:?}");
    }
}

#[test]
fn nothing_shows_user_or_password() {
    for url in ["http://s3cret:s3cret@proxy:1", "socks5://s3cret:s3cret@proxy:1"] {
        let proxy: Proxy = url.parse().unwrap();
        let mut tunnel = Tunnel::new(&proxy, HOST, 443).unwrap();
        for said in [b"\x05\x02".as_slice(), b"\x01\x00"] {
            assert!(!format!("{tunnel:?} {proxy:?} {proxy} {}", tunnel.timed_out()).contains("s3cret"));
            tunnel.handle_input(said);
        }
        assert!(!format!("{tunnel:?}").contains("s3cret"));
    }
}

#[test]
fn a_host_that_would_be_more_than_one_is_not_asked_for() {
    let proxy: Proxy = "http://proxy:1".parse().unwrap();
    for host in ["", "a\r\nEvil: x", "a b", "a/b", "[::1]", "é", &"a".repeat(256)] {
        assert!(Tunnel::new(&proxy, host, 443).is_err(), "{host:?}");
    }
}

#[test]
fn only_what_a_person_can_mend_is_fatal() {
    use ProxyCause::*;
    for cause in [CredentialsMissing, CredentialsRefused, Forbidden, NoTunnels] {
        assert!(cause.is_fatal());
    }
    for cause in [ServiceUnreachable, Busy, NoAnswer, NotAProxy] {
        assert!(!cause.is_fatal());
    }
}
