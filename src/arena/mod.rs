// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared memory between the forked processes: small, hot, losable state of fixed size.
//!
//! Made before the fork, never grows. Everything in it is an atomic, so a reader or writer that is killed at any
//! instruction leaves no lock behind. This room and `capi` are the only ones with unsafe code.
#![allow(unsafe_code)]

pub mod counters;
pub mod memory_table;
pub mod provider_slot;
pub mod published;

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use counters::Counters;
use memory_table::MemoryTable;
use provider_slot::ProviderSlot;
use published::Published;

/// Slots beyond the providers of the first configuration, for those that a reload adds.
const SPARE_SLOTS: usize = 16;

/// The part that exists once.
#[repr(C)]
pub struct Shared {
    /// Statistics.
    pub counters: Counters,
    /// Requests that wait for an authorization server.
    pub parked: AtomicU32,
    /// Process id of the one that reloads now, 0 when none does.
    reloading: AtomicU64,
    /// Process id of the I/O service, 0 when there is none.
    serving: AtomicU64,
    /// The configuration in force, as JSON.
    pub bundle: Published<{ 512 * 1024 }>,
    /// Key ids that the last fetch did not bring.
    pub missing_keys: MemoryTable<1024>,
    /// Fetches that a source address has caused in the present minute.
    pub source_fetches: MemoryTable<1024>,
}

/// The mapping: one [`Shared`], then the provider slots.
pub struct Arena {
    base: NonNull<Shared>,
    slots: usize,
    length: usize,
}

// SAFETY: the mapping lives as long as the Arena, and everything in it is an atomic or made of atomics.
unsafe impl Send for Arena {}
// SAFETY: as above; &Arena gives out only & to atomics.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps zeroed memory that forked children share.
    pub fn new(providers: usize) -> std::io::Result<Arena> {
        let slots = providers + SPARE_SLOTS;
        let length = size_of::<Shared>() + slots * size_of::<ProviderSlot>();
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        const { assert!(size_of::<Shared>().is_multiple_of(align_of::<ProviderSlot>()) && align_of::<Shared>() <= 4096) };
        let base = NonNull::new(address.cast::<Shared>()).ok_or_else(std::io::Error::last_os_error)?;
        Ok(Arena { base, slots, length })
    }

    /// The part that exists once.
    pub fn shared(&self) -> &Shared {
        // SAFETY: page-aligned, mapped for at least size_of::<Shared>(), and all-zero is a valid value of atomics.
        unsafe { self.base.as_ref() }
    }

    /// The provider slots.
    pub fn slots(&self) -> &[ProviderSlot] {
        // SAFETY: the slots follow Shared within the mapping, aligned (asserted in new), zero is a valid value.
        unsafe {
            let first = self.base.as_ptr().add(1).cast::<ProviderSlot>();
            std::slice::from_raw_parts(first, self.slots)
        }
    }

    /// Takes the right to replace the configuration; a dead holder does not keep it.
    pub fn begin_reload(&self) -> Option<ReloadGuard<'_>> {
        take(&self.shared().reloading).then_some(ReloadGuard(self))
    }

    /// Takes the right to be the I/O service, the one writer of the provider slots; a dead holder does not keep it.
    pub fn begin_service(&self) -> bool {
        take(&self.shared().serving)
    }

    /// Gives the right back.
    pub fn end_service(&self) {
        self.shared().serving.store(0, Ordering::Release);
    }
}

/// Writes this process's id over 0 or over that of a dead process; false when a live one holds the right.
fn take(right: &AtomicU64) -> bool {
    let own = u64::from(std::process::id());
    let holder = right.load(Ordering::Acquire);
    // SAFETY: signal 0 only asks whether the process exists.
    let alive = holder != 0 && unsafe { libc::kill(holder as libc::pid_t, 0) } == 0;
    let expected = if alive { 0 } else { holder };
    right.compare_exchange(expected, own, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in new with this length; nothing borrows from it any more.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.length);
        }
    }
}

/// The right to replace the configuration.
pub struct ReloadGuard<'a>(&'a Arena);

impl Drop for ReloadGuard<'_> {
    fn drop(&mut self) {
        self.0.shared().reloading.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reload_at_a_time() {
        let arena = Arena::new(1).unwrap();
        let first = arena.begin_reload();
        assert!(first.is_some() && arena.begin_reload().is_none());
        drop(first);
        assert!(arena.begin_reload().is_some());
    }

    #[test]
    fn a_dead_holder_does_not_keep_the_right() {
        let arena = Arena::new(1).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = u64::from(child.id());
        child.wait().unwrap();
        arena.shared().reloading.store(pid, Ordering::Relaxed);
        assert!(arena.begin_reload().is_some());
    }
}
