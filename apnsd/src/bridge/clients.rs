//! Who may connect, and what is remembered of each client from one connection to the next.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use apns_proto::binary::Status;
use apns_tokio::{Certificate, CertificateEnvironment, Environment};
use parking_lot::Mutex;

use super::line::Fate;
use super::resend::{Likeness, Resends};
use super::taken::Taken;
use crate::AppName;
use crate::config::{BridgeConfig, BridgeErrors, KnownBy};
use crate::delivery::Credential;
use crate::service::{AppInfo, EnvironmentInfo, Service};

/// A client that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admitted {
    /// The app that it sends for.
    pub(super) app: AppName,
    /// The environment that its certificate is for, of an app with both; `None` for where the app sends by default.
    pub(super) environment: Option<Environment>,
    /// What its certificate calls itself, for apps without a topic.
    pub(super) topic: Option<String>,
    pub(super) fingerprint: [u8; 32],
}

/// Why a certificate is not let in. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnknownClient {
    #[error("its certificate cannot be read: {0}")]
    Unreadable(String),
    #[error(
        "its certificate belongs to no app (SHA-256 {fingerprint}, topics: {topics}); a [[bridge.client]] with this \
         fingerprint lets it in"
    )]
    Unknown { fingerprint: String, topics: String },
    #[error(
        "its certificate names a topic of more than one app ({apps}); a [[bridge.client]] with its fingerprint \
         {fingerprint} says which"
    )]
    Ambiguous { fingerprint: String, apps: String },
}

/// Which certificates belong to which apps.
#[derive(Debug)]
pub(super) struct Admission {
    fingerprints: HashMap<[u8; 32], AppName>,
    topics: HashMap<String, AppName>,
    topics_count: bool,
}

impl Admission {
    pub(super) fn new(config: &BridgeConfig, tokens: bool) -> Self {
        let (mut fingerprints, mut topics) = (HashMap::new(), HashMap::new());
        for client in &config.clients {
            match &client.known_by {
                KnownBy::Fingerprint(fingerprint) => drop(fingerprints.insert(*fingerprint, client.app.clone())),
                KnownBy::Topic(topic) => drop(topics.insert(topic.clone(), client.app.clone())),
            }
        }
        Self { fingerprints, topics, topics_count: config.topics_count(tokens) }
    }

    /// Finds the app of a certificate: by its fingerprint in the configuration, as the app's own credential, and where
    /// topics count by what it names.
    pub(super) fn admit(&self, service: &Service, der: &[u8]) -> Result<Admitted, UnknownClient> {
        let certificate = Certificate::from_der(der).map_err(|error| UnknownClient::Unreadable(error.to_string()))?;
        let fingerprint = *certificate.fingerprint().as_bytes();
        let app = match self.fingerprints.get(&fingerprint) {
            Some(app) => Some(app.clone()),
            None => self
                .by_credential(service, &certificate)
                .map_or_else(|| self.by_topic(service, &certificate), |app| Ok(Some(app)))?,
        };
        // One that is mapped to an app that is not there (yet) is unknown, too.
        let app = app.and_then(|app| service.info(&app).ok()).ok_or_else(|| unknown(&certificate))?;
        Ok(Admitted {
            environment: environment_of(&app, &certificate),
            app: app.name,
            topic: certificate.default_topic().map(str::to_owned),
            fingerprint,
        })
    }

    fn by_credential(&self, service: &Service, certificate: &Certificate) -> Option<AppName> {
        let wanted = certificate.fingerprint().to_string();
        let has = |app: &AppInfo| app.environments.iter().any(|one| is_own(one, &wanted));
        service.list().into_iter().find(has).map(|app| app.name)
    }

    fn by_topic(&self, service: &Service, certificate: &Certificate) -> Result<Option<AppName>, UnknownClient> {
        if !self.topics_count {
            return Ok(None);
        }
        let named = || certificate.default_topic().into_iter().chain(certificate.topics().iter().map(String::as_str));
        if let Some(app) = named().find_map(|topic| self.topics.get(topic)) {
            return Ok(Some(app.clone()));
        }
        let suits = |app: &AppInfo| {
            let topic = app.topic.as_deref();
            named().any(|named| topic == Some(named))
                && app.environments.iter().any(|one| suits_environment(certificate, one.environment))
        };
        let mut apps: Vec<AppName> = service.list().into_iter().filter(suits).map(|app| app.name).collect();
        match apps.len() {
            0 | 1 => Ok(apps.pop()),
            _ => Err(UnknownClient::Ambiguous {
                fingerprint: certificate.fingerprint().to_string(),
                apps: listed(apps.iter().map(AppName::as_str)),
            }),
        }
    }
}

/// Whether the certificate with this fingerprint is what the app shows to the service there.
fn is_own(to: &EnvironmentInfo, wanted: &str) -> bool {
    match &to.credential {
        Credential::Certificate { fingerprint, .. } => fingerprint == wanted,
        Credential::SigningKey { .. } => false,
    }
}

/// The one environment that a certificate is for, of an app with both: where it is the app's own, or else the one that it
/// names. The device tokens of its client are of this environment.
fn environment_of(app: &AppInfo, certificate: &Certificate) -> Option<Environment> {
    if app.environments.len() < 2 {
        return None;
    }
    let only = |suits: &dyn Fn(&EnvironmentInfo) -> bool| {
        let mut suiting = app.environments.iter().filter(|one| suits(one)).map(|one| one.environment);
        suiting.next().xor(suiting.next())
    };
    let fingerprint = certificate.fingerprint().to_string();
    only(&|one| is_own(one, &fingerprint)).or_else(|| only(&|one| suits_environment(certificate, one.environment)))
}

fn suits_environment(certificate: &Certificate, environment: Environment) -> bool {
    match environment {
        Environment::Production => certificate.environment().is_none_or(CertificateEnvironment::allows_production),
        Environment::Sandbox => certificate.environment().is_none_or(CertificateEnvironment::allows_development),
    }
}

fn unknown(certificate: &Certificate) -> UnknownClient {
    let topics = certificate.topics();
    UnknownClient::Unknown {
        fingerprint: certificate.fingerprint().to_string(),
        topics: if topics.is_empty() { "none".to_owned() } else { listed(topics.iter().map(String::as_str)) },
    }
}

/// A few of what an unknown client says, without what would disturb a log.
fn listed<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let clean = |text: &str| text.chars().filter(|character| !character.is_control()).take(100).collect::<String>();
    texts.take(5).map(clean).collect::<Vec<_>>().join(", ")
}

/// The most that is held of one client for ten minutes after an error response.
const HELD: usize = 100_000;
/// How many clients are remembered without a connection.
const REMEMBERED: usize = 1000;

/// One client, on however many connections: an app and a certificate.
pub(super) struct Client {
    pub(super) admitted: Admitted,
    state: Mutex<State>,
}

struct State {
    next: u64,
    resends: Resends<Arc<Taken>>,
}

/// Its name alone: what it sent is nobody's business.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("app", &self.admitted.app).finish_non_exhaustive()
    }
}

impl Client {
    fn new(admitted: Admitted) -> Self {
        Self { admitted, state: Mutex::new(State { next: 0, resends: Resends::new(HELD) }) }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock())
    }

    /// A notification that is new.
    pub(super) fn take(&self, likeness: Likeness, errors: BridgeErrors) -> Arc<Taken> {
        let number = self.change(|state| {
            state.next += 1;
            state.next
        });
        Arc::new(Taken::new(likeness, number, errors))
    }

    /// What these stood behind was refused, and the client will send them again.
    pub(super) fn hold(&self, now: Instant, taken: impl IntoIterator<Item = Arc<Taken>>) {
        self.change(|state| {
            for taken in taken {
                state.resends.hold(now, taken.likeness, taken.number, taken);
            }
        });
    }

    /// The one that something like this repeats; `None` when it is new.
    pub(super) fn recall(&self, now: Instant, likeness: &Likeness) -> Option<Arc<Taken>> {
        let (_, taken) = self.change(|state| state.resends.recall(now, likeness))?;
        // What failed for a while, and nothing came of it, is tried anew.
        (taken.fate() != Fate::Refused(Status::PROCESSING_ERROR)).then_some(taken)
    }

    fn has_nothing(&self, now: Instant) -> bool {
        self.change(|state| state.resends.is_empty(now))
    }
}

/// All clients that have a connection, or had one with an error response not long ago.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<HashMap<ClientName, Arc<Client>>>);

/// What makes a client: its app, and the fingerprint of its certificate.
type ClientName = (AppName, [u8; 32]);

impl Clients {
    /// The client that connects.
    pub(super) fn enter(&self, now: Instant, admitted: Admitted) -> Arc<Client> {
        let mut clients = self.0.lock();
        clients.retain(|_, client| Arc::strong_count(client) > 1 || !client.has_nothing(now));
        if clients.len() >= REMEMBERED {
            clients.retain(|_, client| Arc::strong_count(client) > 1);
        }
        let name = (admitted.app.clone(), admitted.fingerprint);
        clients.entry(name).or_insert_with(|| Arc::new(Client::new(admitted))).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::delivery::Listener as _;
    use crate::outbox::OutcomeRecord;

    const MINUTE: Duration = Duration::from_secs(60);
    const LIKE: Likeness = [7; 32];

    fn admitted() -> Admitted {
        Admitted { app: "shop".parse().unwrap(), environment: None, topic: None, fingerprint: [1; 32] }
    }

    fn ended(taken: &Taken, outcome: &str) {
        let record = format!(
            "{{\"id\":\"2ca378c7-8dca-8e7d-8000-000000000034\",\"app\":\"shop\",\"outcome\":\"{outcome}\",\
             \"attempts\":1,\"replays\":0,\"retries\":0,\"accepted_at\":1,\"settled_at\":2}}"
        );
        taken.ended(&serde_json::from_str::<OutcomeRecord>(&record).unwrap());
    }

    #[test]
    fn what_is_held_is_remembered_from_one_connection_to_the_next_for_ten_minutes() {
        let (clients, now) = (Clients::default(), Instant::now());
        let client = clients.enter(now, admitted());
        let (one, two) = (client.take(LIKE, BridgeErrors::Frame), client.take(LIKE, BridgeErrors::Frame));
        client.hold(now, [one, two]);
        drop(client);
        let again = clients.enter(now + 9 * MINUTE, admitted());
        assert_eq!(again.recall(now + 9 * MINUTE, &LIKE).map(|taken| taken.number), Some(1));
        drop(again);
        let late = clients.enter(now + 10 * MINUTE, admitted());
        assert!(late.recall(now + 10 * MINUTE, &LIKE).is_none());
    }

    #[test]
    fn another_certificate_is_another_client() {
        let (clients, now) = (Clients::default(), Instant::now());
        let client = clients.enter(now, admitted());
        client.hold(now, [client.take(LIKE, BridgeErrors::Frame)]);
        let other = clients.enter(now, Admitted { fingerprint: [2; 32], ..admitted() });
        assert!(other.recall(now, &LIKE).is_none());
        assert!(client.recall(now, &LIKE).is_some());
    }

    #[test]
    fn what_came_to_nothing_is_tried_anew_and_what_may_have_arrived_is_not() {
        let (clients, now) = (Clients::default(), Instant::now());
        let client = clients.enter(now, admitted());
        for (outcome, recalled) in [("not_sent", false), ("unknown", true), ("accepted", true), ("expired", true)] {
            let taken = client.take(LIKE, BridgeErrors::Frame);
            client.hold(now, [taken.clone()]);
            ended(&taken, outcome);
            assert_eq!(client.recall(now, &LIKE).is_some(), recalled, "{outcome}");
        }
    }

    #[test]
    fn clients_that_left_nothing_are_forgotten() {
        let (clients, now) = (Clients::default(), Instant::now());
        for number in 0..10 {
            drop(clients.enter(now, Admitted { fingerprint: [number; 32], ..admitted() }));
        }
        assert_eq!(clients.0.lock().len(), 1);
    }
}
