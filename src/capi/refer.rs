// SPDX-License-Identifier: MIT OR Apache-2.0
//! REFER and its events: requests about them, the NOTIFY requests that the host sends, and what messages that pass must
//! not have.

use std::ffi::c_void;

use super::check::with_request;
use super::convert::{Place, octets, text};
use super::guard::{guard, guard_or};
use super::io::sipoauth_io;
use super::types::*;
use super::worker::{sipoauth_worker, with_worker};
use crate::worker::refers::{Asked, ReferAnswer, Socket};
use sipoauth_core::refer::conformity::{Conformity, of_request, of_response, without_tags};
use sipoauth_core::refer::progress::Status;
use sipoauth_core::refer::reference::Subscribing;
use sipoauth_core::refer::state_id::StateId;
use sipoauth_core::sip::message::MessageView;

/// Handles a request about a REFER. `what` says in which role:
///
/// - SIPOAUTH_REFER_CHECK: a proxy lets any request pass. A REFER must keep the rules of RFC 3515, RFC 7647 and RFC 7614
///   and of the settings refer_in_dialog, refer_contact and refer_explicit; another request must not require explicitsub
///   or nosub.
/// - SIPOAUTH_REFER_ACCEPT: the host answers a REFER itself and is its event server. The answer is 200, never 202. With
///   explicitsub it has Refer-Events-At, with nosub nothing is kept, and without both the REFER's own dialog is the
///   subscription.
/// - SIPOAUTH_REFER_SUBSCRIBE: a SUBSCRIBE for the event package refer arrives at the event server: a new subscription, a
///   refresh, or an end.
/// - SIPOAUTH_REFER_PUBLISH: a PUBLISH (RFC 3903) changes a state.
/// - SIPOAUTH_REFER_FOLLOW: the REFER goes on to a phone of before RFC 7614, without its option tags
///   (SIPOAUTH_CONFORM_WITHOUT_TAGS). With explicitsub the state is kept here: the host adds Refer-Events-At with
///   events_uri to the 2xx, and tells by sipoauth_worker_refer_update what the phone's own NOTIFY requests say.
/// - SIPOAUTH_REFER_LOOK: would a REFER be accepted or followed? Nothing is counted or kept, so a host can refuse it
///   before it takes memory for it.
///
/// `request` must have message, transport, source_ip, source_port and vias, and, except for SIPOAUTH_REFER_CHECK, the
/// reply_to_tag with which the answer will leave, and for PUBLISH the body. `check` names the worker's last check if that
/// has accepted the sender, else 0: the settings refer_subscriber and refer_limit go by it. `socket` names the host's
/// socket at which the request arrived, and comes back with each NOTIFY. `address` is how others reach that socket,
/// HOST:PORT. `cseq`, at most 2^31 - 1, is for a REFER within a dialog that creates a subscription there: the last CSeq of
/// the party in whose name the NOTIFY requests are sent, which goes on from there (RFC 3261 section 12.2.1.1); else 0.
///
/// The caller sends the answer of `refer` if its status is not 0, and then calls sipoauth_worker_refer_sent. Never blocks.
/// Since ABI version 5.
///
/// Returns SIPOAUTH_OK when `refer` holds an answer, whatever it is; else SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS,
/// SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC, and `refer` says 503.
///
/// # Safety
/// `worker` is NULL or valid; `request` and what it points to is valid during the call, and so is `address`; `refer` is
/// NULL or valid and its struct_size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_refer(
    worker: *mut sipoauth_worker,
    what: u32,
    request: *const sipoauth_request,
    check: u64,
    socket: u64,
    address: sipoauth_str,
    cseq: u32,
    refer: *mut sipoauth_refer,
) -> i32 {
    let mut size = 0;
    // SAFETY: the caller's promise.
    unsafe {
        let place = Place::structure(refer, |struct_size| {
            size = struct_size;
            sipoauth_refer { struct_size, ..FAILED }
        });
        let place = match place {
            Ok(place) => place,
            Err(status) => return status,
        };
        with_worker(worker, |state| {
            let address = text(address)?;
            let socket = Socket { number: socket, address: &address };
            let is_accepted = state.is_last(check).is_ok() && state.last.granted.is_some();
            let answer = with_request(request, |request, handling| {
                let accepted = is_accepted.then_some(&*state.last);
                let asked = Asked { request, handling, socket, accepted, cseq };
                let refers = state.worker.refers();
                match what {
                    SIPOAUTH_REFER_CHECK => Ok(refers.check(&asked)),
                    SIPOAUTH_REFER_ACCEPT => Ok(refers.accept(&asked)),
                    SIPOAUTH_REFER_SUBSCRIBE => Ok(refers.subscribe(&asked)),
                    SIPOAUTH_REFER_PUBLISH => Ok(refers.publish(&asked)),
                    SIPOAUTH_REFER_FOLLOW => Ok(refers.follow(&asked)),
                    SIPOAUTH_REFER_LOOK => Ok(refers.look(&asked)),
                    _ => Err(SIPOAUTH_E_ARGUMENT),
                }
            })??;
            state.refer = answer;
            place.put(shown(&state.refer, size));
            Ok(())
        })
    }
}

const FAILED: sipoauth_refer = sipoauth_refer {
    struct_size: 0,
    status: 503,
    subscribing: SIPOAUTH_SUBSCRIBING_UNKNOWN,
    refused: 1,
    phrase: sipoauth_str::of("Service Unavailable"),
    headers: sipoauth_str::of("Retry-After: 5\r\n"),
    reason: sipoauth_str::of("internal_error"),
    reason_text: sipoauth_str::of("An internal error was caught; please report it."),
    id: sipoauth_str::EMPTY,
    refer_to: sipoauth_str::EMPTY,
    target_call_id: sipoauth_str::EMPTY,
    target_local_tag: sipoauth_str::EMPTY,
    target_remote_tag: sipoauth_str::EMPTY,
    events_uri: sipoauth_str::EMPTY,
    publish_uri: sipoauth_str::EMPTY,
};

/// What the caller sees of an answer. Its texts borrow from the answer.
fn shown(answer: &ReferAnswer, struct_size: u32) -> sipoauth_refer {
    let ReferAnswer { reason, reply, facts, id, events_uri, publish_uri, .. } = answer;
    let [call_id, local_tag, remote_tag] = &facts.target;
    sipoauth_refer {
        struct_size,
        status: reply.status,
        subscribing: match facts.subscribing {
            None => SIPOAUTH_SUBSCRIBING_UNKNOWN,
            Some(Subscribing::Implicit) => SIPOAUTH_SUBSCRIBING_IMPLICIT,
            Some(Subscribing::Explicit) => SIPOAUTH_SUBSCRIBING_EXPLICIT,
            Some(Subscribing::None) => SIPOAUTH_SUBSCRIBING_NONE,
        },
        refused: reason.is_some().into(),
        phrase: reply.phrase.as_str().into(),
        headers: reply.headers.as_str().into(),
        reason: reason.map_or("", |reason| reason.code()).into(),
        reason_text: reason.map_or("", |reason| reason.text()).into(),
        id: id.as_str().into(),
        refer_to: facts.refer_to.as_str().into(),
        target_call_id: call_id.as_str().into(),
        target_local_tag: local_tag.as_str().into(),
        target_remote_tag: remote_tag.as_str().into(),
        events_uri: events_uri.as_str().into(),
        publish_uri: publish_uri.as_str().into(),
    }
}

/// The host calls this when the answer of sipoauth_worker_refer has left, so that no NOTIFY overtakes it. Without this
/// call no NOTIFY is sent. Never blocks. Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_refer_sent(worker: *mut sipoauth_worker) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |state| {
            state.worker.refers().begin(&mut state.refer);
            Ok(())
        })
    }
}

/// Tells how far a referred request has come. `id` is the name of its state. `status` is a status of 100 to 699, a status
/// with its phrase, or a status line of SIP/2.0; subscribers see the status with its usual phrase. A final one stays.
/// Never blocks. Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ABSENT (there is no such REFER any more), SIPOAUTH_E_STATE (it has ended already),
/// SIPOAUTH_E_INPUT (no status), SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid, texts for their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_refer_update(
    worker: *mut sipoauth_worker,
    id: sipoauth_str,
    status: sipoauth_str,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |state| {
            let status = Status::parse(&text(status)?).ok_or(SIPOAUTH_E_INPUT)?;
            let id = StateId::parse(&text(id)?).ok_or(SIPOAUTH_E_ABSENT)?;
            let updated = state.worker.refers().update(&id, status).ok_or(SIPOAUTH_E_ABSENT)?;
            updated.map_err(|_| SIPOAUTH_E_STATE)
        })
    }
}

/// Takes note of the final response to a NOTIFY: `subscription` is that of the sipoauth_notify, `code` the status, 408 when
/// none came. A refused one ends the subscription (RFC 6665 section 4.2.2). Any process. Never blocks. Since ABI version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `worker` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_worker_refer_notified(
    worker: *mut sipoauth_worker,
    subscription: u64,
    code: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        with_worker(worker, |state| {
            state.worker.refers().notified(subscription, code);
            Ok(())
        })
    }
}

/// Tells what a proxy changes in a message that passes. Refer-Events-At is only in a 2xx to a REFER that requires
/// explicitsub, once and well-formed (RFC 7614 section 4.8), and a 202 to a REFER becomes a 200 (RFC 7647 section 5).
/// `message` is the whole message as it was received, `request` the REFER that a response answers, or empty if the host
/// does not have it. `flags` is 0, or SIPOAUTH_CONFORM_WITHOUT_TAGS for a REFER. Writes the changes to `edits`, at most
/// `room`, in the order of their places; the digits of the status are not among them. `*count` gets their number, also
/// with SIPOAUTH_E_SPACE. `*status` gets the new status of a response, or 0. Any process, any thread. Since ABI version
/// 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_SPACE, SIPOAUTH_E_INPUT (it is no SIP message), SIPOAUTH_E_ARGUMENT or SIPOAUTH_E_PANIC.
///
/// # Safety
/// Texts are valid for their lengths, `edits` for `room` edits, `count` and `status` are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_refer_conform(
    message: sipoauth_str,
    request: sipoauth_str,
    flags: u32,
    edits: *mut sipoauth_edit,
    room: usize,
    count: *mut usize,
    status: *mut u32,
) -> i32 {
    guard(None, || {
        // SAFETY: the caller's promise.
        let (message, request, count, status) =
            unsafe { (octets(message)?, octets(request)?, Place::new(count, 0)?, Place::new(status, 0)?) };
        if edits.is_null() && room > 0 || flags & !SIPOAUTH_CONFORM_WITHOUT_TAGS != 0 {
            return Err(SIPOAUTH_E_ARGUMENT);
        }
        let message = MessageView::new(message).ok_or(SIPOAUTH_E_INPUT)?;
        let request = if request.is_empty() { None } else { MessageView::new(request) };
        let is_response = message.first_line().starts_with(b"SIP/");
        let conformity = if is_response { of_response(&message, request.as_ref()) } else { of_request(&message) };
        let Conformity { status: new_status, edits: mut changes } = conformity;
        if flags & SIPOAUTH_CONFORM_WITHOUT_TAGS != 0 {
            changes.extend(without_tags(&message));
            changes.sort_by_key(|change| change.at);
        }
        status.put(new_status.map_or(0, u32::from));
        count.put(changes.len());
        if changes.len() > room {
            return Err(SIPOAUTH_E_SPACE);
        }
        for (at, change) in changes.iter().enumerate() {
            let edit = sipoauth_edit { at: change.at, length: change.length, text: change.text.into() };
            // SAFETY: the caller vouches for as many edits as there is room for, which was compared.
            unsafe { edits.add(at).write(edit) };
        }
        Ok(())
    })
}

/// Gives the host the NOTIFY requests that are due. Call it after each sipoauth_io_step, in the same process. Since ABI
/// version 5.
///
/// Returns SIPOAUTH_OK, SIPOAUTH_E_ARGUMENT, SIPOAUTH_E_PROCESS, SIPOAUTH_E_BUSY or SIPOAUTH_E_PANIC.
///
/// # Safety
/// `io` is NULL or comes from sipoauth_io_new; `send` must return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_notify(io: *mut sipoauth_io, send: sipoauth_notify_fn, user: *mut c_void) -> i32 {
    // SAFETY: the caller's promise.
    let Some(io) = (unsafe { io.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(io.context()), || {
        let send = send.ok_or(SIPOAUTH_E_ARGUMENT)?;
        io.enter()?.send_notifies(&mut |outgoing| {
            let (subscriber, notice) = (outgoing.subscriber, &outgoing.notice);
            let view = subscriber.dialog.view();
            let (mut headers, body) = (notice.header_lines(view.contact, &subscriber.event_id), notice.status.line());
            // Servers go by a route set before they go by a destination, so the routes are header lines then.
            let is_sent_there = !view.destination.is_empty() && !view.routes.is_empty();
            if is_sent_there {
                headers.insert_str(0, &format!("Route: {}\r\n", view.routes));
            }
            let notify = sipoauth_notify {
                struct_size: size_of::<sipoauth_notify>() as u32,
                cseq: notice.cseq,
                subscription: outgoing.subscription,
                socket: subscriber.socket,
                call_id: view.call_id.into(),
                local_tag: view.local_tag.into(),
                remote_tag: view.remote_tag.into(),
                local_uri: view.local_uri.into(),
                remote_uri: view.remote_uri.into(),
                target: view.target.into(),
                routes: if is_sent_there { "" } else { view.routes }.into(),
                destination: view.destination.into(),
                headers: headers.as_str().into(),
                body: body.as_str().into(),
            };
            guard_or(Some(io.context()), false, || send(user, &notify) == SIPOAUTH_OK)
        });
        Ok(())
    })
}

/// Tells the host which REFERs have ended since the last call. Call it after sipoauth_io_notify. Since ABI version 5.
///
/// Returns as sipoauth_io_notify.
///
/// # Safety
/// `io` is NULL or comes from sipoauth_io_new; `each` is NULL or must return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sipoauth_io_refers_ended(
    io: *mut sipoauth_io,
    each: sipoauth_refer_ended_fn,
    user: *mut c_void,
) -> i32 {
    // SAFETY: the caller's promise.
    let Some(io) = (unsafe { io.as_ref() }) else {
        return SIPOAUTH_E_ARGUMENT;
    };
    guard(Some(io.context()), || {
        let ended: Vec<_> = io.enter()?.take_ended_refers().collect();
        let Some(each) = each else { return Ok(()) };
        for refer in &ended {
            each(user, refer.id.text().as_str().into(), refer.owner.as_str().into(), refer.status.code().into());
        }
        Ok(())
    })
}
