/* SPDX-License-Identifier: MIT */
/* NBD's transmission phase, as the protocol's doc/proto.md has it: what goes over a connection once all is agreed. All
 * numbers are big-endian. */
#ifndef VZ_BLOCK_NBD_WIRE_H
#define VZ_BLOCK_NBD_WIRE_H

#include "base/be.h"

#define NBD_REQUEST_MAGIC 0x25609513u
#define NBD_SIMPLE_MAGIC  0x67446698u /* a reply: error, cookie; and all of a read's data */
#define NBD_CHUNK_MAGIC   0x668e33efu /* a part of a reply: flags, type, cookie, length; and so many bytes */

#define NBD_REQUEST_LEN 28u
#define NBD_SIMPLE_LEN  16u
#define NBD_CHUNK_LEN   20u

enum nbd_wire_command {
    NBD_READ,
    NBD_WRITE,
    NBD_DISCONNECT,
    NBD_FLUSH,
    NBD_TRIM,
    NBD_WRITE_ZEROES = 6,
    NBD_BLOCK_STATUS
};

enum nbd_wire_flags { NBD_FUA = 1, NBD_NO_HOLE = 2, NBD_ONE_EXTENT = 8 };

enum nbd_chunk_type {
    NBD_CHUNK_NONE,
    NBD_CHUNK_DATA,   /* offset, data */
    NBD_CHUNK_HOLE,   /* offset, length: zeroes */
    NBD_CHUNK_STATUS = 5, /* context, and for each extent length and flags */
    NBD_CHUNK_ERROR = 1 << 15 /* and whatever else has this bit: error, length of a text, ... */
};
#define NBD_CHUNK_DONE  1u /* its flag: the last one of a reply */
#define NBD_STATUS_ZERO 2u /* an extent's: it reads as zeroes */

struct nbd_request {
    uint16_t flags, type;
    uint64_t cookie, offset;
    uint32_t len;
};

static inline void nbd_put_request(uint8_t to[NBD_REQUEST_LEN], const struct nbd_request *r)
{
    store_be32(to, NBD_REQUEST_MAGIC);
    store_be16(to + 4, r->flags);
    store_be16(to + 6, r->type);
    store_be64(to + 8, r->cookie);
    store_be64(to + 16, r->offset);
    store_be32(to + 24, r->len);
}

/* false: it is none. */
static inline bool nbd_get_request(const uint8_t from[NBD_REQUEST_LEN], struct nbd_request *r)
{
    *r = (struct nbd_request){.flags = load_be16(from + 4), .type = load_be16(from + 6), .cookie = load_be64(from + 8),
                              .offset = load_be64(from + 16), .len = load_be32(from + 24)};
    return load_be32(from) == NBD_REQUEST_MAGIC;
}

#endif
