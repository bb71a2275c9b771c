/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of modules/opensips share: the server's doings, the library's answers, and checks.
 */
#ifndef GATE_H
#define GATE_H

#include "module.h"

/* Goes on after a failure; the program's exit status tells. */
#define EXPECT(condition) expect((condition) ? 1 : 0, #condition, __FILE__, __LINE__)
void expect(int holds, const char *what, const char *file, int line);
const char *argument(const char *name);
/* True if a line of the log has this. */
int logged(const char *part);

/* server.c: a server around the module. What it sends is kept here. */
extern struct sent {
    int count;
    size_t len;
    char text[16384];
} sent;
extern void (*script)(struct sip_msg *msg);       /* the request route */
extern void (*resume_route)(struct sip_msg *msg, int rc);
extern void (*when_stored)(struct cell *cell);    /* a reply is stored, but its callbacks were not called */
extern struct cell *cells;
extern int no_socket;                             /* the next reply does not get as far as the socket, */
extern const char *unsent;                        /* and was at this address */
extern int route_runs;                            /* how often resume_route ran, and with which code */
extern int route_code;
#define REGISTER "REGISTER"
const char *request(const char *method, int number, const char *credentials);
long number_of(const str *text);
extern STUB_CONST struct socket_info *received_at; /* by which requests come */
void server_receive(const char *text);
size_t server_written(const struct sip_msg *msg, char *text);
int server_reply(struct cell *cell, struct sip_msg *msg, int code, const char *phrase);
void server_retransmit(struct cell *cell);
void server_delete_cells(void);
void server_forget_pending(void);
extern char server_made_up[];                     /* the octets of a message for routes without a request */
void server_ends_made_up(struct sip_msg *msg);
void server_take(void);                           /* the worker reads one entry of its pipe */
void server_take_all(void);
int call(struct sip_msg *msg, const char *function, const char *first);
int call_async(struct sip_msg *msg, const char *function, async_ctx *context);
#define HA1 "0123456789abcdef0123456789abcdef" /* what the functions for passwords are given */
#define PASSWORD "the-password"
/* As tm does for async(); at_once: it cannot wait. */
struct waiting {
    async_ctx context;
    struct cell *cell;
    int fd;
};
extern struct waiting waiting[64];
extern unsigned int waiting_count;
void server_async(struct sip_msg *msg, const char *function, int at_once);
int server_is_readable(int fd);
void server_resume(struct waiting *one, int timed_out);
str variable(struct sip_msg *msg, const char *name);

/* library.c: the functions of the library whose answers a test chooses; all others are the library's own. */
extern struct library {
    int real;                    /* it checks by itself */
    sipoauth_result first, resumed;
    int checks, last_flags;
    int submit, answered;        /* status codes */
    unsigned int jobs;
    struct { uint64_t first, second; } job[4096];
    const char *tokens;
    char user[128];              /* H(A1) and password of the last check */
    struct { int count; unsigned int code; char ticket[64], tag[64]; } told;
    unsigned int closed;
    uint64_t closed_number;
} library;
void library_reset(void);
sipoauth_result pending(void), accepted(void), not_now(void);
void library_answers(unsigned int job);   /* in the I/O process */
#define IO_PROCESS 0
#define WORKER 1

/* refer.c: a script that calls one function, and answers what it refuses */
#define REFER_EXPLICIT "Refer-To: <sip:carol@example.test>\r\nRequire: explicitsub\r\n"
extern struct refer {
    const char *function;
    int rc, number;           /* what it has returned; of the last message */
    char id[64], uri[256];    /* what it has said */
} refer;
void refer_start(const char *name, const char *function);
const char *refer_message(const char *method, const char *uri, const char *fields);
int refer_update(const char *status);

/* again.c */
int cancel_comes_elsewhere(const struct sip_msg *invite, int number);

/* The parts. */
void test_resume(void);
void test_again(void);
void test_confirm(void);
void test_tokens(void);
void test_connection(void);
void test_memory(void);
void test_whole(void);
void test_refer(void);
void test_notify(void);

/* Around each test: everything is gone at its end. */
void begin(const char *name);
void end(void);

#endif
