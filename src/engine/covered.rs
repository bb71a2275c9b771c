// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a proof covers of a request, whichever way the proof travels and whichever key made it.

use super::check::{Message, Request};
use crate::config::sessions::Sessions;
use crate::proto::digest_string::{DigestError, DigestParts, digest_of_request};

/// The digest-string of a request with this message-body, and its Date in Unix seconds. A request of which no proof can
/// be made, or which says more than a proof covers, is an error.
pub(super) fn covered_by_proof(
    settings: &Sessions,
    request: &Request<'_>,
    body: &[u8],
) -> Result<(Vec<u8>, i64), DigestError> {
    let Message { call_id, cseq, date, .. } = request.message;
    let contact = covered_contact(settings, &request.message)?;
    let parts =
        DigestParts { from: request.from.as_bytes(), to: request.to.as_bytes(), call_id, cseq, date, contact, body };
    let (text, date) = digest_of_request(&parts, request.method.as_bytes())?;
    Ok((text, date.ok_or(DigestError::Date)?))
}

/// No Contact, one URI and `*` are three things: a proof of a REGISTER that asks which bindings there are must not serve
/// one that removes them all. A host whose number does not fit has not said which of them it is.
fn covered_contact<'a>(settings: &Sessions, message: &Message<'a>) -> Result<&'a [u8], DigestError> {
    match (message.contacts, message.contact) {
        (0, b"") => Ok(b""),
        (1, b"*") if settings.empty_star => Ok(b""),
        (1, contact) if !contact.is_empty() => Ok(contact),
        _ => Err(DigestError::Contact),
    }
}
