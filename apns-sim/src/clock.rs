//! The clocks of tokio.

use std::future::Future;
use std::time::{Instant, SystemTime};

use apns_driver::Clock;
use apns_proto::Now;

/// Monotonic time is tokio's own, so that a test can pause it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TokioClock;

impl Clock for TokioClock {
    fn now(&self) -> Now {
        Now::new(tokio::time::Instant::now().into_std(), SystemTime::now().into())
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send + 'static {
        tokio::time::sleep_until(deadline.into())
    }
}
