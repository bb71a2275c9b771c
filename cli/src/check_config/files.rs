// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks who may read the files that hold secrets.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sipoauth_core::config::settings::Secret;
use sipoauth_core::config::source::Bundle;
use zeroize::Zeroizing;

use super::finding::Findings;
use crate::configuration::WrittenConfiguration;

const OTHERS: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// Looks at the files with secrets, and at configurations that have secrets in them.
pub fn check(written: &WrittenConfiguration, bundle: &Bundle, findings: &mut Findings) {
    let settings = &bundle.settings;
    let mut secret: Vec<(&str, &str)> = Vec::new();
    for (key, path) in
        [("store_key_file", &settings.store_key_file), ("store_password_file", &settings.store_password_file)]
    {
        secret.extend(path.as_deref().map(|path| (key, path)));
    }
    secret.extend(settings.decryption_key_files.iter().map(|path| ("decryption_key_files", path.as_str())));
    for provider in &settings.provider {
        for (key, path) in [
            ("secret_file", &provider.secret_file),
            ("client_secret_file", &provider.client_secret_file),
            ("client_key_file", &provider.client_key_file),
        ] {
            secret.extend(path.as_deref().map(|path| (key, path)));
        }
        secret.extend(provider.signing_key_files.iter().map(|path| ("signing_key_files", path.as_str())));
    }
    secret.dedup();
    for (key, path) in &secret {
        judge(key, path, findings);
    }
    let store = settings.store.iter().filter(|store| has_password(store.expose()));
    let of_providers = settings.provider.iter().flat_map(|p| p.client_secret.iter().chain(&p.secret));
    let inline: Vec<&Secret> = settings.store_key.iter().chain(store).chain(of_providers).collect();
    for file in &written.files {
        let open = std::fs::metadata(file).is_ok_and(|meta| meta.mode() & OTHERS != 0);
        if open && holds(file, &inline) {
            let path = file.display();
            let message = format!("{path} holds a secret, and every user of this machine can read it");
            let fix = format!("write the secret into a file of its own (…_file), or: chmod o-r {path}");
            findings.warning("files", None, &message, &fix);
        }
    }
}

/// Is one of the secrets written in this file? The file is searched, because secrets may also come from the command
/// line.
fn holds(file: &Path, secrets: &[&Secret]) -> bool {
    let Ok(text) = std::fs::read(file).map(Zeroizing::new) else { return false };
    let mut written = secrets.iter().map(|secret| secret.expose()).filter(|secret| !secret.is_empty());
    written.any(|secret| text.windows(secret.len()).any(|window| window == secret))
}

/// redis://user:password@host, redis://:password@host or unix:///socket?pass=password
fn has_password(store: &[u8]) -> bool {
    let text = String::from_utf8_lossy(store);
    let Some((_, rest)) = text.split_once("://") else { return false };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let user = address.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || query.split('&').any(|part| part.starts_with("pass="))
}

fn judge(key: &str, path: &str, findings: &mut Findings) {
    let Ok(meta) = std::fs::metadata(Path::new(path)) else { return };
    let fix = format!("chmod o-rwx {path}");
    if meta.mode() & OTHERS_WRITE != 0 {
        findings.failed("files", None, &format!("{key}: every user of this machine can change {path}"), &fix);
    } else if meta.mode() & OTHERS != 0 {
        findings.warning("files", None, &format!("{key}: every user of this machine can read {path}"), &fix);
    } else {
        findings.ok("files", None, &format!("{key}: {path} is closed to others"));
    }
}
