// SPDX-License-Identifier: MIT OR Apache-2.0
//! Raw pointers to Rust values and back.
//!
//! No function makes a reference to a structure of the caller. Inputs are copied once, and outputs are written
//! through [`Place`], so overlapping structures of the caller do no harm.

use std::borrow::Cow;
use std::ffi::c_char;

use super::types::*;
use sipoauth_core::text::fingerprint::cut;

/// Longest text that is accepted, in octets. No SIP message is longer.
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
    unsafe { octets(value) }.map(lossy)
}

/// The octets as text; those that are not UTF-8 become U+FFFD.
pub fn lossy(octets: &[u8]) -> Cow<'_, str> {
    if is_ascii(octets) {
        // SAFETY: ASCII is UTF-8.
        return Cow::Borrowed(unsafe { str::from_utf8_unchecked(octets) });
    }
    String::from_utf8_lossy(octets)
}

/// Like `is_ascii` of slices, but faster for long texts such as tokens, which are ASCII. That method stops at the
/// first octet that is not ASCII, so it looks at fewer octets at a time.
fn is_ascii(octets: &[u8]) -> bool {
    if octets.len() < 64 { octets.is_ascii() } else { octets.iter().fold(0, |all, octet| all | octet) < 0x80 }
}

/// A text, or None when it is not UTF-8.
///
/// # Safety
/// As for [`octets`].
pub unsafe fn utf8<'a>(value: sipoauth_str) -> Result<Option<&'a str>, i32> {
    // SAFETY: passed on to the caller.
    unsafe { octets(value) }.map(|octets| std::str::from_utf8(octets).ok())
}

/// A structure of the ABI.
///
/// # Safety
/// It is `repr(C)`, its first member is `struct_size: u32`, and every bit pattern is a value of it.
pub unsafe trait Structure: Copy {}

// SAFETY: a u32 comes first, then integers, pointers, arrays of integers and functions or NULL, all repr(C).
unsafe impl Structure for sipoauth_request {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_result {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_challenge {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_endpoint {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_code {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_reply {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_digest_parts {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_provider_state {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_key_state {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_command_host {}
// SAFETY: as above.
unsafe impl Structure for sipoauth_refer {}

/// The `struct_size` that the caller has set; an error when it is smaller than the structure of this version.
///
/// # Safety
/// A non-NULL `ptr` must point to at least a u32.
unsafe fn size_of_callers<T: Structure>(ptr: *const T) -> Result<u32, i32> {
    if ptr.is_null() || !ptr.is_aligned() {
        return Err(SIPOAUTH_E_ARGUMENT);
    }
    // SAFETY: not NULL and aligned; the size is read before anything else.
    let size = unsafe { ptr.cast::<u32>().read() };
    if (size as usize) < size_of::<T>() { Err(SIPOAUTH_E_ARGUMENT) } else { Ok(size) }
}

/// A copy of a structure of the caller.
///
/// # Safety
/// A non-NULL `ptr` must point to as many initialised octets as its `struct_size` says.
pub unsafe fn structure<T: Structure>(ptr: *const T) -> Result<T, i32> {
    // SAFETY: the caller's promise; the structure is as large as T.
    unsafe {
        size_of_callers(ptr)?;
        Ok(ptr.read())
    }
}

/// As [`structure`], without the copy.
///
/// # Safety
/// As for [`structure`], and nobody writes to the structure during `'a`.
#[inline]
pub unsafe fn borrowed<'a, T: Structure>(ptr: *const T) -> Result<&'a T, i32> {
    // SAFETY: the caller's promise; the structure is as large as T.
    unsafe {
        size_of_callers(ptr)?;
        Ok(&*ptr)
    }
}

/// Memory of the caller for an answer. Its pointer was checked, and a safe value was written to it at once.
pub struct Place<T>(*mut T);

impl<T: Copy> Place<T> {
    /// Checks the pointer and writes `first`.
    ///
    /// # Safety
    /// A non-NULL `ptr` stays valid for writes as long as the Place is used.
    pub unsafe fn new(ptr: *mut T, first: T) -> Result<Place<T>, i32> {
        if ptr.is_null() || !ptr.is_aligned() {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        let place = Place(ptr);
        place.put(first);
        Ok(place)
    }

    /// As `new`, for a structure whose size the caller has set; `first` gets that size.
    ///
    /// # Safety
    /// As for `new`, and for [`structure`] as far as its first member goes.
    pub unsafe fn structure(ptr: *mut T, first: impl FnOnce(u32) -> T) -> Result<Place<T>, i32>
    where
        T: Structure,
    {
        // SAFETY: the caller's promise.
        unsafe {
            let size = size_of_callers(ptr.cast_const())?;
            Place::new(ptr, first(size))
        }
    }

    /// Writes the answer.
    pub fn put(&self, value: T) {
        // SAFETY: not NULL and aligned (checked in new), valid by the promise made there.
        unsafe { self.0.write(value) };
    }
}

/// Writes an error sentence into the caller's buffer, NUL-terminated and cut to the buffer's size.
///
/// # Safety
/// A non-NULL `err` must be valid for `cap` octets.
pub unsafe fn put_error(err: *mut c_char, cap: usize, sentence: &str) {
    if err.is_null() || cap == 0 {
        return;
    }
    let sentence = cut(sentence, cap - 1);
    // SAFETY: the sentence is shorter than cap, and the buffer does not overlap a Rust string.
    unsafe {
        std::ptr::copy_nonoverlapping(sentence.as_ptr(), err.cast(), sentence.len());
        err.add(sentence.len()).write(0);
    }
}

/// A buffer of the caller for octets whose number is not known in advance.
pub struct Buffer {
    buf: *mut c_char,
    cap: usize,
    len: Place<usize>,
}

impl Buffer {
    /// Checks the buffer and sets `*len` to 0.
    ///
    /// # Safety
    /// `buf` must be valid for `cap` octets unless cap is 0, and `len` NULL or valid, as long as the Buffer is used.
    pub unsafe fn new(buf: *mut c_char, cap: usize, len: *mut usize) -> Result<Buffer, i32> {
        // SAFETY: the caller's promise.
        let len = unsafe { Place::new(len, 0) }?;
        if buf.is_null() && cap > 0 { Err(SIPOAUTH_E_ARGUMENT) } else { Ok(Buffer { buf, cap, len }) }
    }

    /// Copies octets into the buffer; they must be the library's own. `*len` gets their number, also when they do
    /// not fit.
    pub fn put(&self, octets: &[u8]) -> Result<(), i32> {
        self.len.put(octets.len());
        if octets.len() > self.cap {
            return Err(SIPOAUTH_E_SPACE);
        }
        if !octets.is_empty() {
            // SAFETY: the buffer has room (checked), is valid by the promise made in new, and is not the library's.
            unsafe { std::ptr::copy_nonoverlapping(octets.as_ptr(), self.buf.cast(), octets.len()) };
        }
        Ok(())
    }
}

/// A NUL-terminated copy, cut to the array's size.
pub fn fixed<const N: usize>(text: &str) -> [c_char; N] {
    let mut out = [0; N];
    for (cell, octet) in out.iter_mut().zip(cut(text, N - 1).bytes()) {
        *cell = octet as c_char;
    }
    out
}
