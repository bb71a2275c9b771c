// SPDX-License-Identifier: MIT OR Apache-2.0
//! Jobs from the workers to the I/O service: fixed-size datagrams that never block the sender.

use std::io;
use std::os::unix::net::UnixDatagram;

/// A request to be told when a provider's keys were fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The provider's slot.
    pub slot: u32,
    /// Unix milliseconds at which the asker gives up.
    pub deadline: i64,
    /// The asker's own words, given back unchanged.
    pub cookies: [u64; 2],
}

const LEN: usize = 4 + 8 + 16;

/// Both ends of the queue, made before the fork.
pub struct JobQueue {
    sender: UnixDatagram,
    receiver: UnixDatagram,
}

impl JobQueue {
    /// Makes the queue.
    pub fn new() -> io::Result<JobQueue> {
        let (sender, receiver) = UnixDatagram::pair()?;
        sender.set_nonblocking(true)?;
        Ok(JobQueue { sender, receiver })
    }

    /// Sends a job; fails at once when the queue is full.
    pub fn send(&self, job: &Job) -> io::Result<()> {
        let mut octets = [0; LEN];
        octets[..4].copy_from_slice(&job.slot.to_ne_bytes());
        octets[4..12].copy_from_slice(&job.deadline.to_ne_bytes());
        octets[12..20].copy_from_slice(&job.cookies[0].to_ne_bytes());
        octets[20..].copy_from_slice(&job.cookies[1].to_ne_bytes());
        self.sender.send(&octets).map(drop)
    }

    /// Wakes a receiver that is to end.
    pub fn wake(&self) {
        // An empty datagram that does not fit finds a receiver that is awake anyway.
        let _ = self.sender.send(&[]);
    }

    /// Another handle on the receiving end, for the I/O service's thread.
    pub fn receiver(&self) -> io::Result<Receiver> {
        self.receiver.try_clone().map(Receiver)
    }
}

/// The receiving end.
pub struct Receiver(UnixDatagram);

impl Receiver {
    /// Waits for a job; None for a wake-up.
    pub fn receive(&self) -> io::Result<Option<Job>> {
        let mut octets = [0; LEN + 1];
        let length = match self.0.recv(&mut octets) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(None),
            received => received?,
        };
        if length != LEN {
            return Ok(None);
        }
        let word = |at: usize| octets[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        Ok(Some(Job {
            slot: octets[..4].try_into().map_or(0, u32::from_ne_bytes),
            deadline: word(4).cast_signed(),
            cookies: [word(12), word(20)],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_instead_of_blocking() {
        let queue = JobQueue::new().unwrap();
        let receiver = queue.receiver().unwrap();
        let job = Job { slot: 3, deadline: -5, cookies: [u64::MAX, 7] };
        let sent = (0..100_000).take_while(|_| queue.send(&job).is_ok()).count();
        assert!((100..100_000).contains(&sent), "{sent}");
        assert_eq!(receiver.receive().unwrap(), Some(job));
        queue.send(&job).unwrap();
    }
}
