//! A kept connection that sends a request as it is told, and reads the answer.
//!
//! It speaks just as much HTTP as the server's answers need, and leaves nothing out of what is sent: a client
//! library would refuse half of the cases.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::case::Request;

/// The longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// An answer, as far as it is looked at.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header `x-ots-requestid`.
    pub request_id: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection to a server, made when it is needed.
pub struct Connection {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Connection {
    pub fn new(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None }
    }

    /// Sends a request and reads its answer. A kept connection that turns out to be closed is made anew once.
    pub async fn call(&mut self, request: &Request) -> Result<Answer, String> {
        if self.stream.is_some()
            && let Ok(answer) = self.exchange(request).await
        {
            return Ok(answer);
        }
        let stream = TcpStream::connect(&self.address).await.map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("connect: {error}"))?;
        self.stream = Some(BufReader::new(stream));
        self.exchange(request).await
    }

    async fn exchange(&mut self, request: &Request) -> Result<Answer, String> {
        let Some(mut stream) = self.stream.take() else { return Err("there is no connection".to_owned()) };
        let sent = request.to_bytes(&self.address);
        stream.write_all(&sent).await.map_err(|error| format!("send: {error}"))?;
        let (answer, kept) = read(&mut stream).await?;
        if kept {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

/// An answer, and whether the connection can be used again.
async fn read(stream: &mut BufReader<TcpStream>) -> Result<(Answer, bool), String> {
    let mut answer = Answer::default();
    let (mut length, mut kept, mut line) = (0, true, String::new());
    loop {
        line.clear();
        let count = stream.read_line(&mut line).await.map_err(|error| format!("read: {error}"))?;
        if count == 0 {
            return Err("the connection was closed instead of an answer".to_owned());
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        match text.split_once(':') {
            None => {
                answer.status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(|_| format!("a length of `{value}`"))?;
            }
            Some((name, value)) if name.eq_ignore_ascii_case("x-ots-requestid") => {
                value.trim().clone_into(&mut answer.request_id);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("connection") => {
                kept = !value.trim().eq_ignore_ascii_case("close");
            }
            Some(_) => {}
        }
    }
    if length > ANSWER_BYTES_MAX {
        return Err(format!("an answer of {length} bytes"));
    }
    answer.body.resize(length, 0);
    stream.read_exact(&mut answer.body).await.map_err(|error| format!("read: {error}"))?;
    Ok((answer, kept))
}
