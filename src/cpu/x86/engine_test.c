/* SPDX-License-Identifier: MIT */
/* An engine of somebody else's: it is asked before ours, runs what it wants, and hears of all that
 * is no longer so. */
#include "cpu/x86/engine.h"
#include "cpu/x86/long_rig.h"
#include "cpu/x86/mmu.h"
#include "cpu/x86/smc.h"

#define CODE UINT64_C(0x10000)

/* mov ecx, 5; 1: dec ecx; jnz 1b; mov [CODE + 0x20], ecx; hlt */
static const uint8_t program[] = {0xb9, 5, 0, 0, 0, 0xff, 0xc9, 0x75, 0xfc,
                                  0x89, 0x0c, 0x25, 0x20, 0x00, 0x01, 0x00, 0xf4};
#define LOOP (CODE + 5)
#define BEHIND (CODE + 9)

/* The kernel: 1: dec ebx; jz 2f; sysretq; 2: hlt. The user: 1: syscall; jmp 1b */
static const uint8_t calls[] = {0xff, 0xcb, 0x74, 3, 0x48, 0x0f, 0x07, 0xf4, 0x0f, 0x05, 0xeb, 0xfc};
#define USER (CODE + 8)
#define BEHIND_SYSCALL (CODE + 10)
#define CALLS 200

/* What the engine has been told, in the test's own process. */
static struct {
    unsigned created, destroyed, asked, ran, emptied, watched, code;
    unsigned asked_at_return; /* to user code, behind its SYSCALL */
    struct x86_gone gone;
    unsigned gone_count;
} seen;

static int create(struct x86_cpu *c)
{
    seen.created++;
    return 0;
}

static void destroy(struct x86_cpu *c)
{
    seen.destroyed++;
}

/* The loop, in one go. */
static void run_loop(struct x86_cpu *c, const void *code)
{
    ck_assert_ptr_eq(code, &seen);
    seen.ran++;
    c->reg[X86_RCX] = 0;
    c->af = AF_ZF | AF_PF;
    c->rip = BEHIND;
}

static enum x86_offer next(struct x86_cpu *c, struct x86_stretch *ret)
{
    seen.asked++;
    seen.asked_at_return += c->cpl == 3 && c->rip == BEHIND_SYSCALL;
    if (c->rip != LOOP)
        return X86_OFFER_NONE;
    *ret = (struct x86_stretch){run_loop, &seen};
    return X86_OFFER_READY;
}

static void mappings_gone(struct x86_cpu *c, const struct x86_gone *gone)
{
    seen.gone = *gone;
    seen.gone_count++;
}

static void page_watched(struct x86_cpu *c, const uint8_t *host)
{
    seen.watched++;
}

static void code_gone(struct x86_cpu *c, const uint8_t *host, uint64_t granules)
{
    seen.code++;
}

static void empty(struct x86_cpu *c)
{
    seen.emptied++;
}

static const struct x86_engine third = {
    .name = "third", .create = create, .destroy = destroy, .next = next,
    .mappings_gone = mappings_gone, .page_watched = page_watched, .code_gone = code_gone,
    .empty = empty,
};

static void start(struct rig *m, const char *words)
{
    memset(&seen, 0, sizeof(seen));
    rig_create_with(m, words, 1, CODE, program, sizeof(program), &third);
}

START_TEST(it_is_asked_first_and_may_decline)
{
    static const char *const words[] = {"off", "on", "threshold=1"};

    for (unsigned n = 0; n < ARRAY_SIZE(words); n++) {
        struct rig m;

        start(&m, words[n]);
        ck_assert_uint_eq(seen.created, 1);
        m.c->rip = LOOP;
        m.c->reg[X86_RCX] = 5;
        ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
        ck_assert_uint_eq(seen.ran, 1);
        ck_assert_uint_gt(seen.asked, 1);
        ck_assert_uint_eq(m.c->reg[X86_RCX], 0);
        rig_destroy(&m);
        ck_assert_uint_eq(seen.destroyed, 1);
    }
}
END_TEST

START_TEST(it_is_asked_at_every_return_to_user_code)
{
    static const char *const words[] = {"off", "on", "threshold=1", "check"};

    for (unsigned n = 0; n < ARRAY_SIZE(words); n++) {
        struct rig m;

        start(&m, words[n]);
        memcpy(mem_ptr(m.mem, CODE, sizeof(calls), MEM_WRITE), calls, sizeof(calls));
        m.c->efer |= X86_EFER_SCE;
        m.c->star = UINT64_C(0x0018000800000000);
        m.c->lstar = CODE;
        m.c->reg[X86_RBX] = CALLS + 1;
        m.c->reg[X86_RCX] = BEHIND_SYSCALL;
        m.c->reg[X86_R11] = 2;
        ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
        ck_assert_uint_eq(m.c->reg[X86_RBX], 0);
        ck_assert_uint_eq(m.c->count.syscalls, CALLS);
        ck_assert_uint_eq(seen.asked_at_return, CALLS);
        rig_destroy(&m);
    }
}
END_TEST

START_TEST(it_hears_of_mappings)
{
    struct rig m;

    start(&m, "on");
    seen.gone_count = 0;
    mmu_flush_page(m.c, 0x5000);
    ck_assert_uint_eq(seen.gone_count, 1);
    ck_assert(seen.gone.kind == X86_GONE_PAGE && seen.gone.va == 0x5000);
    mmu_flush_pcid_page(m.c, 3, 0x6000);
    ck_assert(seen.gone.kind == X86_GONE_PAGE && seen.gone.va == 0x6000 && seen.gone.pcid == 3);
    mmu_flush_pcid(m.c, 7);
    ck_assert(seen.gone.kind == X86_GONE_PCID && seen.gone.pcid == 7);
    mmu_flush_non_global(m.c);
    ck_assert(seen.gone.kind == X86_GONE_NON_GLOBAL);
    mmu_flush_all(m.c);
    ck_assert(seen.gone.kind == X86_GONE_ALL);
    ck_assert_uint_eq(seen.gone_count, 5);
    mmu_cr3_written(m.c, m.c->cr3, true);
    ck_assert_uint_eq(seen.gone_count, 5);
    mmu_cr3_written(m.c, m.c->cr3, false);
    ck_assert(seen.gone_count == 6 && seen.gone.kind == X86_GONE_PCID);
    rig_destroy(&m);
}
END_TEST

/* The program stores to its own page, which the engine was told to be free for stores before. */
START_TEST(it_hears_of_code)
{
    struct rig m;

    start(&m, "off");
    ck_assert(smc_allows_plain_stores(m.c, mem_ptr(m.mem, CODE, 1, MEM_READ)));
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_ge(seen.watched, 1);
    ck_assert_uint_ge(seen.code, 1);
    x86_cpu_memory_changed(m.c);
    m.c->rip = CODE;
    m.c->run_state = X86_RUNNING;
    ck_assert_int_eq(x86_cpu_run(m.c), X86_STOP_HALT);
    ck_assert_uint_ge(seen.emptied, 1);
    rig_destroy(&m);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, it_is_asked_first_and_may_decline);
    UNIT_TEST(s, it_is_asked_at_every_return_to_user_code);
    UNIT_TEST(s, it_hears_of_mappings);
    UNIT_TEST(s, it_hears_of_code);
}

UNIT_TEST_MAIN("engine", add_tests)
