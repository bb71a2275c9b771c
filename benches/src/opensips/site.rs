// SPDX-License-Identifier: MIT OR Apache-2.0
//! All OpenSIPS proxies of the benches, each on a port of its own, and the authorization server that they use.

use std::sync::Arc;

use super::proxy::{Installation, OpenSips};
use crate::proxies::ground::{Ground, Way};
use crate::proxies::keys::Algorithm;
use crate::proxies::process::Proxy;
use crate::proxies::server::Server;

/// Running proxies. Those whose module was not built are None.
pub struct Site {
    /// Answers whatever comes.
    pub answered: OpenSips,
    /// Our check of signed tokens, then an answer.
    pub checked: OpenSips,
    /// OpenSIPS' auth_jwt, then an answer.
    pub auth_jwt: Option<OpenSips>,
    /// Saves whatever comes.
    pub saved: OpenSips,
    /// Our check of signed tokens, then the same.
    pub saved_checked: OpenSips,
    /// Our check of opaque tokens: a request that waits is received again.
    pub parked: OpenSips,
    /// Our check of opaque tokens in async(): tm suspends the request.
    pub suspended: OpenSips,
    /// Introspection by rest_client; the worker waits.
    pub rest_client: Option<OpenSips>,
    /// Introspection by rest_client in async().
    pub rest_client_async: Option<OpenSips>,
    /// The authorization server.
    pub server: Arc<Server>,
    _ground: Ground,
}

impl Site {
    /// Starts all of them, and waits until they answer.
    pub fn start() -> Result<Site, String> {
        let ground = Ground::new()?;
        let (base, server) = (ground.base(), Arc::clone(&ground.server));
        let installation = Installation::from_environment(base)?;
        let bare = |name| installation.launch(name, name, base, &[]);
        let ours = |name: &'static str, script: &str, way| {
            let file = ground.config(name, way)?;
            installation.launch(name, script, base, &[("CONFIG_FILE", &file.display().to_string())])
        };
        let theirs = |name: &'static str, module: &str, words: &[(&str, &str)]| {
            let is_built = installation.has_module(module);
            is_built.then(|| installation.launch(name, name, base, words)).transpose()
        };
        let key = server.keys().public_pem(Algorithm::Rs256)?.replace('\n', "\\n");
        let url = server.url("/introspect");
        let mut site = Site {
            answered: bare("answered")?,
            checked: ours("checked", "checked", Way::Signed)?,
            auth_jwt: theirs("auth_jwt", "auth_jwt.so", &[("KEY", &key)])?,
            saved: bare("saved")?,
            saved_checked: ours("saved_checked", "saved_checked", Way::Signed)?,
            parked: ours("parked", "checked", Way::Opaque)?,
            suspended: ours("suspended", "suspended", Way::Opaque)?,
            rest_client: theirs("rest_client", "rest_client.so", &[("URL", &url)])?,
            rest_client_async: theirs("rest_client_async", "rest_client.so", &[("URL", &url)])?,
            server,
            _ground: ground,
        };
        site.all().try_for_each(Proxy::wait_until_ready)?;
        Ok(site)
    }

    /// Every proxy that runs.
    pub fn all(&mut self) -> impl Iterator<Item = &mut Proxy> {
        let always = [
            &mut self.answered,
            &mut self.checked,
            &mut self.saved,
            &mut self.saved_checked,
            &mut self.parked,
            &mut self.suspended,
        ];
        let where_built = [&mut self.auth_jwt, &mut self.rest_client, &mut self.rest_client_async];
        always.into_iter().chain(where_built.into_iter().flatten()).map(|one| &mut one.proxy)
    }
}
