/* SPDX-License-Identifier: MIT */
/* Copies between plain memory and the scattered buffers of a request. */
#include "base/iov.h"

#include <string.h>

size_t iov_length(const struct iovec *iov, unsigned count)
{
    size_t len = 0;

    for (unsigned i = 0; i < count; i++)
        len += iov[i].iov_len;
    return len;
}

unsigned iov_slice(const struct iovec *iov, unsigned count, size_t off, size_t len,
                   struct iovec *ret, unsigned max)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count && len && n < max; i++) {
        size_t take;

        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        take = MIN(iov[i].iov_len - off, len);
        ret[n++] = (struct iovec){.iov_base = (uint8_t *)iov[i].iov_base + off, .iov_len = take};
        len -= take;
        off = 0;
    }
    return n;
}

static size_t iov_copy(const struct iovec *iov, unsigned count, size_t off, void *buf, size_t len,
                       bool write)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < len; i++) {
        uint8_t *at;
        size_t n;

        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        at = (uint8_t *)iov[i].iov_base + off;
        n = MIN(iov[i].iov_len - off, len - done);
        if (write)
            memcpy(at, (const uint8_t *)buf + done, n);
        else
            memcpy((uint8_t *)buf + done, at, n);
        done += n;
        off = 0;
    }
    return done;
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t off, void *buf, size_t len)
{
    return iov_copy(iov, count, off, buf, len, false);
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t off, const void *buf, size_t len)
{
    return iov_copy(iov, count, off, (void *)buf, len, true);
}
