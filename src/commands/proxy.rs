// SPDX-License-Identifier: MIT OR Apache-2.0
//! Commands about the proxy itself: its configuration, its providers and their keys, and its counters.

use super::provider_view::{self, KeyView};
use super::{Call, Fault, Full, Outcome};
use crate::clock::now_millis;
use crate::process::context::PlacedPolicy;
use crate::shared::counters;
use sipoauth_core::config::ConfigError;
use sipoauth_core::ports::Level;

fn fault(error: ConfigError) -> Fault {
    Fault::new(500, error.0)
}

fn policy(call: &Call<'_>) -> Result<PlacedPolicy, Fault> {
    call.context.policy().map_err(fault)
}

pub fn reload(call: &mut Call<'_>) -> Outcome {
    if let Err(error) = call.admin().reload() {
        call.context.log().log(Level::Error, &format!("reload: {error}"));
        return Err(fault(error).into());
    }
    Ok(call.host.line("reloaded")?)
}

pub fn refresh_keys(call: &mut Call<'_>) -> Outcome {
    let started = call.admin().refresh_keys(call.utf8(0, "provider", 500)?).map_err(fault)?;
    call.host.item()?;
    Ok(call.host.number(c"started", started as u64)?)
}

pub fn providers(call: &mut Call<'_>) -> Outcome {
    let placed = policy(call)?;
    for index in 0..placed.policy.providers.len() {
        let Some(view) = provider_view::provider(call.context, &placed, index) else { break };
        call.host.item()?;
        call.host.text(c"name", &view.name)?;
        call.host.text(c"issuer", &view.issuer)?;
        call.host.text(c"tokens", view.tokens)?;
        call.host.text(c"jwks_uri", &view.jwks_uri)?;
        call.host.text(c"state", view.state.name())?;
        call.host.number(c"keys", view.key_count as u64)?;
        call.time(c"fetched_at", view.fetched_at)?;
        call.time(c"next_fetch_at", view.next_fetch_at)?;
        call.host.number(c"fetches", view.fetches)?;
        call.host.number(c"failures", view.failures.into())?;
        call.host.text(c"last_error", &view.last_error)?;
    }
    Ok(())
}

pub fn keys(call: &mut Call<'_>) -> Outcome {
    let placed = policy(call)?;
    for (index, provider) in placed.policy.providers.iter().enumerate() {
        let keys = provider_view::keys(call.context, &placed, index).unwrap_or_default();
        add_keys(call, &provider.name, &keys)?;
    }
    Ok(add_keys(call, "(decryption)", &provider_view::decryption_keys(&placed.policy.decryption))?)
}

fn add_keys(call: &mut Call<'_>, provider: &str, keys: &[KeyView]) -> Result<(), Full> {
    for key in keys {
        call.host.item()?;
        call.host.text(c"provider", provider)?;
        call.host.text(c"kid", &key.kid)?;
        call.host.text(c"kty", key.kty)?;
        call.host.text(c"alg", key.alg)?;
        call.host.number(c"usable", key.is_usable().into())?;
        call.host.text(c"note", &key.note)?;
    }
    Ok(())
}

pub fn jwks(call: &mut Call<'_>) -> Outcome {
    let jwks = policy(call)?.policy.public_jwks(&call.text(0));
    let jwks = jwks.ok_or_else(|| Fault::new(404, "no such provider has signing_key_files"))?;
    Ok(call.host.line(&jwks)?)
}

pub fn stats(call: &mut Call<'_>) -> Outcome {
    let (shared, now) = (call.context.arena().shared(), now_millis());
    call.host.item()?;
    for (index, name) in (0..counters::COUNT).filter_map(|index| Some((index, counters::name(index)?))) {
        call.host.number(name, shared.statistic(index, now))?;
    }
    Ok(())
}
