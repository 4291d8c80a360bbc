//! Kills the daemon again and again while callers hand in notifications, and then counts.
//!
//! Two apps send, one that reports what may have been lost and one that sends it again. Ten callers hand in, each asks
//! again with the same idempotency keys when the daemon dies before it answers. At the end, for each notification that was
//! accepted there is one outcome; none that counts as accepted is missing at the simulator; and there are copies only
//! of those whose outcome says that there may be.

use std::time::{Duration, Instant};

use apns_sim::Simulator;

use crate::account::{Callers, outcomes_of, settle_accounts};
use crate::victim::{Random, Victim, config_text, free_port};

pub(crate) async fn nothing_is_lost_when_the_daemon_is_killed(notifications: u64, kills: u64, seed: u64) {
    let simulator = Simulator::start().await.unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    simulator.write_certificates(folder.path()).unwrap();
    let config = folder.path().join("apnsd.toml");
    let api = free_port();
    std::fs::write(&config, config_text(&simulator, api)).unwrap();

    let began = Instant::now();
    let mut victim = Victim::start(&config);
    let mut callers = Callers::start(&[api], notifications, seed);
    // At places in the run that nobody knows before.
    let mut random = Random(seed);
    let mut places: Vec<u64> = (0..kills).map(|_| 1 + random.below(notifications * 9 / 10)).collect();
    places.sort_unstable();
    for place in places {
        callers.have_handed_in(place).await;
        // Let some of it get on its way, or not.
        tokio::time::sleep(Duration::from_millis(random.below(60))).await;
        victim.kill();
        victim = Victim::start(&config);
    }
    let ids = callers.finish().await;
    let handed_in = began.elapsed();
    let outcomes = outcomes_of(&ids, &[api]).await;
    victim.kill();
    let account = settle_accounts(&outcomes, &simulator);
    println!("handed in within {handed_in:.1?}, all ended within {:.1?}: {account}", began.elapsed());
}
