// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions in Redis or Valkey, shared by several proxies. Only the I/O process talks to it.
//!
//! A record is stored under "sipoauth:" and its key. Before the value stand 16 digits: the end of the record in Unix
//! milliseconds, at which Redis drops it by its own clock. The sorted sets "sipoauth:expiry" and "sipoauth:due" hold
//! the keys by their ends and due times. Each change is one script, which also publishes on "sipoauth:changed" who
//! made the change, and the key. This needs one server (with replicas), not a Redis Cluster, because the scripts
//! touch several keys.

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::{
    Client, Cmd, Connection, ConnectionInfo, ConnectionLike as _, ErrorKind, FromRedisValue, IntoConnectionInfo as _,
    RedisError, RedisResult, ServerErrorKind, TlsCertificates, Value, cmd, from_redis_value,
};

use sipoauth_core::config::settings::Secret;
use sipoauth_core::oauth::breaker::{Breaker, Patience};
use sipoauth_core::ports::store::{MAX_VALUE, Page, Store, StoreError, StoreUsage, Swap, Write};

const PREFIX: &str = "sipoauth:";
const EXPIRY: &str = "sipoauth:expiry";
const DUE: &str = "sipoauth:due";
const CHANGED: &str = "sipoauth:changed";

/// Connections that are kept open while nobody uses them.
const MOST_IDLE: usize = 32;
/// After a failure, callers are refused at once for these times.
const PATIENCE: Patience = Patience { failures: 1, first_pause: 200, longest_pause: 2000 };
/// A connection that was idle for longer is tested before it carries a command.
const TRUSTED: Duration = Duration::from_secs(1);
/// Most records that one step of an upkeep drops, and most steps of an upkeep.
const MOST_DROPPED: usize = 1000;
const MOST_ROUNDS: usize = 20;
/// Octets before a value.
const HEADER: usize = 16;
/// Latest end of a record. It fits in the digits, and the numbers of the scripts are still exact.
const LATEST: i64 = 9_000_000_000_000_000;
/// Most commands that are sent before their answers are read, and most keys of one command. Their answers lie in memory at
/// the server until then.
const TOGETHER: usize = 32;
/// So many signals may interrupt one wait.
const INTERRUPTS: usize = 3;
/// How often a subscription checks whether it shall end, and after how much silence it asks whether the server lives.
const LOOK: Duration = Duration::from_millis(500);
const SILENCE: Duration = Duration::from_secs(5);

/// Kinds of records whose changes other proxies need not hear of: a new record about an introspected token makes no
/// old one wrong, and no cache holds the others.
const QUIET: [&str; 6] = ["i:", "l:", "n:", "u:", "w:", "y:"];

/// SET comes first, because Redis refuses only the first write of a script when memory is short.
const PUT: &str = r"
local old = redis.call('GET', KEYS[1])
if old and tonumber(string.sub(old, 1, 16)) <= tonumber(ARGV[5]) then old = false end
if ARGV[6] == '0' then
  if old then return 0 end
elseif not old or string.sub(old, 17) ~= ARGV[7] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
if ARGV[4] == '' then
  redis.call('ZREM', KEYS[3], ARGV[1])
else
  redis.call('ZADD', KEYS[3], ARGV[4], ARGV[1])
end
if ARGV[10] == '1' then redis.call('PUBLISH', ARGV[8], ARGV[9] .. ARGV[1]) end
return 1
";

const REMOVE: &str = r"
local old = redis.call('GET', KEYS[1])
if not old or (ARGV[2] == '1' and string.sub(old, 17) ~= ARGV[3]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
if ARGV[6] == '1' then redis.call('PUBLISH', ARGV[4], ARGV[5] .. ARGV[1]) end
return 1
";

/// Expired keys stay in the sets until the next upkeep, so the script looks at more keys than it returns.
const DUE_NOW: &str = r"
local out = {}
local limit = tonumber(ARGV[2])
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, limit + 1000)) do
  if #out >= limit then break end
  local ends = redis.call('ZSCORE', KEYS[1], key)
  if ends and tonumber(ends) > tonumber(ARGV[1]) then out[#out + 1] = key end
end
return out
";

const UPKEEP: &str = r"
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, key in ipairs(old) do
  redis.call('DEL', ARGV[3] .. key)
  redis.call('ZREM', KEYS[1], key)
  redis.call('ZREM', KEYS[2], key)
end
return #old
";

/// A Redis or Valkey server.
pub struct RedisStore {
    client: Client,
    timeout: Duration,
    idle: Mutex<Vec<(Connection, Instant)>>,
    breaker: Breaker,
    made: Instant,
    /// Tells this handle's own changes from those of others: 16 hex digits and a space.
    origin: String,
}

impl RedisStore {
    /// Prepares connections to `url` (redis://, rediss:// or unix://). The password replaces the one in the URL;
    /// `ca_pem` holds the certificate authorities for rediss://, None means those of the system. Each step of a call
    /// (connecting, sending, receiving) takes at most `timeout_ms`. Nothing is connected yet.
    pub fn new(
        url: &Secret,
        password: Option<&Secret>,
        ca_pem: Option<&str>,
        timeout_ms: u32,
    ) -> Result<RedisStore, StoreError> {
        let away = |text: String| StoreError::Away(text);
        let text = std::str::from_utf8(url.expose()).map_err(|_| away("store: is not UTF-8".into()))?;
        // The library's error texts may repeat a bad address, together with its password.
        let mut info: ConnectionInfo =
            text.into_connection_info().map_err(|_| away("store: the address of Redis is not a valid URL".into()))?;
        if let Some(password) = password {
            let password = std::str::from_utf8(password.expose())
                .map_err(|_| away("store_password_file: the password is not UTF-8".into()))?;
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let client = match (&info.addr(), ca_pem) {
            (redis::ConnectionAddr::TcpTls { .. }, Some(pem)) => {
                let root_cert = Some(pem.as_bytes().to_vec());
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
            _ => Client::open(info),
        };
        let client = client.map_err(|e| away(format!("store: {e}")))?;
        let timeout = Duration::from_millis(u64::from(timeout_ms.max(1)));
        let mut origin = [0; 8];
        aws_lc_rs::rand::fill(&mut origin).map_err(|_| away("no random numbers".into()))?;
        let origin = format!("{} ", sipoauth_core::text::fingerprint::hex(&origin));
        Ok(RedisStore {
            client,
            timeout,
            idle: Mutex::default(),
            made: Instant::now(),
            breaker: Breaker::new(PATIENCE),
            origin,
        })
    }

    /// Calls `tell` with every key that another handle changes, until `stop` is set; then it returns within a second
    /// and `timeout_ms`. Changes are missed while the connection is lost. So `tell` is called with an empty key
    /// after each connection, which says that any record may have changed.
    pub fn watch_changes(&self, stop: &Arc<AtomicBool>, tell: &mut dyn FnMut(String)) {
        let mut pause = Duration::from_millis(200);
        while !stop.load(Ordering::Relaxed) {
            if self.watch(stop, tell, &mut pause).is_err() {
                let end = Instant::now() + pause;
                while Instant::now() < end && !stop.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                pause = (pause * 2).min(Duration::from_secs(2));
            }
        }
    }

    fn watch(&self, stop: &AtomicBool, tell: &mut dyn FnMut(String), pause: &mut Duration) -> RedisResult<()> {
        let mut connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(LOOK))?;
        connection.set_write_timeout(Some(self.timeout))?;
        let mut subscription = connection.as_pubsub();
        subscription.subscribe(CHANGED)?;
        *pause = Duration::from_millis(200);
        tell(String::new());
        let mut heard = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            match subscription.get_message() {
                Ok(message) => {
                    heard = Instant::now();
                    let change: String = message.get_payload()?;
                    match change.split_once(' ') {
                        Some((origin, key)) if origin != self.origin.trim_end() => tell(key.to_owned()),
                        _ => {}
                    }
                }
                Err(e) if e.is_timeout() || is_interrupted(&e) => {
                    if heard.elapsed() >= SILENCE {
                        subscription.ping::<Value>()?;
                        heard = Instant::now();
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Milliseconds since this handle was made.
    fn clock(&self) -> i64 {
        i64::try_from(self.made.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    fn connect(&self) -> RedisResult<Connection> {
        let mut connection = self.client.get_connection_with_timeout(self.timeout);
        for _ in 0..INTERRUPTS {
            // Nothing was asked yet, so nothing is in doubt.
            if connection.as_ref().err().is_some_and(is_interrupted) {
                connection = self.client.get_connection_with_timeout(self.timeout);
            }
        }
        let connection = connection?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        Ok(connection)
    }

    /// A connection that works, as far as one can know.
    fn connection(&self) -> RedisResult<Connection> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match idle {
                Some((connection, since)) if since.elapsed() < TRUSTED => return Ok(connection),
                Some((mut connection, _)) => {
                    if connection.check_connection() {
                        return Ok(connection);
                    }
                    // The other connections have been idle for at least as long.
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
                None => return self.connect(),
            }
        }
    }

    /// Runs one command.
    fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        self.run_all(std::slice::from_ref(command)).map(|mut answers| answers.swap_remove(0))
    }

    /// Runs commands that do not depend on each other, at most [`TOGETHER`]. What failed on its way is not repeated, because
    /// the server may have carried it out.
    fn run_all<T: FromRedisValue>(&self, commands: &[Cmd]) -> Result<Vec<T>, StoreError> {
        // A trial has time for connecting and one answer. Other callers are refused meanwhile.
        if let Err(why) = self.breaker.check(self.clock(), self.timeout.as_millis() as i64 * 4) {
            return Err(self.away(&why));
        }
        let mut connection = self.connection().map_err(|e| self.broken(&e))?;
        match exchange(&mut connection, commands) {
            Ok(answers) => {
                self.breaker.succeeded();
                self.keep(connection);
                Ok(answers)
            }
            Err(e) if matches!(e.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
                self.breaker.succeeded();
                self.keep(connection);
                Err(self.refused(&e))
            }
            Err(e) => {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                Err(self.broken(&e))
            }
        }
    }

    fn put_command(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<Cmd, StoreError> {
        if write.value.len() > MAX_VALUE {
            return Err(StoreError::Full);
        }
        let end = write.expires_at.clamp(1, LATEST);
        let mut octets = format!("{end:016}").into_bytes();
        octets.extend_from_slice(write.value);
        let due = write.due_at.map_or(String::new(), |due| due.to_string());
        let mut script = cmd("EVAL");
        script.arg(PUT).arg(3).arg(record(write.key)).arg(EXPIRY).arg(DUE);
        script.arg(write.key).arg(octets).arg(end).arg(due).arg(now);
        script.arg(i32::from(expected.is_some())).arg(expected.unwrap_or_default()).arg(CHANGED);
        script.arg(&self.origin).arg(is_told(write.key));
        Ok(script)
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push((connection, Instant::now()));
        }
    }

    fn broken(&self, error: &RedisError) -> StoreError {
        let why = if error.is_timeout() { "no answer in time".to_owned() } else { error.to_string() };
        self.breaker.failed(self.clock(), &why);
        self.away(&why)
    }

    fn away(&self, why: &str) -> StoreError {
        let address = self.client.get_connection_info().addr();
        StoreError::Away(sipoauth_core::text::fingerprint::printable(&format!("{address}: {why}"), 300))
    }

    /// What an error of the server means.
    fn refused(&self, error: &RedisError) -> StoreError {
        match (error.kind(), error.code()) {
            (_, Some("OOM")) => StoreError::Full,
            (ErrorKind::Server(ServerErrorKind::ReadOnly), _) | (_, Some("MISCONF" | "NOREPLICAS")) => {
                StoreError::ReadOnly(sipoauth_core::text::fingerprint::printable(&error.to_string(), 300))
            }
            _ => self.away(&error.to_string()),
        }
    }
}

/// Sends commands and reads their answers.
///
/// Sometimes a signal interrupts the wait for an answer: a container is paused, or a debugger looks at the process. The
/// library then throws that answer away when it comes. So PINGs go before the commands. The wait is for their answers, which
/// may be lost. The answers to the commands come together with them.
fn exchange<T: FromRedisValue>(connection: &mut Connection, commands: &[Cmd]) -> RedisResult<Vec<T>> {
    let mut octets = cmd("PING").get_packed_command().repeat(INTERRUPTS);
    commands.iter().for_each(|command| command.write_packed_command(&mut octets));
    connection.send_packed_command(&octets)?;
    for _ in 0..INTERRUPTS {
        match connection.recv_response() {
            Err(e) if !is_interrupted(&e) => return Err(e),
            _ => {}
        }
    }
    // All of them are read, whatever they say: the connection is used again.
    let answers = commands.iter().map(|_| connection.recv_response()).collect::<RedisResult<Vec<_>>>()?;
    answers.into_iter().map(|answer| Ok(from_redis_value(answer.extract_error()?)?)).collect()
}

fn is_interrupted(error: &RedisError) -> bool {
    // The library shares the error of the system.
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn Error + Send + Sync>>());
    let cause = cause.and_then(|cause| cause.downcast_ref::<std::io::Error>());
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::Interrupted)
}

/// The value in what the server has of a key; None: it has expired.
fn value(key: &str, mut octets: Vec<u8>, now: i64) -> Result<Option<Vec<u8>>, StoreError> {
    let end = octets.get(..HEADER).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<i64>().ok());
    let Some(end) = end else {
        return Err(StoreError::Corrupt(format!("{}: was not written by sipoauth", record(key))));
    };
    octets.drain(..HEADER);
    Ok((end > now).then_some(octets))
}

/// 1 when other proxies must hear of a change of this record.
fn is_told(key: &str) -> i32 {
    i32::from(!QUIET.iter().any(|kind| key.starts_with(kind)))
}

fn record(key: &str) -> String {
    format!("{PREFIX}{key}")
}

/// The pattern of all keys that begin with `prefix`. It escapes every special character.
fn pattern(prefix: &str) -> String {
    let mut out = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('*');
    out
}

impl Store for RedisStore {
    fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, StoreError> {
        let found: Option<Vec<u8>> = self.run(cmd("GET").arg(record(key)))?;
        found.map_or(Ok(None), |octets| value(key, octets, now))
    }

    fn look_each(&self, keys: &[String], now: i64, look: &mut dyn FnMut(usize, &[u8])) -> Result<(), StoreError> {
        for (round, keys) in keys.chunks(TOGETHER).enumerate() {
            let records: Vec<String> = keys.iter().map(|key| record(key)).collect();
            let found: Vec<Option<Vec<u8>>> = self.run(cmd("MGET").arg(records))?;
            for (place, (key, octets)) in keys.iter().zip(found).enumerate() {
                let Some(octets) = octets else { continue };
                if let Some(value) = value(key, octets, now)? {
                    look(round * TOGETHER + place, &value);
                }
            }
        }
        Ok(())
    }

    fn put(&self, write: &Write<'_>, expected: Option<&[u8]>, now: i64) -> Result<bool, StoreError> {
        self.run(&self.put_command(write, expected, now)?)
    }

    fn put_owed_each(&self, swaps: &[Swap<'_>], now: i64) -> Result<Vec<bool>, StoreError> {
        let mut written = Vec::with_capacity(swaps.len());
        for swaps in swaps.chunks(TOGETHER) {
            let commands = swaps.iter().map(|(write, expected)| self.put_command(write, *expected, now));
            written.extend(self.run_all::<bool>(&commands.collect::<Result<Vec<_>, _>>()?)?);
        }
        Ok(written)
    }

    fn remove(&self, key: &str, expected: Option<&[u8]>) -> Result<bool, StoreError> {
        let mut script = cmd("EVAL");
        script.arg(REMOVE).arg(3).arg(record(key)).arg(EXPIRY).arg(DUE).arg(key);
        script.arg(i32::from(expected.is_some())).arg(expected.unwrap_or_default()).arg(CHANGED);
        self.run(script.arg(&self.origin).arg(is_told(key)))
    }

    fn due(&self, now: i64, limit: usize) -> Result<Vec<String>, StoreError> {
        self.run(cmd("EVAL").arg(DUE_NOW).arg(2).arg(EXPIRY).arg(DUE).arg(now).arg(limit))
    }

    /// Walks the set of the keys, not the whole server, which may hold much else.
    fn scan(&self, prefix: &str, from: Option<&str>, limit: usize) -> Result<Page, StoreError> {
        let mut scan = cmd("ZSCAN");
        scan.arg(EXPIRY).arg(from.unwrap_or("0")).arg("MATCH").arg(pattern(prefix));
        let (next, found): (String, Vec<String>) = self.run(scan.arg("COUNT").arg(limit.max(1)))?;
        // Keys and scores alternate.
        Ok(Page { keys: found.into_iter().step_by(2).collect(), next: (next != "0").then_some(next) })
    }

    fn upkeep(&self, now: i64) -> Result<u64, StoreError> {
        let mut dropped = 0;
        for _ in 0..MOST_ROUNDS {
            let mut script = cmd("EVAL");
            script.arg(UPKEEP).arg(2).arg(EXPIRY).arg(DUE).arg(now).arg(MOST_DROPPED).arg(PREFIX);
            let round: u64 = self.run(&script)?;
            dropped += round;
            if round < MOST_DROPPED as u64 {
                break;
            }
        }
        Ok(dropped)
    }

    /// The number of records is this library's. Octets and their limit are those of the whole server (used_memory
    /// and maxmemory), 0 where the server does not tell.
    fn usage(&self) -> Result<StoreUsage, StoreError> {
        let records = self.run(cmd("ZCARD").arg(EXPIRY))?;
        let memory: String = self.run(cmd("INFO").arg("memory")).unwrap_or_default();
        let number = |name| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        Ok(StoreUsage { records, bytes: number("used_memory"), limit: number("maxmemory") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_special_characters_for_themselves() {
        assert_eq!(pattern("s:[a]*?\\"), "s:\\[a\\]\\*\\?\\\\*");
    }

    #[test]
    fn no_text_repeats_a_password() {
        let secret = |text: &str| Secret::from_file(text);
        for url in ["redis://:hush@:port", "redis://:hush@0.0.0.0", "rediss://u:hush@127.0.0.1:1/#insecure"] {
            let text = match RedisStore::new(&secret(url), None, None, 50) {
                Ok(store) => store.get("k", 0).unwrap_err().to_string(),
                Err(e) => e.to_string(),
            };
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
