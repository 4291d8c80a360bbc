//! The simulator: one value that owns listeners, certificates, script and log.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use apns_driver::Identity;
use apns_driver::apns_credentials::Certificate;
use apns_driver::apns_credentials::disclosure::shown;
use apns_proto::WallTime;
use apns_proto::binary::FeedbackRecord;
use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::armed::Armed;
use crate::certificates::{Certificates, DEFAULT_TOPIC, PKCS12_PASSWORD, ServerCertificate, universal_topics};
use crate::folder::{CredentialFolder, FolderError, Found};
use crate::log::{Counts, Entry, Keep, Log, Record, Service};
use crate::provider::{Channel, KEY_ID, RequestRecord, SigningKeyPair, Trust};
use crate::script::{Http2GoAway, Script, TokenPattern};
use crate::service::{Listener, Shared, run};
use crate::state::{Core, Hook};
use crate::thread::OwnThread;
use crate::tls::{ClientAuth, ProviderAuth, Tls, TlsVersion};

/// Why a simulator could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The certificates could not be made.
    #[error("the certificates could not be made, is a topic or a name no plain text? {0}")]
    Certificates(String),
    /// The folder for the credentials cannot be used.
    #[error("in {}, {error}", shown(path))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: FolderError,
    },
    /// The signing key that was given cannot be used.
    #[error("the signing key cannot be used: it has to be a P-256 key in a .p8 file (PKCS#8 in PEM); {0}")]
    SigningKey(String),
    /// The authority that was given for client certificates cannot be used.
    #[error("the authority for client certificates cannot be used: {0}")]
    ClientAuthority(String),
    /// The address is taken or is none of this machine's.
    #[error("the {service} cannot listen at {address}: {source}{}", hint(source))]
    Bind {
        /// Whose address.
        service: Service,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no thread or no runtime to be had for it.
    #[error("no thread of its own can be had: {0}")]
    Thread(io::Error),
}

/// What to do about a port that is taken.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another simulator may run there: take another port, or 0 for any that is free",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege: take a higher one",
        _ => "",
    }
}

/// Settings of a [`Simulator`]. All have a default; [`start`](Self::start) ends the chain.
#[derive(Clone)]
pub struct Builder {
    gateway: SocketAddr,
    feedback: SocketAddr,
    http2: Vec<SocketAddr>,
    topics: Vec<String>,
    script: Script,
    auth: ClientAuth,
    provider_auth: ProviderAuth,
    tls: TlsVersion,
    server_certificate: ServerCertificate,
    server_names: Vec<String>,
    server_identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    keep: Keep,
    lenient: bool,
    folder: Option<CredentialFolder>,
    signing_key: Option<OwnKey>,
    client_authorities: Vec<Vec<u8>>,
    hook: Option<Hook>,
}

/// A team's own signing key.
#[derive(Clone)]
struct OwnKey {
    pem: String,
    key_id: String,
    team_id: String,
}

impl Builder {
    fn new() -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            gateway: any_port,
            feedback: any_port,
            http2: vec![any_port],
            topics: vec![DEFAULT_TOPIC.to_owned()],
            script: Script::default(),
            auth: ClientAuth::default(),
            provider_auth: ProviderAuth::default(),
            tls: TlsVersion::default(),
            server_certificate: ServerCertificate::default(),
            server_names: Vec::new(),
            server_identity: None,
            alpn: vec![b"h2".to_vec()],
            keep: Keep::default(),
            lenient: false,
            folder: None,
            signing_key: None,
            client_authorities: Vec::new(),
            hook: None,
        }
    }

    /// Where the gateway listens. Default: 127.0.0.1, any free port. Apple's port was 2195.
    #[must_use]
    pub const fn gateway_address(mut self, address: SocketAddr) -> Self {
        self.gateway = address;
        self
    }

    /// Where the feedback service listens. Default: 127.0.0.1, any free port. Apple's port was 2196.
    #[must_use]
    pub const fn feedback_address(mut self, address: SocketAddr) -> Self {
        self.feedback = address;
        self
    }

    /// Where the HTTP/2 provider API listens. Default: 127.0.0.1, any free port. Apple's ports are 443 and 2197; those of
    /// channel management are 2195 and 2196. One listener serves it all here.
    #[must_use]
    pub fn http2_address(self, address: SocketAddr) -> Self {
        self.http2_addresses([address])
    }

    /// As [`http2_address`](Self::http2_address), at several addresses: one service, whose connections are counted
    /// together. Without any it listens at 127.0.0.1, at any free port.
    #[must_use]
    pub fn http2_addresses(mut self, addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.http2 = addresses.into_iter().collect();
        if self.http2.is_empty() {
            self.http2.push(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        }
        self
    }

    /// The topics of the client certificate; the first stands in its subject. Default: `com.example.app`.
    #[must_use]
    pub fn topics(mut self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.topics = topics.into_iter().map(Into::into).collect();
        if self.topics.is_empty() {
            self.topics.push(DEFAULT_TOPIC.to_owned());
        }
        self
    }

    /// The apps of the client certificate, by bundle id; the first stands in its subject. Like one of Apple's universal
    /// certificates it is for each bundle id and for all its suffixes (`.voip`, `.complication` and so on) but those of
    /// push types that need a provider token. With several topics a push has to name its own. Default: see
    /// [`topics`](Self::topics), of which this takes the place.
    #[must_use]
    pub fn apps(self, bundle_ids: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.topics(bundle_ids.into_iter().flat_map(|bundle_id| universal_topics(bundle_id.as_ref())))
    }

    /// Writes the credentials into this folder at the start, and finds them there again: the authority, the client's key
    /// and the signing key stay the same from one simulator to the next. Default: all are made anew and kept in memory.
    #[must_use]
    pub fn credentials_in(mut self, folder: CredentialFolder) -> Self {
        self.folder = Some(folder);
        self
    }

    /// A team's own signing key: the text of a `.p8` file, with its key id and team id, in place of one that is made. It
    /// is written nowhere.
    #[must_use]
    pub fn signing_key(
        mut self,
        pem: impl Into<String>,
        key_id: impl Into<String>,
        team_id: impl Into<String>,
    ) -> Self {
        self.signing_key = Some(OwnKey { pem: pem.into(), key_id: key_id.into(), team_id: team_id.into() });
        self
    }

    /// Adds an authority, in PEM or DER, whose client certificates are taken too: a team's own. A certificate is good for
    /// the topics it names, as Apple's do; one that names none counts as the simulator's own.
    #[must_use]
    pub fn client_authority(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.client_authorities.push(certificates.into());
        self
    }

    /// What to do beyond taking everything that is well-formed. Default: nothing.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// What the HTTP/2 provider API takes as proof of who a client is. Default: a certificate or a provider token.
    #[must_use]
    pub const fn provider_auth(mut self, auth: ProviderAuth) -> Self {
        self.provider_auth = auth;
        self
    }

    /// Whether clients of the gateway and the feedback service need a certificate. Default: one of the simulator's own authority.
    #[must_use]
    pub const fn client_auth(mut self, auth: ClientAuth) -> Self {
        self.auth = auth;
        self
    }

    /// The highest version of TLS that is spoken. Default: 1.3. The lowest is 1.2 always.
    #[must_use]
    pub const fn highest_tls(mut self, version: TlsVersion) -> Self {
        self.tls = version;
        self
    }

    /// What is wrong with the dates of the server's certificate. Default: nothing.
    #[must_use]
    pub const fn server_certificate(mut self, certificate: ServerCertificate) -> Self {
        self.server_certificate = certificate;
        self
    }

    /// Adds a host name or an IP address that the server's certificate is good for, beside those of this machine and of
    /// Apple's services: what it is called by in a network of containers, say.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_names.push(name.into());
        self
    }

    /// The server's certificate and key, in place of one that is made. Default: one of the simulator's own authority.
    #[must_use]
    pub fn server_identity(mut self, identity: Identity) -> Self {
        self.server_identity = Some(identity);
        self
    }

    /// Which protocols the provider API chooses from by ALPN. Default: `h2`. Without any, it chooses none, as a server
    /// does that knows nothing of ALPN.
    #[must_use]
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// How much of what arrives is kept. Default: everything.
    #[must_use]
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// The provider API takes what Apple's own recipes and samples do although Apple's pages do not allow it: see
    /// [`Deviation`](crate::Deviation). Default: it refuses that, and says so.
    #[must_use]
    pub const fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Calls this with each entry of the log, kept or not, on the connection's task. Entries of one connection come in
    /// order. It must not block. Default: nothing.
    #[must_use]
    pub fn on_entry(mut self, hook: impl Fn(&Entry) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// Makes certificates and starts to listen, on a thread with a runtime of its own: for blocking code, and for code on
    /// another runtime than tokio. Everything else here works on any runtime and on any thread.
    ///
    /// ```
    /// let simulator = apns_sim::Simulator::builder().start_on_thread()?;
    /// assert!(std::net::TcpStream::connect(simulator.gateway_address()).is_ok());
    /// # Ok::<(), apns_sim::StartError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`start`](Self::start), and when the system has no thread left.
    pub fn start_on_thread(self) -> Result<Simulator, StartError> {
        let (mut simulator, thread) = OwnThread::start(self.start())?;
        simulator.thread = Some(thread);
        Ok(simulator)
    }

    /// Makes certificates and starts to listen.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened at, or a topic has no place in a certificate.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn start(self) -> Result<Simulator, StartError> {
        let authorities = client_authorities(&self.client_authorities)?;
        let found = match &self.folder {
            Some(folder) => folder.find(KEY_ID).map_err(|error| folder.unusable(error))?,
            None => Found::default(),
        };
        let certificates =
            Certificates::generate(&self.topics, self.server_certificate, &self.server_names, found.keys.as_ref());
        let certificates = certificates.map_err(|error| StartError::Certificates(error.to_string()))?;
        let made =
            || Identity::from_pem(certificates.server.as_bytes(), Some(certificates.server_key.as_bytes()), None);
        let server = match self.server_identity {
            Some(identity) => identity,
            None => made().map_err(|error| StartError::Certificates(error.to_string()))?,
        };
        let tls = Tls::new(&certificates, &server, &authorities, self.auth, self.tls);
        let tls = Arc::new(tls.map_err(|error| StartError::Certificates(error.to_string()))?);
        let http2_tls = Tls::http2(&certificates, &server, &authorities, self.provider_auth, self.tls, self.alpn);
        let http2_tls = Arc::new(http2_tls.map_err(|error| StartError::Certificates(error.to_string()))?);
        let key = match (&self.signing_key, &found.signing_key) {
            (Some(own), _) => SigningKeyPair::own(&own.pem, &own.key_id, &own.team_id),
            (None, Some(pem)) => SigningKeyPair::again(pem),
            (None, None) => SigningKeyPair::generate(),
        };
        let key = key.map_err(|error| StartError::SigningKey(error.to_string()))?;
        let trust = Arc::new(Trust { key, topics: self.topics.into(), lenient: self.lenient });
        let (gateway, gateway_address) = bind(Service::Gateway, self.gateway).await?;
        let (feedback, feedback_address) = bind(Service::Feedback, self.feedback).await?;
        let mut http2 = Vec::new();
        for address in self.http2 {
            http2.push(bind(Service::Http2, address).await?);
        }
        // Who waits for the files may connect as soon as they are there.
        if let Some(folder) = &self.folder {
            folder.write(&certificates, &trust.key, true).map_err(|error| folder.unusable(error))?;
        }
        let core = Arc::new(Core::new(self.script, self.keep, self.hook));
        let (cut, watch) = watch::channel(0);
        let (go_away, gone_away) = watch::channel(None);

        // Several listeners of one service count their connections together.
        let http2_connections = Arc::new(AtomicU64::new(0));
        let start = |service, listener: &Arc<Listener>| {
            let connections = match service {
                Service::Gateway | Service::Feedback => Arc::default(),
                Service::Http2 => Arc::clone(&http2_connections),
            };
            let tls = match service {
                Service::Gateway | Service::Feedback => tls.clone(),
                Service::Http2 => http2_tls.clone(),
            };
            let (core, trust) = (core.clone(), trust.clone());
            let shared = Shared { service, core, tls, trust, cut: watch.clone(), go_away: gone_away.clone() };
            tokio::spawn(run(shared, listener.clone(), connections))
        };
        let mut tasks = vec![start(Service::Gateway, &gateway), start(Service::Feedback, &feedback)];
        tasks.extend(http2.iter().map(|(listener, _)| start(Service::Http2, listener)));
        let http2_addresses = http2.iter().map(|(_, address)| *address).collect();
        let mut listeners = vec![gateway, feedback];
        listeners.extend(http2.into_iter().map(|(listener, _)| listener));
        Ok(Simulator {
            core,
            certificates,
            trust,
            gateway_address,
            feedback_address,
            http2_addresses,
            cut,
            go_away,
            listeners,
            tasks,
            thread: None,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("gateway", &self.gateway)
            .field("feedback", &self.feedback)
            .field("http2", &self.http2)
            .field("topics", &self.topics)
            .field("script", &self.script)
            .field("auth", &self.auth)
            .field("provider_auth", &self.provider_auth)
            .field("tls", &self.tls)
            .field("server_certificate", &self.server_certificate)
            .field("server_names", &self.server_names)
            .field("server_identity", &self.server_identity)
            .field("alpn", &self.alpn)
            .field("keep", &self.keep)
            .field("lenient", &self.lenient)
            .field("folder", &self.folder)
            .field("signing_key", &self.signing_key.is_some())
            .field("client_authorities", &self.client_authorities.len())
            .field("hook", &self.hook.is_some())
            .finish()
    }
}

/// The certificates in what was given.
fn client_authorities(given: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let mut all = Vec::new();
    for bytes in given {
        let found = Certificate::all_in(bytes, None);
        let found = found.map_err(|error| StartError::ClientAuthority(error.to_string()))?;
        all.extend(found.iter().map(|one| CertificateDer::from(one.der().to_vec())));
    }
    Ok(all)
}

async fn bind(service: Service, address: SocketAddr) -> Result<(Arc<Listener>, SocketAddr), StartError> {
    Listener::bind(address).await.map_err(|source| StartError::Bind { service, address, source })
}

/// A simulator of Apple's services on this machine: push gateway, feedback service and HTTP/2 provider API over TLS.
///
/// Dropping it closes its sockets and ends its tasks; [`stop`](Self::stop) also waits until they have ended.
///
/// ```
/// use apns_sim::{Script, Simulator};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let simulator = Simulator::start().await?;
/// // Let the client connect to `gateway_address`, trust `ca_pem`, and be `client_certificate_pem`.
/// assert!(simulator.gateway_address().ip().is_loopback());
/// assert!(simulator.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
///
/// simulator.set_script(Script::from_json(r#"{"invalid_tokens": ["bad*"]}"#)?);
/// assert_eq!(simulator.counts().notifications, 0);
/// simulator.stop().await;
/// # Ok(())
/// # }
/// ```
pub struct Simulator {
    core: Arc<Core>,
    certificates: Certificates,
    trust: Arc<Trust>,
    gateway_address: SocketAddr,
    feedback_address: SocketAddr,
    /// One at least.
    http2_addresses: Vec<SocketAddr>,
    cut: watch::Sender<u64>,
    go_away: watch::Sender<Option<Http2GoAway>>,
    listeners: Vec<Arc<Listener>>,
    tasks: Vec<JoinHandle<()>>,
    /// Ends its runtime when dropped.
    thread: Option<OwnThread>,
}

impl Simulator {
    /// Starts one with all defaults.
    ///
    /// # Errors
    ///
    /// When this machine has no free port left.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with its I/O and time drivers.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Settings for one that is not all defaults.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts this script from its beginning, for connections and notifications to come. The feedback records that are
    /// left are replaced by the script's.
    pub fn set_script(&self, script: Script) {
        self.core.set_script(script);
    }

    /// Changes the script that is played. Rules that stay at their place keep their count; the feedback records that
    /// are left stay unless those of the script change.
    ///
    /// ```
    /// # use apns_sim::{Action, Condition, Rule, Simulator};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let simulator = Simulator::start().await?;
    /// simulator.change_script(|script| script.rule(Rule::new(Condition::default(), Action::Close).times(1)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn change_script(&self, change: impl FnOnce(Script) -> Script) {
        self.core.change_script(change);
    }

    /// Adds a record for the next client of the feedback service: the app is gone from this device since `timestamp`.
    pub fn push_feedback(&self, token: impl Into<Vec<u8>>, timestamp: WallTime) {
        self.core.push_feedback(FeedbackRecord { timestamp, token: Bytes::from(token.into()) });
    }

    /// Cuts all connections of this moment, at all services. New ones are accepted.
    pub fn cut_connections(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// Says GOAWAY on all connections to the provider API of this moment. Requests that arrived are answered; new ones
    /// need a new connection.
    pub fn go_away(&self, said: Http2GoAway) {
        self.go_away.send_replace(Some(said));
    }

    /// Decides about the next push for some device tokens, before the script is asked. It takes the place of what is
    /// armed for the same tokens; what names one device comes before what is for many.
    pub fn arm(&self, armed: Armed) {
        self.core.lock().armed.arm(armed);
    }

    /// Takes back what is armed for these device tokens. Says whether there was something.
    pub fn disarm(&self, tokens: &TokenPattern) -> bool {
        self.core.lock().armed.disarm(tokens)
    }

    /// What is armed and not used up.
    #[must_use]
    pub fn armed(&self) -> Vec<Armed> {
        self.core.lock().armed.all().to_vec()
    }

    /// Waits until this holds; it is asked whenever something happened. Wrap it in a timeout: what never happens is
    /// waited for for ever.
    ///
    /// `predicate` must not call the simulator, which waits for it.
    ///
    /// ```no_run
    /// # async fn example(simulator: apns_sim::Simulator) {
    /// simulator.wait_for(|log| log.counts().accepted == 3).await;
    /// # }
    /// ```
    pub async fn wait_for(&self, predicate: impl FnMut(&Log) -> bool) {
        self.core.wait_for(predicate).await;
    }

    /// Looks at the log without a copy. `look` must not call the simulator, which waits for it.
    pub fn inspect<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.core.lock().log)
    }

    /// A copy of every notification that arrived so far. Empty unless [`Keep::Everything`] is in force.
    #[must_use]
    pub fn received(&self) -> Vec<Record> {
        self.inspect(|log| log.received().cloned().collect())
    }

    /// A copy of every request that arrived at the provider API so far. Empty unless [`Keep::Everything`] is in force.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.inspect(|log| log.requests().cloned().collect())
    }

    /// The broadcast channels of an app.
    #[must_use]
    pub fn channels(&self, bundle_id: &str) -> Vec<String> {
        self.core.lock().provider.channels.of(bundle_id).map(str::to_owned).collect()
    }

    /// The broadcast channels of all apps, by app and id.
    #[must_use]
    pub fn all_channels(&self) -> Vec<Channel> {
        self.core.lock().provider.channels.all().collect()
    }

    /// How much of each there was so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.inspect(Log::counts)
    }

    /// Forgets what was logged and counted so far. Arrivals are counted from 1 again; connections are not.
    pub fn forget(&self) {
        self.core.lock().log = Log::default();
    }

    /// The script as it stands.
    #[must_use]
    pub fn script(&self) -> Script {
        self.core.script()
    }

    /// Where the gateway listens.
    #[must_use]
    pub const fn gateway_address(&self) -> SocketAddr {
        self.gateway_address
    }

    /// Where the feedback service listens.
    #[must_use]
    pub const fn feedback_address(&self) -> SocketAddr {
        self.feedback_address
    }

    /// Where the HTTP/2 provider API listens: device pushes, broadcasts, and the management of channels.
    ///
    /// A push to a device is checked in this order; the first check that fails decides:
    ///
    /// 1. MethodNotAllowed: the method is POST;
    /// 2. MissingDeviceToken, BadPath: the path;
    /// 3. DuplicateHeaders;
    /// 4. the credential, unless the connection has a certificate: MissingProviderToken, InvalidProviderToken,
    ///    BadEnvironmentKeyInToken, ExpiredProviderToken, Forbidden (another team than before on this connection),
    ///    UnrelatedKeyIdInToken (another key than before), TooManyProviderTokenUpdates;
    /// 5. MissingTopic, BadTopic, TopicDisallowed: `apns-topic`;
    /// 6. InvalidPushType: `apns-push-type`, which may be left out;
    /// 7. BadMessageId: `apns-id`, a UUID in either case;
    /// 8. BadExpirationDate: `apns-expiration`;
    /// 9. BadPriority: `apns-priority` is 10, 5 or 1, and not 10 for `background`;
    /// 10. BadCollapseId: `apns-collapse-id` has at most 64 bytes;
    /// 11. PayloadEmpty, PayloadTooLarge: the body, 5120 bytes for `voip`, 4096 otherwise, and a JSON object. Apple's table
    ///     has no reason for a body that is none; PayloadEmpty is what it gets here;
    /// 12. BadDeviceToken, DeviceTokenNotForTopic, Unregistered: the device token, by the script's lists.
    ///
    /// The header `apns-sim-detail` says what is wrong with a provider token that is invalid, and names each
    /// [`Deviation`](crate::Deviation).
    ///
    /// Every answer has an `apns-id`: the client's, as it was sent, or one that was made.
    /// Where it listens at several addresses, this is the first.
    #[must_use]
    pub fn http2_address(&self) -> SocketAddr {
        self.http2_addresses[0]
    }

    /// All addresses at which the HTTP/2 provider API listens.
    #[must_use]
    pub fn http2_addresses(&self) -> &[SocketAddr] {
        &self.http2_addresses
    }

    /// The topic in the subject of the client certificate: what is meant where a client with it names none.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.trust.topics.first().map_or(DEFAULT_TOPIC, String::as_str)
    }

    /// The key to sign provider tokens with, as the text of a `.p8` file.
    #[must_use]
    pub fn signing_key_pem(&self) -> &str {
        self.trust.key.pem()
    }

    /// The id of the signing key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.trust.key.key_id()
    }

    /// The team that the signing key belongs to.
    #[must_use]
    pub fn team_id(&self) -> &str {
        self.trust.key.team_id()
    }

    /// The certificate authority, in PEM, that vouches for the server. The server's certificate is good for `localhost`,
    /// the loopback addresses and the host names of Apple's services.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.certificates.authority
    }

    /// A client certificate, in PEM, that is accepted. It looks like one of Apple's.
    #[must_use]
    pub fn client_certificate_pem(&self) -> &str {
        &self.certificates.client
    }

    /// The private key of the client certificate, in PEM (PKCS#8).
    #[must_use]
    pub fn client_key_pem(&self) -> &str {
        &self.certificates.client_key
    }

    /// The password of `client.p12`, which keeps nothing secret: some readers refuse a file without one.
    pub const PKCS12_PASSWORD: &'static str = PKCS12_PASSWORD;

    /// Writes `ca.pem`, `client.pem`, `client.key`, both in one as `client.p12`, and the signing key as `AuthKey_` and its
    /// id into a directory, which is made if need be. Blocks for as long as the file system takes. A signing key that was
    /// given is not written.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn write_certificates(&self, directory: impl AsRef<Path>) -> io::Result<()> {
        let written = CredentialFolder::new(directory.as_ref()).write(&self.certificates, &self.trust.key, false);
        written.map_err(io::Error::other)
    }

    /// Closes everything and waits until it is.
    pub async fn stop(mut self) {
        self.close();
        self.cut_connections();
        for task in std::mem::take(&mut self.tasks) {
            // It was told to end; that is what it says.
            let _ = task.await;
        }
        drop(self.thread.take());
    }

    fn close(&self) {
        for listener in &self.listeners {
            listener.close();
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.close();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator")
            .field("gateway", &self.gateway_address)
            .field("feedback", &self.feedback_address)
            .field("http2", &self.http2_addresses)
            .finish_non_exhaustive()
    }
}
