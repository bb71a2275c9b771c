// SPDX-License-Identifier: MIT OR Apache-2.0
//! The phone's memory: a JSON file with its instance and shared key. Only its owner can read it, and a crash leaves
//! either the old file or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sipoauth::proto::pop::{pop_from_text, pop_to_text};
use sipoauth::proto::shared_key::Key;
use zeroize::Zeroizing;

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
    /// The key of the last registration with a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_key: Option<SharedKey>,
}

/// A shared key and where it came from.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct SharedKey {
    key: Zeroized,
    /// `draft` or `slides`.
    pub order: String,
    /// Call-ID of the 200 OK.
    pub call_id: String,
    /// From tag of the 200 OK.
    pub from_tag: String,
    /// To tag of the 200 OK.
    pub to_tag: String,
    /// A short name for the key; none when the code was short, because it could be guessed from it.
    pub fingerprint: Option<String>,
    /// When it was derived, as an HTTP date.
    pub since: String,
}

/// base64url text that does not stay in memory.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(from = "String", into = "String")]
struct Zeroized(Zeroizing<String>);

impl From<String> for Zeroized {
    fn from(text: String) -> Zeroized {
        Zeroized(Zeroizing::new(text))
    }
}

impl From<Zeroized> for String {
    fn from(text: Zeroized) -> String {
        text.0.to_string()
    }
}

impl SharedKey {
    /// Keeps a key; the fields that say where it came from are still to be filled in.
    pub fn new(key: &Key) -> SharedKey {
        let empty = String::new;
        SharedKey {
            key: Zeroized::from(pop_to_text(key)),
            order: empty(),
            call_id: empty(),
            from_tag: empty(),
            to_tag: empty(),
            fingerprint: None,
            since: empty(),
        }
    }

    /// The key as text.
    pub fn text(&self) -> &str {
        &self.key.0
    }

    /// The raw key.
    pub fn octets(&self) -> Option<Key> {
        pop_from_text(self.text()).map(Zeroizing::new)
    }
}

impl PhoneState {
    /// A phone without a key.
    pub fn new(aor: String, server: String, transport: Transport, instance: String) -> PhoneState {
        PhoneState { version: VERSION, aor, server, transport, instance, shared_key: None }
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
        let broken =
            |why: String| format!("the state file {name} is broken ({why}): remove it and register with --code again");
        // serde_json's own words would quote what stands there.
        let state: PhoneState =
            serde_json::from_str(&text).map_err(|e| broken(format!("line {}, column {}", e.line(), e.column())))?;
        if state.version != VERSION {
            return Err(broken(format!("version {} instead of {VERSION}", state.version)));
        }
        if state.shared_key.as_ref().is_some_and(|key| key.octets().is_none()) {
            return Err(broken("its key is not 32 octets".into()));
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
    // One that an earlier process of this number left behind.
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
        state.shared_key = Some(SharedKey::new(&Zeroizing::new([7; 32])));
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
        for text in ["", "{", "[]", "\u{1}", &serde_json::to_string(&state()).unwrap().replace("BwcH", "B")] {
            fs::write(&path, text).unwrap();
            let sentence = PhoneState::load(&path).err().unwrap();
            assert!(sentence.contains("is broken") && sentence.contains("--code"), "{sentence}");
        }
        assert!(state().save(&folder.join("missing/phone.json")).err().unwrap().contains("cannot be written"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
