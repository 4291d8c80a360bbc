//! One connection to the provider API.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use crate::machine::{ProviderEvent, ProviderServer, ServerConfig, Step};
use apns_driver::{Clock as _, drive};
use apns_proto::{End, Machine, Now, Transmit};
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

use super::judge::{Plan, ScriptedJudge, Trust, stream_limit, wire_go_away};
use super::switch::{CutSwitch, Severable};
use super::tokens::ConnectionTokens;
use crate::clock::TokioClock;
use crate::log::Service;
use crate::script::Http2GoAway;
use crate::spoken::Listening;
use crate::state::Core;
use crate::stream::Resettable;

/// Speaks HTTP/2 until the connection is over.
pub(crate) async fn serve<S>(
    core: Arc<Core>,
    trust: Arc<Trust>,
    connection: u64,
    certified: Option<Arc<[String]>>,
    close_after: Option<u64>,
    mut go_away: watch::Receiver<Option<Http2GoAway>>,
    stream: S,
) where
    S: AsyncRead + AsyncWrite + Resettable + Unpin,
{
    let switch = Arc::new(CutSwitch::default());
    let (config, limited, session) = {
        let state = core.lock();
        let script = &state.play.script().http2;
        let session = script.sessions.iter().find(|session| session.concerns(connection)).cloned().unwrap_or_default();
        let limited = certified.is_none() && script.token_start_limit && session.settings.is_none();
        let limit = if limited { 1 } else { stream_limit(script) };
        let config = match &session.settings {
            Some(settings) => ServerConfig::default().with_settings(settings.clone()),
            None => ServerConfig::default().with_stream_limit(limit),
        };
        (config, limited, session)
    };
    let judge = ScriptedJudge {
        core: core.clone(),
        trust,
        connection,
        certified,
        limited,
        close_after,
        switch: Arc::clone(&switch),
        tokens: ConnectionTokens::default(),
        arrivals: 0,
    };
    let mut server = ProviderServer::new(judge, &config);
    if close_after == Some(0) {
        server.close();
    }
    let start = TokioClock.now().instant;
    go_away.mark_unchanged();
    let mut machine = Planned {
        server,
        steps: VecDeque::new(),
        go_away: go_away.clone(),
        listening: Listening::default(),
        hears: (core.clone(), connection),
    };
    // A cut that is planned makes the end a cut, however it comes.
    let mut at = start;
    for (wait, step) in Plan::unnamed(&switch).steps(0, &session.steps) {
        at = at.checked_add(wait).unwrap_or(at);
        machine.steps.push_back((at, step));
    }
    let driven = drive(TokioClock, Severable::new(stream, switch).compat(), &mut machine, |_, event| match event {
        ProviderEvent::Cancelled { stream, code: Some(code) } => {
            core.cancelled(connection, stream, code, TokioClock.now().wall);
        }
        ProviderEvent::Refused { stream, limit } => {
            core.stream_refused(connection, stream, limit, TokioClock.now().wall);
        }
        ProviderEvent::Closed(end) => {
            core.closed(Service::Http2, connection, end.to_string(), 0, TokioClock.now().wall);
        }
        _ => {}
    });
    let mut driven = pin!(driven);
    loop {
        tokio::select! {
            () = &mut driven => return,
            // The machine looks for it whenever it is asked what to write. An error says that the simulator is gone,
            // which ends this task from outside.
            Ok(()) = go_away.changed() => {}
        }
    }
}

/// A server that also acts unasked, when its time comes.
struct Planned {
    server: ProviderServer<ScriptedJudge>,
    steps: VecDeque<(Instant, Step)>,
    go_away: watch::Receiver<Option<Http2GoAway>>,
    listening: Listening,
    /// Where it is written down that the client does not speak HTTP/2, and the connection's number.
    hears: (Arc<Core>, u64),
}

impl Machine for Planned {
    type Event = ProviderEvent;

    fn handle_input(&mut self, now: Now, bytes: &[u8]) {
        if let Some(advice) = self.listening.hear(bytes) {
            let (core, connection) = &self.hears;
            core.misspoken(*connection, advice, now.wall);
        }
        self.server.handle_input(now, bytes);
    }

    fn handle_end(&mut self, now: Now, end: End) {
        self.server.handle_end(now, end);
    }

    fn handle_write_failure(&mut self, now: Now, unsent: usize) {
        self.server.handle_write_failure(now, unsent);
    }

    fn handle_timeout(&mut self, now: Now) {
        while self.steps.front().is_some_and(|(at, _)| *at <= now.instant) {
            if let Some((_, step)) = self.steps.pop_front() {
                self.server.perform(now, step);
            }
        }
        self.server.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Now, out: &mut BytesMut) -> Transmit {
        // An error says that the simulator is gone.
        if self.go_away.has_changed().unwrap_or(false)
            && let Some(said) = self.go_away.borrow_and_update().as_ref()
        {
            self.server.perform(now, wire_go_away(0, said));
        }
        self.server.poll_transmit(now, out)
    }

    fn poll_event(&mut self) -> Option<ProviderEvent> {
        self.server.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.server.is_closed() {
            return None;
        }
        let planned = self.steps.front().map(|(at, _)| *at);
        [planned, self.server.poll_timeout()].into_iter().flatten().min()
    }
}
