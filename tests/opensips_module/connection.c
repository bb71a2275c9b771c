/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library is told which connections have ended, by the number that OpenSIPS gave them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "evi/evi_transport.h"

#include "gate.h"

static void request_on(int proto, unsigned char host, unsigned short port, int connection)
{
    struct sip_msg msg;

    memset(&msg, 0, sizeof(msg));
    msg.rcv.proto = proto;
    memcpy(msg.rcv.src_ip.address, (const unsigned char[4]){198, 51, 100, host}, 4);
    msg.rcv.src_port = port;
    msg.rcv.proto_reserved1 = connection;
    oauth_connection_note(&msg);
}

static void ends(unsigned char host, unsigned short port)
{
    char ip[16];
    evi_param_t proto = {EVI_STR_VAL, str_init("proto"), {0, str_init("tcp")}, NULL};
    evi_param_t second = {EVI_INT_VAL, str_init("src_port"), {port, STR_NULL}, &proto};
    evi_param_t first = {EVI_STR_VAL, str_init("src_ip"), {0, STR_NULL}, &second};
    evi_params_t list = {&first};
    str name = str_init("E_CORE_TCP_DISCONNECT");

    first.val.s = (str){ip, snprintf(ip, sizeof(ip), "198.51.100.%d", host)};
    EXPECT(server.transport->raise(NULL, &name, NULL, &list, NULL) == 0);
}

static void incomplete(void)
{
    evi_param_t number = {EVI_INT_VAL, str_init("src_ip"), {1, STR_NULL}, NULL};
    evi_params_t none = {NULL}, odd = {&number};
    str name = str_init("E_CORE_TCP_DISCONNECT");

    EXPECT(server.transport->raise(NULL, &name, NULL, NULL, NULL) == 0);
    EXPECT(server.transport->raise(NULL, &name, NULL, &none, NULL) == 0);
    EXPECT(server.transport->raise(NULL, &name, NULL, &odd, NULL) == 0);
    EXPECT(library.closed == 0);
}

static void ended(void)
{
    begin("connections that end");
    incomplete();
    request_on(PROTO_TLS, 1, 40000, 77);
    request_on(PROTO_WS, 2, 40000, -5); /* the numbers of OpenSIPS are of type int */
    request_on(PROTO_UDP, 3, 40000, 9);
    ends(3, 40000);
    ends(1, 40001);
    EXPECT(library.closed == 0);
    ends(1, 40000);
    EXPECT(library.closed == 1 && library.closed_number == 77);
    ends(2, 40000);
    EXPECT(library.closed == 2 && library.closed_number == (uint32_t)-5);
    ends(1, 40000); /* it has ended */
    EXPECT(library.closed == 2);
    request_on(PROTO_TCP, 1, 40000, 78); /* the same addresses again */
    request_on(PROTO_TCP, 1, 40000, 79);
    ends(1, 40000);
    EXPECT(library.closed == 3 && library.closed_number == 79);
    end();
}

/* There are 65,536 notes. Of connections that share one the last counts; the others are not told, and no wrong number is. */
static void overwritten(void)
{
    enum { HOSTS = 4, PORTS = 60000 };
    unsigned char host;
    unsigned int port, told = 0, number;

    begin("more connections than notes");
    for (host = 1; host <= HOSTS; host++)
        for (port = 1; port <= PORTS; port++)
            request_on(PROTO_TCP, host, (unsigned short)port, (int)(host * 100000u + port));
    for (host = 1; host <= HOSTS; host++) {
        for (port = 1; port <= PORTS; port++) {
            number = library.closed;
            ends(host, (unsigned short)port);
            if (library.closed == number)
                continue;
            told++;
            if (library.closed_number != host * 100000u + port) {
                EXPECT(!"the number is that of the connection that ended");
                return;
            }
        }
    }
    printf("%u of %d connections have a note\n", told, HOSTS * PORTS);
    EXPECT(told > 50000 && told <= 65536);
    end();
}

/* One subscriber, whose socket is freed by this module. */
static void subscriber(void)
{
    evi_reply_sock *one, *other;

    begin("the subscriber");
    one = server.transport->parse((str)str_init("connection"));
    other = server.transport->parse((str)str_init("connection"));
    EXPECT(one != NULL && other != NULL && server.transport->match(one, other) && server.transport->print(one).len > 0);
    server.transport->free(one);
    server.transport->free(other);
    server.allocations = server.fail_at = 0;
    EXPECT(server.transport->parse((str)str_init("connection")) == NULL);
    server.fail_at = -1;
    end();
}

void test_connection(void)
{
    ended();
    overwritten();
    subscriber();
}
