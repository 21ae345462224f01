/* SPDX-License-Identifier: MIT */
/* What the host's resolv.conf(5) says: name servers and search domains, as of now. Clients:
 * net_nat_dns.c. Loop thread, or while the loop does not run. */
#ifndef VZ_NET_RESOLV_H
#define VZ_NET_RESOLV_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/compiler.h"

#define RESOLV_SERVERS_MAX 6u
#define RESOLV_SEARCH_MAX  6u
#define RESOLV_NAME_MAX    253u

union resolv_server {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* Starts as zero, but for path (or open) and port. */
struct resolv {
    const char *path; /* the caller's */
    int (*open)(void *arg); /* optional: gives a descriptor for what is there now, or -1, where the path is out of reach */
    void *arg;
    uint16_t port;    /* of every server */
    unsigned count;   /* never 0: without a line the server is the host itself, as for its resolver */
    union resolv_server server[RESOLV_SERVERS_MAX];
    unsigned search_count;
    char search[RESOLV_SEARCH_MAX][RESOLV_NAME_MAX + 1];
    struct stat seen; /* the file as it was read */
};

/* Read the file unless it is the one that was read before. Returns whether it was read. */
bool resolv_refresh(struct resolv *r);

socklen_t resolv_server_len(const union resolv_server *s);

#endif
