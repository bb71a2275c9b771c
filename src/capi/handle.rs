// SPDX-License-Identifier: MIT OR Apache-2.0
//! The value behind a handle that only one call may use at a time. A second call, by another thread or from within
//! a callback of the first, gets an error, so there is no data race.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};

use super::types::SIPOAUTH_E_BUSY;

/// A value that is lent to one call at a time.
pub struct Exclusive<T> {
    busy: AtomicBool,
    value: UnsafeCell<T>,
}

/// The value while a call uses it.
pub struct Entered<'a, T>(&'a Exclusive<T>);

impl<T> Exclusive<T> {
    /// A value that no call uses yet.
    pub fn new(value: T) -> Exclusive<T> {
        Exclusive { busy: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// The value, unless another call has it.
    pub fn enter(&self) -> Result<Entered<'_, T>, i32> {
        if self.busy.swap(true, Ordering::Acquire) { Err(SIPOAUTH_E_BUSY) } else { Ok(Entered(self)) }
    }

    /// True while a call uses the value.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: `busy` was false when this was made and stays true while it lives, so nobody else has a
        // reference.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Entered<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for deref.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_at_a_time() {
        let handle = Exclusive::new(1);
        let mut first = handle.enter().unwrap();
        *first += 1;
        assert_eq!(handle.enter().err(), Some(SIPOAUTH_E_BUSY));
        assert!(handle.is_busy());
        drop(first);
        assert_eq!(*handle.enter().unwrap(), 2);
    }

    #[test]
    fn a_panic_gives_it_back() {
        let handle = Exclusive::new(());
        let caught = crate::process::caught::caught(|| {
            let _entered = handle.enter().unwrap();
            panic!("within a call");
        });
        assert!(caught.map(|()| "").is_err() && !handle.is_busy());
    }
}
