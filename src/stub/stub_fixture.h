/* SPDX-License-Identifier: MIT */
/* A machine's worth of stubs for tests: some RAM, a host, one stub, and code to run in it. */
#ifndef VZ_STUB_STUB_FIXTURE_H
#define VZ_STUB_STUB_FIXTURE_H

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stub/stub.h"
#include "unit.h"

#define RAM_SIZE  (4 * MIB)
#define REGION    UINT64_C(0x500000000000)
#define CODE      UINT64_C(0x10000000) /* the first page of RAM */
#define DATA      UINT64_C(0x20000000) /* the second */

/* Why a host can have no stubs, for UNIT_TEST_MAIN_UNLESS(); NULL: it can. */
static inline const char *no_stubs_here(void)
{
    return getauxval(AT_HWCAP2) & BIT(1) /* HWCAP2_FSGSBASE */
               ? NULL : "programs may not use RDFSBASE here, so there are no stubs";
}

struct rig {
    int ram, ram_ro;
    uint8_t *memory;
    struct stub_host *host;
    struct stub *stub;
    struct stub_thread *t;
    struct stub_regs regs;
    enum stub_event event;
    uint64_t address;
};

/* A stub that is like any other, with its own pages there. */
#define AT(at) (&(struct stub_wish){.region = (at)})

static inline void rig_open(struct rig *g, unsigned threads)
{
    char why[160], path[64];
    struct stub_host_options options = {.threads = threads, .name = "stub-test"};
    int r;

    *g = (struct rig){.ram = memfd_create("ram", MFD_CLOEXEC)};
    ck_assert_int_ge(g->ram, 0);
    ck_assert_int_eq(ftruncate(g->ram, RAM_SIZE), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", g->ram);
    g->ram_ro = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(g->ram_ro, 0);
    g->memory = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->ram, 0);
    ck_assert_ptr_ne(g->memory, MAP_FAILED);
    options.ram = g->ram;
    options.ram_ro = g->ram_ro;
    r = stub_host_create(&g->host, &options, why);
    ck_assert_msg(r == 0, "%d: %s", r, why);
    ck_assert_msg(stub_host_probe(g->host)->works, "%s", stub_host_probe(g->host)->why);
    ck_assert_int_eq(stub_create(&g->stub, g->host, AT(REGION)), 0);
    g->t = stub_thread(g->stub, 0);
}

static inline void rig_close(struct rig *g)
{
    stub_destroy(g->stub);
    stub_host_destroy(g->host);
    munmap(g->memory, RAM_SIZE);
    close(g->ram);
    close(g->ram_ro);
}

/* Bytes at the beginning of the page of code. */
#define CODE_BYTES(g, ...)                                                                         \
    do {                                                                                           \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                             \
        memcpy((g)->memory, bytes_, sizeof(bytes_));                                               \
    } while (0)

/* The pages of code and data mapped, RIP at the code, RSP at the end of the data. */
static inline void rig_map(struct rig *g)
{
    ck_assert(stub_map(g->t, CODE, 4096, 0, PROT_READ | PROT_EXEC));
    ck_assert(stub_map(g->t, DATA, 4096, 4096, PROT_READ | PROT_WRITE));
    g->regs = (struct stub_regs){.rip = CODE};
    g->regs.gpr[4] = DATA + 4096;
}

static inline void rig_run(struct rig *g)
{
    int r = stub_run(g->t, &g->regs, &g->event, &g->address);

    ck_assert_msg(r == 0, "stub_run: %s", strerror(-r));
}

static inline void rig_add_loop(Suite *s, const char *name, const TTest *test, int count)
{
    TCase *c = tcase_create(name);

    tcase_set_timeout(c, 240); /* hundreds of stubs each, and a busy machine may be emulated besides */
    tcase_add_loop_test(c, test, 0, count);
    suite_add_tcase(s, c);
}

#endif
