// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands about REFERs: list, update, end. No answer has the name of a REFER, because whoever knows it may see and
//! subscribe. Its beginning is enough to point to one.

use super::{Call, Fault, Outcome};
use crate::clock::now_millis;
use crate::shared::refer_table::Refer;
use sipoauth_core::refer::progress::Status;
use sipoauth_core::refer::state_id::SHOWN;

/// REFERs in one answer.
const PAGE: usize = 100;

pub(super) fn list(call: &mut Call<'_>) -> Outcome {
    let from: u32 = match &*call.text(0) {
        "" => 0,
        text => text.parse().map_err(|_| Fault::new(400, "from must be a number: the 'next' of the answer before"))?,
    };
    let table = call.context.arena().refers();
    let mut rest = table.iter().filter(|refer| refer.place.index >= from);
    for refer in rest.by_ref().take(PAGE) {
        call.host.item()?;
        call.host.text(c"refer", &refer.id().text()[..SHOWN])?;
        call.host.text(c"from", &refer.owner())?;
        call.host.number(c"status", refer.status().code().into())?;
        call.host.number(c"subscriptions", refer.seats_taken() as u64)?;
        call.time(c"created_at", refer.created() / 1000)?;
        call.time(c"ends_at", refer.until() / 1000)?;
    }
    let next = rest.next().map(|refer| refer.place.index.to_string());
    call.next(next)
}

pub(super) fn update(call: &mut Call<'_>) -> Outcome {
    let status = Status::parse(&call.text(1));
    tell(call, status)
}

pub(super) fn end(call: &mut Call<'_>) -> Outcome {
    let status = match &*call.text(1) {
        "" => Some(Status::UNAVAILABLE),
        text => Status::parse(text).filter(|status| status.is_final()),
    };
    tell(call, status)
}

fn tell(call: &mut Call<'_>, status: Option<Status>) -> Outcome {
    let status = status.ok_or_else(|| {
        Fault::new(400, "A status is needed, such as 180 or 200; refer_end takes a final one only, 200 to 699")
    })?;
    let named = call.text(0).to_ascii_lowercase();
    if named.len() < SHOWN || !named.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        let sentence = format!(
            "A REFER is needed: its name, or at least the first {SHOWN} digits of it, as refer_list shows them"
        );
        return Err(Fault::new(400, sentence).into());
    }
    let found: Vec<Refer<'_>> =
        call.context.arena().refers().iter().filter(|refer| refer.id().text().starts_with(&named)).take(2).collect();
    match found[..] {
        [] => return Err(Fault::new(404, "No such REFER is followed (refer_list)").into()),
        [refer] => refer.update(status, now_millis()).map_err(|_| Fault::new(400, "This REFER has ended already"))?,
        _ => return Err(Fault::new(400, "Several REFERs begin so: give more digits").into()),
    }
    call.context.jobs().wake();
    Ok(call.host.line("told")?)
}
