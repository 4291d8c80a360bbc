//! How long a stop takes.

use std::time::{Duration, Instant};

use crate::doubt::Scene;
use crate::victim::{LIMIT, Victim};

/// The first waits for what is under way, which has no answer; the second does not.
pub(crate) async fn a_second_signal_ends_at_once() {
    let scene = Scene::new(r#"{"http2": {"rules": [{"when": {}, "then": [{"wait_ms": 3600000}]}]}}"#).await;
    let mut victim = Victim::start(&scene.config());
    scene.hand_in(10).await;
    let sent = scene.simulator.wait_for(|log| log.requests().count() > 0);
    tokio::time::timeout(LIMIT, sent).await.expect("it sends");
    victim.signal("-TERM");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(victim.child.try_wait().unwrap().is_none(), "what is under way is waited for");
    victim.signal("-TERM");
    let told = Instant::now();
    while victim.child.try_wait().unwrap().is_none() {
        assert!(told.elapsed() < Duration::from_secs(3), "it ends at once");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("ended {:?} after the second signal", told.elapsed());
}
