/* SPDX-License-Identifier: MIT */
/* The NAT backend of a build without libslirp (option nat): it says so. See net.h. */
#include <errno.h>

#include "base/error.h"
#include "net/net.h"

#define ABSENT "this vz was built without user-mode networking (NAT, libslirp)"

int net_nat_create(struct loop *loop, const struct net_nat_options *options, struct net **ret,
                   struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, ABSENT);
}

int net_nat_forward_add(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, ABSENT);
}

int net_nat_forward_remove(struct net *n, const struct net_forward *f, struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, ABSENT);
}

void net_nat_guest_address(struct net *n, struct net_nat_address *ret)
{
    *ret = (struct net_nat_address){.ipv4 = ""};
}

void net_nat_on_address(struct net *n, void (*fn)(void *arg), void *arg) {}
