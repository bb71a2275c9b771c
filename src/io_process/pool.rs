// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that may wait: each runs one task at a time and hands back its result.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};

use crate::process::caught::caught;
use sipoauth_core::config::settings::threads_for_phones;

/// Work that may wait and makes an event of type `E`, and a function that makes an event from the place of a panic
/// in it.
pub struct Task<E> {
    run: Box<dyn FnOnce() -> E + Send>,
    panicked: Box<dyn FnOnce(String) -> E + Send>,
}

impl<E> Task<E> {
    /// Makes a task.
    pub fn new(
        run: impl FnOnce() -> E + Send + 'static,
        panicked: impl FnOnce(String) -> E + Send + 'static,
    ) -> Task<E> {
        Task { run: Box::new(run), panicked: Box::new(panicked) }
    }
}

/// Tasks that wait for a thread, or threads that wait for tasks.
struct Queue<E>(Mutex<Waiting<E>>);

struct Waiting<E> {
    tasks: VecDeque<Task<E>>,
    /// The thread that became idle last is woken first, because what it needs, such as its connections, is still at
    /// hand.
    idle: Vec<Thread>,
    closed: bool,
}

impl<E> Queue<E> {
    /// No change under the lock panics half-way, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a task. None when there are no more.
    fn take(&self) -> Option<Task<E>> {
        loop {
            let mut waiting = self.lock();
            if let Some(task) = waiting.tasks.pop_front() {
                return Some(task);
            }
            if waiting.closed {
                return None;
            }
            let current = thread::current();
            // The thread is still in the list if something else has woken it.
            if waiting.idle.iter().all(|thread| thread.id() != current.id()) {
                waiting.idle.push(current);
            }
            drop(waiting);
            thread::park();
        }
    }
}

/// The threads and the way to them.
pub struct Pool<E: Send + 'static> {
    queue: Arc<Queue<E>>,
    size: usize,
}

impl<E: Send + 'static> Pool<E> {
    /// Starts `size` threads that give their events to `send`, and end when it says false. The caller joins the handles at
    /// the end.
    pub fn new(
        size: usize,
        send: impl Fn(E) -> bool + Clone + Send + 'static,
    ) -> std::io::Result<(Pool<E>, Vec<JoinHandle<()>>)> {
        let waiting = Waiting { tasks: VecDeque::new(), idle: Vec::new(), closed: false };
        let queue = Arc::new(Queue(Mutex::new(waiting)));
        let mut pool = Pool { queue, size };
        let mut threads = Vec::new();
        for _ in 0..size {
            let (queue, send) = (Arc::clone(&pool.queue), send.clone());
            // If one thread cannot be started, those that were started end again.
            let thread = spawn("sipoauth io", move || run(&queue, send)).inspect_err(|_| pool.close())?;
            threads.push(thread);
        }
        Ok((pool, threads))
    }

    /// Hands a task over. False when twice as many tasks wait as there are threads.
    pub fn start(&self, task: Task<E>) -> bool {
        let mut waiting = self.queue.lock();
        if waiting.closed || waiting.tasks.len() >= self.size * 2 {
            return false;
        }
        waiting.tasks.push_back(task);
        let idle = waiting.idle.pop();
        drop(waiting);
        idle.inspect(Thread::unpark);
        true
    }

    /// How many of the threads may work for phones at once.
    pub fn for_phones(&self) -> usize {
        u32::try_from(self.size).map_or(self.size, |size| threads_for_phones(size) as usize)
    }

    /// How many of the threads may fetch keys at once, so that key servers that hang leave threads for everything else.
    pub fn for_keys(&self) -> usize {
        (self.size / 4).max(1)
    }

    /// How many more of the threads may fetch keys for a short time.
    pub fn for_hurried_keys(&self) -> usize {
        self.size / 4
    }

    /// Number of threads.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Lets the threads end when they have done what they have begun.
    pub fn close(&mut self) {
        let mut waiting = self.queue.lock();
        waiting.closed = true;
        waiting.idle.drain(..).for_each(|thread| thread.unpark());
    }
}

fn run<E>(queue: &Queue<E>, send: impl Fn(E) -> bool) {
    while let Some(Task { run, panicked }) = queue.take() {
        // A panic in a parser must cost one task, not the thread.
        let event = match caught(run) {
            Ok(event) => Ok(event),
            Err(place) => caught(|| panicked(place)),
        };
        if event.is_ok_and(|event| !send(event)) {
            return;
        }
    }
}

/// Starts a thread with a name.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).spawn(run)
}
