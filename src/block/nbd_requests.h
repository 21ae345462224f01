/* SPDX-License-Identifier: MIT */
/* Requests of a disk as commands of a connection, and back. For nbd_client.c. */
#ifndef VZ_BLOCK_NBD_REQUESTS_H
#define VZ_BLOCK_NBD_REQUESTS_H

#include "block/nbd_client.h"

/* Make commands of req, at the end of c->wait; or complete it. */
void nbd_requests_make(struct nbd_client *c, struct blk_req *req);

/* Make one of look, at the end of c->wait; false: without memory. */
bool nbd_requests_look(struct nbd_client *c, struct blk_nbd_look *look);

/* Make a command of our own, in no list; NULL without memory. */
struct nbd_command *nbd_requests_own(const struct nbd_client *c, enum blk_op op);

/* The answer to a command has come. It is gone after this. */
void nbd_requests_answered(struct nbd_client *c, struct nbd_command *cmd);

/* End all in c->wait with err that belongs to requests whose time is over. */
void nbd_requests_expire(struct nbd_client *c, uint64_t now_ns, int err);

/* Drop commands of our own from c->wait: their connection is gone. */
void nbd_requests_drop_own(struct nbd_client *c);

void nbd_command_free(struct nbd_client *c, struct nbd_command *cmd);

#endif
