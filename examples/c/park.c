/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A registrar over UDP that never waits. It parks a request whose keys must be fetched, or whose code must be
 * exchanged, and checks the request again when the I/O service gives it back.
 *
 *   cc park.c -o park $(pkg-config --cflags --libs sipoauth) -pthread
 *   ./park 5060 'name=corp;issuer=https://login.example.com;audience=sip;aor=sip:{preferred_username}@example.com'
 *
 * It only shows how a SIP server uses the library. It keeps no bindings, so it does nothing with expires_limit. It
 * reads no compact or folded header fields and only one Via. It gives no tokens to phones that sign in with a password.
 * It ends when its standard input ends.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sipoauth.h>

#define MAX_MESSAGE 16384
#define MAX_PARKED 64
#define MAX_CREDENTIALS 17
#define TO_TAG "park-example"

struct message {
    int parked;
    struct sockaddr_in from;
    size_t len;
    char text[MAX_MESSAGE];
};

static struct message parked[MAX_PARKED];
static atomic_int running = 1;
static int sock, back[2];
static sipoauth_worker *worker;

/* ---- the I/O service: a thread here, a process in a server that forks */

static void on_done(void *user, uint64_t cookie0, uint64_t cookie1)
{
    (void)user;
    (void)cookie1;
    if (write(back[1], &cookie0, sizeof(cookie0)) != sizeof(cookie0))
        fprintf(stderr, "a parked request is lost\n");
}

static void *network(void *io)
{
    while (running)
        sipoauth_io_step((sipoauth_io *)io, 100, on_done, NULL);
    return NULL;
}

static void print_log(void *user, uint32_t level, const char *line, size_t len)
{
    (void)user;
    if (level <= SIPOAUTH_LOG_INFO)
        fprintf(stderr, "%.*s\n", (int)len, line);
}

/* ---- as much of SIP as the example needs */

static sipoauth_str text(const char *value)
{
    sipoauth_str str = {value, strlen(value)};
    return str;
}

static sipoauth_str part(const char *begin, const char *end)
{
    sipoauth_str str = {begin, (size_t)(end - begin)};
    return str;
}

/* The body of the next header field of this name after `from`; NULL when there is none. `text` ends with NUL. */
static sipoauth_str header(const char *from, const char *name)
{
    static const sipoauth_str none = {NULL, 0};
    const size_t len = strlen(name);
    const char *line, *end;

    for (line = strstr(from, "\r\n"); line != NULL && strncmp(line, "\r\n\r\n", 4) != 0; line = end) {
        line += 2;
        end = strstr(line, "\r\n");
        if (end == NULL)
            break;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            for (line += len + 1; *line == ' '; line++)
                ;
            return part(line, end);
        }
    }
    return none;
}

/* Returns the number of header fields of this name, and stores the bodies of as many of them as there is room for. */
static size_t headers(const char *message, const char *name, sipoauth_str *bodies, size_t room)
{
    sipoauth_str field;
    size_t count = 0;

    for (field = header(message, name); field.ptr != NULL; field = header(field.ptr, name)) {
        if (count < room)
            bodies[count] = field;
        count++;
    }
    return count;
}

static sipoauth_str uri_of(sipoauth_str field)
{
    const char *begin = field.ptr != NULL ? memchr(field.ptr, '<', field.len) : NULL;
    const char *end = begin != NULL ? memchr(begin, '>', field.len - (size_t)(begin - field.ptr)) : NULL;

    return end != NULL ? part(begin + 1, end) : field;
}

static sipoauth_str tag_of(sipoauth_str field)
{
    static const char name[] = ";tag=";
    size_t i, end;

    for (i = 0; i + sizeof(name) - 1 < field.len; i++) {
        if (strncasecmp(field.ptr + i, name, sizeof(name) - 1) != 0)
            continue;
        i += sizeof(name) - 1;
        for (end = i; end < field.len && field.ptr[end] != ';'; end++)
            ;
        return part(field.ptr + i, field.ptr + end);
    }
    return part(field.ptr, field.ptr);
}

static void answer(const struct message *message, unsigned status, sipoauth_str phrase, sipoauth_str lines)
{
    static const char *const names[] = {"Via", "From", "To", "Call-ID", "CSeq"};
    char reply[MAX_MESSAGE];
    sipoauth_str field;
    size_t len, i;

    len = (size_t)snprintf(reply, sizeof(reply), "SIP/2.0 %u %.*s\r\n", status, (int)phrase.len, phrase.ptr);
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        field = header(message->text, names[i]);
        len += (size_t)snprintf(reply + len, sizeof(reply) - len, "%s: %.*s%s\r\n", names[i], (int)field.len, field.ptr,
                strcmp(names[i], "To") == 0 && tag_of(field).len == 0 ? ";tag=" TO_TAG : "");
        if (len >= sizeof(reply))
            return;
    }
    len += (size_t)snprintf(reply + len, sizeof(reply) - len, "%.*sContent-Length: 0\r\n\r\n", (int)lines.len, lines.ptr);
    if (len < sizeof(reply))
        (void)sendto(sock, reply, len, 0, (const struct sockaddr *)&message->from, sizeof(message->from));
}

/* ---- what a host of the library does */

static void fill(sipoauth_request *request, sipoauth_str credentials[MAX_CREDENTIALS], const struct message *message)
{
    static char source[INET_ADDRSTRLEN];
    sipoauth_str contact;
    const char *space = strchr(message->text, ' '), *body = strstr(message->text, "\r\n\r\n");

    memset(request, 0, sizeof(*request));
    request->struct_size = sizeof(*request);
    request->role = SIPOAUTH_ROLE_UAS;
    request->transport = SIPOAUTH_TRANSPORT_UDP;
    request->source_ip = text(inet_ntop(AF_INET, &message->from.sin_addr, source, sizeof(source)));
    request->source_port = ntohs(message->from.sin_port);
    request->method = part(message->text, space != NULL ? space : message->text);
    if (space != NULL)
        request->request_uri = part(space + 1, space + 1 + strcspn(space + 1, " \r"));
    request->from_uri = uri_of(header(message->text, "From"));
    request->from_tag = tag_of(header(message->text, "From"));
    request->to_uri = uri_of(header(message->text, "To"));
    request->call_id = header(message->text, "Call-ID");
    request->cseq = header(message->text, "CSeq");
    request->date = header(message->text, "Date");
    /* a proof covers one Contact, and a comma may begin another one */
    contact = header(message->text, "Contact");
    request->contact_uri = uri_of(contact);
    request->contact_count = (uint32_t)headers(message->text, "Contact", NULL, 0);
    if (contact.ptr != NULL && memchr(contact.ptr, ',', contact.len) != NULL)
        request->contact_count = 2;
    request->content_type = header(message->text, "Content-Type");
    request->message = part(message->text, message->text + message->len);
    request->reply_to_tag = text(TO_TAG);
    if (body != NULL)
        request->body = part(body + 4, message->text + message->len);
    request->credentials = credentials;
    request->credentials_count = headers(message->text, "Authorization", credentials, MAX_CREDENTIALS);
    if (request->credentials_count > MAX_CREDENTIALS)
        request->credentials_count = MAX_CREDENTIALS; /* one more than the library accepts */
}

/* Has the phone sent a parked request again? It is answered only once. */
static int is_parked(const struct message *message)
{
    size_t place;

    for (place = 0; place < MAX_PARKED; place++) {
        if (parked[place].parked && parked[place].len == message->len
                && parked[place].from.sin_port == message->from.sin_port
                && parked[place].from.sin_addr.s_addr == message->from.sin_addr.s_addr
                && memcmp(parked[place].text, message->text, message->len) == 0)
            return 1;
    }
    return 0;
}

/* Keeps the request and asks the I/O service. Returns 0 when the request must be refused. */
static int park(const struct message *message, uint64_t job)
{
    uint64_t place;

    for (place = 0; place < MAX_PARKED && parked[place].parked; place++)
        ;
    if (place == MAX_PARKED)
        return 0;
    parked[place] = *message;
    parked[place].parked = sipoauth_worker_submit(worker, job, text(TO_TAG), place, 0) == SIPOAUTH_OK;
    return parked[place].parked;
}

static void handle(const struct message *message, uint32_t flags)
{
    sipoauth_request request;
    sipoauth_str credentials[MAX_CREDENTIALS];
    sipoauth_result result;
    sipoauth_reply reply;

    fill(&request, credentials, message);
    memset(&result, 0, sizeof(result));
    result.struct_size = sizeof(result);
    memset(&reply, 0, sizeof(reply));
    reply.struct_size = sizeof(reply);

    /* if the check fails, the result says "denied" and names no check, so the answer is 503 */
    sipoauth_worker_check(worker, &request, flags, &result);
    if (result.verdict == SIPOAUTH_VERDICT_PENDING) {
        if (park(message, result.job))
            return;
        sipoauth_worker_refuse(worker, SIPOAUTH_REFUSE_FULL, result.job, &result);
    }
    if (result.verdict == SIPOAUTH_VERDICT_ACCEPTED) {
        /* after a sign-in with a code, the key is stored before the 200 leaves */
        if (!result.confirm
                || sipoauth_worker_answered(worker, result.ticket, 200, text(TO_TAG), NULL) == SIPOAUTH_OK) {
            answer(message, 200, text("OK"), text(""));
            return;
        }
        result.check = 0;
    }
    if (sipoauth_worker_reply(worker, result.check, &request, &reply) == SIPOAUTH_OK && reply.status != 0)
        answer(message, reply.status, reply.phrase, reply.headers);
}

static void serve(void)
{
    static struct message message;
    struct pollfd ready[3] = {{sock, POLLIN, 0}, {back[0], POLLIN, 0}, {0, POLLIN, 0}};
    socklen_t size;
    uint64_t place;
    ssize_t len;

    while (poll(ready, 3, -1) > 0) {
        if (ready[0].revents != 0) {
            size = sizeof(message.from);
            len = recvfrom(sock, message.text, sizeof(message.text) - 1, 0, (struct sockaddr *)&message.from, &size);
            if (len > 0) {
                message.len = (size_t)len;
                message.text[len] = '\0';
                /* a registrar ignores SIP responses */
                if (strncmp(message.text, "SIP/2.0 ", 8) != 0 && !is_parked(&message))
                    handle(&message, 0);
            }
        }
        if (ready[1].revents != 0 && read(back[0], &place, sizeof(place)) == sizeof(place) && place < MAX_PARKED) {
            parked[place].parked = 0;
            handle(&parked[place], SIPOAUTH_CHECK_RESUMED);
        }
        if (ready[2].revents != 0)
            return;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in here;
    sipoauth_config *config;
    sipoauth_context *context = NULL;
    sipoauth_io *io = NULL;
    pthread_t thread;
    char err[512] = "";
    int i;

    if (argc < 3) {
        fprintf(stderr, "usage: %s PORT PROVIDER [KEY=VALUE ...]\n", argv[0]);
        return 2;
    }
    config = sipoauth_config_new();
    for (i = 3; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        if (equals == NULL
                || sipoauth_config_set(config, part(argv[i], equals), text(equals + 1), err, sizeof(err)) != SIPOAUTH_OK) {
            fprintf(stderr, "%s: %s\n", argv[i], err);
            return 2;
        }
    }
    /* before the fork, in a server that forks */
    if (sipoauth_config_provider_add(config, text(argv[2]), err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_context_new(config, print_log, NULL, &context, err, sizeof(err)) != SIPOAUTH_OK) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }
    sipoauth_config_free(config);

    memset(&here, 0, sizeof(here));
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    here.sin_port = htons((uint16_t)atoi(argv[1]));
    sock = socket(AF_INET, SOCK_DGRAM, 0);
    if (sock < 0 || bind(sock, (struct sockaddr *)&here, sizeof(here)) != 0 || pipe(back) != 0) {
        perror("park");
        return 2;
    }
    /* after the fork: the network work in one process, a worker in each; this worker handles SIP, so it never waits */
    if (sipoauth_io_new(context, &io, err, sizeof(err)) != SIPOAUTH_OK
            || sipoauth_worker_new(context, 0, &worker, err, sizeof(err)) != SIPOAUTH_OK
            || pthread_create(&thread, NULL, network, io) != 0) {
        fprintf(stderr, "%s\n", err);
        return 2;
    }
    puts("READY");
    fflush(stdout);
    serve();

    running = 0;
    pthread_join(thread, NULL);
    sipoauth_worker_free(worker);
    sipoauth_io_free(io);
    sipoauth_context_free(context);
    return 0;
}
