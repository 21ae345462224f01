/* SPDX-License-Identifier: MIT */
/* A process that makes connections to NBD servers: names, certificates, handshakes and TLS are no business of a process
 * that has a guest's memory, which gets an open socket from there, and reads only the replies' headers by itself
 * (nbd_link.h). src/child/nbd_dialler.c is its program. When it is gone, connections without TLS stay, and there are no
 * new ones: disks fail as when their server has gone. */
#ifndef VZ_BLOCK_NBD_CHILD_H
#define VZ_BLOCK_NBD_CHILD_H

#include "base/child.h"

struct nbd_child_options {
    bool locks;        /* it gives up what it does not need, before it makes a connection */
    bool logs;         /* or says only what it would not have (src/sandbox/) */
    uint32_t uid, gid; /* root's becomes this then; 0: it stays */
};

/* Start it. 0 or -errno with err. */
int nbd_child_start(struct child *ret, const struct nbd_child_options *options, struct vz_error *err) must_check;

/* Before it is locked: what TLS with the server at uri reads is to be open to it. What is no address is nothing. 0 or
 * -errno with err. */
int nbd_child_know(struct child *c, const char *uri, struct vz_error *err) must_check;

/* From here on connections may be made, by blk_nbd_open() with it. 0 or -errno with err. */
int nbd_child_lock(struct child *c, struct vz_error *err) must_check;

#endif
