/* SPDX-License-Identifier: MIT */
/* What the guest says of itself: name, system, load, memory, addresses, ports at which somebody waits. */
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

#define LISTENS_MAX 512u

static void put_load(struct agent_fields *ret)
{
    char text[128];
    double load = 0;

    if (!work_read_file("/proc/loadavg", text, sizeof(text)))
        load = strtod(text, NULL);
    agent_put_number(ret, AGENT_F_LOAD, (uint64_t)(load * 100 + 0.5));
}

/* "Name:   12345 kB" */
static void put_kib(struct agent_fields *ret, uint16_t key, const char *text, const char *name)
{
    const char *p = strstr(text, name);

    if (p)
        agent_put_number(ret, key, strtoull(p + strlen(name), NULL, 10) * 1024);
}

static void put_memory(struct agent_fields *ret)
{
    char text[4096];

    if (work_read_file("/proc/meminfo", text, sizeof(text)))
        return;
    put_kib(ret, AGENT_F_MEMORY, text, "MemTotal:");
    put_kib(ret, AGENT_F_AVAILABLE, text, "MemAvailable:");
}

static void put_names(struct agent_fields *ret)
{
    char text[4096], *p;
    struct utsname u;

    if (!uname(&u)) {
        agent_put_text(ret, AGENT_F_HOSTNAME, u.nodename);
        agent_put_text(ret, AGENT_F_KERNEL, u.release);
    }
    if (work_read_file("/etc/os-release", text, sizeof(text)) ||
        !(p = strstr(text, "PRETTY_NAME=")))
        return;
    p += strlen("PRETTY_NAME=");
    p += *p == '"' || *p == '\'';
    p[strcspn(p, "\"'\n")] = '\0';
    agent_put_text(ret, AGENT_F_SYSTEM, p);
}

static void put_uptime(struct agent_fields *ret)
{
    struct timespec t;

    clock_gettime(CLOCK_BOOTTIME, &t);
    agent_put_number(ret, AGENT_F_UPTIME_NS, (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec);
}

static unsigned bits_of(const void *mask, size_t len)
{
    const uint8_t *p = mask;
    unsigned n = 0;

    for (size_t i = 0; i < len; i++)
        n += (unsigned)__builtin_popcount(p[i]);
    return n;
}

static void put_address(struct agent_fields *ret, const struct ifaddrs *i)
{
    char address[INET6_ADDRSTRLEN], text[128];
    const void *from, *mask;
    size_t len;

    if (i->ifa_addr->sa_family == AF_INET) {
        from = &((const struct sockaddr_in *)i->ifa_addr)->sin_addr;
        mask = &((const struct sockaddr_in *)i->ifa_netmask)->sin_addr;
        len = 4;
    } else {
        from = &((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
        mask = &((const struct sockaddr_in6 *)i->ifa_netmask)->sin6_addr;
        len = 16;
    }
    if (!inet_ntop(i->ifa_addr->sa_family, from, address, sizeof(address)))
        return;
    snprintf(text, sizeof(text), "%s %s/%u", i->ifa_name, address, bits_of(mask, len));
    agent_put_text(ret, AGENT_F_ADDRESS, text);
}

static void put_addresses(struct agent_fields *ret)
{
    struct ifaddrs *list = NULL;

    if (getifaddrs(&list) < 0)
        return;
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        if (i->ifa_addr && i->ifa_netmask && (i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK) &&
            (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6))
            put_address(ret, i);
    }
    freeifaddrs(list);
}

/* A line of /proc/net/tcp or tcp6: "0: 0100007F:1F90 00000000:0000 0A ...", words in the machine's own
 * order. */
static bool put_listen(struct agent_fields *ret, const char *line, bool six)
{
    char hex[33], address[INET6_ADDRSTRLEN], text[128];
    unsigned port, state, word[4] = {0};

    if (sscanf(line, "%*u: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x", hex, &port, &state) != 3 || state != 0x0a)
        return false;
    if (six ? sscanf(hex, "%8x%8x%8x%8x", &word[0], &word[1], &word[2], &word[3]) != 4
            : sscanf(hex, "%8x", &word[0]) != 1)
        return false;
    if (!inet_ntop(six ? AF_INET6 : AF_INET, word, address, sizeof(address)))
        return false;
    snprintf(text, sizeof(text), six ? "tcp [%s]:%u" : "tcp %s:%u", address, port);
    agent_put_text(ret, AGENT_F_LISTENS, text);
    return true;
}

static void put_listens(struct agent_fields *ret, const char *path, bool six)
{
    FILE *f = fopen(path, "re");
    unsigned count = 0;
    char line[512];

    while (f && count < LISTENS_MAX && fgets(line, sizeof(line), f))
        count += put_listen(ret, line, six);
    if (f)
        fclose(f);
}

void work_status(const struct request *q, struct agent_fields *ret)
{
    put_names(ret);
    put_uptime(ret);
    put_load(ret);
    put_memory(ret);
    put_addresses(ret);
    put_listens(ret, "/proc/net/tcp", false);
    put_listens(ret, "/proc/net/tcp6", true);
}
