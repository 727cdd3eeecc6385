//! Connections, and how long their callers are waited for.
//!
//! A request's own deadline begins when its headers have come. Before that, and once its answer is made, a caller that
//! does nothing would be waited for for ever: [`Connection`] gives up one that began a request and did not come to its
//! answer in time, and one that does not read its answer. One that is idle between requests is kept.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};

/// How much longer than to its deadline a request may take, with its headers and what is read on of a refused body.
const BESIDE_DEADLINE: Duration = Duration::from_secs(60);
/// How long a caller may take none of its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Accepts connections.
pub struct Connections {
    listener: TcpListener,
    request_within: Duration,
}

impl Connections {
    /// Those of a listener, whose requests have this deadline.
    pub fn new(listener: TcpListener, deadline: Duration) -> Self {
        Self { listener, request_within: deadline + BESIDE_DEADLINE }
    }
}

impl Listener for Connections {
    type Io = Connection<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Answers are small and written whole: nothing is gained by waiting for more.
        _ = stream.set_nodelay(true);
        (Connection::new(stream, self.request_within, ANSWER_WITHIN), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that fails when its caller keeps it waiting for too long.
pub struct Connection<S> {
    stream: S,
    request: Patience,
    answer: Patience,
}

impl<S> Connection<S> {
    fn new(stream: S, request_within: Duration, answer_within: Duration) -> Self {
        // Who connects is about to send.
        let request =
            Patience { until: Some(Instant::now() + request_within), ..Patience::new(request_within) };
        Self { stream, request, answer: Patience::new(answer_within) }
    }

    fn wrote(&mut self, written: io::Result<usize>) -> io::Result<usize> {
        self.request.end();
        self.answer.end();
        written
    }

    fn is_not_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.answer.begin();
        ready!(self.answer.poll_over(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                self.request.begin();
                Poll::Ready(read)
            }
            Poll::Pending => {
                ready!(self.request.poll_over(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Ready(written) => Poll::Ready(self.wrote(written)),
            Poll::Pending => self.is_not_read(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write_vectored(context, parts) {
            Poll::Ready(written) => Poll::Ready(self.wrote(written)),
            Poll::Pending => self.is_not_read(context),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How long is waited for something that has begun.
struct Patience {
    within: Duration,
    /// When it is over, while it is waited for.
    until: Option<Instant>,
    /// Set for a time at or before `until`: it is moved only when it goes off, not for each request.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(within: Duration) -> Self {
        Self { within, until: None, timer: None }
    }

    fn begin(&mut self) {
        let within = self.within;
        self.until.get_or_insert_with(|| Instant::now() + within);
    }

    fn end(&mut self) {
        self.until = None;
    }

    /// Ready when what has begun has taken too long.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(until) = self.until else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(3600);

    fn connection(
        request_within: Duration,
        answer_within: Duration,
    ) -> (Connection<DuplexStream>, DuplexStream) {
        let (server, caller) = duplex(16);
        (Connection::new(server, request_within, answer_within), caller)
    }

    #[tokio::test]
    async fn a_request_that_does_not_come_to_its_end_is_given_up() {
        let (mut server, mut caller) = connection(SOON, NEVER);
        caller.write_all(b"POST").await.unwrap();
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((error.kind(), &read[..]), (io::ErrorKind::TimedOut, &b"POST"[..]));
    }

    #[tokio::test]
    async fn a_connection_between_requests_is_kept_and_the_next_request_is_watched() {
        let (mut server, mut caller) = connection(SOON, NEVER);
        for _ in 0..2 {
            caller.write_all(b"request").await.unwrap();
            server.read_exact(&mut [0; 7]).await.unwrap();
            server.write_all(b"answer").await.unwrap();
            caller.read_exact(&mut [0; 6]).await.unwrap();
            let idle = tokio::time::timeout(3 * SOON, server.read_u8()).await;
            assert!(idle.is_err(), "it waits on: {idle:?}");
        }
        caller.write_all(b"x").await.unwrap();
        server.read_u8().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (mut server, mut caller) = connection(NEVER, SOON);
        server.write_all(&[7; 16]).await.unwrap();
        caller.read_exact(&mut [0; 16]).await.unwrap();
        let error = server.write_all(&[7; 17]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
