// SPDX-License-Identifier: MIT OR Apache-2.0
//! A whole SIP message, as the functions of REFER read it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::refer::conformity::{Edit, of_request, of_response, without_tags};
use sipoauth_core::refer::dialog::{NotifyDialog, Side};
use sipoauth_core::refer::publication::Publication;
use sipoauth_core::refer::reference::{judge, judge_acceptable};
use sipoauth_core::refer::rules::{Explicit, InDialog, Protected, ReferRules, Subscribers};
use sipoauth_core::refer::state_id::{StateId, parse_publisher};
use sipoauth_core::refer::subscription::Subscription;
use sipoauth_core::sip::message::{MessageView, names};

const RULES: ReferRules = ReferRules {
    in_dialog: InDialog::UnlessGruu,
    contact_is_gruu: false,
    explicit: Explicit::Allowed,
    protected: Protected::Always,
    subscribers: Subscribers::Anybody,
};

/// The message after these edits, which must lie in it, in order and apart.
fn edited(octets: &[u8], edits: &[Edit]) -> Vec<u8> {
    let (mut text, mut at) = (Vec::new(), 0);
    for edit in edits {
        assert!(edit.at >= at && edit.length > 0 && edit.at + edit.length <= octets.len());
        text.extend_from_slice(&octets[at..edit.at]);
        text.extend_from_slice(edit.text.as_bytes());
        at = edit.at + edit.length;
    }
    text.extend_from_slice(&octets[at..]);
    text
}

fuzz_target!(|octets: &[u8]| {
    let Some(message) = MessageView::new(octets) else { return };
    for method in ["REFER", "INVITE"] {
        match judge(method, &message, &RULES) {
            Ok(Some(reference)) => {
                assert!(method == "REFER" && !reference.refer_to.is_empty());
                let _ = judge_acceptable(&reference, &message, &RULES, false);
            }
            Ok(None) => assert!(method == "INVITE"),
            Err(refusal) => {
                assert!(refusal.headers.lines().count() <= 1, "a header line was made of octets of the message")
            }
        }
    }
    if let Ok(subscription) = Subscription::read(&message) {
        let _ = (StateId::parse(subscription.user), parse_publisher(subscription.user));
    }
    let _ = Publication::read(&message, message.body());
    if let Ok(dialog) =
        NotifyDialog::new(&message, &Side { tag: "t", contact: "sip:c@h", source: "sip:192.0.2.1:5060" })
    {
        let view = dialog.view();
        assert_eq!((view.local_tag, view.contact), ("t", "sip:c@h"));
        for part in [view.call_id, view.remote_tag, view.local_uri, view.remote_uri, view.target, view.routes] {
            assert!(!part.contains(['\r', '\n']), "{part:?}");
        }
    }
    let without = edited(octets, &without_tags(&message));
    if let Some(message) = MessageView::new(&without) {
        assert!(!message.lists(names::REQUIRE, "explicitsub") && !message.lists(names::REQUIRE, "nosub"));
    }
    edited(octets, &of_request(&message).edits);
    edited(octets, &of_response(&message, None).edits);
    edited(octets, &of_response(&message, Some(&message)).edits);
});
