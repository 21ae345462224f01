/* SPDX-License-Identifier: MIT */
/* The controller under drivers and saved states that want to break it. */
#include <errno.h>

#include "block/blk_mem.h"
#include "fake_nvme_driver.h"
#include "nvme/nvme_impl.h"
#include "unit.h"

#define DISK_SIZE (2 * MIB)

struct rig {
    struct fn f;
    struct loop *loop; /* the disk's */
    struct blk *disk;
};

static void make(struct rig *r)
{
    const struct blk_mem_options m = {.size = DISK_SIZE};
    struct nvme_namespace_options ns = {.block_size = 512};
    struct nvme_options o = {.namespaces = &ns, .namespace_count = 1, .serial = "1"};

    memset(r, 0, sizeof(*r));
    ck_assert_int_eq(loop_create(&r->loop), 0);
    ck_assert_int_eq(blk_mem_create(&m, r->loop, &r->disk), 0);
    ns.blk = r->disk;
    fn_create(&r->f, &o);
}

static void unmake(struct rig *r)
{
    fn_destroy(&r->f);
    blk_close(r->disk);
    loop_destroy(r->loop);
}

static void turn(struct rig *r)
{
    for (unsigned i = 0; i < 20; i++) {
        fn_turn(&r->f);
        fake_loop_turn(r->loop);
    }
}

static unsigned io(struct rig *r, const struct nvme_sqe *cmd)
{
    struct nvme_cqe c;

    fn_add(&r->f, 1, cmd);
    fn_ring(&r->f, 1);
    turn(r);
    ck_assert(fn_done(&r->f, 1, &c));
    turn(r);
    return fn_status(&c);
}

static const struct nvme_sqe read_one = {.opcode = NVME_IO_READ, .nsid = 1, .prp1 = FN_DATA};

static unsigned shadow_at(struct rig *r, uint64_t doorbells, uint64_t events)
{
    const struct nvme_sqe cmd = {.opcode = NVME_ADMIN_DOORBELL_BUFFER, .prp1 = doorbells,
                                 .prp2 = events};
    unsigned status = fn_admin(&r->f, &cmd, NULL);

    r->f.shadowed |= !status;
    return status;
}

/* ---- Saved states --------------------------------------------------------------------------- */

/* Whatever a guest makes of its controller, the machine can be saved and restored. */
START_TEST(a_controller_that_gave_up_can_be_restored)
{
    static const struct {
        uint32_t cc, aqa;
    } bad[] = {{FN_CC, 0}, {FN_CC, 0xf}, {FN_CC | 15 << 7, 0x000f000f}};

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        struct rig a, b;

        make(&a);
        make(&b);
        fn_wr(&a.f, NVME_REG_AQA, bad[i].aqa);
        fake_write(&a.f.m, FN_BAR + NVME_REG_ASQ, 8, fn_sq_at(0));
        fake_write(&a.f.m, FN_BAR + NVME_REG_ACQ, 8, fn_cq_at(0));
        fn_wr(&a.f, NVME_REG_CC, bad[i].cc);
        fn_turn(&a.f);
        ck_assert_uint_eq(fn_rd(&a.f, NVME_REG_CSTS), NVME_CSTS_CFS);
        fn_move(&a.f, &b.f);
        turn(&b);
        ck_assert_uint_eq(fn_rd(&b.f, NVME_REG_CSTS), NVME_CSTS_CFS);
        fn_start(&b.f, 1, 8); /* with the reset that it takes */
        ck_assert_uint_eq(io(&b, &read_one), NVME_OK);
        unmake(&a);
        unmake(&b);
    }
}
END_TEST

START_TEST(what_is_for_a_disabled_controller_stays_while_it_is_enabled)
{
    struct rig a, b;

    make(&a);
    make(&b);
    fn_start(&a.f, 1, 8);
    fn_wr(&a.f, NVME_REG_CC, FN_CC | 0x3ff0);
    ck_assert_uint_eq(fn_rd(&a.f, NVME_REG_CC), FN_CC);
    fn_move(&a.f, &b.f);
    turn(&b);
    ck_assert_uint_eq(io(&b, &read_one), NVME_OK);
    fn_wr(&b.f, NVME_REG_CC, 0x3ff0); /* disabled: its reset is due when it is saved */
    fn_move(&b.f, &a.f);
    turn(&a);
    ck_assert_uint_eq(fn_rd(&a.f, NVME_REG_CSTS), 0);
    unmake(&a);
    unmake(&b);
}
END_TEST

enum harm { DISABLED, ALONE, UNALIGNED, BEYOND, SHADOW_UNALIGNED, SHADOW_DISABLED, HARMS };

static void do_harm(struct nvme *n, enum harm harm)
{
    switch (harm) {
    case DISABLED: n->regs.csts = 0; break;
    case ALONE: n->cq[1].valid = false; break;
    case UNALIGNED: n->cq[1].gpa += 2; break;
    case BEYOND: n->sq[1].head = 8; break;
    case SHADOW_UNALIGNED: n->event_gpa += 1; break;
    default:
        n->regs.csts = 0;
        memset(n->sq, 0, sizeof(n->sq));
        for (unsigned i = 0; i < NVME_QUEUES; i++)
            n->cq[i].valid = false;
    }
}

/* A driver of a controller that has queues and is not enabled would meet them unmapped. */
START_TEST(saved_states_that_cannot_be_are_refused)
{
    for (unsigned i = 0; i < HARMS; i++) {
        struct state_writer w = {0};
        struct vz_error err = {0};
        struct rig a, b;

        make(&a);
        make(&b);
        fn_start(&a.f, 1, 8);
        ck_assert_uint_eq(shadow_at(&a, FN_SHADOW, FN_SHADOW + 4096), NVME_OK);
        do_harm(a.f.n, (enum harm)i);
        ck_assert_int_eq(bus_save(a.f.m.bus, &w), 0);
        ck_assert_msg(bus_load(b.f.m.bus, w.data, w.len, &err) == -EINVAL, "%u", i);
        state_writer_fini(&w);
        bus_reset(b.f.m.bus);
        pci_assign_bars(b.f.host);
        turn(&b);
        fn_start(&b.f, 1, 8);
        ck_assert_uint_eq(io(&b, &read_one), NVME_OK);
        unmake(&a);
        unmake(&b);
    }
}
END_TEST

/* The doorbell buffer of before is no more, though nothing is in the place of its queues. */
START_TEST(a_state_without_queues_ends_those_of_before)
{
    struct rig fresh, used;

    make(&fresh);
    make(&used);
    fn_enable(&fresh.f, 16);
    fn_wr(&fresh.f, NVME_REG_CC, 0);
    turn(&fresh);
    fn_start(&used.f, 1, 8);
    ck_assert_uint_eq(shadow_at(&used, FN_SHADOW, FN_SHADOW + 4096), NVME_OK);
    fn_move(&fresh.f, &used.f);
    turn(&used);
    memset(fn_at(&used.f, FN_SHADOW), 0xee, 8192);
    ck_assert_uint_eq(fn_rd(&used.f, NVME_REG_CSTS), 0);
    fn_wr(&used.f, NVME_REG_AQA, 0x000f000f);
    fake_write(&used.f.m, FN_BAR + NVME_REG_ASQ, 8, fn_sq_at(0));
    fake_write(&used.f.m, FN_BAR + NVME_REG_ACQ, 8, fn_cq_at(0));
    fn_fresh_queue(&used.f, 0, 16);
    fn_wr(&used.f, NVME_REG_CC, FN_CC); /* without a reset before */
    turn(&used);
    ck_assert_uint_eq(fn_create_cq(&used.f, 1, 8), NVME_OK);
    ck_assert_uint_eq(fn_create_sq(&used.f, 1, 8), NVME_OK);
    ck_assert_uint_eq(io(&used, &read_one), NVME_OK);
    for (unsigned i = 0; i < 8192; i++)
        ck_assert_uint_eq(*(uint8_t *)fn_at(&used.f, FN_SHADOW + i), 0xee);
    unmake(&fresh);
    unmake(&used);
}
END_TEST

/* ---- The doorbell buffer -------------------------------------------------------------------- */

/* It stays where it is; looking at it again and again would keep the loop busy for ever. */
START_TEST(a_bad_value_in_memory_is_told_of_once)
{
    struct rig r;

    make(&r);
    fn_start(&r.f, 1, 8);
    ck_assert_uint_eq(shadow_at(&r, FN_SHADOW, FN_SHADOW + 4096), NVME_OK);
    *fn_shadow(&r.f, 1, false) = 0xffff;
    *fn_shadow(&r.f, 1, true) = 0xffff;
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8, 1);
    turn(&r);
    ck_assert_uint_eq(r.f.m.loop->work_count, 0);
    ck_assert_uint_eq(r.f.n->life.errors, 1);
    *fn_shadow(&r.f, 1, false) = 0; /* and it goes on */
    *fn_shadow(&r.f, 1, true) = 0;
    ck_assert_uint_eq(io(&r, &read_one), NVME_OK);
    unmake(&r);
}
END_TEST

START_TEST(a_doorbell_buffer_that_cannot_be_leaves_the_one_there_is)
{
    struct rig r;

    make(&r);
    fn_start(&r.f, 1, 8);
    ck_assert_uint_eq(shadow_at(&r, FN_SHADOW, FN_SHADOW + 4096), NVME_OK);
    ck_assert_uint_eq(shadow_at(&r, FN_RAM, FN_SHADOW), NVME_INVALID_FIELD);
    ck_assert_uint_eq(shadow_at(&r, FN_SHADOW, FN_RAM), NVME_INVALID_FIELD);
    fn_add(&r.f, 1, &read_one);
    *fn_shadow(&r.f, 1, false) = r.f.q[1].tail;
    fn_wr(&r.f, NVME_REG_DOORBELLS + 8, 0);
    turn(&r);
    ck_assert(fn_done(&r.f, 1, &(struct nvme_cqe){0}));
    unmake(&r);
}
END_TEST

/* ---- What commands take of the host ------------------------------------------------------------ */

/* A megabyte is compared in pieces: a driver may have hundreds under way. */
START_TEST(long_comparisons_are_done_in_pieces)
{
    struct nvme_sqe cmd = {.opcode = NVME_IO_COMPARE, .nsid = 1, .flags = 0x40, .prp1 = FN_DATA,
                           .prp2 = MIB, .cdw10 = 8, .cdw12 = 2047};
    struct rig r;
    uint8_t *disk;

    make(&r);
    fn_start(&r.f, 1, 8);
    disk = blk_mem_data(r.disk);
    for (unsigned i = 0; i < MIB; i++)
        disk[4096 + i] = ((uint8_t *)fn_at(&r.f, FN_DATA))[i] = (uint8_t)(i >> 8 ^ i >> 16);
    ck_assert_uint_eq(io(&r, &cmd), NVME_OK);
    ck_assert_uint_eq(atomic_load(&r.disk->stats.reads), MIB / NVME_BOUNCE_MAX);
    ck_assert_uint_eq(atomic_load(&r.disk->stats.bytes_read), MIB);
    for (unsigned at = 0; at <= MIB; at += 0x8000) {
        unsigned i = MIN(at, (unsigned)MIB - 1);

        disk[4096 + i] ^= 1;
        ck_assert_uint_eq(io(&r, &cmd), NVME_COMPARE_FAILURE);
        disk[4096 + i] ^= 1;
    }
    cmd.opcode = NVME_IO_VERIFY;
    ck_assert_uint_eq(io(&r, &cmd), NVME_OK);
    unmake(&r);
}
END_TEST

/* ---- Interrupts ----------------------------------------------------------------------------- */

static struct loop_timer *armed(struct rig *r)
{
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++) {
        if (r->f.m.loop->timer[i] && r->f.m.loop->timer[i]->armed)
            return r->f.m.loop->timer[i];
    }
    return NULL;
}

/* Else a trickle of completions would put it off. */
START_TEST(an_interrupt_waits_from_the_first_completion_on)
{
    const struct nvme_sqe coalesce = {.opcode = NVME_ADMIN_SET_FEATURES,
                                      .cdw10 = NVME_FEAT_COALESCING, .cdw11 = 0xffff};
    struct rig r;
    uint64_t due;

    make(&r);
    fn_start(&r.f, 1, 8);
    ck_assert_uint_eq(fn_admin(&r.f, &coalesce, NULL), NVME_OK);
    fn_msix(&r.f);
    ck_assert_uint_eq(io(&r, &read_one), NVME_OK);
    ck_assert_ptr_nonnull(armed(&r));
    due = armed(&r)->deadline_ns;
    ck_assert_uint_eq(io(&r, &read_one), NVME_OK);
    ck_assert_uint_eq(armed(&r)->deadline_ns, due);
    fake_loop_fire(r.f.m.loop);
    ck_assert_uint_eq(io(&r, &read_one), NVME_OK);
    ck_assert_ptr_nonnull(armed(&r)); /* and then the next one's */
    unmake(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_controller_that_gave_up_can_be_restored);
    UNIT_TEST(s, what_is_for_a_disabled_controller_stays_while_it_is_enabled);
    UNIT_TEST(s, saved_states_that_cannot_be_are_refused);
    UNIT_TEST(s, a_state_without_queues_ends_those_of_before);
    UNIT_TEST(s, a_bad_value_in_memory_is_told_of_once);
    UNIT_TEST(s, a_doorbell_buffer_that_cannot_be_leaves_the_one_there_is);
    UNIT_TEST(s, long_comparisons_are_done_in_pieces);
    UNIT_TEST(s, an_interrupt_waits_from_the_first_completion_on);
}

UNIT_TEST_MAIN("nvme/hostile", add_tests)
