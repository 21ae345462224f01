/* SPDX-License-Identifier: MIT */
/* The entropy device (VIRTIO 1.2 section 5.4): one queue, no configuration. The smallest device:
 * copy it to start one. */
#include <sys/random.h>

#include "virtio/virtio.h"

#define RNG_MAX_BYTES ((size_t)65536) /* per request; the driver takes what it gets */

/* Fill up to max bytes of iov; returns how many. getrandom() does not block once the host is up. */
static size_t random_fill(const struct iovec *iov, unsigned count, size_t max)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < max; i++) {
        ssize_t n = getrandom(iov[i].iov_base, MIN(iov[i].iov_len, max - done), GRND_NONBLOCK);

        if (n <= 0)
            break;
        done += (size_t)n;
        if ((size_t)n < iov[i].iov_len)
            break;
    }
    return done;
}

static void rng_kick(struct virtio_dev *dev, unsigned index)
{
    struct virtq *q = &dev->queue[index];
    struct virtq_chain *c;

    /* A chain that breaks a rule never gets here: it sets DEVICE_NEEDS_RESET (2.1.2). */
    while ((c = virtq_pop(q)))
        virtq_push(q, c, random_fill(c->in, c->in_count, RNG_MAX_BYTES));
    virtq_notify(q); /* interrupts only if the driver asked for it, 2.7.7 */
}

const struct virtio_ops virtio_rng_ops = { /* its kind is device/entropy_kind.c */
    .name = "virtio-rng", .id = VIRTIO_ID_RNG, .queues = 1, .queue_max = 64,
    .kick = rng_kick, .size = sizeof(struct virtio_dev),
};
