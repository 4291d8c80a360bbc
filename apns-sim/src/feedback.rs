//! One connection to the feedback service.

use std::sync::Arc;

use apns_driver::{Clock as _, drive};
use apns_proto::binary::server::FeedbackServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use crate::clock::TokioClock;
use crate::log::Service;
use crate::script::FeedbackEnding;
use crate::state::Core;

pub(crate) async fn serve<S>(core: Arc<Core>, connection: u64, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (records, script) = core.take_feedback(connection, TokioClock.now().wall);
    let mut server = FeedbackServer::new(records);
    if let Some(tail) = script.tail {
        server = server.with_tail(tail.0.to_vec());
    }
    if script.ending == FeedbackEnding::StayOpen {
        server = server.staying_open();
    }
    drive(TokioClock, stream.compat(), &mut server, |_, event| match event {}).await;
    let end = if server.is_done() { "everything was sent" } else { "the client did not take everything" };
    core.closed(Service::Feedback, connection, end.to_owned(), 0, TokioClock.now().wall);
}
