/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host of libsipoauth that uses every function of its header, rightly and wrongly. What its files share.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "sipoauth.h"

/* Goes on after a failure; the program's exit status tells. */
#define EXPECT(condition) expect((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
#define EXPECT_STATUS(call, status) expect_status((call), (status), #call, __FILE__, __LINE__)
#define EXPECT_TEXT(text, wanted) expect_text((text), (wanted), #text, __FILE__, __LINE__)
void expect(int holds, const char *what, const char *file, int line);
void expect_status(int status, int wanted, const char *what, const char *file, int line);
void expect_text(sipoauth_str text, const char *wanted, const char *what, const char *file, int line);

/* The value of the argument name=value; ends the program when there is none. */
const char *argument(const char *name);

sipoauth_str text(const char *nul_terminated);
sipoauth_str octets(const void *first, size_t len);
int contains(const char *text, size_t len, const char *part);

/* log.c: every line is kept and must be free of tokens */
struct log_state {
    char lines[256 * 1024];
    size_t len;
    /* called once, within the next log call */
    void (*within)(void *user);
    void *within_user;
};
extern struct log_state the_log;
void log_line(void *user, uint32_t level, const char *line, size_t len);
void log_keeps_secret(const char *token);

/* request.c */
struct message {
    sipoauth_request request;
    sipoauth_str credentials[20];
};
void message_register(struct message *message, const char *address, const char *credentials);
char *bearer(const char *token);
sipoauth_result blank_result(void);
void expect_denied(const sipoauth_result *result);

/* The parts of the test, in their order. */
void test_version(void);
void test_keys(void);
void test_config(void);
sipoauth_context *make_context(const char *more_provider, const char *max_pending);
void test_misuse(void);
void test_requests(void);
void test_grants(sipoauth_worker *worker);
void test_replies(sipoauth_worker *worker);
void test_dialogs(sipoauth_worker *worker);
void test_refer(sipoauth_worker *worker);
void test_processes(void);
/* With a store in a folder of this name. */
sipoauth_context *make_store_context(const char *folder, const char *allow);
void test_sessions(void);
void test_exchange(void);
void test_passwords(void);
void test_devices(void);
void test_key_derivation(void);
void test_commands(void);
/* With one session, of alice. */
void test_commands_of_sessions(const sipoauth_context *context);
/* Alone, against a library that panics on demand. */
void test_panics(void);
void test_commands_that_panic(void);

#endif
