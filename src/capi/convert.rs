// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw pointers to Rust values and back.

use std::borrow::Cow;
use std::ffi::c_char;

use super::types::{SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_SPACE, SIPOAUTH_OK, sipoauth_str};

/// Longest text that is taken, in octets: no SIP message is longer.
const MAX_LEN: usize = 16 * 1024 * 1024;

/// The octets of a text.
///
/// # Safety
/// A non-NULL `ptr` must be valid for `len` octets during `'a`.
pub unsafe fn octets<'a>(text: sipoauth_str) -> Result<&'a [u8], i32> {
    match (text.ptr.is_null(), text.len) {
        (_, 0) => Ok(&[]),
        (false, 1..=MAX_LEN) => {
            // SAFETY: not NULL, and the caller vouches for the length.
            Ok(unsafe { std::slice::from_raw_parts(text.ptr.cast(), text.len) })
        }
        _ => Err(SIPOAUTH_E_ARGUMENT),
    }
}

/// A text; octets that are not UTF-8 become U+FFFD, which no parser of this library accepts.
///
/// # Safety
/// As for [`octets`].
pub unsafe fn text<'a>(value: sipoauth_str) -> Result<Cow<'a, str>, i32> {
    // SAFETY: passed on to the caller.
    unsafe { octets(value) }.map(String::from_utf8_lossy)
}

/// A structure of the caller, when it is at least as large as this version's.
///
/// # Safety
/// A non-NULL `ptr` must point to a structure whose first member, a u32, is its size in octets.
pub unsafe fn structure<'a, T>(ptr: *const T) -> Result<&'a T, i32> {
    if ptr.is_null() || !ptr.is_aligned() {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    // SAFETY: not NULL, aligned; the size is read before anything else.
    let size = unsafe { ptr.cast::<u32>().read() } as usize;
    if size < size_of::<T>() {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    // SAFETY: the structure is as large as T.
    Ok(unsafe { &*ptr })
}

/// As [`structure`], to be written.
///
/// # Safety
/// As for [`structure`]; nothing else refers to it.
pub unsafe fn structure_mut<'a, T>(ptr: *mut T) -> Result<&'a mut T, i32> {
    // SAFETY: passed on to the caller; uniqueness is the caller's promise.
    unsafe { structure(ptr.cast_const()) }.map(|_| unsafe { &mut *ptr })
}

/// Writes an error sentence with NUL into the caller's buffer, cut to its size.
///
/// # Safety
/// A non-NULL `err` must be valid for `cap` octets.
pub unsafe fn put_error(err: *mut c_char, cap: usize, sentence: &str) {
    if err.is_null() || cap == 0 {
        return;
    }
    let mut len = sentence.len().min(cap - 1);
    while !sentence.is_char_boundary(len) {
        len -= 1;
    }
    // SAFETY: len < cap, and the buffer does not overlap a Rust string.
    unsafe {
        std::ptr::copy_nonoverlapping(sentence.as_ptr(), err.cast(), len);
        err.add(len).write(0);
    }
}

/// Copies octets into the caller's buffer. `*len` says how many there are, also when they do not fit.
///
/// # Safety
/// `buf` must be valid for `cap` octets unless cap is 0; `len` must be NULL or valid.
pub unsafe fn put_octets(octets: &[u8], buf: *mut c_char, cap: usize, len: *mut usize) -> i32 {
    if len.is_null() || (buf.is_null() && cap > 0) {
        return SIPOAUTH_E_ARGUMENT;
    }
    // SAFETY: checked above.
    unsafe { len.write(octets.len()) };
    if octets.len() > cap {
        return SIPOAUTH_E_SPACE;
    }
    if !octets.is_empty() {
        // SAFETY: the buffer has room.
        unsafe { std::ptr::copy_nonoverlapping(octets.as_ptr(), buf.cast(), octets.len()) };
    }
    SIPOAUTH_OK
}

/// A NUL-terminated copy, cut to the array's size.
pub fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    let mut len = text.len().min(N - 1);
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    for (cell, octet) in out.iter_mut().zip(&text.as_bytes()[..len]) {
        *cell = octet.cast_signed();
    }
    out
}
