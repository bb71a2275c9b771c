// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a proof covers of a request, however the proof travels and whichever key made it. Also, how a use of a
//! proof is named.
//!
//! A use is named by key, Call-ID and CSeq. A digest-string can be read in one way only, so every request that a
//! proof fits has the same name. A second name made of the whole digest-string would find nothing more, and would
//! cost an entry of the guard and a query to Redis. A request with a name that was seen before counts as the same
//! request again only if it brings the same proof, which stands for the digest-string.

use super::replay::{hash_of, hash_of_octets};
use super::{Message, Request};
use crate::config::sessions::Sessions;
use crate::sip::digest_string::{DigestError, DigestParts, digest_of_request, split_cseq};

/// The digest-string of a request with this message-body, and its Date in Unix seconds. It is an error if no proof
/// of the request can be made, or if the request says more than a proof covers.
pub(super) fn covered_by_proof(
    settings: &Sessions,
    request: &Request<'_>,
    body: &[u8],
) -> Result<(Vec<u8>, i64), DigestError> {
    let Message { call_id, cseq, date, .. } = request.message;
    let contact = covered_contact(settings, &request.message)?;
    let parts =
        DigestParts { from: request.from.as_bytes(), to: request.to.as_bytes(), call_id, cseq, date, contact, body };
    let uri = settings.covers_request_uri.then_some(request.uri);
    let (text, date) = digest_of_request(&parts, request.method.as_bytes(), uri)?;
    Ok((text, date.ok_or(DigestError::Date)?))
}

/// No Contact, one URI and `*` are three different cases, because a proof of a REGISTER that asks which bindings
/// there are must not serve one that removes them all. It is an error if the host's number of Contacts does not
/// fit, because the case is not known then.
fn covered_contact<'a>(settings: &Sessions, message: &Message<'a>) -> Result<&'a [u8], DigestError> {
    match (message.contacts, message.contact) {
        (0, b"") => Ok(b""),
        (1, b"*") if settings.empty_star => Ok(b""),
        (1, contact) if !contact.is_empty() => Ok(contact),
        _ => Err(DigestError::Contact),
    }
}

/// Names the use of a proof. Two spellings of the same CSeq give the same name.
///
/// The key that made the proof is part of the name, and the session is not. Two sessions can have the same key,
/// because a server may give the same master-key for two codes. A sign-in with a password proves its key before it
/// has a session.
pub(super) fn name_of(hash_key: &[u8; 16], key: &[u8; 32], message: (&[u8], &[u8])) -> u64 {
    let (call_id, cseq) = message;
    hash_of(hash_key, (key, call_id, split_cseq(cseq)))
}

/// Hash of how a request with this proof came, and of what it contained. Only a request with the same path counts
/// as the same request again. The sender chooses everything that is hashed, so nobody without the key may be able
/// to compute the hash.
///
/// A retransmission is the same message, octet for octet (RFC 3261 section 17.1). No proof covers the whole
/// message: a copy may have another Request-URI, Route or Expires. If the host does not give the message, the
/// parts that it gives must suffice. The same request can also come again over TCP. There a client retransmits
/// nothing, but a stateless proxy passes on what came twice over UDP (section 16.11), a script may ask twice, and
/// a request that had to wait is checked again.
pub(super) fn path_of(hash_key: &[u8; 16], request: &Request<'_>, pop: &[u8]) -> u64 {
    let Request { method, uri, octets, transport, source, message, .. } = *request;
    let said = match octets {
        b"" => hash_of(hash_key, (message.from_tag, message.instance, message.reg_id, message.body)),
        octets => hash_of_octets(hash_key, octets),
    };
    hash_of(hash_key, (pop, message.branch, source, transport, method, uri, said))
}
