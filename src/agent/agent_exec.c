/* SPDX-License-Identifier: MIT */
/* Programs in the guest, for <vz/agent.h>: each has a thread that carries its input and output between
 * its channel and the caller's descriptors, so that one who does not read holds up nobody else. */
#include <vz/agent.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_client.h"
#include "base/error.h"
#include "base/thread.h"
#include "config/object.h"

#define PIECE_MAX AGENT_DATA_MAX

struct output {
    int fd; /* -1: nobody wants it */
    size_t most; /* at once: a pipe that can be written to takes PIPE_BUF without blocking */
    size_t len, done;
    uint8_t data[PIECE_MAX];
};

struct vz_agent_process {
    struct agent_channel *channel;
    pthread_t thread;
    bool has_thread;
    int wake_fd, stop_fd;
    int input_fd; /* -1: none, or it has ended */
    struct output output[AGENT_STREAMS]; /* [1], [2] */
    uint8_t input[PIECE_MAX];
};

/* ---- The thread ----------------------------------------------------------------------------- */

static void end_input(struct vz_agent_process *p)
{
    p->input_fd = -1;
    agent_send_eof(p->channel);
}

static void read_input(struct vz_agent_process *p)
{
    ssize_t credit = agent_credit(p->channel), n;

    if (credit < 0) {
        p->input_fd = -1;
        return;
    }
    n = read(p->input_fd, p->input, MIN((size_t)credit, sizeof(p->input)));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        end_input(p);
    else if (agent_send(p->channel, p->input, (size_t)n) < 0)
        p->input_fd = -1;
}

static void fill(struct vz_agent_process *p, unsigned stream)
{
    struct output *o = &p->output[stream];
    ssize_t n;

    if (o->done < o->len)
        return;
    do { /* what nobody wants is taken all the same, so that the program goes on */
        n = agent_receive(p->channel, stream, o->data, sizeof(o->data), false);
    } while (n > 0 && o->fd < 0);
    o->done = 0;
    o->len = (size_t)MAX(n, 0);
}

static void write_output(struct vz_agent_process *p, unsigned stream)
{
    struct output *o = &p->output[stream];
    size_t left = o->len - o->done;
    ssize_t n = write(o->fd, o->data + o->done, MIN(left, o->most));

    if (n >= 0) {
        o->done += (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        o->fd = -1; /* the program finds out, as in a pipe */
        o->len = o->done = 0;
        agent_refuse(p->channel, stream);
    }
}

/* Wait until there is something to do; false: the thread is to end. */
static bool wait_for_work(struct vz_agent_process *p, struct pollfd w[5])
{
    bool input = p->input_fd >= 0 && agent_credit(p->channel) != 0;
    uint64_t count;

    w[0] = (struct pollfd){.fd = p->wake_fd, .events = POLLIN};
    w[1] = (struct pollfd){.fd = p->stop_fd, .events = POLLIN};
    w[2] = (struct pollfd){.fd = input ? p->input_fd : -1, .events = POLLIN};
    for (unsigned i = 1; i < AGENT_STREAMS; i++) {
        bool wants = p->output[i].done < p->output[i].len;

        w[2 + i] = (struct pollfd){.fd = wants ? p->output[i].fd : -1, .events = POLLOUT};
    }
    if (poll(w, 5, -1) < 0)
        return errno == EINTR;
    if (w[0].revents)
        (void)!read(p->wake_fd, &count, sizeof(count));
    return !w[1].revents;
}

static bool is_finished(struct vz_agent_process *p)
{
    bool ended = agent_has_ended(p->channel);

    for (unsigned i = 1; i < AGENT_STREAMS; i++) {
        fill(p, i);
        if (p->output[i].done < p->output[i].len)
            return false;
    }
    return ended;
}

static void *process_main(void *arg)
{
    struct vz_agent_process *p = arg;
    struct pollfd w[5];

    while (!is_finished(p) && wait_for_work(p, w)) {
        if (w[2].revents)
            read_input(p);
        for (unsigned i = 1; i < AGENT_STREAMS; i++) {
            if (w[2 + i].revents)
                write_output(p, i);
        }
    }
    return NULL;
}

/* ---- Its life ------------------------------------------------------------------------------- */

static void set_output(struct output *o, int fd)
{
    struct stat st;

    o->fd = fd;
    o->most = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? PIECE_MAX : 4096;
}

static int request(const struct vz_agent_exec_options *o, struct agent_fields *f)
{
    unsigned flags = (o->terminal ? AGENT_PTY : 0u) | (o->input_fd < 0 ? AGENT_NO_STDIN : 0u) |
                     (o->detach ? AGENT_DETACH : 0u);

    agent_put_text(f, AGENT_F_NAME, o->argv ? "exec" : "watch");
    for (const char *const *p = o->argv; p && *p; p++)
        agent_put_text(f, AGENT_F_ARG, *p);
    for (const char *const *p = o->env; p && *p; p++)
        agent_put_text(f, AGENT_F_ENV, *p);
    agent_put_text(f, AGENT_F_CWD, o->cwd);
    agent_put_text(f, AGENT_F_USER, o->user);
    agent_put_number(f, AGENT_F_FLAGS, flags);
    agent_put_number(f, AGENT_F_ROWS, o->rows);
    agent_put_number(f, AGENT_F_COLUMNS, o->columns);
    return f->failed ? -ENOMEM : 0;
}

static int start(struct vz_agent_process *p, struct vz_agent *a,
                 const struct vz_agent_exec_options *o, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};
    int r;

    p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (p->wake_fd < 0 || p->stop_fd < 0)
        return error_set(err, errno, VZ_ERROR_NO_MEMORY, "exec: out of descriptors");
    (void)request(o, &f);
    r = agent_open(a, &f, p->wake_fd, &p->channel, err);
    if (r)
        return r;
    p->input_fd = o->detach ? -1 : o->input_fd;
    set_output(&p->output[1], o->output_fd);
    set_output(&p->output[2], o->error_fd);
    r = thread_start(&p->thread, THREAD_FREE, "vz-exec", process_main, p);
    p->has_thread = !r;
    return r ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "exec: out of threads") : 0;
}

static struct vz_agent_process *process_new(struct vz_agent *a, const struct vz_agent_exec_options *o,
                                            struct vz_error *err)
{
    struct vz_agent_process *p = calloc(1, sizeof(*p));

    if (!p) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    p->wake_fd = p->stop_fd = p->input_fd = -1;
    if (start(p, a, o, err) == 0)
        return p;
    vz_agent_process_free(p);
    return NULL;
}

struct vz_agent_process *vz_agent_exec(struct vz_agent *a,
                                       const struct vz_agent_exec_options *options,
                                       struct vz_error *err)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;

    if (!options_given(a, "agent", err) || !options_given(options, "program", err) ||
        options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    if (!o.argv || !o.argv[0]) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "exec: no program given");
        return NULL;
    }
    return process_new(a, &o, err);
}

struct vz_agent_process *vz_agent_watch_shares(struct vz_agent *a, int input_fd, int output_fd, struct vz_error *err)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;

    if (!options_given(a, "agent", err))
        return NULL;
    o.input_fd = input_fd;
    o.output_fd = output_fd;
    o.error_fd = -1;
    return process_new(a, &o, err);
}

static void join(struct vz_agent_process *p)
{
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    p->has_thread = false;
}

void vz_agent_process_free(struct vz_agent_process *p)
{
    uint64_t one = 1;

    if (!p)
        return;
    if (p->channel && p->stop_fd >= 0) {
        /* The thread may wait for credit: with END to come, which closing brings. */
        (void)!write(p->stop_fd, &one, sizeof(one));
        agent_refuse_input(p->channel);
    }
    join(p);
    agent_close(p->channel);
    if (p->wake_fd >= 0)
        close(p->wake_fd);
    if (p->stop_fd >= 0)
        close(p->stop_fd);
    free(p);
}

/* ---- Its end -------------------------------------------------------------------------------- */

/* Not started: the last step of the start, exec itself, has reasons of its own. */
static int not_started(struct vz_agent_process *p, struct vz_agent_exit *ret, struct vz_error *err)
{
    const struct agent_bytes *b = &p->channel->end;
    char *stage = agent_get_text(agent_bytes_front(b), b->len, AGENT_F_STAGE);
    bool exec = stage && !strcmp(stage, "exec");
    int r;

    free(stage);
    r = agent_end_result(p->channel, "exec", err);
    if (!exec)
        return -1;
    ret->reason = r == -ENOENT || r == -ENOTDIR ? VZ_AGENT_NOT_FOUND : VZ_AGENT_NOT_EXECUTABLE;
    ret->value = -r;
    return 0;
}

static int read_exit(struct vz_agent_process *p, struct vz_agent_exit *ret, struct vz_error *err)
{
    const struct agent_bytes *b = &p->channel->end;
    const uint8_t *data = agent_bytes_front(b);
    uint64_t signal_number = agent_get_number(data, b->len, AGENT_F_SIGNAL, 0);

    if (agent_get_number(data, b->len, AGENT_F_ERROR, 0))
        return not_started(p, ret, err);
    ret->pid = agent_get_number(data, b->len, AGENT_F_PID, 0);
    ret->reason = signal_number ? VZ_AGENT_SIGNALED : VZ_AGENT_EXITED;
    ret->value = signal_number ? (int)(signal_number & 0x7f)
                               : (int)(agent_get_number(data, b->len, AGENT_F_STATUS, 0) & 0xff);
    return 0;
}

int vz_agent_process_wait(struct vz_agent_process *p, struct vz_agent_exit *ret,
                          struct vz_error *err)
{
    struct vz_agent_exit e = VZ_AGENT_EXIT_INIT;

    if (!options_given(p, "process", err) || !options_given(ret, "result", err))
        return -1;
    join(p);
    if (agent_wait_end(p->channel, 0, err) < 0 || read_exit(p, &e, err) < 0)
        return -1;
    return options_return(ret, ret->size, &e, sizeof(e), err) < 0 ? -1 : 0;
}

bool vz_agent_process_has_ended(const struct vz_agent_process *p)
{
    return !p || agent_has_ended(p->channel);
}

int vz_agent_process_signal(struct vz_agent_process *p, int number, struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    if (!options_given(p, "process", err))
        return -1;
    if (number < 1 || number > 64) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "exec: %d is no signal", number);
        return -1;
    }
    agent_put_number(&f, AGENT_F_SIGNAL, (uint64_t)number);
    return agent_control(p->channel, &f, err) < 0 ? -1 : 0;
}

int vz_agent_process_resize(struct vz_agent_process *p, unsigned rows, unsigned columns,
                            struct vz_error *err)
{
    struct agent_fields f = {.failed = false};

    if (!options_given(p, "process", err))
        return -1;
    agent_put_number(&f, AGENT_F_ROWS, rows);
    agent_put_number(&f, AGENT_F_COLUMNS, columns);
    return agent_control(p->channel, &f, err) < 0 ? -1 : 0;
}
