//! `apns lint`: what is wrong with a payload before it is sent.

use apns_lint::{Finding, Lint, Severity};
use apns_proto::{Priority, PushType, UnknownPushType};
use clap::Args;
use serde::Serialize;

use crate::draft::{LARGEST_PAYLOAD, parse_priority};
use crate::exit::{Exit, Failure};
use crate::input::Source;
use crate::output::Output;

/// The options of `apns lint`.
#[derive(Debug, Args)]
pub(crate) struct LintFlags {
    /// Files with one payload each, in JSON; - for standard input
    #[arg(value_name = "FILE|-", required_unless_present = "schema")]
    files: Vec<Source>,
    /// The push type to judge by; by default what the topic says by its suffix, then what the payload says, then alert
    #[arg(long, value_name = "TYPE", value_parser = parse_known)]
    push_type: Option<PushType>,
    /// The topic it is to be sent with, to be compared with the push type
    #[arg(long, value_name = "BUNDLE")]
    topic: Option<String>,
    /// The priority it is to be sent with
    #[arg(long, value_name = "N", value_parser = parse_priority)]
    priority: Option<Priority>,
    /// It goes to a channel, and not to a device
    #[arg(long)]
    broadcast: bool,
    /// Print an object for each finding: file, severity, at, what
    #[arg(long)]
    json: bool,
    /// Print the JSON Schema of the payloads of a push type
    #[arg(long, value_name = "TYPE", value_parser = parse_known, exclusive = true)]
    schema: Option<PushType>,
}

fn parse_known(text: &str) -> Result<PushType, UnknownPushType> {
    PushType::from_known(text)
}

/// A finding as an object for programs.
#[derive(Serialize)]
pub(crate) struct FindingRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    severity: &'static str,
    at: &'a str,
    what: &'a str,
}

impl<'a> FindingRow<'a> {
    /// A finding about what needs no name.
    pub(crate) fn new(finding: &'a Finding) -> Self {
        Self { file: None, severity: finding.severity.word(), at: &finding.at, what: &finding.what }
    }
}

/// A finding on one line for a person.
pub(crate) fn line(finding: &Finding) -> String {
    let at = if finding.at.is_empty() { "the payload" } else { &finding.at };
    format!("{at}: {}: {}", finding.severity.word(), finding.what)
}

/// Whether a finding is more than a doubt.
pub(crate) fn is_serious(finding: &Finding) -> bool {
    finding.severity > Severity::Doubtful
}

impl LintFlags {
    pub(crate) fn run(self) -> Result<Exit, Failure> {
        let mut output = Output::new();
        if let Some(schema) = self.schema.as_ref().and_then(apns_lint::schema) {
            output.line(format_args!("{schema:#}"));
            output.finish()?;
            return Ok(Exit::Fine);
        }
        let mut exit = Exit::Fine;
        for file in &self.files {
            let (name, payload) = (file.name(), file.read(LARGEST_PAYLOAD)?);
            // An editor ends the last line of a file, and the command sends a payload without white space around it.
            let findings = self.lint(payload.trim_ascii()).findings();
            if findings.iter().any(is_serious) {
                exit = Exit::Partly;
            }
            for finding in &findings {
                match self.json {
                    true => output.json(&FindingRow { file: Some(&name), ..FindingRow::new(finding) }),
                    false => output.line(format_args!("{name}: {}", line(finding))),
                }
            }
        }
        output.finish()?;
        Ok(exit)
    }

    fn lint<'a>(&'a self, payload: &'a [u8]) -> Lint<'a> {
        let mut lint = Lint::new(payload);
        if let Some(push_type) = &self.push_type {
            lint = lint.with_push_type(push_type.clone());
        }
        if let Some(topic) = &self.topic {
            lint = lint.with_topic(topic);
        }
        if let Some(priority) = self.priority {
            lint = lint.with_priority(priority);
        }
        if self.broadcast { lint.as_broadcast() } else { lint }
    }
}
