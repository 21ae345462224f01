/* SPDX-License-Identifier: MIT */
/* The NVMe controller under a driver that does what it should: registers, identities, reading and writing. */
#include "nvme/nvme_fixture.h"

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
}

UNIT_TEST_MAIN("nvme", add_tests)
