/* SPDX-License-Identifier: MIT */
/* Disks that stand for one or stack on one: to find out how a guest takes a slow disk, a failing
 * one, or none at all, and to see what it asks for. They are part of the product.
 *
 * Those that stack own the disk below from a successful call on, and blk_close() closes both. */
#ifndef VZ_BLOCK_BLK_FILTERS_H
#define VZ_BLOCK_BLK_FILTERS_H

#include "block/blk.h"

/* Reads give zeroes, writes go nowhere. size: bytes, a multiple of BLK_SECTOR. */
int blk_null_create(uint64_t size, struct loop *loop, struct blk **ret) must_check;

/* Hold each request back for delay_ms[its op] before the disk below gets it. */
int blk_delay_create(struct blk *child, const uint32_t delay_ms[BLK_OP_COUNT],
                     struct blk **ret) must_check;

/* How fast a disk may be. 0: no limit. */
#define BLK_LIMIT_BURST_MS 100u
struct blk_limits {
    uint64_t bytes, ops; /* a second: of reads and writes; of all requests */
    uint32_t burst_ms;   /* so much of that may come at once after a rest; 0: BLK_LIMIT_BURST_MS */
};

/* Hold requests back, in their order, so that they keep to the limits. One that is larger than what may come
 * at once goes, and those behind it wait for it. A disk that is drained while the loop stands still knows no
 * limit. */
int blk_limit_create(struct blk *child, const struct blk_limits *limits, struct blk **ret) must_check;
/* Change them while running. Loop thread. What waits goes by the new ones. */
void blk_limit_set(struct blk *b, const struct blk_limits *limits);
struct blk_limits blk_limit_get(struct blk *b);

/* Which requests fail, and how. All conditions hold at once. */
struct blk_fault {
    unsigned ops;          /* bit per enum blk_op; 0: all */
    uint64_t offset, len;  /* touching this range; len 0: any (a flush touches any only) */
    uint64_t skip;         /* let so many matching ones through first */
    uint64_t times;        /* then fail so many; 0: all */
    unsigned percent;      /* of the matching ones, by a fixed sequence; 0: each */
    int err;               /* -errno */
    bool after;            /* fail after the disk below did it, as when an answer gets lost */
};

#define BLK_FAULTS_MAX 8

/* faults are copied; the first that matches counts. */
int blk_fault_create(struct blk *child, const struct blk_fault *faults, unsigned count,
                     struct blk **ret) must_check;
/* Change them while running. Loop thread. -EINVAL: too many. */
int blk_fault_set(struct blk *b, const struct blk_fault *faults, unsigned count) must_check;

/* Tell of each request as it ends: "write 4096+8192 fua: ok, 120 us". line NULL: log_info(). */
int blk_log_create(struct blk *child, void (*line)(void *arg, const char *text), void *arg,
                   struct blk **ret) must_check;

/* Put filters on *b by their description, the first on top: "log+delay:10ms:read", or
 * "fault:eio:write:skip=100:times=1". b NULL: only look whether it is one. 0 or -errno (-EINVAL) with
 * err filled in; *b is then what was put on so far. */
#define BLK_FILTERS_TEXT_MAX 200u
struct vz_error;
int blk_filters_stack(const char *text, struct blk **b, struct vz_error *err) must_check;

/* "read", "write", "flush", "discard", "zero". */
const char *blk_op_name(enum blk_op op);

#endif
