/* SPDX-License-Identifier: MIT */
#include "net/net_nat_batch.h"

#include <errno.h>
#include <stdlib.h>

struct nat_batch *nat_batch_new(void)
{
    struct nat_batch *b = malloc(sizeof(*b));

    if (!b)
        return NULL;
    memset(b, 0, offsetof(struct nat_batch, frame)); /* the rest is touched when it is used */
    for (unsigned i = 0; i < NAT_BATCH; i++) {
        b->iov[i][0] = (struct iovec){&b->head[i], sizeof(b->head[i])};
        b->iov[i][1] = (struct iovec){b->frame[i], NET_FRAME_MAX};
        b->msg[i].msg_hdr = (struct msghdr){.msg_iov = b->iov[i], .msg_iovlen = 2};
    }
    return b;
}

int nat_batch_receive(struct nat_batch *b, int fd)
{
    int n = recvmmsg(fd, b->msg, NAT_BATCH, MSG_DONTWAIT, NULL);

    b->at = 0;
    b->count = n > 0 ? (unsigned)n : 0;
    return n < 0 && errno != EAGAIN && errno != EINTR ? -errno : (int)b->count;
}

const struct nat_message *nat_batch_message(const struct nat_batch *b, unsigned i, size_t *ret_len)
{
    if (b->msg[i].msg_len < sizeof(b->head[i]) || b->msg[i].msg_hdr.msg_flags & MSG_TRUNC)
        return NULL;
    *ret_len = b->msg[i].msg_len - sizeof(b->head[i]);
    return &b->head[i];
}
