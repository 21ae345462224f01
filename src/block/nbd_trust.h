/* SPDX-License-Identifier: MIT */
/* Whom a connection in TLS trusts where an address says nothing: whom this host does, as GnuTLS was built to find out.
 * That may be a file; or p11-kit (Fedora, Arch), which loads modules, and what is locked loads nothing any more. */
#ifndef VZ_BLOCK_NBD_TRUST_H
#define VZ_BLOCK_NBD_TRUST_H

#include "base/nbd_uri.h"

/* Before this process, or a thread that connects, is locked: what GnuTLS will want of modules for that server is loaded. What
 * goes wrong with it is said when it connects. */
void nbd_trust_prepare(const struct nbd_uri *uri);

#endif
