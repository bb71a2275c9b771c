// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions: the end of a registration with a code, and the calls by which an operator sees and ends sessions.

use std::ffi::{c_char, c_void};

use super::config::{shared, sipoauth_context};
use super::convert::{Buffer, Place, octets, text};
use super::guard::{guard, guard_or};
use super::types::*;
use super::worker::{sipoauth_worker, with_worker};
use crate::store::session_admin::ListedSession;
use crate::store::sessions::SessionError;
use crate::worker::Handling;
use crate::worker::logouts::Logout;
use sipoauth_core::records::session::{Session, id_text};
use sipoauth_core::records::session_end::{Bindings, SessionEnd};
use sipoauth_core::text::fingerprint::visible;

/// The host calls this before the final answer to a request whose result had confirm = 1 leaves. `ticket` is that
/// of the result. `status` is that of the answer, 200 to 699. `to_tag` is the To tag of the answer as it goes out
/// (3rd-party-authentication section 2.1.2); it is not empty with a 2xx.
///
/// With a 2xx, the library stores the key of the registration, unless it is stored already, and notes that the
/// answer leaves. From then on the code serves no other phone. If the host does not call this, the code stays open
/// to the network of its phone for 32 s. With any other status the library takes the key back, as far as that is
/// possible at once, and the phone may come again with the same code. Never waits for a network.
///
/// Returns SIPOAUTH_OK when the answer may leave. After any other return a 2xx must not leave. It must become a
/// 503 with Retry-After of `*retry_after` seconds (`retry_after` may be NULL), because the phone would otherwise
/// hold a key that nobody knows. For a 2xx only: SIPOAUTH_E_STORE (the key is not stored), SIPOAUTH_E_ABSENT (the
/// code's time is over), SIPOAUTH_E_INPUT (the ticket cannot be read, or the tag is empty), SIPOAUTH_E_STATE
/// (there is no store). For any answer: SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or
/// SIPOAUTH_E_PANIC. An answer that is not a 2xx may leave whatever is returned. Since ABI version 5.
///
/// # Safety
/// `worker` and `retry_after` are NULL or valid, texts valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_answered(
    worker: *mut sipoauth_worker,
    ticket: sipoauth_str,
    status: u32,
    to_tag: sipoauth_str,
    retry_after: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let place = match (!retry_after.is_null()).then(|| Place::new(retry_after, 5)).transpose() {
            Ok(place) => place,
            Err(status) => return status,
        };
        let tell = |seconds| {
            if let Some(place) = &place {
                place.put(seconds);
            }
        };
        with_worker(worker, |state| {
            let (ticket, to_tag) = (text(ticket)?, octets(to_tag)?);
            if !(200..700).contains(&status) {
                return Err(SIPOAUTH_E_ARGUMENT);
            }
            match state.worker.registrations().answered(&ticket, status, to_tag) {
                Ok(()) => {
                    tell(0);
                    Ok(())
                }
                Err((error, seconds)) => {
                    tell(seconds);
                    Err(number(error))
                }
            }
        })
    }
}

/// Shows the sessions of `aor` (a SIP URI), or, when `aor` is empty, all sessions, some accounts at a time. `from`
/// is empty in the first call. In each later call it is what the call before wrote to `next` (NUL-terminated, at
/// most `next_cap` octets, 160 are enough). An empty `next` means the end. A session that changes meanwhile may
/// appear twice. Call this after the fork, in any process and thread. With a Redis store the call waits for Redis,
/// at most store_timeout for each of its steps, so a SIP worker should not make it.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_STATE (sessions are not configured), SIPOAUTH_E_INPUT (`aor` is no SIP address),
/// SIPOAUTH_E_STORE, SIPOAUTH_E_SPACE, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
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
        let page = context.admin().list_sessions(&aor, &from).map_err(number)?;
        show(&page.sessions, each, user);
        next.put(format!("{}\0", page.next.unwrap_or_default()).as_bytes())
    })
}

/// Ends the session of `aor` that `session` (32 hex digits) names. With an empty `session` it ends all sessions of
/// `aor`, and with both empty all sessions. Their phones are challenged with the next request (403, 401 or 407 as
/// usual). `each` is called for every session that was ended, may ask sipoauth_binding_ends about its bindings, and `*count`
/// gets their number. Other hosts that share the store are told by sipoauth_io_ended. Where this may be
/// called and how long it may wait: see sipoauth_context_sessions.
///
/// Returns SIPOAUTH_OK, also when there was nothing to end; otherwise as sipoauth_context_sessions.
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
        let ended =
            if all { context.admin().revoke_all_sessions() } else { context.admin().revoke_sessions(&aor, &session) };
        let ended = ended.map_err(number)?;
        if let Some(each) = each {
            ended.iter().for_each(|end| with_end(end, |state| each(user, state)));
        }
        count.put(ended.len() as u64);
        Ok(())
    })
}

pub(super) fn number(error: SessionError) -> i32 {
    match error {
        SessionError::NotConfigured => SIPOAUTH_E_STATE,
        SessionError::Malformed => SIPOAUTH_E_INPUT,
        SessionError::NotThere => SIPOAUTH_E_ABSENT,
        SessionError::Store(_) => SIPOAUTH_E_STORE,
    }
}

fn show(sessions: &[ListedSession], each: sipoauth_session_fn, user: *mut c_void) {
    let Some(each) = each else {
        return;
    };
    for ListedSession { aor, session } in sessions {
        with_state(aor, session, |state| each(user, state));
    }
}

/// Flags in the first octet of `sipoauth_session_state.bindings`.
const NAMELESS: u8 = 1;
const ALL_BUT: u8 = 2;

/// Tells whether a binding goes with a session that has ended: one that the phone has made with this `+sip.instance` (with or
/// without its brackets) and this Call-ID. `session` is what a callback has been given, during that callback. Any process,
/// any thread; never blocks. Since ABI version 5.
///
/// Returns 1 or 0, or after a failure SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `session` is NULL or valid; texts are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_binding_ends(
    session: *const sipoauth_session_state,
    instance: sipoauth_str,
    call_id: sipoauth_str,
) -> i32 {
    guard_or(None, SIPOAUTH_E_PANIC, || {
        // SAFETY: the caller's promise.
        let Some(session) = (unsafe { session.as_ref() }) else { return SIPOAUTH_E_ARGUMENT };
        // SAFETY: the caller's promise.
        let texts =
            || unsafe { Ok((text(session.instance)?, octets(session.bindings)?, text(instance)?, octets(call_id)?)) };
        texts().map_or_else(
            |status: i32| status,
            |(own, packed, instance, call_id)| {
                let Some((flags, names)) = packed.split_first() else { return 0 };
                let (names, _) = names.as_chunks();
                let (nameless, all_but) = (flags & NAMELESS != 0, flags & ALL_BUT != 0);
                Bindings { call_ids: names, all_but, instance: &own, nameless }.have(&instance, call_id).into()
            },
        )
    })
}

/// A session that has ended, as the host sees it, for the time of this call.
pub(super) fn with_end<T>(end: &SessionEnd, use_it: impl FnOnce(*const sipoauth_session_state) -> T) -> T {
    let bindings = end.bindings();
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let flags = flag(bindings.nameless, NAMELESS) | flag(bindings.all_but, ALL_BUT);
    let packed = [&[flags], bindings.call_ids.as_flattened()].concat();
    with_bindings(&end.aor, &end.session, &packed, use_it)
}

/// A session as the host sees it, for the time of this call.
pub(super) fn with_state(aor: &str, session: &Session, use_it: impl FnOnce(*const sipoauth_session_state)) {
    with_bindings(aor, session, b"", use_it);
}

fn with_bindings<T>(
    aor: &str,
    session: &Session,
    bindings: &[u8],
    use_it: impl FnOnce(*const sipoauth_session_state) -> T,
) -> T {
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
        aor: aor.into(),
        instance: instance.as_str().into(),
        provider: provider.as_str().into(),
        subject: (*subject).into(),
        scope: (*scope).into(),
        name: session.name.as_str().into(),
        device: session.device.as_str().into(),
        bindings: sipoauth_str { ptr: bindings.as_ptr().cast(), len: bindings.len() },
    };
    use_it(&raw const state)
}

/// Takes a logout token of an authorization server (OpenID Connect Back-Channel Logout 1.0 section 2.5), for a host with an
/// HTTP server: the server says that a user has logged out. `form` is the body of the POST
/// (application/x-www-form-urlencoded), `source_ip` the sender's address as text, for the log and for limits. Needs the
/// setting back_channel_logout. Never blocks. Since ABI version 5.
///
/// Returns SIPOAUTH_OK when the token is good: its sessions end within a second, here and at all proxies that share the
/// store, and hosts are told by sipoauth_io_ended. Answer 200. Otherwise SIPOAUTH_E_MISMATCH (it is not good: answer 400),
/// SIPOAUTH_E_FULL (it cannot be judged now, because its key is not known here; its sessions end if it turns out to be good:
/// answer 503), SIPOAUTH_E_STATE (logout tokens are not configured), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY
/// or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid; texts are valid for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_log_out(
    worker: *mut sipoauth_worker,
    form: sipoauth_str,
    source_ip: sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |state| {
            let (form, source) = (octets(form)?, text(source_ip)?);
            match state.worker.log_out(form, &Handling { source: &source, ..Handling::default() }) {
                Logout::Taken => Ok(()),
                Logout::Refused => Err(SIPOAUTH_E_MISMATCH),
                Logout::NotNow => Err(SIPOAUTH_E_FULL),
                Logout::NotConfigured => Err(SIPOAUTH_E_STATE),
            }
        })
    }
}
