// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way of the uses of phones from the workers to the I/O service. A use may wait a little, so most of them wake nobody:
//! the service takes those that have come together.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use serde::{Deserialize, Serialize};

use crate::shared::Shared;
use crate::store::account_cache::Seal;
use sipoauth_core::records::phone_use::PhoneUse;
use sipoauth_core::records::session::SessionId;

/// Most uses that come together until the service is woken again.
const TOGETHER: usize = 64;
/// Uses for which there is room, if the system gives as much.
const ROOM: usize = 256;
/// Longest use in octets. The pipe takes it whole or not at all, and keeps it apart from others in a page of its own.
const PAGE: usize = 4096;

/// A registration of a phone that was added at the sign-in page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Used {
    /// The address-of-record, canonical.
    pub aor: String,
    /// The phone's session.
    pub session: SessionId,
    /// What is kept of the registration.
    pub seen: PhoneUse,
    /// It is kept until then, in Unix seconds.
    pub ends_at: i64,
    /// The record in which the worker has seen that the session is good.
    pub account: Option<Seal>,
}

/// Both ends of the queue, made before the fork.
pub struct UseQueue {
    writer: File,
    reader: File,
    together: u32,
}

impl UseQueue {
    /// Makes a queue.
    pub fn new() -> io::Result<UseQueue> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK | PipeFlags::DIRECT)?;
        // If the system gives no more room, fewer uses may come together.
        let _ = fcntl_setpipe_size(&writer, ROOM * PAGE);
        let together = (fcntl_getpipe_size(&writer)? / PAGE / 4).clamp(1, TOGETHER) as u32;
        Ok(UseQueue { writer: writer.into(), reader: reader.into(), together })
    }

    /// After how many uses the service takes them at once.
    pub fn together(&self) -> u32 {
        self.together
    }

    /// Leaves a use; fails at once when there is no room. True when the service must be woken: this is the first use of
    /// which it does not know, or there are many.
    pub fn send(&self, shared: &Shared, used: &Used) -> io::Result<bool> {
        let mut octets = [0; PAGE];
        let too_long = |_| io::Error::new(ErrorKind::InvalidInput, "the use is too long");
        let encoded = postcard::to_slice(used, &mut octets).map_err(too_long)?;
        (&self.writer).write_all(encoded)?;
        Ok(shared.queued_uses.fetch_add(1, Relaxed).is_multiple_of(self.together))
    }

    /// Takes all that is there. One thread of all processes does this.
    pub fn take(&self, shared: &Shared) -> io::Result<Vec<Used>> {
        let (mut octets, mut taken) = ([0; PAGE], Vec::new());
        // What comes from now on wakes the service again.
        shared.queued_uses.store(0, Relaxed);
        // Others may go on sending.
        for _ in 0..ROOM {
            match (&self.reader).read(&mut octets) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                length => taken.extend(postcard::from_bytes::<Used>(&octets[..length?])),
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Arena, Sizes};

    fn used(id: usize) -> Used {
        let mut session = SessionId::default();
        session[..8].copy_from_slice(&id.to_be_bytes());
        let seen = PhoneUse::new(9, "192.0.2.1", &"x".repeat(id % 100), [7; 8]);
        Used { aor: "sip:alice@example.test".into(), session, seen, ends_at: 9, account: Seal::of(&[3; 40]) }
    }

    #[test]
    fn what_is_left_is_taken_and_the_service_is_woken_now_and_then() {
        let (arena, queue) = (Arena::new(&Sizes::default(), 0).unwrap(), UseQueue::new().unwrap());
        let shared = arena.shared();
        assert!(queue.take(shared).unwrap().is_empty());
        let together = queue.together() as usize;
        for round in 0..20 {
            let left: Vec<_> = (0..together * 2 + 1).map(|id| used(round * 500 + id)).collect();
            let woken = left.iter().map(|used| queue.send(shared, used).unwrap());
            let woken: Vec<_> = woken.enumerate().filter(|(_, woken)| *woken).map(|(index, _)| index).collect();
            assert_eq!(woken, [0, together, together * 2]);
            assert_eq!(queue.take(shared).unwrap(), left);
        }
    }

    #[test]
    fn more_than_it_has_room_for_is_refused_at_once() {
        let (arena, queue) = (Arena::new(&Sizes::default(), 0).unwrap(), UseQueue::new().unwrap());
        let shared = arena.shared();
        let long = Used { aor: "x".repeat(PAGE), ..used(1) };
        assert_eq!(queue.send(shared, &long).unwrap_err().kind(), ErrorKind::InvalidInput);
        let refused = (0..).map(|id| (id, queue.send(shared, &used(id)))).find(|(_, sent)| sent.is_err());
        let (count, refused) = refused.unwrap();
        assert!(count > queue.together() as usize * 2, "{count}");
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(queue.take(shared).unwrap(), (0..count).map(used).collect::<Vec<_>>());
        queue.send(shared, &used(1)).unwrap();
        assert_eq!(queue.take(shared).unwrap(), [used(1)]);
    }
}
