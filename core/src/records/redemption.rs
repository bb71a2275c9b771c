// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who has redeemed a code, and who may show it once more.
//!
//! A code is a secret that travels: in the redirect of a browser, in logs, in a REGISTER. At the authorization server
//! it is worth nothing once it was used, and it must not be worth more here.

use serde::{Deserialize, Serialize};

use crate::keys::shared_key::hmac_sha256;

/// Milliseconds for which a phone may send a request again because the answer was lost: 64*T1 (RFC 3261
/// section 17.1.2.2).
pub const RETRANSMISSION: i64 = 32_000;

/// Stands for a text in a record and reveals nothing about the text: the first octets of an HMAC under a key of
/// the store.
pub type Mark = [u8; 8];

/// The mark of an absent text.
const NOTHING: Mark = [0; 8];

/// What the sender of a request shows beside the code.
#[derive(Clone, Copy, Debug, Default)]
pub struct RedemptionFacts<'a> {
    /// PKCE verifier; empty: none.
    pub code_verifier: &'a str,
    /// redirect_uri of the authorization request; empty: none.
    pub redirect_uri: &'a str,
    /// The address-of-record, canonical.
    pub address: &'a str,
    /// `+sip.instance`; empty: none.
    pub instance: &'a str,
    /// The network from which the request came.
    pub network: &'a str,
    /// The parts of the request and of the path by which it came (transport, connection, address and port) that
    /// are the same when the phone sends the request again.
    pub request: &'a [&'a [u8]],
}

/// The marks of what was shown with a code. Marks for two codes must not be compared, because they depend on the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Claim {
    code_verifier: Mark,
    redirect_uri: Mark,
    address: Mark,
    instance: Mark,
    network: Mark,
    request: Mark,
}

/// What is wrong with a claim on a code that was used. This is for the log; the sender is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Differs {
    /// There is another code_verifier, or none although there was one.
    CodeVerifier,
    /// Another redirect_uri.
    RedirectUri,
    /// Another address-of-record.
    Address,
    /// Another `+sip.instance`.
    Instance,
    /// Another source network, while the first registration was not confirmed.
    Network,
    /// Nothing is different, but the first registration is confirmed, and nothing shows that this is the same
    /// phone, because there is no code_verifier or no `+sip.instance`.
    Unproved,
}

impl Differs {
    /// The name of the difference in the log.
    pub fn name(self) -> &'static str {
        match self {
            Differs::CodeVerifier => "code_verifier",
            Differs::RedirectUri => "redirect_uri",
            Differs::Address => "address",
            Differs::Instance => "instance",
            Differs::Network => "network",
            Differs::Unproved => "confirmed",
        }
    }
}

impl Claim {
    /// The marks for the code with this id. `key` must be the same at all proxies that share the store.
    pub fn new(key: &[u8; 16], id: &str, shown: &RedemptionFacts<'_>) -> Claim {
        let mark = |field: &str, parts: &[&[u8]]| {
            let lengths: Vec<[u8; 8]> = parts.iter().map(|part| (part.len() as u64).to_be_bytes()).collect();
            let mut message: Vec<&[u8]> = vec![b"claim 1 ", field.as_bytes(), b" ", id.as_bytes()];
            for (part, length) in parts.iter().zip(&lengths) {
                message.extend([length.as_slice(), part]);
            }
            let mut mark = Mark::default();
            let octets = hmac_sha256(key, &message);
            mark.copy_from_slice(&octets[..size_of::<Mark>()]);
            mark
        };
        let text = |field, text: &str| if text.is_empty() { NOTHING } else { mark(field, &[text.as_bytes()]) };
        Claim {
            code_verifier: text("code_verifier", shown.code_verifier),
            redirect_uri: text("redirect_uri", shown.redirect_uri),
            address: text("address", shown.address),
            instance: text("instance", shown.instance),
            network: text("network", shown.network),
            request: mark("request", shown.request),
        }
    }

    /// True when the two claims agree in what the authorization server judges beside the code.
    pub fn asks_the_same(&self, other: &Claim) -> bool {
        self.code_verifier == other.code_verifier && self.redirect_uri == other.redirect_uri
    }

    /// True when the two claims come from the same request, perhaps sent again.
    pub fn is_same_request(&self, other: &Claim) -> bool {
        self == other
    }

    /// The first difference that makes `other` the claim of another phone.
    fn differs(&self, other: &Claim) -> Option<Differs> {
        let fields = [
            (self.code_verifier == other.code_verifier, Differs::CodeVerifier),
            (self.redirect_uri == other.redirect_uri, Differs::RedirectUri),
            (self.address == other.address, Differs::Address),
            (self.instance == other.instance, Differs::Instance),
        ];
        fields.into_iter().find(|(same, _)| !same).map(|(_, field)| field)
    }
}

/// Who has redeemed a code, kept as long as the code's record.
///
/// Who gets the result of a code that was used:
///
/// 1. *The same claim before the first registration is confirmed*: the same code_verifier, redirect_uri, address,
///    instance and source network, which must be known. A request that arrived before the confirmation counts as
///    before, however long it waited. The very request of the first registration, sent again by the same path,
///    gets the result for another 64*T1, because its 200 may have been lost.
/// 2. *Another flow or proxy of the same phone after that* (sip-oauth-01 section 6.1): the same code_verifier,
///    redirect_uri, address and instance, and neither verifier nor instance may be missing.
/// 3. *Nobody else.* Any other request is refused like one with a wrong code, and changes nothing for the owner.
///
/// What an attacker needs: the code alone is worth nothing once it was used. An attacker with the code and the
/// instance, both of which stand in requests, would have to be in the phone's network before its 200 has left. An
/// attacker with the verifier, too, has read a whole registration, and only TLS could have prevented that. An
/// attacker who could read the answer as well has the key without asking anybody.
///
/// The first registration is *confirmed* when its 2xx has left with the key, as far as this proxy can know:
///
/// - With a folder: when the host has told the library about the 2xx. This may be the host's own answer (with or
///   without a transaction) or a registrar's answer that passes through. If the host does not tell, the
///   registration is confirmed 64*T1 after the key was stored.
/// - With Redis: when the key was stored, which is before the 2xx leaves, because a worker may not wait for a write.
/// - An answer of 300 and above to that registration takes the confirmation back, so the same claim may come again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Redemption {
    /// The claim of the first registration.
    pub claim: Claim,
    /// The registration is confirmed from this time on, in Unix milliseconds; 0: no key is stored for an answer.
    pub confirmed_at: i64,
    /// True when the server accepted the code, but the address is not one of its user's. The user may still use
    /// the code.
    pub ownerless: bool,
}

/// When a claim came, in Unix milliseconds, and what the configuration says about claims without a verifier.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// When the request arrived.
    pub arrived: i64,
    /// When the request is judged.
    pub now: i64,
    /// True when a code that came without a verifier may serve other flows of its phone as well.
    pub without_verifier: bool,
}

impl Redemption {
    /// The first claim on a code.
    pub fn first(claim: Claim) -> Redemption {
        Redemption { claim, ..Redemption::default() }
    }

    /// For a code that nobody has sent yet and no server will judge: whoever sends it first, without a verifier, has it.
    pub fn open() -> Redemption {
        Redemption { ownerless: true, ..Redemption::default() }
    }

    /// True when the claim is from the phone that made the first one.
    pub fn is_by(&self, claim: &Claim) -> bool {
        self.claim.differs(claim).is_none()
    }

    /// Lets a claim in, or says why not.
    pub fn admit(&self, claim: &Claim, when: When) -> Result<(), Differs> {
        if self.ownerless {
            // The tokens decide who owns the address. Only the verifier and the redirect_uri must be those that
            // the server has judged.
            return match self.claim.differs(claim) {
                Some(field @ (Differs::CodeVerifier | Differs::RedirectUri)) => Err(field),
                _ => Ok(()),
            };
        }
        if let Some(field) = self.claim.differs(claim) {
            return Err(field);
        }
        let same_network = self.claim.network == claim.network;
        let same_request = self.claim.request == claim.request;
        // If the host does not tell where requests come from, each of them may come from anywhere.
        let is_near = claim.network != NOTHING || same_request;
        let is_before = self.confirmed_at == 0 || when.arrived < self.confirmed_at;
        let is_again = same_request && when.arrived < self.confirmed_at + RETRANSMISSION;
        if same_network && (is_before && is_near || is_again) {
            return Ok(());
        }
        if self.confirmed_at == 0 || when.now < self.confirmed_at {
            return Err(Differs::Network);
        }
        let has_verifier = claim.code_verifier != NOTHING || when.without_verifier;
        if has_verifier && claim.instance != NOTHING { Ok(()) } else { Err(Differs::Unproved) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: RedemptionFacts<'_> = RedemptionFacts {
        code_verifier: "verifier",
        redirect_uri: "http://127.0.0.1/cb",
        address: "sip:alice@example.test",
        instance: "<urn:uuid:1>",
        network: "192.0.2.1",
        request: &[b"call-1", b"from-1"],
    };
    const OTHER_REQUEST: &[&[u8]] = &[b"call-2", b"from-1"];

    fn claim(shown: RedemptionFacts<'_>) -> Claim {
        Claim::new(&[7; 16], "id", &shown)
    }

    fn at(arrived: i64) -> When {
        When { arrived, now: arrived, without_verifier: false }
    }

    fn confirmed(shown: RedemptionFacts<'_>) -> Redemption {
        Redemption { confirmed_at: 1_000_000, ..Redemption::first(claim(shown)) }
    }

    #[test]
    fn before_it_is_confirmed_everything_must_be_the_same() {
        let first = Redemption::first(claim(SHOWN));
        assert_eq!(first.admit(&claim(SHOWN), at(1)), Ok(()));
        assert_eq!(first.admit(&claim(RedemptionFacts { request: OTHER_REQUEST, ..SHOWN }), at(1)), Ok(()));
        for (shown, field) in [
            (RedemptionFacts { code_verifier: "", ..SHOWN }, Differs::CodeVerifier),
            (RedemptionFacts { code_verifier: "x", ..SHOWN }, Differs::CodeVerifier),
            (RedemptionFacts { redirect_uri: "", ..SHOWN }, Differs::RedirectUri),
            (RedemptionFacts { address: "sip:bob@example.test", ..SHOWN }, Differs::Address),
            (RedemptionFacts { instance: "", ..SHOWN }, Differs::Instance),
            (RedemptionFacts { network: "192.0.2.2", ..SHOWN }, Differs::Network),
        ] {
            assert_eq!(first.admit(&claim(shown), at(1)), Err(field));
        }
    }

    #[test]
    fn after_that_the_same_phone_needs_verifier_and_instance() {
        let elsewhere = RedemptionFacts { network: "198.51.100.1", request: OTHER_REQUEST, ..SHOWN };
        assert_eq!(confirmed(SHOWN).admit(&claim(elsewhere), at(1_000_000)), Ok(()));
        for (without, field) in [
            (RedemptionFacts { code_verifier: "", ..SHOWN }, Differs::Unproved),
            (RedemptionFacts { instance: "", ..SHOWN }, Differs::Unproved),
        ] {
            let again = claim(RedemptionFacts { request: OTHER_REQUEST, ..without });
            assert_eq!(confirmed(without).admit(&again, at(999_999)), Ok(()), "it arrived before");
            assert_eq!(confirmed(without).admit(&again, at(1_000_000)), Err(field));
        }
        let without = RedemptionFacts { code_verifier: "", ..SHOWN };
        let again = claim(RedemptionFacts { network: "198.51.100.1", request: OTHER_REQUEST, ..without });
        let allowed = When { without_verifier: true, ..at(1_000_000) };
        assert_eq!(confirmed(without).admit(&again, allowed), Ok(()));
        let nameless = RedemptionFacts { instance: "", ..without };
        let again = claim(RedemptionFacts { request: OTHER_REQUEST, ..nameless });
        assert_eq!(confirmed(nameless).admit(&again, allowed), Err(Differs::Unproved));
    }

    #[test]
    fn a_lost_answer_is_given_again_for_64_times_t1() {
        let without = RedemptionFacts { code_verifier: "", instance: "", ..SHOWN };
        let first = confirmed(without);
        let end = 1_000_000 + RETRANSMISSION;
        assert_eq!(first.admit(&claim(without), at(end - 1)), Ok(()));
        assert_eq!(first.admit(&claim(without), at(end)), Err(Differs::Unproved));
        let elsewhere = claim(RedemptionFacts { network: "192.0.2.2", ..without });
        assert_eq!(first.admit(&elsewhere, at(end - 1)), Err(Differs::Unproved));
    }

    #[test]
    fn what_nobody_may_have_yet_is_its_owners_with_what_the_server_has_seen() {
        let first = Redemption { ownerless: true, ..Redemption::first(claim(SHOWN)) };
        let own = RedemptionFacts { address: "sip:bob@example.test", network: "192.0.2.2", instance: "", ..SHOWN };
        assert_eq!(first.admit(&claim(own), at(1)), Ok(()));
        let other = RedemptionFacts { code_verifier: "x", ..own };
        assert_eq!(first.admit(&claim(other), at(1)), Err(Differs::CodeVerifier));
    }

    #[test]
    fn marks_reveal_nothing_and_depend_on_key_code_and_field() {
        let marks = |key: u8, id: &str| Claim::new(&[key; 16], id, &SHOWN);
        assert_eq!(marks(1, "a"), marks(1, "a"));
        assert_ne!(marks(1, "a"), marks(2, "a"));
        assert_ne!(marks(1, "a"), marks(1, "b"));
        let same = Claim::new(
            &[1; 16],
            "a",
            &RedemptionFacts { code_verifier: "x", redirect_uri: "x", ..RedemptionFacts::default() },
        );
        assert_ne!(same.code_verifier, same.redirect_uri);
        let split =
            |request| Claim::new(&[1; 16], "a", &RedemptionFacts { request, ..RedemptionFacts::default() }).request;
        assert_ne!(split(&[b"ab", b"c"]), split(&[b"a", b"bc"]));
    }
}
