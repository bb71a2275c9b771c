// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C ABI: the one place where raw pointers become Rust values and where panics are caught.
//!
//! Each function does three things: it guards against panics, converts its arguments, and calls the library. No
//! panic unwinds into C. The only global state is the note of where a panic happened (`process::caught`).
#![allow(unsafe_code, non_camel_case_types)]

pub mod accounts;
pub mod check;
pub mod command;
pub mod config;
pub mod connection;
pub mod convert;
pub mod dialogs;
pub mod guard;
pub mod handle;
pub mod io;
pub mod key_derivation;
pub mod keys;
pub mod refer;
pub mod request;
pub mod sessions;
pub mod state;
pub mod store;
pub mod types;
pub mod worker;

/// Version of the ABI. It grows when a structure or the meaning of a function changes. Structures grow only at
/// their end, and their struct_size tells the library which members the caller knows.
pub const SIPOAUTH_ABI_VERSION: u32 = 5;

/// The ABI version of the loaded library. A host compares it with `SIPOAUTH_ABI_VERSION` of the header, because
/// both must be the same. Any process, any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_abi_version() -> u32 {
    guard::guard_or(None, 0, || SIPOAUTH_ABI_VERSION)
}

/// The library's version, "major.minor.patch". Static, NUL-terminated, never NULL. Any process, any thread.
#[unsafe(no_mangle)]
pub extern "C" fn sipoauth_version() -> *const std::ffi::c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    guard::guard_or(None, VERSION.as_ptr().cast(), || VERSION.as_ptr().cast())
}
