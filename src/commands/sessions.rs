// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands about sessions: list, show, revoke.

use super::{Call, Fault, Full, Outcome};
use crate::store::session_admin::ListedSession;
use crate::store::sessions::SessionError;
use sipoauth_core::records::session::id_text;
use sipoauth_core::records::session_end::SessionEnd;
use sipoauth_core::text::fingerprint::visible;

pub(super) fn fault(error: SessionError) -> Fault {
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
    tell(call, &ended)
}

pub fn revoke_all(call: &mut Call<'_>) -> Outcome {
    let ended = call.admin().revoke_all_sessions().map_err(fault)?;
    tell(call, &ended)
}

/// Removes the bindings of sessions that were ended, so that calls no longer reach their phones.
pub(super) fn tell(call: &mut Call<'_>, ended: &[SessionEnd]) -> Outcome {
    let mut removed = 0;
    for end in ended {
        removed += call.host.remove_bindings(end);
        call.host.ended(end);
    }
    report(call, ended.len(), removed)
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
