//! What a store may do to a request, other than to answer it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, StatusCode};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::gate::{Body, Gate, refusal};

/// A fault of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// Answers this, and does nothing.
    Refuse(u16, &'static str),
    /// Does the work, and hangs up.
    LoseAnswer,
    /// Waits first. The work is done even if nobody waits for the answer any more.
    Slow(Duration),
    /// Takes half of a body, or gives half of an answer, and hangs up.
    Half,
    /// Takes a body, and by then the credentials that it was signed with have ended.
    Expire,
}

/// A fault, and which requests it meets.
#[derive(Debug)]
pub struct Suffering {
    fault: StoreFault,
    random: SmallRng,
    met: u64,
}

/// The connection ends without an answer.
#[derive(Debug)]
pub struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the trial hangs up here")
    }
}

impl std::error::Error for HungUp {}

impl Suffering {
    /// Every other request, as drawn from `seed`, meets the fault.
    pub fn new(fault: StoreFault, seed: u64) -> Self {
        Self { fault, random: SmallRng::seed_from_u64(seed), met: 0 }
    }

    /// What the next request meets.
    pub fn draw(&mut self) -> Option<StoreFault> {
        let meets = self.random.random_ratio(1, 2);
        self.met += u64::from(meets);
        meets.then_some(self.fault)
    }

    /// How many requests have met it.
    pub fn met(&self) -> u64 {
        self.met
    }
}

impl StoreFault {
    /// Has a request meet the fault.
    ///
    /// # Errors
    /// If there is to be no answer.
    pub async fn meet(self, gate: &Gate, request: Request<Incoming>) -> Result<Response<Body>, HungUp> {
        match self {
            Self::Refuse(status, code) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                Ok(refusal(status, code))
            }
            Self::LoseAnswer => {
                let request = taken(request).await?;
                // The answer's own body may be work too.
                _ = gate.pass(request).await.into_body().collect().await;
                Err(HungUp)
            }
            Self::Slow(time) => {
                let (gate, request) = (gate.clone(), taken(request).await?);
                let work = tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    gate.pass(request).await
                });
                work.await.map_err(|_| HungUp)
            }
            Self::Half if matches!(*request.method(), Method::PUT | Method::POST) => {
                take_half(request).await;
                Err(HungUp)
            }
            Self::Half => half_of(gate.pass(request.map(s3s::Body::from)).await).await,
            Self::Expire => match gate.sessions().end_of(request.headers()) {
                Some(end) if *request.method() == Method::PUT => {
                    let request = taken(request).await?;
                    tokio::time::sleep_until((end + Duration::from_millis(50)).into()).await;
                    // The store looks at the credentials now, and finds them ended.
                    Ok(gate.pass(request).await)
                }
                _ => Ok(gate.pass(request.map(s3s::Body::from)).await),
            },
        }
    }
}

/// The request with its whole body.
async fn taken(request: Request<Incoming>) -> Result<Request<s3s::Body>, HungUp> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| HungUp)?;
    Ok(Request::from_parts(head, s3s::Body::from(body.to_bytes())))
}

async fn take_half(request: Request<Incoming>) {
    let length = request.headers().get("content-length").and_then(|length| length.to_str().ok());
    let half = length.and_then(|length| length.parse::<usize>().ok()).unwrap_or_default() / 2;
    let (mut body, mut taken) = (request.into_body(), 0);
    while taken < half
        && let Some(Ok(frame)) = body.frame().await
    {
        taken += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// The head as it is, and the first half of the body.
async fn half_of(response: Response<Body>) -> Result<Response<Body>, HungUp> {
    let (head, body) = response.into_parts();
    let whole = body.collect().await.map_err(|_| HungUp)?.to_bytes();
    let half = whole.slice(..whole.len() / 2);
    let frames = stream::iter([Ok(Frame::data(half)), Err(HungUp.into())]);
    Ok(Response::from_parts(head, StreamBody::new(frames).boxed_unsync()))
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse(status, code) => write!(f, "the store refuses with {status} {code}"),
            Self::LoseAnswer => f.write_str("the store does its work and loses the answer"),
            Self::Slow(time) => write!(f, "the store takes {} ms longer", time.as_millis()),
            Self::Half => f.write_str("the store takes half of a body, and gives half of an answer"),
            Self::Expire => f.write_str("credentials end in the middle of an upload"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_back_which_requests_meet_a_fault() {
        let drawn = |seed| {
            let mut suffering = Suffering::new(StoreFault::Half, seed);
            (0..32).map(|_| suffering.draw().is_some()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }
}
