// SPDX-License-Identifier: MIT OR Apache-2.0
//! The part of a worker for dialogs. It marks the dialogs that were let in, and recognizes them later.

use super::Worker;
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

impl Worker {
    /// The URI parameter, with its semicolon, for the Record-Route of a request that was let in. None when the
    /// request forms no dialog.
    pub fn dialog_mark(&mut self, parts: &DialogParts<'_>, now: Option<i64>) -> Option<String> {
        let now = self.prepare(now) / 1000;
        self.with_dialog_key(|key| key.mark(parts.call_id, parts.from_tag, now))
    }

    /// True when the parameters of the topmost Route URI, which must be the proxy's own, have the mark of this dialog.
    pub fn dialog_is_marked(&mut self, parts: &DialogParts<'_>, parameters: &[u8], now: Option<i64>) -> bool {
        let now = self.prepare(now) / 1000;
        let tags = [parts.from_tag, parts.to_tag];
        let marked = self.with_dialog_key(|key| key.is_genuine(parameters, parts.call_id, tags, now));
        if !marked {
            let call_id = printable(&String::from_utf8_lossy(parts.call_id), 128);
            let line = format!("refused: a request within a dialog that has no mark of this proxy (Call-ID {call_id})");
            self.context.log().log(Level::Info, &line);
        }
        marked
    }

    /// Uses the key of `store_key` if there is one, because it outlives restarts and all proxies that share it
    /// have it.
    fn with_dialog_key<T>(&self, use_key: impl FnOnce(&DialogKey) -> T) -> T {
        match &self.placed.policy.dialog_key {
            Some(key) => use_key(key),
            None => use_key(&DialogKey::new(&*self.context.arena().shared().dialog_key.octets())),
        }
    }
}
