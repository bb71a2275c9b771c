// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the benches start OpenSIPS. It takes no definitions on its command line, so each proxy gets a script of its own.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::mi::Mi;
use crate::proxies::ground::write;
use crate::proxies::process::{Proxy, free_port, project};

/// Processes that receive, in each proxy.
pub const WORKERS: usize = 2;

/// A running OpenSIPS, and the way to ask it.
pub struct OpenSips {
    /// The running proxy.
    pub proxy: Proxy,
    /// What it says of itself.
    pub mi: Mi,
}

/// The OpenSIPS of this run.
pub struct Installation {
    program: PathBuf,
    /// A folder with links to all modules, because OpenSIPS 3.4 looks into one only.
    modules: PathBuf,
}

impl Installation {
    /// That of `OPENSIPS_SRC`, with our module for `OPENSIPS_SERIES`. Links go into this folder.
    pub fn from_environment(folder: &Path) -> Result<Installation, String> {
        let wanted = |name: &str| env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set"));
        let source = wanted("OPENSIPS_SRC")?;
        let program = env::var_os("OPENSIPS_BIN").map_or_else(|| source.join("opensips"), PathBuf::from);
        let ours = project().join("target/opensips").join(wanted("OPENSIPS_SERIES")?).join("auth_oauth.so");
        let modules = folder.join("modules");
        let fail = |e: std::io::Error| format!("OpenSIPS' modules in {}: {e}", source.display());
        fs::create_dir_all(&modules).map_err(fail)?;
        let entries = fs::read_dir(source.join("modules")).map_err(fail)?.flatten();
        let built = entries.map(|entry| entry.path().join(entry.file_name()).with_extension("so"));
        for file in built.filter(|file| file.exists()).chain([ours]) {
            symlink(&file, modules.join(file.file_name().expect("a file"))).map_err(fail)?;
        }
        Ok(Installation { program, modules })
    }

    /// Whether it has this module.
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.join(name).exists()
    }

    /// Starts it with one of the scripts in `benches/opensips`, in which these words have these values.
    pub fn launch(
        &self,
        name: &'static str,
        script: &str,
        folder: &Path,
        words: &[(&str, &str)],
    ) -> Result<OpenSips, String> {
        let fail = |e: std::io::Error| format!("{name}: OpenSIPS cannot be started: {e}");
        let folder = folder.join(name);
        fs::create_dir_all(&folder).map_err(fail)?;
        let (port, mi) = (free_port()?, folder.join("mi"));
        let own = [
            ("PORT", port.to_string()),
            ("MI", mi.display().to_string()),
            ("MODULES", self.modules.display().to_string()),
            ("WORKERS", WORKERS.to_string()),
        ];
        let own = own.iter().map(|(word, value)| (*word, value.as_str()));
        let text = filled(&[read("common")?, read(script)?].concat(), own.chain(words.iter().copied()));
        let script = write(&folder, "opensips.cfg", &text)?;
        // It ends when this process does, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(&self.program).arg("-F");
        // The allocator of the benches' Kamailio. tm keeps an answered transaction for 5 s.
        command.args(["-a", "F_MALLOC", "-m", "1536", "-M", "32"]);
        command.arg("-f").arg(script).arg("-w").arg(&folder);
        let proxy = Proxy::spawn(name, port, command, folder.join("log")).map_err(fail)?;
        Ok(OpenSips { proxy, mi: Mi::new(mi, folder.join("reply")) })
    }
}

fn read(script: &str) -> Result<String, String> {
    let path = project().join("benches/opensips").join(script).with_extension("cfg");
    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
}

fn filled<'a>(text: &str, words: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    words.fold(text.to_owned(), |text, (word, value)| text.replace(&format!("{{{word}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_filled_in() {
        let words = [("PORT", "5060"), ("MI", "/a")];
        assert_eq!(filled("udp:{PORT} {MI}{MI} {OTHER}", words.into_iter()), "udp:5060 /a/a {OTHER}");
    }
}
