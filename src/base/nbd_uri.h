/* SPDX-License-Identifier: MIT */
/* Addresses of NBD exports, as the protocol's doc/uri.md has them:
 *
 *     nbd://HOST[:PORT]/EXPORT            over TCP
 *     nbds://[USER@]HOST[:PORT]/EXPORT    the same in TLS
 *     nbd+unix:///EXPORT?socket=PATH      over a socket of this host; nbds+unix: in TLS
 *
 * HOST may be an IPv6 address in brackets. What would be misunderstood is written as %XX. Further parameters:
 * tls-certificates=FOLDER, tls-psk-file=FILE, tls-verify-peer=false. */
#ifndef VZ_BASE_NBD_URI_H
#define VZ_BASE_NBD_URI_H

#include "base/compiler.h"

#define NBD_EXPORT_MAX 4096u /* bytes of an export's name */
#define NBD_URI_MAX    (4 * NBD_EXPORT_MAX)

struct vz_error;

struct nbd_uri {
    bool tls;
    bool no_verify;               /* whoever the server may be */
    char host[256];               /* "": over a socket, */
    char port[6];                 /* 1 to 65535 */
    char socket[108];             /* which this is */
    char user[128];               /* for a pre-shared key; "": the process' user */
    char certificates[1024];      /* "": libnbd's own places */
    char psk_file[1024];          /* "": certificates */
    char export[NBD_EXPORT_MAX + 1];
};

/* Does text begin as such an address does, whatever follows? */
bool nbd_uri_is(const char *text);

/* 0, or -EINVAL with err, which says what is wrong: *ret is then undefined. */
int nbd_uri_parse(const char *text, struct nbd_uri *ret, struct vz_error *err) must_check;

#endif
