/* SPDX-License-Identifier: MIT */
/* DHCP (RFC 2131, 2132) as little as it takes: discover, request, and request again when half of the lease is over. The
 * first card that gets a router and name servers has the default route and says what stands in /etc/resolv.conf, over
 * which a file in memory is mounted: the root's own stays as it is. */
#include "init_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS     5000 /* for addresses, before anything is started */
#define ANSWER_MS   1000
#define PAUSE_S     5    /* after TRIES without an answer */
#define TRIES       4
#define LEASE_LEAST 60u  /* seconds */
#define SERVERS_MAX 3u   /* resolv.conf(5) */
#define RESOLV_CONF "/run/vz/resolv.conf"

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK };
enum { OPTION_MASK = 1, OPTION_ROUTER = 3, OPTION_DNS = 6, OPTION_REQUESTED = 50, OPTION_LEASE = 51, OPTION_KIND = 53,
       OPTION_SERVER = 54, OPTION_WANTED = 55, OPTION_END = 255 };

struct message {
    uint8_t op, type, address_len, hops;
    uint32_t id;
    uint16_t seconds, flags;
    uint32_t ours, yours, next, relay;
    uint8_t address[16], name[64], file[128];
    uint32_t cookie;
    uint8_t option[312];
};

/* What a server said; addresses as on the wire, 0: nothing. */
struct lease {
    uint32_t address, mask, router, server, dns[SERVERS_MAX], seconds;
};

struct card {
    char name[IFNAMSIZ];
    uint8_t address[6];
    int fd; /* a UDP socket of this card's */
};

/* ---- Interfaces ----------------------------------------------------------------------------- */

static struct ifreq request_of(const char *name)
{
    struct ifreq q = {.ifr_flags = 0};

    memcpy(q.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
    return q;
}

static void raise_interface(int fd, const char *name)
{
    struct ifreq q = request_of(name);

    if (ioctl(fd, SIOCGIFFLAGS, &q) < 0)
        return;
    q.ifr_flags |= IFF_UP | IFF_RUNNING;
    ioctl(fd, SIOCSIFFLAGS, &q);
}

static struct sockaddr address_of(uint32_t address)
{
    const struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
    struct sockaddr ret;

    memcpy(&ret, &in, sizeof(ret));
    return ret;
}

static void set_address(const struct card *c, const struct lease *l)
{
    struct ifreq q = request_of(c->name);
    struct rtentry route = {.rt_dst = address_of(0), .rt_genmask = address_of(0), .rt_gateway = address_of(l->router),
                            .rt_flags = RTF_UP | RTF_GATEWAY};

    q.ifr_addr = address_of(l->address);
    ioctl(c->fd, SIOCSIFADDR, &q);
    q.ifr_netmask = address_of(l->mask ? l->mask : htonl(0xffffff00));
    ioctl(c->fd, SIOCSIFNETMASK, &q);
    if (l->router)
        ioctl(c->fd, SIOCADDRT, &route); /* another card's stays */
}

/* ---- resolv.conf ---------------------------------------------------------------------------- */

/* A link leads to where somebody would have written it: in /run, which is ours. */
static void make_target(void)
{
    char target[PATH_MAX], path[PATH_MAX + 8], *slash;
    ssize_t n = readlink("/etc/resolv.conf", target, sizeof(target) - 1);
    int fd;

    target[n > 0 ? n : 0] = '\0';
    if (n <= 0)
        return;
    snprintf(path, sizeof(path), "%s%s", target[0] == '/' ? "" : "/etc/", target);
    if (!strstr(path, "/run/"))
        return;
    memmove(path, strstr(path, "/run/"), strlen(strstr(path, "/run/")) + 1);
    if (strstr(path, "/../"))
        return;
    for (slash = strchr(path + 5, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
}

static void set_servers(const struct lease *l)
{
    char text[INET_ADDRSTRLEN];
    FILE *f;

    if (!l->dns[0] || access(RESOLV_CONF, F_OK) == 0)
        return;
    mkdir("/run/vz", 0755);
    f = fopen(RESOLV_CONF, "we");
    for (unsigned i = 0; f && i < SERVERS_MAX && l->dns[i]; i++)
        fprintf(f, "nameserver %s\n", inet_ntop(AF_INET, &l->dns[i], text, sizeof(text)));
    if (!f || fclose(f) != 0)
        return;
    make_target();
    (void)!mount(RESOLV_CONF, "/etc/resolv.conf", NULL, MS_BIND, NULL); /* a root without that file has no such names */
}

/* ---- Messages ------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *at, uint8_t kind, const void *data, uint8_t len)
{
    at[0] = kind;
    at[1] = len;
    memcpy(at + 2, data, len);
    return at + 2 + len;
}

static void ask(const struct card *c, uint32_t id, uint8_t kind, const struct lease *offer)
{
    static const uint8_t wanted[] = {OPTION_MASK, OPTION_ROUTER, OPTION_DNS, OPTION_LEASE};
    const struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(67), .sin_addr.s_addr = INADDR_BROADCAST};
    struct message m = {.op = 1, .type = ARPHRD_ETHER, .address_len = 6, .id = id, .flags = htons(0x8000),
                        .cookie = htonl(0x63825363)};
    uint8_t *at = m.option;

    memcpy(m.address, c->address, sizeof(c->address));
    at = put(at, OPTION_KIND, &kind, 1);
    at = put(at, OPTION_WANTED, wanted, sizeof(wanted));
    if (kind == REQUEST) {
        at = put(at, OPTION_REQUESTED, &offer->address, 4);
        at = put(at, OPTION_SERVER, &offer->server, 4);
    }
    *at = OPTION_END;
    (void)!sendto(c->fd, &m, sizeof(m), 0, (const struct sockaddr *)&to, sizeof(to));
}

/* The kind of answer that it is, with what it says; 0: none of ours. */
static uint8_t read_message(const struct card *c, const struct message *m, size_t len, uint32_t id, struct lease *ret)
{
    size_t head = offsetof(struct message, option);
    const uint8_t *at = m->option, *end = (const uint8_t *)m + len;
    uint8_t kind = 0;

    if (len < head || m->op != 2 || m->id != id || m->cookie != htonl(0x63825363) ||
        memcmp(m->address, c->address, sizeof(c->address)))
        return 0;
    *ret = (struct lease){.address = m->yours};
    while (end - at >= 2 && at[0] != OPTION_END) {
        const uint8_t *data = at + 2;
        size_t n = at[1];

        if (!at[0]) { /* padding */
            at++;
            continue;
        }
        if ((size_t)(end - data) < n)
            break;
        if (at[0] == OPTION_KIND && n == 1)
            kind = data[0];
        else if (at[0] == OPTION_DNS)
            memcpy(ret->dns, data, n < sizeof(ret->dns) ? n & ~(size_t)3 : sizeof(ret->dns));
        else if (n >= 4 && at[0] == OPTION_MASK)
            memcpy(&ret->mask, data, 4);
        else if (n >= 4 && at[0] == OPTION_ROUTER)
            memcpy(&ret->router, data, 4);
        else if (n >= 4 && at[0] == OPTION_SERVER)
            memcpy(&ret->server, data, 4);
        else if (n >= 4 && at[0] == OPTION_LEASE)
            memcpy(&ret->seconds, data, 4);
        at = data + n;
    }
    return kind;
}

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Is there an answer of that kind, in time? */
static bool answered(const struct card *c, uint32_t id, uint8_t kind, struct lease *ret)
{
    uint64_t until = now_ms() + ANSWER_MS, now;

    while ((now = now_ms()) < until) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        struct message m = {.op = 0};
        struct lease said;
        uint8_t got;
        ssize_t n;

        if (poll(&p, 1, (int)(until - now)) <= 0)
            continue;
        n = recv(c->fd, &m, sizeof(m), MSG_DONTWAIT);
        got = n > 0 ? read_message(c, &m, (size_t)n, id, &said) : 0;
        if (got == NAK)
            return false;
        if (got == kind) {
            *ret = said;
            return true;
        }
    }
    return false;
}

static bool get_lease(const struct card *c, struct lease *l)
{
    uint32_t id = (uint32_t)now_ms() ^ (uint32_t)getpid() << 16 ^ (uint32_t)c->address[5] << 24;

    for (int i = 0; i < TRIES; i++, id++) {
        if (!l->address) {
            ask(c, id, DISCOVER, NULL);
            if (!answered(c, id, OFFER, l))
                continue;
        }
        ask(c, id, REQUEST, l);
        if (answered(c, id, ACK, l) && l->address)
            return true;
        *l = (struct lease){.address = 0};
    }
    return false;
}

/* ---- Cards ---------------------------------------------------------------------------------- */

static bool open_card(const char *name, struct card *ret)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(68)};
    struct ifreq q = request_of(name);
    int one = 1;

    *ret = (struct card){.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    snprintf(ret->name, sizeof(ret->name), "%s", name);
    if (ret->fd >= 0 && ioctl(ret->fd, SIOCGIFHWADDR, &q) == 0 && q.ifr_hwaddr.sa_family == ARPHRD_ETHER) {
        memcpy(ret->address, q.ifr_hwaddr.sa_data, sizeof(ret->address));
        raise_interface(ret->fd, name);
        if (setsockopt(ret->fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name) + 1) == 0 &&
            setsockopt(ret->fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof(one)) == 0 &&
            setsockopt(ret->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
            bind(ret->fd, (const struct sockaddr *)&any, sizeof(any)) == 0)
            return true;
    }
    if (ret->fd >= 0)
        close(ret->fd);
    return false;
}

/* Until the machine's end. done: a pipe that whoever waits sees closed. */
static void keep_lease(const struct card *c, int done)
{
    struct lease l = {.address = 0};

    for (;;) {
        uint32_t seconds = PAUSE_S;

        if (get_lease(c, &l)) {
            set_address(c, &l);
            set_servers(&l);
            seconds = ntohl(l.seconds) / 2;
            if (seconds < LEASE_LEAST / 2)
                seconds = LEASE_LEAST / 2;
            if (done >= 0)
                close(done);
            done = -1;
        }
        sleep(seconds);
    }
}

static void start_card(const char *name, int done)
{
    struct card c;

    if (!open_card(name, &c))
        return;
    if (fork() == 0)
        keep_lease(&c, done);
    close(c.fd);
}

void net_start(void)
{
    struct if_nameindex *all = if_nameindex();
    struct pollfd p = {.events = POLLIN};
    int done[2], fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd >= 0) {
        raise_interface(fd, "lo");
        close(fd);
    }
    if (!all || pipe2(done, O_CLOEXEC) < 0)
        return;
    for (struct if_nameindex *i = all; i->if_name; i++)
        start_card(i->if_name, done[1]);
    if_freenameindex(all);
    close(done[1]);
    p.fd = done[0];
    poll(&p, 1, WAIT_MS); /* its end: nobody has the other any more */
    close(done[0]);
}
