// SPDX-License-Identifier: MIT OR Apache-2.0
//! Dialogs: those that were let in are marked, and recognized later.

use crate::process::context::Context;
use sipoauth_core::config::policy::Policy;
use sipoauth_core::ports::Level;
use sipoauth_core::sip::dialog_mark::DialogKey;
use sipoauth_core::text::fingerprint::printable;

/// The parts of a request that identify its dialog.
#[derive(Clone, Copy, Debug, Default)]
pub struct DialogParts<'a> {
    /// The value of Call-ID.
    pub call_id: &'a [u8],
    /// The tag of From.
    pub from_tag: &'a [u8],
    /// The tag of To.
    pub to_tag: &'a [u8],
}

/// The dialogs of one call.
pub struct Dialogs<'w> {
    pub(super) context: &'w Context,
    pub(super) policy: &'w Policy,
    /// Unix seconds.
    pub(super) now: i64,
}

impl Dialogs<'_> {
    /// The URI parameter, with its semicolon, for the Record-Route of a request that was let in. None when the
    /// request forms no dialog.
    pub fn mark(&self, parts: &DialogParts<'_>) -> Option<String> {
        self.with_key(|key| key.mark(parts.call_id, parts.from_tag, self.now))
    }

    /// True when the parameters of the topmost Route URI, which must be the proxy's own, have the mark of this dialog.
    pub fn is_marked(&self, parts: &DialogParts<'_>, parameters: &[u8]) -> bool {
        let tags = [parts.from_tag, parts.to_tag];
        let marked = self.with_key(|key| key.is_genuine(parameters, parts.call_id, tags, self.now));
        if !marked {
            let call_id = printable(&String::from_utf8_lossy(parts.call_id), 128);
            let line = format!("refused: a request within a dialog that has no mark of this proxy (Call-ID {call_id})");
            self.context.log().log(Level::Info, &line);
        }
        marked
    }

    /// Uses the key of `store_key` if there is one, because it outlives restarts and all proxies that share it
    /// have it.
    fn with_key<T>(&self, use_key: impl FnOnce(&DialogKey) -> T) -> T {
        match &self.policy.dialog_key {
            Some(key) => use_key(key),
            None => use_key(&DialogKey::new(&*self.context.arena().shared().dialog_key.octets())),
        }
    }
}
