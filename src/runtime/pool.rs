// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that may wait: each runs one task at a time and hands back what came of it.

use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::caught::caught;
use crate::config::policy::threads_for_phones;

/// Something that may wait, and makes an event of kind `E`; and what to make of a panic in it, given its place.
pub struct Task<E> {
    run: Box<dyn FnOnce() -> E + Send>,
    panicked: Box<dyn FnOnce(String) -> E + Send>,
}

impl<E> Task<E> {
    /// A task.
    pub fn new(
        run: impl FnOnce() -> E + Send + 'static,
        panicked: impl FnOnce(String) -> E + Send + 'static,
    ) -> Task<E> {
        Task { run: Box::new(run), panicked: Box::new(panicked) }
    }
}

/// Tasks that wait for a thread. A task wakes one thread and no other.
struct Queue<E> {
    waiting: Mutex<Waiting<E>>,
    there: Condvar,
}

struct Waiting<E> {
    tasks: VecDeque<Task<E>>,
    closed: bool,
}

impl<E> Queue<E> {
    /// Nothing that is done with the lock held panics half-way, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, Waiting<E>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a task. None when there are no more.
    fn take(&self) -> Option<Task<E>> {
        let mut waiting = self.lock();
        loop {
            if let Some(task) = waiting.tasks.pop_front() {
                return Some(task);
            }
            if waiting.closed {
                return None;
            }
            waiting = self.there.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The threads and the way to them.
pub struct Pool<E: Send + 'static> {
    queue: Arc<Queue<E>>,
    size: usize,
}

impl<E: Send + 'static> Pool<E> {
    /// Starts `size` threads that send their events to `events`; the handles are for the end.
    pub fn new(size: usize, events: &SyncSender<E>) -> std::io::Result<(Pool<E>, Vec<JoinHandle<()>>)> {
        let waiting = Waiting { tasks: VecDeque::new(), closed: false };
        let queue = Arc::new(Queue { waiting: Mutex::new(waiting), there: Condvar::new() });
        let mut pool = Pool { queue, size };
        let mut threads = Vec::new();
        for _ in 0..size {
            let (queue, events) = (Arc::clone(&pool.queue), events.clone());
            // Those that were started end again.
            let thread = spawn("sipoauth io", move || run(&queue, &events)).inspect_err(|_| pool.close())?;
            threads.push(thread);
        }
        Ok((pool, threads))
    }

    /// Hands a task over. False when twice as many wait as there are threads.
    pub fn start(&self, task: Task<E>) -> bool {
        let mut waiting = self.queue.lock();
        if waiting.closed || waiting.tasks.len() >= self.size * 2 {
            return false;
        }
        waiting.tasks.push_back(task);
        drop(waiting);
        self.queue.there.notify_one();
        true
    }

    /// How many of the threads may work for phones at once.
    pub fn for_phones(&self) -> usize {
        u32::try_from(self.size).map_or(self.size, |size| threads_for_phones(size) as usize)
    }

    /// Number of threads.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Lets the threads end when they have done what they have begun.
    pub fn close(&mut self) {
        self.queue.lock().closed = true;
        self.queue.there.notify_all();
    }
}

fn run<E>(queue: &Queue<E>, events: &SyncSender<E>) {
    while let Some(Task { run, panicked }) = queue.take() {
        // A panic in a parser must cost one task, not the thread.
        if events.send(caught(run).unwrap_or_else(panicked)).is_err() {
            return;
        }
    }
}

/// A named thread.
pub fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(run)
}
