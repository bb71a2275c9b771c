// SPDX-License-Identifier: MIT OR Apache-2.0
//! A REFER and the rules about where it may be sent (RFC 3515 section 2.4, RFC 7647, RFC 7614 section 4 to 6).

use super::reason::{ReferReason, Refusal};
use super::rules::{Explicit, InDialog, Protected, ReferRules};
use crate::sip::digest_string::split_cseq;
use crate::sip::message::{MessageView, NameAddr, is_gruu, names, separated};

/// The option tag of a REFER whose sender subscribes by itself.
pub const EXPLICIT: &str = "explicitsub";
/// The option tag of a REFER whose sender does not subscribe.
pub const NONE: &str = "nosub";

/// Option tags that an event server knows: beside those of RFC 7614 Target-Dialog (RFC 4538), and the request to do
/// without a subscription (RFC 4488), which may be answered with one.
const KNOWN: [&str; 4] = [EXPLICIT, NONE, "tdialog", "norefersub"];

/// How the sender of a REFER learns what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subscribing {
    /// The REFER itself creates a subscription (RFC 3515).
    Implicit,
    /// By a SUBSCRIBE to the URI of Refer-Events-At.
    Explicit,
    /// Not at all.
    None,
}

/// A dialog that a request is about (RFC 4538).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetDialog<'a> {
    /// Its Call-ID.
    pub call_id: &'a str,
    /// The tag of the user agent that is to be asked.
    pub local_tag: &'a str,
    /// The tag of the other one.
    pub remote_tag: &'a str,
}

/// A REFER that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    /// How its sender learns more.
    pub subscribing: Subscribing,
    /// The URI of Refer-To.
    pub refer_to: &'a str,
    /// The URI of its Contact; empty when there is none.
    pub contact: &'a str,
    /// It has a To tag.
    pub in_dialog: bool,
    /// The dialog that it names.
    pub target: Option<TargetDialog<'a>>,
}

/// Judges a request that passes: a REFER by all rules, any other only for the option tags that it must not have. None
/// stands for such another request.
pub fn judge<'a>(
    method: &str,
    message: &MessageView<'a>,
    rules: &ReferRules,
) -> Result<Option<Reference<'a>>, Refusal> {
    let (explicit, none) = (message.lists(names::REQUIRE, EXPLICIT), message.lists(names::REQUIRE, NONE));
    if method != "REFER" {
        return if explicit || none { Err(unsupported(ReferReason::TagMisplaced, explicit, none)) } else { Ok(None) };
    }
    // What cannot be read might be one of them.
    if !has_readable_options(message) || !has_parties(message) {
        return Err(ReferReason::Malformed.into());
    }
    let subscribing = match (explicit, none) {
        _ if (explicit || none) && rules.explicit == Explicit::Off => {
            return Err(unsupported(ReferReason::TagDisabled, explicit, none));
        }
        (true, true) => return Err(ReferReason::BothTags.into()),
        (true, false) => Subscribing::Explicit,
        (false, true) => Subscribing::None,
        (false, false) => Subscribing::Implicit,
    };
    let reference = Reference {
        subscribing,
        refer_to: refer_to(message).ok_or(ReferReason::ReferTo)?,
        contact: contact(message, subscribing)?,
        in_dialog: to_tag(message)?.is_some(),
        target: target_dialog(message)?,
    };
    if subscribing == Subscribing::Implicit {
        judge_implicit(&reference, message, rules)?;
    }
    Ok(Some(reference))
}

fn judge_implicit(reference: &Reference<'_>, message: &MessageView<'_>, rules: &ReferRules) -> Result<(), Refusal> {
    if rules.explicit == Explicit::Required {
        // the sender can do as it is told only if it knows the extension (RFC 3261 section 21.4.16)
        let known = [EXPLICIT, NONE].into_iter().find(|tag| message.lists(names::SUPPORTED, tag));
        return Err(known.map_or(ReferReason::ExplicitNeeded.into(), |tag| {
            Refusal::with(ReferReason::ExplicitRequired, &format!("Require: {tag}"))
        }));
    }
    let refused = match rules.in_dialog {
        InDialog::Allowed => false,
        InDialog::Refused => true,
        InDialog::UnlessGruu => is_gruu(message.request_uri().unwrap_or_default()),
    };
    if reference.in_dialog && refused {
        return Err(ReferReason::InDialog.into());
    }
    if rules.contact_is_gruu && !is_gruu(reference.contact) {
        return Err(ReferReason::ContactNoGruu.into());
    }
    Ok(())
}

/// What an event server that accepts a REFER looks at beyond [`judge`]: it must have every option that is required, see also
/// [`judge_protected`].
pub fn judge_acceptable(
    reference: &Reference<'_>,
    message: &MessageView<'_>,
    rules: &ReferRules,
    over_tls: bool,
) -> Result<(), Refusal> {
    judge_options(message, &KNOWN)?;
    judge_protected(reference, message, rules, over_tls)
}

/// With `refer_protected = sips` a REFER whose events can be subscribed to must have come over TLS.
pub fn judge_protected(
    reference: &Reference<'_>,
    message: &MessageView<'_>,
    rules: &ReferRules,
    over_tls: bool,
) -> Result<(), Refusal> {
    if reference.subscribing == Subscribing::Explicit && rules.protected == Protected::Always && !over_tls {
        // RFC 7614 section 8: the requester is redirected to a protected transport
        let uri = message.request_uri().unwrap_or_default();
        let sip = uri.split_once(':').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("sip"));
        let (_, rest) = sip.ok_or(ReferReason::Malformed)?;
        return Err(Refusal::with(ReferReason::Unprotected, &format!("Contact: <sips:{rest}>")));
    }
    Ok(())
}

/// A server that answers a request itself must have every option that is required (RFC 3261 section 8.2.2.3).
pub fn judge_options(message: &MessageView<'_>, known: &[&str]) -> Result<(), Refusal> {
    if !has_readable_options(message) {
        return Err(ReferReason::Malformed.into());
    }
    let mut required = message.values(names::REQUIRE).flatten().filter(|tag| !tag.is_empty());
    match required.find(|tag| !known.iter().any(|known| known.eq_ignore_ascii_case(tag))) {
        Some(tag) => Err(Refusal::with(ReferReason::TagUnknown, &format!("Unsupported: {tag}"))),
        None => Ok(()),
    }
}

fn has_readable_options(message: &MessageView<'_>) -> bool {
    message.values(names::REQUIRE).all(|tag| tag.is_some_and(|tag| tag.is_empty() || is_token(tag)))
}

/// True for a request with a From tag, Call-ID and a CSeq of its method.
fn has_parties(message: &MessageView<'_>) -> bool {
    let from = message.only(names::FROM).and_then(NameAddr::parse);
    let method = message.first_line().split(|octet| *octet == b' ').next().unwrap_or_default();
    let cseq = message.only(names::CSEQ).and_then(|value| split_cseq(value.as_bytes()));
    from.is_some_and(|from| from.parameter("tag").is_some_and(is_token))
        && message.only(names::CALL_ID).is_some_and(|id| !id.is_empty())
        && cseq.is_some_and(|(_, named)| named == method)
}

fn unsupported(reason: ReferReason, explicit: bool, none: bool) -> Refusal {
    let tags: Vec<_> = [(explicit, EXPLICIT), (none, NONE)].into_iter().filter(|tag| tag.0).map(|tag| tag.1).collect();
    Refusal::with(reason, &format!("Unsupported: {}", tags.join(", ")))
}

/// A token of RFC 3261 section 25.1.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet))
}

fn refer_to<'a>(message: &MessageView<'a>) -> Option<&'a str> {
    let mut values = message.values(names::REFER_TO);
    let only = values.next()??;
    if values.next().is_some() {
        return None;
    }
    NameAddr::parse(only).map(|address| address.uri)
}

/// The Contact. Without one there is nobody to whom an implicit subscription could report.
fn contact<'a>(message: &MessageView<'a>, subscribing: Subscribing) -> Result<&'a str, ReferReason> {
    let mut values = message.values(names::CONTACT);
    match (values.next(), values.next()) {
        (None, _) if subscribing != Subscribing::Implicit => Ok(""),
        (Some(Some(only)), None) => {
            let address = NameAddr::parse(only).filter(NameAddr::is_sip).ok_or(ReferReason::Contact)?;
            Ok(address.uri)
        }
        _ => Err(ReferReason::Contact),
    }
}

/// The tag of To.
pub fn to_tag<'a>(message: &MessageView<'a>) -> Result<Option<&'a str>, ReferReason> {
    let to = message.only(names::TO).and_then(NameAddr::parse).ok_or(ReferReason::Malformed)?;
    Ok(to.parameter("tag").filter(|tag| !tag.is_empty()))
}

fn target_dialog<'a>(message: &MessageView<'a>) -> Result<Option<TargetDialog<'a>>, ReferReason> {
    if message.named(names::TARGET_DIALOG).next().is_none() {
        return Ok(None);
    }
    let read = || {
        let value = message.only(names::TARGET_DIALOG)?;
        let mut parts = separated(value, b';');
        let call_id = parts.next().filter(|text| is_call_id(text))?;
        let (mut local_tag, mut remote_tag) = (None, None);
        for part in parts {
            let (name, tag) = part.split_once('=').unwrap_or((part, ""));
            let (name, tag) = (name.trim_ascii(), tag.trim_ascii());
            let place = match name {
                _ if name.eq_ignore_ascii_case("local-tag") => &mut local_tag,
                _ if name.eq_ignore_ascii_case("remote-tag") => &mut remote_tag,
                _ => continue,
            };
            if place.replace(tag).is_some() || !is_token(tag) {
                return None;
            }
        }
        Some(TargetDialog { call_id, local_tag: local_tag?, remote_tag: remote_tag? })
    };
    read().map(Some).ok_or(ReferReason::TargetDialog)
}

/// `word [ "@" word ]` of RFC 3261 section 25.1.
fn is_call_id(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&octet))
    };
    match text.split_once('@') {
        Some((before, after)) => is_word(before) && is_word(after),
        None => is_word(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ReferRules = ReferRules {
        in_dialog: InDialog::UnlessGruu,
        contact_is_gruu: false,
        explicit: Explicit::Allowed,
        protected: Protected::Preferred,
        subscribers: super::super::rules::Subscribers::Anybody,
    };

    fn refer(uri: &str, to: &str, fields: &str) -> String {
        format!(
            "REFER {uri} SIP/2.0\r\nTo: <sip:b@x>{to}\r\nFrom: <sip:a@x>;tag=1\r\nCall-ID: c\r\nCSeq: 1 REFER\r\nContact: <sip:a@h;gr=1>\r\n{fields}\r\n"
        )
    }

    fn judged(text: &str, rules: &ReferRules) -> Result<Option<Subscribing>, (ReferReason, String)> {
        let message = MessageView::new(text.as_bytes()).unwrap();
        let method = text.split(' ').next().unwrap();
        let judged = judge(method, &message, rules);
        judged.map(|one| one.map(|one| one.subscribing)).map_err(|refusal| (refusal.reason, refusal.headers))
    }

    fn reason(text: &str, rules: &ReferRules) -> ReferReason {
        judged(text, rules).unwrap_err().0
    }

    #[test]
    fn a_refer_has_exactly_one_refer_to() {
        for fields in ["", "Refer-To: <sip:c@x>, <sip:d@x>\r\n", "r: <sip:c@x>\r\nRefer-To: <sip:c@x>\r\n", "r: c\r\n"]
        {
            assert_eq!(reason(&refer("sip:b@h", "", fields), &RULES), ReferReason::ReferTo, "{fields}");
        }
        let one = "R: \"C, D\" <sip:c@x?Replaces=1%3Bto-tag%3D2>\r\n";
        assert_eq!(judged(&refer("sip:b@h", "", one), &RULES), Ok(Some(Subscribing::Implicit)));
    }

    #[test]
    fn within_a_dialog_it_depends_on_the_target_and_on_what_is_required() {
        let within = |uri, tags| refer(uri, ";tag=2", &format!("Refer-To: sip:c@x\r\n{tags}"));
        assert_eq!(judged(&within("sip:b@h", ""), &RULES), Ok(Some(Subscribing::Implicit)));
        for tags in ["", "Require: norefersub\r\n", "Supported: explicitsub\r\n"] {
            assert_eq!(reason(&within("sip:b@h;gr", tags), &RULES), ReferReason::InDialog, "{tags}");
        }
        assert_eq!(judged(&within("sip:b@h;gr", "Require: explicitsub\r\n"), &RULES), Ok(Some(Subscribing::Explicit)));
        assert_eq!(judged(&within("sip:b@h;gr", "Require: nosub\r\n"), &RULES), Ok(Some(Subscribing::None)));
        let strict = ReferRules { in_dialog: InDialog::Refused, ..RULES };
        assert_eq!(reason(&within("sip:b@h", ""), &strict), ReferReason::InDialog);
        let lax = ReferRules { in_dialog: InDialog::Allowed, ..RULES };
        assert!(judged(&within("sip:b@h;gr", ""), &lax).is_ok());
    }

    #[test]
    fn tags_are_legal_in_a_refer_only_and_where_they_are_turned_on() {
        let tagged = |tag| refer("sip:b@h", "", &format!("Refer-To: sip:c@x\r\nRequire: {tag}\r\n"));
        let off = ReferRules { explicit: Explicit::Off, ..RULES };
        for tag in ["explicitsub", "nosub"] {
            let unsupported = format!("Unsupported: {tag}\r\n");
            assert_eq!(judged(&tagged(tag), &off), Err((ReferReason::TagDisabled, unsupported.clone())));
            let invite = tagged(tag).replace("REFER ", "INVITE ");
            assert_eq!(judged(&invite, &RULES), Err((ReferReason::TagMisplaced, unsupported)));
        }
        assert_eq!(reason(&tagged("nosub, explicitsub"), &RULES), ReferReason::BothTags);
        assert_eq!(judged(&tagged("x").replace("REFER ", "INVITE "), &RULES), Ok(None));
    }

    #[test]
    fn what_cannot_be_read_is_not_passed_over() {
        for tags in ["\"explicitsub\"", "explicitsub;x", "foo bar", "nosub, a/b"] {
            let text = refer("sip:b@h", "", &format!("Refer-To: sip:c@x\r\nRequire: {tags}\r\n"));
            assert_eq!(reason(&text, &RULES), ReferReason::Malformed, "{tags}");
        }
        let good = refer("sip:b@h", "", "Refer-To: sip:c@x\r\nRequire: , nosub ,\r\n");
        assert_eq!(judged(&good, &RULES), Ok(Some(Subscribing::None)));
        for (from, to) in [(";tag=1", ""), ("Call-ID: c\r\n", ""), ("1 REFER", "1 INVITE"), ("1 REFER", "REFER")] {
            assert_eq!(reason(&good.replace(from, to), &RULES), ReferReason::Malformed, "{to}");
        }
    }

    #[test]
    fn who_must_subscribe_by_itself_is_told_so_if_it_can() {
        let rules = ReferRules { explicit: Explicit::Required, ..RULES };
        let supporting = |tags| refer("sip:b@h", "", &format!("Refer-To: sip:c@x\r\nk: {tags}\r\n"));
        let needed = Err((ReferReason::ExplicitRequired, "Require: explicitsub\r\n".to_owned()));
        assert_eq!(judged(&supporting("gruu, nosub, explicitsub"), &rules), needed);
        assert_eq!(
            judged(&supporting("nosub"), &rules),
            Err((ReferReason::ExplicitRequired, "Require: nosub\r\n".into()))
        );
        assert_eq!(reason(&supporting("gruu"), &rules), ReferReason::ExplicitNeeded);
    }

    #[test]
    fn an_implicit_subscription_needs_a_contact_and_perhaps_a_gruu() {
        let without = |contact: &str, tag: &str| {
            refer("sip:b@h", "", &format!("Refer-To: sip:c@x\r\n{tag}")).replace("Contact: <sip:a@h;gr=1>", contact)
        };
        for contact in ["X: y", "Contact: <sip:a@h>, <sip:b@h>", "Contact: *", "m: <tel:1>"] {
            assert_eq!(reason(&without(contact, ""), &RULES), ReferReason::Contact, "{contact}");
        }
        assert!(judged(&without("X: y", "Require: nosub\r\n"), &RULES).is_ok());
        let strict = ReferRules { contact_is_gruu: true, ..RULES };
        assert_eq!(reason(&without("m: <sip:a@h>", ""), &strict), ReferReason::ContactNoGruu);
        assert!(judged(&without("m: <sip:a@h;gr>", ""), &strict).is_ok());
        assert!(judged(&without("m: <sip:a@h>", "Require: explicitsub\r\n"), &strict).is_ok());
    }

    #[test]
    fn target_dialog_has_a_call_id_and_two_tags() {
        let read = |value: &str| {
            let text = refer("sip:b@h", "", &format!("Refer-To: sip:c@x\r\nTarget-Dialog: {value}\r\n"));
            let message = MessageView::new(text.as_bytes()).unwrap();
            judge("REFER", &message, &RULES).map(|one| one.unwrap().target.map(|t| format!("{t:?}")))
        };
        let dialog =
            TargetDialog { call_id: "fa77as7dad8-sd98ajzz@host.example.com", local_tag: "kkaz-", remote_tag: "6544" };
        let text = "fa77as7dad8-sd98ajzz@host.example.com ; local-tag=kkaz-\r\n ;remote-tag=6544;x";
        assert_eq!(read(text), Ok(Some(format!("{dialog:?}"))));
        for wrong in [
            "a;local-tag=1",
            "a;local-tag=1;remote-tag=",
            "a;local-tag=1;local-tag=1;remote-tag=2",
            ";local-tag=1;remote-tag=2",
            "a b;local-tag=1;remote-tag=2",
            "a;local-tag=1;remote-tag=2\r\nTarget-Dialog: a;local-tag=1;remote-tag=2",
        ] {
            assert_eq!(read(wrong), Err(ReferReason::TargetDialog.into()), "{wrong}");
        }
    }

    #[test]
    fn an_event_server_has_every_required_option_and_redirects_to_tls() {
        let acceptable = |fields: &str, rules: &ReferRules| {
            let text = refer("sip:b@h;x", "", &format!("Refer-To: sip:c@x\r\n{fields}"));
            let message = MessageView::new(text.as_bytes()).unwrap();
            let reference = judge("REFER", &message, rules).unwrap().unwrap();
            judge_acceptable(&reference, &message, rules, false).map_err(|refusal| (refusal.reason, refusal.headers))
        };
        assert_eq!(acceptable("Require: tdialog, norefersub\r\n", &RULES), Ok(()));
        let unknown = Err((ReferReason::TagUnknown, "Unsupported: 100rel\r\n".to_owned()));
        assert_eq!(acceptable("Require: explicitsub, 100rel\r\n", &RULES), unknown);
        let tls = ReferRules { protected: Protected::Always, ..RULES };
        let redirected = Err((ReferReason::Unprotected, "Contact: <sips:b@h;x>\r\n".to_owned()));
        assert_eq!(acceptable("Require: explicitsub\r\n", &tls), redirected);
        assert_eq!(acceptable("Require: nosub\r\n", &tls), Ok(()));
    }
}
