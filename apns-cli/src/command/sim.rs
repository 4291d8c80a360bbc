//! `apns sim`: a simulator of Apple's services that runs until it is told to stop.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, mpsc};
use std::thread;

use apns_credentials::disclosure::shown;
use apns_sim::{CredentialFolder, Entry, Keep, Script, Simulator, TlsVersion};
use clap::{Args, ValueEnum};
use tokio::sync::oneshot;

use super::sim_inbox::{InboxFlags, Prepared};
use crate::arguments::parse_address;
use crate::exit::{Exit, Failure};
use crate::input::Source;
use crate::output::say;
use crate::runtime::{Hangups, block_on, interrupted};

/// The options of `apns sim`.
#[derive(Debug, Args)]
pub(crate) struct SimFlags {
    /// Where the push gateway listens; port 0 takes any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2195", value_parser = parse_address)]
    gateway: SocketAddr,
    /// Where the feedback service listens; port 0 takes any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2196", value_parser = parse_address)]
    feedback: SocketAddr,
    /// Where the HTTP/2 provider API listens, pushes, broadcasts and channels alike; may be repeated, for Apple's ports 443,
    /// 2197, 2195 and 2196. Port 0 takes any that is free
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:2197", value_parser = parse_address)]
    http2: Vec<SocketAddr>,
    /// The directory that ca.pem, client.pem, client.key, both in one as client.p12 (password apns-sim) and
    /// AuthKey_SIMULATOR0.p8 are written to. A later simulator finds its authority and its keys there again
    #[arg(long, value_name = "DIR")]
    certs: PathBuf,
    /// Host names or addresses that the server's certificate is good for, beside localhost and those of Apple's services;
    /// several with commas between them, or repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    names: Vec<String>,
    /// Let everybody read the files in --certs that clients need, private keys among them: for clients in another container
    #[arg(long)]
    readable: bool,
    /// The bundle id of an app that the client certificate is for, with the suffixes of push types (.voip, .complication and
    /// so on), as Apple's universal certificates are; may be repeated
    #[arg(long, value_name = "BUNDLE-ID", default_value = "com.example.app")]
    topic: Vec<String>,
    /// Your own signing key in place of one that is made; needs --key-id and --team-id
    #[arg(long, value_name = "FILE.p8", requires_all = ["key_id", "team_id"])]
    p8: Option<PathBuf>,
    /// The id of the key in --p8
    #[arg(long, value_name = "ID", requires = "p8")]
    key_id: Option<String>,
    /// The team that the key in --p8 belongs to
    #[arg(long, value_name = "ID", requires = "p8")]
    team_id: Option<String>,
    /// An authority of your own whose client certificates are taken too; may be repeated
    #[arg(long, value_name = "FILE")]
    client_ca: Vec<PathBuf>,
    /// What to do beyond taking everything that is well-formed, in JSON; SIGHUP reads it again and starts it anew
    #[arg(long, value_name = "FILE.json")]
    script: Option<PathBuf>,
    /// Where one line of JSON is written for each notification that arrives; - for standard output
    #[arg(long, value_name = "FILE|-")]
    log: Option<Source>,
    /// Take what Apple's own recipes do although its pages do not allow it: signatures of provider tokens in DER, an `iat`
    /// that is a text, no `alg`, broadcasts without apns-expiration. Each is named, in the log and in the answer, with or
    /// without this; apns explain tells more
    #[arg(long)]
    lenient: bool,
    #[command(flatten)]
    inbox: InboxFlags,
    /// The highest version of TLS to speak
    #[arg(long, value_name = "VERSION", value_enum, default_value = "1.3")]
    max_tls: MaxTls,
}

/// The highest version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MaxTls {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

impl From<MaxTls> for TlsVersion {
    fn from(version: MaxTls) -> Self {
        match version {
            MaxTls::V1_2 => Self::V1_2,
            MaxTls::V1_3 => Self::V1_3,
        }
    }
}

/// The most that is read of a key or a certificate.
const LARGEST_CREDENTIAL: u64 = 1024 * 1024;

/// The most that is read of a script.
const LARGEST_SCRIPT: u64 = 64 * 1024 * 1024;

impl SimFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let script = match &self.script {
            Some(path) => read_script(path)?,
            None => Script::default(),
        };
        let writer: Option<(String, Box<dyn Write + Send>)> = match &self.log {
            Some(Source::Stdin) => Some(("standard output".to_owned(), Box::new(io::stdout()))),
            Some(Source::File(path)) => {
                let name = shown(path).to_string();
                let file = private_log(path).map_err(|error| Failure::Write { name: name.clone(), error })?;
                Some((name, Box::new(file)))
            }
            None => None,
        };
        block_on(self.serve(script, writer))?
    }

    async fn serve(self, script: Script, writer: Option<(String, Box<dyn Write + Send>)>) -> Result<Exit, Failure> {
        let mut log = match writer {
            Some((name, writer)) => Some(LineLog::start(name, writer)?),
            None => None,
        };
        let lines = log.as_ref().map(LineLog::writer);
        let remarks = LineLog::start("standard error".to_owned(), Box::new(io::stderr()))?;
        let remark = remarks.writer();
        let inbox = self.inbox.prepare(&self.certs, self.p8.as_deref())?;
        let recorder = inbox.as_ref().map(Prepared::recorder);
        let folder = CredentialFolder::new(&self.certs);
        let folder = if self.readable { folder.readable() } else { folder };
        let mut builder = Simulator::builder()
            .gateway_address(self.gateway)
            .feedback_address(self.feedback)
            .http2_addresses(self.http2)
            .apps(&self.topic)
            .credentials_in(folder);
        if let (Some(path), Some(key_id), Some(team_id)) = (&self.p8, &self.key_id, &self.team_id) {
            let pem = Source::File(path.clone()).read_text(LARGEST_CREDENTIAL)?;
            builder = builder.signing_key(pem, key_id, team_id);
        }
        for path in &self.client_ca {
            builder = builder.client_authority(Source::File(path.clone()).read_text(LARGEST_CREDENTIAL)?);
        }
        builder = self.names.iter().fold(builder, |builder, name| builder.server_name(name));
        if self.lenient {
            builder = builder.lenient();
        }
        let simulator = builder
            .script(script)
            .highest_tls(self.max_tls.into())
            // It may run for days.
            .keep(Keep::Counts)
            .on_entry(move |entry| {
                if let Some(recorder) = &recorder {
                    recorder.note(entry);
                }
                match (entry, &lines) {
                    (
                        Entry::Notification(_)
                        | Entry::Request(_)
                        | Entry::StreamRefused { .. }
                        | Entry::Misspoken { .. },
                        Some(lines),
                    ) => lines.write(entry.to_json()),
                    (
                        Entry::Malformed(_)
                        | Entry::HandshakeFailed { .. }
                        | Entry::StreamRefused { .. }
                        | Entry::Misspoken { .. },
                        _,
                    ) => remark.write(entry.to_json()),
                    _ => {}
                }
            })
            .start()
            .await?;
        let simulator = Arc::new(simulator);
        say(format_args!("gateway listens at {}", simulator.gateway_address()));
        say(format_args!("feedback listens at {}", simulator.feedback_address()));
        for address in simulator.http2_addresses() {
            say(format_args!("http2 listens at {address}"));
        }
        let (key_id, team_id) = (simulator.key_id(), simulator.team_id());
        let file = match &self.p8 {
            Some(path) => shown(path).to_string(),
            None => format!("AuthKey_{key_id}.p8"),
        };
        say(format_args!("provider tokens: --p8 {file} --key-id {key_id} --team-id {team_id}"));
        let made = if self.p8.is_none() { format!(", AuthKey_{}.p8", simulator.key_id()) } else { String::new() };
        let files =
            format!("ca.pem, client.pem, client.key, client.p12 (password {}){made}", Simulator::PKCS12_PASSWORD);
        say(format_args!("certificates are in {}: {files}", shown(&self.certs)));
        let inbox = match inbox {
            Some(inbox) => Some(inbox.serve(Arc::clone(&simulator)).await?),
            None => None,
        };

        let ended = {
            let log_ended = async {
                match &mut log {
                    Some(log) => log.ended().await,
                    None => std::future::pending().await,
                }
            };
            let mut hangups = match &self.script {
                Some(_) => Hangups::listen(),
                // What there is to read again is the script alone. Else a terminal that is closed ends it.
                None => Hangups::ignored(),
            };
            let (mut interrupted, mut log_ended) = (pin!(interrupted()), pin!(log_ended));
            loop {
                tokio::select! {
                    () = &mut interrupted => break None,
                    ended = &mut log_ended => break Some(ended),
                    () = hangups.next() => {
                        if let Some(path) = &self.script {
                            read_again(&simulator, path);
                        }
                    }
                }
            }
        };
        let counts = simulator.counts();
        if let Some(inbox) = inbox {
            inbox.stop().await;
        }
        // The inbox has let go of it.
        if let Some(simulator) = Arc::into_inner(simulator) {
            simulator.stop().await;
        }
        let written = match (ended, log) {
            (Some(ended), _) => ended,
            (None, Some(log)) => log.finish().await,
            (None, None) => Ok(()),
        };
        remarks.finish().await?;
        say(format_args!(
            "{} notifications: {} accepted, {} refused; {} requests over HTTP/2: {} accepted, {} refused; {} connections, \
             {} feedback records sent",
            counts.notifications,
            counts.accepted,
            counts.refused,
            counts.requests,
            counts.requests_accepted,
            counts.requests_refused,
            counts.gateway_connections + counts.feedback_connections + counts.http2_connections,
            counts.feedback_records
        ));
        written.map(|()| Exit::Fine)
    }
}

/// The log has device tokens and payloads: where it is made, it is made for the owner alone. A pipe or a device is taken as
/// it is.
fn private_log(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn read_script(path: &Path) -> Result<Script, Failure> {
    let text = Source::File(path.to_owned()).read_text(LARGEST_SCRIPT)?;
    Script::from_json(&text).map_err(|error| Failure::Script { path: path.to_owned(), error })
}

/// Starts the script anew as it is in its file by now. One that cannot be used changes nothing.
fn read_again(simulator: &Simulator, path: &Path) {
    match read_script(path) {
        Ok(script) => {
            simulator.set_script(script);
            say(format_args!("the script was read again: {}", shown(path)));
        }
        Err(error) => say(format_args!("the script stays as it was: {error}")),
    }
}

/// Lines that are written on a thread of its own, so that no connection waits for a disk or a reader.
struct LineLog {
    writer: LineWriter,
    /// Says how it ended.
    ended: oneshot::Receiver<Result<(), Failure>>,
}

/// Puts lines into a log.
#[derive(Clone)]
struct LineWriter(mpsc::Sender<Order>);

enum Order {
    Write(String),
    Finish,
}

impl LineWriter {
    fn write(&self, line: String) {
        // Where the log is over, its reader has left or was told why.
        drop(self.0.send(Order::Write(line)));
    }
}

impl LineLog {
    fn start(name: String, writer: Box<dyn Write + Send>) -> Result<Self, Failure> {
        let (orders, to_do) = mpsc::channel();
        let (say_end, ended) = oneshot::channel();
        let work = move || {
            let result = match write_lines(&to_do, writer) {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Write { name, error }),
                // A reader that has seen enough is no error.
                Ok(()) | Err(_) => Ok(()),
            };
            // Nobody waits any more where the simulator could not be started.
            drop(say_end.send(result));
        };
        drop(thread::Builder::new().name("log".to_owned()).spawn(work).map_err(Failure::Runtime)?);
        Ok(Self { writer: LineWriter(orders), ended })
    }

    fn writer(&self) -> LineWriter {
        self.writer.clone()
    }

    /// Waits until nobody reads any more, or writing fails.
    async fn ended(&mut self) -> Result<(), Failure> {
        (&mut self.ended).await.unwrap_or(Ok(()))
    }

    /// Writes what is left.
    async fn finish(mut self) -> Result<(), Failure> {
        drop(self.writer.0.send(Order::Finish));
        self.ended().await
    }
}

/// Writes until it is told to finish. Each line can be read as soon as nothing follows it.
fn write_lines(orders: &mpsc::Receiver<Order>, writer: Box<dyn Write + Send>) -> io::Result<()> {
    let mut writer = BufWriter::new(writer);
    loop {
        let order = match orders.try_recv() {
            Ok(order) => Ok(order),
            Err(_) => {
                writer.flush()?;
                orders.recv()
            }
        };
        match order {
            Ok(Order::Write(line)) => writeln!(writer, "{line}")?,
            Ok(Order::Finish) | Err(_) => return writer.flush(),
        }
    }
}
