/* SPDX-License-Identifier: MIT */
/* For nbd_client.c: after a connection is made anew, the writes of the log are written again, in their order, before
 * anything else: otherwise an old write could come on top of a newer one. */
#ifndef VZ_BLOCK_NBD_REPLAY_H
#define VZ_BLOCK_NBD_REPLAY_H

#include "block/nbd_client.h"

/* NBD_REPLAYING: send what can be sent now; when all is written again, nbd_client_go_up(). */
void nbd_replay(struct nbd_client *c);

/* nbd_client.c: requests may go. */
void nbd_client_go_up(struct nbd_client *c);

#endif
