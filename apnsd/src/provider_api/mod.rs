//! Apple's provider API, as Apple has it: a client that can be given another host is served without a changed line.
//!
//! What it takes goes the way of every notification, through the outbox and the app's engine; nothing else is kept here.

mod answer;
mod authority;
mod broadcast;
mod config;
mod request;
mod routing;

use std::sync::Arc;
use std::time::Duration;

use apns_proto::Notification;
use apns_proto::http2::Reason;
use apns_proto::internal::asked::{self, Target};
use apns_proto::internal::to_hex;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ring::digest;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;

pub use self::config::ProviderApiConfig;

use self::answer::Refusal;
use self::authority::Shown;
use self::request::Asked;
use self::routing::Found;
use crate::config::{EnvironmentChoice, Limits, ProviderApiMode};
use crate::delivery::now;
use crate::http::origin;
use crate::http::shares::{Counted, bounded};
use crate::service::{Service, Submission, SubmitError};

/// What the handlers share.
#[derive(Debug, Clone)]
struct ProviderApi(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: Service,
    limits: Limits,
    settings: ProviderApiConfig,
    /// One for each request that may be under way, also while its answer is held back.
    requests: Semaphore,
    /// What ids are made of.
    random: SystemRandom,
    /// The provider tokens that were found good.
    shown: Shown,
}

/// The header that names the environment of a push.
const ENVIRONMENT: &str = "apnsd-environment";

/// Its name in figures.
const INTERFACE: &str = "provider_api";

/// The way in.
fn router(api: &ProviderApi) -> Router {
    let (service, limits) = (api.0.service.clone(), api.0.limits);
    let router = Router::new().fallback(answer).with_state(api.clone());
    let bounded = bounded(router, service, limits, Counted::ProviderApi);
    bounded.layer(from_fn_with_state(api.clone(), in_apples_words))
}

/// Takes no more requests at a time than are configured.
fn within_bounds(api: &ProviderApi, router: Router) -> Router {
    router.layer(from_fn_with_state(api.clone(), one_of_many))
}

async fn one_of_many(State(api): State<ProviderApi>, request: Request, next: Next) -> Response {
    let Ok(_permit) = api.0.requests.try_acquire() else {
        let refusal = Refusal::of(Reason::TooManyRequests)
            .detail("too many requests are under way")
            .retry_after(Duration::from_secs(1));
        let response = refusal.into_response();
        api.0.service.refusals().note(INTERFACE, response.status().as_u16());
        let (parts, _) = request.into_parts();
        return answer::named(response, answer::sent_id(&parts), &api.0.random);
    };
    next.run(request).await
}

/// Every answer has an `apns-id`, and what other parts of the daemon refuse is said in Apple's words.
async fn in_apples_words(State(api): State<ProviderApi>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let sent = answer::sent_id(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    answer::named(answer::in_apples_words(response), sent, &api.0.random)
}

async fn answer(State(api): State<ProviderApi>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answered = match Target::of(parts.uri.path()) {
        Target::Device(token) => match api.check_head(&parts, token) {
            Ok(found) => match request::read_body(body, &api.0.limits).await {
                Ok(body) => api.push(found, &Asked { parts: &parts, body: &body }, token).await,
                Err(answer) => return answer,
            },
            Err(refusal) => Err(refusal),
        },
        Target::Broadcast(bundle_id) => match api.check_broadcast_head(&parts, bundle_id) {
            Ok(found) => match request::read_body(body, &api.0.limits).await {
                Ok(body) => api.broadcast(found, &Asked { parts: &parts, body: &body }, bundle_id).await,
                Err(answer) => return answer,
            },
            Err(refusal) => Err(refusal),
        },
        Target::Channels(_) | Target::Other => Err(Refusal::of(Reason::BadPath)
            .detail("what is served here is POST /3/device/TOKEN and POST /4/broadcasts/apps/BUNDLE-ID")),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

impl ProviderApi {
    fn new(service: Service, limits: Limits, settings: ProviderApiConfig) -> Self {
        let requests = Semaphore::new(settings.requests.min(Semaphore::MAX_PERMITS));
        let (random, shown) = (SystemRandom::new(), Shown::default());
        Self(Arc::new(Shared { service, limits, settings, requests, random, shown }))
    }

    /// What can be said before the body has come: who asks, and for which app.
    fn check_head(&self, parts: &Parts, token: &str) -> Result<Found, Refusal> {
        let asked = Asked { parts, body: &[] };
        asked::check_head(&asked, token).map_err(Refusal::of)?;
        self.find(parts, || asked::named_topic(&asked).map_err(Refusal::of))
    }

    /// The same of a broadcast.
    fn check_broadcast_head(&self, parts: &Parts, bundle_id: &str) -> Result<Found, Refusal> {
        let bundle_id = broadcast::check_head(parts, bundle_id)?;
        self.find(parts, || Ok(Some(bundle_id)))
    }

    /// Who asks, and for which app, by the topic that is read once it is known who asks.
    fn find<'a>(
        &self,
        parts: &Parts,
        topic: impl FnOnce() -> Result<Option<&'a str>, Refusal>,
    ) -> Result<Found, Refusal> {
        let service = &self.0.service;
        let host = origin::host(parts);
        let authority = self.0.shown.authority(service, &parts.headers, now())?;
        // Without access tokens a page in somebody's browser could send, as itself or by giving its own name this machine's
        // address.
        let named = host.is_none_or(|host| origin::is_loopback(host) || routing::environment(host).is_some());
        if authority.is_open() && !named {
            return Err(Refusal::new(403, Reason::Forbidden.as_str())
                .detail("without access tokens only requests to localhost, and to Apple's own names, are answered"));
        }
        if origin::comes_from_another_site(&parts.headers) {
            return Err(Refusal::new(403, Reason::Forbidden.as_str()).detail("pages of other sites are not answered"));
        }
        let topic = topic()?;
        let environment = match parts.headers.get(ENVIRONMENT) {
            Some(word) => {
                let choice = word.to_str().ok().and_then(EnvironmentChoice::from_word);
                let unknown = || {
                    Refusal::new(400, "BadEnvironment")
                        .detail("apnsd-environment has to be production, sandbox, development or auto")
                };
                Some(choice.ok_or_else(unknown)?)
            }
            None => host.and_then(routing::environment).map(EnvironmentChoice::from),
        };
        routing::find(service, &authority, topic, environment)
    }

    /// A broadcast. It is passed on whatever the app's mode is: nothing of it is stored.
    async fn broadcast(&self, found: Found, asked: &Asked<'_>, bundle_id: &str) -> Result<Response, Refusal> {
        let broadcast = broadcast::read(asked, bundle_id)?;
        let limit = self.0.settings.answer_within;
        broadcast::answered(self.0.service.broadcast(&found.app, found.environment, broadcast, limit).await)
    }

    /// A push to a device.
    async fn push(&self, found: Found, asked: &Asked<'_>, token: &str) -> Result<Response, Refusal> {
        let service = &self.0.service;
        let notification = request::notification(&found, asked, token)?;
        let tag = request::tag(&asked.parts.headers)?;
        if found.mode == ProviderApiMode::Through {
            let submission = Submission { environment: found.environment, tag, ..notification.into() };
            let attended = service.submit_attended(&found.app, submission).await?;
            let id = attended.id();
            let passed = attended.answer(self.0.settings.answer_within).await;
            return answer::passed_on(id, &passed);
        }
        let idempotency_key = key_of(&notification);
        let submission = Submission {
            idempotency_key: idempotency_key.clone(),
            environment: found.environment,
            tag,
            ..notification.into()
        };
        let id = match (service.submit(&found.app, vec![submission]).await, idempotency_key) {
            (Ok(accepted), _) => accepted.first().map(|one| one.id),
            // The same, but for headers that a client makes anew when it sends again.
            (Err(SubmitError::KeyReused { .. }), Some(key)) => {
                service.by_keys(&found.app, vec![key]).await.map_err(SubmitError::from)?.pop().flatten()
            }
            (Err(error), _) => return Err(error.into()),
        };
        id.map(answer::stored).ok_or_else(|| Refusal::of(Reason::InternalServerError))
    }
}

/// The idempotency key of a notification with an id of its caller's: clients send again under the same id what got no answer.
/// Some give one id to a message for many devices, so the device and the payload count as well. The expiration does not:
/// clients count it from the moment at which they send.
fn key_of(notification: &Notification) -> Option<Arc<str>> {
    let id = notification.apns_id()?;
    let mut content = digest::Context::new(&digest::SHA256);
    let token = notification.token().as_bytes();
    content.update(&[u8::try_from(token.len()).unwrap_or(u8::MAX)]);
    content.update(token);
    content.update(notification.payload().as_bytes());
    let content = to_hex(content.finish().as_ref());
    Some(format!("apns-id {id} {content}").into())
}
