/* SPDX-License-Identifier: MIT */
#include "block/nbd_child.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "block/nbd_orders.h"

#define KNOW_S 10u

extern const uint8_t nbd_child_image[], nbd_child_image_end[];

int nbd_child_start(struct child *ret, const struct nbd_child_options *o, struct vz_error *err)
{
    const struct nbd_order start = {
        .kind = NBD_ORDER_START,
        .u.start = {.locks = o->locks, .logs = o->logs, .uid = o->uid, .gid = o->gid}};
    int r = child_start(ret, "vz-nbd", nbd_child_image, (size_t)(nbd_child_image_end - nbd_child_image), err);

    return r < 0 ? r : child_tell(ret, &start, NBD_ORDER_LEN(start), -1, err);
}

int nbd_child_know(struct child *c, const char *uri, struct vz_error *err)
{
    const struct timespec nap = {.tv_nsec = NS_PER_MS};
    struct nbd_order know = {.kind = NBD_ORDER_KNOW};
    uint64_t until = clock_mono_ns() + KNOW_S * NS_PER_SEC;
    int r;

    if (nbd_uri_parse(uri, &know.u.uri, NULL) < 0)
        return 0;
    /* It loads libnbd, while there may be more disks than there is room for orders; or the host has no memory just now. */
    while ((r = child_tell(c, &know, NBD_ORDER_LEN(uri), -1, err)) == -EAGAIN && child_has_time(c) &&
           clock_mono_ns() < until)
        nanosleep(&nap, NULL);
    return r;
}

int nbd_child_lock(struct child *c, struct vz_error *err)
{
    const struct nbd_order lock = {.kind = NBD_ORDER_LOCK};
    int r = child_ask(c, &lock, offsetof(struct nbd_order, u), -1, NULL, 0, err);

    return MIN(r, 0);
}
