/* SPDX-License-Identifier: MIT */
/* For the tests of the NVMe controller: one with two namespaces, and its driver. */
#ifndef VZ_NVME_NVME_FIXTURE_H
#define VZ_NVME_NVME_FIXTURE_H

#include <errno.h>

#include "base/le.h"
#include "block/blk_filters.h"
#include "block/blk_fixture.h"
#include "block/blk_mem.h"
#include "fake_nvme_driver.h"
#include "fake_shortcuts.h"
#include "unit.h"

#define BLOCKS 4096u /* of 512 bytes */

struct rig {
    struct fn f;
    struct loop *loop; /* the disks': turned together with the controller's */
    struct blk *mem[2], *blk[2];
};

static const uint32_t no_delay[BLK_OP_COUNT];

/* Two namespaces, of blocks of 512 and of 4096 bytes, in memory under filters that fail and delay. */
static inline void make(struct rig *r, const struct blk_fault *fault, const uint32_t *delay)
{
    struct nvme_namespace_options ns[2] = {{.block_size = 512}, {.block_size = 4096}};
    struct nvme_options o = {.namespaces = ns, .namespace_count = 2, .serial = "serial 1"};
    const struct blk_mem_options m = {.size = BLOCKS * 512};

    memset(r, 0, sizeof(*r));
    ck_assert_int_eq(loop_create(&r->loop), 0);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(blk_mem_create(&m, r->loop, &r->mem[i]), 0);
        ck_assert_int_eq(blk_fault_create(r->mem[i], fault, fault ? 1 : 0, &r->blk[i]), 0);
        ck_assert_int_eq(blk_delay_create(r->blk[i], delay ? delay : no_delay, &r->blk[i]), 0);
        ns[i].blk = r->blk[i];
    }
    fn_create(&r->f, &o);
}

static inline void unmake(struct rig *r)
{
    fn_destroy(&r->f);
    for (unsigned i = 0; i < 2; i++)
        blk_close(r->blk[i]);
    loop_destroy(r->loop);
}

static inline void setup(struct rig *r)
{
    make(r, NULL, NULL);
    fn_start(&r->f, 2, 16);
}

static inline void turn(struct rig *r)
{
    for (unsigned i = 0; i < 4; i++) {
        fn_turn(&r->f);
        while (fake_loop_fire(r->loop))
            ;
        for (unsigned k = 0; k < 6; k++)
            fake_loop_turn(r->loop);
    }
    fn_turn(&r->f);
}

static inline struct nvme_sqe rw(uint8_t opcode, uint32_t nsid, uint64_t slba, uint32_t count, uint64_t gpa)
{
    return (struct nvme_sqe){.opcode = opcode, .nsid = nsid, .cdw10 = (uint32_t)slba,
                             .cdw11 = (uint32_t)(slba >> 32), .cdw12 = count - 1, .prp1 = gpa,
                             .prp2 = (gpa & ~UINT64_C(4095)) + 4096, .cid = 77};
}

/* An I/O command there and back. */
static inline unsigned io(struct rig *r, unsigned qid, const struct nvme_sqe *cmd)
{
    struct nvme_cqe c;

    fn_add(&r->f, qid, cmd);
    fn_ring(&r->f, qid);
    turn(r);
    ck_assert(fn_done(&r->f, qid, &c));
    ck_assert_uint_eq(c.cid, cmd->cid);
    ck_assert_uint_eq(c.sq_id, qid);
    ck_assert_uint_eq(c.sq_head, r->f.q[qid].tail);
    turn(r);
    return fn_status(&c);
}

static inline uint8_t *identify(struct rig *r, uint32_t cns, uint32_t nsid)
{
    const struct nvme_sqe cmd = {.opcode = NVME_ADMIN_IDENTIFY, .cdw10 = cns, .nsid = nsid,
                                 .prp1 = FN_DATA};

    memset(fn_at(&r->f, FN_DATA), 0xee, 4096);
    ck_assert_uint_eq(fn_admin(&r->f, &cmd, NULL), NVME_OK);
    return fn_at(&r->f, FN_DATA);
}

#endif
