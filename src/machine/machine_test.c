/* SPDX-License-Identifier: MIT */
/* The life of machines, on the fake backend: the "kernel" is an ELF file whose code is a script of
 * struct fake_op. */
#include "unit.h"

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "board/pc/board.h"
#include "entries.h"
#include "machine/machine_fixture.h"
#include "machine/machine_impl.h"

static struct vz_machine *make_with(const char *kernel, unsigned cpus, bool stop_at_reset,
                                    const struct vz_machine_options *options)
{
    struct vz_config *c = make_config(kernel, cpus, stop_at_reset);
    struct vz_error err = {0};
    struct vz_machine *m = vz_machine_new(c, options, &err);

    ck_assert_msg(m != NULL, "%s", err.text);
    vz_config_unref(c);
    return m;
}

static struct vz_machine *make(const char *kernel, unsigned cpus, bool stop_at_reset)
{
    return make_with(kernel, cpus, stop_at_reset, NULL);
}

/* Run ops to their end, twice. */
static struct vz_machine_end run(const struct fake_op *ops, size_t count, unsigned cpus,
                                 bool stop_at_reset)
{
    struct file f = write_kernel(ops, count);
    struct vz_machine *m = make(f.path, cpus, stop_at_reset);
    struct vz_machine_end end, again;
    struct vz_error err = {0};

    ck_assert_msg(vz_machine_start_wait(m, &err) == 0, "%s", err.text);
    vz_machine_wait(m, &end);
    ck_assert_msg(vz_machine_start_wait(m, &err) == 0, "%s", err.text);
    vz_machine_wait(m, &again);
    ck_assert_int_eq(end.reason, again.reason);
    vz_machine_free(m);
    unlink(f.path);
    return end;
}

START_TEST(machine_ends_with_a_triple_fault)
{
    static const struct fake_op ops[] = {{FAKE_SHUTDOWN}};
    struct vz_machine_end end = run(ops, 1, 2, false);

    ck_assert_int_eq(end.reason, VZ_END_FAULT);
    ck_assert_msg(strstr(end.text, "triple fault") && strstr(end.text, "0x200000"), "%s", end.text);
}
END_TEST

START_TEST(machine_ends_with_an_internal_error)
{
    static const struct fake_op ops[] = {{FAKE_ERROR}};
    struct vz_machine_end end = run(ops, 1, 1, false);

    ck_assert_int_eq(end.reason, VZ_END_ERROR);
    ck_assert_msg(strstr(end.text, "internal error") != NULL, "%s", end.text);
}
END_TEST

START_TEST(machine_ends_as_its_devices_ask)
{
    static const struct fake_op debug[] = {{FAKE_PORT_WRITE, 1, 0xf4, 0x21}, {FAKE_WAIT}};
    static const struct fake_op reset[] = {{FAKE_PORT_WRITE, 1, 0x64, 0xfe}, {FAKE_WAIT}};
    struct vz_machine_end end = run(debug, 2, 2, false);

    ck_assert_int_eq(end.reason, VZ_END_DEBUG_EXIT);
    ck_assert_uint_eq(end.debug_code, 0x21);
    end = run(reset, 2, 2, true);
    ck_assert_int_eq(end.reason, VZ_END_RESET);
}
END_TEST

struct panics {
    _Atomic unsigned with, without;
};

static void on_panicked(void *arg, struct vz_machine *m, bool crash_kernel)
{
    struct panics *p = arg;

    if (crash_kernel)
        p->with++;
    else
        p->without++;
}

/* A crash kernel is told of, and goes on; the second panic ends the run. */
START_TEST(machine_ends_with_a_panic)
{
    static const struct fake_op ops[] = {{FAKE_PORT_READ, 1, 0x505, 3},
                                         {FAKE_PORT_WRITE, 1, 0x505, 2},
                                         {FAKE_PORT_WRITE, 1, 0x505, 1}, {FAKE_WAIT}};
    struct vz_machine_delegate delegate = VZ_MACHINE_DELEGATE_INIT;
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct file f = write_kernel(ops, 4);
    struct panics panics = {0};
    struct vz_machine_end end;
    struct vz_machine *m;

    delegate.guest_panicked = on_panicked;
    o.delegate = &delegate;
    o.delegate_arg = &panics;
    m = make_with(f.path, 2, false, &o);
    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    vz_machine_wait(m, &end);
    ck_assert_int_eq(end.reason, VZ_END_PANIC);
    ck_assert_str_eq(end.text, "the guest's kernel panicked");
    ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_STOPPED);
    vz_machine_free(m);
    ck_assert_uint_eq(panics.with, 1);
    ck_assert_uint_eq(panics.without, 1);
    unlink(f.path);
}
END_TEST

START_TEST(a_panic_may_be_ignored)
{
    static const struct fake_op ops[] = {{FAKE_PORT_WRITE, 1, 0x505, 1},
                                         {FAKE_PORT_WRITE, 1, 0xf4, 7}, {FAKE_WAIT}};
    struct file f = write_kernel(ops, 3);
    struct vz_config *c = make_config(f.path, 1, false);
    struct vz_machine_end end;
    struct vz_machine *m;

    vz_config_set_continue_at_panic(c, true);
    m = vz_machine_new(c, NULL, NULL);
    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    vz_machine_wait(m, &end);
    ck_assert_int_eq(end.reason, VZ_END_DEBUG_EXIT);
    vz_machine_free(m);
    vz_config_unref(c);
    unlink(f.path);
}
END_TEST

static void count_resets(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, "machine.resets"))
        *(uint64_t *)arg = value;
}

START_TEST(machine_reboots_until_it_is_stopped)
{
    static const struct fake_op ops[] = {{FAKE_PORT_WRITE, 1, 0x64, 0xfe}, {FAKE_WAIT}};
    struct file f = write_kernel(ops, 2);
    struct vz_machine *m = make(f.path, 3, false);
    struct vz_machine_end end;
    uint64_t resets = 0;

    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    while (resets < 5) {
        usleep(1000);
        vz_machine_stats(m, count_resets, &resets);
    }
    ck_assert_int_eq(vz_machine_stop_wait(m, NULL), 0);
    vz_machine_wait(m, &end);
    ck_assert_int_eq(end.reason, VZ_END_STOPPED);
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

static const struct fake_op waiting[] = {{FAKE_WAIT}};
/* Writes to port 0x80 for ever. */
static const struct fake_op busy[] = {{FAKE_PORT_WRITE, 1, 0x80, 1}, {FAKE_JUMP, 0, LOAD_ADDR, 0}};

START_TEST(machines_live_side_by_side)
{
    struct file f = write_kernel(waiting, 1);
    struct vz_machine *a = make(f.path, 4, false), *b = make(f.path, 1, false);
    struct vz_machine_end end;

    ck_assert_int_eq(vz_machine_start_wait(a, NULL), 0);
    ck_assert_int_eq(vz_machine_start_wait(b, NULL), 0);
    ck_assert_int_eq(vz_machine_stop_wait(a, NULL), 0);
    vz_machine_wait(a, &end);
    ck_assert_int_eq(end.reason, VZ_END_STOPPED);
    ck_assert_int_eq(vz_machine_get_state(b), VZ_STATE_RUNNING);
    vz_machine_free(a);
    vz_machine_free(b); /* still running */
    unlink(f.path);
}
END_TEST

START_TEST(machine_that_cannot_start_is_in_error)
{
    struct file f = write_kernel(waiting, 1);
    struct vz_machine *m = make(f.path, 2, false);
    struct vz_machine_end end;
    struct vz_error err = {0};

    vz_machine_wait(m, &end);
    ck_assert_int_eq(end.reason, VZ_END_STOPPED);
    unlink(f.path);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(vz_machine_start_wait(m, &err), -1);
        ck_assert_int_eq(err.code, VZ_ERROR_IO);
        ck_assert_msg(strstr(err.text, f.path) != NULL, "%s", err.text);
        ck_assert_int_eq(vz_machine_get_state(m), VZ_STATE_ERROR);
        vz_machine_wait(m, &end);
        ck_assert_int_eq(end.reason, VZ_END_ERROR);
    }
    vz_machine_free(m);
    vz_machine_free(NULL);
}
END_TEST

START_TEST(machine_refuses_what_does_not_validate)
{
    struct vz_config *c = make_config("/nonexistent/kernel", 1, false);
    struct vz_error err = {0};

    ck_assert_ptr_null(vz_machine_new(c, NULL, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    vz_config_set_accel(c, "warp", NULL);
    ck_assert_ptr_null(vz_machine_new(c, NULL, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    vz_config_unref(c);
}
END_TEST

/* ---- States --------------------------------------------------------------------------------- */

enum operation { START, PAUSE, RESUME, STOP, REQUEST_STOP, OPERATIONS };

static int operate(struct vz_machine *m, enum operation op, struct vz_error *err)
{
    switch (op) {
    case START:
        return vz_machine_start_wait(m, err);
    case PAUSE:
        return vz_machine_pause_wait(m, err);
    case RESUME:
        return vz_machine_resume_wait(m, err);
    case STOP:
        return vz_machine_stop_wait(m, err);
    default:
        return vz_machine_request_stop(m, err);
    }
}

static bool can(struct vz_machine *m, enum operation op)
{
    switch (op) {
    case START:
        return vz_machine_can_start(m);
    case PAUSE:
        return vz_machine_can_pause(m);
    case RESUME:
        return vz_machine_can_resume(m);
    case STOP:
        return vz_machine_can_stop(m);
    default:
        return vz_machine_can_request_stop(m);
    }
}

static void bring_to(struct vz_machine *m, enum vz_machine_state state, const char *kernel)
{
    char hidden[80];

    if (state == VZ_STATE_ERROR) {
        snprintf(hidden, sizeof(hidden), "%s.hidden", kernel);
        ck_assert_int_eq(rename(kernel, hidden), 0);
        ck_assert_int_eq(vz_machine_start_wait(m, NULL), -1);
        ck_assert_int_eq(rename(hidden, kernel), 0);
    } else if (state != VZ_STATE_STOPPED) {
        ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
        if (state == VZ_STATE_PAUSED)
            ck_assert_int_eq(vz_machine_pause_wait(m, NULL), 0);
    }
    ck_assert_int_eq(vz_machine_get_state(m), state);
}

START_TEST(every_operation_in_every_state)
{
    /* The state afterwards, -1: refused. */
    static const struct {
        enum vz_machine_state from;
        int to[OPERATIONS];
    } table[] = {
        {VZ_STATE_STOPPED, {VZ_STATE_RUNNING, -1, -1, -1, -1}},
        {VZ_STATE_ERROR, {VZ_STATE_RUNNING, -1, -1, -1, -1}},
        {VZ_STATE_RUNNING, {-1, VZ_STATE_PAUSED, -1, VZ_STATE_STOPPED, VZ_STATE_RUNNING}},
        {VZ_STATE_PAUSED, {-1, -1, VZ_STATE_RUNNING, VZ_STATE_STOPPED, -1}},
    };
    struct file f = write_kernel(busy, 2);

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        for (enum operation op = 0; op < OPERATIONS; op++) {
            struct vz_machine *m = make(f.path, 2, false);
            struct vz_error err = {0};
            int to = table[i].to[op];

            bring_to(m, table[i].from, f.path);
            ck_assert_int_eq(can(m, op), to >= 0);
            ck_assert_int_eq(operate(m, op, &err), to < 0 ? -1 : 0);
            if (to < 0)
                ck_assert_int_eq(err.code, op == REQUEST_STOP ? VZ_ERROR_INVALID_STATE
                                                              : VZ_ERROR_INVALID_TRANSITION);
            ck_assert_int_eq(vz_machine_get_state(m), to < 0 ? table[i].from : (unsigned)to);
            vz_machine_free(m);
        }
    }
    unlink(f.path);
}
END_TEST

static void count_ports(void *arg, const char *name, uint64_t value)
{
    if (!strcmp(name, "bus.port_writes"))
        *(uint64_t *)arg = value;
}

/* Of a resume: at once something else, before the CPUs were let go. */
static void pause_again(void *arg, struct vz_machine *m, const struct vz_error *err)
{
    _Atomic unsigned *left = arg;

    ck_assert_ptr_null(err);
    if (!vz_machine_can_pause(m)) { /* it is paused: a pause's completion */
        ck_assert_int_eq(vz_machine_resume(m, pause_again, arg), 0);
    } else if (*left && --*left) {
        ck_assert_int_eq(vz_machine_pause(m, pause_again, arg), 0);
    } else {
        ck_assert_int_eq(vz_machine_stop(m, NULL, NULL), 0);
    }
}

START_TEST(a_resume_may_be_followed_by_anything_at_once)
{
    struct vz_machine_end end;
    struct file f = write_kernel(busy, 2);
    struct vz_machine *m = make(f.path, 2, false);
    _Atomic unsigned left = 20;

    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    ck_assert_int_eq(vz_machine_pause(m, pause_again, &left), 0);
    vz_machine_wait(m, &end);
    ck_assert_int_eq(end.reason, VZ_END_STOPPED);
    ck_assert_uint_eq(left, 0);
    /* And from another thread, as it falls. */
    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    for (unsigned n = 0; n < 1000; n++) {
        ck_assert_int_eq(vz_machine_pause_wait(m, NULL), 0);
        ck_assert_int_eq(vz_machine_resume_wait(m, NULL), 0);
    }
    ck_assert_int_eq(vz_machine_stop_wait(m, NULL), 0);
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

/* A guest that resets itself all the time, under a program that pauses it all the time and presses
 * its power button meanwhile: requests of both kinds in one queue. */
static void *press_and_pause(void *arg)
{
    struct vz_machine *m = arg;

    for (unsigned i = 0; i < 300; i++) {
        vz_machine_request_stop(m, NULL); /* refused while it is paused, and ignored by the guest */
        ck_assert_int_eq(vz_machine_pause_wait(m, NULL), 0);
        if (i % 5 == 0)
            usleep(500);
        ck_assert_int_eq(vz_machine_resume_wait(m, NULL), 0);
    }
    return NULL;
}

START_TEST(resets_and_pauses_do_not_lose_each_other)
{
    static const struct fake_op ops[] = {{FAKE_PORT_WRITE, 1, 0x64, 0xfe}, {FAKE_WAIT}};
    struct file f = write_kernel(ops, 2);
    struct vz_machine *m = make(f.path, 3, false);
    uint64_t before = 0, after = 0;
    pthread_t thread;

    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, press_and_pause, m), 0);
    for (unsigned i = 0; i < 300; i++)
        vz_machine_request_stop(m, NULL);
    pthread_join(thread, NULL);
    vz_machine_stats(m, count_resets, &before);
    ck_assert_uint_gt(before, 0);
    while (after <= before) { /* and it still resets itself */
        usleep(1000);
        vz_machine_stats(m, count_resets, &after);
    }
    ck_assert_int_eq(vz_machine_stop_wait(m, NULL), 0);
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

START_TEST(paused_machine_stands_still)
{
    struct file f = write_kernel(busy, 2);
    struct vz_machine *m = make(f.path, 2, false);
    uint64_t before = 0, after = 0;

    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    for (unsigned i = 0; i < 50; i++) {
        ck_assert_int_eq(vz_machine_pause_wait(m, NULL), 0);
        ck_assert_int_eq(vz_machine_resume_wait(m, NULL), 0);
    }
    ck_assert_int_eq(vz_machine_pause_wait(m, NULL), 0);
    vz_machine_stats(m, count_ports, &before);
    usleep(20000);
    vz_machine_stats(m, count_ports, &after);
    ck_assert_uint_eq(before, after);
    ck_assert_int_eq(vz_machine_resume_wait(m, NULL), 0);
    while (after == before) {
        usleep(1000);
        vz_machine_stats(m, count_ports, &after);
    }
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

/* ---- Completions and events ----------------------------------------------------------------- */

struct seen {
    pthread_mutex_t lock;
    unsigned done[4], failed[4]; /* by operation */
    char states[256];            /* "starting running ..." */
    unsigned stops, errors;
    pthread_t thread;
};

static void on_state(void *arg, struct vz_machine *m, enum vz_machine_state state)
{
    struct seen *seen = arg;
    size_t len;

    pthread_mutex_lock(&seen->lock);
    len = strlen(seen->states);
    snprintf(seen->states + len, sizeof(seen->states) - len, "%s ", vz_machine_state_name(state));
    seen->thread = pthread_self();
    pthread_mutex_unlock(&seen->lock);
}

static void on_stop(void *arg, struct vz_machine *m, const struct vz_machine_end *end)
{
    ((struct seen *)arg)->stops++;
}

static void on_error(void *arg, struct vz_machine *m, const struct vz_machine_end *end)
{
    ((struct seen *)arg)->errors++;
}

static const struct vz_machine_delegate delegate = {
    .size = sizeof(delegate), .state_changed = on_state, .guest_did_stop = on_stop,
    .did_stop_with_error = on_error};

struct call {
    struct seen *seen;
    enum operation op;
};

static void on_done(void *arg, struct vz_machine *m, const struct vz_error *err)
{
    struct call *call = arg;

    pthread_mutex_lock(&call->seen->lock);
    if (err)
        call->seen->failed[call->op]++;
    else
        call->seen->done[call->op]++;
    pthread_mutex_unlock(&call->seen->lock);
}

/* Strict memory (mem.h): who does not ask after a rest is found, too. */
START_TEST(each_rest_takes_back_guest_memory)
{
    static const struct fake_op ops[] = {{FAKE_WAIT}};
    struct file f = write_kernel(ops, 1);
    struct vz_machine *m = make(f.path, 1, false);
    struct mem *mem;
    int (*const rest[])(struct vz_machine *, struct vz_error *) = {vz_machine_pause_wait,
                                                                   vz_machine_resume_wait};

    ck_assert_int_eq(setenv("VZ_STRICT_MEMORY", "1", 1), 0);
    ck_assert_int_eq(vz_machine_start_wait(m, NULL), 0);
    mem = m->parts.board->mem;
    for (unsigned n = 0; n < 4; n++) {
        mem_own(mem, mem->base, 1);
        ck_assert(mem_may_store(mem, mem->base));
        ck_assert_int_eq(rest[n % 2](m, NULL), 0);
        ck_assert(!mem_may_store(mem, mem->base));
    }
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

START_TEST(completions_come_exactly_once_each)
{
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct call calls[4] = {{&seen, START}, {&seen, PAUSE}, {&seen, RESUME}, {&seen, STOP}};
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct file f = write_kernel(busy, 2);
    struct vz_machine *m;
    unsigned sum = 0;

    o.delegate = &delegate;
    o.delegate_arg = &seen;
    m = make_with(f.path, 3, false, &o);
    for (unsigned i = 0; i < 400; i++) {
        switch (i % 7) {
        case 0: case 3:
            ck_assert_int_eq(vz_machine_start(m, on_done, &calls[0]), 0);
            break;
        case 1: case 6:
            ck_assert_int_eq(vz_machine_pause(m, on_done, &calls[1]), 0);
            break;
        case 2: case 4:
            ck_assert_int_eq(vz_machine_resume(m, on_done, &calls[2]), 0);
            break;
        default:
            ck_assert_int_eq(vz_machine_stop(m, on_done, &calls[3]), 0);
        }
        if (i % 3)
            usleep(300 * (i % 5));
    }
    vz_machine_free(m);
    for (unsigned i = 0; i < 4; i++)
        sum += seen.done[i] + seen.failed[i];
    ck_assert_uint_eq(sum, 400);
    ck_assert_uint_gt(seen.done[START], 0);
    ck_assert_uint_gt(seen.failed[START], 0);
    ck_assert(!pthread_equal(seen.thread, pthread_self()));
    unlink(f.path);
}
END_TEST

START_TEST(everything_can_be_driven_from_a_descriptor)
{
    static const struct fake_op off[] = {{FAKE_PORT_WRITE, 1, 0xf4, 1}, {FAKE_WAIT}};
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct call start = {&seen, START};
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct file f = write_kernel(off, 2);
    struct vz_machine *m;
    struct pollfd p = {.events = POLLIN};

    o.delegate = &delegate;
    o.delegate_arg = &seen;
    o.use_events_fd = true;
    m = make_with(f.path, 1, false, &o);
    p.fd = vz_machine_events_fd(m);
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    ck_assert_int_eq(vz_machine_start(m, on_done, &start), 0);
    vz_machine_wait(m, NULL);
    ck_assert_uint_eq(seen.done[START], 0); /* nothing before it is fetched */
    while (!seen.stops) {
        ck_assert_int_eq(poll(&p, 1, 5000), 1);
        vz_machine_dispatch(m);
    }
    ck_assert_uint_eq(seen.done[START], 1);
    ck_assert_str_eq(seen.states, "starting running stopped ");
    ck_assert(pthread_equal(seen.thread, pthread_self()));
    ck_assert_int_eq(poll(&p, 1, 0), 0);
    ck_assert_uint_eq(vz_machine_dispatch(m), 0);
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

static void start_again(void *arg, struct vz_machine *m, const struct vz_machine_end *end)
{
    unsigned *count = arg;
    struct vz_error err = {0};

    ck_assert_int_eq(vz_machine_start_wait(m, &err), -1); /* would wait for itself */
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    if (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) < 5)
        ck_assert_int_eq(vz_machine_start(m, NULL, NULL), 0);
}

START_TEST(callbacks_may_call_back)
{
    static const struct fake_op fault[] = {{FAKE_SHUTDOWN}};
    struct vz_machine_delegate d = VZ_MACHINE_DELEGATE_INIT;
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct file f = write_kernel(fault, 1);
    struct vz_machine *m;
    unsigned count = 0;

    d.did_stop_with_error = start_again;
    o.delegate = &d;
    o.delegate_arg = &count;
    m = make_with(f.path, 2, false, &o);
    ck_assert_int_eq(vz_machine_start(m, NULL, NULL), 0);
    while (__atomic_load_n(&count, __ATOMIC_SEQ_CST) < 5)
        usleep(1000);
    vz_machine_free(m);
    unlink(f.path);
}
END_TEST

/* ---- Leaks ---------------------------------------------------------------------------------- */

static uint64_t heap(void)
{
    return mallinfo2().uordblks;
}

static void live_once(const char *kernel, unsigned i)
{
    struct vz_machine *m = make(kernel, 1 + i % 3, false);

    if (i % 4)
        ck_assert_int_eq(vz_machine_start(m, NULL, NULL), 0);
    if (i % 4 == 2)
        vz_machine_stop_wait(m, NULL);
    if (i % 4 == 3)
        vz_machine_pause_wait(m, NULL);
    vz_machine_free(m); /* new, starting, stopped or paused */
}

START_TEST(nothing_leaks)
{
    struct file f = write_kernel(busy, 2);
    unsigned fds, threads;
    uint64_t bytes;

    for (unsigned i = 0; i < 8; i++)
        live_once(f.path, i);
    fds = count_fds();
    threads = count_threads();
    bytes = heap();
    for (unsigned i = 0; i < 200; i++)
        live_once(f.path, i);
    ck_assert_uint_eq(count_fds(), fds);
    ck_assert_uint_eq(count_threads(), threads);
    /* The allocator's caches keep a little; leak checkers of sanitized builds see the rest. */
    if (!VZ_SANITIZED)
        ck_assert_uint_le(heap(), bytes + 200 * 16);
    unlink(f.path);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, machine_ends_with_a_triple_fault);
    UNIT_TEST(s, machine_ends_with_an_internal_error);
    UNIT_TEST(s, machine_ends_as_its_devices_ask);
    UNIT_TEST(s, machine_ends_with_a_panic);
    UNIT_TEST(s, a_panic_may_be_ignored);
    UNIT_TEST(s, machine_reboots_until_it_is_stopped);
    UNIT_TEST(s, machines_live_side_by_side);
    UNIT_TEST(s, machine_that_cannot_start_is_in_error);
    UNIT_TEST(s, machine_refuses_what_does_not_validate);
    UNIT_TEST(s, every_operation_in_every_state);
    UNIT_TEST(s, resets_and_pauses_do_not_lose_each_other);
    UNIT_TEST(s, paused_machine_stands_still);
    UNIT_TEST(s, a_resume_may_be_followed_by_anything_at_once);
    UNIT_TEST(s, each_rest_takes_back_guest_memory);
    UNIT_TEST(s, completions_come_exactly_once_each);
    UNIT_TEST(s, everything_can_be_driven_from_a_descriptor);
    UNIT_TEST(s, callbacks_may_call_back);
    UNIT_TEST(s, nothing_leaks);
}

UNIT_TEST_MAIN("machine", add_tests)
