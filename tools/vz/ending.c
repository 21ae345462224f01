/* SPDX-License-Identifier: MIT */
/* How a run is made to end from outside: a signal that asks vz to end (kill, a closed terminal,
 * Ctrl-C where the terminal is not raw), the keys, --timeout. The first wish asks the guest by its
 * power button, and gives it some time; a second one, or the end of that time, turns the machine off.
 * Both ways nothing is left behind: no sockets, and nothing the guest said that is not written. A
 * third signal ends the process at once.
 *
 * Besides terminal.c the other place with mutable state outside of main()'s stack, for the same
 * reason: signal handlers have no other way to it. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"
#include "now_ms.h"
#include "quiet_thread.h"

#define ECHO_MS  500
#define AGAIN_MS 100

/* What comes through the pipe. */
enum wish { WISH_LEAVE = 'l', WISH_PRESS = 'p', WISH_OFF = 'o', WISH_AGAIN = 'a', WISH_QUIT = 'q' };

struct ending {
    struct vz_machine *machine;
    struct run_life life;
    const struct run_saved *saved;
    bool saves; /* the first wish does, instead of asking the guest */
    uint64_t pull_ms, timeout_ms, again_ms; /* when, by now_ms(); 0: not */
};

static int pipe_fd[2] = {-1, -1};
static volatile sig_atomic_t came;    /* which signal, or 0 */
static volatile sig_atomic_t count;   /* of them */
static volatile uint64_t last_ms;     /* when the last one came */
static atomic_bool timed_out;
static pthread_t thread;
static bool has_thread;
static struct ending ending;          /* the thread's */
static uint64_t deadline_ms;          /* of --timeout, by now_ms(): one for all machines of a run; 0: none yet */

static const int signals[] = {SIGHUP, SIGINT, SIGTERM};

static void wish(enum wish what)
{
    char byte = (char)what;
    ssize_t n = write(pipe_fd[1], &byte, 1);

    (void)n;
}

/* timeout(1) and others send a signal to the process and then to its group: that is one. */
static bool is_echo(void)
{
    uint64_t now = now_ms();
    bool echo = count && now - last_ms < ECHO_MS;

    last_ms = now;
    return echo;
}

static void on_signal(int sig)
{
    int keep = errno;

    if (is_echo())
        return;
    if (!came)
        came = sig;
    if (++count >= 2) { /* the next one is the end */
        terminal_restore();
        for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
            signal(signals[i], SIG_DFL);
    }
    wish(WISH_LEAVE);
    errno = keep;
}

/* Something else is under way, or the machine has ended. */
static void on_stopped(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    if (err && err->code == VZ_ERROR_INVALID_TRANSITION)
        wish(WISH_AGAIN);
}

static void turn_off(struct ending *e)
{
    e->pull_ms = e->timeout_ms = e->again_ms = 0;
    if (vz_machine_stop(e->machine, on_stopped, NULL) < 0)
        e->again_ms = now_ms() + AGAIN_MS;
}

static bool is_over(const struct ending *e)
{
    enum vz_machine_state state = vz_machine_get_state(e->machine);

    return state == VZ_STATE_STOPPED || state == VZ_STATE_ERROR || state == VZ_STATE_STOPPING;
}

/* A file, the guest's power button, or the plug. */
static void leave(struct ending *e)
{
    if (e->saves) {
        e->saves = false; /* when it fails, the next wish is another */
        if (run_saved_save(e->saved, e->machine))
            turn_off(e);
    } else if (e->pull_ms || !e->life.stop_ms) {
        turn_off(e);
    } else if (!vz_machine_hears_request_stop(e->machine) ||
               vz_machine_request_stop(e->machine, NULL) < 0) {
        cli_error("the guest does not listen to its power button: turning the machine off");
        turn_off(e);
    } else {
        e->pull_ms = now_ms() + e->life.stop_ms;
        cli_error("asked the guest to shut down, and waiting for it up to %llu s; once more turns "
                  "the machine off", (unsigned long long)(e->life.stop_ms + 999) / 1000);
    }
}

static void press(struct ending *e)
{
    if (!vz_machine_hears_request_stop(e->machine))
        cli_error("the guest does not listen to its power button");
    else if (vz_machine_request_stop(e->machine, NULL) == 0)
        cli_error("pressed the guest's power button");
}

/* Returns false when there will be no more. */
static bool on_wish(struct ending *e)
{
    char byte = 0;
    ssize_t n = read(pipe_fd[0], &byte, 1);

    if (n < 0)
        return errno == EINTR;
    if (byte == WISH_LEAVE)
        leave(e);
    else if (byte == WISH_PRESS)
        press(e);
    else if (byte == WISH_OFF)
        turn_off(e);
    else if (byte == WISH_AGAIN && !is_over(e))
        e->again_ms = now_ms() + AGAIN_MS;
    return n == 1 && byte != WISH_QUIT;
}

static void on_time(struct ending *e)
{
    uint64_t now = now_ms();

    if (e->timeout_ms && now >= e->timeout_ms) {
        atomic_store(&timed_out, true);
        cli_error("the time of --timeout is over: turning the machine off");
        turn_off(e);
    } else if (e->pull_ms && now >= e->pull_ms) {
        cli_error("the guest has not shut down: turning the machine off");
        turn_off(e);
    } else if (e->again_ms && now >= e->again_ms) {
        turn_off(e);
    }
}

/* How long poll() may wait. */
static int wait_ms(const struct ending *e)
{
    uint64_t first = e->pull_ms, now = now_ms();

    if (e->timeout_ms && (!first || e->timeout_ms < first))
        first = e->timeout_ms;
    if (e->again_ms && (!first || e->again_ms < first))
        first = e->again_ms;
    if (!first)
        return -1;
    if (first <= now)
        return 0;
    return first - now > 1000000 ? 1000000 : (int)(first - now);
}

static void *ending_thread(void *arg)
{
    struct ending *e = arg;
    struct pollfd p = {.fd = pipe_fd[0], .events = POLLIN};
    bool more = run_sandbox_lock(VZ_THREAD_CONTROLS, NULL);

    while (more) {
        int n = poll(&p, 1, wait_ms(e));

        if (n > 0)
            more = on_wish(e);
        on_time(e);
    }
    return NULL;
}

bool ending_prepare(void)
{
    struct sigaction old, sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    if (pipe2(pipe_fd, O_CLOEXEC) < 0)
        return false;
    sigfillset(&sa.sa_mask);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        /* What our parent told us to ignore (nohup) stays ignored. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &sa, NULL);
    }
    return true;
}

bool ending_start(struct vz_machine *machine, const struct run_life *life,
                  const struct run_saved *saved)
{
    if (life->timeout_ms && !deadline_ms)
        deadline_ms = now_ms() + life->timeout_ms;
    ending = (struct ending){.machine = machine, .life = *life, .saved = saved, .saves = saved->save != NULL,
                             .timeout_ms = deadline_ms};
    has_thread = quiet_thread_start(&thread, ending_thread, &ending);
    return has_thread;
}

void ending_leave(void)
{
    wish(WISH_LEAVE);
}

void ending_press(void)
{
    wish(WISH_PRESS);
}

void ending_turn_off(void)
{
    wish(WISH_OFF);
}

bool ending_timed_out(void)
{
    return atomic_load(&timed_out);
}

bool ending_came(void)
{
    return came;
}

void ending_stop(void)
{
    if (!has_thread)
        return;
    has_thread = false;
    wish(WISH_QUIT);
    pthread_join(thread, NULL);
}

void ending_finish(void)
{
    if (!came)
        return;
    signal(came, SIG_DFL);
    raise(came);
}
