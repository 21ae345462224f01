/* SPDX-License-Identifier: MIT */
/* The NVMe controller under a driver that does what it should, and one that does not. */
#include <errno.h>

#include "base/le.h"
#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_nvme_driver.h"
#include "unit.h"

#define BLOCKS 4096u /* of 512 bytes */

struct rig {
    struct fn f;
    struct loop *loop; /* the disks': turned together with the controller's */
    struct blk *mem[2], *blk[2];
};

static const uint32_t no_delay[BLK_OP_COUNT];

/* Two namespaces, of blocks of 512 and of 4096 bytes, in memory under filters that fail and delay. */
static void make(struct rig *r, const struct blk_fault *fault, const uint32_t *delay)
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

static void unmake(struct rig *r)
{
    fn_destroy(&r->f);
    for (unsigned i = 0; i < 2; i++)
        blk_close(r->blk[i]);
    loop_destroy(r->loop);
}

static void setup(struct rig *r)
{
    make(r, NULL, NULL);
    fn_start(&r->f, 2, 16);
}

static void turn(struct rig *r)
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

static struct nvme_sqe rw(uint8_t opcode, uint32_t nsid, uint64_t slba, uint32_t count, uint64_t gpa)
{
    return (struct nvme_sqe){.opcode = opcode, .nsid = nsid, .cdw10 = (uint32_t)slba,
                             .cdw11 = (uint32_t)(slba >> 32), .cdw12 = count - 1, .prp1 = gpa,
                             .prp2 = (gpa & ~UINT64_C(4095)) + 4096, .cid = 77};
}

/* An I/O command there and back. */
static unsigned io(struct rig *r, unsigned qid, const struct nvme_sqe *cmd)
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

static uint8_t *identify(struct rig *r, uint32_t cns, uint32_t nsid)
{
    const struct nvme_sqe cmd = {.opcode = NVME_ADMIN_IDENTIFY, .cdw10 = cns, .nsid = nsid,
                                 .prp1 = FN_DATA};

    memset(fn_at(&r->f, FN_DATA), 0xee, 4096);
    ck_assert_uint_eq(fn_admin(&r->f, &cmd, NULL), NVME_OK);
    return fn_at(&r->f, FN_DATA);
}

/* ---- Registers ------------------------------------------------------------------------------ */

START_TEST(registers_say_what_it_is)
{
    struct rig r;
    uint64_t cap;

    make(&r, NULL, NULL);
    cap = fake_read(&r.f.m, FN_BAR + NVME_REG_CAP, 8);
    ck_assert_uint_eq(cap & 0xffff, 1023);
    ck_assert(cap & NVME_CAP_CQR);
    ck_assert(cap & NVME_CAP_CSS_NVM);
    ck_assert_uint_gt(cap >> 24 & 0xff, 0);
    ck_assert_uint_eq(cap >> 32 & 0xf, 0);  /* stride */
    ck_assert_uint_eq(cap >> 48 & 0xf, 0);  /* MPSMIN: 4 KiB */
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CAP), (uint32_t)cap);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CAP + 4), (uint32_t)(cap >> 32));
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_VS), 0x10400);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS), 0);
    fn_wr(&r.f, NVME_REG_INTMS, 5);
    fn_wr(&r.f, NVME_REG_INTMC, 4);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_INTMS), 1);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_INTMC), 1);
    fn_wr(&r.f, NVME_REG_ASQ, 0x12345fff);
    fn_wr(&r.f, NVME_REG_ASQ + 4, 1);
    ck_assert_uint_eq(fake_read(&r.f.m, FN_BAR + NVME_REG_ASQ, 8), 0x112345000);
    unmake(&r);
}
END_TEST

START_TEST(enabling_with_what_cannot_be_is_fatal_until_a_reset)
{
    static const struct {
        uint32_t cc, aqa;
        uint64_t asq, acq;
    } bad[] = {
        {FN_CC | 1 << 4, 0x000f000f, 0x10000, 0x18000},  /* command set 1 */
        {FN_CC | 7 << 11, 0x000f000f, 0x10000, 0x18000}, /* arbitration of the vendor's */
        {FN_CC | 5 << 7, 0x000f000f, 0x40000, 0x80000},  /* pages of 128 KiB */
        {FN_CC, 0, 0x10000, 0x18000},
        {FN_CC, 0x000f000f, FN_RAM, 0x18000},
        {FN_CC, 0x000f000f, 0x10000, UINT64_MAX & ~UINT64_C(4095)},
    };
    struct rig r;

    make(&r, NULL, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        fn_wr(&r.f, NVME_REG_AQA, bad[i].aqa);
        fake_write(&r.f.m, FN_BAR + NVME_REG_ASQ, 8, bad[i].asq);
        fake_write(&r.f.m, FN_BAR + NVME_REG_ACQ, 8, bad[i].acq);
        fn_wr(&r.f, NVME_REG_CC, bad[i].cc);
        fn_turn(&r.f);
        ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS), NVME_CSTS_CFS);
        fn_wr(&r.f, NVME_REG_CC, 0);
        fn_turn(&r.f);
        ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS), 0);
    }
    fn_start(&r.f, 1, 8);
    unmake(&r);
}
END_TEST

/* ---- Identify ------------------------------------------------------------------------------- */

START_TEST(identify_tells_of_the_controller_and_its_namespaces)
{
    struct rig r;
    uint8_t *d, first[16];

    setup(&r);
    d = identify(&r, NVME_CNS_CONTROLLER, 0);
    ck_assert_mem_eq(d + NVME_ID_SN, "serial 1            ", 20);
    ck_assert_uint_eq(load_le32(d + NVME_ID_NN), 2);
    ck_assert_uint_eq(load_le32(d + NVME_ID_VER), 0x10400);
    ck_assert_uint_eq(d[NVME_ID_SQES], 0x66);
    ck_assert_uint_eq(d[NVME_ID_CQES], 0x44);
    ck_assert_int_eq(strncmp((char *)d + NVME_ID_SUBNQN, "nqn.2014-08.org.nvmexpress:uuid:", 32), 0);
    d = identify(&r, NVME_CNS_NAMESPACE, 1);
    ck_assert_uint_eq(load_le64(d + NVME_NS_NSZE), BLOCKS);
    ck_assert_uint_eq(d[NVME_NS_LBAF0 + 2], 9);
    d = identify(&r, NVME_CNS_NAMESPACE, 2);
    ck_assert_uint_eq(load_le64(d + NVME_NS_NSZE), BLOCKS / 8);
    ck_assert_uint_eq(d[NVME_NS_LBAF0 + 2], 12);
    d = identify(&r, NVME_CNS_ACTIVE, 0);
    ck_assert_uint_eq(load_le32(d), 1);
    ck_assert_uint_eq(load_le32(d + 4), 2);
    ck_assert_uint_eq(load_le32(d + 8), 0);
    d = identify(&r, NVME_CNS_ACTIVE, 1);
    ck_assert_uint_eq(load_le32(d), 2);
    ck_assert_uint_eq(load_le32(d + 4), 0);
    d = identify(&r, NVME_CNS_DESCRIPTORS, 1);
    ck_assert_uint_eq(d[0], NVME_NIDT_UUID);
    ck_assert_uint_eq(d[1], 16);
    memcpy(first, d + 4, 16);
    d = identify(&r, NVME_CNS_DESCRIPTORS, 2);
    ck_assert_mem_ne(first, d + 4, 16);
    unmake(&r);
}
END_TEST

/* ---- Reading and writing ------------------------------------------------------------------------ */

START_TEST(what_is_written_is_read_again)
{
    struct rig r;
    struct nvme_sqe cmd;

    setup(&r);
    for (uint32_t nsid = 1; nsid <= 2; nsid++) {
        uint8_t *data = fn_at(&r.f, FN_DATA);

        memset(data, (int)(0x40 + nsid), 8192);
        cmd = rw(NVME_IO_WRITE, nsid, 3, nsid == 1 ? 16 : 2, FN_DATA);
        ck_assert_uint_eq(io(&r, nsid, &cmd), NVME_OK);
        ck_assert_mem_eq((uint8_t *)blk_mem_data(r.mem[nsid - 1]) + (nsid == 1 ? 1536 : 12288), data,
                         8192);
        memset(data, 0, 8192);
        cmd.opcode = NVME_IO_READ;
        ck_assert_uint_eq(io(&r, 3 - nsid, &cmd), NVME_OK);
        ck_assert_uint_eq(data[0], 0x40 + nsid);
        ck_assert_uint_eq(data[8191], 0x40 + nsid);
    }
    unmake(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, registers_say_what_it_is);
    UNIT_TEST(s, enabling_with_what_cannot_be_is_fatal_until_a_reset);
    UNIT_TEST(s, identify_tells_of_the_controller_and_its_namespaces);
    UNIT_TEST(s, what_is_written_is_read_again);
}

UNIT_TEST_MAIN("nvme", add_tests)
