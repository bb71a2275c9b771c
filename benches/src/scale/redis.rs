// SPDX-License-Identifier: MIT OR Apache-2.0
//! A proxy whose sessions are in Redis: a server of the bench's own, on a socket in its folder.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sipoauth::io_process::service::IoService;
use sipoauth::process::context::Context;
use sipoauth::worker::{Handling, Worker};
use sipoauth_core::reason::Reason;

use super::phones::{Phone, Random, Sip};
use super::site::{Folder, now, sessions, worker};

/// Nothing here takes this long, unless it never ends.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this time the I/O service hears of changes by others.
const SETTLED: Duration = Duration::from_secs(2);
/// Requests that wait for their session at once.
const AT_ONCE: usize = 64;

/// The server.
pub struct Redis {
    // Ended before its folder goes away.
    process: Child,
    folder: Folder,
}

impl Redis {
    /// Starts one; nothing of it goes to the disk.
    pub fn start() -> Result<Redis, String> {
        let folder = Folder::new("redis")?;
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"]);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().map_err(|e| format!("redis-server: {e}; tools/setup.sh installs it"))?;
        let redis = Redis { process, folder };
        let begin = Instant::now();
        while redis.ask("PING").is_err() {
            if begin.elapsed() > PATIENCE {
                return Err("redis-server does not answer".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(redis)
    }

    fn socket(&self) -> String {
        self.folder.path().join("redis.sock").display().to_string()
    }

    /// Where it is, as a setting.
    pub fn store(&self) -> String {
        format!("unix://{}", self.socket())
    }

    fn ask(&self, command: &str) -> Result<String, String> {
        let text = |e: std::io::Error| e.to_string();
        let mut stream = UnixStream::connect(self.socket()).map_err(text)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(text)?;
        // After QUIT the server closes the connection.
        stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        Ok(answer)
    }

    /// `used_memory`
    pub fn memory(&self) -> Result<f64, String> {
        let answer = self.ask("INFO memory")?;
        let line = answer.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|number| number.trim().parse().ok()).ok_or_else(|| "Redis does not tell its memory".into())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A proxy: a worker and an I/O service, in one thread.
pub struct Proxy {
    worker: Worker,
    service: IoService,
    random: Random,
    phones: u64,
    since: i64,
    count: u64,
}

impl Proxy {
    /// One that shares these phones' sessions.
    pub fn new(context: &Arc<Context>, phones: u64) -> Result<Proxy, String> {
        sessions(context)?;
        let worker = worker(context)?;
        let mut service = IoService::new(Arc::clone(context)).map_err(|e| e.to_string())?;
        // What is in shared memory does not count any more when the subscription to changes begins.
        let begin = Instant::now();
        while begin.elapsed() < SETTLED {
            service.step(Duration::from_millis(50), &mut |_| {});
        }
        Ok(Proxy { worker, service, random: Random::new(phones), phones, since: now(), count: 0 })
    }

    /// Requests of `among` phones, one of them for each that is to wait at once.
    fn requests(&mut self, among: u64, most: usize) -> Vec<Sip> {
        let request = |_| {
            self.count += 1;
            let phone = Phone::new(self.random.number() % among);
            phone.prove(phone.register(now(), self.count))
        };
        (0..most).map(request).collect()
    }

    /// Proofs per second that this proxy decides when each session must be fetched first, and when it has been.
    pub fn proofs(&mut self, time: Duration) -> Result<(f64, f64), String> {
        let fetched = self.rate(self.phones, time)?;
        let few = 256.min(self.phones);
        self.rate(few, time / 4)?;
        Ok((fetched, self.rate(few, time)?))
    }

    fn rate(&mut self, among: u64, time: Duration) -> Result<f64, String> {
        let (mut decided, mut spent) = (0u64, Duration::ZERO);
        // Proofs that are dated in the second of the start are refused.
        while now() <= self.since {
            std::thread::sleep(Duration::from_millis(20));
        }
        while spent < time {
            let batch = self.requests(among, AT_ONCE);
            let begin = Instant::now();
            self.decide(&batch)?;
            spent += begin.elapsed();
            decided += batch.len() as u64;
        }
        Ok(decided as f64 / spent.as_secs_f64())
    }

    fn decide(&mut self, batch: &[Sip]) -> Result<(), String> {
        let handling = Handling { source: "192.0.2.7", ..Handling::default() };
        let mut waiting = 0;
        for (index, sip) in batch.iter().enumerate() {
            let verdict = sip.read(|request| self.worker.check(request, &handling));
            match verdict.pending {
                Some(work) => {
                    self.worker.waits().submit(work, &[], [index as u64, 0]).map_err(|e| e.to_string())?;
                    waiting += 1;
                }
                None => accepted(verdict.answer.reason)?,
            }
        }
        let handling = Handling { resumed: true, ..handling };
        let begin = Instant::now();
        while waiting > 0 {
            let mut done = Vec::new();
            self.service.step(Duration::from_millis(100), &mut |[index, _]| done.push(index));
            for index in done {
                let sip = &batch[index as usize];
                accepted(sip.read(|request| self.worker.check(request, &handling)).answer.reason)?;
                waiting -= 1;
            }
            if begin.elapsed() > PATIENCE {
                return Err("a request that waits for Redis is not resumed".into());
            }
        }
        Ok(())
    }
}

fn accepted(reason: Option<Reason>) -> Result<(), String> {
    if reason == Some(Reason::Ok) { Ok(()) } else { Err(format!("a proof that is good had {reason:?}")) }
}
