/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The modparams that are handed to sipoauth_config_set under the same name. A new setting of the library
 * needs one line here and nothing else: names, types and bounds are the library's business.
 */
KEY(config_file)
KEY(realm)
KEY(location)
KEY(scope_status)
KEY(leeway)
KEY(retry_after)
KEY(max_pending)
KEY(pending_timeout)
KEY(key_refresh_interval)
KEY(key_cooldown)
KEY(key_burst)
KEY(key_source_limit)
KEY(key_max_stale)
KEY(token_cache_size)
KEY(max_token_size)
KEY(http_timeout)
KEY(connect_timeout)
KEY(ca_file)
KEY(allow_http)
