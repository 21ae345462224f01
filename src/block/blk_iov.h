/* SPDX-License-Identifier: MIT */
/* Parts of a request's memory. */
#ifndef VZ_BLOCK_BLK_IOV_H
#define VZ_BLOCK_BLK_IOV_H

#include <string.h>
#include <sys/uio.h>

#include "base/compiler.h"

/* The pieces behind the first skip bytes, len bytes of them, at most max pieces (then ret is shorter
 * than len). Returns how many. */
static inline unsigned blk_iov_cut(const struct iovec *iov, unsigned count, uint64_t skip,
                                   uint64_t len, struct iovec *ret, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count && n < max && len; i++) {
        struct iovec v = iov[i];

        if (skip >= v.iov_len) {
            skip -= v.iov_len;
            continue;
        }
        ret[n] = (struct iovec){.iov_base = (char *)v.iov_base + skip,
                                .iov_len = MIN(v.iov_len - skip, (size_t)len)};
        len -= ret[n++].iov_len;
        skip = 0;
    }
    return n;
}

/* Copy into the memory behind the first skip bytes. from NULL: zeroes. */
static inline void blk_iov_fill(const struct iovec *iov, unsigned count, uint64_t skip,
                                const void *from, uint64_t len)
{
    for (unsigned i = 0; i < count && len; i++) {
        size_t part;

        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - skip, (size_t)len);
        if (from) {
            memcpy((char *)iov[i].iov_base + skip, from, part);
            from = (const char *)from + part;
        } else {
            memset((char *)iov[i].iov_base + skip, 0, part);
        }
        len -= part;
        skip = 0;
    }
}

/* The other way: copy what is there. */
static inline void blk_iov_gather(const struct iovec *iov, unsigned count, uint64_t skip, void *to,
                                  uint64_t len)
{
    for (unsigned i = 0; i < count && len; i++) {
        size_t part;

        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - skip, (size_t)len);
        memcpy(to, (const char *)iov[i].iov_base + skip, part);
        to = (char *)to + part;
        len -= part;
        skip = 0;
    }
}

#endif
