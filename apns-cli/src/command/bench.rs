//! `apns bench`: how fast it is on this machine, and what it costs.

mod client;
mod latencies;
mod load;
mod plan;
mod processes;
mod row;
mod table;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use apns_credentials::disclosure::shown;
use clap::{Args, ValueEnum};

use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use plan::Task;
use processes::{Server, measure};
use row::Row;

/// The options of `apns bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchFlags {
    /// The protocols to measure
    #[arg(long, value_name = "P", value_enum, value_delimiter = ',', default_value = "binary,http2")]
    protocol: Vec<Protocol>,
    /// Notifications for each measurement
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Payload sizes in bytes, of 20 to 4096; the binary protocol takes at most 2048
    #[arg(
        long,
        value_name = "BYTES",
        value_delimiter = ',',
        default_value = "100,2048",
        value_parser = clap::value_parser!(u32).range(20..=4096)
    )]
    payload: Vec<u32>,
    /// Numbers of connections
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        default_value = "1,2",
        value_parser = clap::value_parser!(u16).range(1..=64)
    )]
    connections: Vec<u16>,
    /// How many are sent one after the other to find the latency on an open connection; 0 for none
    #[arg(long, value_name = "N", default_value_t = 2000)]
    latency: u32,
    /// Also find the peak of memory for ten times --count, with one payload for all and with one for each
    #[arg(long)]
    memory: bool,
    /// A file to which each measurement is appended as one line of JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A program that does the same in other ways, and is measured beside; bench/ in the sources makes one
    #[arg(long, value_name = "PROGRAM")]
    yardsticks: Option<PathBuf>,
    /// Where the simulated provider API listens. With 443 the yardstick `apns-h2` is measured as well, which knows Apple's
    /// names and port alone
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    http2_port: u16,
    /// Measure this one task in this process and print its line of JSON
    #[arg(long, hide = true, value_name = "JSON", value_parser = Task::parse)]
    task: Option<Task>,
}

/// A protocol to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Binary,
    Http2,
}

impl BenchFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        if let Some(task) = &self.task {
            let mut output = Output::new();
            output.json(&client::run(task)?);
            return output.finish().map(|()| Exit::Fine);
        }
        let mut json = self.json.as_ref().map(Lines::open).transpose()?;
        let own = std::env::current_exe().map_err(|error| Failure::Read { name: "this program".into(), error })?;
        let mut rows = Vec::new();
        let mut server = Server::start(&own, self.http2_port)?;
        for task in plan::tasks(&self) {
            let task = server.task(&task);
            let mut programs = vec![(&own, vec!["bench".to_owned()], "apns".to_owned())];
            if let Some(yardsticks) = &self.yardsticks {
                let others = task.yardsticks().iter();
                programs.extend(others.map(|name| (yardsticks, vec![(*name).to_owned()], (*name).to_owned())));
            }
            for (program, arguments, sender) in programs {
                say(format_args!("{task}, {sender} …"));
                let row = measure(program, &arguments, &task)?;
                if let Some(json) = &mut json {
                    json.write(&row)?;
                }
                rows.push(row);
            }
        }
        server.stop();
        let complete = rows.iter().all(Row::is_complete);
        let mut output = Output::new();
        table::print(&mut output, &rows);
        output.finish()?;
        Ok(if complete { Exit::Fine } else { Exit::Partly })
    }
}

/// A file of JSON lines.
struct Lines {
    name: String,
    file: BufWriter<File>,
}

impl Lines {
    fn open(path: &PathBuf) -> Result<Self, Failure> {
        let name = shown(path).to_string();
        match File::options().create(true).append(true).open(path) {
            Ok(file) => Ok(Self { name, file: BufWriter::new(file) }),
            Err(error) => Err(Failure::Write { name, error }),
        }
    }

    fn write(&mut self, row: &Row) -> Result<(), Failure> {
        let line = serde_json::to_string(row).expect("a row has nothing that JSON cannot say");
        writeln!(self.file, "{line}")
            .and_then(|()| self.file.flush())
            .map_err(|error| Failure::Write { name: self.name.clone(), error })
    }
}
