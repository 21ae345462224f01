/* SPDX-License-Identifier: MIT */
/* Copies between plain memory and scattered buffers, as those of a virtio request. */
#ifndef VZ_BASE_IOV_H
#define VZ_BASE_IOV_H

#include <sys/uio.h>

#include "base/compiler.h"

/* The bytes [off, off + len) of iov as iovecs in ret, at most max; fewer bytes when iov or ret
 * ends. Returns the count. To step over headers: iov_slice(c->in, c->in_count, 12, SIZE_MAX, ...). */
unsigned iov_slice(const struct iovec *iov, unsigned count, size_t off, size_t len,
                   struct iovec *ret, unsigned max);
size_t iov_length(const struct iovec *iov, unsigned count);
/* Copy between plain memory and iov; return bytes copied. */
size_t iov_read(const struct iovec *iov, unsigned count, size_t off, void *buf, size_t len);
size_t iov_write(const struct iovec *iov, unsigned count, size_t off, const void *buf, size_t len);
/* Zeroes into it; returns how many. */
size_t iov_zero(const struct iovec *iov, unsigned count, size_t off, size_t len);

#endif
