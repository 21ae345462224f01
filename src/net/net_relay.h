/* SPDX-License-Identifier: MIT */
/* Bytes carried between pairs of stream sockets, both ways, until both directions have ended: for
 * connections that libslirp cannot make itself. Clients: net_nat_listen.c, net_nat_dns_tcp.c.
 *
 * What one end has written the other gets; the end of one direction is passed on by shutdown(), and
 * the other direction goes on; an error ends both. A slow reader holds back the writer: at most
 * NET_RELAY_BUFFER bytes wait in each direction.
 *
 * Threads: loop thread, or while the loop does not run. */
#ifndef VZ_NET_NET_RELAY_H
#define VZ_NET_NET_RELAY_H

#include <sys/queue.h>

#include "base/compiler.h"

struct loop;
struct net_relay;

#define NET_RELAY_BUFFER ((size_t)65536)
#define NET_RELAYS_MAX   1024u /* pairs in one set */

/* The pairs of one owner. Set loop; the rest starts as zero. */
struct net_relays {
    struct loop *loop;
    LIST_HEAD(, net_relay) list;
    unsigned count;
};

/* Join a and b, which do not block, and of which b may still be connecting. Both are the relay's
 * from now on, also after a failure: then they are closed. 0; -EMFILE (NET_RELAYS_MAX), -ENOMEM, or
 * what loop_fd_add() says. */
int net_relays_join(struct net_relays *set, int a, int b) must_check;

/* End all of them at once. */
void net_relays_close(struct net_relays *set);

#endif
