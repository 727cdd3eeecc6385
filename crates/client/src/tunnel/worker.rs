//! Holds a session with a tunnel, and reads the channels that the server assigns to it.
//!
//! 1. Connect.
//! 2. Tell the server by heartbeats how each channel stands, and take what it answers as the assignment: open
//!    channels are read, each by a task of its own; closing ones are given back; those not named are let go.
//! 3. A channel that ends, or cannot go on, is told with the next heartbeat.
//! 4. When asked to, stop all channels, write their checkpoints, and leave.
//!
//! A session that is lost is replaced by another, after a pause. The worker ends by itself only when the server
//! says that there is nothing to come back to: the tunnel is expired or gone, or the key may not read it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::proto::tunnel::ChannelStatus;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use super::channel::{ChannelReader, Ended, Pace, Processor};
use super::session::{ChannelState, TunnelSession};
use crate::error::Error;
use crate::transport::Client;

/// The pauses before another session is tried.
const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(500);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(10);

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Who this client is, for those who describe the tunnel.
    pub client_tag: String,
    /// How often the server is told that this client lives. Well below `session_timeout`.
    pub heartbeat_interval: Duration,
    /// How long this client may be silent before its channels are given to others.
    pub session_timeout: Duration,
    /// How often a channel's checkpoint is written. What was processed since comes again after a crash.
    pub checkpoint_interval: Duration,
    /// The first pause where a stream has nothing to read; each further one is twice as long.
    pub idle_pause_min: Duration,
    /// The longest such pause: about how late a change can come after a quiet time.
    pub idle_pause_max: Duration,
    /// Pages held at once, over all channels. A page takes some MiB.
    pub pages_max: usize,
}

/// A worker at work. Dropped, it stops where it is: what was processed since the last checkpoints comes again.
#[derive(Debug)]
pub struct TunnelWorker {
    stop: watch::Sender<bool>,
    /// Absent once its outcome was told.
    task: Option<JoinHandle<Result<(), Error>>>,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            client_tag: "lakeferry".to_owned(),
            heartbeat_interval: Duration::from_secs(30),
            session_timeout: Duration::from_secs(300),
            checkpoint_interval: Duration::from_secs(5),
            idle_pause_min: Duration::from_millis(50),
            idle_pause_max: Duration::from_secs(2),
            pages_max: 8,
        }
    }
}

impl TunnelWorker {
    /// Begins to read a tunnel.
    pub fn start(
        client: Client,
        tunnel_id: impl Into<String>,
        settings: WorkerSettings,
        processor: impl Processor,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let pages = Arc::new(Semaphore::new(settings.pages_max.max(1)));
        let work = Work {
            client,
            tunnel_id: tunnel_id.into(),
            settings,
            processor: Arc::new(processor),
            pages,
            stop: stopped,
        };
        Self { stop, task: Some(tokio::spawn(work.run())) }
    }

    /// Stops all channels behind the page that they process, writes their checkpoints, and leaves the tunnel.
    ///
    /// # Errors
    /// What ended the worker before, or why it could not leave.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.stop.send_replace(true);
        self.ended().await
    }

    /// Waits until the worker ends by itself: never, while the tunnel is there. Its outcome is told once.
    ///
    /// # Errors
    /// What ended it.
    ///
    /// # Panics
    /// If the application's processor has panicked.
    pub async fn ended(&mut self) -> Result<(), Error> {
        let Some(task) = &mut self.task else { return Ok(()) };
        let outcome = task.await;
        self.task = None;
        outcome.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ok(()),
        })
    }
}

impl Drop for TunnelWorker {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Work<P> {
    client: Client,
    tunnel_id: String,
    settings: WorkerSettings,
    processor: Arc<P>,
    pages: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl<P: Processor> Work<P> {
    async fn run(mut self) -> Result<(), Error> {
        let mut pause = RECONNECT_PAUSE_MIN;
        loop {
            let error = match self.connect().await {
                Ok(session) => {
                    pause = RECONNECT_PAUSE_MIN;
                    match self.attend(&session).await {
                        Ok(()) => return session.shutdown().await,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            if is_final(&error) {
                return Err(error);
            }
            tracing::warn!(tunnel = self.tunnel_id, %error, "the session with the tunnel is lost; another follows");
            if tokio::time::timeout(pause, asked(&mut self.stop)).await.is_ok() {
                return Ok(());
            }
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
        }
    }

    async fn connect(&self) -> Result<TunnelSession, Error> {
        let WorkerSettings { session_timeout, client_tag, .. } = &self.settings;
        self.client.connect_tunnel(&self.tunnel_id, *session_timeout, client_tag).await
    }

    /// Attends to the channels of a session until asked to stop; then all of them are given back.
    async fn attend(&mut self, session: &TunnelSession) -> Result<(), Error> {
        let mut channels = Channels::default();
        let mut beats = tokio::time::interval(self.settings.heartbeat_interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = asked(&mut self.stop) => break,
                _ = beats.tick() => {}
                // What a channel has left to others should not wait for the next beat.
                at_once = channels.next_end() => if !at_once { continue },
            }
            let assigned = session.heartbeat(&channels.states()).await?;
            for id in channels.adopt(assigned) {
                let reader = self.reader(session, &id, &mut channels);
                channels.readers.spawn(async move { (id, reader.run().await) });
            }
        }
        channels.stop_all().await;
        session.heartbeat(&channels.states()).await?;
        Ok(())
    }

    fn reader(&self, session: &TunnelSession, id: &str, channels: &mut Channels) -> ChannelReader<P> {
        let (stop, stopped) = watch::channel(false);
        if let Some(held) = channels.held.get_mut(id) {
            held.stop = Some(stop);
        }
        ChannelReader {
            session: session.clone(),
            channel: id.to_owned(),
            processor: self.processor.clone(),
            pace: Pace {
                checkpoint_interval: self.settings.checkpoint_interval,
                idle_pause_min: self.settings.idle_pause_min,
                idle_pause_max: self.settings.idle_pause_max,
            },
            pages: self.pages.clone(),
            stop: stopped,
        }
    }
}

/// The channels of a session.
#[derive(Default)]
struct Channels {
    held: HashMap<String, Held>,
    /// One task a channel that is read, ended ones aside.
    readers: JoinSet<(String, Ended)>,
}

struct Held {
    version: i64,
    status: ChannelStatus,
    /// Asks its reader to give it back; none if it is not read.
    stop: Option<watch::Sender<bool>>,
}

impl Channels {
    fn states(&self) -> Vec<ChannelState> {
        let states = self.held.iter().map(|(id, held)| ChannelState {
            id: id.clone(),
            version: held.version,
            status: held.status,
        });
        states.collect()
    }

    /// Takes the server's assignment, and gives the channels that are to be read from now on.
    fn adopt(&mut self, assigned: Vec<ChannelState>) -> Vec<String> {
        self.held.retain(|id, held| {
            let is_assigned = assigned.iter().any(|channel| channel.id == *id);
            if !is_assigned {
                held.ask_back();
            }
            // A reader that is still at work stays known, so that the channel is not read twice here.
            is_assigned || held.stop.is_some()
        });
        let mut to_read = Vec::new();
        for ChannelState { id, version, status } in assigned {
            let held = self.held.entry(id.clone()).or_insert(Held {
                version: i64::MIN,
                status: ChannelStatus::Close,
                stop: None,
            });
            // Ours is news that the server has not heard yet.
            if held.version >= version {
                continue;
            }
            held.version = version;
            held.status = status;
            match status {
                ChannelStatus::Open if held.stop.is_none() => to_read.push(id),
                ChannelStatus::Open => {}
                ChannelStatus::Closing if held.stop.is_none() => held.end(ChannelStatus::Close),
                ChannelStatus::Closing | ChannelStatus::Close | ChannelStatus::Terminated => held.ask_back(),
            }
        }
        to_read
    }

    /// Waits for a reader to end, and notes how its channel stands now. Says whether the server should hear of it
    /// at once; what failed can wait, so that a channel that fails again and again does so at leisure.
    async fn next_end(&mut self) -> bool {
        let (id, ended) = loop {
            match self.readers.join_next().await {
                Some(Ok(ended)) => break ended,
                Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        };
        self.note(&id, ended)
    }

    fn note(&mut self, id: &str, ended: Ended) -> bool {
        let (status, at_once) = match ended {
            Ended::Finished => (ChannelStatus::Terminated, true),
            Ended::Asked => (ChannelStatus::Close, true),
            Ended::Failed(failure) => {
                let error: &dyn std::error::Error = &failure;
                let cause = error.source().map(ToString::to_string);
                tracing::warn!(channel = id, %error, cause, "a channel cannot be read on; it is given back");
                (ChannelStatus::Close, false)
            }
        };
        if let Some(held) = self.held.get_mut(id) {
            held.stop = None;
            held.end(status);
        }
        at_once
    }

    /// Has every reader write its checkpoint and end.
    async fn stop_all(&mut self) {
        self.held.values().for_each(Held::ask_back);
        while let Some(ended) = self.readers.join_next().await {
            match ended {
                Ok((id, ended)) => _ = self.note(&id, ended),
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
    }
}

impl Held {
    fn ask_back(&self) {
        if let Some(stop) = &self.stop {
            stop.send_replace(true);
        }
    }

    /// What has ended here is news for the server.
    fn end(&mut self, status: ChannelStatus) {
        self.status = status;
        self.version = self.version.saturating_add(1);
    }
}

/// Ends when the worker is to stop, or is gone.
async fn asked(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Whether no other session would do better.
fn is_final(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::TunnelExpired
                | ErrorCode::ParameterInvalid
                | ErrorCode::PermissionDenied
                | ErrorCode::NoPermissionAccess
                | ErrorCode::AuthFailed
                | ErrorCode::UnsupportedOperation
        )
    )
}
