//! `apns send`: notifications out, outcomes back.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apns_credentials::disclosure::shown;
use apns_proto::binary::{self, Format};
use apns_proto::http2::{self, Authentication};
use apns_proto::{NotSentCause, Outcome, RefusalPolicy, RetryPolicy};
use apns_tokio::{BuildError, Client, ClientEvent, Credentials, Endpoint, Events, Identity};
use apnsd::{DaemonError, MetricsPort};
use clap::{ArgGroup, Args};
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};

use super::dry_run::DryRun;
use super::simulator_file;
use crate::batch::drops::{Drops, Protocol};
use crate::batch::fingerprint::Fingerprint;
use crate::batch::form::FormFlags;
use crate::batch::handover::HandOver;
use crate::batch::journal::Undertaking;
use crate::batch::ledger::Ledger;
use crate::batch::pacer::{Pacer, PerSecond};
use crate::batch::reasons::Reasons;
use crate::batch::store::{Known, Start, Store};
use crate::connection::Connection;
use crate::draft::{Composer, DraftFlags, Service};
use crate::exit::{Exit, Failure};
use crate::input::{Lines, Source};
use crate::invalid::LONGEST_LINE;
use crate::output::say;
use crate::progress::{Progress, Telling};
use crate::reading::{Aside, OnLoss, Reading, Work};
use crate::report::{Counts, Report, Rows};
use crate::row::{Key, Tally};
use crate::runtime::{block_on, interrupted};
use crate::settings::{ProviderFlags, Settings};
use crate::trouble::Trouble;

/// The options of `apns send`.
#[derive(Args)]
#[command(group = ArgGroup::new("devices").required(true).args(["token", "tokens", "batch", "simulator"]))]
#[command(group = ArgGroup::new("lines").args(["tokens", "batch"]))]
pub(crate) struct SendFlags {
    /// Speak the binary protocol, to a gateway of your own or a simulated one, in place of Apple's HTTP/2 provider API;
    /// Apple's own gateway is gone since March 2021
    #[arg(long, help_heading = "Protocol")]
    binary: bool,
    /// The format of the binary protocol: 0 (simple), 1 (enhanced) or 2 (frame of items); by default 2
    #[arg(long, value_name = "N", requires = "binary", value_parser = parse_format, help_heading = "Protocol")]
    command: Option<Format>,
    #[command(flatten)]
    provider: ProviderFlags,
    /// The device tokens in hexadecimal
    #[arg(long, value_name = "HEX", num_args = 1.., help_heading = "Devices")]
    token: Vec<String>,
    /// A file with one device token in hexadecimal on each line, or - for standard input
    #[arg(long, value_name = "FILE|-", help_heading = "Devices")]
    tokens: Option<Source>,
    /// A file with one JSON object on each line, or - for standard input: token, payload or the names of the options
    /// with underscores (thread_id), and an id that comes back with the outcome. Or CSV, whose first line has the same
    /// names, separated by commas, semicolons or tabs; or bare device tokens
    #[arg(long, value_name = "FILE|-", help_heading = "Devices")]
    batch: Option<Source>,
    #[command(flatten)]
    form: FormFlags,
    #[command(flatten)]
    draft: DraftFlags,
    /// What to do with a notification of which nobody knows what became: report it, or send it again, at most 3 times
    /// and perhaps twice
    #[arg(long, value_enum, default_value = "report", help_heading = "Delivery")]
    on_loss: OnLoss,
    /// How often a notification is sent again that the service refused for a passing reason (HTTP/2 only); the wait is
    /// the one the service asks for, which can be a quarter of an hour
    #[arg(long, value_name = "N", default_value = "0", help_heading = "Delivery")]
    retry: u32,
    /// Write the outcomes to this file in place of standard output, one JSON object for each line of the batch as it is
    /// settled, and keep a journal beside it, in FILE.journal. The file must not be there yet, unless with --resume
    #[arg(long, value_name = "FILE", requires = "lines", help_heading = "Bulk")]
    results: Option<PathBuf>,
    /// Go on where the run that wrote the results was broken off, by a crash, an interruption or a lost connection; begin
    /// where there are none. A line that has a row is not sent again; one that may have left, and has none, is reported as
    /// unknown, or with --on-loss resend sent again and marked as resumed
    #[arg(long, requires = "results", help_heading = "Bulk")]
    resume: bool,
    /// Send at most so many notifications a second, evenly; may be below 1
    #[arg(long, value_name = "N", help_heading = "Bulk")]
    rate: Option<PerSecond>,
    /// How many connections to send over at the same time
    #[arg(
        long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=1000),
        help_heading = "Bulk"
    )]
    connections: u16,
    /// Write the device tokens to delete to this file when the run ends, one on each line, in place of what it had. A line
    /// of a batch can say with `registered`, in seconds since 1970, when the app registered its token: it stays if that was
    /// after the service found it gone
    #[arg(long, value_name = "FILE", help_heading = "Bulk")]
    drop_tokens: Option<PathBuf>,
    /// Read and judge everything, with all that `apns lint` knows, and send nothing. With --json an object for each
    /// notification: n, id, token, outcome (valid or invalid), reason, findings
    #[arg(long, conflicts_with_all = ["results", "drop_tokens", "metrics"])]
    dry_run: bool,
    /// Write the payload to this file, such as tea.apns, as Xcode's simulator takes it (`xcrun simctl push booted FILE`), with
    /// the app of --topic in it, and send nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["results", "drop_tokens", "metrics", "dry_run", "binary", "json"])]
    simulator: Option<PathBuf>,
    /// Show no progress and no summary, only what is wrong
    #[arg(long, short)]
    quiet: bool,
    /// Serve counters, gauges and latencies for Prometheus at this address while sending, under /metrics; port 0 takes
    /// any that is free
    #[arg(long, value_name = "ADDR", value_parser = crate::arguments::parse_address)]
    metrics: Option<SocketAddr>,
    /// Print an object for each notification: n, id, token, outcome, proof, status, reason, attempts, apns_id,
    /// unique_id, timestamp
    #[arg(long)]
    json: bool,
}

fn parse_format(text: &str) -> Result<Format, String> {
    let command = text.parse().ok().and_then(Format::from_command);
    command.ok_or_else(|| "the commands are 0, 1 and 2".to_owned())
}

/// How long everything may take that is left to do once the person wants to stop.
const STOP_WITHIN: Duration = Duration::from_secs(2);

impl SendFlags {
    pub(crate) fn run(mut self) -> Result<Exit, Failure> {
        if let Some(source) = self.tokens.take() {
            self.form = self.form.of_tokens();
            self.batch = Some(source);
        }
        self.check()?;
        let settings = self.provider.settings()?;
        let force_push_type = self.draft.forces_push_type();
        let mut draft = self.draft.into_draft()?;
        if let Some(path) = self.simulator {
            draft.topic = match draft.topic {
                Some(topic) => Some(topic),
                None => default_topic(&settings)?,
            };
            return simulator_file::write(&path, draft);
        }
        let (transport, connection, service) = if self.binary {
            let format = self.command.unwrap_or(Format::Items);
            let (connection, identity) = settings.binary()?;
            (Transport::Binary { format, identity }, connection, Service::Binary)
        } else {
            draft.topic = match draft.topic {
                Some(topic) => Some(topic),
                None => default_topic(&settings)?,
            };
            let (connection, credentials, requests) = settings.provider(Endpoint::provider_api)?;
            let by_token = requests.authentication() == Authentication::Token;
            let service = Service::Provider(requests);
            if by_token && draft.topic.is_none() && self.batch.is_none() {
                return Err(Failure::Usage(
                    "no --topic: with a signing key the service has to be told the app".to_owned(),
                ));
            }
            (Transport::Http2 { credentials, retries: self.retry }, connection, service)
        };
        let composer = Composer::new(service, draft).forcing_push_type(force_push_type);
        if self.batch.is_none() && !composer.has_payload() {
            let message = "nothing says what to send: give --payload, or options such as --title and --body";
            return Err(Failure::Usage(message.to_owned()));
        }
        let undertaking = match (&self.results, &self.batch) {
            (Some(_), Some(source)) => undertaking(source, &connection, transport.protocol(), self.on_loss)?,
            _ => None,
        };
        if self.resume && undertaking.is_none() {
            let name = self.batch.as_ref().map(Source::name).unwrap_or_default();
            return Err(Failure::Usage(format!(
                "--resume needs a batch that can be read again, and {name} cannot: write it to a file first"
            )));
        }
        let results = self.results.map(|path| Destination {
            path,
            start: if self.resume { Start::Resume } else { Start::Fresh },
            undertaking,
        });
        let telling = if self.quiet { Telling::Nothing } else { Telling::Everything };
        let job = Job {
            transport,
            on_loss: self.on_loss,
            json: self.json,
            results,
            drop_tokens: self.drop_tokens,
            pace: self.rate,
            connections: self.connections.into(),
            telling,
            metrics: self.metrics,
            connection,
        };
        let work = match self.batch {
            Some(source) => Work::Batch {
                lines: Lines::new(source.open()?, LONGEST_LINE),
                source,
                known: Known::default(),
                on_loss: self.on_loss,
                form: Box::new(self.form),
            },
            None => Work::Tokens(self.token),
        };
        if self.dry_run {
            return block_on(DryRun::new(self.json).run(work, composer, telling))?;
        }
        block_on(job.run(work, composer))?
    }

    /// Options that do not go together, as far as the rules of the command line cannot say it.
    fn check(&self) -> Result<(), Failure> {
        if self.batch == Some(Source::Stdin) && self.draft.reads_stdin() {
            return Err(Failure::Usage("--batch and --payload cannot both be standard input".to_owned()));
        }
        if let Some(path) = &self.drop_tokens
            && (self.results.as_ref() == Some(path) || self.batch == Some(Source::File(path.clone())))
        {
            return Err(Failure::Usage(format!("--drop-tokens would overwrite {}", shown(path))));
        }
        if self.draft.has_apns_id() && self.token.len() > 1 {
            return Err(Failure::Usage("--apns-id names one notification, but there are several tokens".to_owned()));
        }
        if !self.binary {
            return Ok(());
        }
        let retry = (self.retry > 0).then_some("--retry");
        if let Some(option) = self.provider.first_of_provider().or(self.draft.first_of_provider()).or(retry) {
            return Err(Failure::Usage(format!("{option} is for the HTTP/2 provider API, and --binary is not")));
        }
        let format = self.command.unwrap_or(Format::Items);
        if self.draft.has_priority() && format != Format::Items {
            say(format_args!("apns: only --command 2 has a place for a priority; it is left out"));
        }
        if self.draft.has_expiration() && format == Format::Simple {
            say(format_args!("apns: --command 0 has no place for an expiration; it is not sent"));
        }
        Ok(())
    }
}

/// What a resumed run has to have in common with the one before; none where the batch cannot be read again.
fn undertaking(
    source: &Source,
    connection: &Connection,
    protocol: Protocol,
    on_loss: OnLoss,
) -> Result<Option<Undertaking>, Failure> {
    let Source::File(path) = source else { return Ok(None) };
    let unreadable = |error| source.unreadable(error);
    // Asked before it is opened: what comes through a pipe comes once.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Ok(None);
    }
    let batch = File::open(path).and_then(|mut file| Fingerprint::of(&mut file)).map_err(unreadable)?;
    Ok(Some(Undertaking {
        batch,
        protocol: protocol.word().to_owned(),
        host: connection.endpoint.host().to_owned(),
        on_loss: on_loss.word().to_owned(),
    }))
}

/// The topic that a variable or the profile gives.
fn default_topic(settings: &Settings) -> Result<Option<apns_proto::Topic>, Failure> {
    let topic = settings.topic().map(apns_proto::Topic::new).transpose();
    topic.map_err(|error| Failure::Usage(format!("the topic of the settings: {error}")))
}

/// Over which protocol, and as whom.
enum Transport {
    /// To a binary gateway.
    Binary { format: Format, identity: Identity },
    /// To the HTTP/2 provider API.
    Http2 { credentials: Credentials, retries: u32 },
}

impl Transport {
    const fn protocol(&self) -> Protocol {
        match self {
            Self::Binary { .. } => Protocol::Binary,
            Self::Http2 { .. } => Protocol::Http2,
        }
    }
}

/// The file for the results.
struct Destination {
    path: PathBuf,
    start: Start,
    /// None where the batch cannot be read again, and so not be resumed.
    undertaking: Option<Undertaking>,
}

/// How many notifications wait for a connection, and how many one connection of the binary protocol has without an
/// outcome, where there are results. The less there is under way, the fewer lines may have left when the process is
/// killed; with less than this, connections would be spent on proof too often.
const QUEUE_WITH_RESULTS: usize = 1024;
const WINDOW_WITH_RESULTS: usize = 16 * 1024;

/// How to send.
struct Job {
    transport: Transport,
    on_loss: OnLoss,
    json: bool,
    results: Option<Destination>,
    drop_tokens: Option<PathBuf>,
    pace: Option<PerSecond>,
    connections: usize,
    telling: Telling,
    metrics: Option<SocketAddr>,
    connection: Connection,
}

impl Destination {
    /// Opens the file, and takes what is known of the lines from there.
    fn open(self, work: &mut Work, counts: &mut Counts, telling: Telling) -> Result<Ledger, Failure> {
        let Self { path, start, undertaking } = self;
        let (store, found) = Store::open(&path, start, undertaking, |row| counts.add(row))?;
        if found.torn > 0 {
            say(format_args!("apns: the last row of {} was broken off, and is taken away", shown(&path)));
        }
        if telling == Telling::Everything && found.settled.len() > 0 {
            say(format_args!("apns: going on; {} lines have a row in {}", found.settled.len(), shown(&path)));
        }
        if let Work::Batch { known, .. } = work {
            *known = found;
        }
        Ok(Ledger::new(store))
    }
}

/// How each one ended, and how often it was written.
type Outcomes = Pin<Box<dyn Stream<Item = (Key, Outcome, u32)> + Send>>;

impl Job {
    async fn run(mut self, mut work: Work, composer: Composer) -> Result<Exit, Failure> {
        let endpoint = self.connection.endpoint.clone();
        let started = self.start_client();
        let mut counts = self.counts(&work);
        let rows = match self.results.take() {
            Some(destination) => {
                if let Err(error) = started {
                    // Nothing was begun, so nothing has to be resumed.
                    return Err(Failure::not_started(&endpoint, error));
                }
                Rows::Stored(destination.open(&mut work, &mut counts, self.telling)?)
            }
            None => Rows::printed(self.json),
        };
        let extent = work.extent();
        let Reading { notifications, asides, stop, seen } = Reading::start(work, composer)?;
        let progress = Progress::new(extent, seen, self.telling);
        let journal = match &rows {
            Rows::Stored(ledger) => ledger.journal(),
            Rows::Printed { .. } => None,
        };
        let mut report = Report::new(endpoint.clone(), rows, counts, progress, self.telling);
        let (interrupt, interruption) = oneshot::channel();
        let source = HandOver::new(notifications, interruption, journal, self.pace.map(Pacer::new));
        let (client, events, outcomes) = match started {
            Ok(client) => {
                let events = client.events();
                let outcomes =
                    client.send_all(source).map(|(key, delivery)| (key, delivery.outcome, delivery.attempts));
                (Some(client), Some(events), outcomes.boxed())
            }
            Err(error) => {
                // Nothing can be sent, but each still gets its row.
                let why = Arc::from(error.to_string());
                report.hopeless(Trouble::start(&endpoint, error).map_err(Failure::Start)?);
                let cause = NotSentCause::Stopped(why);
                let outcomes = source.map(move |(key, _)| (key, Outcome::NotSent { cause: cause.clone() }, 0));
                (None, None, outcomes.boxed())
            }
        };
        let _metrics = match (self.metrics, &client) {
            (Some(address), Some(client)) => Some(serve_metrics(address, client.clone())?),
            (Some(_), None) | (None, _) => None,
        };
        let mut sending = Sending {
            outcomes: Some(outcomes),
            asides: Some(asides),
            events,
            interrupted: Some(Box::pin(interrupted())),
            interrupt: Some(interrupt),
        };
        loop {
            let happening = match sending.next().now_or_never() {
                Some(happening) => happening,
                None => {
                    // Those who read the rows get them before anything is waited for.
                    report.flush();
                    sending.next().await
                }
            };
            let asked = matches!(happening, Happening::Interrupted);
            let interrupted = match happening {
                Happening::Outcome(key, outcome, attempts) => {
                    report.outcome(key, &outcome, attempts);
                    report.wants_stop()
                }
                Happening::Aside(aside) => {
                    report.aside(aside);
                    report.wants_stop()
                }
                Happening::Event(event) => {
                    report.event(&event, self.connection.timeout);
                    report.wants_stop()
                }
                Happening::Interrupted => true,
                Happening::Over => break,
            };
            if interrupted && sending.interrupt() {
                report.interrupted(asked);
                stop.set();
                if let Some(client) = client.clone() {
                    drop(tokio::spawn(async move { client.close(STOP_WITHIN).await }));
                }
            }
        }
        if let Some(client) = client {
            drop(client.close(STOP_WITHIN).await);
        }
        while let Some(event) = sending.events.as_mut().and_then(Events::try_next) {
            report.event(&event, self.connection.timeout);
        }
        report.finish()
    }

    /// Counts for what is sent.
    fn counts(&self, work: &Work) -> Counts {
        Counts {
            tally: Tally::default(),
            reasons: matches!(work, Work::Batch { .. }).then(Reasons::default),
            drops: self.drop_tokens.clone().map(|path| (path, Drops::new(self.transport.protocol()))),
        }
    }

    fn start_client(&self) -> Result<Client, BuildError> {
        let Connection { endpoint, roots, way, timeout } = &self.connection;
        let connect_timeout = self.connection.connect_timeout();
        match &self.transport {
            Transport::Binary { format, identity } => {
                let mut config = binary::Config::default()
                    .with_format(*format)
                    .with_answer_timeout(*timeout)
                    .with_write_timeout(*timeout);
                if self.results.is_some() {
                    config = config.with_window_count(WINDOW_WITH_RESULTS);
                }
                let mut client = Client::binary(endpoint.clone(), identity.clone())
                    .config(config)
                    .roots(roots.clone())
                    .proxy(way.proxy.clone())
                    .proxy_roots(way.roots.clone())
                    .loss_policy(self.on_loss.into())
                    .refusal_policy(RefusalPolicy::Stop)
                    .connections(self.connections)
                    .patience(*timeout)
                    .connect_timeout(connect_timeout);
                if self.results.is_some() {
                    client = client.queue(QUEUE_WITH_RESULTS);
                }
                client.start()
            }
            Transport::Http2 { credentials, retries } => {
                let config = http2::Config::default().with_request_timeout(*timeout).with_write_timeout(*timeout);
                let mut client = Client::http2(endpoint.clone(), credentials.clone())
                    .config(config)
                    .retry(RetryPolicy::default().with_retries(*retries))
                    .roots(roots.clone())
                    .proxy(way.proxy.clone())
                    .proxy_roots(way.roots.clone())
                    .loss_policy(self.on_loss.into())
                    .refusal_policy(RefusalPolicy::Stop)
                    .connections(self.connections)
                    .patience(*timeout)
                    .connect_timeout(connect_timeout);
                if self.results.is_some() {
                    client = client.queue(QUEUE_WITH_RESULTS);
                }
                client.start()
            }
        }
    }
}

/// Serves the client's figures until it is dropped, and says where.
fn serve_metrics(address: SocketAddr, client: Client) -> Result<MetricsPort, Failure> {
    let port = MetricsPort::serve(address, move || client.stats().to_string()).map_err(|error| match error {
        DaemonError::Port { address, source, .. } => Failure::Listen { address, error: source },
        other => Failure::Special(other.into()),
    })?;
    say(format_args!("metrics are at http://{}/metrics", port.address()));
    Ok(port)
}

/// The next thing that happens while sending.
enum Happening {
    /// A notification ended.
    Outcome(Key, Outcome, u32),
    /// Something was read that is no notification.
    Aside(Aside),
    /// Something happened to a connection.
    Event(ClientEvent),
    /// The person wants to stop.
    Interrupted,
    /// Everything was read, and everything has its outcome.
    Over,
}

/// Everything that is waited for while sending. Each is gone once it is over.
struct Sending {
    outcomes: Option<Outcomes>,
    asides: Option<mpsc::Receiver<Aside>>,
    events: Option<Events>,
    interrupted: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Ends the reading. Dropping it would do the same.
    interrupt: Option<oneshot::Sender<()>>,
}

impl Sending {
    /// Waits for what happens next; can be dropped and called again without loss.
    async fn next(&mut self) -> Happening {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        if let Some(interrupted) = &mut self.interrupted
            && interrupted.poll_unpin(cx).is_ready()
        {
            self.interrupted = None;
            return Poll::Ready(Happening::Interrupted);
        }
        if let Some(events) = &mut self.events {
            match events.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => return Poll::Ready(Happening::Event(event)),
                Poll::Ready(None) => self.events = None,
                Poll::Pending => {}
            }
        }
        if let Some(asides) = &mut self.asides {
            match asides.poll_recv(cx) {
                Poll::Ready(Some(aside)) => return Poll::Ready(Happening::Aside(aside)),
                Poll::Ready(None) => self.asides = None,
                Poll::Pending => {}
            }
        }
        if let Some(outcomes) = &mut self.outcomes {
            match outcomes.poll_next_unpin(cx) {
                Poll::Ready(Some((key, outcome, attempts))) => {
                    return Poll::Ready(Happening::Outcome(key, outcome, attempts));
                }
                Poll::Ready(None) => self.outcomes = None,
                Poll::Pending => {}
            }
        }
        if self.outcomes.is_none() && self.asides.is_none() { Poll::Ready(Happening::Over) } else { Poll::Pending }
    }

    /// Ends the reading. Says whether that is news.
    fn interrupt(&mut self) -> bool {
        let Some(interrupt) = self.interrupt.take() else { return false };
        // Fails only where the reading has ended before.
        let _ended = interrupt.send(());
        if let Some(asides) = &mut self.asides {
            asides.close();
        }
        true
    }
}
