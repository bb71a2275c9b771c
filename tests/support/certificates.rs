// SPDX-License-Identifier: MIT OR Apache-2.0

//! Certificates for TLS on loopback: good ones, and one of every bad kind.

use super::patience::{self, PATIENCE};
use super::temporary::Directory;
use super::token::now;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LOOPBACK: &str = "IP:127.0.0.1,DNS:localhost";

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// A certification authority of this test run.
pub struct Authority {
    directory: Directory,
    root: Certificate,
}

impl Authority {
    pub fn new() -> Self {
        let directory = Directory::new("certificates");
        let root = files(directory.path(), "ca");
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=test authority",
            "-days",
            "30",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            text(&root.key),
            "-out",
            text(&root.certificate),
        ]);
        Self { directory, root }
    }

    /// The file to trust.
    pub fn ca_file(&self) -> &Path {
        &self.root.certificate
    }

    /// Right in every way, for 127.0.0.1 and localhost.
    pub fn good(&self) -> Certificate {
        self.issue("good", LOOPBACK, 30)
    }

    pub fn wrong_name(&self) -> Certificate {
        self.issue("wrong-name", "DNS:somebody-else.test", 30)
    }

    /// Valid for zero days: it ends with the second in which it was made, and that is waited for.
    pub fn expired(&self) -> Certificate {
        let certificate = self.issue("expired", LOOPBACK, 0);
        let made = now();
        assert!(patience::until(PATIENCE, || now() > made));
        certificate
    }

    /// Right in every way, for this host.
    pub fn server(&self, name: &str) -> Certificate {
        self.issue(name, &format!("DNS:{name}"), 30)
    }

    /// For a client with mutual TLS.
    pub fn client(&self, name: &str) -> Certificate {
        self.issue(name, &format!("DNS:{name}"), 30)
    }

    pub fn self_signed(&self) -> Certificate {
        let made = files(self.directory.path(), "self-signed");
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=127.0.0.1",
            "-days",
            "30",
            "-addext",
            &format!("subjectAltName={LOOPBACK}"),
            "-keyout",
            text(&made.key),
            "-out",
            text(&made.certificate),
        ]);
        made
    }

    /// Of X.509 version 1, which has no extensions.
    pub fn version_1(&self) -> Certificate {
        let made = self.issue_with("version-1", "", 30);
        let help = super::process::command("openssl").args(["req", "-help"]).output().expect("openssl is installed");
        // OpenSSL from 3.2 on adds extensions by itself, unless it is told not to.
        if String::from_utf8_lossy(&help.stderr).contains("-x509v1") {
            let request = self.directory.file("version-1.csr");
            let plain = self.directory.write("version-1.cnf", "[req]\ndistinguished_name = name\n[name]\n");
            let own = ["-CA", text(&self.root.certificate), "-CAkey", text(&self.root.key)];
            let files = ["-in", text(&request), "-days", "30", "-out", text(&made.certificate)];
            openssl(&[&["req", "-config", text(&plain), "-x509", "-x509v1"][..], &own, &files].concat());
        }
        made
    }

    /// For clients only.
    pub fn wrong_usage(&self) -> Certificate {
        self.issue_with("wrong-usage", &format!("subjectAltName={LOOPBACK}\nextendedKeyUsage=clientAuth\n"), 30)
    }

    /// Signed by another key than that of the authority whose name it bears.
    pub fn bad_signature(&self) -> Certificate {
        Authority::new().issue("bad-signature", LOOPBACK, 30).kept_in(&self.directory)
    }

    fn issue(&self, name: &str, names: &str, days: u32) -> Certificate {
        let usual =
            format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n");
        self.issue_with(name, &usual, days)
    }

    fn issue_with(&self, name: &str, extensions: &str, days: u32) -> Certificate {
        let made = files(self.directory.path(), name);
        let request = self.directory.file(&format!("{name}.csr"));
        let extensions = self.directory.write(&format!("{name}.ext"), extensions);
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-keyout",
            text(&made.key),
            "-out",
            text(&request),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            text(&request),
            "-days",
            &days.to_string(),
            "-CA",
            text(&self.root.certificate),
            "-CAkey",
            text(&self.root.key),
            "-CAcreateserial",
            "-extfile",
            text(&extensions),
            "-out",
            text(&made.certificate),
        ]);
        made
    }
}

impl Certificate {
    /// A copy that outlives the authority that has issued it.
    fn kept_in(&self, directory: &Directory) -> Certificate {
        let copy = |file: &Path| {
            let name = file.file_name().and_then(|name| name.to_str()).expect("our own names are UTF-8");
            directory.write(name, std::fs::read(file).expect("just made"))
        };
        Certificate { certificate: copy(&self.certificate), key: copy(&self.key) }
    }
}

fn files(directory: &Path, name: &str) -> Certificate {
    Certificate { certificate: directory.join(format!("{name}.pem")), key: directory.join(format!("{name}.key")) }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("our own paths are UTF-8")
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("openssl is installed; run tools/setup.sh");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}
