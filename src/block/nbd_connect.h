/* SPDX-License-Identifier: MIT */
/* Making one connection to an NBD server, by libnbd, on a thread of its own: name servers, files of certificates and
 * handshakes may take their time, and hold nobody up. The thread ends with that, but for TLS, where it carries what is
 * said from the one side to the other (nbd_relay.h). In the machine's process or another (nbd_child.h). */
#ifndef VZ_BLOCK_NBD_CONNECT_H
#define VZ_BLOCK_NBD_CONNECT_H

#include "base/compiler.h"
#include "base/nbd_uri.h"

struct nbd_connect;

/* Begin. caller, which is taken over whatever comes, is where a struct nbd_dialled is said, once; when its other end is
 * closed nobody wants the connection any more. uri is copied. maps: ask for block status too. 0 or -errno. */
int nbd_connect_start(const struct nbd_uri *uri, bool maps, int caller, struct nbd_connect **ret) must_check;

/* It is over, or the other end has been closed, and nobody asks any more. What still runs then ends by itself: a thread
 * that hangs in a name server, or one of TLS when its connection is closed. NULL is fine. */
void nbd_connect_let_go(struct nbd_connect *c);
/* The same of what goes on, whoever still wants it. */
void nbd_connect_leave(struct nbd_connect *c);

#endif
