/* SPDX-License-Identifier: MIT */
/* Having a connection to an NBD server made, by a thread (nbd_connect.h) of this process or of another: nothing waits. */
#ifndef VZ_BLOCK_NBD_DIAL_H
#define VZ_BLOCK_NBD_DIAL_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/nbd_uri.h"

struct child;
struct nbd_dial;
struct nbd_export;

/* Begin. by: the process that makes it (nbd_child.h); NULL: this one, where libnbd is loaded. maps: ask for block
 * status too. 0 or -errno with err. */
int nbd_dial_start(struct child *by, const struct nbd_uri *uri, bool maps, struct nbd_dial **ret,
                   struct vz_error *err) must_check;

/* Readable when it is over. */
int nbd_dial_fd(const struct nbd_dial *d);

/* It is over: take the socket, whose other end expects requests (nbd_wire.h), and is the caller's; or -1 with err. d is
 * gone. */
int nbd_dial_take(struct nbd_dial *d, struct nbd_export *ret, struct vz_error *err) must_check;

/* Give it up. d is gone, and nothing is waited for. NULL is fine. */
void nbd_dial_abandon(struct nbd_dial *d);

#endif
