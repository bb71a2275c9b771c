// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phone's memory: a JSON file with its instance, key and tokens. Only its owner can read it, and a crash leaves
//! either the old file or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sipoauth_core::keys::pbkdf2::MasterKey;
use sipoauth_core::keys::pop::pop_from_text;
use sipoauth_core::keys::shared_key::Key;
use zeroize::Zeroizing;

use crate::options::Order;
use crate::secret::Wiped;
use crate::tokens::HeldTokens;
use crate::transport::Transport;

const VERSION: u32 = 1;
const MAX_LEN: u64 = 64 * 1024;

/// What is kept between two runs.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct PhoneState {
    version: u32,
    /// The address-of-record.
    pub aor: String,
    /// The proxy as HOST:PORT.
    pub server: String,
    /// How it was reached.
    pub transport: Transport,
    /// +sip.instance.
    pub instance: String,
    /// Number of the flow (RFC 5626), when there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reg_id: Option<u32>,
    /// The key of the last sign-in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_key: Option<SharedKey>,
    /// The tokens that the proxy gave last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<HeldTokens>,
}

/// Where a key came from. The form of its proofs depends on this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyKind {
    /// Derived from a code: from-tag, to-tag, call-id.
    Draft,
    /// Derived from a code: call-id|from-tag|to-tag.
    Slides,
    /// Derived from H(A1), realm and nonce of a Digest sign-in.
    MasterKey,
    /// Derived from a password with the parameters of a Key-Derivation challenge.
    KeyDerivation,
}

impl From<Order> for KeyKind {
    fn from(order: Order) -> KeyKind {
        match order {
            Order::Draft => KeyKind::Draft,
            Order::Slides => KeyKind::Slides,
        }
    }
}

/// A key and where it came from.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SharedKey {
    key: Wiped,
    order: KeyKind,
    /// Call-ID of the 200 OK, when the key came from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub call_id: String,
    /// From tag of the 200 OK, when the key came from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from_tag: String,
    /// To tag of the 200 OK, when the key came from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to_tag: String,
    /// The user whose password the key came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A short name for the key. A key from a short code or a password has none, because the code or the password could
    /// be guessed from it.
    pub fingerprint: Option<String>,
    /// When the key was derived, as an HTTP date.
    pub since: String,
}

impl SharedKey {
    /// A key that was derived now. The caller fills in the fields that say where it came from.
    pub fn new(kind: KeyKind, octets: &[u8]) -> SharedKey {
        let empty = String::new;
        SharedKey {
            key: Wiped::from(URL_SAFE_NO_PAD.encode(octets)),
            order: kind,
            call_id: empty(),
            from_tag: empty(),
            to_tag: empty(),
            username: None,
            fingerprint: None,
            since: httpdate::fmt_http_date(SystemTime::now()),
        }
    }

    /// A key that came from a user's password. It has no fingerprint, because the password could be guessed from one.
    pub fn of_password(kind: KeyKind, octets: &[u8], username: &str) -> SharedKey {
        SharedKey { username: Some(username.to_owned()), ..SharedKey::new(kind, octets) }
    }

    /// The key as text.
    pub fn text(&self) -> &str {
        self.key.text()
    }

    /// Where the key came from.
    pub fn kind(&self) -> KeyKind {
        self.order
    }

    /// The raw key, if it has 32 octets.
    pub fn octets(&self) -> Option<Key> {
        pop_from_text(self.text()).map(Zeroizing::new)
    }

    /// The raw key of a Key-Derivation, whose length the proxy chose.
    pub fn derived_key(&self) -> Option<MasterKey> {
        MasterKey::from_octets(URL_SAFE_NO_PAD.decode(self.text()).ok()?)
    }

    fn is_whole(&self) -> bool {
        match self.order {
            KeyKind::KeyDerivation => self.derived_key().is_some(),
            KeyKind::Draft | KeyKind::Slides | KeyKind::MasterKey => self.octets().is_some(),
        }
    }
}

impl PhoneState {
    /// A phone without a key.
    pub fn new(aor: String, server: String, transport: Transport, instance: String) -> PhoneState {
        PhoneState { version: VERSION, aor, server, transport, instance, reg_id: None, shared_key: None, tokens: None }
    }

    /// Reads a file; None when there is none yet.
    pub fn load(path: &Path) -> Result<Option<PhoneState>, String> {
        let name = path.display();
        let unreadable = |e: io::Error| format!("the state file {name} cannot be read: {e}");
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unreadable(e)),
        };
        let meta = file.metadata().map_err(unreadable)?;
        if !meta.is_file() {
            return Err(format!("the state file {name} is not a file; name another with --state"));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(format!(
                "others can read the state file {name}, so its key may be known: run chmod 600 on it if they did not"
            ));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_LEN).read_to_string(&mut text).map_err(unreadable)?;
        let broken = |why: String| {
            format!("the state file {name} is broken ({why}): remove it and sign in again, for example with --code")
        };
        // The message of serde_json itself would quote the content of the file.
        let state: PhoneState =
            serde_json::from_str(&text).map_err(|e| broken(format!("line {}, column {}", e.line(), e.column())))?;
        if state.version != VERSION {
            return Err(broken(format!("version {} instead of {VERSION}", state.version)));
        }
        if state.shared_key.as_ref().is_some_and(|key| !key.is_whole()) {
            return Err(broken("its key has not the length of one".into()));
        }
        Ok(Some(state))
    }

    /// Writes the file, mode 0600, in one step.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let failed = |e: io::Error| format!("the state file {} cannot be written: {e}", path.display());
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut temporary = std::ffi::OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}", std::process::id()));
        let temporary = path.with_file_name(temporary);
        let text = Zeroizing::new(serde_json::to_string_pretty(self).map_err(|e| failed(e.into()))? + "\n");
        let written = write_new(&temporary, text.as_bytes()).and_then(|()| fs::rename(&temporary, path));
        written.map_err(|e| {
            let _ = fs::remove_file(&temporary);
            failed(e)
        })
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    // An earlier process with the same id may have left one behind.
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn state() -> PhoneState {
        let mut state =
            PhoneState::new("sip:a@x".into(), "h:5060".into(), Transport::Tls, "urn:uuid:00000000".to_owned());
        state.shared_key = Some(SharedKey::new(KeyKind::Draft, &[7; 32]));
        state
    }

    #[test]
    fn comes_back_as_it_was_and_is_private() {
        let folder = std::env::temp_dir().join(format!("sipoauth-state-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("phone.json");
        assert!(PhoneState::load(&path).unwrap().is_none());
        for _ in 0..2 {
            state().save(&path).unwrap();
        }
        assert!(PhoneState::load(&path).unwrap() == Some(state()));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(PhoneState::load(&path).err().unwrap().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut derived = state();
        derived.shared_key = Some(SharedKey::new(KeyKind::KeyDerivation, &[7; 64]));
        derived.save(&path).unwrap();
        assert_eq!(
            PhoneState::load(&path).unwrap().unwrap().shared_key.unwrap().derived_key().unwrap().octets(),
            [7; 64]
        );
        // As the first version wrote it.
        let old = r#"{"version":1,"aor":"sip:a@x","server":"h:5060","transport":"tls","instance":"urn:x","shared_key":{
            "key":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc","order":"slides","call_id":"c","from_tag":"f","to_tag":"t",
            "fingerprint":null,"since":"Thu, 01 Jan 1970 00:00:00 GMT"}}"#;
        fs::write(&path, old).unwrap();
        let old = PhoneState::load(&path).unwrap().unwrap().shared_key.unwrap();
        assert!(old.kind() == KeyKind::Slides && old.octets().is_some() && old.to_tag == "t");
        for text in ["", "{", "[]", "\u{1}", &serde_json::to_string(&state()).unwrap().replace("BwcH", "B")] {
            fs::write(&path, text).unwrap();
            let sentence = PhoneState::load(&path).err().unwrap();
            assert!(sentence.contains("is broken") && sentence.contains("--code"), "{sentence}");
        }
        assert!(state().save(&folder.join("missing/phone.json")).err().unwrap().contains("cannot be written"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
