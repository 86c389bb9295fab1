//! The client as a task: it performs what the core asks for, and comes back after every loss.

use super::core::{Again, Core, Effect, Notice, Outcome};
use super::link::{Cut, Link, LinkError, Received};
use super::policy::{Comeback, Policy};
use crate::codec::Codec;
use crate::rng::Rng;
use kaiwa_proto::client::v1::client_message::Command;
use kaiwa_proto::client::v1::{Error, reply};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How a client connects.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server.
    pub server: SocketAddr,
    /// The codec.
    pub codec: Codec,
    /// Who: a token.
    pub token: String,
    /// The installation's name.
    pub device: String,
    /// When to come back.
    pub policy: Policy,
    /// For the times to wait.
    pub seed: u64,
}

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client was stopped, by us or by the server.
    #[error("the client has stopped")]
    Stopped,
    /// The connection was lost, and the command isn't one to send again.
    #[error("the connection was lost before the reply")]
    Lost,
    /// The server refused it.
    #[error("refused: {0:?}")]
    Refused(Error),
}

enum Order {
    Request {
        command: Command,
        again: Again,
        answer: oneshot::Sender<Outcome>,
    },
    Follow {
        room: String,
        epoch: u32,
        seq: u64,
    },
    Unfollow {
        room: String,
    },
    Cut(Cut),
    Close,
}

/// A handle to a client's task; cheap to clone. The client stops when told to, or by the server.
#[derive(Debug, Clone)]
pub struct Client {
    orders: mpsc::Sender<Order>,
}

/// Orders waiting for the client's task: as many as its callers may have in flight.
const ORDERS: usize = 1024;

/// Notices waiting for the app. At the bound the client stops reading its connection.
const NOTICES: usize = 4096;

impl Client {
    /// Starts a client; what it has to tell comes from the receiver, which must be read.
    #[must_use]
    pub fn start(options: Options) -> (Self, mpsc::Receiver<Notice>) {
        let (orders, from_app) = mpsc::channel(ORDERS);
        let (notices, to_app) = mpsc::channel(NOTICES);
        let task = Task {
            core: Core::new(&options.device),
            rng: Rng::new(options.seed),
            orders: from_app,
            notices,
            answers: BTreeMap::new(),
            next_ticket: 0,
            failures: 0,
            options,
        };
        tokio::spawn(Box::pin(task.run()));
        (Self { orders }, to_app)
    }

    /// Hands a command over, in the caller's order; the outcome comes later.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn begin(
        &self,
        command: Command,
        again: Again,
    ) -> Result<oneshot::Receiver<Outcome>, ClientError> {
        let (answer, outcome) = oneshot::channel();
        let order = Order::Request {
            command,
            again,
            answer,
        };
        self.orders
            .send(order)
            .await
            .map_err(|_| ClientError::Stopped)?;
        Ok(outcome)
    }

    /// Does a command, over as many connections as it takes, and gives its result.
    ///
    /// # Errors
    /// [`ClientError`]; an `Error` reply is [`ClientError::Refused`].
    pub async fn request(&self, command: Command) -> Result<reply::Result, ClientError> {
        let outcome = self.begin(command, Again::Always).await?;
        let outcome = outcome.await.map_err(|_| ClientError::Stopped)?;
        match outcome.result {
            Some(reply::Result::Error(error)) => Err(ClientError::Refused(error)),
            Some(result) => Ok(result),
            None => Err(ClientError::Lost),
        }
    }

    /// Follows a room from a position; `epoch` 0 for "from now on".
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn follow(&self, room: &str, epoch: u32, seq: u64) -> Result<(), ClientError> {
        self.order(Order::Follow {
            room: room.to_owned(),
            epoch,
            seq,
        })
        .await
    }

    /// Follows it no longer.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn unfollow(&self, room: &str) -> Result<(), ClientError> {
        self.order(Order::Unfollow {
            room: room.to_owned(),
        })
        .await
    }

    /// Cuts the connection; the client comes back by itself.
    ///
    /// # Errors
    /// [`ClientError::Stopped`].
    pub async fn cut(&self, how: Cut) -> Result<(), ClientError> {
        self.order(Order::Cut(how)).await
    }

    /// Stops the client.
    pub async fn close(&self) {
        // Stopped already is stopped.
        let _ = self.order(Order::Close).await;
    }

    async fn order(&self, order: Order) -> Result<(), ClientError> {
        self.orders
            .send(order)
            .await
            .map_err(|_| ClientError::Stopped)
    }
}

struct Task {
    options: Options,
    core: Core,
    rng: Rng,
    orders: mpsc::Receiver<Order>,
    notices: mpsc::Sender<Notice>,
    answers: BTreeMap<u64, oneshot::Sender<Outcome>>,
    next_ticket: u64,
    failures: u32,
}

/// How a connection ended.
enum End {
    Closed(Option<u16>),
    Cut(Cut),
    Quit,
}

/// What follows when all effects are performed.
enum Next {
    Go,
    Reconnect,
}

impl Task {
    async fn run(mut self) {
        loop {
            let end = match Link::open(self.options.server, self.options.codec).await {
                Ok(link) => self.converse(link).await,
                Err(LinkError::Refused {
                    status: 429 | 503, ..
                }) => End::Closed(Some(4201)),
                Err(_) => End::Closed(None),
            };
            let bye = self.core.take_bye();
            let code = match end {
                End::Quit => return,
                End::Cut(_) => None,
                End::Closed(code) => code,
            };
            let comeback =
                self.options
                    .policy
                    .decide(code, bye.as_ref(), self.failures, &mut self.rng);
            self.failures = self.failures.saturating_add(1);
            match comeback {
                Comeback::Resume(wait) | Comeback::Refresh(wait) => {
                    if !self.rest(wait).await {
                        return;
                    }
                }
                Comeback::Stop => {
                    // Nobody may be listening any more.
                    let _ = self.notices.send(Notice::Stopped(code)).await;
                    return;
                }
            }
        }
    }

    /// One connection, from `Connect` to its end.
    async fn converse(&mut self, mut link: Link) -> End {
        let token = self.options.token.clone();
        self.core.handle_open(&token);
        let mut deadline = Instant::now() + self.core.heard_within();
        let end = loop {
            match self.perform(&mut link).await {
                Ok(Next::Go) => {}
                // Something is missing: a new connection says what.
                Ok(Next::Reconnect) => break End::Cut(Cut::Drop),
                Err(_) => break Self::last_words(&mut self.core, &mut link).await,
            }
            let wake = self
                .core
                .poll_timeout()
                .map_or(deadline, |at| at.min(deadline));
            tokio::select! {
                received = link.next() => match received {
                    Ok(Received::Messages(messages, _)) => {
                        let now = Instant::now();
                        deadline = now + self.core.heard_within();
                        for message in messages {
                            self.core.handle_message(message, now);
                        }
                    }
                    Ok(Received::Closed(code)) => break End::Closed(code),
                    Err(_) => break End::Closed(None),
                },
                order = self.orders.recv() => match self.take(order) {
                    None => {}
                    Some(end) => break end,
                },
                () = tokio::time::sleep_until(wake.into()) => {
                    let now = Instant::now();
                    if now >= deadline {
                        break End::Closed(None);
                    }
                    self.core.handle_time(now);
                }
            }
        };
        match end {
            End::Cut(how) => link.cut(how).await,
            End::Quit => link.close().await,
            End::Closed(_) => {}
        }
        self.core
            .handle_lost(matches!(end, End::Cut(_) | End::Quit), Instant::now());
        self.flush().await;
        end
    }

    /// Writing failed; a `bye` and close code may still lie in the buffer.
    async fn last_words(core: &mut Core, link: &mut Link) -> End {
        while let Ok(Ok(received)) = tokio::time::timeout(LAST_WORDS, link.next()).await {
            match received {
                Received::Messages(messages, _) => {
                    let now = Instant::now();
                    messages
                        .into_iter()
                        .for_each(|m| core.handle_message(m, now));
                }
                Received::Closed(code) => return End::Closed(code),
            }
        }
        End::Closed(None)
    }

    /// Waits, and takes orders meanwhile; false when told to stop.
    async fn rest(&mut self, wait: Duration) -> bool {
        let wake = tokio::time::Instant::now() + wait;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(wake) => return true,
                order = self.orders.recv() => {
                    // A cut is nothing without a connection.
                    if let Some(End::Quit) = self.take(order) {
                        return false;
                    }
                    self.flush().await;
                }
            }
        }
    }

    fn take(&mut self, order: Option<Order>) -> Option<End> {
        match order {
            Some(Order::Request {
                command,
                again,
                answer,
            }) => {
                self.next_ticket += 1;
                self.answers.insert(self.next_ticket, answer);
                self.core.handle_request(self.next_ticket, command, again);
                None
            }
            Some(Order::Follow { room, epoch, seq }) => {
                self.core.handle_follow(&room, epoch, seq);
                None
            }
            Some(Order::Unfollow { room }) => {
                self.core.handle_unfollow(&room);
                None
            }
            Some(Order::Cut(how)) => Some(End::Cut(how)),
            Some(Order::Close) | None => Some(End::Quit),
        }
    }

    /// Performs all effects; what is to be sent goes in as few frames as possible.
    async fn perform(&mut self, link: &mut Link) -> Result<Next, LinkError> {
        let mut out = Vec::new();
        let mut next = Next::Go;
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                Effect::Send(message) => out.push(message),
                Effect::Reconnect => next = Next::Reconnect,
                effect @ (Effect::Notify(_) | Effect::Answer(..)) => self.tell(effect).await,
            }
        }
        for messages in out.chunks(FRAME_MESSAGES) {
            link.send(messages).await?;
        }
        Ok(next)
    }

    /// As [`perform`](Self::perform) without a connection.
    async fn flush(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            self.tell(effect).await;
        }
    }

    async fn tell(&mut self, effect: Effect) {
        match effect {
            Effect::Notify(notice) => {
                if let Notice::Connected { .. } = notice {
                    self.failures = 0;
                }
                // An app that doesn't listen wants no notices.
                let _ = self.notices.send(notice).await;
            }
            Effect::Answer(ticket, outcome) => {
                if let Some(answer) = self.answers.remove(&ticket) {
                    // Whoever asked may have gone.
                    let _ = answer.send(outcome);
                }
            }
            Effect::Send(_) | Effect::Reconnect => {}
        }
    }
}

/// What is in the buffer of a connection that can't be written to comes at once.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Messages in one frame from us: sixteen of the longest text that tests send stay under the
/// server's 64 KiB.
const FRAME_MESSAGES: usize = 16;
