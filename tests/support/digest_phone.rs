// SPDX-License-Identifier: MIT OR Apache-2.0

//! Debian's Linphone, baresip and sipsak: phones that know Digest only, and that some
//! challenges crash. They run without sound devices, in a home of their own.

use super::process::{Process, command, crashed};
use super::temporary::Directory;
use super::{kit, ports};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phone {
    Linphone,
    Baresip,
    /// Over UDP only, and its domain must be a name that this machine knows.
    Sipsak,
}

/// Where and as whom to register.
#[derive(Clone, Debug)]
pub struct Account {
    pub user: String,
    pub domain: String,
    pub password: String,
    /// The server's port on loopback.
    pub port: u16,
    /// `udp` or `tcp`
    pub transport: &'static str,
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub registered: bool,
    /// The phone died by a fault of its own (a signal).
    pub crashed: bool,
    /// How the phone ended, in words.
    pub ended: String,
    pub output: String,
}

/// Starts the phone, waits until it has registered or given up, and ends it.
pub fn register(phone: Phone, account: &Account) -> Outcome {
    register_within(phone, account, LIMIT)
}

/// The same with a limit of one's own, for servers that should not let it in.
pub fn register_within(phone: Phone, account: &Account, limit: Duration) -> Outcome {
    let home = Directory::new("digest-phone");
    let (name, start) = match phone {
        Phone::Linphone => ("linphonec", linphone(account, &home)),
        Phone::Baresip => ("baresip", baresip(account, &home)),
        Phone::Sipsak => ("sipsak", sipsak(account)),
    };
    // What they print when they are in, and when they have been refused.
    let (accepted, refused) = match phone {
        Phone::Linphone => ("registered, identity=", "Password for "),
        Phone::Baresip => ("} 200 OK", "reg: sip:"),
        Phone::Sipsak => ("completed successful", "failed"),
    };
    let mut process = Process::start(name, start, home.path());
    let deadline = Instant::now() + limit;
    let mut registered = false;
    while process.poll().is_none() && Instant::now() < deadline {
        if phone == Phone::Linphone {
            process.send_line("status register");
        }
        thread::sleep(POLL);
        let output = process.output();
        registered = output.contains(accepted);
        if registered || output.contains(refused) {
            break;
        }
    }
    process.send_line("quit");
    if phone == Phone::Linphone {
        process.wait(LIMIT);
    }
    let status = process.stop();
    Outcome { registered, crashed: crashed(status), ended: status.to_string(), output: process.output() }
}

fn linphone(account: &Account, home: &Directory) -> Command {
    let Account { user, domain, password, port, transport } = account;
    let local = ports::free();
    let (udp, tcp) = if *transport == "tcp" { (0, local) } else { (local, 0) };
    let settings = home.write(
        "linphonerc",
        format!(
            "[sip]\nsip_port={udp}\nsip_tcp_port={tcp}\nbind_address=127.0.0.1\nguess_hostname=0\n\
             register_only_when_network_is_up=0\ndefault_proxy=0\n\
             [proxy_0]\nreg_proxy=<sip:127.0.0.1:{port};transport={transport}>\n\
             reg_identity=sip:{user}@{domain}\nreg_expires=60\nreg_sendregister=1\npublish=0\n\
             [auth_info_0]\nusername={user}\npasswd={password}\nrealm={domain}\n"
        ),
    );
    std::fs::create_dir_all(home.file(".local/share/linphone")).expect("a writable directory");
    let mut start = command(kit::program("linphonec"));
    start.arg("-c").arg(settings).env("HOME", home.path());
    start
}

fn baresip(account: &Account, home: &Directory) -> Command {
    let Account { user, domain, password, port, transport } = account;
    let local = ports::free();
    home.write(
        "config",
        format!(
            "sip_listen 127.0.0.1:{local}\nnet_interface 127.0.0.1\nmodule_path /usr/lib/baresip/modules\n\
             module_app account.so\nmodule_app menu.so\n"
        ),
    );
    home.write(
        "accounts",
        format!(
            "<sip:{user}@{domain};transport={transport}>;auth_user={user};auth_pass={password};\
             outbound=\"sip:127.0.0.1:{port};transport={transport}\";regint=60\n"
        ),
    );
    home.write("contacts", "");
    let mut start = command(kit::program("baresip"));
    start.args(["-4", "-f"]).arg(home.path()).args(["-t", "30"]).env("HOME", home.path());
    start
}

fn sipsak(account: &Account) -> Command {
    let Account { user, domain, password, port, .. } = account;
    let mut start = command(kit::program("sipsak"));
    let address = format!("sip:{user}@{domain}:{port}");
    start.args(["-U", "-i", "-v", "-x", "60"]).args(["-u", user, "-a", password, "-s", &address]);
    start
}
