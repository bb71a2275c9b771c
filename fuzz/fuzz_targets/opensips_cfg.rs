// SPDX-License-Identifier: MIT OR Apache-2.0
#![no_main]

use std::io::ErrorKind;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sipoauth_cli::script::{IncludedFiles, Proxy, read};

struct One<'a>(&'a [u8]);

impl IncludedFiles for One<'_> {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        if path == Path::new("/o.cfg") { Ok(self.0.to_vec()) } else { Err(ErrorKind::NotFound.into()) }
    }

    fn environment(&self, _: &str) -> Option<String> {
        None
    }
}

fuzz_target!(|data: &[u8]| {
    // Without a name the file has to show whose it is.
    for named in [Some(Proxy::OpenSips), None] {
        let _ = read(Path::new("/o.cfg"), named, &[], &One(data));
    }
});
