//! `apns check --network`: which hop on the way to Apple's services is wrong, without a credential.

use std::fmt;
use std::time::Duration;

use apns_driver::{Alpn, Probe, Roots};
use apns_proto::{DialFailure, DialStep, Environment, TlsCause};
use apns_tokio::{Certificate, Endpoint};
use futures_util::future::join_all;
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use serde::Serialize;

use super::witness::{Seen, Witness};
use crate::calendar::Date;
use crate::connection::{Way, read_authorities};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::runtime::block_on;
use crate::settings::{Place, Settings};
use crate::trouble::Trouble;

/// What a root is known for, beside the date in it.
///
/// Apple moved its services to the first of these in January and February 2025.
const KNOWN_ROOTS: &[(&str, &str)] = &[
    (
        "USERTrust RSA Certification Authority",
        "Apple's since 2025. Mozilla may withdraw its trust for websites, with that in all roots of 2010, on 2028-04-15",
    ),
    ("AAA Certificate Services", "named by Apple beside USERTrust RSA; it ends on 2028-12-31"),
];

/// The port that serves the same as 443, for firewalls.
const OTHER_PORT: u16 = 2197;

/// A step on the way that was taken.
#[derive(Debug, Serialize)]
struct Step {
    step: &'static str,
    ms: Option<u64>,
    what: String,
}

/// What was found out about one service.
#[derive(Debug, Serialize)]
struct Found {
    target: String,
    proxy: Option<String>,
    works: bool,
    /// The step that failed: `proxy_resolve`, `proxy_connect`, `proxy_tls`, `proxy`, `resolve`, `connect`, `tls`, `alpn`,
    /// `settings`.
    wrong: Option<&'static str>,
    steps: Vec<Step>,
    what: Option<String>,
    remedy: Option<String>,
    #[serde(skip)]
    endpoint: Endpoint,
}

/// Reads HOST:PORT.
pub(super) fn parse_target(text: &str) -> Result<Endpoint, String> {
    let expected = "it has to be a host and a port, such as api.push.apple.com:443 or [::1]:2197";
    let (host, port) = text.rsplit_once(':').ok_or(expected)?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or(expected)?;
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if host.is_empty() || host.contains('/') || (bare.is_none() && host.contains(':')) {
        return Err(expected.to_owned());
    }
    Ok(Endpoint::new(host, port))
}

/// All places where Apple serves pushes and channels.
fn apples() -> Vec<Endpoint> {
    let pushes = [Environment::Production, Environment::Sandbox].into_iter().flat_map(|environment| {
        let usual = Endpoint::provider_api(environment);
        [usual.clone(), usual.with_port(OTHER_PORT), Endpoint::channels(environment)]
    });
    pushes.collect()
}

pub(super) fn run(settings: &Settings, targets: Vec<Endpoint>, json: bool) -> Result<Exit, Failure> {
    let targets = match settings.place()? {
        _ if !targets.is_empty() => targets,
        (Place::Host(host), port) => vec![Endpoint::new(host, port.unwrap_or(apns_proto::http2::host::PORT))],
        _ => apples(),
    };
    let roots = match settings.ca() {
        Some(path) => read_authorities(path)?,
        None => Roots::Platform,
    };
    // Ten seconds are enough for any step that works.
    let limit = settings.timeout().min(Duration::from_secs(10));
    let mut planned = Vec::with_capacity(targets.len());
    for target in targets {
        planned.push((settings.way(&target)?, target));
    }
    let looks = planned.into_iter().map(|(way, target)| look(target, way, roots.clone(), limit));
    let found = block_on(join_all(looks))?;
    let mut found = found.into_iter().collect::<Result<Vec<_>, _>>()?;
    name_the_other_port(&mut found);
    let mut output = Output::new();
    found.iter().for_each(|one| output.row(json, one));
    output.finish()?;
    Ok(if found.iter().all(|one| one.works) { Exit::Fine } else { Exit::NoConnection })
}

/// Where 443 is blocked and the other port of the same host is not, that is what to do.
fn name_the_other_port(found: &mut [Found]) {
    let open: Vec<String> = found
        .iter()
        .filter(|one| one.works && one.endpoint.port() == OTHER_PORT)
        .map(|one| one.endpoint.host().to_owned())
        .collect();
    for one in found.iter_mut().filter(|one| !one.works && one.endpoint.port() != OTHER_PORT) {
        if open.iter().any(|host| host == one.endpoint.host()) {
            one.remedy =
                Some(format!("The same is served at port {OTHER_PORT}, which works here: --port {OTHER_PORT}."));
        }
    }
}

async fn look(endpoint: Endpoint, way: Way, roots: Roots, limit: Duration) -> Result<Found, Failure> {
    let witness = Witness::default();
    let proxy = way.proxy.as_ref().map(ToString::to_string);
    let by_proxy = proxy.is_some();
    let probe = Probe::new(endpoint.clone(), b"h2").roots(roots.clone()).proxy(way.proxy, way.roots).limit(limit);
    let opened = probe.open(&witness).await.map_err(|error| Failure::not_started(&endpoint, error))?;
    let mut found = Found {
        target: endpoint.to_string(),
        proxy,
        works: false,
        wrong: None,
        steps: Vec::new(),
        what: None,
        remedy: None,
        endpoint,
    };
    found.note(&witness.seen.lock(), by_proxy);
    let secured = match opened {
        Ok(secured) => secured,
        Err(failure) => {
            found.fail(&failure);
            return Ok(found);
        }
    };
    found.note_chain(&witness.seen.lock().chain, &roots);
    match &secured.alpn {
        Alpn::Chosen(chosen) if chosen == b"h2" => found.step("alpn", None, "h2"),
        other => {
            let chosen = match other {
                Alpn::Chosen(chosen) => format!("it chose {:?}", String::from_utf8_lossy(chosen)),
                _ => "it chose nothing".to_owned(),
            };
            let failure =
                DialFailure::tls(TlsCause::NoCommonProtocol, format!("HTTP/2 (h2) was offered by ALPN, and {chosen}"));
            found.fail(&failure);
            found.wrong = Some("alpn");
            return Ok(found);
        }
    }
    match tokio::time::timeout(limit, settings_of(secured.stream)).await {
        Ok(Ok(text)) => {
            found.step("settings", None, text);
            found.works = true;
        }
        Ok(Err(problem)) => found.fail_settings(problem),
        Err(_) => found.fail_settings("it took the connection and sent no SETTINGS frame in time".to_owned()),
    }
    Ok(found)
}

impl Found {
    fn step(&mut self, step: &'static str, ms: Option<u64>, what: impl Into<String>) {
        self.steps.push(Step { step, ms, what: what.into() });
    }

    /// What was reached. Behind a proxy, names and addresses are the proxy's.
    fn note(&mut self, seen: &Seen, by_proxy: bool) {
        let (resolve, connect) = if by_proxy { ("proxy_resolve", "proxy_connect") } else { ("resolve", "connect") };
        if let Some(ms) = seen.resolved_ms {
            let addresses: Vec<String> = seen.addresses.iter().map(|address| address.ip().to_string()).collect();
            self.step(resolve, Some(ms), addresses.join(", "));
        }
        if let (Some(address), Some(ms)) = (seen.reached, seen.reached_ms) {
            self.step(connect, Some(ms), address.to_string());
        }
        if let Some(ms) = seen.secured_ms.filter(|_| !seen.chain.is_empty()) {
            self.step("tls", Some(ms), seen.chain[0].subject().to_owned());
        }
    }

    fn note_chain(&mut self, chain: &[Certificate], roots: &Roots) {
        let Some(last) = chain.last() else { return };
        let until = chain.iter().map(Certificate::not_after).min().unwrap_or_default();
        self.step("chain", None, format!("{} certificates, good until {}", chain.len(), Date(until.as_secs())));
        self.step("root", None, root(last, roots));
    }

    fn fail(&mut self, failure: &DialFailure) {
        let trouble = Trouble::dial(&self.endpoint, failure);
        self.wrong = Some(match failure.step {
            DialStep::ProxyResolve => "proxy_resolve",
            DialStep::ProxyConnect => "proxy_connect",
            DialStep::ProxyTls => "proxy_tls",
            DialStep::Proxy => "proxy",
            DialStep::Resolve => "resolve",
            DialStep::Connect => "connect",
            _ => "tls",
        });
        self.what = Some(trouble.cause().to_owned());
        self.remedy = trouble.remedy().map(str::to_owned);
    }

    fn fail_settings(&mut self, problem: String) {
        self.wrong = Some("settings");
        self.what = Some(problem);
        let remedy = "What answers there does not speak HTTP/2: check host and port, and what a firewall or proxy puts in between.";
        self.remedy = Some(remedy.to_owned());
    }
}

/// The root that the chain ends in: its name, the date in it, and what is known of it.
fn root(last: &Certificate, roots: &Roots) -> String {
    let name = last.issuer();
    let mut text = name.to_owned();
    let trusted = roots.given().iter().filter_map(|der| Certificate::from_der(der).ok());
    let system = || rustls_native_certs::load_native_certs().certs;
    let found = trusted.into_iter().find(|root| root.subject() == name).or_else(|| {
        let there = if roots.trusts_platform() { system() } else { Vec::new() };
        there.iter().filter_map(|der| Certificate::from_der(der).ok()).find(|root| root.subject() == name)
    });
    if let Some(root) = found {
        text = format!("{text}, good until {}", Date(root.not_after().as_secs()));
    }
    match KNOWN_ROOTS.iter().find(|(known, _)| name.contains(known)) {
        Some((_, words)) => format!("{text} ({words})"),
        None => text,
    }
}

/// The client's preface with empty settings (RFC 9113, sections 3.4 and 6.5).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Longer ones than this are no greeting.
const LONGEST_SETTINGS: usize = 1024;

/// The settings that the server greets with, in words.
async fn settings_of<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> Result<String, String> {
    let broken = |error: std::io::Error| format!("the connection broke before its SETTINGS frame: {error}");
    stream.write_all(PREFACE).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.map_err(broken)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    if head[3] != 4 || length > LONGEST_SETTINGS || length % 6 != 0 {
        return Err("it greets with something else than the SETTINGS frame of HTTP/2".to_owned());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(broken)?;
    let setting = |pair: &[u8]| {
        let name = match u16::from_be_bytes([pair[0], pair[1]]) {
            1 => "HEADER_TABLE_SIZE".to_owned(),
            2 => "ENABLE_PUSH".to_owned(),
            3 => "MAX_CONCURRENT_STREAMS".to_owned(),
            4 => "INITIAL_WINDOW_SIZE".to_owned(),
            5 => "MAX_FRAME_SIZE".to_owned(),
            6 => "MAX_HEADER_LIST_SIZE".to_owned(),
            other => format!("{other:#x}"),
        };
        format!("{name} {}", u32::from_be_bytes([pair[2], pair[3], pair[4], pair[5]]))
    };
    let all: Vec<String> = body.chunks_exact(6).map(setting).collect();
    Ok(if all.is_empty() { "none".to_owned() } else { all.join(", ") })
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.target)?;
        if let Some(proxy) = &self.proxy {
            write!(f, " through {proxy}")?;
        }
        match self.wrong {
            None => f.write_str(": works")?,
            Some(wrong) => write!(f, ": wrong at {}", wrong.replace('_', " "))?,
        }
        for Step { step, ms, what } in &self.steps {
            write!(f, "\n  {:<13}  {what}", step.replace('_', " "))?;
            if let Some(ms) = ms {
                write!(f, " ({ms} ms)")?;
            }
        }
        for (name, text) in [("problem", &self.what), ("", &self.remedy)] {
            if let Some(text) = text {
                write!(f, "\n  {name:<13}  {text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apples_services_are_asked_at_all_their_ports() {
        let all: Vec<String> = apples().iter().map(ToString::to_string).collect();
        let expected = [
            "api.push.apple.com:443",
            "api.push.apple.com:2197",
            "api-manage-broadcast.push.apple.com:2196",
            "api.sandbox.push.apple.com:443",
            "api.sandbox.push.apple.com:2197",
            "api-manage-broadcast.sandbox.push.apple.com:2195",
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn targets_have_a_host_and_a_port() {
        for (text, host, port) in [("a.example:443", "a.example", 443), ("[::1]:2197", "::1", 2197)] {
            let target = parse_target(text).unwrap();
            assert_eq!((target.host(), target.port()), (host, port));
        }
        for text in ["a.example", "a.example:0", "a.example:x", "::1:443", "https://a.example:443", ":443", ""] {
            assert!(parse_target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_block_of_443_points_at_the_port_that_works() {
        let found = |port, works| Found {
            target: String::new(),
            proxy: None,
            works,
            wrong: None,
            steps: Vec::new(),
            what: None,
            remedy: None,
            endpoint: Endpoint::new("api.push.apple.com", port),
        };
        let mut all = [found(443, false), found(2197, true)];
        name_the_other_port(&mut all);
        assert!(all[0].remedy.as_ref().unwrap().contains("--port 2197") && all[1].remedy.is_none());
        let mut none = [found(443, false), found(2197, false)];
        name_the_other_port(&mut none);
        assert!(none.iter().all(|one| one.remedy.is_none()));
    }
}
