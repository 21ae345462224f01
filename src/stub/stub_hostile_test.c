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
    ck_assert_int_eq(stub_create(&g->stub, g->host, AT(REGION)), 0);
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

/* To each byte of it, with all that mmap wants but the secret; then as if the secret had come. The same
 * for munmap, to every second byte: each attempt costs a stub. */
START_TEST(test_jumps)
{
    struct kicker k;
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0xff, 0xe3); /* jmp *%rbx */
    rig_map(&g);
    kicker_start(&k, &g, 2000);
    for (unsigned at = 0; at < stub_blob_at.last + 8; at += 1 + (_i & 1)) {
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

/* ---- system calls ---- */

static const uint32_t odd_numbers[] = {0x40000000, 0x40000009, 0x4000000f, 0x7fffffff, 0x80000000,
                                       0xffffffff};

static uint32_t call_number(unsigned i)
{
    return i < 512 ? i : odd_numbers[i - 512];
}

#define CALL_NUMBERS (512 + ARRAY_SIZE(odd_numbers))

START_TEST(test_calls_of_user_code)
{
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0x0f, 0x05);
    rig_map(&g);
    for (unsigned i = 0; i < CALL_NUMBERS; i++) {
        struct stub_regs r = mapping_regs(&g, call_number(i));

        g.regs = r;
        rig_run(&g);
        ck_assert_msg(g.event == STUB_SYSCALL, "call %u: event %d", call_number(i), g.event);
        ck_assert_uint_eq(g.regs.rip, CODE);
        ck_assert_uint_eq((uint32_t)g.regs.gpr[0], call_number(i));
    }
    check_not_mapped(&g);
    rig_close(&g);
}
END_TEST

/* From the instructions that may make one call each, others: a fourth of all, as each attempt costs a
 * stub, and stub_filter_test.c has all. An exit or a signal would show as a death by nobody. */
START_TEST(test_calls_of_its_code)
{
    const uint32_t site[] = {stub_blob_at.event, stub_blob_at.report, stub_blob_at.map,
                             stub_blob_at.unmap, stub_blob_at.open};
    struct kicker k;
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0xff, 0xe3);
    rig_map(&g);
    kicker_start(&k, &g, 5000);
    for (unsigned i = (unsigned)_i % 4; i < CALL_NUMBERS; i += 4) {
        struct stub_regs r = mapping_regs(&g, call_number(i));

        r.gpr[3] = REGION + site[_i] - 2;
        attack(&g, &k, &r);
    }
    kicker_end(&k);
    rig_close(&g);
}
END_TEST

/* ---- signals ---- */

#define FRAME_AT   (DATA + 0x200)
#define FRAME_FILE (4096 + 0x200)

/* By a frame of its own making a program could block signals, or have their stack elsewhere. There is no
 * instruction that gives one back: not its own, nor any of the stub's. */
START_TEST(test_forged_frame)
{
    const uint32_t site[] = {0, stub_blob_at.event, stub_blob_at.report, stub_blob_at.map,
                             stub_blob_at.unmap, stub_blob_at.open};
    struct stub_regs regs = {.rip = CODE};
    struct stub_frame *f;
    struct kicker k;
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0xff, 0xe3); /* jmp *%rbx */
    memcpy(g.memory + 0x600, "\x0f\x05\x0f\x0b", 4);
    memcpy(g.memory + 0x700, "\xeb\xfe", 2);
    rig_map(&g);
    f = (struct stub_frame *)(g.memory + FRAME_FILE);
    *f = *g.t->frame;
    f->rip = CODE + 0x700;
    f->rsp = DATA + 0x100;
    f->rflags = 0x202;
    f->fpstate = 0;
    f->mask = ~UINT64_C(0);
    kicker_start(&k, &g, 2000);
    regs.gpr[0] = SYS_rt_sigreturn;
    regs.gpr[3] = _i ? REGION + site[_i] - 2 : CODE + 0x600;
    regs.gpr[4] = FRAME_AT + 8;
    g.regs = regs;
    do /* a kick may come before the jump, or behind it and before the call */
        rig_run(&g);
    while (g.event == STUB_KICKED && (g.regs.rip == CODE || g.regs.rip == CODE + 0x600));
    ck_assert_int_eq(g.event, _i ? STUB_BROKEN : STUB_SYSCALL);
    kicker_end(&k);
    rig_close(&g);
}
END_TEST

/* Whatever registers it has: from where the stub lets signals in a program cannot keep them out. */
START_TEST(test_open_is_not_close)
{
    struct kicker k;
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0xff, 0xe3);
    rig_map(&g);
    memset(g.memory + 4096 + 0x300, 0xff, 8);
    kicker_start(&k, &g, 2000);
    for (unsigned how = 0; how < 3; how++) { /* SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK */
        struct stub_regs r = {.rip = CODE};

        r.gpr[0] = SYS_rt_sigprocmask;
        r.gpr[7] = how;
        r.gpr[6] = DATA + 0x300;
        r.gpr[10] = 8;
        r.gpr[3] = REGION + stub_blob_at.open - 2;
        g.regs = r;
        do
            rig_run(&g);
        while (g.event == STUB_KICKED && g.regs.rip == CODE);
        ck_assert_int_eq(g.event, STUB_BROKEN);
        renew(&g, &k);
    }
    kicker_end(&k);
    rig_close(&g);
}
END_TEST

/* Kicks that come before the first instruction of user code: the registers are as they were given. */
START_TEST(test_early_kicks)
{
    struct rig g;

    rig_open(&g, 1);
    CODE_BYTES(&g, 0x48, 0xff, 0xc3, 0x0f, 0x05); /* inc %rbx; syscall */
    rig_map(&g);
    for (uint64_t i = 0; i < 200; i++) {
        g.regs.rip = CODE;
        g.regs.gpr[3] = i;
        /* Blocked until the stub lets it in. */
        syscall(SYS_tgkill, g.stub->pid, g.t->tid, STUB_KICK);
        rig_run(&g);
        ck_assert_int_eq(g.event, STUB_KICKED);
        ck_assert_uint_eq(g.regs.rip, CODE);
        ck_assert_uint_eq(g.regs.gpr[3], i);
        rig_run(&g);
        ck_assert_int_eq(g.event, STUB_SYSCALL);
        ck_assert_uint_eq(g.regs.gpr[3], i + 1);
    }
    rig_close(&g);
}
END_TEST

/* ---- stealing the secret ---- */

static bool is_in_memory(const struct rig *g, uint64_t value)
{
    return memmem(g->stub->memory, g->stub->memory_size, &value, sizeof(value)) != NULL;
}

/* Let it hand over with signals open, pretending a kick, with these flags (TF can only be set for what
 * follows by an IRET). True: we have taken it for one. */
static bool pretend(struct rig *g, uint64_t flags)
{
    const uint64_t iret[5] = {REGION + stub_blob_at.event - 2, 0x33, 0x202 | flags, DATA + 0x100, 0x2b};
    struct stub_regs regs = {.rip = CODE};

    /* A signal and where it came in our frame: movl $10, signo(%rcx); mov %rbx, rip(%rcx); iretq */
    memcpy(g->memory, "\xc7\x81\0\0\0\0\x0a\0\0\0\x48\x89\x99\0\0\0\0\x48\xcf", 19);
    memcpy(g->memory + 2, &(int32_t){offsetof(struct stub_frame, signo)}, 4);
    memcpy(g->memory + 13, &(int32_t){offsetof(struct stub_frame, rip)}, 4);
    memcpy(g->memory + FRAME_FILE, iret, sizeof(iret));
    regs.gpr[0] = STUB_HAND_OVER;
    regs.gpr[1] = g->t->frame_at;
    regs.gpr[3] = CODE;
    regs.gpr[4] = FRAME_AT;
    regs.gpr[6] = g->t->frame_at;
    regs.gpr[7] = STUB_KICK;
    g->regs = regs;
    rig_run(g);
    return g->event == STUB_KICKED;
}

/* By a single step behind the instruction that the secret comes from. */
START_TEST(test_step_secret)
{
    struct rig g;

    rig_open(&g, 1);
    rig_map(&g);
    ck_assert(pretend(&g, BIT(8)));
    ck_assert(stub_map(g.t, TARGET, 4096, 0x2000, PROT_READ));
    ck_assert(!is_in_memory(&g, g.t->secret));
    rig_run(&g);
    ck_assert(is_in_memory(&g, g.t->secret)); /* so it would work */
    ck_assert_int_eq(g.event, STUB_BROKEN);
    rig_close(&g);
}
END_TEST

/* The second thread of a stub, in a thread of ours: from CODE + 0x100 on, until told to stop. */
struct second {
    pthread_t thread;
    struct stub_thread *t;
    struct stub_regs regs;
    atomic_bool stop;
};

static void *second_main(void *arg)
{
    struct second *c = arg;
    enum stub_event event;
    uint64_t address;

    while (!atomic_load(&c->stop)) {
        if (stub_run(c->t, &c->regs, &event, &address) || event == STUB_BROKEN)
            break;
        ck_assert_int_eq(event, STUB_KICKED);
    }
    return NULL;
}

static void second_start(struct second *c, struct rig *g)
{
    c->t = stub_thread(g->stub, 1);
    c->regs.rip = CODE + 0x100;
    atomic_store(&c->stop, false);
    ck_assert_int_eq(pthread_create(&c->thread, NULL, second_main, c), 0);
    while (!atomic_load(&c->t->inside))
        usleep(10);
}

static void second_end(struct second *c)
{
    atomic_store(&c->stop, true);
    stub_kick(c->t);
    pthread_join(c->thread, NULL);
}

/* The same, hidden by the second thread: it writes another RIP into the frame all the time,
 * of user code, or as of an early kick. */
START_TEST(test_step_secret_hidden)
{
    struct kicker unused = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct second c = {0};
    struct rig g;

    rig_open(&g, 2);
    rig_map(&g);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert_int_eq(stub_flush(g.t), 0);
        memcpy(g.memory + 0x100, "\x48\x89\x17\xeb\xfb", 5); /* 1: mov %rdx, (%rdi); jmp 1b */
        c.regs.gpr[2] = i & 1 ? REGION + stub_blob_at.open : CODE;
        c.regs.gpr[7] = g.t->frame_at + offsetof(struct stub_frame, rip);
        ck_assert(pretend(&g, BIT(8)));
        second_start(&c, &g);
        ck_assert(stub_map(g.t, TARGET, 4096, 0x2000, PROT_READ));
        rig_run(&g);
        ck_assert_int_eq(g.event, STUB_BROKEN);
        second_end(&c);
        renew(&g, &unused);
    }
    rig_close(&g);
}
END_TEST

/* Who goes in where another one has commands that it does not report makes that come out before. */
START_TEST(test_meeting)
{
    struct second c = {0};
    struct rig g;

    rig_open(&g, 2);
    rig_map(&g);
    memcpy(g.memory + 0x100, "\xeb\xfe", 2);
    c.t = stub_thread(g.stub, 1);
    ck_assert_int_eq(stub_flush(g.t), 0);
    for (unsigned i = 0; i < 50; i++) {
        g.stub->reports = 0;
        ck_assert(stub_map(c.t, TARGET, 4096, 0x2000, PROT_READ));
        second_start(&c, &g);
        while (!atomic_load(&g.stub->alone))
            usleep(10);
        CODE_BYTES(&g, 0x0f, 0x05);
        g.regs.rip = CODE;
        rig_run(&g);
        ck_assert_int_eq(g.event, STUB_SYSCALL);
        ck_assert_uint_gt(g.stub->reports, 0);
        second_end(&c);
        ck_assert_ptr_null(g.stub->alone);
    }
    rig_close(&g);
}
END_TEST

/* By a kick that comes at the right time, if it does. */
START_TEST(test_kick_secret)
{
    struct kicker k;
    struct rig g;

    rig_open(&g, 1);
    rig_map(&g);
    kicker_start(&k, &g, 50);
    for (unsigned i = 0; i < 500; i++) {
        bool pretended = pretend(&g, 0);

        ck_assert(stub_map(g.t, DATA + 0x5000, 4096, 0x2000, PROT_READ));
        ck_assert(stub_unmap(g.t, DATA + 0x5000, 4096));
        if (pretended) {
            rig_run(&g);
            ck_assert(g.event == STUB_BROKEN || !is_in_memory(&g, g.t->secret));
        }
        if (g.event == STUB_BROKEN)
            renew(&g, &k);
    }
    kicker_end(&k);
    rig_close(&g);
}
END_TEST

/* ---- two threads ---- */

/* The second writes all that it can of the first one's signal stack, while that has events and is
 * given mappings. */
START_TEST(test_scribbler)
{
    static const uint8_t code[] = {
        0x48, 0xbf, 0, 0, 0, 0, 0, 0, 0, 0, /* 1: mov $stack, %rdi */
        0xb9, 0, 0x0a, 0, 0,                /* mov $(STUB_STACK_SIZE / 8), %ecx */
        0x48, 0x69, 0xc0, 0x6d, 0x4e, 0xc6, 0x41, /* 2: imul $0x41c64e6d, %rax, %rax */
        0x48, 0x05, 0x39, 0x30, 0, 0,       /* add $12345, %rax */
        0x48, 0x89, 0x07,                   /* mov %rax, (%rdi) */
        0x48, 0x83, 0xc7, 0x08,             /* add $8, %rdi */
        0xff, 0xc9,                         /* dec %ecx */
        0x75, 0xe8,                         /* jnz 2b */
        0xeb, 0xd7,                         /* jmp 1b */
    };
    const uint64_t stack = REGION + STUB_STACK_AT;
    struct kicker unused = {.lock = PTHREAD_MUTEX_INITIALIZER};
    unsigned ends = 0;
    struct rig g;

    _Static_assert(STUB_STACK_SIZE / 8 == 0xa00, "");
    rig_open(&g, 2);
    CODE_BYTES(&g, 0x48, 0x8b, 0x03, 0x0f, 0x05); /* mov (%rbx), %rax; syscall */
    memcpy(g.memory + 0x100, code, sizeof(code));
    memcpy(g.memory + 0x102, &stack, sizeof(stack));
    rig_map(&g);
    ck_assert_int_eq(stub_flush(g.t), 0);
    for (unsigned round = 0; round < 10; round++) {
        struct second c = {0};

        c.regs.gpr[0] = 0x123456789abcdef;
        second_start(&c, &g);
        for (unsigned i = 0; i < 100; i++) {
            struct stub_regs r = {.rip = CODE};
            int e;

            r.gpr[3] = DATA + 0x5000;
            ck_assert(i & 1 ? stub_unmap(g.t, DATA + 0x5000, 4096)
                            : stub_map(g.t, DATA + 0x5000, 4096, 0x2000, PROT_READ));
            e = stub_run(g.t, &r, &g.event, &g.address);
            ck_assert_msg(e || g.event != STUB_DIED, "nobody killed it");
            if (e || g.event == STUB_BROKEN) {
                ends++;
                break;
            }
        }
        second_end(&c);
        renew(&g, &unused);
        ck_assert_int_eq(stub_flush(g.t), 0);
    }
    ck_assert_uint_gt(ends, 0); /* it did do something */
    rig_close(&g);
}
END_TEST

static void add_tests(Suite *s)
{
    rig_add_loop(s, "test_jumps", test_jumps, 4);
    UNIT_TEST(s, test_calls_of_user_code);
    rig_add_loop(s, "test_calls_of_its_code", test_calls_of_its_code, 5);
    rig_add_loop(s, "test_forged_frame", test_forged_frame, 6);
    UNIT_TEST(s, test_open_is_not_close);
    UNIT_TEST(s, test_early_kicks);
    UNIT_TEST(s, test_step_secret);
    UNIT_TEST(s, test_step_secret_hidden);
    UNIT_TEST(s, test_meeting);
    UNIT_TEST(s, test_kick_secret);
    UNIT_TEST(s, test_scribbler);
}

UNIT_TEST_MAIN_UNLESS("stub_hostile", add_tests, no_stubs_here())
