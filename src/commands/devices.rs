// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands about phones that users have added at the sign-in page: list, show, revoke.

use super::sessions::{fault, tell};
use super::{Call, Full, Outcome};
use crate::store::phones::{ListedPhone, Phone};
use sipoauth_core::records::session::id_text;

pub fn list(call: &mut Call<'_>) -> Outcome {
    let page = call.admin().list_devices("", &call.text(0)).map_err(fault)?;
    add(call, &page.phones)?;
    call.next(page.next)
}

pub fn show(call: &mut Call<'_>) -> Outcome {
    let page = call.admin().list_devices(&call.address()?, "").map_err(fault)?;
    Ok(add(call, &page.phones)?)
}

fn add(call: &mut Call<'_>, phones: &[ListedPhone]) -> Result<(), Full> {
    for ListedPhone { aor, phone: Phone { session, last_use } } in phones {
        call.host.item()?;
        call.host.text(c"aor", aor)?;
        call.host.text(c"id", &id_text(&session.id))?;
        call.host.text(c"name", &session.name)?;
        call.host.text(c"username", &session.device)?;
        call.host.text(c"provider", &session.provider)?;
        call.time(c"created_at", session.created_at)?;
        call.time(c"valid_until", session.valid_until)?;
        call.time(c"registered_at", last_use.as_ref().map_or(0, |seen| seen.at))?;
        call.host.text(c"source", last_use.as_ref().map_or("", |seen| &seen.source))?;
        call.host.text(c"user_agent", last_use.as_ref().map_or("", |seen| &seen.user_agent))?;
    }
    Ok(())
}

pub fn revoke(call: &mut Call<'_>) -> Outcome {
    let ended = call.admin().revoke_devices(&call.address()?, &call.text(1)).map_err(fault)?;
    tell(call, &ended)
}
