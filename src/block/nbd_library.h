/* SPDX-License-Identifier: MIT */
/* libnbd, loaded when the first disk on an NBD server is opened. Linked it would bring GnuTLS, libxml2 and what those
 * need to every program that makes virtual machines, at each start, and hardly one has such a disk. */
#ifndef VZ_BLOCK_NBD_LIBRARY_H
#define VZ_BLOCK_NBD_LIBRARY_H

#include <libnbd.h>

#include "base/compiler.h"
#include "base/error.h"

/* What is used of it, without the nbd_ before. */
#define NBD_FUNCTIONS(X)                                                                             \
    X(aio_block_status) X(aio_connect_tcp) X(aio_connect_unix) X(aio_disconnect) X(aio_flush)        \
    X(aio_get_direction) X(aio_get_fd) X(aio_is_closed) X(aio_is_dead) X(aio_is_ready)               \
    X(aio_notify_read) X(aio_notify_write) X(aio_pread) X(aio_pwrite) X(aio_trim) X(aio_zero)        \
    X(add_meta_context) X(can_flush) X(can_fua) X(can_meta_context) X(can_multi_conn)                \
    X(can_trim) X(can_zero) X(close) X(create) X(get_block_size) X(get_errno) X(get_error)           \
    X(get_size) X(get_version) X(is_read_only) X(set_export_name) X(set_request_structured_replies)                 \
    X(set_tls) X(set_tls_certificates) X(set_tls_psk_file) X(set_tls_username) X(set_tls_verify_peer)

struct nbd_library {
#define X(name) __typeof__(nbd_##name) *name;
    NBD_FUNCTIONS(X)
#undef X
    int (*set_request_extended_headers)(struct nbd_handle *h, bool request); /* since 1.18; or NULL */
};

/* All of it NULL before nbd_library_load() returned 0, the same for ever after. */
extern struct nbd_library libnbd;

/* See late_library_load(). */
int nbd_library_load(struct vz_error *err) must_check;

#endif
