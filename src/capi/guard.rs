// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one place where a panic ends.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::types::SIPOAUTH_E_PANIC;
use crate::arena::counters::Counter;
use crate::ports::Level;
use crate::runtime::context::Context;

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// From now on a panic of this library notes its place instead of printing: a panic message can quote the text
/// that caused it, and that may be a token.
pub fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
            LAST_PANIC.with(|last| *last.borrow_mut() = place);
        }));
    });
}

/// Runs a function; a panic becomes `SIPOAUTH_E_PANIC`, counted and logged with its place.
pub fn guard(context: Option<&Context>, run: impl FnOnce() -> i32) -> i32 {
    guard_or(context, SIPOAUTH_E_PANIC, run)
}

/// Runs a function; a panic becomes `otherwise`.
pub fn guard_or<T>(context: Option<&Context>, otherwise: T, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        if let Some(context) = context {
            let place = LAST_PANIC.with(|last| std::mem::take(&mut *last.borrow_mut()));
            // The log callback is the host's; should it panic too, the answer stays the same.
            let _ = catch_unwind(AssertUnwindSafe(|| {
                context.arena().shared().counters.add(Counter::Panics);
                context.log().log(Level::Error, &format!("internal error caught at {place}; please report it"));
            }));
        }
        otherwise
    })
}
