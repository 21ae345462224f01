/* SPDX-License-Identifier: MIT */
/* Making one connection to an NBD server, on a thread of its own: name servers, files of certificates and handshakes
 * may take their time, and hold nobody up. The thread ends with that; a descriptor tells when. */
#ifndef VZ_BLOCK_NBD_DIAL_H
#define VZ_BLOCK_NBD_DIAL_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/nbd_uri.h"

struct nbd_handle;
struct nbd_dial;

/* Begin. uri is copied. maps: ask for block status too. 0 or -errno. libnbd is loaded. */
int nbd_dial_start(const struct nbd_uri *uri, bool maps, struct nbd_dial **ret) must_check;

/* Readable when it is over. */
int nbd_dial_fd(const struct nbd_dial *d);

/* It is over: take the connection, which is ready, and the caller's; or NULL with err. d is gone. */
struct nbd_handle *nbd_dial_take(struct nbd_dial *d, struct vz_error *err) must_check;

/* Give it up. d is gone, and nothing is waited for: a thread that hangs in a name server ends by itself later.
 * NULL is fine. */
void nbd_dial_abandon(struct nbd_dial *d);

#endif
