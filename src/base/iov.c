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

enum way { WAY_READ, WAY_WRITE, WAY_ZERO };

static void move(uint8_t *at, uint8_t *buf, size_t n, enum way way)
{
    switch (way) {
    case WAY_READ: memcpy(buf, at, n); break;
    case WAY_WRITE: memcpy(at, buf, n); break;
    default: memset(at, 0, n); break;
    }
}

static size_t iov_go(const struct iovec *iov, unsigned count, size_t off, void *buf, size_t len, enum way way)
{
    size_t done = 0;

    for (unsigned i = 0; i < count && done < len; i++) {
        size_t n;

        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        n = MIN(iov[i].iov_len - off, len - done);
        move((uint8_t *)iov[i].iov_base + off, way == WAY_ZERO ? NULL : (uint8_t *)buf + done, n, way);
        done += n;
        off = 0;
    }
    return done;
}

size_t iov_read(const struct iovec *iov, unsigned count, size_t off, void *buf, size_t len)
{
    return iov_go(iov, count, off, buf, len, WAY_READ);
}

size_t iov_write(const struct iovec *iov, unsigned count, size_t off, const void *buf, size_t len)
{
    return iov_go(iov, count, off, (void *)buf, len, WAY_WRITE);
}

size_t iov_zero(const struct iovec *iov, unsigned count, size_t off, size_t len)
{
    return iov_go(iov, count, off, NULL, len, WAY_ZERO);
}
