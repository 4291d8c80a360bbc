//! Where a webhook is.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::Deserialize;

use crate::http::percent_decoded;

/// What stands in the place of what is secret.
const BLANK: &str = "…";
/// The fewest bytes of a value of a query that may be a secret. To blank shorter ones would garble every text.
const SHORTEST_SECRET: usize = 4;

/// The URL of a webhook. Shown without its query, which may hold a secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Target {
    pub(super) tls: bool,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it stands in the header `Host`.
    pub(super) authority: String,
    /// What is asked for, with the query.
    pub(super) path: String,
}

/// A text that is no URL of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// It is not an URL of HTTP.
    #[error("it has to be a URL such as https://crm.example.com/apns")]
    Url,
    /// It has a user or a password in it.
    #[error("a user or a password in the URL would be shown; requests are signed instead")]
    User,
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let url: Uri = text.parse().map_err(|_| TargetError::Url)?;
        let tls = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(TargetError::Url),
        };
        let authority = url.authority().ok_or(TargetError::Url)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::User);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        // A port that is none has been read as none at all.
        let has_port = authority.as_str().len() > authority.host().len();
        if host.is_empty() || has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(TargetError::Url);
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: match url.path_and_query().map_or("/", |path| path.as_str()) {
                query if query.starts_with('?') => format!("/{query}"),
                path => path.to_owned(),
            },
        })
    }
}

impl Target {
    /// What the receiver says, without the query that it was asked with.
    pub(super) fn blanked(&self, words: &str) -> String {
        let Some((_, query)) = self.path.split_once('?').filter(|(_, query)| !query.is_empty()) else {
            return words.to_owned();
        };
        let values = query.split(['&', ';']).map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        let decoded = |text: &str| [percent_decoded(text), percent_decoded(&text.replace('+', " "))];
        let mut secrets: Vec<String> = values
            .flat_map(|value| decoded(value).into_iter().flatten().chain([value.to_owned()]))
            .filter(|value| value.len() >= SHORTEST_SECRET)
            .chain([query.to_owned()])
            .collect();
        // A secret may be part of another one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(words.to_owned(), |words, secret| words.replace(secret.as_str(), BLANK))
    }
}

/// An address that somebody names, without what may be secret: its user, its password, its query and its fragment.
pub(super) fn shown(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    let is_slash = |byte: char| byte == '/' || byte == '\\';
    // The authority is behind the first two slashes, with or without a scheme before them.
    let begin = address.find(is_slash).map_or(0, |slash| {
        let slashes = address[slash..].chars().take_while(|one| is_slash(*one)).count();
        let has_scheme = address[..slash].ends_with(':');
        if has_scheme || slashes > 1 { slash + slashes } else { 0 }
    });
    let end = address[begin..].find(is_slash).map_or(address.len(), |slash| begin + slash);
    let host = address[begin..end].rfind('@').map_or(begin, |at| begin + at + 1);
    format!("{}{}", &address[..begin], &address[host..])
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = (if self.tls { "https" } else { "http" }, self.path.split('?').next().unwrap_or_default());
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_says_is_shown_without_the_query() {
        let target: Target = "https://crm.example.com/apns?key=hunter2&at=ab%2Fc%2Bd&x=1".parse().unwrap();
        for (words, shown) in [
            ("Cannot POST /apns?key=hunter2&at=ab%2Fc%2Bd&x=1", "Cannot POST /apns?…"),
            ("key hunter2 at ab/c+d is wrong", "key … at … is wrong"),
            ("/login/%3Fkey%3Dhunter2", "/login/%3Fkey%3D…"),
            ("1 of 1", "1 of 1"),
        ] {
            assert_eq!(target.blanked(words), shown);
        }
        let bare: Target = "https://crm.example.com/apns?hunter2".parse().unwrap();
        assert_eq!(bare.blanked("hunter2, hunter2"), "…, …");
        for url in ["https://crm.example.com/apns", "https://crm.example.com/apns?"] {
            assert_eq!(url.parse::<Target>().unwrap().blanked("what? it is"), "what? it is");
        }
    }

    #[test]
    fn an_address_is_shown_without_user_query_and_fragment() {
        for (address, expected) in [
            ("https://www.example.com/apns?key=hunter2", "https://www.example.com/apns"),
            ("https://www.example.com/apns#hunter2?a", "https://www.example.com/apns"),
            ("https://me:hunter2@www.example.com:8443/apns", "https://www.example.com:8443/apns"),
            ("https://me:hunter2@[::1]", "https://[::1]"),
            ("https://me:hun@ter2@www.example.com/", "https://www.example.com/"),
            ("//me:hunter2@www.example.com/", "//www.example.com/"),
            (r"https:\\me:hunter2@www.example.com\a", r"https:\\www.example.com\a"),
            ("https:/me:hunter2@www.example.com/", "https:/www.example.com/"),
            ("mailto:me@example.com", "example.com"),
            ("/to/@me", "/to/@me"),
            ("there", "there"),
            ("?key=hunter2", ""),
            ("", ""),
        ] {
            assert_eq!(shown(address), expected, "{address}");
        }
    }

    #[test]
    fn a_url_says_where_and_is_shown_without_its_query() {
        let target: Target = "https://crm.example.com/apns?key=hunter2".parse().unwrap();
        assert_eq!((&*target.host, target.port, target.tls), ("crm.example.com", 443, true));
        assert_eq!(target.path, "/apns?key=hunter2");
        assert_eq!(format!("{target} {target:?}"), "https://crm.example.com/apns Target(https://crm.example.com/apns)");
        let bare: Target = "http://[::1]:8080".parse().unwrap();
        assert_eq!((&*bare.host, bare.port, bare.tls, &*bare.path), ("::1", 8080, false, "/"));
        assert_eq!(bare.authority, "[::1]:8080");
        let query: Target = "https://crm.example.com?a=b".parse().unwrap();
        assert_eq!((&*query.path, &*query.to_string()), ("/?a=b", "https://crm.example.com/"));
        for (wrong, error) in [
            ("", TargetError::Url),
            ("crm.example.com", TargetError::Url),
            ("/apns", TargetError::Url),
            ("ftp://crm.example.com", TargetError::Url),
            ("https://", TargetError::Url),
            ("https://crm.example.com:0", TargetError::Url),
            ("https://crm.example.com:99999", TargetError::Url),
            ("https://me:hunter2@crm.example.com", TargetError::User),
        ] {
            assert_eq!(wrong.parse::<Target>(), Err(error), "{wrong}");
        }
    }
}
