// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions: the end of a registration with a code, and the operator's view of them.

use std::ffi::{c_char, c_void};

use super::config::{shared, sipoauth_context};
use super::convert::{Buffer, Place, octets, text};
use super::guard::guard;
use super::types::*;
use super::worker::{sipoauth_worker, with_worker};
use crate::store::session_admin::ListedSession;
use crate::store::sessions::SessionError;
use crate::worker::Worker;
use sipoauth_core::records::session::{Session, id_text};
use sipoauth_core::text::fingerprint::visible;

/// Makes sure that the key of a registration is stored before its 2xx answer leaves, and notes that it leaves: from then
/// on its code serves no other phone. A host that does not tell leaves it open to its own network for 32 s. `ticket` is that of the result
/// with confirm = 1, `to_tag` the To tag of the answer as it goes out (3rd-party-authentication section 2.1.2). Usually
/// the key is stored already and this only compares. Never waits for a network.
///
/// Returns SIPOAUTH_OK; SIPOAUTH_E_STORE when the key is not stored: the answer must become a 503, or the phone would
/// hold a key that nobody knows; SIPOAUTH_E_INPUT when the ticket cannot be read or the code's time is over (the same
/// holds); SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid, texts valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_confirm(
    worker: *mut sipoauth_worker,
    ticket: sipoauth_str,
    to_tag: sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { answered(worker, ticket, to_tag, Worker::confirm) }
}

/// The registration was refused after all: forgets the key that was made for it, as far as that is possible at once. Its
/// phone may come again with the same code.
/// Arguments and return as for sipoauth_worker_confirm.
///
/// # Safety
/// As for sipoauth_worker_confirm.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_withdraw(
    worker: *mut sipoauth_worker,
    ticket: sipoauth_str,
    to_tag: sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { answered(worker, ticket, to_tag, Worker::withdraw) }
}

/// Shows sessions. With an `aor` (a SIP URI) those of this address; with an empty one all, some accounts at a time:
/// `from` is empty at first, then what the call before wrote to `next` (NUL-terminated, at most `next_cap` octets, 160
/// are enough); an empty `next` is the end. A session that changes meanwhile may turn up twice. After the fork, in any
/// process and thread;
/// with a Redis store the call waits for it, at most store_timeout for each of its steps, so a SIP worker should not
/// make it.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_STORE, SIPOAUTH_E_SPACE, SIPOAUTH_E_PANIC, or SIPOAUTH_E_INPUT
/// when sessions are not configured or `aor` is not a SIP address.
///
/// # Safety
/// `context` is NULL or valid, texts for their lengths, `next` for `next_cap` octets; `each` is NULL or callable with
/// `user` and does not leave by longjmp or a C++ exception.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_sessions(
    context: *const sipoauth_context,
    aor: sipoauth_str,
    from: sipoauth_str,
    each: sipoauth_session_fn,
    user: *mut c_void,
    next: *mut c_char,
    next_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
        let mut length = 0;
        // SAFETY: the caller's promise; `length` outlives the buffer.
        let (aor, from, next) = unsafe { (text(aor)?, text(from)?, Buffer::new(next, next_cap, &raw mut length)?) };
        next.put(b"\0")?;
        let page = context.list_sessions(&aor, &from).map_err(status)?;
        show(&page.sessions, each, user);
        next.put(format!("{}\0", page.next.unwrap_or_default()).as_bytes())
    })
}

/// Ends sessions: the one named by `session` (32 hex digits) of `aor`, or with an empty `session` all of `aor`, or with
/// both empty all there are. Their phones are challenged with the next request (403, 401 or 407 as usual). `each` is
/// called for every session that was ended, `*count` says how many. Where and how long: as sipoauth_context_sessions.
///
/// Returns SIPOAUTH_OK, also when there was nothing to end; else as sipoauth_context_sessions.
///
/// # Safety
/// As for sipoauth_context_sessions; `count` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_context_sessions_revoke(
    context: *const sipoauth_context,
    aor: sipoauth_str,
    session: sipoauth_str,
    each: sipoauth_session_fn,
    user: *mut c_void,
    count: *mut u64,
) -> i32 {
    // SAFETY: the caller's promise.
    let context = unsafe { shared(context) };
    guard(context.as_deref(), || {
        let context = context.as_deref().ok_or(SIPOAUTH_E_ARGUMENT)?;
        // SAFETY: the caller's promise.
        let (aor, session, count) = unsafe { (text(aor)?, text(session)?, Place::new(count, 0)?) };
        let all = aor.is_empty() && session.is_empty();
        let ended = if all { context.revoke_all_sessions() } else { context.revoke_sessions(&aor, &session) };
        let ended = ended.map_err(status)?;
        show(&ended, each, user);
        count.put(ended.len() as u64);
        Ok(())
    })
}

/// # Safety
/// As for sipoauth_worker_confirm.
unsafe fn answered(
    worker: *mut sipoauth_worker,
    ticket: sipoauth_str,
    to_tag: sipoauth_str,
    tell: impl FnOnce(&mut Worker, &str, &[u8]) -> Result<(), SessionError>,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |state| {
            let (ticket, to_tag) = (text(ticket)?, octets(to_tag)?);
            tell(&mut state.worker, &ticket, to_tag).map_err(status)
        })
    }
}

pub(super) fn status(error: SessionError) -> i32 {
    match error {
        SessionError::NotThere => SIPOAUTH_E_INPUT,
        SessionError::Store(_) => SIPOAUTH_E_STORE,
    }
}

fn show(sessions: &[ListedSession], each: sipoauth_session_fn, user: *mut c_void) {
    let Some(each) = each else {
        return;
    };
    for ListedSession { aor, session } in sessions {
        let Session { provider, instance, subject, scope, .. } = session;
        let id = id_text(&session.id);
        let (subject, scope) = (visible(subject), visible(scope));
        let state = sipoauth_session_state {
            struct_size: size_of::<sipoauth_session_state>() as u32,
            key_count: session.keys.len() as u32,
            renewable: session.renewable.into(),
            weak: session.weak.into(),
            created_at: session.created_at,
            valid_until: session.valid_until,
            ends_at: session.ends_at,
            id: id.as_str().into(),
            aor: aor.as_str().into(),
            instance: instance.as_str().into(),
            provider: provider.as_str().into(),
            subject: (*subject).into(),
            scope: (*scope).into(),
        };
        each(user, &raw const state);
    }
}
