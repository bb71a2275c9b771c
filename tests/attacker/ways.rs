// SPDX-License-Identifier: MIT OR Apache-2.0

//! The ways to sign in: one row of the table each.

use sipoauth_core::check::Carried;
use sipoauth_core::oauth::grant::{Grant, TokenGrant};
use sipoauth_core::records::session::SignIn;

/// An enum and the list of its variants.
macro_rules! listed {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$what:meta])* $variant:ident),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$what])* $variant),* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant),*];
        }
    };
}
pub(crate) use listed;

listed! {
    /// What the captured request carries.
    pub enum Way {
        /// A signed token (RFC 8898).
        Token,
        /// A signed token within an encrypted one.
        EncryptedToken,
        /// A token that the server is asked about.
        OpaqueToken,
        /// A token from elsewhere, which the server replaces (sip-oauth section 5).
        ForeignToken,
        /// An authorization code alone.
        Code,
        /// An authorization code with code_verifier and redirect_uri.
        CodeWithVerifier,
        /// A code that a user types.
        ShortCode,
        /// A code whose answer brings the key.
        CodeOfMasterKey,
        /// `grant_type=proof-of-possession`
        ProofInBody,
        /// `Bearer pop=…`
        ProofInHeader,
        /// The same with a key that the server has given.
        ProofWithMasterKey,
        /// `Bearer token=…, pop=…`
        TokenAndProof,
        /// Digest and `grant_type=password`.
        Password,
        /// `grant_type=refresh_token` with a proof.
        Refresh,
        /// `Key-Derivation`
        KeyDerivation,
        /// Nothing: the connection has signed in before.
        Connection,
        /// Digest with a password that the sign-in page has made.
        DevicePassword,
        /// A code that the sign-in page has made and a user types.
        TypedCode,
    }
}

/// The rows that try what a request carries.
pub fn of_carried(carried: Carried) -> &'static [Way] {
    match carried {
        // Nothing is accepted without anything.
        Carried::Nothing => &[],
        Carried::Token => &[Way::Token, Way::EncryptedToken, Way::OpaqueToken, Way::ForeignToken],
        Carried::Code => &[Way::Code, Way::CodeWithVerifier, Way::ShortCode, Way::CodeOfMasterKey, Way::TypedCode],
        Carried::Proof => &[Way::ProofInBody, Way::ProofInHeader, Way::ProofWithMasterKey],
        Carried::Connection => &[Way::Connection],
        Carried::Password => &[Way::Password],
        Carried::Refresh => &[Way::Refresh],
        Carried::TokenAndProof => &[Way::TokenAndProof],
        Carried::KeyDerivation => &[Way::KeyDerivation],
        Carried::Device => &[Way::DevicePassword],
    }
}

/// The rows whose request makes a session of this kind, or proves that it has one.
pub fn of_sign_in(sign_in: SignIn) -> &'static [Way] {
    match sign_in {
        SignIn::Code => &[Way::Code, Way::ProofInBody],
        SignIn::Password => &[Way::Password, Way::TokenAndProof, Way::Refresh],
        SignIn::ForeignToken => &[Way::ForeignToken],
        // A browser's own session shows itself in no request: what hangs on it does.
        SignIn::Page => &[Way::DevicePassword, Way::TypedCode],
        SignIn::Device => &[Way::DevicePassword],
    }
}

/// The row that redeems this.
pub fn of_redeemed(grant: &TokenGrant) -> Way {
    match grant {
        TokenGrant::Code(_) => Way::Code,
        TokenGrant::Password(_) => Way::Password,
        TokenGrant::ForeignToken(_) => Way::ForeignToken,
        TokenGrant::Refresh(_) => Way::Refresh,
        TokenGrant::TypedCode => Way::TypedCode,
    }
}

/// The row of this body.
pub fn of_body(grant: &Grant) -> Way {
    match grant {
        Grant::Code(_) => Way::Code,
        Grant::Pop { .. } => Way::ProofInBody,
        Grant::Password { .. } => Way::Password,
        Grant::Refresh { .. } => Way::Refresh,
    }
}

/// The kind that the honest request is accepted as. `assert_complete` compares it with [`of_carried`].
pub fn carried(way: Way) -> Carried {
    match way {
        Way::Token | Way::EncryptedToken | Way::OpaqueToken | Way::ForeignToken => Carried::Token,
        Way::Code | Way::CodeWithVerifier | Way::ShortCode | Way::CodeOfMasterKey | Way::TypedCode => Carried::Code,
        Way::ProofInBody | Way::ProofInHeader | Way::ProofWithMasterKey => Carried::Proof,
        Way::TokenAndProof => Carried::TokenAndProof,
        Way::Password => Carried::Password,
        Way::Refresh => Carried::Refresh,
        Way::KeyDerivation => Carried::KeyDerivation,
        Way::Connection => Carried::Connection,
        Way::DevicePassword => Carried::Device,
    }
}

pub fn assert_complete() {
    for way in Way::ALL {
        assert!(of_carried(carried(*way)).contains(way), "{way:?} is in no list of the library's kinds");
    }
    for sign_in in [SignIn::Code, SignIn::Password, SignIn::ForeignToken, SignIn::Page, SignIn::Device] {
        assert!(!of_sign_in(sign_in).is_empty(), "{sign_in:?}");
    }
    // These lines only have to compile.
    let _: fn(&TokenGrant) -> Way = of_redeemed;
    let _: fn(&Grant) -> Way = of_body;
}
