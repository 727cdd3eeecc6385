//! The requests: which operation, what body, what headers.

use lakeferry_model::SystemClock;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto::{self, Message, tunnel};
use lakeferry_wire::sign::{self, SigningKey};
use lakeferry_wire::{compress, headers};

use crate::mutate::{self, Shape};
use crate::random::Random;
use crate::{corpus, samples};

const INSTANCE: &str = "fuzzed";
/// The key of a server for development, both halves.
const KEY: &str = "dev";
const REGION: &str = "cn-hangzhou";

/// A request as it goes out.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it is posted to.
    pub path: String,
    headers: Vec<(String, String)>,
    /// The body as transmitted.
    pub body: Vec<u8>,
}

/// What can be sent.
#[derive(Debug)]
pub struct Cases {
    bodies: Vec<(String, Vec<Vec<u8>>)>,
}

impl Cases {
    /// All operations with their samples and their corpus, in which the live names stand in the place of the
    /// samples' own.
    pub fn new(names: &[(Vec<u8>, Vec<u8>)]) -> Result<Self, String> {
        let mut bodies = Vec::new();
        let samples = samples::bodies();
        for operation in Operation::ALL {
            let name = operation.name();
            let mut known = corpus::read(name)?;
            known.extend(
                samples.iter().filter(|(body, _)| *body == name).flat_map(|(_, samples)| samples.clone()),
            );
            for body in &mut known {
                names.iter().for_each(|(from, to)| mutate::message::replace(body, from, to));
            }
            // What has no samples is sent too, but not as often.
            bodies.extend(std::iter::repeat_n(
                (operation.path().to_owned(), known.clone()),
                if known.is_empty() { 1 } else { 4 },
            ));
        }
        Ok(Self { bodies })
    }

    /// One of them.
    pub fn request(&self, random: &mut Random) -> Request {
        let (path, samples) = random.pick(&self.bodies).cloned().unwrap_or_default();
        let path = if random.one_in(200) { format!("{path}{}", random.below(10)) } else { path };
        let body = mutate::mutant(Shape::Message, &samples, random);
        match random.below(20) {
            0 => Request::compressed(path, &body, random),
            1 => Request::signed_with(path, body, &[], true),
            2 => Request::signed(path, body).spoilt(random),
            _ => Request::signed(path, body),
        }
    }
}

impl Request {
    /// A request with the classic signature.
    pub fn signed(path: String, body: Vec<u8>) -> Self {
        Self::signed_with(path, body, &[], false)
    }

    fn signed_with(path: String, body: Vec<u8>, more: &[(&str, String)], v4: bool) -> Self {
        let now = SystemClock::shared().now_micros();
        let mut headers = vec![
            (headers::ACCESS_KEY_ID.to_owned(), KEY.to_owned()),
            (headers::APIVERSION.to_owned(), headers::API_VERSION.to_owned()),
            (headers::CONTENT_MD5.to_owned(), sign::content_md5(&body)),
            (headers::DATE.to_owned(), headers::format_date(now)),
            (headers::INSTANCE_NAME.to_owned(), INSTANCE.to_owned()),
        ];
        headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let key = if v4 {
            let day = headers::format_sign_date(now);
            headers.push((headers::SIGN_DATE.to_owned(), day.clone()));
            headers.push((headers::SIGN_REGION.to_owned(), REGION.to_owned()));
            SigningKey::v4(KEY, &day, REGION)
        } else {
            SigningKey::v2(KEY)
        };
        let lines: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let signature = key.sign_request(&sign::string_to_sign("POST", &path, "", &lines));
        headers.push((key.header().to_owned(), signature));
        Self { path, headers, body }
    }

    /// A compressed body, whose announced length or whose bytes may be wrong.
    fn compressed(path: String, body: &[u8], random: &mut Random) -> Self {
        let mut deflated = compress::deflate(body);
        let mut length = body.len() as u64;
        match random.below(4) {
            0 => mutate::bytes::mutate(&mut deflated, body, random),
            1 => length = mutate::bytes::edge(random),
            _ => {}
        }
        let compressed = [
            (headers::REQUEST_COMPRESS_TYPE, headers::DEFLATE.to_owned()),
            (headers::REQUEST_COMPRESS_SIZE, length.to_string()),
        ];
        Self::signed_with(path, deflated, &compressed, false)
    }

    /// With one header changed or left out. A value stays what HTTP allows.
    fn spoilt(mut self, random: &mut Random) -> Self {
        let at = random.below(self.headers.len());
        if random.one_in(4) {
            drop(self.headers.remove(at));
            return self;
        }
        let mut value = std::mem::take(&mut self.headers[at].1).into_bytes();
        mutate::bytes::mutate(&mut value, b"2026-01-02T03:04:05Z", random);
        value.retain(|byte| (0x20..0x7f).contains(byte));
        self.headers[at].1 = String::from_utf8_lossy(&value).into_owned();
        self
    }

    /// The request as it goes over the wire.
    pub fn to_bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes =
            format!("POST {} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n", self.path, self.body.len())
                .into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The calls that make what the samples are about, in order.
pub fn set_up_calls() -> Vec<(Operation, Vec<u8>)> {
    let samples = samples::bodies();
    let sample = |operation: Operation| {
        let found = samples.iter().find(|(name, _)| *name == operation.name());
        (operation, found.and_then(|(_, bodies)| bodies.first().cloned()).unwrap_or_default())
    };
    [
        Operation::CreateTable,
        Operation::PutRow,
        Operation::StartLocalTransaction,
        Operation::ListStream,
        Operation::DescribeStream,
        Operation::GetShardIterator,
        Operation::TunnelCreate,
        Operation::TunnelConnect,
        Operation::TunnelHeartbeat,
        Operation::TunnelGetCheckpoint,
    ]
    .map(sample)
    .into()
}

/// What the samples call something, and what it is really called, by an answer.
pub fn names_in(operation: Operation, body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let named = |from: &str, to: String| (from.as_bytes().to_vec(), to.into_bytes());
    match operation {
        Operation::StartLocalTransaction => proto::StartLocalTransactionResponse::decode(body)
            .map(|answer| vec![named("transaction", answer.transaction_id)]),
        Operation::ListStream => proto::ListStreamResponse::decode(body).map(|answer| {
            answer.streams.into_iter().map(|stream| named("stream", stream.stream_id)).collect()
        }),
        Operation::DescribeStream => proto::DescribeStreamResponse::decode(body)
            .map(|answer| answer.shards.into_iter().map(|shard| named("shard", shard.shard_id)).collect()),
        Operation::GetShardIterator => proto::GetShardIteratorResponse::decode(body)
            .map(|answer| vec![named("iterator", answer.shard_iterator)]),
        Operation::TunnelCreate => {
            tunnel::CreateTunnelResponse::decode(body).map(|answer| vec![named("tunnel", answer.tunnel_id)])
        }
        Operation::TunnelConnect => {
            tunnel::ConnectResponse::decode(body).map(|answer| vec![named("client", answer.client_id)])
        }
        Operation::TunnelHeartbeat => tunnel::HeartbeatResponse::decode(body).map(|answer| {
            answer.channels.into_iter().map(|channel| named("Stream_1", channel.channel_id)).collect()
        }),
        Operation::TunnelGetCheckpoint => {
            let sample = String::from_utf8_lossy(&samples::token_texts()[0]).into_owned();
            tunnel::GetCheckpointResponse::decode(body).map(|answer| vec![named(&sample, answer.checkpoint)])
        }
        _ => Ok(Vec::new()),
    }
    .unwrap_or_default()
}
