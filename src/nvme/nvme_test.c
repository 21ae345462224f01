/* SPDX-License-Identifier: MIT */
/* The NVMe controller under a driver that does what it should, and one that does not. */
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

/* Where data lies, and how it is named, makes no difference: offsets, lengths around one, two and a list
 * page's worth of pages; the list's own offset too, so that it goes on in another page. */
START_TEST(prp_lists_name_any_memory)
{
    static const uint32_t lengths[] = {512, 4096, 4608, 8192, 12288, 65536, 1 << 20};
    static const uint32_t offsets[] = {0, 4, 512, 4092}, list_offsets[] = {0, 8, 4080, 4088};
    const uint64_t lists = 0x300000, data = 0x400000;
    struct rig r;

    setup(&r);
    for (unsigned i = 0; i < BLOCKS * 512 / 8; i++)
        ((uint64_t *)blk_mem_data(r.mem[0]))[i] = i * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned l = 0; l < ARRAY_SIZE(lengths); l++) {
        for (unsigned o = 0; o < ARRAY_SIZE(offsets); o++) {
            for (unsigned k = 0; k < ARRAY_SIZE(list_offsets); k++) {
                struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 1, lengths[l] / 512, data + offsets[o]);
                uint64_t first = MIN(4096 - offsets[o], lengths[l]), left = lengths[l] - first;
                uint64_t at = lists + list_offsets[k], page = data + 8192, page_of_list = lists;

                memset(fn_at(&r.f, data), 0, 0x300000);
                if (left && left <= 4096)
                    cmd.prp2 = page;
                if (left > 4096)
                    cmd.prp2 = at;
                for (uint64_t n = left; left > 4096 && n; page += 8192) { /* every other page */
                    if ((at & 4095) == 4088 && n > 4096) {
                        page_of_list += 4096;
                        store_le64(fn_at(&r.f, at), page_of_list);
                        at = page_of_list;
                    }
                    store_le64(fn_at(&r.f, at), page);
                    at += 8;
                    n -= MIN(n, UINT64_C(4096));
                }
                ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
                for (uint64_t done = 0, to = data + offsets[o]; done < lengths[l];) {
                    uint64_t n = MIN(4096 - (to & 4095), lengths[l] - done);

                    ck_assert_mem_eq(fn_at(&r.f, to), (uint8_t *)blk_mem_data(r.mem[0]) + 512 + done, n);
                    done += n;
                    to = (to & ~UINT64_C(4095)) + 8192;
                }
            }
        }
    }
    unmake(&r);
}
END_TEST

START_TEST(prp_entries_that_break_the_rules_fail)
{
    struct rig r;
    struct nvme_sqe cmd;

    setup(&r);
    cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA + 2);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_PRP_OFFSET);
    cmd = rw(NVME_IO_READ, 1, 0, 16, FN_DATA);
    cmd.prp2 = FN_DATA + 4100;
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_PRP_OFFSET);
    cmd = rw(NVME_IO_READ, 1, 0, 24, FN_DATA); /* a list */
    cmd.prp2 = FN_DATA + 0x10004;
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_PRP_OFFSET);
    cmd.prp2 = FN_DATA + 0x10000;
    store_le64(fn_at(&r.f, FN_DATA + 0x10000), FN_DATA + 8192 + 8);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_PRP_OFFSET);
    store_le64(fn_at(&r.f, FN_DATA + 0x10000), FN_RAM);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_DATA_TRANSFER);
    cmd.prp2 = FN_DATA + 0x10ff8; /* a list that leads to itself ends with the transfer */
    store_le64(fn_at(&r.f, FN_DATA + 0x10ff8), FN_DATA + 0x10000);
    store_le64(fn_at(&r.f, FN_DATA + 0x10000), FN_DATA + 0x20000);
    store_le64(fn_at(&r.f, FN_DATA + 0x10008), FN_DATA + 0x30000);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    cmd = rw(NVME_IO_READ, 1, 0, 8, FN_RAM);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_DATA_TRANSFER);
    unmake(&r);
}
END_TEST

static void sgl(struct rig *r, uint64_t at, uint64_t address, uint32_t len, uint8_t id)
{
    const struct nvme_sgl d = {.address = address, .len = len, .id = id};

    memcpy(fn_at(&r->f, at), &d, sizeof(d));
}

static struct nvme_sqe by_sgl(uint64_t address, uint32_t len, uint8_t id)
{
    const struct nvme_sgl d = {.address = address, .len = len, .id = id};
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, 0);

    memcpy(&cmd.prp1, &d, sizeof(d));
    cmd.flags = 0x40;
    return cmd;
}

START_TEST(sgls_name_any_memory)
{
    const uint64_t a = FN_DATA + 0x10000, b = FN_DATA + 0x11000, data = FN_DATA + 0x20001;
    struct nvme_sqe cmd;
    struct rig r;

    setup(&r);
    memset(blk_mem_data(r.mem[0]), 0x5a, 4096);
    cmd = by_sgl(data, 4096, 0);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&r.f, data + 4095), 0x5a);
    cmd = by_sgl(a, 32, NVME_SGL_SEGMENT << 4); /* odd pieces in two segments */
    sgl(&r, a, data + 8192, 1001, 0);
    sgl(&r, a + 16, b, 32, NVME_SGL_LAST_SEGMENT << 4);
    sgl(&r, b, data + 20000, 0, 0);
    sgl(&r, b + 16, data + 30000, 5000, 0); /* more than is needed */
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&r.f, data + 8192 + 1000), 0x5a);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&r.f, data + 30000 + 4096 - 1002), 0x5a);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&r.f, data + 30000 + 4096 - 1001), 0);
    cmd = by_sgl(data, 4095, 0);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_SGL_LENGTH_INVALID);
    cmd = by_sgl(data, 4096, 0x40);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_SGL_TYPE_INVALID);
    cmd = by_sgl(a, 17, NVME_SGL_LAST_SEGMENT << 4);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_SGL_SEGMENT_INVALID);
    cmd = by_sgl(a, 16, NVME_SGL_SEGMENT << 4); /* for ever */
    sgl(&r, a, a, 16, NVME_SGL_SEGMENT << 4);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_SGL_COUNT_INVALID);
    cmd.flags = 0xc0;
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_INVALID_FIELD);
    unmake(&r);
}
END_TEST

START_TEST(ranges_and_commands_that_are_not_there)
{
    struct nvme_sqe cmd;
    struct rig r;

    setup(&r);
    cmd = rw(NVME_IO_READ, 1, BLOCKS - 7, 8, FN_DATA);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_LBA_RANGE);
    cmd = rw(NVME_IO_WRITE, 1, UINT64_MAX, 1, FN_DATA);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_LBA_RANGE);
    cmd = rw(NVME_IO_READ, 1, 0, 2049, FN_DATA); /* more than MDTS */
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_INVALID_FIELD);
    cmd = rw(NVME_IO_READ, 3, 0, 1, FN_DATA);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_INVALID_NAMESPACE);
    cmd = rw(0x7f, 1, 0, 1, FN_DATA);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_INVALID_OPCODE);
    cmd = rw(NVME_IO_READ, 1, 0, 1, FN_DATA);
    cmd.flags = 1;
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_INVALID_FIELD);
    unmake(&r);
}
END_TEST

START_TEST(zeroes_trim_compare_and_flush)
{
    struct nvme_sqe cmd;
    struct rig r;
    uint8_t *data;

    setup(&r);
    data = fn_at(&r.f, FN_DATA);
    memset(blk_mem_data(r.mem[0]), 0x77, BLOCKS * 512);
    memset(data, 0x77, 4096);
    cmd = rw(NVME_IO_COMPARE, 1, 0, 8, FN_DATA);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    data[4095] = 0;
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_COMPARE_FAILURE);
    cmd = rw(NVME_IO_VERIFY, 1, 0, 8, 0);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    cmd = rw(NVME_IO_WRITE_ZEROES, 1, 8, 8, 0);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    ck_assert_uint_eq(((uint8_t *)blk_mem_data(r.mem[0]))[4096], 0);
    ck_assert_uint_eq(((uint8_t *)blk_mem_data(r.mem[0]))[8192], 0x77);
    memset(data, 0, 4096);
    store_le32(data + 4, 8);
    store_le64(data + 8, 32);
    store_le32(data + 20, 8);
    store_le64(data + 24, 64);
    cmd = (struct nvme_sqe){.opcode = NVME_IO_DSM, .nsid = 1, .prp1 = FN_DATA, .cdw10 = 1,
                            .cdw11 = NVME_DSM_AD};
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    ck_assert_uint_eq(atomic_load(&r.blk[0]->stats.discards), 2);
    store_le64(data + 24, BLOCKS - 7); /* one of them is wrong: none is done */
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_LBA_RANGE);
    ck_assert_uint_eq(atomic_load(&r.blk[0]->stats.discards), 2);
    cmd = (struct nvme_sqe){.opcode = NVME_IO_FLUSH, .nsid = 2};
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    cmd.nsid = NVME_NSID_ALL;
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    ck_assert_uint_eq(atomic_load(&r.blk[0]->stats.flushes), 1);
    ck_assert_uint_eq(atomic_load(&r.blk[1]->stats.flushes), 2);
    unmake(&r);
}
END_TEST

START_TEST(errors_of_the_host_are_told_and_logged)
{
    static const struct blk_fault fault = {.err = -EIO};
    struct nvme_sqe cmd, log = {.opcode = NVME_ADMIN_GET_LOG, .prp1 = FN_DATA,
                                .cdw10 = NVME_LOG_ERRORS | 31 << 16};
    struct rig r;
    uint8_t *d;

    make(&r, &fault, NULL);
    fn_start(&r.f, 2, 16);
    cmd = rw(NVME_IO_READ, 1, 5, 1, FN_DATA);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_READ_ERROR);
    cmd.opcode = NVME_IO_WRITE;
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_WRITE_FAULT);
    cmd = (struct nvme_sqe){.opcode = NVME_IO_FLUSH, .nsid = 1};
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_WRITE_FAULT);
    ck_assert_uint_eq(fn_admin(&r.f, &log, NULL), NVME_OK);
    d = fn_at(&r.f, FN_DATA);
    ck_assert_uint_eq(load_le64(d), 3); /* the youngest first */
    ck_assert_uint_eq(load_le16(d + 64 + 8), 1);
    ck_assert_uint_eq(load_le64(d + 64 + 16), 5);
    log.cdw10 = NVME_LOG_SMART | 127 << 16;
    ck_assert_uint_eq(fn_admin(&r.f, &log, NULL), NVME_OK);
    ck_assert_uint_eq(load_le64(d + 160), 3);
    ck_assert_uint_eq(load_le64(d + 176), 3);
    unmake(&r);
}
END_TEST

/* ---- Queues --------------------------------------------------------------------------------- */

START_TEST(queues_that_cannot_be_are_refused_each_for_its_reason)
{
    static const struct {
        uint8_t opcode;
        uint32_t cdw10, cdw11;
        uint64_t prp1;
        unsigned status;
    } bad[] = {
        {NVME_ADMIN_CREATE_CQ, 0 | 7 << 16, 1, 0x60000, NVME_QID_INVALID},
        {NVME_ADMIN_CREATE_CQ, 1 | 7 << 16, 1, 0x60000, NVME_QID_INVALID}, /* is there */
        {NVME_ADMIN_CREATE_CQ, 17 | 7 << 16, 1, 0x60000, NVME_QID_INVALID},
        {NVME_ADMIN_CREATE_CQ, 3, 1, 0x60000, NVME_QUEUE_SIZE},
        {NVME_ADMIN_CREATE_CQ, 3 | 1024 << 16, 1, 0x60000, NVME_QUEUE_SIZE},
        {NVME_ADMIN_CREATE_CQ, 3 | 7 << 16, 0, 0x60000, NVME_INVALID_FIELD},
        {NVME_ADMIN_CREATE_CQ, 3 | 7 << 16, 1, 0x60010, NVME_PRP_OFFSET},
        {NVME_ADMIN_CREATE_CQ, 3 | 7 << 16, 3 | 17 << 16, 0x60000, NVME_VECTOR_INVALID},
        {NVME_ADMIN_CREATE_CQ, 3 | 7 << 16, 1, FN_RAM, NVME_INVALID_FIELD},
        {NVME_ADMIN_CREATE_SQ, 3 | 7 << 16, 1 | 3 << 16, 0x60000, NVME_CQ_INVALID},
        {NVME_ADMIN_CREATE_SQ, 3 | 7 << 16, 1, 0x60000, NVME_CQ_INVALID}, /* the admin's */
        {NVME_ADMIN_CREATE_SQ, 2 | 7 << 16, 1 | 1 << 16, 0x60000, NVME_QID_INVALID},
        {NVME_ADMIN_DELETE_SQ, 0, 0, 0, NVME_QID_INVALID},
        {NVME_ADMIN_DELETE_SQ, 5, 0, 0, NVME_QID_INVALID},
        {NVME_ADMIN_DELETE_CQ, 5, 0, 0, NVME_QID_INVALID},
        {NVME_ADMIN_DELETE_CQ, 1, 0, 0, NVME_QUEUE_DELETION}, /* its SQ is there */
    };
    struct nvme_sqe cmd = {.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 1};
    struct rig r;

    setup(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct nvme_sqe c = {.opcode = bad[i].opcode, .cdw10 = bad[i].cdw10,
                                   .cdw11 = bad[i].cdw11, .prp1 = bad[i].prp1};

        ck_assert_msg(fn_admin(&r.f, &c, NULL) == bad[i].status, "case %u", i);
    }
    ck_assert_uint_eq(fn_admin(&r.f, &cmd, NULL), NVME_OK);
    cmd.opcode = NVME_ADMIN_DELETE_CQ;
    ck_assert_uint_eq(fn_admin(&r.f, &cmd, NULL), NVME_OK);
    ck_assert_uint_eq(fn_create_cq(&r.f, 1, 16), NVME_OK);
    ck_assert_uint_eq(fn_create_sq(&r.f, 1, 16), NVME_OK);
    cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    unmake(&r);
}
END_TEST

/* A completion queue of four entries under many commands: none is lost, none comes twice. */
START_TEST(commands_wait_for_room_in_the_completion_queue)
{
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 1, FN_DATA);
    struct nvme_cqe c;
    struct rig r;
    uint16_t next = 0;

    make(&r, NULL, NULL);
    fn_enable(&r.f, 16);
    ck_assert_uint_eq(fn_create_cq(&r.f, 1, 4), NVME_OK);
    ck_assert_uint_eq(fn_create_sq(&r.f, 1, 64), NVME_OK);
    for (unsigned i = 0; i < 60; i++) {
        struct nvme_sqe *ring = fn_at(&r.f, fn_sq_at(1));

        cmd.cid = (uint16_t)i;
        ring[i] = cmd;
    }
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8, 60);
    for (unsigned i = 0; i < 100 && next < 60; i++) {
        unsigned came = 0;

        turn(&r);
        while (fn_done(&r.f, 1, &c)) {
            ck_assert_uint_eq(fn_status(&c), NVME_OK);
            next++;
            came++;
        }
        ck_assert_uint_le(came, 3);
    }
    ck_assert_uint_eq(next, 60);
    unmake(&r);
}
END_TEST

static void expect_event(struct rig *r, uint16_t cid, uint32_t dw0)
{
    struct nvme_cqe c;

    turn(r);
    ck_assert(fn_done(&r->f, 0, &c));
    ck_assert_uint_eq(c.cid, cid);
    ck_assert_uint_eq(fn_status(&c), NVME_OK);
    ck_assert_uint_eq(c.dw0, dw0);
}

static void ask_event(struct rig *r, uint16_t cid)
{
    struct nvme_sqe cmd = {.opcode = NVME_ADMIN_ASYNC_EVENT, .cid = cid};

    fn_add(&r->f, 0, &cmd);
    fn_ring(&r->f, 0);
    turn(r);
}

static void read_log(struct rig *r, uint8_t log)
{
    const struct nvme_sqe cmd = {.opcode = NVME_ADMIN_GET_LOG, .prp1 = FN_DATA,
                                 .cdw10 = log | 127 << 16};

    ck_assert_uint_eq(fn_admin(&r->f, &cmd, NULL), NVME_OK);
}

START_TEST(doorbells_that_cannot_be_are_told_of)
{
    struct nvme_cqe c;
    struct rig r;

    setup(&r);
    ask_event(&r, 100);
    ask_event(&r, 101);
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8, 16); /* as large as the queue */
    expect_event(&r, 101, 0x10100);
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8 * 9, 1); /* no such queue: not before the log was read */
    turn(&r);
    ck_assert(!fn_done(&r.f, 0, &c));
    read_log(&r, NVME_LOG_ERRORS);
    expect_event(&r, 100, 0x10000);
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8 * 500, 1);
    turn(&r);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS), NVME_CSTS_RDY);
    unmake(&r);
}
END_TEST

/* ---- Events, abort, features ------------------------------------------------------------------- */

START_TEST(a_new_size_is_told_of)
{
    const struct nvme_sqe enable = {.opcode = NVME_ADMIN_SET_FEATURES,
                                    .cdw10 = NVME_FEAT_ASYNC_EVENTS, .cdw11 = NVME_ASYNC_NAMESPACES};
    struct rig r;
    uint8_t *d;

    setup(&r);
    ck_assert_uint_eq(fn_admin(&r.f, &enable, NULL), NVME_OK);
    ask_event(&r, 9);
    ck_assert_int_eq(do_grow(r.blk[1], 2 * BLOCKS * 512), 0);
    expect_event(&r, 9, 2 | 4 << 16);
    read_log(&r, NVME_LOG_CHANGED);
    ck_assert_uint_eq(load_le32(fn_at(&r.f, FN_DATA)), 2);
    read_log(&r, NVME_LOG_CHANGED);
    ck_assert_uint_eq(load_le32(fn_at(&r.f, FN_DATA)), 0);
    d = identify(&r, NVME_CNS_NAMESPACE, 2);
    ck_assert_uint_eq(load_le64(d + NVME_NS_NSZE), 2 * BLOCKS / 8);
    ck_assert_int_eq(do_grow(r.blk[1], BLOCKS * 512), -EINVAL); /* shorter */
    unmake(&r);
}
END_TEST

START_TEST(event_requests_are_held_aborted_and_limited)
{
    struct nvme_sqe cmd = {.opcode = NVME_ADMIN_ABORT, .cid = 50, .cdw10 = 12u << 16};
    struct nvme_cqe c;
    struct rig r;
    uint32_t dw0;

    setup(&r);
    for (uint16_t i = 0; i < 4; i++)
        ask_event(&r, 10 + i);
    ck_assert(!fn_done(&r.f, 0, &c));
    ask_event(&r, 14);
    ck_assert(fn_done(&r.f, 0, &c));
    ck_assert_uint_eq(fn_status(&c), NVME_ASYNC_LIMIT);
    fn_add(&r.f, 0, &cmd);
    fn_ring(&r.f, 0);
    turn(&r);
    ck_assert(fn_done(&r.f, 0, &c));
    ck_assert_uint_eq(c.cid, 12);
    ck_assert_uint_eq(fn_status(&c), NVME_ABORT_REQUESTED);
    ck_assert(fn_done(&r.f, 0, &c));
    ck_assert_uint_eq(c.cid, 50);
    ck_assert_uint_eq(c.dw0, 0);
    ck_assert_uint_eq(fn_admin(&r.f, &cmd, &dw0), NVME_OK); /* not there any more */
    ck_assert_uint_eq(dw0, 1);
    unmake(&r);
}
END_TEST

static unsigned feature(struct rig *r, uint8_t opcode, uint32_t cdw10, uint32_t cdw11, uint32_t *dw0)
{
    const struct nvme_sqe cmd = {.opcode = opcode, .cdw10 = cdw10, .cdw11 = cdw11,
                                 .nsid = NVME_NSID_ALL, .prp1 = FN_DATA};

    return fn_admin(&r->f, &cmd, dw0);
}

START_TEST(features_are_set_and_got)
{
    static const struct {
        uint8_t fid;
        uint32_t set, want, initial;
    } f[] = {
        {NVME_FEAT_ARBITRATION, 0x01020307, 0x01020307, 0}, {NVME_FEAT_POWER, 0, 0, 0},
        {NVME_FEAT_TEMPERATURE, 400, 400, 343}, {NVME_FEAT_ERROR_RECOVERY, 5, 5, 0},
        {NVME_FEAT_WRITE_CACHE, 0, 0, 1}, {NVME_FEAT_COALESCING, 0x0305, 0x0305, 0},
        {NVME_FEAT_VECTOR, 0x10003, 0x10003, 3}, {NVME_FEAT_ATOMICITY, 1, 1, 0},
        {NVME_FEAT_ASYNC_EVENTS, 0x102, 0x102, 0}};
    struct rig r;
    uint32_t dw0;

    setup(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
        uint32_t index = f[i].fid == NVME_FEAT_VECTOR ? 3 : 0;

        ck_assert_uint_eq(feature(&r, NVME_ADMIN_GET_FEATURES, f[i].fid, index, &dw0), NVME_OK);
        ck_assert_uint_eq(dw0, f[i].initial);
        ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, f[i].fid, f[i].set, NULL), NVME_OK);
        ck_assert_uint_eq(feature(&r, NVME_ADMIN_GET_FEATURES, f[i].fid, index, &dw0), NVME_OK);
        ck_assert_uint_eq(dw0, f[i].want);
        ck_assert_uint_eq(feature(&r, NVME_ADMIN_GET_FEATURES, f[i].fid | 0x100, index, &dw0), NVME_OK);
        ck_assert_uint_eq(dw0, f[i].initial);
        ck_assert_uint_eq(feature(&r, NVME_ADMIN_GET_FEATURES, f[i].fid | 0x300, 0, &dw0), NVME_OK);
        ck_assert_uint_eq(dw0 & 4, 4);
        ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, f[i].fid | NVME_FEAT_SAVE, 0, NULL),
                          NVME_NOT_SAVEABLE);
    }
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_POWER, 1, NULL), NVME_INVALID_FIELD);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_VECTOR, 17, NULL), NVME_INVALID_FIELD);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, 0x7f, 0, NULL), NVME_INVALID_FIELD);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_QUEUES, 0x30003, NULL),
                      NVME_COMMAND_SEQUENCE); /* there are some */
    fn_enable(&r.f, 8);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_QUEUES, 0x30003, &dw0), NVME_OK);
    ck_assert_uint_eq(dw0, 0xf000f);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_QUEUES, 0xffff, NULL),
                      NVME_INVALID_FIELD);
    store_le64(fn_at(&r.f, FN_DATA), 1000000);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_TIMESTAMP, 0, NULL), NVME_OK);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_GET_FEATURES, NVME_FEAT_TIMESTAMP, 0, NULL), NVME_OK);
    ck_assert_uint_ge(load_le64(fn_at(&r.f, FN_DATA)) & (BIT(48) - 1), 1000000);
    unmake(&r);
}
END_TEST

START_TEST(a_threshold_below_the_temperature_warns)
{
    struct rig r;

    setup(&r);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_ASYNC_EVENTS, 2, NULL), NVME_OK);
    ask_event(&r, 5);
    fn_add(&r.f, 0, &(struct nvme_sqe){.opcode = NVME_ADMIN_SET_FEATURES, .cid = 6,
                                       .cdw10 = NVME_FEAT_TEMPERATURE, .cdw11 = 280});
    fn_ring(&r.f, 0);
    turn(&r);
    ck_assert(fn_done(&r.f, 0, &(struct nvme_cqe){0}));
    expect_event(&r, 5, 1 | 1 << 8 | 2 << 16);
    read_log(&r, NVME_LOG_SMART);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&r.f, FN_DATA), NVME_SMART_TEMPERATURE);
    unmake(&r);
}
END_TEST

/* ---- Reset, shutdown, saving ----------------------------------------------------------------------- */

/* CSTS.RDY stays until the disk has let go, and nothing is answered after it went. */
START_TEST(a_reset_waits_for_the_disk)
{
    static const uint32_t delay[BLK_OP_COUNT] = {1000, 1000, 1000, 1000, 1000};
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    struct rig r;

    make(&r, NULL, delay);
    fn_start(&r.f, 1, 16);
    memset(blk_mem_data(r.mem[0]), 0x11, 4096);
    fn_add(&r.f, 1, &cmd);
    fn_ring(&r.f, 1);
    fn_turn(&r.f);
    ck_assert_uint_eq(r.blk[0]->inflight, 1);
    fn_wr(&r.f, NVME_REG_CC, 0);
    fn_turn(&r.f);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS), NVME_CSTS_RDY);
    turn(&r);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS), 0);
    memset(fn_at(&r.f, FN_DATA), 0, 4096);
    memset(fn_at(&r.f, fn_cq_at(1)), 0, 4096);
    turn(&r);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&r.f, FN_DATA), 0);
    ck_assert_uint_eq(((struct nvme_cqe *)fn_at(&r.f, fn_cq_at(1)))->status, 0);
    fn_start(&r.f, 1, 16);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    unmake(&r);
}
END_TEST

START_TEST(a_queue_is_deleted_after_its_last_command)
{
    static const uint32_t delay[BLK_OP_COUNT] = {1000, 0, 0, 0, 0};
    const struct nvme_sqe delete = {.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 1, .cid = 3};
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    struct nvme_cqe c;
    struct rig r;

    make(&r, NULL, delay);
    fn_start(&r.f, 1, 16);
    fn_add(&r.f, 1, &cmd);
    fn_ring(&r.f, 1);
    fn_turn(&r.f);
    fn_add(&r.f, 0, &delete);
    fn_ring(&r.f, 0);
    fn_turn(&r.f);
    ck_assert(!fn_done(&r.f, 0, &c));
    turn(&r);
    ck_assert(fn_done(&r.f, 1, &c));
    ck_assert(fn_done(&r.f, 0, &c));
    ck_assert_uint_eq(c.cid, 3);
    unmake(&r);
}
END_TEST

START_TEST(a_shutdown_flushes)
{
    struct rig r;

    setup(&r);
    fn_wr(&r.f, NVME_REG_CC, FN_CC | 1 << 14);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS) & NVME_CSTS_SHST, NVME_CSTS_SHST_BUSY);
    turn(&r);
    ck_assert_uint_eq(fn_rd(&r.f, NVME_REG_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHST_DONE);
    ck_assert_uint_eq(atomic_load(&r.blk[0]->stats.flushes), 1);
    ck_assert_uint_eq(atomic_load(&r.blk[1]->stats.flushes), 1);
    fn_start(&r.f, 1, 8);
    unmake(&r);
}
END_TEST

static void quiet(void *arg)
{
    *(bool *)arg = true;
}

/* Commands that wait in the queue, event requests, features, an error log: all of it goes on elsewhere. */
START_TEST(a_saved_controller_goes_on)
{
    static const uint32_t delay[BLK_OP_COUNT] = {1000, 0, 0, 0, 0};
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    struct rig a, b;
    struct nvme_cqe c;
    bool is_quiet = false;

    make(&a, NULL, delay);
    make(&b, NULL, NULL);
    memset(blk_mem_data(b.mem[0]), 0x22, 4096);
    fn_start(&a.f, 2, 16);
    ck_assert_uint_eq(feature(&a, NVME_ADMIN_SET_FEATURES, NVME_FEAT_WRITE_CACHE, 0, NULL), NVME_OK);
    ask_event(&a, 7);
    fn_add(&a.f, 1, &cmd);
    fn_ring(&a.f, 1);
    fn_turn(&a.f);
    nvme_quiesce(a.f.n, quiet, &is_quiet);
    ck_assert(!is_quiet); /* one is on the disk */
    cmd.cid = 78;
    fn_add(&a.f, 1, &cmd);
    fn_ring(&a.f, 1);
    turn(&a);
    ck_assert(is_quiet);
    fn_move(&a.f, &b.f);
    turn(&b);
    ck_assert(fn_done(&b.f, 1, &c)); /* as it was saved */
    ck_assert_uint_eq(c.cid, 77);
    ck_assert(fn_done(&b.f, 1, &c)); /* unasked */
    ck_assert_uint_eq(c.cid, 78);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&b.f, FN_DATA), 0x22);
    ck_assert_uint_eq(fn_admin(&b.f, &(struct nvme_sqe){.opcode = NVME_ADMIN_GET_FEATURES,
                                                        .cdw10 = NVME_FEAT_WRITE_CACHE}, &(uint32_t){0}),
                      NVME_OK);
    fn_wr(&b.f, NVME_REG_DOORBELLS + 8, 99);
    expect_event(&b, 7, 0x10100);
    nvme_resume(a.f.n);
    turn(&a);
    ck_assert(fn_done(&a.f, 1, &c) && fn_done(&a.f, 1, &c));
    unmake(&a);
    unmake(&b);
}
END_TEST

/* ---- The doorbell buffer, interrupts ---------------------------------------------------------------- */

static void shadow(struct rig *r)
{
    const struct nvme_sqe cmd = {.opcode = NVME_ADMIN_DOORBELL_BUFFER, .prp1 = FN_SHADOW,
                                 .prp2 = FN_SHADOW + 4096};

    ck_assert_uint_eq(fn_admin(&r->f, &cmd, NULL), NVME_OK);
    r->f.shadowed = true;
}

START_TEST(doorbells_in_memory)
{
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    struct nvme_cqe c;
    struct rig r;

    setup(&r);
    memset(fn_at(&r.f, FN_SHADOW), 0xff, 8192); /* whatever was there */
    shadow(&r);
    for (unsigned i = 0; i < 40; i++) {
        cmd.cid = (uint16_t)i;
        ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
        turn(&r);
        ck_assert_uint_eq(*(fn_shadow(&r.f, 1, false) + 1024), r.f.q[1].tail); /* where it stopped */
    }
    fn_add(&r.f, 1, &cmd); /* the register's value is not what counts */
    *fn_shadow(&r.f, 1, false) = r.f.q[1].tail;
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8, 0xfff);
    turn(&r);
    ck_assert(fn_done(&r.f, 1, &c));
    fn_start(&r.f, 2, 16); /* a reset forgets it */
    memset(fn_at(&r.f, FN_SHADOW), 0xee, 8192);
    ck_assert_uint_eq(io(&r, 1, &cmd), NVME_OK);
    ck_assert_uint_eq(*(uint8_t *)fn_at(&r.f, FN_SHADOW + 4096 + 8), 0xee);
    unmake(&r);
}
END_TEST

/* Where the backend can, a write to a doorbell signals an eventfd, and its value is lost: only with the
 * doorbell buffer, only for I/O queues that are there, and wherever the BAR is. */
START_TEST(doorbells_in_memory_may_ring_bells)
{
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    struct fake_shortcuts s = {.bell_count = 0};
    struct nvme_cqe c;
    struct rig r;

    make(&r, NULL, NULL);
    fake_machine_init(&s.m);
    bus_set_hv(r.f.m.bus, &fake_shortcuts_hv, (struct hv_vm *)&s);
    fn_start(&r.f, 1, 16);
    ck_assert_uint_eq(s.bell_count, 0);
    shadow(&r);
    ck_assert_uint_eq(s.bell_count, 2);
    ck_assert_uint_eq(fn_create_cq(&r.f, 2, 16), NVME_OK);
    ck_assert_uint_eq(fn_create_sq(&r.f, 2, 16), NVME_OK);
    ck_assert_uint_eq(s.bell_count, 4);
    for (unsigned i = 0; i < 20; i++) {
        unsigned qid = 1 + i % 2;

        fn_add(&r.f, qid, &cmd);
        *fn_shadow(&r.f, qid, false) = r.f.q[qid].tail;
        ck_assert(fake_ring(&s, FN_BAR + NVME_REG_DOORBELLS + 8 * qid));
        turn(&r);
        ck_assert(fn_done(&r.f, qid, &c));
    }
    ck_assert_uint_eq(fn_admin(&r.f, &(struct nvme_sqe){.opcode = NVME_ADMIN_DELETE_SQ, .cdw10 = 2}, NULL),
                      NVME_OK);
    ck_assert_uint_eq(s.bell_count, 3);
    fn_wr(&r.f, NVME_REG_CC, 0);
    turn(&r);
    ck_assert_uint_eq(s.bell_count, 0);
    fn_start(&r.f, 1, 16);
    shadow(&r);
    unmake(&r);
    ck_assert_uint_eq(s.bell_count, 0);
    fake_machine_fini(&s.m);
}
END_TEST

/* A completion queue that is full, and a driver that rings no bell but where it is asked to. */
START_TEST(a_full_queue_asks_for_its_bell)
{
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 1, FN_DATA);
    uint32_t *event;
    struct nvme_cqe c;
    struct rig r;
    unsigned count = 0;

    make(&r, NULL, NULL);
    fn_enable(&r.f, 16);
    shadow(&r);
    fn_msix(&r.f);
    ck_assert_uint_eq(fn_create_cq(&r.f, 1, 4), NVME_OK);
    ck_assert_uint_eq(fn_create_sq(&r.f, 1, 64), NVME_OK);
    event = fn_shadow(&r.f, 1, true) + 1024;
    *event = 77;
    for (unsigned i = 0; i < 10; i++)
        ((struct nvme_sqe *)fn_at(&r.f, fn_sq_at(1)))[i] = cmd;
    *fn_shadow(&r.f, 1, false) = 10;
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8, 10);
    turn(&r);
    ck_assert_uint_eq(*event, 0); /* beyond which it must ring */
    for (unsigned i = 0; i < 20; i++) {
        while (fn_done(&r.f, 1, &c))
            count++;
        turn(&r);
    }
    ck_assert_uint_eq(count, 10);
    unmake(&r);
}
END_TEST

START_TEST(interrupts_by_message_and_by_pin)
{
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    unsigned gsi = pci_intx_gsi(FN_DEVFN, 1);
    struct nvme_cqe c;
    struct rig r;

    setup(&r);
    fn_add(&r.f, 1, &cmd);
    fn_ring(&r.f, 1);
    turn(&r);
    ck_assert(r.f.m.level[gsi]);
    fn_wr(&r.f, NVME_REG_INTMS, 2); /* vector 1 */
    turn(&r);
    ck_assert(!r.f.m.level[gsi]);
    fn_wr(&r.f, NVME_REG_INTMC, 2);
    turn(&r);
    ck_assert(r.f.m.level[gsi]);
    ck_assert(fn_done(&r.f, 1, &c));
    turn(&r);
    ck_assert(!r.f.m.level[gsi]);
    fn_msix(&r.f);
    for (unsigned i = 0; i < 3; i++) { /* together: one interrupt */
        fn_add(&r.f, 2, &cmd);
    }
    fn_ring(&r.f, 2);
    turn(&r);
    ck_assert_uint_eq(r.f.m.msi.data, 2);
    ck_assert_uint_eq(r.f.m.msi_count, 1);
    unmake(&r);
}
END_TEST

START_TEST(interrupts_are_coalesced_if_the_driver_wants_that)
{
    struct nvme_sqe cmd = rw(NVME_IO_READ, 1, 0, 8, FN_DATA);
    struct rig r;

    setup(&r);
    fn_msix(&r.f);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_SET_FEATURES, NVME_FEAT_COALESCING, 0x0a01, NULL), NVME_OK);
    r.f.m.msi_count = 0;
    fn_add(&r.f, 1, &cmd);
    fn_ring(&r.f, 1);
    turn(&r);
    ck_assert_uint_eq(r.f.m.msi_count, 0); /* the first of two */
    ck_assert_uint_eq(fake_loop_fire(r.f.m.loop), 1);
    ck_assert_uint_eq(r.f.m.msi_count, 1); /* or when it takes too long */
    fn_add(&r.f, 1, &cmd);
    fn_add(&r.f, 1, &cmd);
    fn_ring(&r.f, 1);
    turn(&r);
    ck_assert_uint_eq(r.f.m.msi_count, 2);
    unmake(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, registers_say_what_it_is);
    UNIT_TEST(s, enabling_with_what_cannot_be_is_fatal_until_a_reset);
    UNIT_TEST(s, identify_tells_of_the_controller_and_its_namespaces);
    UNIT_TEST(s, what_is_written_is_read_again);
    UNIT_TEST(s, prp_lists_name_any_memory);
    UNIT_TEST(s, prp_entries_that_break_the_rules_fail);
    UNIT_TEST(s, sgls_name_any_memory);
    UNIT_TEST(s, ranges_and_commands_that_are_not_there);
    UNIT_TEST(s, zeroes_trim_compare_and_flush);
    UNIT_TEST(s, errors_of_the_host_are_told_and_logged);
    UNIT_TEST(s, queues_that_cannot_be_are_refused_each_for_its_reason);
    UNIT_TEST(s, commands_wait_for_room_in_the_completion_queue);
    UNIT_TEST(s, doorbells_that_cannot_be_are_told_of);
    UNIT_TEST(s, a_new_size_is_told_of);
    UNIT_TEST(s, event_requests_are_held_aborted_and_limited);
    UNIT_TEST(s, features_are_set_and_got);
    UNIT_TEST(s, a_threshold_below_the_temperature_warns);
    UNIT_TEST(s, a_reset_waits_for_the_disk);
    UNIT_TEST(s, a_queue_is_deleted_after_its_last_command);
    UNIT_TEST(s, a_shutdown_flushes);
    UNIT_TEST(s, a_saved_controller_goes_on);
    UNIT_TEST(s, doorbells_in_memory);
    UNIT_TEST(s, doorbells_in_memory_may_ring_bells);
    UNIT_TEST(s, a_full_queue_asks_for_its_bell);
    UNIT_TEST(s, interrupts_by_message_and_by_pin);
    UNIT_TEST(s, interrupts_are_coalesced_if_the_driver_wants_that);
}

UNIT_TEST_MAIN("nvme", add_tests)
