//! JSON lines: any number of notifications in one request, a line of answer for each.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, stream};
use serde::Serialize;

use super::body::next_part;
use super::notifications::{Receipt, receipts};
use super::problem::Problem;
use super::{Api, wire};
use crate::AppName;
use crate::service::Submission;

/// How many lines are accepted together.
const TOGETHER: usize = 1000;
/// How long a full outbox is waited for.
const ROOM_WITHIN: Duration = Duration::from_secs(30);
/// Answers that wait for a caller who reads only when all is sent. From here on the caller has to read, or waits.
const UNREAD: usize = 16 << 20;
/// How long it may then take to read.
const READ_WITHIN: Duration = Duration::from_secs(60);

/// One line of the answer.
#[derive(Serialize)]
struct Line {
    /// The line of the request, from 1.
    line: u64,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// The last line of the answer.
#[derive(Serialize)]
struct Summary {
    done: bool,
    accepted: u64,
    refused: u64,
}

/// Reads on only as fast as lines are stored, and answers while it reads.
pub(super) fn submit(api: Api, app: AppName, wait: Option<Duration>, body: Body) -> Response {
    let (answers, unread) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let room = std::sync::Arc::new(tokio::sync::Semaphore::new(UNREAD));
    let taking = Taking {
        api,
        app,
        wait,
        body,
        answers,
        room: room.clone(),
        buffer: BytesMut::new(),
        searched: 0,
        waiting: VecDeque::new(),
        line: 0,
        accepted: 0,
        refused: 0,
    };
    // Ends with the request: what is sent into a channel without a reader fails.
    tokio::spawn(taking.run());
    let body = stream::unfold(unread, move |mut unread| {
        let room = room.clone();
        async move {
            let part = unread.recv().await?;
            room.add_permits(part.len());
            Some((Ok::<_, std::convert::Infallible>(part), unread))
        }
    });
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response()
}

struct Taking {
    api: Api,
    app: AppName,
    wait: Option<Duration>,
    body: Body,
    answers: tokio::sync::mpsc::UnboundedSender<Bytes>,
    room: std::sync::Arc<tokio::sync::Semaphore>,
    buffer: BytesMut,
    /// So much of the buffer has no line end in it.
    searched: usize,
    /// Lines that were read and are not stored yet.
    waiting: VecDeque<(u64, Submission)>,
    line: u64,
    accepted: u64,
    refused: u64,
}

/// The caller has left.
struct Left;

impl Taking {
    async fn run(mut self) {
        // Who left wants no answer.
        let _left = self.take_all().await;
    }

    async fn take_all(&mut self) -> Result<(), Left> {
        let mut part = next_part(&mut self.body, self.api.limits()).await;
        let done = loop {
            match part {
                Ok(Some(part)) => self.buffer.extend_from_slice(&part),
                Ok(None) => break true,
                Err(problem) => {
                    self.store().await?;
                    self.line += 1;
                    self.refuse(self.line, problem).await?;
                    break false;
                }
            }
            if !self.take_lines().await? {
                break false;
            }
            part = match next_part(&mut self.body, self.api.limits()).now_or_never() {
                Some(part) => part,
                None => {
                    // What has come so far is stored now: the next line may be a long time in coming.
                    if !self.store().await? {
                        break false;
                    }
                    next_part(&mut self.body, self.api.limits()).await
                }
            };
        };
        if done && !self.buffer.is_empty() {
            let last = self.buffer.split().freeze();
            self.read(&last).await?;
        }
        let done = self.store().await? && done;
        let summary = Summary { done, accepted: self.accepted, refused: self.refused };
        self.answer(&[summary]).await
    }

    /// Takes the whole lines of the buffer. Says whether to go on.
    async fn take_lines(&mut self) -> Result<bool, Left> {
        loop {
            let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
                self.searched = self.buffer.len();
                break;
            };
            let line = self.buffer.split_to(self.searched + end + 1).freeze();
            self.searched = 0;
            self.read(&line).await?;
            if self.waiting.len() >= TOGETHER && !self.store().await? {
                return Ok(false);
            }
        }
        if self.buffer.len() > self.api.limits().line {
            self.line += 1;
            let detail = format!("a line may have {} bytes", self.api.limits().line);
            self.store().await?;
            self.refuse(self.line, Problem::body_too_large().detail(detail)).await?;
            return Ok(false);
        }
        Ok(true)
    }

    async fn read(&mut self, line: &[u8]) -> Result<(), Left> {
        self.line += 1;
        let trimmed = line.trim_ascii();
        if trimmed.is_empty() {
            return Ok(());
        }
        let read = match super::body::text(trimmed) {
            Err(problem) => Err(problem),
            Ok(_) if trimmed.len() > self.api.limits().line => {
                Err(Problem::body_too_large().detail(format!("a line may have {} bytes", self.api.limits().line)))
            }
            Ok(text) => wire::read_one(text).map_err(|problem| Problem::invalid().fields(vec![problem])),
        };
        match read {
            Ok(submission) => {
                self.waiting.push_back((self.line, submission));
                Ok(())
            }
            Err(problem) => self.refuse(self.line, problem).await,
        }
    }

    async fn refuse(&mut self, line: u64, problem: Problem) -> Result<(), Left> {
        self.refused += 1;
        self.answer(&[Line { line, receipt: None, problem: Some(problem) }]).await
    }

    /// Stores what waits, and answers. Says whether to go on.
    async fn store(&mut self) -> Result<bool, Left> {
        let mut lines: Vec<u64> = self.waiting.iter().map(|(line, _)| *line).collect();
        let mut submissions: Vec<Submission> = self.waiting.drain(..).map(|(_, submission)| submission).collect();
        let deadline = tokio::time::Instant::now() + ROOM_WITHIN;
        while !submissions.is_empty() {
            use crate::service::SubmitError;
            match self.api.service().submit(&self.app, submissions.clone()).await {
                Ok(accepted) => {
                    self.accepted += accepted.len() as u64;
                    let receipts = receipts(self.api.service(), &accepted, self.wait).await;
                    let answers: Vec<Line> = lines
                        .iter()
                        .zip(receipts)
                        .map(|(line, receipt)| Line { line: *line, receipt: Some(receipt), problem: None })
                        .collect();
                    self.answer(&answers).await?;
                    return Ok(true);
                }
                // One that is refused for what it is does not stop the others.
                Err(
                    error @ (SubmitError::Invalid { index, .. }
                    | SubmitError::Payload { index, .. }
                    | SubmitError::SendAt { index, .. }
                    | SubmitError::Environment { index, .. }
                    | SubmitError::KeyReused { index }),
                ) => {
                    submissions.remove(index);
                    let line = lines.remove(index);
                    self.refuse(line, Problem::from(error).about(index)).await?;
                }
                Err(SubmitError::TooFast { wait }) if tokio::time::Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                }
                Err(error) => {
                    let problem = Problem::from(error);
                    let now = tokio::time::Instant::now();
                    if problem.is_full() && now < deadline {
                        self.api.service().room((deadline - now).min(Duration::from_secs(1))).await;
                        continue;
                    }
                    for line in lines {
                        self.refuse(line, problem.clone()).await?;
                    }
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn answer<T: Serialize>(&mut self, lines: &[T]) -> Result<(), Left> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).expect("a line has text keys and numbers only");
            text.push(b'\n');
        }
        let weight = u32::try_from(text.len().min(UNREAD)).unwrap_or(u32::MAX);
        tokio::select! {
            permit = tokio::time::timeout(READ_WITHIN, self.room.acquire_many(weight)) => match permit {
                Ok(Ok(permit)) => permit.forget(),
                Ok(Err(_)) | Err(_) => return Err(Left),
            },
            () = self.answers.closed() => return Err(Left),
        }
        self.answers.send(text.into()).map_err(|_| Left)
    }
}
