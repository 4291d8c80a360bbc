//! One connection to the gateway.

use std::sync::Arc;

use apns_driver::{Clock as _, drive};
use apns_proto::Now;
use apns_proto::binary::server::{GatewayEnd, GatewayEvent, GatewayServer, Judge, Verdict};
use apns_proto::binary::{DecodedNotification, NotificationError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::clock::TokioClock;
use crate::log::Service;
use crate::state::Core;

/// Asks the script, and writes down what arrives before anything is answered.
#[derive(Debug)]
struct ScriptedJudge {
    core: Arc<Core>,
    connection: u64,
    arrivals: u64,
    close_after: Option<u64>,
}

impl Judge for ScriptedJudge {
    fn judge(&mut self, now: Now, notification: &DecodedNotification) -> Verdict {
        self.arrivals += 1;
        let last = self.close_after.is_some_and(|limit| limit <= self.arrivals);
        self.core.judge(now, self.connection, self.arrivals, notification, last)
    }

    fn judge_malformed(&mut self, now: Now, error: &NotificationError) -> Verdict {
        self.core.judge_malformed(now, self.connection, self.arrivals, error)
    }
}

pub(crate) async fn serve<S>(core: Arc<Core>, connection: u64, close_after: Option<u64>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let judge = ScriptedJudge { core: core.clone(), connection, arrivals: 0, close_after };
    let mut gateway = GatewayServer::new(judge, core.limits());
    if close_after == Some(0) {
        gateway.close();
    }
    drive(TokioClock, stream.compat(), &mut gateway, |_, event| {
        if let GatewayEvent::Closed(end) = event {
            let discarded = match end {
                GatewayEnd::Responded { discarded, .. } => discarded,
                _ => 0,
            };
            core.closed(Service::Gateway, connection, end.to_string(), discarded, TokioClock.now().wall);
        }
    })
    .await;
}
