// SPDX-License-Identifier: MIT OR Apache-2.0

//! What others got wrong, as tests of ours. Each row is a sentence about a peer; each name is a test.
//!
//! # Tokens
//! | peer | what it does | tests |
//! |---|---|---|
//! | OpenSIPS | HS256 keyed with the issuer's RSA public key is accepted | `opensips_hs256_keyed_with_public_key_is_refused` |
//! | OpenSIPS | `exp`, `nbf`, `iss`, `aud` are never checked | `opensips_expiry_nbf_iss_and_aud_are_checked` |
//! | OpenSIPS | an empty secret accepts `none` | `opensips_and_jsonwebtoken_an_empty_or_short_secret_is_refused_at_configuration`, `opensips_none_is_refused_in_every_spelling`, `opensips_a_token_without_signature_is_refused`, `none_and_secrets_without_a_secret_cannot_be_configured` |
//! | Kamailio `jwt` | a token without `exp` passes | `kamailio_a_token_without_exp_is_refused` |
//! | Kamailio `jwt` | an `aud` array fails | `kamailio_an_aud_array_is_read` |
//! | Kamailio `jwt` | no leeway | `kamailio_leeway_is_30_seconds_and_settable` |
//! | Kamailio `jwt` | no key reload | `kamailio_keys_are_reloaded_and_old_ones_forgotten` |
//! | Kamailio `jwt` | claims cannot be read from the script | `kamailio_claims_can_be_read_by_the_script` |
//! | Kamailio `jwt` | a failed verification dirties OpenSSL's error queue | `kamailio_no_openssl_whose_error_queue_could_be_left_dirty` |
//! | Kamailio `jwt` | claims can be injected through user parts | `kamailio_claims_cannot_be_injected_through_user_parts` |
//! | Kamailio `jwt` | one-octet overflow on a key file of 10240 octets | `kamailio_a_key_file_of_10240_octets` |
//! | Flexisip | keys need `x5c`, `alg`, `use` and `kid` | `flexisip_keys_need_no_x5c_alg_use_or_kid` |
//! | Flexisip | use-after-free and inverted test in the certificate date check | `flexisip_a_certificate_pem_is_a_container_for_a_key` |
//! | Flexisip | scope advertised, not checked | `flexisip_scope_is_checked` |
//! | Flexisip | `Bearer` matched case-sensitively | `flexisip_bearer_in_any_case` |
//! | Flexisip | To not compared on REGISTER | `flexisip_to_is_compared_on_register` |
//! | Flexisip | BYE, CANCEL, and ACK with an invalid token pass | `flexisip_no_method_passes_with_a_bad_token_or_none`, `flexisip_a_bad_token_is_refused_on_a_connection_that_has_signed_in_and_unbinds_nothing` |
//! | mod_auth_openidc | read no `nbf` | `mod_auth_openidc_nbf_is_read` |
//! | liboauth2 | rechecked only `exp` on a cache hit | `liboauth2_issuer_audience_client_and_scope_are_judged_on_a_cache_hit`, `a_cached_token_expires_between_two_requests`, `a_reload_judges_cached_tokens_anew`, `the_user_is_judged_on_a_cache_hit` |
//! | a Rust crate | a string-typed `exp` counts as absent (CVE-2026-25537) | `cve_2026_25537_a_string_typed_exp_is_not_absence` |
//! | jsonwebtoken | unknown `crit` | `jsonwebtoken_an_unknown_crit_is_refused` |
//! | jsonwebtoken | missing or number-typed `iss`, `aud` | `jsonwebtoken_iss_and_aud_of_another_type_or_missing_are_refused` |
//! | jsonwebtoken | far-future `nbf` | `jsonwebtoken_a_far_future_nbf_is_refused` |
//! | jsonwebtoken | `typ: dpop+jwt` | `jsonwebtoken_typ_dpop_is_refused` |
//! | jsonwebtoken | an empty HMAC key | `opensips_and_jsonwebtoken_an_empty_or_short_secret_is_refused_at_configuration`, `jsonwebtoken_a_secret_serves_its_own_hash_lengths_only` |
//! | several | duplicate JSON members | `duplicate_json_members_are_refused` |
//! | several | duplicate or two Bearer headers | `duplicate_bearer_headers_and_two_tokens_are_refused` |
//! | Envoy | two tokens with a failed key fetch (CVE-2025-64527) | `envoy_two_tokens_with_a_failed_key_fetch` |
//! | several | JWE: an all-zero content key | `jwe_an_all_zero_content_key_is_refused` |
//! | cjose | JWE: truncated GCM tags (CVE-2023-37464) | `cve_2023_37464_a_truncated_tag_or_iv_is_refused` |
//! | several | JWE: PBES2 count and compression bombs (CVE-2026-53939, CVE-2026-34986) | `jwe_pbes2_counts_and_compression_cost_nothing`, `jwe_is_refused_cleanly_and_never_inflated` |
//! | several | JWE: an epk off the curve, of low order or on another curve | `jwe_an_epk_off_the_curve_of_low_order_or_on_another_curve_is_refused` |
//! | several | JWE: RSA unwrapping tells a forger how far it came | `jwe_a_failed_unwrap_looks_like_any_other_failure` |
//! | several | a plain claims set, or `none`, within a JWE | `jwe_encryption_is_no_signature` |
//! | OpenSIPS, Envoy, liboauth2 | tokens in the log | `opensips_and_envoy_no_token_is_logged` |
//!
//! # Keys and the authorization server
//! | peer | what it does | tests |
//! |---|---|---|
//! | Flexisip | the server's TLS certificate is not verified | `flexisip_the_servers_certificate_is_verified` |
//! | Flexisip | an issuer mismatch in discovery is only logged | `flexisip_an_issuer_mismatch_in_discovery_is_an_error`, `discovery_cannot_lead_to_an_unprotected_address` |
//! | Flexisip | a non-JSON 200 or an empty `x5c` wedges key fetching | `flexisip_an_odd_answer_does_not_wedge_key_fetching`, `a_server_that_hangs_or_drips_costs_no_more_than_the_timeout` |
//! | Flexisip | transactions are parked without bound | `flexisip_parked_requests_are_bounded_in_number_and_time`, `many_requests_with_one_new_kid_wait_for_one_fetch`, `the_service_ends_when_it_is_dropped` |
//! | Flexisip | a body without `keys` erases all good keys | `flexisip_an_odd_answer_never_replaces_good_keys` |
//! | Flexisip | random `kid`s drive back-to-back fetches | `flexisip_random_kids_cause_a_bounded_number_of_fetches`, `one_unknown_kid_causes_one_fetch_however_often_it_comes`, `a_new_kid_is_served_after_exactly_one_fetch`, `a_kid_that_was_asked_for_too_early_is_found_later` |
//! | liboauth2 | refetches on any verification failure | `liboauth2_failed_verifications_cause_no_more_fetches_than_unknown_kids`, `a_token_that_would_be_refused_anyway_causes_no_fetch` |
//! | several | one odd key spoils the set | `one_unknown_or_odd_key_does_not_spoil_the_set`, `one_odd_key_of_a_server_does_not_spoil_its_set` |
//! | several | an empty set bypasses the cooldown | `an_empty_set_does_not_bypass_the_cooldown` |
//! | several | one source address uses up the budget of all | `one_source_address_cannot_use_up_the_budget_of_all`; behind a closed gate: `engine::key_wait` |
//! | all | "server down" looks like "bad token" | `server_down_is_503_and_a_bad_token_is_401`, `a_server_that_is_down_at_the_start_does_not_stop_it` |
//! | all | no bound on staleness | `keys_too_old_serve_no_token_not_even_a_cached_one` |
//! | one | a clock skew of 4 s rejects every token | `somewhere_a_clock_skew_of_4_seconds_rejected_every_token` |
//! | Entra | v1 and v2 issuers, `{tenantid}` | `entra_v1_and_v2_issuers_of_the_listed_tenants`, `entra_metadata_names_the_issuer_as_a_template` |
//! | Entra | Graph tokens | `entra_a_graph_token_is_named_as_such` |
//! | Keycloak | internal and external URLs differ | `keycloak_internal_and_external_addresses_differ` |
//! | H8 | redirects, response size | `redirects_are_not_followed`, `a_response_of_more_than_1_mib_is_refused` |
//!
//! # Of nobody in particular: requirements B2, B3, B4 and B8
//! `every_algorithm_of_b2_is_accepted_and_the_allow_list_holds`, `a_curve_outside_b2_is_refused`,
//! `the_header_and_the_key_must_agree`, `a_key_from_the_header_is_never_used`,
//! `a_key_for_encryption_or_signing_only_does_not_verify`, `a_short_rsa_key_is_refused_at_configuration`,
//! `a_payload_that_is_no_object_is_refused`, `an_id_token_is_no_access_token_unless_configured`,
//! `the_scopes_of_the_method_are_judged_on_a_cache_hit`, `a_registration_is_bound_by_what_is_left_of_its_token` (B9, B11),
//! `clients_and_required_claims_are_checked`, `rfc_8414_metadata_of_an_issuer_with_a_path`,
//! `several_issuers_never_share_keys`, `a_token_of_one_provider_is_not_good_for_the_domain_of_another`
//!
//! # Of nobody in particular: requirement B5
//! `jwe_every_algorithm_encryption_and_curve`, `jwe_the_content_is_judged_by_every_rule`,
//! `jwe_a_cached_token_is_not_decrypted_again_and_judged_anew`, `jwe_an_unknown_signature_key_is_fetched`,
//! `jwe_keys_roll_over`, `jwe_a_kid_of_the_operators_means_that_key_only`, `jwe_four_keys_are_tried_at_most`,
//! `jwe_who_must_encrypt`, `jwe_sha_1_only_where_it_is_configured`, `jwe_one_level_of_nesting`,
//! `jwe_algorithm_and_encryption_cannot_be_swapped`, `jwe_headers_are_bounded_and_strict`, `jwe_every_bit_counts`,
//! `jwe_padding_is_no_oracle`, `jwe_no_key_or_token_is_logged`, `jwe_unfit_rsa_keys_are_refused_at_configuration`
//!
//! # Introspection
//! | peer | what it does | tests |
//! |---|---|---|
//! | liboauth2 | a missing `active` only warns | `a_missing_active_and_other_odd_answers_are_an_outage_and_no_denial` |
//! | several | medians of 0.8 s: no cache, no single flight | `an_opaque_token_is_asked_about_once_and_its_user_is_compared`, `many_requests_with_one_new_token_cause_one_introspection`, `a_revoked_token_is_refused_after_the_cache_time` |
//! | several | required scopes are ignored on a cache hit | `liboauth2_required_scopes_are_judged_on_a_cache_hit_of_an_introspected_token` |
//! | all | an outage of the server looks like a bad token | `a_server_that_hangs_costs_its_users_503_and_nobody_else_anything` |
//!
//! # Later
//! SQL and blocking workers belong to the proxies that have them.

#[path = "../support/mod.rs"]
mod support;

mod algorithms;
mod bound_tokens;
mod cache;
mod claims;
mod configuration;
mod connections;
mod domains;
mod encrypted;
mod encrypted_forgeries;
mod fetching;
mod http_proxy;
mod id_tokens;
mod introspection;
mod limits;
mod numbers;
mod pem;
mod plant;
mod reloading;
mod repeats;
mod requests;
mod shapes;
mod site;
mod tenants;
mod tls;
