// SPDX-License-Identifier: MIT OR Apache-2.0
//! The id of this process. Every request needs it, so this module avoids a system call each time.
//!
//! The id is kept in a page that the kernel empties in every child (MADV_WIPEONFORK, Linux 4.14), so a child never
//! takes its parent's id for its own, however it was forked.

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
const LENGTH: usize = 4096;

/// The id of this process.
#[inline]
pub fn id() -> u32 {
    // SAFETY: the pointer is null, or `page` below has mapped what it points to, which stays mapped.
    match unsafe { PAGE.load(Ordering::Acquire).as_ref() } {
        Some(kept) => match kept.load(Ordering::Relaxed) {
            0 => keep(kept),
            id => id,
        },
        None => page().map_or_else(std::process::id, keep),
    }
}

/// False when there is no process with this id.
#[cold]
pub fn is_alive(id: u32) -> bool {
    let Ok(id) = libc::pid_t::try_from(id) else {
        return false;
    };
    // SAFETY: signal 0 only asks whether the process exists.
    let asked = unsafe { libc::kill(id, 0) };
    asked == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}

#[cold]
fn keep(place: &AtomicU32) -> u32 {
    let id = std::process::id();
    place.store(id, Ordering::Relaxed);
    id
}

/// Maps the page. None if the kernel cannot empty it in children; each call then asks the kernel for the id.
#[cold]
fn page() -> Option<&'static AtomicU32> {
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping of anonymous memory; the result is checked.
    let address = unsafe { libc::mmap(null_mut(), LENGTH, access, kind, -1, 0) };
    let page = NonNull::new(address).filter(|_| address != libc::MAP_FAILED)?;
    let unmap = || {
        // SAFETY: mapped above, and nobody else has seen it.
        unsafe { libc::munmap(page.as_ptr(), LENGTH) };
    };
    // SAFETY: the whole of that mapping.
    if unsafe { libc::madvise(page.as_ptr(), LENGTH, libc::MADV_WIPEONFORK) } != 0 {
        unmap();
        return None;
    }
    let cell: NonNull<AtomicU32> = page.cast();
    let kept = match PAGE.compare_exchange(null_mut(), cell.as_ptr(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => cell.as_ptr(),
        Err(other) => {
            unmap();
            other
        }
    };
    // SAFETY: mapped, aligned to a page, zeroed by the kernel, and never unmapped once it is in PAGE.
    unsafe { kept.as_ref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let id_of_child = child.id();
        child.wait().unwrap();
        let alive = [id(), 1, id_of_child, u32::MAX].map(is_alive);
        assert_eq!(alive, [true, true, false, false]);
    }

    #[test]
    fn a_child_has_its_own() {
        assert_eq!(id(), std::process::id());
        assert_eq!(id(), std::process::id(), "the kept one");
        // SAFETY: the child calls nothing that may hold a lock, and leaves at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: no destructors, no other threads.
            unsafe { libc::_exit(i32::from(id() != libc::getpid() as u32 || id() != libc::getpid() as u32)) };
        }
        let mut status = -1;
        // SAFETY: the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0);
    }
}
