// SPDX-License-Identifier: MIT OR Apache-2.0

//! The SIP proxy that the tests run: that of the machine, or another version.
//!
//! `TEST_HOST` is a folder that `tools/host.sh` has made, with the program `kamailio`, the file `modules` that says
//! where its own modules are, and our module in the folders `kamailio` and `kamailio-fault`. `TEST_HOST_CORE` has
//! lines for the core in every configuration; `{workers}` in them is how many workers the test wants. With `OPENSIPS_SRC` the
//! proxy is OpenSIPS.

use super::kit;
use super::opensips::Installation;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::{env, fs};

pub struct Host {
    /// Takes the arguments of a Kamailio.
    pub program: PathBuf,
    /// Takes those of kamcmd.
    pub control: PathBuf,
    /// Where the program finds its own modules.
    pub modules: PathBuf,
    /// Lines before each configuration.
    pub core: Vec<String>,
    /// The proxy is OpenSIPS.
    pub opensips: Option<Installation>,
    folder: PathBuf,
}

impl Host {
    /// Our module, from the folder of this name.
    pub fn own_modules(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The one of this test run.
pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        if let Some(opensips) = Installation::from_environment() {
            let (control, modules, folder) = (PathBuf::new(), PathBuf::new(), PathBuf::new());
            return Host {
                program: opensips.program.clone(),
                control,
                modules,
                core: Vec::new(),
                opensips: Some(opensips),
                folder,
            };
        }
        let core = env::var("TEST_HOST_CORE").unwrap_or_default();
        let core = core.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let control = kit::program("kamcmd");
        let Some(folder) = env::var_os("TEST_HOST") else {
            let (program, modules) = (kit::program("kamailio"), modules_of_the_machine());
            return Host { program, control, modules, core, opensips: None, folder: kit::path("target") };
        };
        let folder = kit::path(folder.to_str().expect("our own paths are UTF-8"));
        let modules = fs::read_to_string(folder.join("modules")).expect("tools/host.sh has made this folder");
        Host { program: folder.join("run"), control, modules: modules.trim().into(), core, opensips: None, folder }
    })
}

/// The proxy is OpenSIPS, not Kamailio.
pub fn is_opensips() -> bool {
    host().opensips.is_some()
}

/// OpenSIPS 4.0.1 does not send about one of a thousand replies over TCP before something else is written to that connection,
/// also without our module.
pub fn holds_back_replies() -> bool {
    host().opensips.as_ref().is_some_and(|opensips| opensips.series == "4.0")
}

/// Where Debian put the modules of the installed Kamailio.
fn modules_of_the_machine() -> PathBuf {
    let libraries = fs::read_dir("/usr/lib").expect("a Debian system");
    libraries
        .flatten()
        .map(|entry| entry.path().join("kamailio/modules"))
        .chain([PathBuf::from("/usr/lib64/kamailio/modules")])
        .find(|path| path.join("tm.so").exists())
        .expect("Kamailio's modules are installed; run tools/setup.sh")
}
