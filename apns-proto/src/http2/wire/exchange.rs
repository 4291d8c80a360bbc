//! A request that is open, and what has come of its answer.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use h2::client::ResponseFuture;
use http::{HeaderMap, StatusCode};

use super::body::Collect;
use super::message::Response;
use super::pipe::EndFrame;

/// A request that is open.
pub(super) struct Exchange {
    pub(super) stream: u32,
    stage: Stage,
    /// Where its last frame is among the bytes for the peer, when it is there.
    pub(super) end: Option<EndFrame>,
}

enum Stage {
    Awaiting(ResponseFuture),
    Reading { status: StatusCode, headers: HeaderMap, body: Collect },
}

impl Exchange {
    pub(super) const fn new(stream: u32, response: ResponseFuture) -> Self {
        Self { stream, stage: Stage::Awaiting(response), end: None }
    }

    /// Ready with an answer, whole or not, or with the error that stands in its place.
    pub(super) fn poll(&mut self, waker: &Waker, max_body: usize) -> Poll<Result<bool, h2::Error>> {
        let mut cx = Context::from_waker(waker);
        loop {
            match &mut self.stage {
                Stage::Awaiting(response) => match Pin::new(response).poll(&mut cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(response)) => {
                        let (head, body) = response.into_parts();
                        self.stage = Stage::Reading {
                            status: head.status,
                            headers: head.headers,
                            body: Collect::new(body, max_body),
                        };
                    }
                },
                Stage::Reading { body, .. } => return body.poll(&mut cx).map(Ok),
            }
        }
    }

    /// The answer, as far as it came; `None` before its status.
    pub(super) fn into_response(self, complete: bool) -> Option<Response> {
        match self.stage {
            Stage::Awaiting(_) => None,
            Stage::Reading { status, headers, body } => {
                Some(Response { status, headers, body: body.into_bytes(), complete })
            }
        }
    }
}
