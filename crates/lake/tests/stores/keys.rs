//! The keys that servers know: lasting ones, and sessions that end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// Keys by their id.
#[derive(Debug, Default)]
pub struct Keys {
    known: Mutex<BTreeMap<String, Key>>,
    /// How many sessions were given.
    pub sessions: Mutex<u32>,
}

#[derive(Debug, Clone)]
pub struct Key {
    pub secret: String,
    pub token: Option<String>,
    ends_at: Option<Instant>,
}

impl Keys {
    pub fn add(&self, id: &str, secret: &str) {
        let key = Key { secret: secret.to_owned(), token: None, ends_at: None };
        self.known.lock().insert(id.to_owned(), key);
    }

    /// A session that really ends after so long, whatever is said of it.
    pub fn add_session(&self, life: Duration) -> (String, Key) {
        let mut sessions = self.sessions.lock();
        *sessions += 1;
        let (id, secret, token) =
            (format!("S{sessions}"), format!("secret{sessions}"), format!("token{sessions}"));
        let key = Key { secret, token: Some(token), ends_at: Some(Instant::now() + life) };
        self.known.lock().insert(id.clone(), key.clone());
        (id, key)
    }

    /// The secret of a key, which may have ended.
    pub fn secret(&self, id: &str) -> Option<String> {
        self.known.lock().get(id).map(|key| key.secret.clone())
    }

    /// The key, or the code of the error.
    pub fn find(&self, id: &str, token: &str) -> Result<Key, &'static str> {
        let key = self.known.lock().get(id).cloned().ok_or("InvalidAccessKeyId")?;
        if key.ends_at.is_some_and(|end| end <= Instant::now()) {
            return Err("SecurityTokenExpired");
        }
        if key.token.as_deref().unwrap_or_default() == token { Ok(key) } else { Err("InvalidSecurityToken") }
    }
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

pub fn hmac_sha1(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
