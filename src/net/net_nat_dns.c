/* SPDX-License-Identifier: MIT */
#include "net/net_nat_dns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/be.h"
#include "base/clock.h"
#include "net/net_nat_packet.h"

enum { DNS_HEADER = 12, DNS_QR = 0x80, DNS_TC = 0x02, DNS_PORT = 53 };
enum { RCODE_SERVFAIL = 2, RCODE_NOTIMP = 4, RCODE_REFUSED = 5 };

#define MESSAGE_MAX  65535u
#define NEXT_AFTER_NS NS_PER_SEC
#define GIVE_UP_NS    (10 * NS_PER_SEC)

/* A server that was asked. */
struct asked {
    struct dns_query *query;
    unsigned server; /* its index */
    int fd;          /* connected; -1: it has answered, or cannot be reached */
    struct loop_fd *watch;
};

struct dns_query {
    LIST_ENTRY(dns_query) link;
    struct nat_dns *dns;
    uint8_t headers[NAT_HEADERS_MAX]; /* of the guest's frame */
    bool v6;
    uint16_t guest_port;
    uint64_t since_ns, next_ns;       /* when to ask the next one */
    struct asked asked[RESOLV_SERVERS_MAX];
    unsigned asked_count;
    size_t len;
    uint8_t message[];
};

static void asked_close(struct asked *a)
{
    if (a->fd < 0)
        return;
    loop_fd_remove(a->watch);
    close(a->fd);
    a->fd = -1;
    a->watch = NULL;
}

static void query_free(struct dns_query *q)
{
    for (unsigned i = 0; i < q->asked_count; i++)
        asked_close(&q->asked[i]);
    LIST_REMOVE(q, link);
    q->dns->query_count--;
    free(q);
}

/* ---- The answer ----------------------------------------------------------------------------- */

/* Only what was asked, and that there is more: the guest asks again by TCP. Where the question
 * ends is not looked for when it is not plain. */
static size_t cut_short(const struct dns_query *q, uint8_t *message)
{
    size_t at = DNS_HEADER;

    while (at < q->len && q->message[at] && q->message[at] < 64)
        at += 1u + q->message[at];
    at += 5; /* the root, type, class */
    message[2] |= DNS_TC;
    memset(message + 4, 0, 8);
    if (at > q->len)
        return DNS_HEADER;
    store_be16(message + 4, 1);
    memcpy(message + DNS_HEADER, q->message + DNS_HEADER, at - DNS_HEADER);
    return at;
}

static void answer(struct dns_query *q, uint8_t *message, size_t len)
{
    struct nat_dns *d = q->dns;
    uint8_t *out = d->nat->merged; /* nobody else is at it */
    size_t room = d->nat->net.mtu - (q->v6 ? NAT_IPV6 : NAT_IPV4) - NAT_UDP, at;

    if (len > room)
        len = cut_short(q, message);
    at = nat_packet_answer(out, q->headers, q->headers + NAT_ETH + (q->v6 ? 24 : 16), IPPROTO_UDP,
                           NAT_UDP + len);
    store_be16(out + at, DNS_PORT);
    store_be16(out + at + 2, q->guest_port);
    store_be16(out + at + 4, (uint32_t)(NAT_UDP + len));
    store_be16(out + at + 6, 0);
    memcpy(out + at + NAT_UDP, message, len);
    store_be16(out + at + 6, nat_packet_checksum(out, at, IPPROTO_UDP, NAT_UDP + len));
    net_nat_to_guest(d->nat, out, at + NAT_UDP + len);
}

/* ---- The servers ---------------------------------------------------------------------------- */

static void ask_next(struct dns_query *q);

static bool is_helpless(const uint8_t *message)
{
    unsigned rcode = message[3] & 0xf;

    return rcode == RCODE_SERVFAIL || rcode == RCODE_NOTIMP || rcode == RCODE_REFUSED;
}

static bool is_anyone_left(const struct dns_query *q)
{
    for (unsigned i = 0; i < q->asked_count; i++) {
        if (q->asked[i].fd >= 0)
            return true;
    }
    return q->asked_count < q->dns->resolv.count;
}

/* That one will not say. */
static void give_up_on(struct asked *a)
{
    asked_close(a);
    if (is_anyone_left(a->query))
        ask_next(a->query);
}

static void on_answer(void *arg, unsigned events)
{
    struct asked *a = arg;
    struct dns_query *q = a->query;
    struct nat_dns *d = q->dns;
    uint8_t *message = d->nat->gathered; /* nobody else is at it */
    ssize_t n = recv(a->fd, message, MESSAGE_MAX, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) { /* nobody serves there */
        give_up_on(a);
        return;
    }
    if (n < DNS_HEADER || memcmp(message, q->message, 2) != 0 || !(message[2] & DNS_QR))
        return; /* of something else */
    if (is_helpless(message)) {
        asked_close(a);
        if (is_anyone_left(q)) {
            ask_next(q);
            return;
        }
    } else {
        d->good = a->server;
    }
    answer(q, message, (size_t)n);
    query_free(q);
}

/* false: it cannot be asked. */
static bool ask(struct dns_query *q, struct asked *a)
{
    const union resolv_server *s = &q->dns->resolv.server[a->server];

    a->fd = socket(s->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return false;
    if (connect(a->fd, &s->any, resolv_server_len(s)) == 0 &&
        send(a->fd, q->message, q->len, MSG_NOSIGNAL) == (ssize_t)q->len &&
        loop_fd_add(q->dns->nat->net.loop, a->fd, LOOP_READ, on_answer, a, &a->watch) == 0)
        return true;
    close(a->fd);
    a->fd = -1;
    return false;
}

/* Ask the next server that can be asked. */
static void ask_next(struct dns_query *q)
{
    const struct nat_dns *d = q->dns;

    while (q->asked_count < d->resolv.count) {
        struct asked *a = &q->asked[q->asked_count];

        *a = (struct asked){.query = q, .server = (d->good + q->asked_count) % d->resolv.count};
        q->asked_count++;
        if (ask(q, a))
            break;
    }
    q->next_ns = clock_mono_ns() + NEXT_AFTER_NS;
}

static void tick(void *arg)
{
    struct nat_dns *d = arg;
    uint64_t now = clock_mono_ns();
    struct dns_query *q, *next;

    for (q = LIST_FIRST(&d->queries); q; q = next) {
        next = LIST_NEXT(q, link);
        if (now - q->since_ns >= GIVE_UP_NS)
            query_free(q);
        else if (now >= q->next_ns && q->asked_count < d->resolv.count)
            ask_next(q);
    }
    nat_dns_tcp_tick(d, now);
    if (d->query_count || !LIST_EMPTY(&d->streams))
        nat_dns_wake(d);
}

void nat_dns_wake(struct nat_dns *d)
{
    loop_timer_arm(d->timer, clock_mono_ns() + NEXT_AFTER_NS / 4);
}

/* ---- The guest ------------------------------------------------------------------------------ */

static bool is_for_us(const struct nat_dns *d, const struct nat_packet *p, uint8_t protocol,
                      size_t header)
{
    return p->protocol == protocol && !p->is_part && p->l4_len >= header &&
           memcmp(p->to, p->v6 ? (const void *)&d->address6 : (const void *)&d->address4,
                  nat_address_len(p->v6)) == 0 &&
           load_be16(p->frame + p->l4 + 2) == DNS_PORT;
}

/* The guest has become impatient and asks again. */
static bool is_under_way(const struct nat_dns *d, const struct nat_packet *p,
                         const uint8_t *message)
{
    const struct dns_query *q;

    LIST_FOREACH(q, &d->queries, link) {
        if (q->v6 == p->v6 && q->guest_port == load_be16(p->frame + p->l4) &&
            memcmp(q->message, message, 2) == 0 &&
            memcmp(q->headers + NAT_ETH + (p->v6 ? 8 : 12), p->from, nat_address_len(p->v6)) == 0)
            return true;
    }
    return false;
}

static void drop_oldest(struct nat_dns *d)
{
    struct dns_query *q, *oldest = NULL;

    LIST_FOREACH(q, &d->queries, link)
        oldest = q;
    if (oldest)
        query_free(oldest);
}

static void begin(struct nat_dns *d, const struct nat_packet *p, const uint8_t *message,
                  size_t len)
{
    struct dns_query *q = calloc(1, sizeof(*q) + len);

    if (!q)
        return;
    if (d->query_count == NAT_DNS_QUERIES_MAX)
        drop_oldest(d);
    *q = (struct dns_query){.dns = d, .v6 = p->v6, .guest_port = load_be16(p->frame + p->l4),
                            .since_ns = clock_mono_ns(), .len = len};
    memcpy(q->headers, p->frame, MIN((size_t)NAT_HEADERS_MAX, p->l4 + p->l4_len));
    memcpy(q->message, message, len);
    LIST_INSERT_HEAD(&d->queries, q, link);
    d->query_count++;
    if (resolv_refresh(&d->resolv))
        d->good = 0;
    ask_next(q);
    nat_dns_wake(d);
}

bool nat_dns_from_guest(struct nat_dns *d, uint8_t *frame, const struct nat_packet *p)
{
    const uint8_t *message;
    size_t len;

    if (is_for_us(d, p, IPPROTO_TCP, 20))
        nat_dns_tcp_from_guest(d, frame, p);
    if (!is_for_us(d, p, IPPROTO_UDP, NAT_UDP))
        return false;
    message = frame + p->l4 + NAT_UDP;
    len = MIN((size_t)load_be16(frame + p->l4 + 4), p->l4_len);
    if (len < NAT_UDP + DNS_HEADER || (message[2] & DNS_QR))
        return true;
    if (!is_under_way(d, p, message))
        begin(d, p, message, len - NAT_UDP);
    return true;
}

/* ---- Life ----------------------------------------------------------------------------------- */

int nat_dns_create(struct net_nat *t, const struct net_nat_options *o, struct nat_dns **ret)
{
    struct nat_dns *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->nat = t;
    d->resolv = (struct resolv){.path = o->resolv_conf ? o->resolv_conf : "/etc/resolv.conf", .open = o->open_resolv_conf,
                                .arg = o->open_arg, .port = o->dns_port ? o->dns_port : DNS_PORT};
    d->door[0].fd = d->door[1].fd = -1;
    r = loop_timer_create(t->net.loop, tick, d, &d->timer);
    if (r < 0) {
        free(d);
        return r;
    }
    resolv_refresh(&d->resolv);
    *ret = d;
    return 0;
}

void nat_dns_destroy(struct nat_dns *d)
{
    if (!d)
        return;
    while (!LIST_EMPTY(&d->queries))
        query_free(LIST_FIRST(&d->queries));
    nat_dns_tcp_close(d);
    loop_timer_destroy(d->timer);
    free(d);
}
