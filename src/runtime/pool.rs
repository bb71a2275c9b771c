// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads that may wait: each runs one task at a time and hands back what came of it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
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

/// The threads and the way to them.
pub struct Pool<E: Send + 'static> {
    tasks: Option<SyncSender<Task<E>>>,
    size: usize,
}

impl<E: Send + 'static> Pool<E> {
    /// Starts `size` threads that send their events to `events`; the handles are for the end.
    pub fn new(size: usize, events: &SyncSender<E>) -> std::io::Result<(Pool<E>, Vec<JoinHandle<()>>)> {
        let (tasks, receiver) = sync_channel(size * 2);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::new();
        for _ in 0..size {
            let (receiver, events) = (Arc::clone(&receiver), events.clone());
            threads.push(spawn("sipoauth io", move || run(&receiver, &events))?);
        }
        Ok((Pool { tasks: Some(tasks), size }, threads))
    }

    /// Hands a task over. False when twice as many wait as there are threads.
    pub fn start(&self, task: Task<E>) -> bool {
        self.tasks.as_ref().is_some_and(|tasks| tasks.try_send(task).is_ok())
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
        self.tasks = None;
    }
}

fn run<E>(tasks: &Mutex<Receiver<Task<E>>>, events: &SyncSender<E>) {
    loop {
        let task = match tasks.lock() {
            Ok(receiver) => receiver.recv(),
            Err(_) => return,
        };
        let Ok(Task { run, panicked }) = task else {
            return;
        };
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
