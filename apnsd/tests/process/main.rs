//! The daemon as a process of its own: killed, told to stop, with a credential that is refused, a wrong clock, a full disk.
//!
//! ```sh
//! APNSD_KILL_NOTIFICATIONS=200000 APNSD_KILLS=20 cargo test -p apnsd --release --test process nothing_is_lost
//! APNSD_WEBHOOK_OUTCOMES=200000 APNSD_WEBHOOK_KILLS=5 cargo test -p apnsd --release --test process webhook
//! APNSD_REFUSED_NOTIFICATIONS=10000 APNSD_REFUSED_SECONDS=30 cargo test -p apnsd --test process refused
//! ```
//!
//! Called with `daemon FILE` this program is that daemon, with `receiver ADDRESS FILE` a receiver of webhooks.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test, although it brings its own main")]

mod account;
#[cfg(unix)]
mod clocks;
#[cfg(all(unix, feature = "postgres"))]
mod cluster;
mod doubt;
mod environments;
#[cfg(target_os = "linux")]
mod full_disk;
#[cfg(unix)]
mod log;
mod loss;
#[cfg(all(unix, feature = "postgres"))]
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/receiver.rs"]
mod receiver;
#[cfg(unix)]
mod refused;
#[cfg(unix)]
mod restarts;
#[cfg(unix)]
mod stop;
mod victim;
mod webhooks;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use apnsd::config::Config;
use apnsd::{Daemon, Signals};

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Extent {
    notifications: u64,
    kills: u64,
    seed: u64,
    /// How many wait for a credential to be mended, and how long that takes at least.
    refused: (u64, Duration),
    /// How many several daemons deliver, and how many faults there are meanwhile.
    #[cfg(all(unix, feature = "postgres"))]
    cluster: (u64, u64),
    /// How many outcomes a webhook is told, and how often its receiver and the daemon are killed meanwhile.
    webhook: (u64, u64),
}

type Test = fn(Extent) -> Pin<Box<dyn Future<Output = ()>>>;

const TESTS: &[(&str, Test)] = &[
    ("nothing_is_lost_when_the_daemon_is_killed", |extent| {
        Box::pin(loss::nothing_is_lost_when_the_daemon_is_killed(extent.notifications, extent.kills, extent.seed))
    }),
    ("only_what_left_is_in_doubt_with_a_silent_peer", |extent| {
        Box::pin(doubt::only_what_left_is_in_doubt_with_a_silent_peer(extent.kills))
    }),
    ("only_what_left_is_in_doubt_with_a_peer_that_answers", |extent| {
        Box::pin(doubt::only_what_left_is_in_doubt_with_a_peer_that_answers(extent.kills, extent.seed))
    }),
    ("nothing_is_in_doubt_without_a_provider", |extent| {
        Box::pin(doubt::nothing_is_in_doubt_without_a_provider(extent.kills))
    }),
    ("a_daemon_that_is_killed_finds_out_what_it_had_not", |extent| {
        Box::pin(environments::a_daemon_that_is_killed_finds_out_what_it_had_not(extent.kills, extent.seed))
    }),
    #[cfg(unix)]
    ("a_second_signal_ends_at_once", |_| Box::pin(stop::a_second_signal_ends_at_once())),
    #[cfg(unix)]
    ("restarts_refuse_and_reset_no_connection", |_| Box::pin(restarts::restarts_refuse_and_reset_no_connection())),
    #[cfg(unix)]
    ("a_refused_credential_costs_nothing_but_time", |extent| {
        Box::pin(refused::a_refused_credential_costs_nothing_but_time(extent.refused.0, extent.refused.1))
    }),
    #[cfg(unix)]
    ("the_log_has_time_level_and_target_in_text_and_json", |_| {
        Box::pin(log::the_log_has_time_level_and_target_in_text_and_json())
    }),
    #[cfg(target_os = "linux")]
    ("a_full_disk_is_known_at_once_and_loses_nothing_acknowledged", |_| {
        Box::pin(full_disk::a_full_disk_is_known_at_once_and_loses_nothing_acknowledged())
    }),
    #[cfg(unix)]
    ("a_clock_that_is_set_costs_nothing_but_time", |_| Box::pin(clocks::a_clock_that_is_set_costs_nothing_but_time())),
    ("a_webhook_is_told_each_outcome_whoever_is_killed", |extent| {
        let (outcomes, kills) = extent.webhook;
        Box::pin(webhooks::each_outcome_is_told_whoever_is_killed(outcomes, kills, extent.seed))
    }),
    #[cfg(all(unix, feature = "postgres"))]
    ("a_webhook_is_told_by_another_node_when_one_is_killed", |extent| {
        let (outcomes, kills) = extent.webhook;
        Box::pin(webhooks::another_node_tells_when_one_is_killed(outcomes, kills, extent.seed))
    }),
    #[cfg(all(unix, feature = "postgres"))]
    ("each_node_of_several_tells_the_same", |_| Box::pin(cluster::each_node_of_several_tells_the_same())),
    #[cfg(all(unix, feature = "postgres"))]
    ("several_daemons_give_each_notification_one_outcome", |extent| {
        let (notifications, faults) = extent.cluster;
        Box::pin(cluster::several_daemons_give_each_notification_one_outcome(notifications, faults, extent.seed))
    }),
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} has to be a number")))
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if let [_, word, file] = &arguments[..]
        && word == "daemon"
    {
        runtime.block_on(be_the_daemon(Path::new(file)));
        return;
    }
    if let [_, word, address, file] = &arguments[..]
        && word == webhooks::RECEIVER
    {
        runtime.block_on(webhooks::be_the_receiver(address, Path::new(file)));
        return;
    }
    #[cfg(target_os = "linux")]
    if let [_, word, disk] = &arguments[..]
        && word == full_disk::INSIDE
    {
        runtime.block_on(full_disk::inside(Path::new(disk)));
        return;
    }
    // A test runner asks what there is to run.
    if arguments.iter().any(|argument| argument == "--list") {
        // Among the tests that are left out by default there is none.
        if !arguments.iter().any(|argument| argument == "--ignored") {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return;
    }
    let filter = arguments.get(1).filter(|argument| !argument.starts_with('-'));
    let extent = Extent {
        notifications: number("APNSD_KILL_NOTIFICATIONS", 6000),
        kills: number("APNSD_KILLS", 5),
        seed: number("APNSD_KILL_SEED", u64::from(std::process::id())),
        #[cfg(all(unix, feature = "postgres"))]
        cluster: (number("APNSD_CLUSTER_NOTIFICATIONS", 20_000), number("APNSD_CLUSTER_FAULTS", 6)),
        webhook: (number("APNSD_WEBHOOK_OUTCOMES", 4000), number("APNSD_WEBHOOK_KILLS", 3)),
        refused: (number("APNSD_REFUSED_NOTIFICATIONS", 500), Duration::from_secs(number("APNSD_REFUSED_SECONDS", 0))),
    };
    for (name, test) in TESTS.iter().filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str()))) {
        println!("{name}: {extent:?}");
        runtime.block_on(test(extent));
    }
}

async fn be_the_daemon(file: &Path) {
    let signals = Signals::listen().unwrap();
    let config = Config::load(file).unwrap();
    config.log.install();
    Daemon::start(config).await.unwrap().run(Some(file.to_owned()), signals).await;
}
