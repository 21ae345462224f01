/* SPDX-License-Identifier: MIT */
/* Programs that know all about the stub they are in, and attack it. What may come of it: an event, or
 * the end of their stub. Never a mapping that was not commanded, a system call, a wait without end. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "stub/stub_fixture.h"
#include "stub/stub_impl.h"

#define TARGET UINT64_C(0x30000000) /* where nothing is to be mapped */

/* ---- attacks ---- */

/* Kicks whatever stub there is, all the time. */
struct kicker {
    pthread_t thread;
    pthread_mutex_t lock; /* held while the stub is replaced */
    atomic_bool stop;
    struct rig *g;
    unsigned every_us;
};

static void *kicker_main(void *arg)
{
    struct kicker *k = arg;

    while (!atomic_load(&k->stop)) {
        pthread_mutex_lock(&k->lock);
        stub_kick(k->g->t);
        pthread_mutex_unlock(&k->lock);
        usleep(k->every_us);
    }
    return NULL;
}

static void kicker_start(struct kicker *k, struct rig *g, unsigned every_us)
{
    *k = (struct kicker){.g = g, .every_us = every_us};
    pthread_mutex_init(&k->lock, NULL);
    ck_assert_int_eq(pthread_create(&k->thread, NULL, kicker_main, k), 0);
}

static void kicker_end(struct kicker *k)
{
    atomic_store(&k->stop, true);
    pthread_join(k->thread, NULL);
    pthread_mutex_destroy(&k->lock);
}

static void renew(struct rig *g, struct kicker *k)
{
    pthread_mutex_lock(&k->lock);
    stub_destroy(g->stub);
    ck_assert_int_eq(stub_create(&g->stub, g->host, REGION), 0);
    g->t = stub_thread(g->stub, 0);
    pthread_mutex_unlock(&k->lock);
    rig_map(g);
}

/* Nothing is mapped at TARGET. The stub lives. */
static void check_not_mapped(struct rig *g)
{
    struct stub_regs regs = {.rip = CODE + 0x800};
    int r;

    /* mov (%rbx), %al; ud2 */
    memcpy(g->memory + 0x800, "\x8a\x03\x0f\x0b", 4);
    regs.gpr[3] = TARGET;
    do {
        regs.rip = CODE + 0x800;
        r = stub_run(g->t, &regs, &g->event, &g->address);
        ck_assert_int_eq(r, 0);
    } while (g->event == STUB_KICKED);
    ck_assert_int_eq(g->event, STUB_PAGE_FAULT);
    ck_assert_uint_eq(g->address, TARGET);
}

/* Run the page of code with these registers until something else than a kick happens, or a few of
 * those did. Afterwards the stub is dead, and another one is there, or it has no mapping. True: it
 * lived. */
static bool attack(struct rig *g, struct kicker *k, const struct stub_regs *regs)
{
    int r;

    g->regs = *regs;
    for (unsigned i = 0; i < 2; i++) {
        r = stub_run(g->t, &g->regs, &g->event, &g->address);
        if (r || g->event != STUB_KICKED)
            break;
    }
    ck_assert_msg(r || g->event != STUB_DIED, "nobody killed it");
    if (r || g->event == STUB_BROKEN) {
        renew(g, k);
        return false;
    }
    check_not_mapped(g);
    return true;
}

static struct stub_regs mapping_regs(const struct rig *g, unsigned nr)
{
    struct stub_regs r = {.rip = CODE};

    r.gpr[0] = nr;
    r.gpr[7] = TARGET;
    r.gpr[6] = 4096;
    r.gpr[2] = PROT_READ | PROT_WRITE;
    r.gpr[10] = MAP_SHARED | MAP_FIXED;
    r.gpr[8] = STUB_FD_RAM;
    r.gpr[4] = DATA + 0x800;
    r.gpr[5] = 1; /* RBP: how many commands there are, to those who come in the middle */
    return r;
}

/* ---- jumps into the code ---- */

/* To each byte of it, with all that mmap wants but the secret; then as if the secret had come. */
START_TEST(test_jumps)
{
    struct kicker k;
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0xff, 0xe3); /* jmp *%rbx */
    rig_map(&g);
    kicker_start(&k, &g, 2000);
    for (unsigned at = 0; at < stub_blob_at.last + 8; at++) {
        struct stub_regs r = mapping_regs(&g, _i & 1 ? SYS_munmap : SYS_mmap);

        if (_i & 2)
            r.gpr[13] = r.gpr[14] = UINT64_C(0x1234567800000000);
        if (_i & 2 && _i & 1)
            r.gpr[8] |= r.gpr[14], r.gpr[10] |= r.gpr[13];
        r.gpr[3] = REGION + at;
        attack(&g, &k, &r);
    }
    kicker_end(&k);
    rig_close(&g);
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *jumps = tcase_create("test_jumps");

    tcase_set_timeout(jumps, 60);
    tcase_add_loop_test(jumps, test_jumps, 0, 4);
    suite_add_tcase(s, jumps);
}

UNIT_TEST_MAIN("stub_hostile", add_tests)
