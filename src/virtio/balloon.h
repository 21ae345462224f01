/* SPDX-License-Identifier: MIT */
/* The memory balloon (VIRTIO 1.2 section 5.5): the guest gives pages up on request and the host
 * gets them back; with free page reporting it also tells of pages it does not use. Given-up memory
 * is freed in the memory file, and is zero when the guest touches it again.
 *
 * Threads: loop thread, or while the loop does not run. */
#ifndef VZ_VIRTIO_BALLOON_H
#define VZ_VIRTIO_BALLOON_H

#include <linux/virtio_balloon.h>

#include "virtio/virtio.h"

struct balloon_options {
    uint64_t ram_size;         /* bytes, of the machine */
    uint64_t min_size;         /* bytes; targets below are raised to it */
    bool no_deflate_on_oom;    /* the guest may not take pages back by itself when it runs out */
    bool no_free_page_reporting;
};

/* What the guest should have left, in bytes: rounded down to MiB, clamped to min_size..ram_size.
 * The guest follows when and as far as it can. */
void balloon_set_target(struct virtio_dev *dev, uint64_t bytes);
uint64_t balloon_target(const struct virtio_dev *dev);
/* What the guest has left now, as it says. */
uint64_t balloon_actual(struct virtio_dev *dev);
/* Bytes freed on the host so far, by either way. */
uint64_t balloon_freed(const struct virtio_dev *dev);

/* Ask the guest for its memory statistics: done() comes on the loop thread with values by
 * VIRTIO_BALLOON_S_*, UINT64_MAX for those it does not tell. -ENOTCONN: the guest cannot, or has
 * not answered yet. */
int balloon_stats(struct virtio_dev *dev,
                  void (*done)(void *arg, const uint64_t stat[VIRTIO_BALLOON_S_NR]),
                  void *arg) must_check;

#endif
