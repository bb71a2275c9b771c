// SPDX-License-Identifier: MIT OR Apache-2.0
//! Turns a panic into its place in the source. The message of a panic is never shown, because it can quote the text
//! that caused the panic, which may be a token.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

#[cfg(not(panic = "unwind"))]
compile_error!("sipoauth must be built with panic = \"unwind\": a panic must cost one request, not the proxy");

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs a function; a panic becomes the place ("file:line") where it happened. Panics outside of `caught` go to the
/// hook that was set before.
pub fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    note_places();
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(run));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|_| PLACE.take())
}

fn note_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| match DEPTH.try_with(Cell::get) {
            Ok(0) => others(info),
            _ => note(info),
        }));
    });
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |l| format!("{}:{}", l.file(), l.line()));
    // A thread that is ending may have dropped `PLACE` already.
    let _ = PLACE.try_with(|noted| noted.replace(place));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_place() {
        let place = caught(|| panic!("a secret")).map(|()| "").unwrap_err();
        assert!(place.contains("caught.rs:") && !place.contains("secret"), "{place}");
        assert_eq!(caught(|| 3), Ok(3));
        let inner = caught(|| caught(|| panic!("inner")).map(|()| ""));
        assert!(inner.unwrap().is_err());
    }
}
