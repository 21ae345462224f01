/* SPDX-License-Identifier: MIT */
/* Messages of a NAT's socket for frames (net_nat_wire.h), as many at once as there are: for both of its ends. */
#ifndef VZ_NET_NET_NAT_BATCH_H
#define VZ_NET_NET_NAT_BATCH_H

#include <sys/socket.h>

#include "net/net_nat_wire.h"

#define NAT_BATCH             8u
#define NAT_BATCHES_PER_EVENT 8u /* then others on the loop get a turn */

/* [at, count) are not yet delivered. */
struct nat_batch {
    unsigned at, count;
    struct nat_message head[NAT_BATCH];
    struct iovec iov[NAT_BATCH][2];
    struct mmsghdr msg[NAT_BATCH];
    uint8_t frame[NAT_BATCH][NET_FRAME_MAX];
};

/* By malloc(), or NULL. */
struct nat_batch *nat_batch_new(void) must_check;

/* What has come, in place of what was delivered. NAT_BATCH: there may be more; less: there is no more for now; or
 * -errno. */
int nat_batch_receive(struct nat_batch *b, int fd) must_check;

/* Message i, and how much is behind its head; NULL: it is none, or was cut, or is the end. */
const struct nat_message *nat_batch_message(const struct nat_batch *b, unsigned i, size_t *ret_len) must_check;

#endif
