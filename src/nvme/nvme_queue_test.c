/* SPDX-License-Identifier: MIT */
/* Queues, doorbells, events and resets of the NVMe controller, under a driver that does what it should and one that
 * does not. */
#include "nvme/nvme_fixture.h"

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
        {NVME_ADMIN_CREATE_SQ, 3 | 7 << 16, 1 | 17 << 16, 0x60000, NVME_QID_INVALID},
        {NVME_ADMIN_CREATE_SQ, 3 | 7 << 16, 1, 0x60000, NVME_QID_INVALID}, /* the admin's */
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
    const struct nvme_sqe cmd = {.opcode = opcode, .cdw10 = cdw10, .cdw11 = cdw11, .prp1 = FN_DATA,
                                 .nsid = (cdw10 & 0xff) == NVME_FEAT_ERROR_RECOVERY ? 1 : NVME_NSID_ALL};

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

START_TEST(features_are_of_a_namespace_or_of_none)
{
    static const struct {
        uint8_t opcode, fid;
        uint32_t nsid;
        unsigned status;
    } f[] = {
        {NVME_ADMIN_SET_FEATURES, NVME_FEAT_WRITE_CACHE, 0, NVME_OK},
        {NVME_ADMIN_SET_FEATURES, NVME_FEAT_WRITE_CACHE, NVME_NSID_ALL, NVME_OK},
        {NVME_ADMIN_SET_FEATURES, NVME_FEAT_WRITE_CACHE, 1, NVME_NOT_OF_NAMESPACE},
        {NVME_ADMIN_SET_FEATURES, NVME_FEAT_WRITE_CACHE, 9, NVME_INVALID_NAMESPACE},
        {NVME_ADMIN_GET_FEATURES, NVME_FEAT_WRITE_CACHE, 1, NVME_OK},
        {NVME_ADMIN_SET_FEATURES, NVME_FEAT_ERROR_RECOVERY, NVME_NSID_ALL, NVME_OK},
        {NVME_ADMIN_SET_FEATURES, NVME_FEAT_ERROR_RECOVERY, 0, NVME_INVALID_NAMESPACE},
        {NVME_ADMIN_GET_FEATURES, NVME_FEAT_ERROR_RECOVERY, 2, NVME_OK},
        {NVME_ADMIN_GET_FEATURES, NVME_FEAT_ERROR_RECOVERY, NVME_NSID_ALL, NVME_INVALID_NAMESPACE}};
    struct rig r;

    setup(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(f); i++) {
        const struct nvme_sqe cmd = {.opcode = f[i].opcode, .cdw10 = f[i].fid, .nsid = f[i].nsid};

        ck_assert_msg(fn_admin(&r.f, &cmd, NULL) == f[i].status, "case %u", i);
    }
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_GET_FEATURES, NVME_FEAT_HOST_ID, 0, NULL), NVME_OK);
    ck_assert_uint_eq(feature(&r, NVME_ADMIN_GET_FEATURES, NVME_FEAT_HOST_ID, 1, NULL), NVME_INVALID_FIELD);
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
    UNIT_TEST(s, queues_that_cannot_be_are_refused_each_for_its_reason);
    UNIT_TEST(s, commands_wait_for_room_in_the_completion_queue);
    UNIT_TEST(s, doorbells_that_cannot_be_are_told_of);
    UNIT_TEST(s, a_new_size_is_told_of);
    UNIT_TEST(s, event_requests_are_held_aborted_and_limited);
    UNIT_TEST(s, features_are_set_and_got);
    UNIT_TEST(s, features_are_of_a_namespace_or_of_none);
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

UNIT_TEST_MAIN("nvme_queue", add_tests)
