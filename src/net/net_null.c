/* SPDX-License-Identifier: MIT */
/* The network where nobody is. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "net/net_backend.h"

static int null_send(struct net *n, const struct virtio_net_hdr *hdr, const struct iovec *iov,
                     unsigned count, size_t len)
{
    return 0;
}

static void null_want_input(struct net *n, bool wanted)
{
}

static const struct net_ops null_ops = {
    .name = "null", .offloads = NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN | NET_USO,
    .send = null_send, .want_input = null_want_input};

int net_null_create(struct loop *loop, struct net **ret, struct vz_error *err)
{
    struct net *n = calloc(1, sizeof(*n));

    if (!n || net_backend_init(n, &null_ops, loop, NET_MTU_MIN) < 0) {
        net_destroy(n);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    *ret = n;
    return 0;
}
