/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Exchanges an authorization code that the program got in some way of its own, and makes the key that it now shares
 * with the phone (3rd-party-authentication section 2.1.2).
 *
 *   cc exchange.c -o exchange $(pkg-config --cflags --libs sipoauth) -pthread
 *   ./exchange 'name=corp;issuer=https://login.example.com;audience=sip;aor={sip};domain=example.com;client_id=sip-proxy;client_secret_file=/etc/example/secret' \
 *       /var/lib/example/sipoauth /etc/example/store-key sip:alice@example.com
 *
 * It reads three lines: the code, the PKCE verifier and the redirect_uri; the last two may be empty. Secrets do not
 * belong on a command line.
 *
 * Facts about the code's sender protect its owner: the transport on which the code came (short codes are accepted over
 * TLS only), the sender's address, and the instance of the phone. A program that does not know them leaves them empty
 * and never invents them. The tags and the Call-ID must be those of the phone's REGISTER; here constants stand for
 * them.
 *
 * This program may block, so its worker has SIPOAUTH_WORKER_MAY_WAIT, and a thread does the network work. A SIP server
 * calls sipoauth_worker_exchange instead, and parks a request whose verdict is PENDING, as park.c does.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <sipoauth.h>

/* The values of the phone's REGISTER and of its answer. Both sides make the key from them. */
#define FROM_TAG "from-tag-of-the-phone"
#define CALL_ID "call-id-of-the-phone"
#define TO_TAG "to-tag-of-the-answer"

#define PATIENCE_MS 10000

static atomic_int running = 1;

static void *network(void *io)
{
    while (running)
        sipoauth_io_step((sipoauth_io *)io, 100, NULL, NULL);
    return NULL;
}

static void print_log(void *user, uint32_t level, const char *line, size_t len)
{
    (void)user;
    if (level <= SIPOAUTH_LOG_WARN)
        fprintf(stderr, "%.*s\n", (int)len, line);
}

static sipoauth_str text(const char *value)
{
    sipoauth_str str = {value, strlen(value)};
    return str;
}

/* A line of standard input without its line end; empty at the end of the input. */
static sipoauth_str read_line(char *line, int size)
{
    if (fgets(line, size, stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    return text(line);
}

static int exchange(sipoauth_worker *worker, const char *address)
{
    static char secret[16384], verifier[256], redirect_uri[2048];
    unsigned char key[32];
    sipoauth_code code;
    sipoauth_result result;
    uint32_t retry_after = 0;

    memset(&code, 0, sizeof(code));
    code.struct_size = sizeof(code);
    code.transport = SIPOAUTH_TRANSPORT_UNKNOWN;
    code.code = read_line(secret, sizeof(secret));
    code.code_verifier = read_line(verifier, sizeof(verifier));
    code.redirect_uri = read_line(redirect_uri, sizeof(redirect_uri));
    code.aor = text(address);
    code.from_tag = text(FROM_TAG);
    code.call_id = text(CALL_ID);
    code.to_tag = text(TO_TAG);
    memset(&result, 0, sizeof(result));
    result.struct_size = sizeof(result);

    if (sipoauth_worker_exchange_wait(worker, &code, PATIENCE_MS, &result) != SIPOAUTH_OK)
        fprintf(stderr, "the exchange failed\n"); /* and the result says "denied" */
    printf("%u %.*s: %.*s\n", (unsigned)result.status, (int)result.reason_code.len, result.reason_code.ptr,
            (int)result.reason_text.len, result.reason_text.ptr);
    if (result.verdict != SIPOAUTH_VERDICT_ACCEPTED)
        return 1;
    printf("subject %.*s, session %.*s\n", (int)result.subject.len, result.subject.ptr, (int)result.session.len,
            result.session.ptr);
    /* the key is stored before the phone gets its answer */
    if (sipoauth_worker_answered(worker, result.ticket, 200, text(TO_TAG), &retry_after) != SIPOAUTH_OK) {
        printf("the key cannot be stored: try again in %u s\n", (unsigned)retry_after);
        return 1;
    }
    /* makes the key as the phone does; the key is a secret, so only its length is shown */
    if (sipoauth_shared_key(SIPOAUTH_KEY_ORDER_DRAFT, code.code, code.from_tag, code.to_tag, code.call_id, key)
            != SIPOAUTH_OK)
        return 1;
    printf("the shared key has %zu octets\n", sizeof(key));
    memset(key, 0, sizeof(key));
    memset(secret, 0, sizeof(secret));
    memset(verifier, 0, sizeof(verifier));
    return 0;
}

int main(int argc, char **argv)
{
    sipoauth_config *config;
    sipoauth_context *context = NULL;
    sipoauth_worker *worker = NULL;
    sipoauth_io *io = NULL;
    pthread_t thread;
    char err[512];
    int failed;

    if (argc != 5) {
        fprintf(stderr, "usage: %s PROVIDER STORE_FOLDER STORE_KEY_FILE ADDRESS\n", argv[0]);
        return 2;
    }
    config = sipoauth_config_new();
    if (sipoauth_config_provider_add(config, text(argv[1]), err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_config_set(config, text("store"), text(argv[2]), err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_config_set(config, text("store_key_file"), text(argv[3]), err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_context_new(config, print_log, NULL, &context, err, sizeof(err)) != SIPOAUTH_OK) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }
    sipoauth_config_free(config);
    if (sipoauth_io_new(context, &io, err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_worker_new(context, SIPOAUTH_WORKER_MAY_WAIT, &worker, err, sizeof(err)) != SIPOAUTH_OK
            || pthread_create(&thread, NULL, network, io) != 0) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }
    failed = exchange(worker, argv[4]);

    running = 0;
    pthread_join(thread, NULL);
    sipoauth_worker_free(worker);
    sipoauth_io_free(io);
    sipoauth_context_free(context);
    return failed;
}
