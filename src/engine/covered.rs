// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a proof covers of a request, whichever way the proof travels and whichever key made it.

use super::check::{Message, Request};
use crate::proto::digest_string::{DigestError, DigestParts, digest_of_request};

/// The digest-string of a request with this message-body, and its Date in Unix seconds. A request of which no proof can
/// be made, or of which one says more than it covers, is an error.
pub(super) fn covered_by_proof(request: &Request<'_>, body: &[u8]) -> Result<(Vec<u8>, i64), DigestError> {
    let Message { call_id, cseq, date, contact, .. } = request.message;
    let parts =
        DigestParts { from: request.from.as_bytes(), to: request.to.as_bytes(), call_id, cseq, date, contact, body };
    let (text, date) = digest_of_request(&parts, request.method.as_bytes())?;
    Ok((text, date.ok_or(DigestError::Date)?))
}
