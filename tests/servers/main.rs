// SPDX-License-Identifier: MIT OR Apache-2.0

//! Other people's authorization servers, each as its registry has it, with a real Kamailio: the guides of
//! cfg-examples/providers hold what they promise. `tools/test-servers.sh` installs the servers and runs this.

#[path = "../support/mod.rs"]
mod support;

// What the end-to-end tests have for phones and proxies.
#[path = "../e2e/phones.rs"]
#[allow(dead_code)]
mod phones;
#[path = "../e2e/stack.rs"]
#[allow(dead_code)]
mod stack;

mod flows;
mod guide;
mod server;

use flows::{Promises, keeps};

#[test]
fn glewlwyd() {
    keeps(&Promises { signed: true, confirmed: true, introspects_others: false, ..Promises::of("glewlwyd") });
}

#[test]
fn canaille() {
    keeps(&Promises { signed: true, ..Promises::of("canaille") });
}

#[test]
fn django_oauth_toolkit() {
    keeps(&Promises::of("django-oauth-toolkit"));
}

#[test]
fn authlib() {
    keeps(&Promises { signed: true, ..Promises::of("authlib") });
}

#[test]
fn django_oidc_provider() {
    keeps(&Promises::of("django-oidc-provider"));
}

#[test]
fn better_auth() {
    keeps(&Promises { introspects_others: false, ..Promises::of("better-auth") });
}

#[test]
fn lemonldap_ng() {
    keeps(&Promises { signed: true, confirmed: true, audience_of_opaque: "none", ..Promises::of("lemonldap-ng") });
}
