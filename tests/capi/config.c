/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Configuration before the fork: what is wrong is said in a sentence that names key and fix.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

static char err[512];

static int set(sipoauth_config *config, const char *key, const char *value)
{
    memset(err, 0x5a, sizeof(err));
    return sipoauth_config_set(config, text(key), text(value), err, sizeof(err));
}

static int add(sipoauth_config *config, const char *line)
{
    memset(err, 0x5a, sizeof(err));
    return sipoauth_config_provider_add(config, text(line), err, sizeof(err));
}

static int says(const char *word)
{
    printf("  %s\n", err);
    return strstr(err, word) != NULL;
}

static void settings(void)
{
    sipoauth_config *config = sipoauth_config_new();
    char tiny[8];

    EXPECT_STATUS(set(config, "leeway", "30"), SIPOAUTH_OK);
    EXPECT(err[0] == '\0');
    EXPECT_STATUS(set(config, "location", "yes"), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "leway", "30"), SIPOAUTH_E_CONFIG);
    EXPECT(says("leway"));
    EXPECT_STATUS(set(config, "leeway", "soon"), SIPOAUTH_E_CONFIG);
    EXPECT(says("leeway") && strstr(err, "soon") != NULL);
    EXPECT_STATUS(set(config, "leeway", "-3"), SIPOAUTH_E_CONFIG);
    EXPECT_STATUS(set(config, "leeway", "\xff"), SIPOAUTH_E_CONFIG);
    EXPECT(says("UTF-8"));
    EXPECT_STATUS(set(config, "connection_auth", "perhaps"), SIPOAUTH_E_CONFIG);
    EXPECT(says("connection_auth"));
    EXPECT_STATUS(set(config, "config_file", ""), SIPOAUTH_E_CONFIG);
    EXPECT_STATUS(set(config, "", "x"), SIPOAUTH_E_CONFIG);
    EXPECT_STATUS(set(config, "provider", "name=x"), SIPOAUTH_E_CONFIG);
    EXPECT_STATUS(add(config, "name=a;name=b"), SIPOAUTH_E_CONFIG);
    EXPECT(says("'name' is given twice"));
    EXPECT_STATUS(add(config, "isuer=https://a.example"), SIPOAUTH_E_CONFIG);
    EXPECT(says("isuer"));
    EXPECT_STATUS(add(config, "secret=\xff\xff"), SIPOAUTH_E_CONFIG);
    EXPECT(says("UTF-8"));

    /* the sentence is cut to the buffer, or not wanted */
    memset(tiny, 0x5a, sizeof(tiny));
    EXPECT_STATUS(sipoauth_config_set(config, text("leway"), text("1"), tiny, 4), SIPOAUTH_E_CONFIG);
    EXPECT(tiny[3] == '\0' && tiny[4] == 0x5a);
    EXPECT_STATUS(sipoauth_config_set(config, text("leway"), text("1"), tiny, 1), SIPOAUTH_E_CONFIG);
    EXPECT(tiny[0] == '\0');
    EXPECT_STATUS(sipoauth_config_set(config, text("leway"), text("1"), tiny, 0), SIPOAUTH_E_CONFIG);
    EXPECT_STATUS(sipoauth_config_set(config, text("leway"), text("1"), NULL, 99), SIPOAUTH_E_CONFIG);
    sipoauth_config_free(config);
}

static void expect_no_context(const char *key, const char *value, const char *line, const char *word)
{
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = (sipoauth_context *)err; /* anything but NULL */

    if (key != NULL)
        EXPECT_STATUS(set(config, key, value), SIPOAUTH_OK);
    if (line != NULL)
        EXPECT_STATUS(add(config, line), SIPOAUTH_OK);
    EXPECT_STATUS(
        sipoauth_context_new(config, log_line, &the_log, &context, err, sizeof(err)), SIPOAUTH_E_CONFIG);
    EXPECT(context == NULL && says(word));
    sipoauth_config_free(config);
}

static void contexts(void)
{
    static const char good[] = "name=a;issuer=https://as.example;audience=sip;aor={sip}";

    expect_no_context(NULL, NULL, NULL, "no provider");
    expect_no_context(NULL, NULL, "name=a", "provider 'a': issuer: is missing");
    expect_no_context(NULL, NULL, "name=a;issuer=http://as.example;audience=sip;aor={sip}", "https://");
    expect_no_context(NULL, NULL, "name=a;issuer=https://as.example;aor={sip}", "audience");
    expect_no_context(NULL, NULL, "name=a;issuer=https://as.example;audience=sip;aor={sip};secret=short", "32 octets");
    expect_no_context("leeway", "9999", good, "leeway: 9999");
    expect_no_context("config_file", "/nonexistent/oauth.toml", good, "/nonexistent/oauth.toml");
    expect_no_context("ca_file", "/dev/null", good, "ca_file");
    expect_no_context("decryption_key_files", "/dev/null", good, "decryption_key_files: /dev/null");
    expect_no_context("decryption_algorithms", "RSA1_5", good, "decryption_key_files");
}

static void write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");

    if (file == NULL || fputs(content, file) < 0 || fclose(file) != 0) {
        fprintf(stderr, "%s cannot be written\n", path);
        exit(2);
    }
}

static uint64_t statistic(const sipoauth_context *context, const char *name)
{
    uint32_t i;

    for (i = 0; i < sipoauth_stat_count(); i++)
        if (strcmp(sipoauth_stat_name(i), name) == 0)
            return sipoauth_context_stat(context, i);
    return UINT64_MAX;
}

/* Without an I/O service the wish is only noted; what cannot be done is said. */
static void refresh_keys(void)
{
    static const char fetched[] = "name=a;issuer=https://as.example;audience=sip;aor={sip};domains=a.example";
    static const char configured[] = "name=b;issuer=https://b.example;audience=sip;aor={sip};domains=b.example;secret=0123456789abcdef0123456789abcdef";
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = NULL;
    uint32_t count = 99;

    EXPECT_STATUS(add(config, fetched), SIPOAUTH_OK);
    EXPECT_STATUS(add(config, configured), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_new(config, NULL, NULL, &context, err, sizeof(err)), SIPOAUTH_OK);
    sipoauth_config_free(config);
    EXPECT_STATUS(sipoauth_context_refresh_keys(context, text(""), &count, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT(count == 1 && err[0] == '\0');
    EXPECT_STATUS(sipoauth_context_refresh_keys(context, text("a"), &count, NULL, 0), SIPOAUTH_OK);
    EXPECT(count == 1);
    EXPECT_STATUS(sipoauth_context_refresh_keys(context, text("b"), &count, err, sizeof(err)), SIPOAUTH_E_CONFIG);
    EXPECT(count == 0 && says("provider 'b': its keys are configured"));
    EXPECT_STATUS(sipoauth_context_refresh_keys(context, text("c"), &count, err, sizeof(err)), SIPOAUTH_E_CONFIG);
    EXPECT(says("there are: a, b"));
    EXPECT_STATUS(sipoauth_context_refresh_keys(context, text("\xff"), &count, err, sizeof(err)), SIPOAUTH_E_CONFIG);
    EXPECT_STATUS(sipoauth_context_refresh_keys(context, text("a"), NULL, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT_STATUS(
        sipoauth_context_refresh_keys(context, octets(NULL, 5), &count, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    count = 99;
    EXPECT_STATUS(sipoauth_context_refresh_keys(NULL, text("a"), &count, err, sizeof(err)), SIPOAUTH_E_ARGUMENT);
    EXPECT(count == 0);
    EXPECT(statistic(context, "pending") == 0 && statistic(context, "key_age") == 0);
    EXPECT(statistic(context, "panics") == 0 && statistic(NULL, "pending") == 0);
    sipoauth_context_free(context);
}

/* A bad reload changes nothing, a good one everything. */
static void reload(void)
{
    static const char format[] = "realm = \"%s\"\n[[provider]]\nname = \"file\"\nissuer = \"https://as.example\"\n"
                                 "audience = \"sip\"\naor = \"{sip}\"\ndomains = \"a.example\"\n%s";
    char path[1024], content[1024];
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = NULL;
    sipoauth_worker *worker = NULL;
    sipoauth_challenge view;
    sipoauth_reply reply;

    memset(&view, 0, sizeof(view));
    view.struct_size = sizeof(view);
    memset(&reply, 0, sizeof(reply));
    reply.struct_size = sizeof(reply);
    snprintf(path, sizeof(path), "%s/oauth.toml", argument("directory"));
    snprintf(content, sizeof(content), format, "first", "");
    write_file(path, content);
    EXPECT_STATUS(set(config, "config_file", path), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_new(config, log_line, &the_log, &context, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT(err[0] == '\0');
    sipoauth_config_free(config);
    EXPECT_STATUS(sipoauth_worker_new(context, 0, &worker, err, sizeof(err)), SIPOAUTH_OK);

    snprintf(content, sizeof(content), format, "second", "algorithm = \"ES256\"\n");
    write_file(path, content);
    EXPECT_STATUS(sipoauth_context_reload(context, err, sizeof(err)), SIPOAUTH_E_CONFIG);
    EXPECT(says("oauth.toml, line 8") && strstr(err, "algorithm") != NULL);
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &view, &reply), SIPOAUTH_OK);
    EXPECT(contains(reply.headers.ptr, reply.headers.len, "realm=\"first\""));

    snprintf(content, sizeof(content), format, "second",
            "[[provider]]\nname = \"other\"\nissuer = \"https://b.example\"\naudience = \"sip\"\naor = \"{sip}\"\ndomains = \"b.example\"\n");
    write_file(path, content);
    EXPECT_STATUS(sipoauth_context_reload(context, err, sizeof(err)), SIPOAUTH_OK);
    EXPECT(err[0] == '\0' && sipoauth_context_provider_count(context) == 2);
    EXPECT_STATUS(sipoauth_worker_challenge(worker, &view, &reply), SIPOAUTH_OK);
    EXPECT(contains(reply.headers.ptr, reply.headers.len, "realm=\"second\""));
    sipoauth_worker_free(worker);
    sipoauth_context_free(context);
}

/* The context of the other parts: the authorization server of the arguments, and rules about challenges. */
sipoauth_context *make_context(const char *more_provider, const char *max_pending)
{
    char path[1024], line[1024];
    sipoauth_config *config = sipoauth_config_new();
    sipoauth_context *context = NULL;

    snprintf(path, sizeof(path), "%s/offers.toml", argument("directory"));
    write_file(path, "[[offer]]\nuser_agent = \"*Linphone*\"\noffer = \"digest\"\n"
                     "[[offer]]\ntransport = \"ws\"\noffer = \"both\"\n");
    snprintf(line, sizeof(line), "name=test;issuer=%s;audience=sip;aor={sip};domain=example.test;scope=sip%s",
            argument("issuer"), more_provider);
    EXPECT_STATUS(set(config, "config_file", path), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "location", "yes"), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "application_servers", "10.0.0.5,sip:as.example.test:5070;transport=tls"), SIPOAUTH_OK);
    /* under valgrind everything takes its time */
    EXPECT_STATUS(set(config, "pending_timeout", "30"), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "http_timeout", "60"), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "connection_auth", "yes"), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "users", "64"), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "decryption_key_files", argument("private")), SIPOAUTH_OK);
    EXPECT_STATUS(set(config, "max_pending", max_pending), SIPOAUTH_OK);
    EXPECT_STATUS(add(config, line), SIPOAUTH_OK);
    EXPECT_STATUS(sipoauth_context_new(config, log_line, &the_log, &context, err, sizeof(err)), SIPOAUTH_OK);
    sipoauth_config_free(config);
    if (context == NULL) {
        fprintf(stderr, "%s\n", err);
        exit(2);
    }
    return context;
}

void test_config(void)
{
    settings();
    contexts();
    refresh_keys();
    reload();
}
