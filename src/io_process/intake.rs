// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread that takes the workers' jobs. Whatever is wrong with their socket, it says so and goes on, because
//! every request that must wait would wait in vain if this thread ended silently.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use std::{io, thread};

use super::service::ServiceEvent;
use crate::process::caught::caught;
use crate::process::context::Context;
use crate::process::job::Receiver;
use sipoauth_core::ports::{Level, Log};

/// Pause between two tries of a socket that fails.
const PAUSE: Duration = Duration::from_millis(250);
/// Wake-ups that follow each other faster than this are counted.
const RAPID: Duration = Duration::from_millis(10);
/// This many rapid wake-ups in a row mean that the socket was shut down.
const TOO_MANY: u32 = 1000;

/// The thread's work.
pub struct Intake {
    context: Arc<Context>,
    jobs: Receiver,
    events: SyncSender<ServiceEvent>,
    lines: Arc<dyn Log>,
    ending: Arc<AtomicBool>,
    failures: u32,
    wakes: u32,
    woken: Instant,
}

impl Intake {
    /// Log lines go to `lines`. The thread ends once `ending` is set and the socket is woken, or when nobody takes
    /// the events.
    pub fn new(
        context: &Arc<Context>,
        events: SyncSender<ServiceEvent>,
        lines: &Arc<impl Log + 'static>,
        ending: &Arc<AtomicBool>,
    ) -> io::Result<Intake> {
        Ok(Intake {
            context: Arc::clone(context),
            jobs: context.jobs().receiver()?,
            events,
            lines: Arc::clone(lines) as Arc<dyn Log>,
            ending: Arc::clone(ending),
            failures: 0,
            wakes: 0,
            woken: Instant::now(),
        })
    }

    /// Takes jobs until the service ends.
    pub fn run(mut self) {
        while !self.ending.load(Relaxed) {
            match self.next() {
                Ok(event) => {
                    self.recovered();
                    if self.events.send(event).is_err() {
                        return;
                    }
                }
                Err(why) => self.failed(&why),
            }
        }
    }

    fn next(&mut self) -> Result<ServiceEvent, String> {
        let received = caught(|| self.jobs.receive()).map_err(|place| format!("internal error caught at {place}"))?;
        match received.map_err(|error| error.to_string())? {
            Some(job) => {
                self.wakes = 0;
                Ok(ServiceEvent::Job(job))
            }
            None => {
                let failing = self.wakes >= TOO_MANY;
                let rapid = self.woken.elapsed() < if failing { PAUSE * 2 } else { RAPID };
                self.woken = Instant::now();
                self.wakes = if rapid { self.wakes + 1 } else { 0 };
                if self.wakes < TOO_MANY { Ok(ServiceEvent::Woken) } else { Err("it was shut down".into()) }
            }
        }
    }

    /// Notes a failure of the socket and pauses. Requests that would have to wait are refused at once meanwhile.
    fn failed(&mut self, why: &str) {
        let deaf = &self.context.arena().shared().deaf;
        deaf.store(1, Relaxed);
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_power_of_two() {
            let line = format!(
                "requests that must wait are refused: the socket by which workers ask the I/O service fails ({} in a \
                 row): {why}",
                self.failures
            );
            self.lines.log(Level::Error, &line);
        }
        thread::sleep(PAUSE);
        // Workers may send again before the next try, because a socket that works has nothing to receive as long as
        // nobody sends.
        deaf.store(0, Relaxed);
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failures) > 0 {
            self.lines.log(Level::Info, "the socket by which workers ask the I/O service works again");
        }
    }
}
