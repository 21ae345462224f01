/* SPDX-License-Identifier: MIT */
/* A connection in TLS, for who speaks NBD in plain (nbd_wire.h): libnbd alone knows what is in it. */
#ifndef VZ_BLOCK_NBD_RELAY_H
#define VZ_BLOCK_NBD_RELAY_H

struct nbd_handle;

/* Carry requests and replies until either side has gone. h is ready, and closed then; plain is a socket, and blocks. */
void nbd_relay(struct nbd_handle *h, int plain);

#endif
