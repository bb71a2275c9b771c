// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workers, one per process or thread: challenges, replies, offers, and what an accepted check gives. The checks
//! are in `check`.

use std::ffi::c_char;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::check::whole;
use super::config::{shared, sipoauth_context};
use super::convert::{Place, octets, structure, text};
use super::guard::{Status, guard, guard_or, guard_told};
use super::handle::Exclusive;
use super::types::*;
use crate::process::context::Context;
use crate::process::job::NOBODY;
use crate::worker::grants::Withheld;
use crate::worker::refers::ReferAnswer;
use crate::worker::replies::{Answered, Reply};
use crate::worker::result::CheckResult;
use crate::worker::{Worker, claim_text};
use sipoauth_core::check::Request;
use sipoauth_core::config::offer::SipEndpoint;
use sipoauth_core::sip::challenge::{Challenge, may_be_challenged};
use sipoauth_core::sip::uri::written_host;
use zeroize::Zeroizing;

/// The state of one process or thread. Two threads must not use it at once, and a child must not use it after a
/// fork.
pub struct sipoauth_worker {
    context: Arc<Context>,
    state: Exclusive<State>,
}

/// The part of a worker that one call at a time uses.
pub(super) struct State {
    pub worker: Worker,
    /// What the texts of the last result borrow from.
    pub last: Box<CheckResult>,
    /// A blank result for the next check.
    pub spare: Box<CheckResult>,
    claim: String,
    /// The token that was handed out last.
    token: Zeroizing<String>,
    reply: Reply,
    /// The last answer to a request about a REFER.
    pub refer: ReferAnswer,
    /// The worker may wait for networks.
    pub may_wait: bool,
    /// Names the check of the last result.
    pub check: u64,
    /// Names the job of the last PENDING result.
    pub job: u64,
    /// True while a call runs. If it is still true when the next call begins, the call before panicked.
    broken: bool,
}

impl State {
    /// Begins another check, which gets another name that is not 0.
    #[inline]
    pub fn next_check(&mut self) {
        self.check = self.check.wrapping_add(1).max(1);
    }

    /// An error when `check` does not name the last check, because the last result then belongs to another one.
    pub fn is_last(&self, check: u64) -> Status {
        if check != 0 && check == self.check { Ok(()) } else { Err(SIPOAUTH_E_STALE) }
    }
}

/// First cookie of a request that waits in sipoauth_worker_check_wait; never given to a done function.
pub(super) const WAITING: u64 = NOBODY[0];

/// Makes a worker. Call this after the fork, in the process that uses the worker; a process may have several.
/// `flags` is 0, or SIPOAUTH_WORKER_MAY_WAIT for a process or thread that handles no SIP. Only workers with that
/// flag can be used with the functions that wait.
///
/// `*out` is NULL on every failure; else the caller owns it and gives it back with sipoauth_worker_free. Returns
/// SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_CONFIG; `err` gets a sentence, as for sipoauth_config_set.
///
/// Changed in ABI version 5.
///
/// # Safety
/// Pointers are NULL or valid, `err` for `err_cap` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_new(
    context: *mut sipoauth_context,
    flags: u32,
    out: *mut *mut sipoauth_worker,
    err: *mut c_char,
    err_cap: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let context = shared(context);
        guard_told(context.as_deref(), err, err_cap, || {
            let out = Place::new(out, std::ptr::null_mut())?;
            let context = context.clone().ok_or(SIPOAUTH_E_ARGUMENT)?;
            if flags & !SIPOAUTH_WORKER_MAY_WAIT != 0 {
                return Err(SIPOAUTH_E_ARGUMENT.into());
            }
            let worker = Worker::new(Arc::clone(&context))?;
            let state = State {
                worker,
                last: Box::default(),
                spare: Box::default(),
                claim: String::new(),
                token: Zeroizing::default(),
                reply: Reply::default(),
                refer: ReferAnswer::default(),
                may_wait: flags & SIPOAUTH_WORKER_MAY_WAIT != 0,
                // The start is random, so that a check of one worker is not taken for one of another worker.
                check: RandomState::new().hash_one(()),
                job: 0,
                broken: false,
            };
            out.put(Box::into_raw(Box::new(sipoauth_worker { context, state: Exclusive::new(state) })));
            Ok(())
        })
    }
}

/// Frees a worker; NULL is allowed. In a child it frees the child's copy. Within a callback of its own it does nothing.
///
/// # Safety
/// `worker` comes from sipoauth_worker_new and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_free(worker: *mut sipoauth_worker) {
    guard_or(None, (), || {
        // SAFETY: the caller's promise: NULL or what sipoauth_worker_new returned.
        if unsafe { worker.as_ref() }.is_some_and(|worker| !worker.state.is_busy()) {
            // SAFETY: the caller gives back what sipoauth_worker_new returned.
            drop(unsafe { Box::from_raw(worker) });
        }
    });
}

/// Runs a function with the worker's state, when it belongs to this process and no other call uses it.
///
/// # Safety
/// `worker` is NULL or comes from sipoauth_worker_new and is not freed yet.
pub(super) unsafe fn with_worker(worker: *mut sipoauth_worker, run: impl FnOnce(&mut State) -> Status) -> i32 {
    // SAFETY: the caller's promise.
    let Some(worker) = (unsafe { worker.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(&worker.context), || {
        let mut state = worker.state.enter()?;
        if !state.worker.is_own_process() {
            return Err(SIPOAUTH_E_PROCESS);
        }
        if std::mem::replace(&mut state.broken, true) {
            state.worker.forget();
            *state.spare = CheckResult::default();
        }
        // The token of the last call may be among the inputs, so it is wiped afterwards.
        let _token = std::mem::take(&mut state.token);
        let status = run(&mut state);
        state.broken = false;
        status
    })
}

/// Gives a claim of the token that a check accepted, whatever sipoauth_worker_require has said since. Strings are
/// given as they are, everything else as JSON. `check` comes from the worker's last result. `path` is dotted
/// ("realm_access.roles"). `value` borrows from the worker until its next call; it is empty after a failure.
///
/// Claims are not kept: those of a token that another process has verified, or this one long ago, are read from the
/// token again, which takes some microseconds, and for an encrypted token as long as decrypting it.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (no token was accepted), SIPOAUTH_E_ABSENT (the token
/// has no such claim, or cannot be read again), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// Changed in ABI version 5.
///
/// # Safety
/// `worker` and `value` are NULL or valid, `path` is valid for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_claim(
    worker: *mut sipoauth_worker,
    check: u64,
    path: sipoauth_str,
    value: *mut sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let value = match Place::new(value, sipoauth_str::EMPTY) {
            Ok(value) => value,
            Err(status) => return status,
        };
        with_worker(worker, |state| {
            let path = text(path)?;
            state.is_last(check)?;
            if state.last.granted.is_none() || state.last.shown().is_none() {
                return Err(SIPOAUTH_E_STATE);
            }
            let accepted = state.worker.token_of(&state.last).ok_or(SIPOAUTH_E_ABSENT)?;
            state.claim = claim_text(&accepted.payload, &path).ok_or(SIPOAUTH_E_ABSENT)?;
            value.put(state.claim.as_str().into());
            Ok(())
        })
    }
}

/// Gives the access token of the request that a check accepted, for a request to `next_hop` (sip-oauth-01 section
/// 3.8). For a code or proof it is the token that the proxy holds. `check` comes from the worker's last result.
/// `next_hop` is the SIP URI to which the request really goes; it must be one of the setting
/// `application_servers`. If the token was encrypted for this proxy, the signed token inside it is given, and only
/// where that setting asks for TLS. `token` is a secret. The host writes it after `Bearer` into the Authorization
/// header field of that request and nowhere else. It borrows from the worker until its next call, which wipes it;
/// it is empty after a failure. Never blocks.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_MISMATCH (this next hop gets no token), SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (the
/// check was not accepted), SIPOAUTH_E_STORE (the session's token is not available now, because it is in Redis,
/// has ended, or the store fails), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// Changed in ABI version 5.
///
/// # Safety
/// `worker` and `token` are NULL or valid, `next_hop` is valid for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_token(
    worker: *mut sipoauth_worker,
    check: u64,
    next_hop: sipoauth_str,
    token: *mut sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let place = match Place::new(token, sipoauth_str::EMPTY) {
            Ok(place) => place,
            Err(status) => return status,
        };
        with_worker(worker, |state| {
            let next_hop = text(next_hop)?;
            state.is_last(check)?;
            state.token = state.worker.token_for(&state.last, &next_hop).map_err(|withheld| match withheld {
                Withheld::NotAccepted => SIPOAUTH_E_STATE,
                Withheld::ForeignNextHop | Withheld::Unprotected => SIPOAUTH_E_MISMATCH,
                Withheld::NotNow => SIPOAUTH_E_STORE,
            })?;
            place.put(state.token.as_str().into());
            Ok(())
        })
    }
}

/// Gives the body that the 2xx to a REGISTER must carry when its check was accepted with token_response = 1
/// (sip-oauth-01 section 4.3). `check` comes from the worker's last result. The body is of type application/json,
/// a JSON object with access_token, token_type, expires_in, scope and, if there is one, refresh_token. It is a
/// secret of the phone. It borrows from the worker until its next call, which wipes it; it is empty after a
/// failure. Never blocks. Since ABI version 4.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (it was not such a check), SIPOAUTH_E_STORE (the tokens
/// are not available, so the answer must become a 503), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY
/// or SIPOAUTH_E_PANIC.
///
/// Changed in ABI version 5.
///
/// # Safety
/// `worker` and `body` are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_token_response(
    worker: *mut sipoauth_worker,
    check: u64,
    body: *mut sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let place = match Place::new(body, sipoauth_str::EMPTY) {
            Ok(place) => place,
            Err(status) => return status,
        };
        with_worker(worker, |state| {
            state.is_last(check)?;
            state.token = state.worker.grants().token_response(&state.last).map_err(|withheld| match withheld {
                Withheld::NotAccepted => SIPOAUTH_E_STATE,
                _ => SIPOAUTH_E_STORE,
            })?;
            place.put(state.token.as_str().into());
            Ok(())
        })
    }
}

/// Asks the I/O service to do what a PENDING request needs. `job` comes from the last result of this worker.
/// `reply_to_tag` is the To tag that the final answer to the request will have, if it is known only now that the
/// request is parked; else it is empty. Never blocks. When the request can go on, at the latest after
/// pending_timeout, the cookies come back through the done function of sipoauth_io_step, in the I/O service's
/// process. Then check the request again with SIPOAUTH_CHECK_RESUMED, in any process.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_FULL (max_pending is reached; call sipoauth_worker_refuse), SIPOAUTH_E_STALE
/// (`job` is not that of the last result), SIPOAUTH_E_ARGUMENT (also when cookie0 is UINT64_MAX),
/// SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid, `reply_to_tag` valid for its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_submit(
    worker: *mut sipoauth_worker,
    job: u64,
    reply_to_tag: sipoauth_str,
    cookie0: u64,
    cookie1: u64,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |state| {
            let to_tag = octets(reply_to_tag)?;
            if cookie0 == WAITING {
                return Err(SIPOAUTH_E_ARGUMENT);
            }
            let work = state.last.pending.clone().filter(|_| job == state.job).ok_or(SIPOAUTH_E_STALE)?;
            state.worker.waits().submit(work, to_tag, [cookie0, cookie1]).map_err(|_| SIPOAUTH_E_FULL)
        })
    }
}

/// Makes a challenge (RFC 8898 section 4): WWW-Authenticate or Proxy-Authenticate with the Bearer scheme, then
/// Location (and Contact) if the setting `location` asks for it. Its status is 401, 407 or 302. A host that also
/// challenges by other schemes adds the header lines to its own answer. Never blocks.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_STATE (a request of this method is not challenged), SIPOAUTH_E_ARGUMENT,
/// SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC. After a failure `reply` says 503.
///
/// Changed in ABI version 5.
///
/// # Safety
/// `worker` and `challenge` are NULL or valid, texts for their lengths, `reply` as for sipoauth_worker_reply.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_challenge(
    worker: *mut sipoauth_worker,
    challenge: *const sipoauth_challenge,
    reply: *mut sipoauth_reply,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        replying(worker, reply, |state| {
            let c = structure(challenge)?;
            let proxy = role_is_proxy(c.role)?;
            if !may_be_challenged(&text(c.method)?) {
                return Err(SIPOAUTH_E_STATE);
            }
            let (realm, domain, error, scope) = (text(c.realm)?, text(c.domain)?, text(c.error)?, text(c.scope)?);
            let challenge = Challenge { proxy, realm: &realm, error: &error, scope: &scope, ..Challenge::default() };
            let (status, lines) = state.worker.replies().challenge(&challenge, &domain);
            Ok(Reply::challenge(status, lines))
        })
    }
}

/// Makes the answer to a request that was not accepted: status, Reason-Phrase and header lines (a challenge,
/// Retry-After, Accept, or the Date that lets a phone correct its clock, RFC 4474 section 6). `check` comes from
/// the worker's last result, or from a later result of sipoauth_worker_require or sipoauth_worker_refuse; 0 gives
/// the answer for a check that has failed. The function reads these members of `request`: role, method, realm,
/// from_uri, to_uri and source_ip (for the log). After a failure `reply` says 503 with Retry-After. Never blocks.
/// Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_STALE, SIPOAUTH_E_STATE (the request was accepted), SIPOAUTH_E_ARGUMENT,
/// SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid; `request` and what it points to is valid during the call; `reply` is NULL or valid
/// and its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_reply(
    worker: *mut sipoauth_worker,
    check: u64,
    request: *const sipoauth_request,
    reply: *mut sipoauth_reply,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        replying(worker, reply, |state| {
            let r = whole(request)?;
            let (method, realm, from, to) = (text(r.method)?, text(r.realm)?, text(r.from_uri)?, text(r.to_uri)?);
            let asked = Request { method: &method, from: &from, to: &to, ..Request::default() };
            let domain = written_host(asked.address());
            let source = text(r.source_ip)?;
            let proxy = role_is_proxy(r.role)?;
            let answered = Answered { method: &method, realm: &realm, domain, proxy, source: &source };
            let mut failed = CheckResult::default();
            let result = match check {
                0 => &mut failed,
                _ => {
                    state.is_last(check)?;
                    &mut *state.last
                }
            };
            state.worker.replies().to(result, &answered).ok_or(SIPOAUTH_E_STATE)
        })
    }
}

/// Gives the caller a reply whose texts stay in the worker until its next call; 503 after a failure.
///
/// # Safety
/// `worker` is NULL or valid; `reply` is NULL or valid and its struct_size set.
pub(super) unsafe fn replying(
    worker: *mut sipoauth_worker,
    reply: *mut sipoauth_reply,
    make: impl FnOnce(&mut State) -> Result<Reply, i32>,
) -> i32 {
    let blank = sipoauth_reply {
        struct_size: 0,
        status: 503,
        phrase: "Service Unavailable".into(),
        headers: "Retry-After: 5\r\n".into(),
    };
    let mut size = 0;
    // SAFETY: the caller's promise.
    unsafe {
        let place = Place::structure(reply, |struct_size| {
            size = struct_size;
            sipoauth_reply { struct_size, ..blank }
        });
        let place = match place {
            Ok(place) => place,
            Err(status) => return status,
        };
        with_worker(worker, |state| {
            // The texts of the last reply may be among the inputs, so they live until here.
            state.reply = make(state)?;
            let Reply { status, phrase, headers } = &state.reply;
            place.put(sipoauth_reply {
                struct_size: size,
                status: *status,
                phrase: phrase.as_str().into(),
                headers: headers.as_str().into(),
            });
            Ok(())
        })
    }
}

/// Tells which challenge the configuration offers an endpoint, as a SIPOAUTH_OFFER_ number in `*offer`. Many
/// phones cannot parse a Bearer challenge, even beside a Digest one. After a failure `*offer` is
/// SIPOAUTH_OFFER_BEARER.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker`, `endpoint` and `offer` are NULL or valid, texts for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_offer(
    worker: *mut sipoauth_worker,
    endpoint: *const sipoauth_endpoint,
    offer: *mut u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let offer = match Place::new(offer, SIPOAUTH_OFFER_BEARER) {
            Ok(offer) => offer,
            Err(status) => return status,
        };
        with_worker(worker, |state| {
            let e = structure(endpoint)?;
            let (transport, port) = (transport_name(e.transport)?, port(e.local_port)?);
            let (user_agent, domain, supported) = (text(e.user_agent)?, text(e.domain)?, text(e.supported)?);
            let endpoint =
                SipEndpoint { user_agent: &user_agent, transport, domain: &domain, port, supported: &supported };
            offer.put(state.worker.offer(&endpoint) as u32);
            Ok(())
        })
    }
}

pub(super) fn role_is_proxy(role: u32) -> Result<bool, i32> {
    match role {
        SIPOAUTH_ROLE_UAS => Ok(false),
        SIPOAUTH_ROLE_PROXY => Ok(true),
        _ => Err(SIPOAUTH_E_ARGUMENT),
    }
}

pub(super) fn transport_name(transport: u32) -> Result<&'static str, i32> {
    match transport {
        SIPOAUTH_TRANSPORT_UNKNOWN => Ok(""),
        SIPOAUTH_TRANSPORT_UDP => Ok("udp"),
        SIPOAUTH_TRANSPORT_TCP => Ok("tcp"),
        SIPOAUTH_TRANSPORT_TLS => Ok("tls"),
        SIPOAUTH_TRANSPORT_SCTP => Ok("sctp"),
        SIPOAUTH_TRANSPORT_WS => Ok("ws"),
        SIPOAUTH_TRANSPORT_WSS => Ok("wss"),
        _ => Err(SIPOAUTH_E_ARGUMENT),
    }
}

pub(super) fn port(port: u32) -> Result<u16, i32> {
    u16::try_from(port).map_err(|_| SIPOAUTH_E_ARGUMENT)
}
