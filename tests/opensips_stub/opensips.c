/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the module calls of a server: memory that can be used up, locks that cannot be taken twice, pipes that can be full, and
 * lists of callbacks.
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "opensips.h"

struct stub_server server = {.fail_at = -1, .current = T_UNDEFINED};
struct process_table pt[] = {{0, 0, 1}, {TYPE_UDP, 0, 1}, {TYPE_TCP, 0, 0}}; /* the last one does not run */
unsigned int counted_max_processes = sizeof(pt) / sizeof(pt[0]);
int process_no = 1, via_cnt, route_type = REQUEST_ROUTE, async_status, tcp_no_new_conn;
STUB_CONST struct socket_info *bind_address;
str *default_global_address = &(str){NULL, 0}, *default_global_port = &(str){NULL, 0};
context_p current_processing_ctx;
struct os_script_routes *sroutes = &(struct os_script_routes){{{0}}};

void stub_log(int is_bug, const char *format, ...)
{
    size_t len = strlen(server.log);
    va_list list;

    server.bugs += is_bug;
    va_start(list, format);
    vsnprintf(server.log + len, sizeof(server.log) - len, format, list);
    va_end(list);
}

void *stub_realloc(long *blocks, void *memory, size_t size)
{
    if (server.allocations++ == server.fail_at)
        return NULL;
    *blocks += memory == NULL;
    return realloc(memory, size);
}

void *stub_malloc(long *blocks, size_t size)
{
    return stub_realloc(blocks, NULL, size);
}

void stub_free(long *blocks, void *memory)
{
    if (server.secret != NULL && memmem(memory, malloc_usable_size(memory), server.secret, strlen(server.secret)) != NULL)
        server.secrets++;
    --*blocks;
    free(memory);
}

void lock_get(gen_lock_t *lock)
{
    if ((*lock)++ != 0)
        abort(); /* it would wait for itself */
}

void lock_release(gen_lock_t *lock)
{
    if (--*lock != 0)
        abort();
}

int ipc_send_rpc(int process, ipc_rpc_f *function, void *parameter)
{
    if (server.refuse_pipe != 0 || server.queued == STUB_QUEUE) {
        server.refuse_pipe -= server.refuse_pipe > 0;
        return -1;
    }
    server.queue[server.queued++] = (struct stub_entry){process, function, parameter};
    return 0;
}
