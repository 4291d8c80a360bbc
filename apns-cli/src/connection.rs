//! Where to connect, whom to trust, whom to be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use apns_proto::WallTime;
use apns_tokio::{Endpoint, Identity, Roots, Validity};
use clap::Args;

use crate::calendar::Date;
use crate::duration;
use crate::exit::Failure;
use crate::input::read_file;
use crate::output::say;

/// The service, and TLS.
#[derive(Debug, Args)]
pub(crate) struct ConnectionFlags {
    /// The service's host name; its certificate has to be for this name
    #[arg(long, value_name = "H", help_heading = "Connection")]
    host: String,
    /// The service's port
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Connection")]
    port: u16,
    /// A PEM file with the certificate authorities to trust, in place of those of the system
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    ca: Option<PathBuf>,
    /// The client certificate: PEM or PKCS#12, with its key unless that has a file of its own
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    cert: PathBuf,
    /// The key of the client certificate, in PEM
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    cert_key: Option<PathBuf>,
    /// A file whose first line is the password of the key or of the PKCS#12 file
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    cert_password_file: Option<PathBuf>,
    /// How long to be without a connection, to wait for an answer, and to wait while nothing can be written
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration::parse_wait,
        help_heading = "Connection"
    )]
    timeout: Duration,
}

/// The most that is read of a file with certificate authorities; all of a system's are well below it.
const LARGEST_AUTHORITIES: u64 = 16 * 1024 * 1024;

/// The most that is read of a file with a password.
const LARGEST_PASSWORD: u64 = 64 * 1024;

/// The longest that one attempt to connect may take, whatever the timeout.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(10);

/// The same with all files read.
pub(crate) struct Connection {
    pub(crate) endpoint: Endpoint,
    pub(crate) roots: Roots,
    pub(crate) identity: Identity,
    pub(crate) timeout: Duration,
}

impl ConnectionFlags {
    /// Reads the files, and warns of a certificate that soon expires.
    pub(crate) fn open(&self) -> Result<Connection, Failure> {
        let roots = match &self.ca {
            Some(path) => Roots::only_pem(&read_file(path, LARGEST_AUTHORITIES)?)
                .map_err(|error| Failure::Roots { path: path.clone(), error })?,
            None => Roots::Platform,
        };
        let password = match &self.cert_password_file {
            Some(path) => Some(password(path)?),
            None => None,
        };
        let identity = Identity::from_files(&self.cert, self.cert_key.as_deref(), password.as_deref())
            .map_err(|error| Failure::Identity { path: self.cert.clone(), error })?;
        let now = WallTime::from(std::time::SystemTime::now());
        if let Validity::ExpiresSoon { .. } = identity.validity(now) {
            let at = Date(identity.not_after().as_secs());
            say(format_args!("apns: the client certificate in {} expires at {at}: renew it", self.cert.display()));
        }
        Ok(Connection { endpoint: Endpoint::new(self.host.clone(), self.port), roots, identity, timeout: self.timeout })
    }
}

impl Connection {
    /// The time for one attempt to connect.
    pub(crate) fn connect_timeout(&self) -> Duration {
        // A little less than the whole, so that a hanging attempt is known for what it is before patience ends.
        (self.timeout - self.timeout / 10).min(LONGEST_ATTEMPT)
    }
}

/// The first line of a file.
fn password(path: &Path) -> Result<String, Failure> {
    let bytes = read_file(path, LARGEST_PASSWORD)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map_err(|_| Failure::Read {
        name: path.display().to_string(),
        error: std::io::Error::new(std::io::ErrorKind::InvalidData, "the password is not UTF-8"),
    })
}
