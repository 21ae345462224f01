/* SPDX-License-Identifier: MIT */
/* A disk in the qcow2 format, with the layers that it reads through to. */
#ifndef VZ_BLOCK_BLK_QCOW2_H
#define VZ_BLOCK_BLK_QCOW2_H

#include "block/blk_raw.h"

struct disk_chain;

/* chain's topmost layer is qcow2. It is the disk's from a successful call on. 0 or -errno. */
int blk_qcow2_create(struct disk_chain *chain, enum blk_engine engine, struct loop *loop,
                     struct blk **ret, struct vz_error *err) must_check;

#endif
