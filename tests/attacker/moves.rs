// SPDX-License-Identifier: MIT OR Apache-2.0

//! What an attacker does with a captured request.

use crate::phone::Sip;
use crate::stage::Material;
use crate::ways::{Way, listed};
use sipoauth_core::sip::sip_date;

listed! {
    pub enum Move {
        // The same octets, by another path or at another time.
        SameOctets,
        OtherPort,
        OtherAddress,
        OtherTransport,
        OtherConnection,
        OtherBranch,
        OtherProxy,
        AfterTheRetransmissions,
        AfterTheWindow,
        AfterADay,
        AfterRevocation,
        AfterReload,
        // Another request line, other header fields.
        OtherRequestUri,
        OtherUncovered,
        SplitElsewhere,
        OtherMethod,
        OtherMethodButNotInCseq,
        OtherFrom,
        OtherTo,
        OtherFromTag,
        OtherCallId,
        OtherCseq,
        OtherDate,
        OtherContact,
        ContactStar,
        NoContact,
        TwoContacts,
        OtherInstance,
        OtherRegId,
        // Another body.
        OtherBody,
        ReorderedBody,
        RespelledBody,
        ParameterAdded,
        ParameterDoubled,
        OtherVerifier,
        NoVerifier,
        OtherRedirectUri,
        // Other credentials.
        TokenOfAnother,
        ProofOfAnother,
        ProofInTheOtherPlace,
        OtherRealm,
        DoubledCredentials,
    }
}

/// What is sent, and how.
#[derive(Clone)]
pub struct Attempt {
    pub sip: Sip,
    /// To another proxy that shares the store.
    pub at_other_proxy: bool,
    /// This much later.
    pub later: i64,
    /// What happens before it.
    pub before: Before,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    Revocation,
    Reload,
}

impl Move {
    /// It changes only the path, the time or what was before; the octets stay.
    pub fn keeps_octets(self) -> bool {
        self as usize <= Move::AfterReload as usize
    }
}

/// How the attacker sends: from a place of his own, in a transaction of his own.
pub fn from_elsewhere(sip: Sip) -> Sip {
    let branch = format!("{}-attacker", sip.branch);
    Sip { source: ("203.0.113.66".into(), 6666), branch, connection: 666, ..sip }
}

/// None if the request has nothing that this move could change.
pub fn apply(mv: Move, way: Way, honest: &Sip, own: &Material, others: &Material) -> Option<Attempt> {
    let mut attempt = Attempt { sip: honest.clone(), at_other_proxy: false, later: 0, before: Before::Nothing };
    let sip = &mut attempt.sip;
    match mv {
        Move::SameOctets => {}
        Move::OtherPort => sip.source.1 += 1,
        Move::OtherAddress => sip.source.0 = "203.0.113.66".into(),
        Move::OtherTransport => sip.transport = "tcp",
        Move::OtherConnection => sip.connection += 1_000_000,
        Move::OtherBranch => sip.branch.push_str("-other"),
        Move::OtherProxy => attempt.at_other_proxy = true,
        // 32 seconds, and the four in which the guard counts.
        Move::AfterTheRetransmissions => attempt.later = 40,
        // pop_window is 300.
        Move::AfterTheWindow if kept_by_its_own_clock(way) => return None,
        Move::AfterTheWindow => attempt.later = 400,
        Move::AfterADay if kept_by_its_own_clock(way) => return None,
        Move::AfterADay => attempt.later = 86_400 + 100,
        Move::AfterRevocation => attempt.before = Before::Revocation,
        Move::AfterReload => attempt.before = Before::Reload,
        Move::OtherRequestUri => sip.uri = "sip:premium-number@example.test".into(),
        // Expires, Path, Route, parameters of the Contact: the library sees only that the message is another one.
        Move::OtherUncovered => {}
        Move::SplitElsewhere => {
            // A phone that was lured to send such a Call-ID has made a proof that fits another split as well.
            let lured = Sip { call_id: format!("x|{}", sip.call_id), ..honest.clone() };
            let (proof, made) = (own.proof(way, honest)?, own.proof(way, &lured)?);
            swap(sip, &proof, &made)?;
            sip.to.push_str("|x");
        }
        Move::OtherMethod => {
            let method = if sip.method == "REGISTER" { "MESSAGE" } else { "SUBSCRIBE" };
            sip.cseq = sip.cseq.replace(&sip.method, method);
            sip.method = method.into();
        }
        Move::OtherMethodButNotInCseq => {
            sip.method = if sip.method == "REGISTER" { "MESSAGE" } else { "SUBSCRIBE" }.into();
        }
        Move::OtherFrom => sip.from = others.aor.clone(),
        Move::OtherTo => sip.to = others.aor.clone(),
        Move::OtherFromTag => sip.from_tag.push('x'),
        Move::OtherCallId => sip.call_id.push('x'),
        Move::OtherCseq => sip.cseq = format!("9{}", sip.cseq),
        Move::OtherDate => {
            let date = sip_date::unix_seconds(sip.date.as_bytes())?;
            sip.date = sip_date::from_unix_seconds(date - 1)?;
        }
        Move::OtherContact => sip.contact = "sip:attacker@203.0.113.66".into(),
        Move::ContactStar => sip.contact = "*".into(),
        Move::NoContact => {
            sip.contact = String::new();
            sip.contacts = 0;
        }
        Move::TwoContacts => sip.contacts = 2,
        Move::OtherInstance => sip.instance = "<urn:uuid:of-the-attacker>".into(),
        Move::OtherRegId => sip.reg_id += 7,
        Move::OtherBody => {
            if sip.body.starts_with(b"grant_type=authorization_code") || way == Way::Password {
                return None; // as ParameterAdded
            }
            sip.body = match sip.body.is_empty() {
                true => b"Hello".to_vec(),
                false => [&sip.body, b"&x=1".as_slice()].concat(),
            };
        }
        Move::ReorderedBody => sip.body = reordered(&sip.body)?,
        Move::RespelledBody => sip.body = respelled(&sip.body)?,
        Move::ParameterAdded => sip.body = edited(&sip.body, |body| format!("{body}&added=1"))?,
        Move::ParameterDoubled => {
            let last = text(&sip.body)?.rsplit('&').next()?.to_owned();
            sip.body = edited(&sip.body, |body| format!("{body}&{last}"))?;
        }
        Move::OtherVerifier => sip.body = replaced(&sip.body, "code_verifier=v", "code_verifier=w")?,
        Move::NoVerifier => {
            let verifier = text(&sip.body)?.split('&').find(|part| part.starts_with("code_verifier="))?.to_owned();
            sip.body = replaced(&sip.body, &format!("&{verifier}"), "")?;
        }
        Move::OtherRedirectUri => sip.body = replaced(&sip.body, "%2Fcb", "%2Fother")?,
        Move::TokenOfAnother => swap(sip, own.token.as_deref()?, others.token.as_deref()?)?,
        Move::ProofOfAnother => {
            let proof = own.proof(way, honest)?;
            let made = others.proof(way, honest)?;
            swap(sip, &proof, &made)?;
        }
        Move::ProofInTheOtherPlace => match way {
            Way::ProofInBody => {
                let proof = text(&sip.body)?.rsplit_once("pop=")?.1.to_owned();
                sip.credentials = vec![format!("Bearer pop=\"{proof}\"")];
                sip.body = b"grant_type=proof-of-possession".to_vec();
            }
            Way::ProofInHeader | Way::ProofWithMasterKey if sip.method == "REGISTER" => {
                let proof = sip.credentials[0].split('"').nth(1)?.to_owned();
                sip.body = format!("grant_type=proof-of-possession&pop={proof}").into_bytes();
                sip.credentials.clear();
            }
            _ => return None,
        },
        Move::OtherRealm => {
            let credentials = sip.credentials.first_mut()?;
            match credentials.contains("realm=\"") {
                true => *credentials = credentials.replace("realm=\"example.test\"", "realm=\"elsewhere.test\""),
                false => credentials.push_str(", realm=\"elsewhere.test\""),
            }
        }
        Move::DoubledCredentials => {
            let first = sip.credentials.first()?.clone();
            sip.credentials.push(first);
        }
    }
    if !mv.keeps_octets() {
        attempt.sip.octets.extend_from_slice(format!(" and {mv:?}").as_bytes());
    }
    Some(attempt)
}

/// What is known of it ends by the clock of the I/O service, which a test does not turn. Its end has tests elsewhere.
fn kept_by_its_own_clock(way: Way) -> bool {
    match way {
        Way::OpaqueToken
        | Way::ForeignToken
        | Way::Code
        | Way::CodeWithVerifier
        | Way::ShortCode
        | Way::CodeOfMasterKey
        | Way::Password
        | Way::TypedCode => true,
        Way::Token
        | Way::EncryptedToken
        | Way::ProofInBody
        | Way::ProofInHeader
        | Way::ProofWithMasterKey
        | Way::TokenAndProof
        | Way::Refresh
        | Way::KeyDerivation
        | Way::Connection
        | Way::DevicePassword => false,
    }
}

/// The body, where it is a form of ours.
fn text(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok().filter(|body| body.contains("grant_type="))
}

fn edited(body: &[u8], edit: impl FnOnce(&str) -> String) -> Option<Vec<u8>> {
    text(body).map(|body| edit(body).into_bytes())
}

fn replaced(body: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    text(body).filter(|body| body.contains(from)).map(|body| body.replace(from, to).into_bytes())
}

/// The last parameter goes to the front.
fn reordered(body: &[u8]) -> Option<Vec<u8>> {
    let (rest, last) = text(body)?.rsplit_once('&')?;
    Some(format!("{last}&{rest}").into_bytes())
}

/// The same parameters, one character of a name as RFC 3986 allows it, too.
fn respelled(body: &[u8]) -> Option<Vec<u8>> {
    replaced(body, "grant_type=", "grant%5Ftype=")
}

fn swap(sip: &mut Sip, from: &str, to: &str) -> Option<()> {
    let mut found = false;
    for credentials in &mut sip.credentials {
        found |= credentials.contains(from);
        *credentials = credentials.replace(from, to);
    }
    if let Some(body) = text(&sip.body).filter(|body| body.contains(from)) {
        sip.body = body.replace(from, to).into_bytes();
        found = true;
    }
    found.then_some(())
}
