/* SPDX-License-Identifier: MIT */
/* Which files a connection to an NBD server reads: for who is to be able to open those, and no others. */
#ifndef VZ_BLOCK_NBD_PLACES_H
#define VZ_BLOCK_NBD_PLACES_H

#include "base/nbd_uri.h"

/* For each: 0, or an error that ends it, and is returned. */
typedef int nbd_place_fn(void *arg, const char *path);

/* What the C library reads for names. */
int nbd_places_of_names(nbd_place_fn *fn, void *arg) must_check;
/* What TLS with that server reads. */
int nbd_places_of_server(const struct nbd_uri *uri, nbd_place_fn *fn, void *arg) must_check;

#endif
