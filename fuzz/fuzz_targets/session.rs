// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a phone sends and what a store holds: bodies with codes and proofs, stored records, what connections are bound to, SIP dates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sipoauth_core::oauth::grant::{Grant, read};
use sipoauth_core::records::bound_identity::BoundIdentity;
use sipoauth_core::records::session::{Account, CodeRecord, Tokens, decode};
use sipoauth_core::sip::sip_date::{from_unix_seconds, read as read_date, unix_seconds};

fuzz_target!(|octets: &[u8]| {
    if let Ok(
        Grant::Pop { covered, .. } | Grant::Refresh { covered, .. } | Grant::Password { proof: Some((_, covered)) },
    ) = read("", octets)
    {
        assert!(covered.len() < octets.len());
    }
    let _ = (decode::<Account>(octets), decode::<CodeRecord>(octets), decode::<Tokens>(octets));
    if let Some(bound) = BoundIdentity::decode(octets) {
        assert_eq!(bound.encode().expect("what was read can be written")[..], *octets);
    }
    if let Some(seconds) = unix_seconds(octets) {
        let text = from_unix_seconds(seconds).expect("a date that was read can be written");
        assert_eq!(read_date(text.as_bytes()).map(|date| date.text.to_vec()), Some(text.into_bytes()));
    }
});
