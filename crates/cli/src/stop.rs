//! Ctrl-C and SIGTERM: the first asks for an end in order, a second Ctrl-C ends the process at once.

use std::process;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::console;
use crate::failure::Failure;

/// As a shell reports a program that SIGINT ended.
const ENDED_BY_CTRL_C: i32 = 130;

/// Whether the program was asked to end. Clones tell the same.
#[derive(Clone)]
pub struct Stop {
    asked: watch::Receiver<bool>,
}

impl Stop {
    /// Takes both signals from now on. If the process is still there `limit` after the first one, it ends
    /// without order.
    pub fn listen(limit: Option<Duration>) -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::broken("listen for signals").caused_by(error));
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let (ask, asked) = watch::channel(false);
        tokio::spawn(hear(interrupt, terminate, ask, limit));
        Ok(Self { asked })
    }

    /// Ends once the program has been asked to.
    pub async fn asked(mut self) {
        // An error means that the listener is gone, which it never is before it has asked.
        let _ = self.asked.wait_for(|asked| *asked).await;
    }
}

async fn hear(
    mut interrupt: Signal,
    mut terminate: Signal,
    ask: watch::Sender<bool>,
    limit: Option<Duration>,
) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    ask.send_replace(true);
    let over = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = interrupt.recv() => process::exit(ENDED_BY_CTRL_C),
        () = over => {
            console::note("error: the stop took longer than the setting `stop_s_max`; ended without order");
            process::exit(2);
        }
    }
}
