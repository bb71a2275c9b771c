// SPDX-License-Identifier: MIT OR Apache-2.0

//! The table: for each way to sign in and each move, what must become of it.
//!
//! A cell is about the request on the phone's own path, with nothing but the move changed: that is the strongest attacker,
//! one behind the same NAT who invents ports and branches. From elsewhere a change is worth no more than the unchanged
//! octets are from there (`trial.rs`).

use crate::moves::Move;
use crate::moves::Move::*;
use crate::ways::{Way, listed};
use sipoauth_core::reason::Reason;

listed! {
    /// What has happened before the attacker sends.
    pub enum When {
        /// Nothing: he has taken the request off the wire, and the phone's own does not come.
        First,
        /// The phone's request was accepted. With a code its answer is not confirmed yet.
        Again,
        /// A registration with a code, and its answer has gone out.
        Confirmed,
    }
}

/// What must become of a move.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Refused with one of these reasons; afterwards the phone's own request is accepted.
    Refused(&'static [Reason]),
    /// The same, but the credential is over for its phone, too: why.
    Burnt(&'static [Reason], &'static str),
    /// Accepted, because honest phones do the same.
    Accepted(&'static str),
    /// Accepted, and deliberately so: why.
    NotCovered(&'static str),
    /// Such a request has nothing that could be changed so.
    Impossible,
}
use Rule::{Accepted, Burnt, Impossible, NotCovered, Refused};

const RETRANSMISSION: &str = "a request is sent again as it is until its answer comes";
const RELOAD: &str = "a reload ends nothing";
const BEARER: &str = "a bearer token is good for whoever has it (RFC 6750): TLS keeps it, `token_pop` binds it";
const BEARER_ENDS: &str = "a signed token is good until its exp: the server ends it before only where it is asked";
const FIRST_CODE: &str =
    "whoever redeems a code first is its user: TLS keeps it; the verifier is compared by the server that gave the code";
const FIRST_PROOF: &str = "an unused proof is good for whoever brings it first: TLS keeps it, the Date bounds it";
const UNCOVERED: &str = "the digest-string (RFC 4474 section 9) has no tags, no reg-id and no transport";
const PER_PROXY: &str = "with replay_scope=proxy each proxy remembers for itself; cluster is tested below";
const FAILOVER: &str =
    "for 32 s the same message from the same port is a retransmission, at whichever proxy of the cluster";
const CONNECTION: &str = "whoever writes into a connection that has signed in is its phone: TLS keeps it";
const INSTANCE: &str = "an account of Key-Derivation is a user's: it is the same with all of his phones";
const GUESSED: &str =
    "who guesses a short code must not learn that it was right, so it is refused for good: the user gets another";
const DIGEST: &str =
    "Digest covers the method and its own uri (RFC 7616): TLS keeps the rest, the host's nonce_count ends its use";
const FLOW: &str = "another flow of the same phone (RFC 5626)";

pub fn rule(way: Way, when: When, mv: Move) -> Rule {
    match way {
        Way::Token | Way::EncryptedToken => bearer(mv, false),
        Way::OpaqueToken => bearer(mv, true),
        Way::ForeignToken => foreign_token(when, mv),
        Way::Code => code(when, mv, false),
        Way::CodeWithVerifier => code(when, mv, true),
        Way::ShortCode => short_code(when, mv),
        Way::CodeOfMasterKey => code(when, mv, false),
        Way::ProofInBody => proof_in_body(when, mv),
        Way::ProofInHeader | Way::ProofWithMasterKey => proof_in_header(when, mv),
        Way::TokenAndProof => token_and_proof(when, mv),
        Way::Password => password(when, mv),
        Way::Refresh => refresh(when, mv),
        Way::KeyDerivation => key_derivation(when, mv),
        Way::Connection => connection(mv),
        Way::DevicePassword => device_password(mv),
        Way::TypedCode => typed_code(when, mv),
    }
}

fn bearer(mv: Move, asked: bool) -> Rule {
    match mv {
        SameOctets => Accepted(RETRANSMISSION),
        AfterReload => Accepted(RELOAD),
        OtherPort | OtherAddress | OtherTransport | OtherConnection | OtherBranch | OtherProxy => NotCovered(BEARER),
        AfterTheRetransmissions => NotCovered(BEARER_ENDS),
        AfterTheWindow if asked => Impossible,
        AfterTheWindow => NotCovered(BEARER_ENDS),
        AfterADay if asked => Impossible,
        AfterADay => Refused(&[Reason::TokenExpired]),
        AfterRevocation => NotCovered(BEARER_ENDS),
        OtherRequestUri
        | OtherUncovered
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherInstance
        | OtherRegId
        | OtherBody => NotCovered(BEARER),
        OtherFrom | OtherTo => Refused(&[Reason::ThirdPartyRegistration, Reason::AorMismatch]),
        TokenOfAnother => Refused(&[Reason::AorMismatch]),
        OtherRealm => Refused(&[Reason::NoCredentials]),
        DoubledCredentials => Refused(&[Reason::SeveralTokens]),
        ReorderedBody | RespelledBody | ParameterAdded | ParameterDoubled | OtherVerifier | NoVerifier
        | OtherRedirectUri | ProofOfAnother | ProofInTheOtherPlace | SplitElsewhere => Impossible,
    }
}

fn foreign_token(when: When, mv: Move) -> Rule {
    match mv {
        TwoContacts => Refused(&[Reason::PopMalformed]),
        OtherTo | TokenOfAnother => Refused(&[Reason::CodeRefused]),
        OtherFrom => Refused(&[Reason::ThirdPartyRegistration]),
        AfterRevocation if when != When::First => Refused(&[Reason::SessionEnded]),
        SameOctets
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | AfterADay
        | AfterRevocation
        | AfterReload
        | OtherRequestUri
        | OtherUncovered
        | SplitElsewhere
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | OtherInstance
        | OtherRegId
        | OtherBody
        | ReorderedBody
        | RespelledBody
        | ParameterAdded
        | ParameterDoubled
        | OtherVerifier
        | NoVerifier
        | OtherRedirectUri
        | ProofOfAnother
        | ProofInTheOtherPlace
        | OtherRealm
        | DoubledCredentials => bearer(mv, true),
    }
}

/// A code is redeemed by a REGISTER of its user, once.
fn code(when: When, mv: Move, verifier: bool) -> Rule {
    match mv {
        TwoContacts => Refused(&[Reason::PopMalformed]),
        AfterRevocation if when == When::First => NotCovered(FIRST_CODE),
        AfterRevocation => Refused(&[Reason::SessionEnded]),
        OtherMethod | OtherMethodButNotInCseq => Refused(&[Reason::NoCredentials]),
        OtherFrom | OtherTo => Refused(&[Reason::ThirdPartyRegistration, Reason::AorMismatch, Reason::CodeRefused]),
        ParameterDoubled => Refused(&[Reason::BodyMalformed]),
        OtherVerifier | NoVerifier | OtherRedirectUri if !verifier => Impossible,
        OtherVerifier | NoVerifier | OtherRedirectUri if when == When::First => NotCovered(FIRST_CODE),
        OtherVerifier | NoVerifier | OtherRedirectUri => Refused(&[Reason::CodeRefused]),
        AfterTheWindow | AfterADay | OtherBody | TokenOfAnother | ProofOfAnother | ProofInTheOtherPlace
        | OtherRealm | DoubledCredentials | SplitElsewhere => Impossible,
        SameOctets
        | AfterReload
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | OtherRequestUri
        | OtherUncovered
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | OtherInstance
        | OtherRegId
        | ReorderedBody
        | RespelledBody
        | ParameterAdded => redeemed(when, mv, verifier),
    }
}

/// What was redeemed once is sent again, with another path or another header field. `verifier`: it shows one that fits.
fn redeemed(when: When, mv: Move, verifier: bool) -> Rule {
    match mv {
        SameOctets => return Accepted(RETRANSMISSION),
        AfterReload => return Accepted(RELOAD),
        _ if when == When::First => return NotCovered(FIRST_CODE),
        OtherInstance => return Refused(&[Reason::CodeRefused]),
        _ => {}
    }
    let address = mv == OtherAddress;
    match (when, verifier) {
        // A phone without its answer comes again from the same address.
        (When::Again, _) if address => Refused(&[Reason::CodeRefused]),
        (When::Again, _) => Accepted("a phone whose answer was lost tries anew"),
        // It is the phone again: over another flow, through another proxy, from another network.
        (_, true) => Accepted(FLOW),
        _ => match mv {
            OtherProxy => Accepted(FAILOVER),
            _ => Refused(&[Reason::CodeRefused]),
        },
    }
}

fn short_code(when: When, mv: Move) -> Rule {
    match mv {
        TwoContacts => Refused(&[Reason::PopMalformed]),
        OtherFrom | OtherTo if when == When::First => Burnt(&[Reason::CodeRefused], GUESSED),
        OtherFrom | OtherTo => Refused(&[Reason::CodeRefused]),
        OtherTransport => Refused(&[Reason::ShortCodeUnprotected]),
        SameOctets
        | OtherPort
        | OtherAddress
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | AfterADay
        | AfterRevocation
        | AfterReload
        | OtherRequestUri
        | OtherUncovered
        | SplitElsewhere
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | OtherInstance
        | OtherRegId
        | OtherBody
        | ReorderedBody
        | RespelledBody
        | ParameterAdded
        | ParameterDoubled
        | OtherVerifier
        | NoVerifier
        | OtherRedirectUri
        | TokenOfAnother
        | ProofOfAnother
        | ProofInTheOtherPlace
        | OtherRealm
        | DoubledCredentials => code(when, mv, false),
    }
}

/// Its id names the address that it was made for, so nobody spoils it from another address.
fn typed_code(when: When, mv: Move) -> Rule {
    match mv {
        OtherFrom | OtherTo => Refused(&[Reason::CodeRefused]),
        // The page's session that it hangs on has ended.
        AfterRevocation => Refused(&[Reason::SessionEnded]),
        SameOctets
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | AfterADay
        | AfterReload
        | OtherRequestUri
        | OtherUncovered
        | SplitElsewhere
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherInstance
        | OtherRegId
        | OtherBody
        | ReorderedBody
        | RespelledBody
        | ParameterAdded
        | ParameterDoubled
        | OtherVerifier
        | NoVerifier
        | OtherRedirectUri
        | TokenOfAnother
        | ProofOfAnother
        | ProofInTheOtherPlace
        | OtherRealm
        | DoubledCredentials => short_code(when, mv),
    }
}

/// What all proofs have in common. `parts` are the reasons for a change of what is covered.
fn proof(when: When, mv: Move) -> Rule {
    let first = when == When::First;
    match mv {
        SameOctets => Accepted(RETRANSMISSION),
        AfterReload => Accepted(RELOAD),
        OtherPort | OtherAddress | OtherBranch if first => NotCovered(FIRST_PROOF),
        OtherPort | OtherAddress | OtherBranch => Refused(&[Reason::PopReplayed]),
        OtherTransport | OtherConnection | OtherRequestUri | OtherUncovered | OtherFromTag if first => {
            NotCovered(UNCOVERED)
        }
        OtherTransport | OtherRequestUri | OtherUncovered | OtherFromTag => Refused(&[Reason::PopReplayed]),
        OtherConnection => NotCovered("a connection ends and another takes its place, from the same port"),
        SplitElsewhere => Refused(&[Reason::PopMalformed, Reason::AorMissing]),
        OtherProxy if first => NotCovered(FIRST_PROOF),
        OtherProxy => NotCovered(PER_PROXY),
        AfterTheRetransmissions if first => NotCovered(FIRST_PROOF),
        AfterTheRetransmissions => Refused(&[Reason::PopReplayed]),
        AfterTheWindow => Refused(&[Reason::PopStale]),
        AfterADay => Refused(&[Reason::PopStale, Reason::RefreshOverdue, Reason::TokenExpired]),
        AfterRevocation => Refused(&[Reason::SessionUnknown, Reason::SessionEnded]),
        OtherMethod | OtherFrom | OtherTo | OtherCallId | OtherCseq | OtherDate | OtherContact | NoContact
        | OtherBody | OtherInstance | ProofOfAnother => Refused(&[Reason::PopInvalid, Reason::AorMismatch]),
        OtherMethodButNotInCseq => Refused(&[Reason::PopMalformed]),
        ContactStar => Refused(&[Reason::PopInvalid, Reason::PopMalformed]),
        TwoContacts => Refused(&[Reason::PopMalformed]),
        OtherRegId if first => NotCovered(UNCOVERED),
        OtherRegId => Refused(&[Reason::PopReplayed]),
        OtherRealm => Refused(&[Reason::NoCredentials]),
        DoubledCredentials => Refused(&[Reason::SeveralTokens]),
        ReorderedBody | RespelledBody | ParameterAdded | ParameterDoubled | OtherVerifier | NoVerifier
        | OtherRedirectUri | TokenOfAnother | ProofInTheOtherPlace => Impossible,
    }
}

fn proof_in_header(when: When, mv: Move) -> Rule {
    proof(when, mv)
}

fn proof_in_body(when: When, mv: Move) -> Rule {
    match mv {
        // A body is looked at in a REGISTER only.
        OtherMethod | OtherMethodButNotInCseq => Refused(&[Reason::NoCredentials]),
        ReorderedBody | ProofInTheOtherPlace if when != When::First => Refused(&[Reason::PopReplayed]),
        ReorderedBody => NotCovered("the body is covered without its proof, wherever that stands"),
        RespelledBody | ParameterAdded => Refused(&[Reason::PopInvalid]),
        ParameterDoubled => Refused(&[Reason::BodyMalformed]),
        ProofInTheOtherPlace => NotCovered("the same proof of the same parts: one use in both places"),
        OtherRealm | DoubledCredentials => Impossible,
        SameOctets
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | AfterADay
        | AfterRevocation
        | AfterReload
        | OtherRequestUri
        | OtherUncovered
        | SplitElsewhere
        | OtherFrom
        | OtherTo
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherInstance
        | OtherRegId
        | OtherBody
        | OtherVerifier
        | NoVerifier
        | OtherRedirectUri
        | TokenOfAnother
        | ProofOfAnother => proof(when, mv),
    }
}

fn token_and_proof(when: When, mv: Move) -> Rule {
    match mv {
        TokenOfAnother => Refused(&[Reason::AorMismatch, Reason::TokenUnbound]),
        // Its session and key are those of a flow.
        OtherRegId => Refused(&[Reason::PopInvalid]),
        SameOctets
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | AfterADay
        | AfterRevocation
        | AfterReload
        | OtherRequestUri
        | OtherUncovered
        | SplitElsewhere
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherFrom
        | OtherTo
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherInstance
        | OtherBody
        | ReorderedBody
        | RespelledBody
        | ParameterAdded
        | ParameterDoubled
        | OtherVerifier
        | NoVerifier
        | OtherRedirectUri
        | ProofOfAnother
        | ProofInTheOtherPlace
        | OtherRealm
        | DoubledCredentials => proof(when, mv),
    }
}

fn refresh(when: When, mv: Move) -> Rule {
    match mv {
        OtherRegId => Refused(&[Reason::PopInvalid]),
        ProofInTheOtherPlace => Impossible,
        SameOctets
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | AfterADay
        | AfterRevocation
        | AfterReload
        | OtherRequestUri
        | OtherUncovered
        | SplitElsewhere
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherFrom
        | OtherTo
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherInstance
        | OtherBody
        | ReorderedBody
        | RespelledBody
        | ParameterAdded
        | ParameterDoubled
        | OtherVerifier
        | NoVerifier
        | OtherRedirectUri
        | TokenOfAnother
        | ProofOfAnother
        | OtherRealm
        | DoubledCredentials => proof_in_body(when, mv),
    }
}

/// Digest credentials give tokens once. That they are new is for the host to say, too: nonce_count, qop (docs/guide/passwords-and-tokens.md).
fn password(when: When, mv: Move) -> Rule {
    match mv {
        TwoContacts => Refused(&[Reason::PopMalformed]),
        AfterRevocation if when == When::First => NotCovered(FIRST_CODE),
        AfterRevocation => Refused(&[Reason::SessionEnded]),
        OtherMethod | OtherMethodButNotInCseq => Refused(&[Reason::NoCredentials]),
        OtherFrom | OtherTo => Refused(&[Reason::ThirdPartyRegistration, Reason::AorMismatch, Reason::CodeRefused]),
        OtherRealm => Refused(&[Reason::NoCredentials, Reason::DigestMismatch]),
        DoubledCredentials => Refused(&[Reason::SeveralTokens]),
        ParameterDoubled => Refused(&[Reason::BodyMalformed]),
        AfterTheWindow | AfterADay | OtherBody | ReorderedBody | OtherVerifier | NoVerifier | OtherRedirectUri
        | TokenOfAnother | ProofOfAnother | ProofInTheOtherPlace | SplitElsewhere => Impossible,
        SameOctets
        | AfterReload
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | OtherRequestUri
        | OtherUncovered
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | OtherInstance
        | OtherRegId
        | RespelledBody
        | ParameterAdded => redeemed(when, mv, false),
    }
}

fn key_derivation(when: When, mv: Move) -> Rule {
    match mv {
        // Its account is the operator's, and no session.
        AfterRevocation if when == When::First => NotCovered(FIRST_PROOF),
        AfterRevocation => Accepted(RETRANSMISSION),
        OtherInstance | OtherRegId if when == When::First => NotCovered(INSTANCE),
        OtherInstance | OtherRegId => Refused(&[Reason::PopReplayed]),
        SameOctets
        | OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | AfterADay
        | AfterReload
        | OtherRequestUri
        | OtherUncovered
        | SplitElsewhere
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherFrom
        | OtherTo
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherBody
        | ReorderedBody
        | RespelledBody
        | ParameterAdded
        | ParameterDoubled
        | OtherVerifier
        | NoVerifier
        | OtherRedirectUri
        | TokenOfAnother
        | ProofOfAnother
        | ProofInTheOtherPlace
        | OtherRealm
        | DoubledCredentials => proof(when, mv),
    }
}

/// Digest with a device password. That its nonce is new is for the host to say, which has checked it before.
fn device_password(mv: Move) -> Rule {
    match mv {
        SameOctets => Accepted(RETRANSMISSION),
        AfterReload => Accepted(RELOAD),
        OtherMethod | OtherMethodButNotInCseq => Refused(&[Reason::DigestMismatch]),
        OtherFrom | OtherTo => Refused(&[Reason::ThirdPartyRegistration]),
        OtherRealm => Refused(&[Reason::NoCredentials]),
        DoubledCredentials => Refused(&[Reason::SeveralTokens]),
        AfterADay | AfterRevocation => Refused(&[Reason::DigestMismatch]),
        OtherPort
        | OtherAddress
        | OtherTransport
        | OtherConnection
        | OtherBranch
        | OtherProxy
        | AfterTheRetransmissions
        | AfterTheWindow
        | OtherRequestUri
        | OtherUncovered
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherInstance
        | OtherRegId
        | OtherBody => NotCovered(DIGEST),
        ReorderedBody | RespelledBody | ParameterAdded | ParameterDoubled | OtherVerifier | NoVerifier
        | OtherRedirectUri | TokenOfAnother | ProofOfAnother | ProofInTheOtherPlace | SplitElsewhere => Impossible,
    }
}

/// A request without credentials, of an address that has signed in over its connection.
fn connection(mv: Move) -> Rule {
    match mv {
        SameOctets => Accepted(RETRANSMISSION),
        AfterReload => Accepted(RELOAD),
        OtherPort | OtherAddress | OtherConnection | OtherProxy => Refused(&[Reason::NoCredentials]),
        OtherFrom => Refused(&[Reason::AorMismatch]),
        AfterADay => Refused(&[Reason::RefreshOverdue, Reason::SessionEnded]),
        AfterRevocation => Refused(&[Reason::SessionEnded]),
        OtherTransport
        | OtherBranch
        | AfterTheRetransmissions
        | AfterTheWindow
        | OtherMethod
        | OtherMethodButNotInCseq
        | OtherRequestUri
        | OtherUncovered
        | OtherTo
        | OtherFromTag
        | OtherCallId
        | OtherCseq
        | OtherDate
        | OtherContact
        | ContactStar
        | NoContact
        | TwoContacts
        | OtherInstance
        | OtherRegId
        | OtherBody => NotCovered(CONNECTION),
        ReorderedBody | RespelledBody | ParameterAdded | ParameterDoubled | OtherVerifier | NoVerifier
        | OtherRedirectUri | TokenOfAnother | ProofOfAnother | ProofInTheOtherPlace | OtherRealm
        | DoubledCredentials | SplitElsewhere => Impossible,
    }
}
