// SPDX-License-Identifier: MIT OR Apache-2.0
//! The names in the URIs of an event server. Whoever knows the name of a state may see it (RFC 7614 section 8), and
//! whoever knows the longer one may also change it.
//!
//! A name is 20 octets in hex: where the state lies, in a form that tells nothing, and 128 random bits.

use crate::text::fingerprint::{hex, octets_of_hex};

/// Octets of a name.
pub const LEN: usize = 20;
/// Octets that are added for whoever may change the state.
pub const KEY: usize = 16;
/// Digits of a name that may be shown: 96 random bits are left.
pub const SHOWN: usize = 8;

/// The name of a state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StateId(pub [u8; LEN]);

impl StateId {
    /// Reads the user of a URI. None when it is no name.
    pub fn parse(user: &str) -> Option<StateId> {
        octets_of_hex(user.as_bytes()).map(StateId)
    }

    /// The text, as it stands in URIs.
    pub fn text(&self) -> String {
        hex(&self.0)
    }

    /// As much as a log may have: nobody can use it.
    pub fn shown(&self) -> String {
        let mut text = self.text();
        text.truncate(SHOWN);
        text.push('…');
        text
    }
}

impl std::fmt::Debug for StateId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

/// The user of a URI at which a state may be changed.
pub fn publisher_text(id: &StateId, key: &[u8; KEY]) -> String {
    format!("{}-{}", id.text(), hex(key))
}

/// Reads such a user.
pub fn parse_publisher(user: &str) -> Option<(StateId, [u8; KEY])> {
    let (id, key) = user.split_once('-')?;
    Some((StateId::parse(id)?, octets_of_hex(key.as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written_and_nothing_else_is_one() {
        let id = StateId(std::array::from_fn(|at| at as u8 * 13));
        assert_eq!(StateId::parse(&id.text()), Some(id));
        assert_eq!(StateId::parse(&id.text().to_uppercase()), Some(id));
        let key = [7; KEY];
        assert_eq!(parse_publisher(&publisher_text(&id, &key)), Some((id, key)));
        for text in ["", "alice", &id.text()[1..], &publisher_text(&id, &key), &id.text().replace('0', "g")] {
            assert_eq!(StateId::parse(text), None, "{text}");
        }
        assert!(format!("{id:?}").chars().count() < 10);
    }
}
