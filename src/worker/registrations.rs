// SPDX-License-Identifier: MIT OR Apache-2.0
//! The end of a registration: its key is stored before the answer leaves, and taken back after a refusal.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Handling;
use super::session_view::SessionView;
use super::waits::Waits;
use crate::fault;
use crate::process::context::{Context, PlacedPolicy};
use crate::process::job::Work;
use crate::shared::counters::Counter;
use crate::store::sessions::SessionError;
use sipoauth_core::check::registration::Registration;
use sipoauth_core::ports::store::StoreError;
use sipoauth_core::reason::Reason;

/// The name under which the digest-string in a ticket is sealed.
const TICKET: &str = "ticket";
/// Longest ticket in octets. A ticket that would be longer has no digest-string.
const MAX_TICKET: usize = 4096;

/// The registrations that one call ends.
pub struct Registrations<'w> {
    pub(super) context: &'w Context,
    pub(super) placed: &'w PlacedPolicy,
    /// Unix milliseconds.
    pub(super) now: i64,
}

impl Registrations<'_> {
    /// Stores the key of a registration in this process.
    pub(super) fn bind(&self, registration: &Registration, to_tag: &[u8]) -> Result<(), SessionError> {
        let policy = &self.placed.policy;
        let access = self.context.sessions().ok_or(SessionError::NotConfigured)?;
        let stored = access
            .open(policy)
            .map_err(SessionError::Store)
            .and_then(|store| store.bind(policy, registration, to_tag, self.now));
        if let Err(SessionError::Store(error)) = &stored {
            self.context.note_store(self.context.log(), Some(error));
        } else if stored.is_ok() {
            self.context.arena().shared().counters.add(Counter::KeysStored);
        }
        stored
    }

    fn registration(&self, ticket: &str) -> Result<Registration, SessionError> {
        let mut registration: Registration = serde_json::from_str(ticket).map_err(|_| SessionError::Malformed)?;
        let sealer = self.context.sessions().map(|access| access.sealer());
        let open = |sealed: String| {
            let digest = sealer?.open(TICKET, &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
            String::from_utf8(digest.to_vec()).ok()
        };
        registration.digest = registration.digest.take().and_then(open);
        Ok(registration)
    }

    /// Takes note that a registration is answered with this status, 200 or above, and this To tag. After an error
    /// a 2xx must become a 503, with Retry-After of that many seconds.
    pub fn answered(&self, ticket: &str, status: u32, to_tag: &[u8]) -> Result<(), (SessionError, u32)> {
        if status >= 300 {
            // A key that cannot be taken back now ends with its code.
            let _ = self.withdraw(ticket, to_tag);
            return Ok(());
        }
        self.confirm(ticket, to_tag).map_err(|error| (error, self.placed.policy.settings.retry_after))
    }

    /// Confirms a registration with a code that is answered with this To tag. Its key must be stored before the
    /// answer leaves.
    pub fn confirm(&self, ticket: &str, to_tag: &[u8]) -> Result<(), SessionError> {
        let registration = self.registration(ticket)?;
        fault::slow_point(&registration.aor);
        if to_tag.is_empty() {
            return Err(SessionError::Malformed);
        }
        let Some(sessions) = &self.placed.policy.sessions else {
            return Err(SessionError::NotConfigured);
        };
        let known = SessionView::as_known_after_wait(self.context, &self.placed.policy, self.now);
        if registration.tagged && !known.has_key(sessions, &registration, to_tag) {
            if !self.context.stores_itself() {
                // The answer cannot be held back until a network has answered, so it becomes a 503 and the phone
                // comes again.
                let _ = self.withdraw(ticket, to_tag);
                return Err(SessionError::Store(StoreError::Away("the key was not stored in time".into())));
            }
            self.bind(&registration, to_tag)?;
        }
        if self.context.stores_itself() {
            self.note_confirmed(&registration);
        }
        Ok(())
    }

    /// Notes in the store that the answer leaves. The key is stored already. If this fails, the registration still
    /// counts as confirmed soon.
    fn note_confirmed(&self, registration: &Registration) {
        let Some(access) = self.context.sessions() else { return };
        let policy = &self.placed.policy;
        let noted = access.open(policy).and_then(|store| store.confirm(policy, registration, self.now));
        if let Err(error) = noted {
            self.context.note_store(self.context.log(), Some(&error));
        }
    }

    /// Takes back a registration with a code that was refused after all.
    pub fn withdraw(&self, ticket: &str, to_tag: &[u8]) -> Result<(), SessionError> {
        let registration = self.registration(ticket)?;
        let Some(access) = self.context.sessions() else {
            return Err(SessionError::NotConfigured);
        };
        if !self.context.stores_itself() {
            let work = Work::Unbind(Box::new(registration), to_tag.to_vec());
            let full = |reason: Reason| SessionError::Store(StoreError::Away(reason.text().to_owned()));
            let waits = Waits { context: self.context, placed: self.placed };
            return waits.submit_for_nobody(work, &Handling::default()).map_err(full);
        }
        let store = access.open(&self.placed.policy).map_err(SessionError::Store)?;
        store.unbind(&self.placed.policy, &registration, to_tag, self.now)
    }
}

/// What the host keeps of a registration until its answer goes out.
pub(super) fn ticket_of(context: &Context, registration: &mut Registration) -> String {
    // The ticket travels through the host and the digest-string contains the code, so the digest-string is
    // sealed.
    let sealer = context.sessions().map(|access| access.sealer());
    let seal = |digest: String| Some(URL_SAFE_NO_PAD.encode(sealer?.seal(TICKET, digest.as_bytes())));
    registration.digest = registration.digest.take().and_then(seal);
    let ticket = serde_json::to_string(registration).unwrap_or_default();
    if ticket.len() <= MAX_TICKET {
        return ticket;
    }
    registration.digest = None;
    serde_json::to_string(registration).unwrap_or_default()
}
