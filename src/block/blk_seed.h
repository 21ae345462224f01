/* SPDX-License-Identifier: MIT */
/* The NoCloud disk, from which cloud-init in a guest learns who may log in and what to install: a
 * file system called cidata with user-data, meta-data and maybe network-config. Made in memory of files
 * of the host when it is opened, and only read. */
#ifndef VZ_BLOCK_BLK_SEED_H
#define VZ_BLOCK_BLK_SEED_H

#include "block/blk.h"

#define SEED_FILE_MAX (16 * MIB) /* bytes of each */

struct blk_seed_options {
    const char *user_data;      /* paths; */
    const char *meta_data;      /* NULL: made from what follows */
    const char *network_config; /* NULL: there is none */
    const uint8_t *identifier;  /* 16 bytes: the machine's, as instance-id */
    const char *label;          /* a name for people, of which the host name is made; may be NULL */
};

/* 0, or -errno with err: as open(2), -EINVAL for what is not a file, -EFBIG, or user-data that cloud-init
 * would ignore. */
int blk_seed_open(const struct blk_seed_options *options, struct loop *loop, struct blk **ret,
                  struct vz_error *err) must_check;

#endif
