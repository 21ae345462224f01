/* SPDX-License-Identifier: MIT */
/* The NAT backend of a build without libslirp (option nat): it says so. See net.h. */
#include <errno.h>

#include "base/error.h"
#include "net/net.h"
#include "net/net_nat_child.h"

#define ABSENT "this vz was built without user-mode networking (NAT, libslirp)"

void net_nat_prepare(void) {}

int net_nat_create(struct loop *loop, const struct net_nat_options *options, struct net **ret,
                   struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, ABSENT);
}

int net_nat_child_start(struct child *ret, const struct net_nat_child_options *options, struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, ABSENT);
}

int net_nat_child_lock(struct child *c, struct vz_error *err)
{
    return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED, ABSENT);
}
