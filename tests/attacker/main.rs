// SPDX-License-Identifier: MIT OR Apache-2.0

//! A phone that captures any request and sends it again: as it was, from elsewhere, later, and with any part changed.
//!
//! Every way to sign in goes through all moves by one table (`table.rs`). A cell says what must be refused and why, what
//! must be accepted because an honest phone does the same, and what is deliberately not covered, with the sentence why.
//!
//! # How a row is added
//! 1. A new way to sign in is a variant of the library's `Carried`, `SignIn` or `TokenGrant`: `ways.rs` does not compile
//!    until it names the rows that try it ([`ways::of_carried`] and its neighbours match without a wildcard).
//! 2. A row is a variant of [`ways::Way`]: its credentials in `Stage::prepare`, its test in [`each_way`], its cells in
//!    `table::rule`. All of them are matches without a wildcard; a test compares the rows that have a test with
//!    `Way::ALL`.
//! 3. A move is a variant of [`moves::Move`]: what it does in `moves::apply`, its cell in every row of the table. Both
//!    are matches without a wildcard, so a move that one row forgets does not compile.
//!
//! `ATTACKER_SHOWS=1 cargo test --test attacker -- --nocapture` prints what happens in each cell.

#[path = "../support/mod.rs"]
mod support;

#[path = "../sessions/endpoint.rs"]
#[allow(dead_code)]
mod endpoint;
#[path = "../sessions/phone.rs"]
#[allow(dead_code)]
mod phone;
#[path = "../sessions/plant.rs"]
#[allow(dead_code)]
mod plant;

mod moves;
mod stage;
mod table;
mod trial;
mod ways;

use ways::Way;

/// A test for each row, by name.
macro_rules! each_way {
    ($($test:ident: $way:ident),* $(,)?) => {
        $(#[test]
        fn $test() {
            trial::of(Way::$way);
        })*

        const TRIED: &[Way] = &[$(Way::$way),*];
    };
}

each_way! {
    a_captured_token: Token,
    a_captured_encrypted_token: EncryptedToken,
    a_captured_opaque_token: OpaqueToken,
    a_captured_token_from_elsewhere: ForeignToken,
    a_captured_code: Code,
    a_captured_code_with_its_verifier: CodeWithVerifier,
    a_captured_short_code: ShortCode,
    a_captured_code_of_a_master_key: CodeOfMasterKey,
    a_captured_proof_in_a_body: ProofInBody,
    a_captured_proof_in_a_header: ProofInHeader,
    a_captured_proof_with_a_master_key: ProofWithMasterKey,
    a_captured_token_with_its_proof: TokenAndProof,
    a_captured_password_sign_in: Password,
    a_captured_refresh: Refresh,
    a_captured_key_derivation: KeyDerivation,
    a_captured_request_of_a_connection: Connection,
    a_captured_device_password: DevicePassword,
    a_captured_typed_code: TypedCode,
}

#[test]
fn every_way_to_sign_in_is_tried() {
    for way in Way::ALL {
        assert!(TRIED.contains(way), "{way:?} has no test");
    }
    assert_eq!(TRIED.len(), Way::ALL.len());
}

#[test]
fn every_kind_of_credential_of_the_library_has_a_row() {
    ways::assert_complete();
}

#[test]
fn proxies_that_share_redis_refuse_what_one_of_them_has_seen() {
    trial::of_cluster();
}
