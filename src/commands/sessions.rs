// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands about sessions: list, show, revoke.

use std::ffi::CStr;

use super::{Call, Fault, Full, Outcome};
use crate::store::session_admin::ListedSession;
use crate::store::sessions::SessionError;
use sipoauth_core::records::session::id_text;
use sipoauth_core::text::fingerprint::visible;

const REVOKED: &CStr = c"session_revoked";
const WHY: &str = "The operator has ended the session.";

fn fault(error: SessionError) -> Fault {
    Fault::of_store("Sessions", "session store", &error)
}

pub fn list(call: &mut Call<'_>) -> Outcome {
    let page = call.admin().list_sessions("", &call.text(0)).map_err(fault)?;
    add(call, &page.sessions)?;
    call.next(page.next)
}

pub fn show(call: &mut Call<'_>) -> Outcome {
    let page = call.admin().list_sessions(&call.address()?, "").map_err(fault)?;
    Ok(add(call, &page.sessions)?)
}

fn add(call: &mut Call<'_>, sessions: &[ListedSession]) -> Result<(), Full> {
    for ListedSession { aor, session } in sessions {
        call.host.item()?;
        call.host.text(c"aor", aor)?;
        call.host.text(c"id", &id_text(&session.id))?;
        call.host.text(c"instance", &session.instance)?;
        call.host.text(c"provider", &session.provider)?;
        call.host.text(c"subject", &visible(&session.subject))?;
        call.host.text(c"scope", &visible(&session.scope))?;
        call.time(c"created_at", session.created_at)?;
        call.time(c"valid_until", session.valid_until)?;
        call.time(c"ends_at", session.ends_at)?;
        call.host.number(c"keys", session.keys.len() as u64)?;
        call.host.number(c"renewable", session.renewable.into())?;
        call.host.number(c"weak", session.weak.into())?;
    }
    Ok(())
}

pub fn revoke(call: &mut Call<'_>) -> Outcome {
    let ended = call.admin().revoke_sessions(&call.address()?, &call.text(1)).map_err(fault)?;
    let mut removed = 0;
    for session in &ended {
        removed += end(call, session);
    }
    if let Some(ListedSession { aor, .. }) = ended.first() {
        removed += remove_nameless(call, aor);
    }
    report(call, ended.len(), removed)
}

pub fn revoke_all(call: &mut Call<'_>) -> Outcome {
    let ended = call.admin().revoke_all_sessions().map_err(fault)?;
    let mut removed = 0;
    for session in &ended {
        removed += end(call, session) + call.host.remove_bindings(&session.aor, "");
    }
    report(call, ended.len(), removed)
}

/// Removes the bindings of a session that was ended, so that calls no longer reach its phone. Returns how many there were.
fn end(call: &mut Call<'_>, ended: &ListedSession) -> u64 {
    let removed = call.host.remove_bindings(&ended.aor, &ended.session.instance);
    call.host.ended(ended, REVOKED, WHY);
    removed
}

/// A phone may have used its session also in a REGISTER whose Contact has no instance. Nothing tells whose such a binding
/// is, so it goes, unless a session without an instance is left.
fn remove_nameless(call: &mut Call<'_>, aor: &str) -> u64 {
    let left = call.admin().list_sessions(aor, "").map(|page| page.sessions);
    let may_go = left.is_ok_and(|left| left.iter().all(|left| !left.session.instance.is_empty()));
    if may_go { call.host.remove_bindings(aor, "") } else { 0 }
}

fn report(call: &mut Call<'_>, revoked: usize, removed: u64) -> Outcome {
    call.host.item()?;
    call.host.number(c"revoked", revoked as u64)?;
    call.host.number(c"bindings_removed", removed)?;
    if !call.host.has_bindings() {
        call.host.text(c"note", "the module usrloc is not loaded here")?;
    }
    Ok(())
}
