/* SPDX-License-Identifier: MIT */
/* Beginnings and ends: nothing is left behind, whoever dies when. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "entries.h"
#include "forbid_call.h"
#include "stub/stub_fixture.h"
#include "stub/stub_impl.h"

/* ---- what there is ---- */

/* Processes of this name, ended ones that nobody has waited for among them. *first is one. */
static unsigned processes(const char *name, pid_t *first)
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    unsigned count = 0;

    ck_assert_ptr_nonnull(dir);
    while ((e = readdir(dir))) {
        char path[300], comm[64] = "";
        FILE *f;

        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
        f = fopen(path, "re");
        if (!f)
            continue;
        if (fgets(comm, sizeof(comm), f) && !strncmp(comm, name, strlen(name)) &&
            comm[strlen(name)] == '\n' && !count++ && first)
            *first = atoi(e->d_name);
        fclose(f);
    }
    closedir(dir);
    return count;
}

static void await_processes(const char *name, unsigned count)
{
    for (unsigned i = 0; processes(name, NULL) != count; i++) {
        ck_assert_msg(i < 5000, "%u of them", processes(name, NULL));
        usleep(1000);
    }
}

/* ---- ordinary lives ---- */

static void *run_for_ever(void *arg)
{
    rig_run(arg);
    return NULL;
}

/* Begin, and wait until the stub's thread is waited for. */
static void start_for_ever(struct rig *g, pthread_t *ret)
{
    unsigned before = atomic_load(&g->t->exchanges);

    ck_assert_uint_eq(before % 2, 0);
    ck_assert_int_eq(pthread_create(ret, NULL, run_for_ever, g), 0);
    while (atomic_load(&g->t->exchanges) % 2 == 0)
        usleep(1000);
}

/* A stub that somebody has stopped holds up nobody who must stop; one that comes out is left alone. */
START_TEST(test_stopped)
{
    pthread_t thread;
    struct rig g;

    rig_open(&g, 1 + (unsigned)_i);
    g.host->patience_ms = 3000;
    rig_map(&g);
    CODE_BYTES(&g, 0xeb, 0xfe); /* jmp . */
    start_for_ever(&g, &thread);
    stub_host_watch(g.host);
    stub_kick(g.t);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(g.event, STUB_KICKED);
    start_for_ever(&g, &thread);
    ck_assert_int_eq(kill(g.stub->pid, SIGSTOP), 0);
    usleep(4000000); /* the first watch is over: this is another hand-over */
    ck_assert_int_eq(kill(g.stub->pid, 0), 0);
    ck_assert_uint_eq(atomic_load(&g.t->exchanges) % 2, 1);
    stub_kick(g.t);
    stub_host_watch(g.host);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(g.event, STUB_DIED);
    rig_close(&g);
}
END_TEST

/* As when all of this process has been stopped for longer than the patience, too, and goes on before its stub does. */
START_TEST(test_stopped_with_us)
{
    pthread_t thread;
    struct rig g;

    rig_open(&g, 1);
    g.host->patience_ms = 3000;
    rig_map(&g);
    CODE_BYTES(&g, 0xeb, 0xfe); /* jmp . */
    start_for_ever(&g, &thread);
    ck_assert_int_eq(kill(g.stub->pid, SIGSTOP), 0);
    stub_kick(g.t);
    stub_host_watch(g.host);
    usleep(400000);
    pthread_mutex_lock(&g.host->lock);
    usleep(4000000);
    pthread_mutex_unlock(&g.host->lock);
    usleep(400000);
    ck_assert_int_eq(kill(g.stub->pid, SIGCONT), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(g.event, STUB_KICKED);
    rig_close(&g);
}
END_TEST

START_TEST(test_nothing_left)
{
    unsigned before = count_fds();
    struct rig g;

    for (unsigned i = 0; i < 5; i++) {
        rig_open(&g, 1 + i % 3);
        rig_map(&g);
        CODE_BYTES(&g, 0x0f, 0x05);
        rig_run(&g);
        ck_assert_uint_gt(processes("stub-test", NULL), 0);
        rig_close(&g);
        /* Gone when it returns, but for the moment that init needs for its orphans. */
        await_processes("stub-test", 0);
        ck_assert_uint_eq(count_fds(), before);
        ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
        ck_assert_int_eq(errno, ECHILD);
    }
}
END_TEST

START_TEST(test_many)
{
    struct stub *s[16], *more;
    struct rig g;

    rig_open(&g, 2);
    s[0] = g.stub;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 1; i < 16; i++) {
            /* Also elsewhere than those that are ready. */
            ck_assert_int_eq(stub_create(&s[i], g.host, AT(REGION + (i % 3) * STUB_REGION)), 0);
            g.t = stub_thread(s[i], 1);
            rig_map(&g);
            CODE_BYTES(&g, 0x0f, 0x05);
            rig_run(&g);
            ck_assert_int_eq(g.event, STUB_SYSCALL);
        }
        ck_assert_int_eq(stub_create(&more, g.host, AT(REGION)), -EBUSY);
        for (unsigned i = 1; i < 16; i++)
            stub_destroy(s[i]);
    }
    ck_assert_int_eq(stub_create(&more, g.host, AT(REGION + 4096)), -EINVAL);
    ck_assert_int_eq(stub_create(&more, g.host, AT(0)), -EINVAL);
    ck_assert_int_eq(stub_create(&more, g.host, AT(STUB_ADDRESS_END)), -EINVAL);
    rig_close(&g);
}
END_TEST

START_TEST(test_two_hosts)
{
    struct rig a, b;

    rig_open(&a, 1);
    rig_open(&b, 1);
    CODE_BYTES(&a, 0x0f, 0x05);
    CODE_BYTES(&b, 0x90, 0x0f, 0x05);
    rig_map(&a);
    rig_map(&b);
    rig_run(&a);
    rig_close(&a);
    rig_run(&b);
    ck_assert_uint_eq(b.regs.rip, CODE + 1);
    rig_close(&b);
}
END_TEST

START_TEST(test_refusals)
{
    struct stub_host_options o = {.ram = -1, .ram_ro = -1};
    struct stub_host *h;
    struct rig g;

    ck_assert_int_eq(stub_host_create(&h, &o, NULL), -EINVAL);
    o.threads = STUB_THREADS_MAX + 1;
    ck_assert_int_eq(stub_host_create(&h, &o, NULL), -EINVAL);
    o.threads = 1;
    ck_assert_int_eq(stub_host_create(&h, &o, NULL), -EBADF);
    rig_open(&g, 1);
    ck_assert(!stub_map(g.t, REGION + 4096, 4096, 0, PROT_READ));
    ck_assert(!stub_map(g.t, REGION - 4096, STUB_REGION * 2, 0, PROT_READ));
    ck_assert(!stub_map(g.t, CODE + 1, 4096, 0, PROT_READ));
    ck_assert(!stub_map(g.t, CODE, 0, 0, PROT_READ));
    ck_assert(!stub_map(g.t, STUB_ADDRESS_END, 4096, 0, PROT_READ));
    ck_assert(!stub_unmap(g.t, REGION, 4096));
    ck_assert_uint_eq(stub_commands(g.t), 0);
    rig_map(&g);
    g.regs.rip = STUB_ADDRESS_END;
    ck_assert_int_eq(stub_run(g.t, &g.regs, &g.event, &g.address), -EINVAL);
    g.regs.rip = REGION + 5;
    ck_assert_int_eq(stub_run(g.t, &g.regs, &g.event, &g.address), -EINVAL);
    g.regs.rip = CODE;
    g.regs.fs_base = 0x800000000000;
    ck_assert_int_eq(stub_run(g.t, &g.regs, &g.event, &g.address), -EINVAL);
    rig_close(&g);
}
END_TEST

/* All the commands there is room for, and one that fails. */
START_TEST(test_commands)
{
    struct rig g;

    rig_open(&g, 1);
    rig_map(&g);
    CODE_BYTES(&g, 0x0f, 0x05);
    while (stub_map(g.t, DATA + 0x10000 + stub_commands(g.t) * 0x2000, 4096, 0x3000, PROT_READ))
        ;
    ck_assert_uint_eq(stub_commands(g.t), STUB_COMMANDS_MAX);
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_SYSCALL);
    ck_assert_uint_eq(stub_commands(g.t), 0);
    ck_assert(stub_map(g.t, DATA + 0x10000, 4096, UINT64_C(1) << 63, PROT_READ));
    ck_assert_int_lt(stub_run(g.t, &g.regs, &g.event, &g.address), 0);
    rig_close(&g);
}
END_TEST

/* ---- deaths ---- */

struct killer {
    pthread_t thread;
    unsigned after_us;
    pid_t pid;
};

static void *killer_main(void *arg)
{
    struct killer *k = arg;

    usleep(k->after_us);
    kill(k->pid, SIGKILL);
    return NULL;
}

static void kill_later(struct killer *k, pid_t pid, unsigned after_us)
{
    *k = (struct killer){.pid = pid, .after_us = after_us};
    ck_assert_int_eq(pthread_create(&k->thread, NULL, killer_main, k), 0);
}

/* Of the stub (even), or of the parent of all (odd): while it is inside, or somewhere between. */
START_TEST(test_killed)
{
    unsigned before = count_fds();
    struct killer k;
    struct rig g;
    int r = 0;

    rig_open(&g, 2);
    if (_i >= 8)
        g.host->recv_ends = false; /* as on older kernels */
    CODE_BYTES(&g, 0x0f, 0x05, 0xeb, 0xfe);
    rig_map(&g);
    kill_later(&k, _i & 1 ? g.host->parent.pid : g.stub->pid, 500 * (unsigned)_i);
    do {
        g.regs.rip = _i % 4 < 2 ? CODE : CODE + 2;
        r = stub_run(g.t, &g.regs, &g.event, &g.address);
    } while (r == 0 && g.event == STUB_SYSCALL);
    ck_assert_int_eq(r, 0);
    ck_assert_int_eq(g.event, STUB_DIED);
    pthread_join(k.thread, NULL);
    /* It stays dead, for its other thread too. */
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_DIED);
    g.t = stub_thread(g.stub, 1);
    rig_run(&g);
    ck_assert_int_eq(g.event, STUB_DIED);
    ck_assert_int_eq(stub_flush(g.t), -EIO);
    if (_i & 1) {
        struct stub *s[3];
        int e = 0, n = 0;

        /* Ready ones may be found, dead as well. */
        while (n < 3 && (e = stub_create(&s[n], g.host, AT(REGION))) == 0)
            n++;
        ck_assert_int_eq(e, -EIO);
        while (n)
            stub_destroy(s[--n]);
    }
    rig_close(&g);
    await_processes("stub-test", 0);
    ck_assert_uint_eq(count_fds(), before);
}
END_TEST

/* Of the process whose machine it is. */
START_TEST(test_orphans)
{
    for (unsigned i = 0; i < 8; i++) {
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            struct rig g;

            rig_open(&g, 2);
            CODE_BYTES(&g, 0xeb, 0xfe);
            rig_map(&g);
            if (i % 3)
                stub_destroy(g.stub);
            else
                rig_run(&g);
            pause();
        }
        usleep(i * 10000);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        await_processes("stub-test", 0);
        await_processes("vz-probe", 0);
    }
}
END_TEST

/* A user's machine is destroyed at any time after it was made. */
START_TEST(test_early_end)
{
    unsigned before = count_fds();

    for (unsigned i = 0; i < 20; i++) {
        struct stub_host_options o = {.threads = 2, .name = "stub-test"};
        struct stub_host *h;

        o.ram = memfd_create("ram", MFD_CLOEXEC);
        o.ram_ro = memfd_create("ram", MFD_CLOEXEC);
        ck_assert_int_eq(stub_host_create(&h, &o, NULL), 0);
        close(o.ram);
        close(o.ram_ro);
        usleep(i * 2000);
        stub_host_destroy(h);
        ck_assert_uint_eq(count_fds(), before);
    }
    await_processes("stub-test", 0);
}
END_TEST

/* ---- hosts that forbid ---- */

/* As a container's runtime may: no other filter can have a listener then. */
static void listen_already(void)
{
    const struct sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};

    install_filter(code, ARRAY_SIZE(code), SECCOMP_FILTER_FLAG_NEW_LISTENER);
}

static const struct {
    int nr, error;
    bool works;
} forbidden[] = {
    {-1, 0, false}, /* a listener */
    {SYS_seccomp, EPERM, false},
    {SYS_memfd_create, EPERM, false},
    {SYS_execveat, EACCES, false},
    {SYS_close_range, ENOSYS, false},
    {SYS_rt_sigaction, EPERM, false},
#if !VZ_SANITIZED /* sanitizers need it themselves */
    {SYS_sigaltstack, EPERM, false},
#endif
    {SYS_mount, EPERM, true},
    {SYS_capset, EPERM, true},
    {SYS_prlimit64, EPERM, true},
    {SYS_arch_prctl, ENOSYS, true},
    {SYS_pidfd_send_signal, ENOSYS, true},
};

START_TEST(test_forbidden)
{
    struct stub_host_options o = {.threads = 2, .name = "stub-test"};
    unsigned before = count_fds();
    const struct stub_probe *p;
    struct stub_host *h;
    struct stub *s;

    o.ram = memfd_create("ram", MFD_CLOEXEC);
    o.ram_ro = dup(o.ram);
    if (forbidden[_i].nr < 0)
        listen_already();
    else
        forbid_call(forbidden[_i].nr, forbidden[_i].error);
    before = count_fds();
    ck_assert_int_eq(stub_host_create(&h, &o, NULL), 0);
    p = stub_host_probe(h);
    ck_assert_msg(p->works == forbidden[_i].works, "%s", p->why);
    ck_assert(p->works == !p->why[0]);
    if (p->works) {
        ck_assert_int_eq(stub_create(&s, h, AT(REGION)), 0);
        stub_destroy(s);
    } else {
        ck_assert_int_lt(stub_create(&s, h, AT(REGION)), 0);
    }
    stub_host_destroy(h);
    await_processes("stub-test", 0);
    await_processes("vz-probe", 0);
    ck_assert_uint_eq(count_fds(), before);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, test_nothing_left);
    UNIT_TEST(s, test_many);
    UNIT_TEST(s, test_two_hosts);
    UNIT_TEST(s, test_refusals);
    UNIT_TEST(s, test_commands);
    rig_add_loop(s, "test_stopped", test_stopped, 2);
    UNIT_TEST(s, test_stopped_with_us);
    rig_add_loop(s, "test_killed", test_killed, 12);
    UNIT_TEST(s, test_orphans);
    UNIT_TEST(s, test_early_end);
    rig_add_loop(s, "test_forbidden", test_forbidden, ARRAY_SIZE(forbidden));
}

UNIT_TEST_MAIN_UNLESS("stub_life", add_tests, no_stubs_here())
