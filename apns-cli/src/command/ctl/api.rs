//! The daemon's JSON API, as `apns ctl` calls it.

use std::path::PathBuf;
use std::time::Duration;

use apns_driver::tls::TlsSettings;
use apns_driver::tls::rustls::client;
use apns_proto::Escaped;
use apns_tokio::{Endpoint, Roots};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::connection::{read_authorities, read_password};
use crate::exit::Failure;
use crate::settings::variable;
use crate::trouble::Trouble;

const DEFAULT_URL: &str = "http://127.0.0.1:7080";
/// How long the daemon may take to begin an answer, and to go on with one that ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is kept: a list of many apps.
const LONGEST: usize = 64 * 1024 * 1024;

/// Where the daemon is, and how to be let in.
#[derive(Debug, Args)]
pub(crate) struct DaemonFlags {
    /// The daemon's API; by default http://127.0.0.1:7080 [env: APNS_DAEMON]
    #[arg(long, value_name = "URL", value_parser = parse_url, global = true, help_heading = "Daemon")]
    url: Option<Uri>,
    /// A file with the access token, which may be in the variable instead [env: APNS_DAEMON_TOKEN]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Daemon")]
    token_file: Option<PathBuf>,
    /// Certificate authorities to trust for the daemon instead of the system's, in PEM
    #[arg(long, value_name = "FILE", global = true, help_heading = "Daemon")]
    daemon_ca: Option<PathBuf>,
}

fn parse_url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
    let plain = url.path_and_query().is_none_or(|path| path.as_str() == "/");
    let user = url.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(_)) if plain && !user => Ok(url),
        _ => Err("it has to be http://HOST:PORT or https://HOST:PORT, and nothing more".to_owned()),
    }
}

/// A way to the daemon: one connection for each request.
pub(super) struct Daemon {
    url: Uri,
    endpoint: Endpoint,
    token: Option<String>,
    roots: Roots,
}

/// The daemon said no.
#[derive(Debug, thiserror::Error)]
#[error("the daemon refuses it: {0}")]
struct Refused(String);

/// The parts of a problem document (RFC 9457) that a person reads.
#[derive(Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<FieldProblem>,
}

#[derive(Deserialize)]
struct FieldProblem {
    field: String,
    detail: String,
}

impl DaemonFlags {
    pub(super) fn daemon(self) -> Result<Daemon, Failure> {
        let url = match self.url {
            Some(url) => url,
            None => parse_url(variable("APNS_DAEMON")?.as_deref().unwrap_or(DEFAULT_URL))
                .map_err(|problem| Failure::Usage(format!("APNS_DAEMON: {problem}")))?,
        };
        let host = url.host().unwrap_or_default();
        let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
        let token = match &self.token_file {
            Some(path) => Some(read_password(path)?),
            None => variable("APNS_DAEMON_TOKEN")?,
        };
        let roots = self.daemon_ca.map(read_authorities).transpose()?.unwrap_or_default();
        Ok(Daemon { endpoint: Endpoint::new(host, port), url, token, roots })
    }
}

impl Daemon {
    /// Asks, and gives the JSON of a good answer.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.ask_for(method, path, body, |status| status.is_success()).await
    }

    /// The same where an answer of another status says something as well.
    pub(super) async fn ask_for(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        good: impl Fn(StatusCode) -> bool,
    ) -> Result<Value, Failure> {
        let asked = async {
            let response = self.request(method, path, body).await?;
            let status = response.status();
            Ok::<_, Failure>((status, self.whole(response).await?))
        };
        let (status, bytes) = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| self.silent())??;
        if !good(status) {
            return Err(refused(status, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|_| self.trouble("its answer is not JSON: this is not the daemon's API"))
    }

    /// Opens a stream of server-sent events.
    pub(super) async fn events(&self, path: &str) -> Result<Incoming, Failure> {
        let asked = self.request(Method::GET, path, None);
        let response = tokio::time::timeout(PATIENCE, asked).await.map_err(|_| self.silent())??;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let whole = tokio::time::timeout(PATIENCE, self.whole(response));
        Err(refused(status, &whole.await.map_err(|_| self.silent())??))
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<Incoming>, Failure> {
        let tcp = TcpStream::connect((self.endpoint.host(), self.endpoint.port()))
            .await
            .map_err(|error| self.trouble(format_args!("{error}; is the daemon running there (--url)?")))?;
        let request = self.head(method, path, body)?;
        if self.url.scheme_str() == Some("https") {
            let settings = TlsSettings { roots: self.roots.clone(), ..TlsSettings::default() };
            let config = client::Base::default().config(&settings).map_err(|failure| self.trouble(failure))?;
            let name = client::server_name(self.endpoint.host()).map_err(|failure| self.trouble(failure))?;
            let tls = TlsConnector::from(config).connect(name, tcp).await;
            let tls = tls.map_err(|error| self.trouble(client::failure(self.endpoint.host(), &error)))?;
            self.exchange(tls, request).await
        } else {
            self.exchange(tcp, request).await
        }
    }

    fn head(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Request<Full<Bytes>>, Failure> {
        let authority = self.url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header(HOST, authority);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        request
            .body(Full::from(body))
            .map_err(|_| Failure::Usage("the access token has a character that no header may have".to_owned()))
    }

    async fn exchange<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |error: hyper::Error| self.trouble(error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // It ends with its one answer.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(failed)
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, Failure> {
        let body = http_body_util::Limited::new(response.into_body(), LONGEST);
        let collected = body.collect().await.map_err(|error| self.trouble(error))?;
        Ok(collected.to_bytes())
    }

    fn silent(&self) -> Failure {
        self.trouble(format_args!("no answer came within {} s", PATIENCE.as_secs()))
    }

    pub(super) fn trouble(&self, cause: impl std::fmt::Display) -> Failure {
        Trouble::other(&self.endpoint, cause).into()
    }
}

/// What a problem document says.
fn refused(status: StatusCode, body: &[u8]) -> Failure {
    let words = match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => {
            let title = problem.title.unwrap_or_else(|| status.to_string());
            let fields = problem.errors.into_iter().map(|one| format!("{}: {}", one.field, one.detail));
            let parts: Vec<String> = [title].into_iter().chain(problem.detail).chain(fields).collect();
            parts.join("; ")
        }
        Err(_) => status.to_string(),
    };
    Failure::Special(Refused(Escaped(words).to_string()).into())
}

/// A part of a path: an app's name may have any character.
pub(super) fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_origin_and_nothing_more() {
        for good in ["http://127.0.0.1:7080", "https://push.example.com", "http://[::1]:7080/"] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in ["127.0.0.1:7080", "ftp://x", "http://x/v1", "http://me:secret@x", "http://", "", "http://x?y"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_the_daemon_says_is_one_line_that_prints() {
        let body = br#"{"title":"Something","detail":"x\n\u001b[2J","errors":[{"field":"a","detail":"b"}]}"#;
        let said = refused(StatusCode::UNPROCESSABLE_ENTITY, body).to_string();
        assert_eq!(said, "the daemon refuses it: Something; x\\n\\u{1b}[2J; a: b");
        let page = refused(StatusCode::BAD_GATEWAY, b"<html>").to_string();
        assert_eq!(page, "the daemon refuses it: 502 Bad Gateway");
    }

    #[test]
    fn names_of_apps_stay_one_part_of_a_path() {
        assert_eq!(segment("shop & café/1"), "shop%20%26%20caf%C3%A9%2F1");
    }
}
