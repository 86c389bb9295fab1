//! The one task of a connection: it moves bytes between the connection and its session's core.

use super::connect::{self, Begun, NotConnected};
use super::core::watch::{Progress, Watch};
use super::core::{LinkNo, Transmit};
use super::dispatch::{self, Dispatched, refused};
use super::{Context, Session, wire as edge};
use crate::call::whence::Whence;
use crate::codec::{Codec, Malformed};
use crate::metrics::Metrics;
use crate::transport::{Connection, RecvError};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kaiwa_common::close::CloseCode;
use kaiwa_common::error::{ErrorCode, Refusal};
use kaiwa_common::limits::{
    CLOSE, CONNECT, MALFORMED, PAGE_BYTES, PING_HEADS, READS_IN_FLIGHT, WRITE_AHEAD,
};
use kaiwa_common::token::TokenError;
use kaiwa_proto::client::v1 as wire;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::reply::Result as ReplyResult;
use metrics::Gauge;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::Instant;
use tokio::time::Sleep;

/// Steps of one poll after which other tasks get their turn.
const BUDGET: usize = 64;

/// Serves a connection to its end. Its session may go on.
pub async fn serve<C: Connection>(connection: C, codec: Codec, context: Arc<Context>) {
    serve_from(connection, codec, context, Whence::default()).await;
}

/// The same of one of which it is known where it comes from.
pub async fn serve_from<C: Connection>(
    connection: C,
    codec: Codec,
    context: Arc<Context>,
    whence: Whence,
) {
    let _open = Open::count(&context.metrics);
    let mut driver = Driver::new(connection, codec, context, whence);
    let end = std::future::poll_fn(|cx| driver.poll_run(cx)).await;
    driver.finish(end).await;
}

/// Counts a connection for as long as it is served, however that ends.
struct Open(Gauge);

impl Open {
    fn count(metrics: &Metrics) -> Self {
        metrics.connections.increment(1.0);
        Self(metrics.connections.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// How a connection ends.
enum End {
    /// The peer's doing; nothing is left to say.
    Peer,
    /// Ours, for this reason.
    Close(CloseCode),
}

enum Phase {
    /// Before `Connect`.
    Greeting {
        watch: Watch,
        until: Instant,
        closing: Option<CloseCode>,
        whence: Box<Whence>,
    },
    /// With a session. The link is given up when this is dropped.
    Live(Live),
}

/// What a command in work is, once it is done.
struct Done {
    id: u32,
    result: ReplyResult,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect,
    Read,
    Write,
}

type Work = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + Send>>>;

struct Driver<C> {
    connection: C,
    codec: Codec,
    context: Arc<Context>,
    phase: Phase,
    /// Messages of the last frame that wait for their turn.
    inbox: VecDeque<Result<wire::ClientMessage, Malformed>>,
    /// Commands in work; none for an idle connection.
    work: Option<Box<Work>>,
    reads: usize,
    is_connecting: bool,
    is_deaf: bool,
    /// The session's core wants the link closed: for this reason, and by then at the latest.
    closing: Option<(CloseCode, Instant)>,
    malformed: u32,
    refused: u32,
    sleep: Pin<Box<Sleep>>,
}

impl<C: Connection> Driver<C> {
    fn new(connection: C, codec: Codec, context: Arc<Context>, whence: Whence) -> Self {
        let now = tokio::time::Instant::now();
        let phase = Phase::Greeting {
            watch: Watch::new(now.into_std()),
            until: (now + CONNECT).into_std(),
            closing: None,
            whence: Box::new(whence),
        };
        Self {
            connection,
            codec,
            context,
            phase,
            inbox: VecDeque::new(),
            work: None,
            reads: 0,
            is_connecting: false,
            is_deaf: false,
            closing: None,
            malformed: 0,
            refused: 0,
            sleep: Box::pin(tokio::time::sleep_until(now + CONNECT)),
        }
    }

    fn poll_run(&mut self, cx: &mut TaskContext<'_>) -> Poll<End> {
        for _ in 0..BUDGET {
            let now = tokio::time::Instant::now().into_std();
            if let Err(end) = self.attend(cx, now) {
                return Poll::Ready(end);
            }
            let mut progressed = self.poll_work(cx);
            match self.poll_receive(cx, now) {
                Poll::Ready(Ok(())) => progressed = true,
                Poll::Ready(Err(end)) => return Poll::Ready(end),
                Poll::Pending => {}
            }
            match self.poll_transmit(cx, now) {
                Ok(did) => progressed |= did,
                Err(end) => return Poll::Ready(end),
            }
            match self.poll_timer(cx, now) {
                Ok(did) => progressed |= did,
                Err(end) => return Poll::Ready(end),
            }
            if !progressed {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Asks the session whether this link still counts, and lets it wake this task.
    fn attend(&mut self, cx: &TaskContext<'_>, now: Instant) -> Result<(), End> {
        let Phase::Live(live) = &self.phase else {
            return Ok(());
        };
        let core = live.session.core();
        if !core.is_current(live.link) {
            return Err(End::Close(CloseCode::Replaced));
        }
        // Under the core's lock, so that a link that was replaced can't take the waker of the one
        // that replaced it.
        live.session.waker.register(cx.waker());
        if let Some(code) = core.closing() {
            // Nothing more is done for it, and what waits for it does not wait for ever.
            self.is_deaf = true;
            self.closing.get_or_insert((code, now + CLOSE));
        }
        Ok(())
    }

    /// Takes the results of commands that are done.
    fn poll_work(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut progressed = false;
        while let Some(work) = &mut self.work {
            match work.poll_next_unpin(cx) {
                Poll::Ready(Some(done)) => self.done(done),
                Poll::Ready(None) => {
                    self.work = None;
                    self.expect_reply(false);
                }
                Poll::Pending => break,
            }
            progressed = true;
        }
        progressed
    }

    fn done(&mut self, done: Done) {
        match done.kind {
            Kind::Read => self.reads -= 1,
            Kind::Connect => {
                self.is_connecting = false;
                self.connected(done.id, done.result);
                return;
            }
            Kind::Write => {}
        }
        self.reply(done.id, done.result);
    }

    fn connected(&mut self, id: u32, result: ReplyResult) {
        let Phase::Live(live) = &self.phase else {
            return;
        };
        let failed = matches!(result, ReplyResult::Error(_));
        let reply = edge::reply(self.codec, id, result);
        let mut core = live.session.core();
        if failed {
            core.handle_not_connected(live.link, reply);
        } else {
            core.handle_connected(live.link, reply);
        }
    }

    /// One message of the inbox, or the next frame.
    fn poll_receive(&mut self, cx: &mut TaskContext<'_>, now: Instant) -> Poll<Result<(), End>> {
        if self.is_deaf {
            return Poll::Pending;
        }
        if !self.may_start() {
            // Who is not listened to is not silent. A peer that takes nothing stalls instead.
            self.heard(now);
            return Poll::Pending;
        }
        if let Some(message) = self.inbox.pop_front() {
            if self.inbox.is_empty() {
                self.inbox = VecDeque::new();
            }
            self.take(message, now);
            return Poll::Ready(Ok(()));
        }
        match std::task::ready!(self.connection.poll_recv(cx)) {
            Ok(Some(frame)) => {
                self.context.metrics.frames_in.increment(1);
                self.heard(now);
                self.inbox = self.codec.decode(&frame).into();
                Poll::Ready(Ok(()))
            }
            Ok(None) => {
                if let Phase::Live(live) = &self.phase {
                    live.session.core().handle_closed(live.link);
                }
                Poll::Ready(Err(End::Peer))
            }
            Err(RecvError::Lost(_)) => Poll::Ready(Err(End::Peer)),
            Err(RecvError::Protocol(rule)) => {
                tracing::debug!(rule, "the peer broke the transport's rules");
                self.context.metrics.closed("transport");
                Poll::Ready(Err(End::Peer))
            }
            Err(RecvError::TooLarge { limit }) => {
                let refusal = Refusal::new(ErrorCode::TooLarge, "the frame is too large");
                self.reply_error(0, refusal.with("limit", limit));
                self.close(CloseCode::TooLarge);
                Poll::Ready(Ok(()))
            }
            Err(RecvError::WrongFormat) => {
                let text = "text frames for JSON, binary frames for Protobuf";
                self.reply_error(0, Refusal::new(ErrorCode::Malformed, text));
                self.close(CloseCode::ProtocolError);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn heard(&mut self, now: Instant) {
        match &mut self.phase {
            Phase::Greeting { watch, .. } => watch.heard(now),
            Phase::Live(live) => live.session.core().handle_heard(live.link, now),
        }
    }

    /// Whether another command may begin: replies in work or waiting are bounded, in number and bytes.
    fn may_start(&self) -> bool {
        let in_work = self.work.as_ref().map_or(0, |work| work.len());
        let (waiting, bytes) = match &self.phase {
            Phase::Greeting { .. } => (0, self.connection.queued_bytes()),
            Phase::Live(live) => live.session.core().control_waiting(),
        };
        !self.is_connecting
            && bytes < PAGE_BYTES
            && self.reads < READS_IN_FLIGHT
            && in_work + waiting < self.context.limits.in_flight as usize
    }

    fn take(&mut self, message: Result<wire::ClientMessage, Malformed>, now: Instant) {
        match message {
            Err(malformed) => self.malformed(malformed),
            Ok(wire::ClientMessage { id, command: None }) => {
                let text = "no command that this server knows";
                self.reply_error(id, Refusal::new(ErrorCode::UnknownCommand, text));
                self.count_malformed();
            }
            Ok(wire::ClientMessage {
                id,
                command: Some(command),
            }) => {
                self.context.metrics.commands.increment(1);
                match &self.phase {
                    Phase::Greeting { .. } => self.greet(id, command, now),
                    Phase::Live(live) => {
                        let session = Arc::clone(&live.session);
                        self.command(&session, id, command, now);
                    }
                }
            }
        }
    }

    fn malformed(&mut self, malformed: Malformed) {
        let refusal = Refusal::new(ErrorCode::Malformed, "the message can't be read");
        self.reply_error(malformed.id, refusal.with("at", malformed.at));
        if malformed.is_fatal {
            self.context.metrics.malformed.increment(1);
            self.close(CloseCode::ProtocolError);
        } else {
            self.count_malformed();
        }
    }

    fn count_malformed(&mut self) {
        self.context.metrics.malformed.increment(1);
        self.malformed += 1;
        if self.malformed >= MALFORMED {
            self.close(CloseCode::ProtocolError);
        }
    }

    fn greet(&mut self, id: u32, command: Command, now: Instant) {
        let Command::Connect(connect) = command else {
            let text = "connect comes first";
            self.reply_error(id, Refusal::new(ErrorCode::NotConnected, text));
            self.count_malformed();
            return;
        };
        match connect::begin(&self.context, self.codec, &connect, now) {
            Ok(begun) => self.begin(id, begun),
            Err(NotConnected {
                refusal,
                close,
                token,
            }) => {
                if let Some(error) = token {
                    self.note_refused(error, &connect.token);
                }
                self.reply_error(id, refusal);
                match close {
                    Some(code) => self.close(code),
                    None => self.count_malformed(),
                }
            }
        }
    }

    /// A token that is refused is remembered, for whoever asks why somebody does not get in.
    fn note_refused(&self, error: TokenError, token: &str) {
        if let (Phase::Greeting { whence, .. }, Some(calls)) = (&self.phase, &self.context.calls) {
            let dated = self.context.tokens.dated(token);
            let whence = Arc::new(Whence::clone(whence));
            calls.failures().token_refused(error, dated, None, whence);
        }
    }

    fn begin(&mut self, id: u32, begun: Begun) {
        if let Phase::Greeting { whence, .. } = &self.phase {
            begun.session.set_origin(whence.origin);
        }
        begun
            .session
            .core()
            .link(begun.link, self.connection.direct());
        self.phase = Phase::Live(Live {
            session: Arc::clone(&begun.session),
            link: begun.link,
            is_claimed: true,
            context: Arc::clone(&self.context),
        });
        self.is_connecting = true;
        let context = Arc::clone(&self.context);
        self.start(
            Kind::Connect,
            id,
            async move { begun.complete(&context).await },
        );
    }

    fn command(&mut self, session: &Arc<Session>, id: u32, command: Command, now: Instant) {
        if let Err(wait) = session.user.take_command(now) {
            self.context.metrics.rate_limited.increment(1);
            let text = "too many commands: slow down";
            self.reply_error(
                id,
                Refusal::new(ErrorCode::RateLimited, text).retry_after(wait),
            );
            self.refused += 1;
            if self.refused > self.context.limits.refused_burst {
                self.close(CloseCode::RateLimited);
            }
            return;
        }
        self.refused = self.refused.saturating_sub(1);
        let request = match edge::parse(command, &self.context.limits) {
            Ok(request) => request,
            Err(refusal) => return self.reply_error(id, refusal),
        };
        match dispatch::dispatch(&self.context, session, request, now) {
            Dispatched::Done(result) => self.reply(id, *result),
            Dispatched::Started(work) => self.start(Kind::Write, id, work),
            Dispatched::Reading(work) => {
                self.reads += 1;
                self.start(Kind::Read, id, work);
            }
            Dispatched::Silent => {}
        }
    }

    fn start(
        &mut self,
        kind: Kind,
        id: u32,
        work: impl Future<Output = ReplyResult> + Send + 'static,
    ) {
        let done = Box::pin(async move {
            Done {
                id,
                result: work.await,
                kind,
            }
        });
        self.work.get_or_insert_default().push(done);
        self.expect_reply(true);
    }

    /// Whether pushes should wait for a reply that is about to be written.
    fn expect_reply(&self, expected: bool) {
        if let Phase::Live(live) = &self.phase {
            live.session
                .expects_reply
                .store(expected, Ordering::Relaxed);
        }
    }

    fn reply_error(&mut self, id: u32, refusal: Refusal) {
        // An error that belongs to no command is told with id 0; one of a silent command is not.
        let is_orphan = matches!(refusal.code, ErrorCode::Malformed | ErrorCode::TooLarge);
        if id != 0 || is_orphan {
            self.queue(edge::reply(self.codec, id, refused(refusal)));
        }
    }

    fn reply(&mut self, id: u32, result: ReplyResult) {
        if id != 0 {
            self.queue(edge::reply(self.codec, id, result));
        }
    }

    fn queue(&mut self, frame: crate::transport::Frame) {
        match &self.phase {
            Phase::Greeting { .. } => self.connection.send(&frame),
            Phase::Live(live) => live.session.core().handle_reply(live.link, frame),
        }
    }

    /// Begins the end: nothing more is read, and what waits goes out first.
    fn close(&mut self, code: CloseCode) {
        self.is_deaf = true;
        self.inbox = VecDeque::new();
        match &mut self.phase {
            Phase::Greeting { closing, .. } => *closing = Some(code),
            Phase::Live(live) => {
                let mut core = live.session.core();
                if core.is_current(live.link) {
                    core.handle_close(code);
                }
            }
        }
    }

    fn poll_transmit(&mut self, cx: &mut TaskContext<'_>, now: Instant) -> Result<bool, End> {
        let mut progressed = false;
        let before = self.connection.written_bytes();
        while self.connection.queued_bytes() < WRITE_AHEAD {
            let transmit = match &mut self.phase {
                Phase::Live(live) => live.poll_transmit(now, &mut self.connection),
                Phase::Greeting {
                    closing: Some(code),
                    ..
                } => Transmit::Close(*code),
                Phase::Greeting { closing: None, .. } => Transmit::Nothing,
            };
            match transmit {
                Transmit::Frame(frame) => self.connection.send(&frame),
                Transmit::Ping { count } => {
                    let Phase::Live(live) = &self.phase else {
                        break;
                    };
                    let ping = wire::Ping {
                        count,
                        heads: live.unannounced(),
                    };
                    let frame = edge::push(self.codec, wire::push::Push::Ping(ping));
                    self.connection.send(&frame);
                }
                Transmit::Close(code) => return Err(End::Close(code)),
                Transmit::Nothing => break,
            }
            progressed = true;
        }
        match self.connection.poll_flush(cx) {
            // More may wait behind what was just written.
            Poll::Ready(Ok(())) => {
                if let Phase::Live(live) = &mut self.phase {
                    live.release();
                }
                Ok(progressed || self.connection.written_bytes() != before)
            }
            Poll::Ready(Err(_)) => Err(End::Peer),
            Poll::Pending => Ok(false),
        }
    }

    fn poll_timer(&mut self, cx: &mut TaskContext<'_>, now: Instant) -> Result<bool, End> {
        let progress = Progress {
            written_bytes: self.connection.written_bytes(),
            queued_bytes: self.connection.queued_bytes(),
            is_mid_frame: self.connection.is_mid_frame(),
        };
        let deadline = match &mut self.phase {
            Phase::Greeting { watch, until, .. } => {
                watch.observe(progress, now);
                if let Some(code) = watch.verdict(now) {
                    return Err(End::Close(code));
                }
                if *until <= now {
                    return Err(End::Close(CloseCode::ConnectTimeout));
                }
                watch.deadline().min(*until)
            }
            Phase::Live(live) => {
                let mut core = live.session.core();
                core.handle_progress(live.link, progress, now);
                let is_due = core.handle_timeout(now);
                let overdue = self
                    .closing
                    .filter(|(_, by)| *by <= now)
                    .map(|(code, _)| code);
                if let Some(code) = core.gives_up(now).or(overdue) {
                    return Err(End::Close(code));
                }
                if is_due {
                    return Ok(true);
                }
                {
                    let can_send = progress.queued_bytes < WRITE_AHEAD;
                    let deadline = core.poll_timeout(can_send).unwrap_or(now + CLOSE);
                    self.closing.map_or(deadline, |(_, by)| deadline.min(by))
                }
            }
        };
        self.arm(cx, deadline, now)
    }

    /// Sees to it that this task is polled by `deadline`. A timer that is armed for an earlier time
    /// stays: waking up once too often is cheaper than moving it with every message.
    fn arm(
        &mut self,
        cx: &mut TaskContext<'_>,
        deadline: Instant,
        now: Instant,
    ) -> Result<bool, End> {
        if deadline < self.sleep.deadline().into_std() || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(deadline.into());
        }
        match self.sleep.as_mut().poll(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(()) => {
                self.sleep.as_mut().reset(deadline.max(now).into());
                Ok(true)
            }
        }
    }

    async fn finish(mut self, end: End) {
        if let Phase::Live(live) = &mut self.phase {
            live.claim(&mut self.connection);
        }
        if let End::Close(code) = end {
            self.context.metrics.closed(code.reason());
            let retry_ms = self.context.retry_ms(code);
            self.connection.send(&edge::bye(self.codec, code, retry_ms));
            self.connection.close(code.number(), code.reason());
        }
        let Self {
            mut connection,
            phase,
            work,
            ..
        } = self;
        drop(work);
        drop(phase);
        let closed = std::future::poll_fn(|cx| connection.poll_closed(cx));
        // A peer that does not answer is left.
        let _ = tokio::time::timeout(CLOSE, closed).await;
    }
}

/// A session's link. Dropping it, by whatever way, gives the link up.
struct Live {
    session: Arc<Session>,
    link: LinkNo,
    /// This task has the right to write, until it has written all.
    is_claimed: bool,
    context: Arc<Context>,
}

impl Live {
    fn poll_transmit<C: Connection>(&mut self, now: Instant, connection: &mut C) -> Transmit {
        let mut linked = self.session.core();
        let transmit = linked.poll_transmit(self.link, now);
        let writes = !matches!(transmit, Transmit::Nothing) || connection.queued_bytes() > 0;
        if writes || linked.has_rest() {
            if let Some(rest) = linked.claim(self.link) {
                connection.resume_direct(rest);
            }
            self.is_claimed = true;
        }
        transmit
    }

    fn claim<C: Connection>(&mut self, connection: &mut C) {
        if let Some(rest) = self.session.core().claim(self.link) {
            connection.resume_direct(rest);
        }
        self.is_claimed = true;
    }

    /// All is written: pushers may write past this task again.
    fn release(&mut self) {
        if self.is_claimed {
            self.is_claimed = false;
            self.session.core().release(self.link);
        }
    }

    /// Heads of followed rooms that moved without an event reaching this session.
    fn unannounced(&self) -> Vec<wire::RoomPosition> {
        let follows = self.session.follows();
        let moved = follows.iter().filter_map(|(room, follow)| {
            let head = follow.take_unannounced()?;
            let (epoch, seq) = (head.epoch.0, head.seq.0);
            Some(wire::RoomPosition {
                room: room.to_string(),
                epoch,
                seq,
            })
        });
        moved.take(PING_HEADS).collect()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let now = tokio::time::Instant::now().into_std();
        let until = self.session.core().unlink(self.link, now);
        if let Some(until) = until {
            if let Some(calls) = &self.context.calls {
                calls.link_changed(&self.session);
            }
            let (context, session) = (Arc::clone(&self.context), Arc::clone(&self.session));
            tokio::spawn(async move {
                tokio::time::sleep_until(until.into()).await;
                let now = tokio::time::Instant::now().into_std();
                if session.core().expire(now) {
                    connect::end(&context, &session);
                }
            });
        } else if self.session.core().is_ended() {
            connect::end(&self.context, &self.session);
        }
    }
}
