// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a REFER, or a request about its events, is refused. Codes are stable: scripts and statistics use them.

macro_rules! refer_reasons {
    ($($name:ident = $code:literal, $status:literal, $text:literal;)*) => {
        /// One reason per kind of refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ReferReason { $(#[doc = $text] $name,)* }

        impl ReferReason {
            /// Every reason.
            pub const ALL: &'static [ReferReason] = &[$(ReferReason::$name,)*];

            /// The stable code, lower-case with underscores.
            pub fn code(self) -> &'static str {
                match self { $(ReferReason::$name => $code,)* }
            }

            /// The name of the statistic that counts this reason.
            pub const STATISTICS: &'static [&'static std::ffi::CStr] =
                &[$(match std::ffi::CStr::from_bytes_with_nul(concat!("reason_", $code, "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a code has no NUL"),
                },)*];

            /// The SIP status of the answer.
            pub fn status(self) -> u32 {
                match self { $(ReferReason::$name => $status,)* }
            }

            /// A sentence that says what is wrong and what to do.
            pub fn text(self) -> &'static str {
                match self { $(ReferReason::$name => $text,)* }
            }
        }
    };
}

refer_reasons! {
    Malformed = "refer_malformed", 400, "The request lacks a header field that it needs (From with a tag, To, Call-ID, CSeq), or has one that cannot be read.";
    ReferTo = "refer_to", 400, "A REFER needs exactly one Refer-To with one URI (RFC 3515 section 2.4.1).";
    Contact = "refer_contact", 400, "The request needs exactly one Contact, with a SIP URI at which its sender takes NOTIFY.";
    TargetDialog = "refer_target_dialog", 400, "Target-Dialog must occur once and have a Call-ID, one local-tag and one remote-tag (RFC 4538 section 7).";
    BothTags = "refer_both_tags", 400, "Require has explicitsub and nosub: the one asks for a subscription, the other for none.";
    InDialog = "refer_in_dialog", 403, "A REFER that may create a subscription must not be sent within this dialog (refer_in_dialog, RFC 7647 section 4): send it outside, with Target-Dialog, or require explicitsub or nosub.";
    ContactNoGruu = "refer_contact_no_gruu", 403, "The Contact of a REFER that may create a subscription must be a GRUU (refer_contact): a URI with the parameter gr.";
    ExplicitNeeded = "refer_explicit_needed", 403, "REFER is accepted only with explicitsub or nosub in Require (refer_explicit), which the sender does not list in Supported.";
    ExplicitRequired = "refer_explicit_required", 421, "REFER is accepted only with explicitsub or nosub in Require (refer_explicit).";
    TagDisabled = "refer_tag_disabled", 420, "explicitsub and nosub are turned off (refer_explicit).";
    TagMisplaced = "refer_tag_misplaced", 420, "explicitsub and nosub may be required by a REFER only (RFC 7614 section 6).";
    TagUnknown = "refer_tag_unknown", 420, "Require has an option that this event server does not have.";
    Unprotected = "refer_unprotected", 302, "The state of a REFER is told over TLS only (refer_protected), and this REFER came without: send it to the sips URI.";
    OwnerUnknown = "refer_owner_unknown", 403, "Only the sender of a REFER may subscribe (refer_subscriber), and nothing has shown who sent this one: check the request before it is accepted.";
    Limited = "refer_limited", 503, "Too many REFERs or subscriptions come from this address (refer_limit) or this source (source_limit).";
    Full = "refer_full", 503, "The event server follows as many REFERs as it may (max_refers), or has no room for one more subscription now.";
    SubscriptionsFull = "refer_subscriptions_full", 503, "This REFER has four subscriptions already.";
    Unknown = "refer_unknown", 404, "No REFER that is still followed has this URI.";
    NoSubscription = "refer_no_subscription", 481, "There is no such subscription: it has ended, or never was.";
    Event = "refer_event", 489, "This event server has the event package refer only.";
    NotAcceptable = "refer_not_acceptable", 406, "The sender does not accept message/sipfrag, in which the state of a REFER is told.";
    NotAllowed = "refer_not_allowed", 403, "The sender may not see the state of this REFER (refer_subscriber).";
    OutOfOrder = "refer_out_of_order", 500, "The CSeq of the request is lower than that of an earlier one in its dialog.";
    BodyType = "refer_body_type", 415, "The state of a REFER is published as message/sipfrag.";
    StatusLine = "refer_status_line", 400, "The body does not begin with the status line of a SIP response.";
    EntityTag = "refer_entity_tag", 412, "SIP-If-Match does not name the last publication.";
}

impl ReferReason {
    /// The index of this reason in `ALL`.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The Reason-Phrase of the answer.
    pub fn phrase(self) -> &'static str {
        match self.status() {
            302 => "Moved Temporarily",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            406 => "Not Acceptable",
            412 => "Conditional Request Failed",
            415 => "Unsupported Media Type",
            420 => "Bad Extension",
            421 => "Extension Required",
            481 => "Subscription does not exist",
            489 => "Bad Event",
            503 => "Service Unavailable",
            _ => "Server Internal Error",
        }
    }
}

/// A refusal with the header lines of its answer, each with CRLF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: ReferReason,
    /// Unsupported, Require, Contact, Allow-Events, Accept; without Retry-After.
    pub headers: String,
}

impl Refusal {
    /// A refusal whose answer has this header line, without CRLF.
    pub fn with(reason: ReferReason, header: &str) -> Refusal {
        Refusal { reason, headers: format!("{header}\r\n") }
    }
}

impl From<ReferReason> for Refusal {
    fn from(reason: ReferReason) -> Refusal {
        let header = match reason {
            ReferReason::Event => "Allow-Events: refer",
            ReferReason::BodyType => "Accept: message/sipfrag",
            _ => return Refusal { reason, headers: String::new() },
        };
        Refusal::with(reason, header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_also_among_all_other_reasons() {
        let others = Reason::ALL.iter().map(|reason| reason.code());
        let codes: Vec<_> = ReferReason::ALL.iter().map(|reason| reason.code()).chain(others).collect();
        assert_eq!(codes.iter().collect::<HashSet<_>>().len(), codes.len());
        assert!(ReferReason::ALL.iter().enumerate().all(|(at, reason)| reason.index() == at));
    }

    #[test]
    fn every_status_but_500_has_its_own_phrase() {
        for reason in ReferReason::ALL {
            assert_eq!(reason.phrase() == "Server Internal Error", reason.status() == 500, "{reason:?}");
        }
    }
}
