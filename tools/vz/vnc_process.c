/* SPDX-License-Identifier: MIT */
#include "vnc_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vz/display_channel.h>

#include "cli.h"
#include "control/send_fd.h"
#include "create/helper_file.h"
#include "failure.h"
#include "now_ms.h"
#include "vnc/vnc_orders.h"

#define ANSWER_MS 20000 /* it may make a certificate first; but who is to give a password has the time that it takes */
#define VIEWS_MAX 16u   /* addresses that are asked for at once */
#define START_NUMBER 1u
#define OWED_MAX  64u   /* orders that it has not answered; others are not waited for any more */
#define WISH_MS   5     /* it gets no more than one channel in so long */
#define END_MS    2000u /* so long it may take to end */
#define ENVIRONMENT_MAX 16
#define FD_MIN    64    /* what a user has handed to vz, and names as a file, keeps its number */

struct view {
    uint32_t number; /* of its order */
    uint64_t end_ms; /* when it is not waited for any more */
    vnc_view_fn *done;
    void *arg;
};

struct vnc_process {
    struct vz_machine *machine;
    pid_t pid;      /* 0: not started */
    int orders;     /* -1: none */
    uint32_t asked; /* the number of the last order */
    unsigned owed;  /* so many orders have no answer yet; others than those it owes are not heard */
    struct view view[VIEWS_MAX]; /* the oldest first */
    unsigned view_count;
    struct vz_error start_error; /* what it said to the first order */
    int wants;      /* the thread's; -1: none */
    bool serves;    /* there is the thread */
    pthread_t thread;
    atomic_bool ending; /* it is asked to end, */
    atomic_bool ended;  /* or has ended */
    struct vz_display_channel *channel[VNC_CLIENTS_MAX]; /* the thread's, while there is one; NULL: none */
};

/* ---- What it asks for ------------------------------------------------------------------------ */

static void close_channel(struct vnc_process *p, unsigned client)
{
    vz_display_channel_free(p->channel[client]);
    p->channel[client] = NULL;
}

/* False: it is not heard. */
static bool open_channel(struct vnc_process *p, unsigned client)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct vnc_answer a = {.code = 0};
    int fd = -1;
    bool ok;

    close_channel(p, client);
    p->channel[client] = vz_display_channel_new(p->machine, 0, 0, &fd, &err);
    a.code = (int32_t)err.code;
    memcpy(a.text, err.text, sizeof(a.text));
    ok = send_with_fd(p->wants, &a, sizeof(a), fd, MSG_DONTWAIT) == (ssize_t)sizeof(a);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* False: it makes no sense. */
static bool grant(struct vnc_process *p, const struct vnc_wish *w)
{
    if (w->client >= VNC_CLIENTS_MAX || (w->kind != VNC_WISH_CHANNEL && w->kind != VNC_WISH_CLOSED))
        return false;
    if (w->kind == VNC_WISH_CLOSED) {
        close_channel(p, w->client);
        return true;
    }
    poll(NULL, 0, WISH_MS); /* a channel takes the machine's thread a moment, and who wants them without end gets it for nothing */
    return open_channel(p, w->client);
}

static void *serve(void *arg)
{
    struct vnc_process *p = arg;
    struct vnc_wish w;
    bool more = run_sandbox_lock(VZ_THREAD_SERVES, NULL);

    while (more) {
        ssize_t n = recv(p->wants, &w, sizeof(w), MSG_TRUNC);

        more = n == (ssize_t)sizeof(w) ? grant(p, &w) : n < 0 && errno == EINTR;
    }
    atomic_store(&p->ended, true);
    shutdown(p->wants, SHUT_RDWR);
    if (!atomic_load(&p->ending))
        cli_error("viewers by VNC and in browsers are gone, as their process (vz-vnc) has ended; the machine goes on");
    return NULL;
}

/* ---- What it is told ------------------------------------------------------------------------- */

/* It may have been told, or not. */
static bool tell(struct vnc_process *p, struct vnc_order *order, size_t len, int fd)
{
    order->number = ++p->asked;
    if (p->orders < 0 || p->owed >= OWED_MAX || send_with_fd(p->orders, order, len, fd, MSG_DONTWAIT) != (ssize_t)len)
        return false;
    p->owed++;
    return true;
}

static void fail_hangs(struct vz_error *err)
{
    fail(err, VZ_ERROR_INTERNAL, "the process for viewers by VNC and in browsers (vz-vnc) has ended, or hangs");
}

/* One answer, whatever it answers, and the file that came with it, or -1: 1. 0: not yet. -1: there is none any more. */
static int hear(struct vnc_process *p, struct vnc_answer *ret, int *ret_fd)
{
    ssize_t n = receive_with_fd(p->orders, ret, sizeof(*ret), MSG_DONTWAIT, ret_fd);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n == (ssize_t)sizeof(*ret)) {
        ret->text[sizeof(ret->text) - 1] = '\0';
        p->owed--;
        return 1;
    }
    close_received(*ret_fd);
    return -1;
}

/* Before the machine's process has anything else to do: what comes of the order. limit_ms -1: none. 0, or -1 and err. */
static int ask(struct vnc_process *p, struct vnc_order *order, size_t len, int fd, int limit_ms, struct vz_error *err)
{
    struct pollfd poll_fd = {.fd = p->orders, .events = POLLIN};
    struct vnc_answer a = {.code = 0};
    int r = -1, came = -1;

    if (tell(p, order, len, fd)) {
        do
            r = poll(&poll_fd, 1, limit_ms);
        while (r < 0 && errno == EINTR);
    }
    if (r <= 0 || hear(p, &a, &came) <= 0) {
        fail_hangs(err);
        return -1;
    }
    close_received(came);
    return a.code ? fail(err, (enum vz_error_code)a.code, "%s", a.text) : 0;
}

/* ---- Addresses that are asked for ------------------------------------------------------------ */

/* The file that came, or -1; of what is no file in memory somebody might wait for ever. */
static void end_view(struct vnc_process *p, unsigned i, const struct vnc_answer *a, int fd)
{
    const struct view v = p->view[i];
    struct vz_error err;

    p->view_count--;
    memmove(p->view + i, p->view + i + 1, (p->view_count - i) * sizeof(v));
    if (a && !a->code && fd_is_memory(fd)) {
        v.done(v.arg, fd, NULL);
        return;
    }
    close_received(fd);
    if (!a)
        fail_hangs(&err);
    else if (a->code)
        fail(&err, (enum vz_error_code)a->code, "%s", a->text);
    else
        fail(&err, VZ_ERROR_INTERNAL, "vz-vnc says no address");
    v.done(v.arg, -1, &err);
}

static void take_answer(struct vnc_process *p, const struct vnc_answer *a, int fd)
{
    for (unsigned i = 0; i < p->view_count; i++) {
        if (p->view[i].number == a->number) {
            end_view(p, i, a, fd);
            return;
        }
    }
    if (a->number == START_NUMBER && a->code)
        fail(&p->start_error, (enum vz_error_code)a->code, "%s", a->text);
    close_received(fd); /* to an order that was not waited for so long */
}

/* Those whose time is over by then; it is UINT64_MAX when nothing comes any more. */
static void end_views(struct vnc_process *p, uint64_t at_ms)
{
    while (p->view_count && p->view[0].end_ms <= at_ms)
        end_view(p, 0, NULL, -1);
}

void vnc_process_view(struct vnc_process *p, vnc_view_fn *done, void *arg)
{
    struct vnc_order o = {.kind = VNC_ORDER_VIEW};
    struct vz_error err = p->start_error;

    if (atomic_load(&p->ended))
        fail(&err, VZ_ERROR_INVALID_STATE, "the process for viewers by VNC and in browsers (vz-vnc) has ended; "
                                           "there is one again when the machine is started the next time");
    else if (!err.code && p->view_count == VIEWS_MAX)
        fail(&err, VZ_ERROR_INVALID_STATE, "too many addresses are asked for at this moment; try again");
    else if (!err.code && !tell(p, &o, sizeof(o), -1))
        fail_hangs(&err);
    if (err.code)
        done(arg, -1, &err);
    else
        p->view[p->view_count++] = (struct view){o.number, now_ms() + ANSWER_MS, done, arg};
}

int vnc_process_poll(const struct vnc_process *p, struct pollfd *ret, int timeout_ms)
{
    uint64_t now = now_ms(), end;
    int left;

    *ret = (struct pollfd){.fd = p && p->owed ? p->orders : -1, .events = POLLIN};
    if (!p || !p->view_count)
        return timeout_ms;
    end = p->view[0].end_ms;
    left = end > now ? (int)(end - now) : 0;
    return timeout_ms < 0 || left < timeout_ms ? left : timeout_ms;
}

void vnc_process_serve(struct vnc_process *p, const struct pollfd *polled)
{
    struct vnc_answer a = {.code = 0};
    int fd, r;

    if (!p)
        return;
    r = polled->revents ? hear(p, &a, &fd) : 0;
    if (r > 0)
        take_answer(p, &a, fd);
    if (r < 0) {
        p->owed = 0;
        shutdown(p->orders, SHUT_RDWR); /* it has ended; or says what is no answer, and ends by that */
    }
    end_views(p, r < 0 ? UINT64_MAX : now_ms());
}

/* ---- Its life -------------------------------------------------------------------------------- */

/* A pair of sockets, above what the user may have handed over. False and errno. */
static bool make_pair(int pair[2])
{
    int low[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, low) < 0)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        pair[i] = fcntl(low[i], F_DUPFD_CLOEXEC, FD_MIN);
        close(low[i]);
    }
    return pair[0] >= 0 && pair[1] >= 0;
}

/* What else is in it may be a secret. */
static void choose_environment(char *ret[ENVIRONMENT_MAX + 1])
{
    static const char *const wanted[] = {"LD_", "VZ_LOG=", "HOME=", "XDG_DATA_HOME=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
                                         "TSAN_OPTIONS=", "LSAN_OPTIONS=", "GLIBC_TUNABLES="};
    size_t count = 0;

    for (char **e = environ; e && *e; e++)
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]) && count < ENVIRONMENT_MAX; i++)
            if (!strncmp(*e, wanted[i], strlen(wanted[i])))
                ret[count++] = *e;
    ret[count] = NULL;
}

/* Standard input, output and error are ours; so are descriptors that a file's name may mean (/dev/fd/63). */
static int spawn(struct vnc_process *p, const char *program, int fd)
{
    char number[16], *argv[] = {(char *)(uintptr_t)"vz-vnc", number, NULL}, *env[ENVIRONMENT_MAX + 1];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t all;
    int r;

    snprintf(number, sizeof(number), "%d", fd);
    choose_environment(env);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, fd); /* it stays open */
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attributes, &all);
    posix_spawnattr_setsigdefault(&attributes, &all);
    r = posix_spawn(&p->pid, program, &actions, &attributes, argv, env);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (r)
        p->pid = 0;
    return r;
}

static int start_program(struct vnc_process *p, struct vz_error *err)
{
    char *program = helper_file(&helper_vnc, NULL);
    int pair[2] = {-1, -1}, r;

    if (!program)
        return fail(err, VZ_ERROR_UNSUPPORTED, "VNC needs the program vz-vnc, which is not installed; a vz that is built "
                                               "where LibVNCServer is (Debian: libvncserver-dev) has it");
    r = make_pair(pair) ? spawn(p, program, pair[1]) : errno;
    if (r)
        fail(err, VZ_ERROR_IO, "%.160s: %s", program, strerror(r));
    free(program);
    p->orders = pair[0];
    if (pair[1] >= 0)
        close(pair[1]);
    return r ? -1 : 0;
}

static bool put(char *to, size_t size, const char *from)
{
    return !from || snprintf(to, size, "%s", from) < (int)size;
}

/* It gets its end of the other socket, and does what it is told, or says why not. */
static int tell_options(struct vnc_process *p, const struct vnc_process_options *o, struct vz_error *err)
{
    struct vnc_order_start s = {.order.kind = VNC_ORDER_START, .listens = o->listens, .tls = o->tls};
    struct run_sandbox_choice choice = run_sandbox_chosen();
    int pair[2] = {-1, -1}, r = -1;

    s.locks = choice.mode != VZ_SANDBOX_NONE;
    s.logs = choice.mode == VZ_SANDBOX_LOG;
    s.uid = choice.uid;
    s.gid = choice.gid;
    snprintf(s.name, sizeof(s.name), "%s", o->name ? o->name : "");
    if (!put(s.address, sizeof(s.address), o->address) ||
        !put(s.password_file, sizeof(s.password_file), o->password_file) ||
        !put(s.certificate, sizeof(s.certificate), o->certificate) || !put(s.key, sizeof(s.key), o->key))
        return fail(err, VZ_ERROR_INVALID, "VNC: the address or the name of a file is too long");
    if (!make_pair(pair))
        fail_errno(err, "VNC: a socket");
    else if (o->listens)
        r = ask(p, &s.order, sizeof(s), pair[1], o->password_file ? -1 : ANSWER_MS, err);
    else if (tell(p, &s.order, sizeof(s), pair[1])) /* who asks for an address hears how it went */
        r = 0;
    else
        fail_hangs(err);
    p->wants = pair[0];
    if (pair[1] >= 0)
        close(pair[1]);
    return r;
}

static int set_up(struct vnc_process *p, const struct vnc_process_options *o, struct vz_error *err)
{
    if (start_program(p, err) < 0 || tell_options(p, o, err) < 0)
        return -1;
    if (pthread_create(&p->thread, NULL, serve, p) != 0)
        return fail(err, VZ_ERROR_NO_MEMORY, "VNC: no thread");
    p->serves = true;
    return 0;
}

struct vnc_process *vnc_process_new(const struct vnc_process_options *o, struct vz_error *err)
{
    struct vnc_process *p = calloc(1, sizeof(*p));

    if (!p) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    p->machine = o->machine;
    p->orders = p->wants = -1;
    if (set_up(p, o, err) == 0)
        return p;
    vnc_process_free(p);
    return NULL;
}

static void hang_up(int fd)
{
    if (fd < 0)
        return;
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

void vnc_process_free(struct vnc_process *p)
{
    if (!p)
        return;
    atomic_store(&p->ending, true);
    end_views(p, UINT64_MAX);
    if (p->wants >= 0)
        shutdown(p->wants, SHUT_RDWR);
    if (p->serves)
        pthread_join(p->thread, NULL);
    for (unsigned i = 0; i < VNC_CLIENTS_MAX; i++)
        close_channel(p, i); /* viewers see the last picture before they are hung up on */
    hang_up(p->orders);
    hang_up(p->wants);
    /* It ends by that. One that hangs, or is stopped, is not waited for: it ends with this process. */
    for (unsigned i = 0; p->pid && i < END_MS / 10 && waitpid(p->pid, NULL, WNOHANG) == 0; i++)
        poll(NULL, 0, 10);
    free(p);
}
