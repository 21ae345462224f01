/* SPDX-License-Identifier: MIT */
/* The machine's side of a NAT in a process of its own; for net_nat.c. */
#ifndef VZ_NET_NET_NAT_PROCESS_H
#define VZ_NET_NET_NAT_PROCESS_H

#include "net/net.h"

/* As net_nat_create(), with options->child. */
int nat_process_create(struct loop *loop, const struct net_nat_options *options, struct net **ret,
                       struct vz_error *err) must_check;

#endif
