/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The requests that wait, as they arrived, in shared memory. A request is here from the moment it must wait until the
 * script has seen it again and answered. So its retransmissions find it here, and so does a CANCEL.
 *
 * How many may wait is the library's decision (max_pending), so this file has no limit of its own.
 */
#include <string.h>
#include <sys/random.h>

#include "shim.h"

#define PLACE_BITS 12
#define PLACES (1u << PLACE_BITS)
#define LOCKS 64

/* Seconds after which the I/O service must have given a request back, whatever it waits for: pending_timeout is 30 at
 * most. */
#define OVERDUE 45

struct room {
    uint64_t secret;
    uint64_t last_number;
    uint32_t count;
    gen_lock_t locks[LOCKS];
    struct oauth_parked *places[PLACES];
};

static struct room *room = NULL;

int oauth_parked_init(void)
{
    unsigned int i;

    room = shm_malloc(sizeof(*room));
    if (room == NULL) {
        LM_ERR("no shared memory for requests that wait\n");
        return -1;
    }
    memset(room, 0, sizeof(*room));
    for (i = 0; i < LOCKS; i++) {
        if (lock_init(&room->locks[i]) == NULL) {
            LM_ERR("cannot make a lock for requests that wait\n");
            return -1;
        }
    }
    return 0;
}

/* Nearly always nobody waits, and then an arriving request has nothing to look for. */
static int is_empty(void)
{
    return __atomic_load_n(&room->count, __ATOMIC_SEQ_CST) == 0;
}

/* Equal in all processes, and drawn when it is needed first. If the system has no random numbers yet, a sender can make
 * requests that share a place, which takes time and nothing else. */
static uint64_t secret(void)
{
    uint64_t known = __atomic_load_n(&room->secret, __ATOMIC_RELAXED), drawn = 0;

    if (known != 0)
        return known;
    if (getrandom(&drawn, sizeof(drawn), GRND_NONBLOCK) != sizeof(drawn) || drawn == 0)
        drawn = 1;
    if (__atomic_compare_exchange_n(&room->secret, &known, drawn, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        return drawn;
    return known;
}

static uint32_t place_of(const struct oauth_arrival *arrival)
{
    return (uint32_t)oauth_arrival_hash(arrival, secret()) & (PLACES - 1);
}

static void hold(uint32_t place)
{
    lock_get(&room->locks[place % LOCKS]);
}

static void release(uint32_t place)
{
    lock_release(&room->locks[place % LOCKS]);
}

static struct oauth_parked *find(uint32_t place, const struct oauth_arrival *arrival, unsigned int method)
{
    struct oauth_parked *one = room->places[place];

    while (one != NULL && !(one->arrival.method == method && oauth_arrival_same(&one->arrival, arrival)))
        one = one->next;
    return one;
}

/* The place is a part of the number. */
static uint32_t place_of_number(uint64_t number)
{
    return (uint32_t)number & (PLACES - 1);
}

static struct oauth_parked *find_number(uint64_t number)
{
    struct oauth_parked *one = room->places[place_of_number(number)];

    while (one != NULL && one->number != number)
        one = one->next;
    return one;
}

/* NULL also for one that goes on already. */
static struct oauth_parked *find_waiting(uint64_t number)
{
    struct oauth_parked *one = find_number(number);

    return one != NULL && one->goes_on ? NULL : one;
}

static void take_out(uint32_t place, const struct oauth_parked *parked)
{
    struct oauth_parked **link = &room->places[place];

    while (*link != NULL && *link != parked)
        link = &(*link)->next;
    if (*link == NULL)
        return;
    *link = parked->next;
    __atomic_fetch_sub(&room->count, 1, __ATOMIC_RELAXED);
}

static str keep(char **at, const str *text)
{
    str kept = {*at, text->len};

    if (text->len > 0)
        memcpy(*at, text->s, (size_t)text->len);
    *at += text->len;
    return kept;
}

static struct oauth_parked *copy_of(const struct oauth_arrival *arrival, const char *function,
        const struct oauth_digest_user *user)
{
    static const struct oauth_digest_user nobody = {STR_NULL, STR_NULL};
    struct oauth_parked *parked;
    size_t size;
    char *at;

    if (user == NULL)
        user = &nobody;
    size = sizeof(*parked) + arrival->len + 1 + (size_t)user->ha1.len + (size_t)user->password.len;
    parked = shm_malloc(size);
    if (parked == NULL) {
        LM_ERR("no shared memory for a request that must wait: raise -m, or lower max_pending\n");
        return NULL;
    }
    memset(parked, 0, sizeof(*parked));
    parked->size = size;
    parked->function = function;
    parked->since = get_ticks();
    parked->arrival = *arrival;
    parked->arrival.text = parked->store;
    memcpy(parked->store, arrival->text, arrival->len + 1u);
    at = parked->store + arrival->len + 1;
    parked->user.ha1 = keep(&at, &user->ha1);
    parked->user.password = keep(&at, &user->password);
    return parked;
}

/* It holds a token, or the hash of a password. */
void oauth_parked_free(struct oauth_parked *parked)
{
    explicit_bzero(parked, parked->size);
    shm_free(parked);
}

/* Parks a request, and says by which number it goes on. Returns 1, 0 if it waits already, or -1 when there is no memory. */
int oauth_parked_add(const struct oauth_arrival *arrival, const char *function, const struct oauth_digest_user *user,
        uint64_t *number)
{
    const uint32_t place = place_of(arrival);
    struct oauth_parked *parked = copy_of(arrival, function, user);
    const struct oauth_parked *other;

    if (parked == NULL)
        return -1;
    parked->number = __atomic_add_fetch(&room->last_number, 1, __ATOMIC_RELAXED) << PLACE_BITS | place;
    *number = parked->number;
    hold(place);
    other = find(place, arrival, arrival->method);
    if (other != NULL) {
        *number = other->number;
    } else {
        parked->next = room->places[place];
        room->places[place] = parked;
        __atomic_fetch_add(&room->count, 1, __ATOMIC_SEQ_CST);
    }
    release(place);
    if (other == NULL)
        return 1;
    oauth_parked_free(parked);
    return 0;
}

/* True for a copy of a request that is here. */
int oauth_parked_has(const struct oauth_arrival *arrival, int *goes_on)
{
    const struct oauth_parked *found;
    uint32_t place;

    if (is_empty())
        return 0;
    place = place_of(arrival);
    hold(place);
    found = find(place, arrival, arrival->method);
    if (found != NULL)
        *goes_on = found->goes_on;
    release(place);
    return found != NULL;
}

/* True if it cannot go on yet, because a script still sees it, or a copy of it. Its lane is that of its Call-ID. */
int oauth_parked_is_seen(uint64_t number, unsigned int *lane)
{
    const uint32_t place = place_of_number(number);
    const struct oauth_parked *parked;
    int seen;

    hold(place);
    parked = find_number(number);
    seen = parked != NULL && oauth_arrival_is_seen(&parked->arrival);
    *lane = parked != NULL ? oauth_arrival_lane(&parked->arrival, secret()) : 0;
    release(place);
    return seen;
}

/* The request goes on now, and nobody else lets it go on. NULL: it is not here any more, or goes on already. */
struct oauth_parked *oauth_parked_begin(uint64_t number)
{
    const uint32_t place = place_of_number(number);
    struct oauth_parked *parked;

    hold(place);
    parked = find_waiting(number);
    if (parked != NULL)
        parked->goes_on = 1;
    release(place);
    return parked;
}

/* It has gone on. Returns the CANCEL that has come meanwhile, or NULL. */
struct oauth_parked *oauth_parked_end(struct oauth_parked *parked)
{
    const uint32_t place = place_of_number(parked->number);
    struct oauth_parked *cancel;

    hold(place);
    take_out(place, parked);
    cancel = parked->cancel;
    release(place);
    oauth_parked_free(parked);
    return cancel;
}

/* It does not have to go on any more. */
void oauth_parked_drop(uint64_t number)
{
    const uint32_t place = place_of_number(number);
    struct oauth_parked *parked;

    hold(place);
    parked = find_waiting(number);
    if (parked != NULL)
        take_out(place, parked);
    release(place);
    if (parked != NULL)
        oauth_parked_free(parked);
}

/*
 * A CANCEL has come. Returns 0 if its INVITE is not here, or there is no memory. Otherwise *invite is the INVITE, which the
 * caller answers and frees, or NULL if it goes on at this moment. In that case the CANCEL waits until it has gone on.
 */
int oauth_parked_cancel(const struct oauth_arrival *cancel, struct oauth_parked **invite)
{
    struct oauth_parked *later;
    uint32_t place;
    int found;

    *invite = NULL;
    if (is_empty())
        return 0;
    place = place_of(cancel);
    hold(place);
    found = find(place, cancel, METHOD_INVITE) != NULL;
    release(place);
    if (!found)
        return 0;
    later = copy_of(cancel, NULL, NULL);
    hold(place);
    *invite = find(place, cancel, METHOD_INVITE);
    found = *invite != NULL;
    if (found && !(*invite)->goes_on) {
        take_out(place, *invite);
    } else if (found) {
        found = later != NULL || (*invite)->cancel != NULL;
        if ((*invite)->cancel == NULL) {
            (*invite)->cancel = later;
            later = NULL;
        }
        *invite = NULL;
    }
    release(place);
    if (later != NULL)
        oauth_parked_free(later);
    return found;
}

/* A request that the I/O service should have given back long ago, or 0. Each is named once in that time. */
uint64_t oauth_parked_overdue(void)
{
    struct oauth_parked *one;
    uint64_t number = 0;
    uint32_t place;

    if (is_empty())
        return 0;
    for (place = 0; place < PLACES && number == 0; place++) {
        hold(place);
        for (one = room->places[place]; one != NULL && number == 0; one = one->next) {
            if (one->goes_on || get_ticks() - one->since <= OVERDUE)
                continue;
            one->since = get_ticks();
            number = one->number;
        }
        release(place);
    }
    return number;
}
