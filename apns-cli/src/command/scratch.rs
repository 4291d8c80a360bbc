//! A daemon to try, where no configuration is given: it sends to a simulator, and everything goes away with it.

use std::fs;
use std::path::{Path, PathBuf};

use apns_credentials::disclosure::shown;
use apns_sim::{Keep, Simulator};
use apnsd::config::BridgeConfig;
use apnsd::{Daemon, Signals};
use tempfile::TempDir;

use super::daemon::{ServeFailure, load, tell};
use crate::exit::{Exit, Failure};
use crate::output::say;

/// A device token for the commands to try.
pub(super) const TOKEN: &str = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0";

/// What is tried.
pub(super) struct Trial {
    /// What the folder is called by.
    pub(super) name: &'static str,
    /// The lines of the configuration that say where to listen.
    pub(super) listen: &'static str,
    /// The bridge of the command line, which stands in no file. With it, the file is not read again.
    pub(super) bridge: Option<BridgeConfig>,
    /// What stands before the commands.
    pub(super) invitation: &'static str,
}

impl Trial {
    /// Runs until it is told to stop. `to_try` tells the commands, for the folder and the ports.
    pub(super) async fn run(self, to_try: impl FnOnce(&Path, &Daemon) -> String) -> Result<Exit, Failure> {
        let folder = scratch_folder(self.name)?;
        let (simulator, path) = app(folder.path(), self.listen).await?;
        let mut config = load(&path)?;
        let read_again = self.bridge.is_none().then_some(path);
        config.bridge = self.bridge.or(config.bridge);
        let signals = Signals::listen().map_err(ServeFailure::Signals)?;
        config.log.install();
        let daemon = Daemon::start(config).await.map_err(ServeFailure::Start)?;
        tell(&daemon);
        say(format_args!("everything is in {}, and goes away when you stop this (Ctrl-C)", shown(folder.path())));
        let invitation = self.invitation;
        say(format_args!("nothing leaves this machine: notifications go to a simulator. {invitation}"));
        say(format_args!("{}", to_try(folder.path(), &daemon)));
        daemon.run(read_again, signals).await;
        let counts = simulator.counts();
        say(format_args!(
            "the simulator took {} notifications and refused {}",
            counts.requests_accepted, counts.requests_refused
        ));
        simulator.stop().await;
        Ok(Exit::Fine)
    }
}

/// Starts a simulator, and writes its certificates and a configuration with an app that sends there.
async fn app(folder: &Path, listen: &str) -> Result<(Simulator, PathBuf), Failure> {
    let simulator = Simulator::builder().keep(Keep::Counts).start().await?;
    let path = folder.join("apnsd.toml");
    let cannot = |error| Failure::Write { name: shown(folder).to_string(), error };
    simulator.write_certificates(folder).map_err(cannot)?;
    fs::write(&path, config(&simulator, listen)).map_err(cannot)?;
    Ok((simulator, path))
}

fn config(simulator: &Simulator, listen: &str) -> String {
    format!(
        "# A daemon to try: it sends to a simulator.\n\
         data = \"data\"\n\n\
         {listen}\
         [apps.demo]\n\
         environment = \"sandbox\"\n\
         signing_key = \"AuthKey_SIMULATOR0.p8\"\n\
         key_id = \"{}\"\n\
         team_id = \"{}\"\n\
         topic = \"com.example.app\"\n\
         host = \"localhost\"\n\
         port = {port}\n\
         ca = \"ca.pem\"\n\n\
         # What clients of pyapns provision goes there too: client.pem and client.key in one.\n\
         [pyapns.app]\n\
         host = \"localhost\"\n\
         port = {port}\n\
         ca = \"ca.pem\"\n",
        simulator.key_id(),
        simulator.team_id(),
        port = simulator.http2_address().port(),
    )
}

/// A folder for its owner alone, that goes away. Its name ends with the number of the process that it belongs to.
pub(super) fn scratch_folder(what: &str) -> Result<TempDir, Failure> {
    let (prefix, suffix) = (format!("apns-{what}-"), format!("-{}", std::process::id()));
    let made = tempfile::Builder::new().prefix(&prefix).suffix(&suffix).tempdir();
    made.map_err(|error| Failure::Write { name: shown(&std::env::temp_dir()).to_string(), error })
}
