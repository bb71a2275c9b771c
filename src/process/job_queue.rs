// SPDX-License-Identifier: MIT OR Apache-2.0
//! The way of jobs from the workers to the I/O service. It never blocks the sender.
//!
//! The work lies in the slot of the request's waiting place, so there is room for a job of each request that may wait. A
//! notice of fixed size goes through a pipe, which takes it whole or not at all, so a sender that is killed leaves no
//! half notice.
//!
//! Work that has no slot or does not fit in goes through a socket, together with its notice, and so does work that must be
//! done even if its place has come to somebody else. The socket has room for some dozens.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};
use zeroize::{Zeroize as _, Zeroizing};

use super::job::{Asker, Job, Work};
use crate::shared::job_slots::{Content, JobSlots, ROOM};
use crate::shared::waiting_room::WaitingPlace;

/// Longest job in octets: the longest token that can be configured, and room for the rest.
const MAX_LEN: usize = 72 * 1024;
/// Octets of a notice.
const NOTICE: usize = 48;
/// A pipe gives room back by whole pages of this many octets.
const PAGE: usize = 4096;
/// Notices of a page, none of which is split. As many are read at once.
const NOTICES: usize = PAGE / NOTICE;
/// Datagrams that are read at once.
const DATAGRAMS: usize = 16;

/// Both ends of the queue, made before the fork.
pub struct JobQueue {
    notices: [File; 2],
    others: [UnixDatagram; 2],
    room: usize,
}

/// What the I/O service receives.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A job.
    Job(Job),
    /// The request of a job whose work is not there any more, because its place has come to somebody else.
    Lost(Asker),
    /// It was woken.
    Wake,
}

impl Received {
    /// A job whose work is these octets.
    fn of(asker: Asker, work: Option<&[u8]>) -> Received {
        let work = work.and_then(|octets| postcard::from_bytes(octets).ok());
        work.map_or(Received::Lost(asker), |work| Received::Job(Job { work, asker }))
    }
}

/// A notice. An empty content is a wake-up.
#[derive(Clone, Copy)]
struct Notice {
    content: Content,
    asker: Asker,
}

impl Notice {
    const WAKE: Notice = Notice {
        content: Content { length: 0, hash: 0 },
        asker: Asker { deadline: 0, cookies: [0; 2], place: WaitingPlace::NONE },
    };

    fn encode(&self) -> [u8; NOTICE] {
        let Notice { content, asker: Asker { deadline, cookies, place } } = self;
        let (index, word) = place.parts();
        let first = u64::from(content.length) << 32 | u64::from(index);
        let words = [first, content.hash, deadline.cast_unsigned(), cookies[0], cookies[1], word];
        let mut octets = [0; NOTICE];
        for (place, word) in octets.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        octets
    }

    fn decode(octets: &[u8; NOTICE]) -> Notice {
        let word = |index: usize| {
            octets[index * 8..][..8].try_into().map(u64::from_ne_bytes).expect("six words of eight octets")
        };
        Notice {
            content: Content { length: (word(0) >> 32) as u32, hash: word(1) },
            asker: Asker {
                deadline: word(2).cast_signed(),
                cookies: [word(3), word(4)],
                place: WaitingPlace::from_parts(word(0) as u32, word(5)),
            },
        }
    }
}

impl JobQueue {
    /// Makes a queue for this many jobs, or for fewer if the system gives the pipe no more room.
    pub fn new(jobs: usize) -> io::Result<JobQueue> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // One page may be half read, and one is for wake-ups.
        let mut octets = (jobs.div_ceil(NOTICES) + 2) * PAGE;
        while octets > 16 * PAGE && fcntl_setpipe_size(&writer, octets).is_err() {
            octets /= 2;
        }
        let room = (fcntl_getpipe_size(&writer)? / PAGE).saturating_sub(2) * NOTICES;
        let others = UnixDatagram::pair()?;
        others.0.set_nonblocking(true)?;
        others.1.set_nonblocking(true)?;
        Ok(JobQueue { notices: [writer.into(), reader.into()], others: others.into(), room })
    }

    /// For how many jobs there is room.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Sends a job; fails at once when the queue is full.
    pub fn send(&self, slots: JobSlots<'_>, job: &Job) -> io::Result<()> {
        let Job { work, asker } = job;
        let (index, _) = asker.place.parts();
        let mut short = Zeroizing::new([0; ROOM]);
        // Whoever asks for this does not wait for it, so nobody would ask again.
        let must_arrive = matches!(work, Work::Unbind(..));
        let encoded = (!must_arrive).then(|| postcard::to_slice(work, &mut *short).ok()).flatten();
        match encoded.and_then(|octets| slots.put(index as usize, octets)) {
            Some(content) => {
                let sent = self.notify(&Notice { content, asker: *asker });
                sent.inspect_err(|_| slots.wipe(index as usize))
            }
            None => self.send_whole(work, asker),
        }
    }

    fn send_whole(&self, work: &Work, asker: &Asker) -> io::Result<()> {
        let mut octets = Zeroizing::new(vec![0; MAX_LEN]);
        let (notice, room) = octets.split_at_mut(NOTICE);
        notice.copy_from_slice(&Notice { content: Content::default(), asker: *asker }.encode());
        let too_long = |_| io::Error::new(ErrorKind::InvalidInput, "the job is too long");
        let length = NOTICE + postcard::to_slice(work, room).map_err(too_long)?.len();
        self.others[0].send(&octets[..length]).map(drop)
    }

    fn notify(&self, notice: &Notice) -> io::Result<()> {
        match (&self.notices[0]).write(&notice.encode())? {
            NOTICE => Ok(()),
            // A pipe never does this with so few octets.
            _ => Err(ErrorKind::WriteZero.into()),
        }
    }

    /// Wakes the receiver without a job, so that it looks at the shared memory, or ends.
    pub fn wake(&self) {
        // If the queue has no room for a notice, the receiver is awake anyway.
        let _ = self.notify(&Notice::WAKE);
    }

    /// The receiving end. One thread of all processes uses it.
    pub fn receiver(&self) -> io::Result<Receiver> {
        let buffer = Zeroizing::new(vec![0; MAX_LEN]);
        Ok(Receiver { notices: self.notices[1].try_clone()?, others: self.others[1].try_clone()?, buffer })
    }
}

/// The receiving end.
pub struct Receiver {
    notices: File,
    others: UnixDatagram,
    buffer: Zeroizing<Vec<u8>>,
}

impl Receiver {
    /// Waits at most this long for something, and takes a part of what is there. Nothing is there after a signal.
    pub fn receive(
        &mut self,
        slots: JobSlots<'_>,
        timeout: Duration,
        take: &mut dyn FnMut(Received),
    ) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).ok();
        let wanted = PollFlags::IN | PollFlags::RDHUP;
        let mut ends = [PollFd::new(&self.notices, wanted), PollFd::new(&self.others, wanted)];
        if let Err(error) = poll(&mut ends, timeout.as_ref()) {
            return if error == rustix::io::Errno::INTR { Ok(()) } else { Err(error.into()) };
        }
        let [notices, others] = ends.map(|end| end.revents());
        if (notices | others).intersects(PollFlags::NVAL | PollFlags::ERR | PollFlags::HUP | PollFlags::RDHUP) {
            return Err(io::Error::new(ErrorKind::BrokenPipe, "it was closed"));
        }
        if !notices.is_empty() {
            self.take_notices(slots, take)?;
        }
        if !others.is_empty() {
            self.take_others(take)?;
        }
        Ok(())
    }

    fn take_notices(&mut self, slots: JobSlots<'_>, take: &mut dyn FnMut(Received)) -> io::Result<()> {
        let mut octets = [0; NOTICE * NOTICES];
        let length = match self.notices.read(&mut octets) {
            Err(error) if is_passing(&error) => return Ok(()),
            read => read?,
        };
        let (notices, rest) = octets[..length].as_chunks();
        if notices.is_empty() || !rest.is_empty() {
            return Err(io::Error::new(ErrorKind::BrokenPipe, format!("it gave {length} octets")));
        }
        for Notice { content, asker } in notices.iter().map(Notice::decode) {
            if content.length == 0 {
                take(Received::Wake);
                continue;
            }
            let (index, _) = asker.place.parts();
            let work = slots.take(index as usize, content);
            take(Received::of(asker, work.as_deref().map(Vec::as_slice)));
        }
        Ok(())
    }

    fn take_others(&mut self, take: &mut dyn FnMut(Received)) -> io::Result<()> {
        for _ in 0..DATAGRAMS {
            let length = match self.others.recv(&mut self.buffer) {
                Err(error) if is_passing(&error) => return Ok(()),
                received => received?,
            };
            let octets = &mut self.buffer[..length];
            if let Some((notice, work)) = octets.split_first_chunk() {
                take(Received::of(Notice::decode(notice).asker, Some(work)));
            }
            octets.zeroize();
        }
        Ok(())
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::waiting_room::{Party, Rules};
    use crate::shared::{Arena, Sizes};
    use sipoauth_core::check::registration::Registration;

    const NOW: i64 = 1_000_000;

    fn arena(jobs: usize) -> Arena {
        Arena::new(&Sizes { jobs, ..Sizes::default() }, 0).unwrap()
    }

    fn asker(arena: &Arena, number: u64) -> Asker {
        let rules = Rules { all: 100_000, several: false, now: NOW };
        let place = arena.shared().waiting.take(Party::default(), &rules, NOW + 5000).unwrap();
        Asker { deadline: NOW + 5000, cookies: [number, u64::MAX], place }
    }

    fn account(text: &str) -> Work {
        Work::Account(text.to_owned(), None)
    }

    fn registration() -> Registration {
        Registration {
            code: "c".into(),
            method: "REGISTER".into(),
            aor: "sip:alice@example.test".into(),
            from: String::new(),
            instance: String::new(),
            reg_id: 0,
            from_tag: String::new(),
            call_id: String::new(),
            weak: false,
            spelling: String::new(),
            claim: None,
            arrived: 0,
            tagged: true,
            digest: None,
        }
    }

    fn all(receiver: &mut Receiver, arena: &Arena) -> Vec<Received> {
        let mut taken = Vec::new();
        loop {
            let before = taken.len();
            receiver.receive(arena.job_slots(), Duration::ZERO, &mut |one| taken.push(one)).unwrap();
            if taken.len() == before {
                return taken;
            }
        }
    }

    #[test]
    fn it_takes_as_many_jobs_as_may_wait_and_more_are_refused_at_once() {
        const JOBS: usize = 5000;
        let (arena, queue) = (arena(JOBS), JobQueue::new(JOBS).unwrap());
        assert!(queue.room() >= JOBS);
        let text = "x".repeat(3000);
        let jobs: Vec<Job> = (0..JOBS as u64)
            .map(|number| Job { work: account(&format!("{text}{number}")), asker: asker(&arena, number) })
            .collect();
        jobs.iter().for_each(|job| queue.send(arena.job_slots(), job).unwrap());
        let refused = (0..200_000).map(|_| queue.send(arena.job_slots(), &jobs[0])).find_map(Result::err);
        assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
        let mut receiver = queue.receiver().unwrap();
        receiver.receive(arena.job_slots(), Duration::ZERO, &mut |_| ()).unwrap();
        queue.send(arena.job_slots(), &jobs[0]).expect("whatever was read makes room");
        let (arena, queue) = (self::arena(JOBS), JobQueue::new(JOBS).unwrap());
        jobs.iter().for_each(|job| queue.send(arena.job_slots(), job).unwrap());
        let taken = all(&mut queue.receiver().unwrap(), &arena);
        assert!(taken[..JOBS].iter().zip(&jobs).all(|(taken, job)| matches!(taken, Received::Job(one) if one == job)));
        queue.send(arena.job_slots(), &jobs[0]).unwrap();
    }

    #[test]
    fn what_has_no_slot_arrives_as_well() {
        let (arena, queue) = (arena(1), JobQueue::new(1).unwrap());
        let mut receiver = queue.receiver().unwrap();
        let long = Job { work: account(&"x".repeat(70_000)), asker: asker(&arena, 1) };
        let other = Job { work: account("b"), asker: asker(&arena, 2) };
        for job in [long, other] {
            queue.send(arena.job_slots(), &job).unwrap();
            assert_eq!(all(&mut receiver, &arena), [Received::Job(job)]);
        }
        // Nobody waits for this, so it must arrive even if its place has come to somebody else.
        let unbind = Job { work: Work::Unbind(Box::new(registration()), b"tag".to_vec()), asker: asker(&arena, 4) };
        queue.send(arena.job_slots(), &unbind).unwrap();
        queue.send(arena.job_slots(), &Job { work: account("c"), ..unbind.clone() }).unwrap();
        assert!(all(&mut receiver, &arena).contains(&Received::Job(unbind)));
        let too_long = Job { work: account(&"x".repeat(MAX_LEN)), asker: asker(&arena, 3) };
        assert_eq!(queue.send(arena.job_slots(), &too_long).unwrap_err().kind(), ErrorKind::InvalidInput);
        queue.wake();
        assert_eq!(all(&mut receiver, &arena), [Received::Wake]);
    }

    #[test]
    fn a_request_whose_place_has_come_to_somebody_else_goes_on() {
        let (arena, queue) = (arena(1), JobQueue::new(1).unwrap());
        let (first, second) = (asker(&arena, 1), asker(&arena, 2));
        let second = Asker { place: first.place, ..second };
        let [first_job, second_job] =
            [(first, "a"), (second, "b")].map(|(asker, text)| Job { work: account(text), asker });
        queue.send(arena.job_slots(), &first_job).unwrap();
        queue.send(arena.job_slots(), &second_job).unwrap();
        assert_eq!(all(&mut queue.receiver().unwrap(), &arena), [Received::Lost(first), Received::Job(second_job)]);
    }

    #[test]
    fn a_wait_ends_with_its_time_or_with_a_notice() {
        let (arena, queue) = (arena(1), JobQueue::new(1).unwrap());
        let mut receiver = queue.receiver().unwrap();
        let mut count = 0;
        receiver.receive(arena.job_slots(), Duration::from_millis(20), &mut |_| count += 1).unwrap();
        assert_eq!(count, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| queue.wake());
            receiver.receive(arena.job_slots(), Duration::from_secs(60), &mut |_| count += 1).unwrap();
        });
        assert_eq!(count, 1);
    }
}
