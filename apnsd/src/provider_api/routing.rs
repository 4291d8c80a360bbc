//! Which app a request is for.

use std::sync::Arc;

use apns_proto::Environment;
use apns_proto::http2::{Reason, host};
use apns_proto::internal::asked::is_topic_of;

use super::answer::Refusal;
use super::authority::Authority;
use crate::AppName;
use crate::config::{App, Destination, EnvironmentChoice, ProviderApiMode};
use crate::service::Service;

/// The app of a request.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) app: AppName,
    pub(super) mode: ProviderApiMode,
    /// The environment that the caller named, where it makes a difference.
    pub(super) environment: Option<EnvironmentChoice>,
    /// The topic that the request names.
    pub(super) topic: Option<Box<str>>,
    /// It is the app's own, whatever it ends in.
    pub(super) is_bundle_id: bool,
}

/// How well an app fits a topic, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It is the app's topic, or one that its certificate lists.
    Own,
    /// It is the app's topic with the suffix of a push type.
    Suffix,
    /// The app has none of its own.
    Any,
}

impl Fit {
    fn of(app: &App, topic: &str) -> Option<Self> {
        let listed = |to: &Destination| to.certificate_topics.as_ref().is_some_and(|topics| topics.covers(topic));
        let listed = app.destinations.iter().any(listed);
        match &app.topic {
            Some(own) if own.as_str() == topic => Some(Self::Own),
            _ if listed => Some(Self::Own),
            Some(own) if is_topic_of(own.as_str(), topic) => Some(Self::Suffix),
            Some(_) => None,
            None => Some(Self::Any),
        }
    }
}

/// The environment that a host name of Apple's stands for.
pub(super) fn environment(name: &str) -> Option<Environment> {
    let is = |one: &str| name.eq_ignore_ascii_case(one);
    if is(host::PRODUCTION) {
        Some(Environment::Production)
    } else if is(host::SANDBOX) || is(host::DEVELOPMENT) {
        Some(Environment::Sandbox)
    } else {
        None
    }
}

/// Finds the app among those that the caller may use: by the topic, and where several have it by the environment that the
/// header or the host name stands for.
pub(super) fn find(
    service: &Service,
    authority: &Authority,
    topic: Option<&str>,
    environment: Option<EnvironmentChoice>,
) -> Result<Found, Refusal> {
    let mut known = false;
    let mut best: Option<Fit> = None;
    let mut fitting: Vec<(AppName, Arc<App>)> = Vec::new();
    service.each_app(|name, app| {
        if !authority.may_use(name, app) {
            return;
        }
        known = true;
        let Some(fit) = topic.map_or(Some(Fit::Any), |topic| Fit::of(app, topic)) else { return };
        if app.destinations_of(environment).is_empty() || best.is_some_and(|best| best < fit) {
            return;
        }
        if best != Some(fit) {
            best = Some(fit);
            fitting.clear();
        }
        fitting.push((name.clone(), app.clone()));
    });
    let named = topic.is_some();
    match (fitting.len(), fitting.pop()) {
        (1, Some((name, app))) => Ok(Found {
            is_bundle_id: best == Some(Fit::Own) && app.topic.as_ref().map(apns_proto::Topic::as_str) == topic,
            app: name,
            mode: app.provider_api,
            environment: environment.filter(|_| app.has_both()),
            topic: topic.map(Box::from),
        }),
        (0, _) if !known => Err(authority.knows_nobody()),
        (0, _) if named => Err(Refusal::of(Reason::TopicDisallowed)
            .detail("no app that this caller may use has this topic, in the environment that was named")),
        (_, _) if named => Err(Refusal::of(Reason::TopicDisallowed).detail(
            "several apps have this topic: name the environment, by Apple's host name or in `apnsd-environment`, or use an access \
             token for one app",
        )),
        _ => Err(Refusal::of(Reason::MissingTopic)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apples_names_stand_for_their_environments() {
        assert_eq!(environment("api.push.apple.com"), Some(Environment::Production));
        assert_eq!(environment("API.sandbox.push.apple.com"), Some(Environment::Sandbox));
        assert_eq!(environment("api.development.push.apple.com"), Some(Environment::Sandbox));
        assert_eq!(environment("push.example.com"), None);
    }
}
