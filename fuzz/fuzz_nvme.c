/* SPDX-License-Identifier: MIT */
/* An NVMe controller under a driver that does anything: the input is a program of register writes,
 * commands, PRP and SGL lists, and doorbells. The controller may give up; the process may not, every
 * command must be answered at most once, a reset must end, and after it a plain read must be served. */
#include <stdlib.h>

#include "no_check.h"

#include "base/le.h"
#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_nvme_driver.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_SIZE (512 * KIB)
#define PAIRS     2u
#define ENTRIES   8u

struct world {
    struct fn f;
    struct loop *loop;
    struct blk *blk[2];
};

/* Values near the edges are more telling than any. */
static uint64_t take_number(struct input *in)
{
    static const uint64_t edge[] = {0, 1, 3, 4, 7, 8, 15, 16, 511, 512, 4088, 4095, 4096, FN_DATA,
                                    FN_DATA + 4096, FN_DATA + 4088, FN_DATA + 16, FN_SHADOW,
                                    FN_RING, FN_RAM - 16, FN_RAM, UINT32_MAX, UINT64_MAX - 15,
                                    UINT64_MAX};

    return take_edge(in, edge, ARRAY_SIZE(edge));
}

static void turn(struct world *w)
{
    fn_turn(&w->f);
    while (fake_loop_fire(w->loop))
        ;
    for (unsigned i = 0; i < 3; i++)
        fake_loop_turn(w->loop);
    fn_turn(&w->f);
}

static void drain(struct world *w)
{
    struct nvme_cqe c;

    for (unsigned q = 0; q <= PAIRS; q++) {
        for (unsigned i = 0; i < 64 && w->f.q[q].size && fn_done(&w->f, q, &c); i++)
            ;
    }
    turn(w);
}

/* Whatever it was: disabled, enabled, with queues. */
static void start(struct world *w)
{
    fn_wr(&w->f, NVME_REG_CC, 0);
    for (unsigned i = 0; i < 4; i++)
        turn(w);
    require(fn_rd(&w->f, NVME_REG_CSTS) == 0, "a reset does not end");
    fn_start(&w->f, PAIRS, ENTRIES);
}

static void on_queue(struct world *w, struct input *in)
{
    static const uint8_t admin[] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x7c, 0x80, 0xff};
    static const uint8_t io[] = {0, 1, 2, 5, 8, 9, 12, 0x0d, 0x80};
    unsigned qid = take(in, 1) % (PAIRS + 1), pick = (unsigned)take(in, 1);
    struct nvme_sqe cmd = {
        .opcode = qid ? io[pick % ARRAY_SIZE(io)] : admin[pick % ARRAY_SIZE(admin)],
        .flags = (uint8_t)(take(in, 1) & 0xc3), .cid = (uint16_t)take(in, 1),
        .nsid = (uint32_t)take(in, 1) % 4, .prp1 = take_number(in), .prp2 = take_number(in),
        .cdw10 = (uint32_t)take_number(in), .cdw11 = (uint32_t)take_number(in),
        .cdw12 = (uint32_t)take_number(in), .cdw13 = (uint32_t)take(in, 1)};

    if (!w->f.q[qid].size)
        return;
    if (qid && take(in, 1) & 1) { /* a likely one */
        cmd.flags &= 0xc0;
        cmd.nsid = 1 + cmd.nsid % 2;
        cmd.cdw10 %= 64;
        cmd.cdw11 = 4;
        cmd.cdw12 %= 32;
    } else if (!qid && take(in, 1) & 1) {
        cmd.flags = 0;
        cmd.cdw10 = (uint32_t)(take(in, 1) % 20) | (uint32_t)take(in, 1) << 16;
        cmd.cdw11 = (uint32_t)(take(in, 1) & 3) | (uint32_t)(take(in, 1) % 4) << 16;
    }
    fn_add(&w->f, qid, &cmd);
}

/* A list, perhaps, where commands point. */
static void on_list(struct world *w, struct input *in)
{
    uint8_t *at = fn_at(&w->f, FN_DATA + 8 * (take(in, 2) % 2048));

    store_le64(at, take_number(in));
    store_le32(at + 8, (uint32_t)take_number(in));
    store_le32(at + 12, (uint32_t)(take(in, 1) % 0x42) << 24);
}

static void ring(struct world *w, struct input *in)
{
    unsigned qid = take(in, 1) % (PAIRS + 1);

    if (w->f.q[qid].size)
        fn_ring(&w->f, qid);
}

static void resize(struct world *w, struct input *in)
{
    uint64_t size = (1 + take(in, 1) % 64) * 4096;
    struct blk *mem = w->blk[0];

    blk_drain_wait(w->blk[0]);
    while (mem->child)
        mem = mem->child;
    require(!blk_mem_resize(mem, size), "resize");
}

static void step(struct world *w, struct input *in)
{
    switch (take(in, 1) % 14) {
    case 0: fn_wr(&w->f, (unsigned)take(in, 1) % 0x40, (uint32_t)take_number(in)); break;
    case 1:
        fake_write(&w->f.m, FN_BAR + 0x1000 + take(in, 1) % 160, 1u << take(in, 1) % 4,
                   take_number(in));
        break;
    case 2:
    case 3: on_list(w, in); break;
    case 4: turn(w); break;
    case 5: drain(w); break;
    case 6: start(w); break;
    case 7:
    case 8: ring(w, in); break;
    case 9: *((uint32_t *)fn_at(&w->f, FN_SHADOW) + take(in, 1) % 8) = (uint32_t)take_number(in); break;
    case 10: (void)fake_read(&w->f.m, FN_BAR + take(in, 2) % 0x2000, 1u << take(in, 1) % 4); break;
    case 11: resize(w, in); break;
    default: on_queue(w, in);
    }
}

static void create(struct world *w)
{
    static const struct blk_fault some = {.percent = 20, .err = -EIO};
    static const uint32_t delay[BLK_OP_COUNT] = {1, 0, 2, 0, 1};
    const struct blk_mem_options m = {.size = DISK_SIZE};
    struct nvme_namespace_options ns[2] = {{.block_size = 512}, {.block_size = 4096}};
    struct nvme_options o = {.namespaces = ns, .namespace_count = 2, .serial = "fuzz"};

    require(!loop_create(&w->loop), "loop");
    for (unsigned i = 0; i < 2; i++) {
        require(!blk_mem_create(&m, w->loop, &w->blk[i]) &&
                    !blk_fault_create(w->blk[i], &some, 1, &w->blk[i]) &&
                    !blk_delay_create(w->blk[i], delay, &w->blk[i]),
                "no disk");
        ns[i].blk = w->blk[i];
    }
    fn_create(&w->f, &o);
    fn_start(&w->f, PAIRS, ENTRIES);
}

/* After whatever happened. */
static void check_it_works(struct world *w)
{
    const struct nvme_sqe cmd = {.opcode = NVME_IO_READ, .nsid = 2, .prp1 = FN_DATA, .cid = 9};
    struct nvme_cqe c;

    start(w);
    fn_add(&w->f, 1, &cmd);
    fn_ring(&w->f, 1);
    turn(w);
    require(fn_done(&w->f, 1, &c) && c.cid == 9, "no answer after a reset");
    require(!fn_done(&w->f, 1, &c), "a second answer");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    static struct world w;

    setenv("VZ_LOG", "error", 1);
    memset(&w, 0, sizeof(w));
    create(&w);
    for (unsigned i = 0; in.len && i < 200; i++)
        step(&w, &in);
    check_it_works(&w);
    fn_destroy(&w.f);
    for (unsigned i = 0; i < 2; i++) {
        require(!w.blk[i]->inflight, "requests left");
        blk_close(w.blk[i]);
    }
    loop_destroy(w.loop);
    return 0;
}
