/* SPDX-License-Identifier: MIT */
/* NAT in a process of its own: what it parses of the network, and of the guest's packets, is not done in the machine's,
 * which needs no socket of the network then. One process has all NATs of a machine; src/child/ is its program. When it
 * is gone, so are they: the guest sees no carrier. */
#ifndef VZ_NET_NET_NAT_CHILD_H
#define VZ_NET_NET_NAT_CHILD_H

#include "base/child.h"

struct net_nat_child_options {
    bool locks;              /* it gives up what it does not need, when net_nat_child_lock() says so */
    bool logs;               /* or says only what it would not have (src/sandbox/) */
    uint32_t uid, gid;       /* root's becomes this then; 0: it stays */
    const char *resolv_conf; /* NULL: /etc/resolv.conf */
};

/* Start it. NATs are made in it by net_nat_create() with it. 0 or -errno with err. */
int net_nat_child_start(struct child *ret, const struct net_nat_child_options *options,
                        struct vz_error *err) must_check;

/* Before a guest runs: its NATs are open, and those that come later get the rest by sockets alone. 0 or -errno with
 * err. */
int net_nat_child_lock(struct child *c, struct vz_error *err) must_check;

#endif
