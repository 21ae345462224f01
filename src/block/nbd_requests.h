/* SPDX-License-Identifier: MIT */
/* Requests of a disk as commands of a connection, and back. For nbd_client.c. */
#ifndef VZ_BLOCK_NBD_REQUESTS_H
#define VZ_BLOCK_NBD_REQUESTS_H

#include "block/nbd_client.h"

/* May more commands be made? A guest's requests can be of any size, and of the same memory again and again. */
bool nbd_requests_have_room(const struct nbd_client *c) must_check;

/* Make commands of req, at the end of c->wait; or complete it. What there is no room for is left: then c->making is req. */
void nbd_requests_make(struct nbd_client *c, struct blk_req *req);
/* More of c->making's. */
void nbd_requests_go_on(struct nbd_client *c);

/* Give cmd memory of its own for its data. */
int nbd_command_copy(struct nbd_client *c, struct nbd_command *cmd) must_check;

/* Make one of look, at the end of c->wait; false: without memory. */
bool nbd_requests_look(struct nbd_client *c, struct blk_nbd_look *look);

/* Make a command of our own, in no list; NULL without memory. */
struct nbd_command *nbd_requests_own(const struct nbd_client *c, enum blk_op op);

/* The answer to a command has come. It is gone after this. */
void nbd_requests_answered(struct nbd_client *c, struct nbd_command *cmd);

/* End all in c->wait with err that belongs to requests whose time is over, and c->making if its is. */
void nbd_requests_expire(struct nbd_client *c, uint64_t now_ns, int err);

/* Drop commands of our own from c->wait: their connection is gone. */
void nbd_requests_drop_own(struct nbd_client *c);

void nbd_command_free(struct nbd_client *c, struct nbd_command *cmd);

#endif
