// SPDX-License-Identifier: MIT OR Apache-2.0
//! What reaches the thread of the I/O service: the workers' jobs, and the events of its own threads. It sleeps in one
//! place, until either comes.
//!
//! Whatever is wrong with the workers' queue, the intake says so and goes on, because every request that must wait would
//! wait in vain if it ended silently.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, fence};
use std::sync::mpsc::{self, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::service::ServiceEvent;
use crate::process::caught::caught;
use crate::process::context::Context;
use crate::process::job_queue::{Received, Receiver};
use sipoauth_core::ports::Level;

/// At most this many events wait. Beyond that the threads wait.
const EVENTS: usize = 1024;
/// How often a service that ends takes a part of what is there.
const LAST_LOOKS: usize = 2000;
/// Pause between two tries of a queue that fails.
const PAUSE: Duration = Duration::from_millis(250);

/// Where the service's threads leave their events.
#[derive(Clone)]
pub struct Events {
    sender: SyncSender<ServiceEvent>,
    sleeps: Arc<AtomicBool>,
    context: Arc<Context>,
}

impl Events {
    /// Leaves an event. Waits while too many are there; false when nobody takes them any more.
    pub fn send(&self, event: ServiceEvent) -> bool {
        let sent = self.sender.send(event).is_ok();
        // Either this thread sees that the service sleeps, or the service sees the event before it does.
        fence(SeqCst);
        if self.sleeps.swap(false, Relaxed) {
            self.context.jobs().wake();
        }
        sent
    }
}

/// The receiving side.
pub struct Intake {
    context: Arc<Context>,
    jobs: Receiver,
    events: mpsc::Receiver<ServiceEvent>,
    sleeps: Arc<AtomicBool>,
    /// What was received and not taken yet.
    received: VecDeque<Received>,
    /// Jobs and events of threads take turns, so that neither waits for the end of the other.
    job_is_next: bool,
    failures: u32,
    /// When a queue that fails is tried again.
    again_at: Option<Instant>,
}

impl Intake {
    /// The intake, and where its events come from.
    pub fn new(context: &Arc<Context>) -> io::Result<(Intake, Events)> {
        // An earlier service may have ended while the queue failed.
        context.arena().shared().deaf.store(0, Relaxed);
        let (sender, events) = sync_channel(EVENTS);
        let sleeps = Arc::new(AtomicBool::new(false));
        let intake = Intake {
            context: Arc::clone(context),
            jobs: context.jobs().receiver()?,
            events,
            sleeps: Arc::clone(&sleeps),
            received: VecDeque::new(),
            job_is_next: true,
            failures: 0,
            again_at: None,
        };
        Ok((intake, Events { sender, sleeps, context: Arc::clone(context) }))
    }

    /// Takes what has come from the workers, if nothing of theirs is left.
    pub fn look(&mut self) {
        if self.received.is_empty() && self.works() {
            self.receive(Duration::ZERO);
        }
    }

    /// The next event. If there is none, it waits for one, at most this long.
    pub fn next(&mut self, timeout: Duration) -> Option<ServiceEvent> {
        self.at_hand().or_else(|| self.wait(timeout))
    }

    fn at_hand(&mut self) -> Option<ServiceEvent> {
        let mut received = || self.received.pop_front().map(ServiceEvent::Received);
        let job = if self.job_is_next { received() } else { None };
        let next = job.or_else(|| self.events.try_recv().ok()).or_else(received);
        self.job_is_next = !matches!(next, Some(ServiceEvent::Received(Received::Job(_))));
        next
    }

    fn wait(&mut self, timeout: Duration) -> Option<ServiceEvent> {
        if timeout.is_zero() {
            return None;
        }
        if !self.works() {
            return self.event_of_thread(timeout.min(PAUSE));
        }
        self.sleeps.store(true, Relaxed);
        fence(SeqCst);
        let event = self.at_hand();
        if event.is_none() {
            self.receive(timeout);
        }
        self.sleeps.store(false, Relaxed);
        event.or_else(|| self.at_hand())
    }

    /// False during the pause of a queue that fails.
    fn works(&mut self) -> bool {
        if self.again_at.is_some_and(|again_at| Instant::now() < again_at) {
            return false;
        }
        if self.again_at.take().is_some() {
            self.context.arena().shared().deaf.store(0, Relaxed);
        }
        true
    }

    fn receive(&mut self, timeout: Duration) {
        let Intake { jobs, received, context, .. } = self;
        let done = caught(|| jobs.receive(context.arena().job_slots(), timeout, &mut |one| received.push_back(one)));
        match done {
            Ok(Ok(())) if self.failures == 0 => {}
            Ok(Ok(())) => {
                self.failures = 0;
                self.context.log().log(Level::Info, "the queue by which workers ask the I/O service works again");
            }
            Ok(Err(error)) => self.failed(&error.to_string()),
            Err(place) => self.failed(&format!("internal error caught at {place}")),
        }
    }

    /// Notes a failure of the queue. Requests that would have to wait are refused at once until it is tried again.
    fn failed(&mut self, why: &str) {
        self.context.arena().shared().deaf.store(1, Relaxed);
        self.again_at = Some(Instant::now() + PAUSE);
        self.failures = self.failures.saturating_add(1);
        if self.failures.is_power_of_two() {
            let line = format!(
                "requests that must wait are refused: the queue by which workers ask the I/O service fails ({} in a row): \
                 {why}",
                self.failures
            );
            self.context.log().log(Level::Error, &line);
        }
    }

    /// Waits for an event of a thread only.
    pub fn event_of_thread(&mut self, timeout: Duration) -> Option<ServiceEvent> {
        self.events.recv_timeout(timeout).ok()
    }

    /// The jobs that nobody has taken.
    pub fn left(&mut self) -> impl Iterator<Item = Received> {
        // Workers may go on sending.
        for _ in 0..LAST_LOOKS {
            let before = self.received.len();
            self.receive(Duration::ZERO);
            if self.received.len() == before {
                break;
            }
        }
        self.received.drain(..)
    }
}
