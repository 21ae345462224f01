/* SPDX-License-Identifier: MIT */
/* What flows between a job's process and the host. Bytes are taken from the process only as far as the
 * host gave credit, so that a stream nobody reads stops its writer and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/le.h"
#include "job.h"

uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void send_end(struct connection *c, uint32_t id, struct agent_fields *f)
{
    if (f->failed && c)
        c->over = true;
    else
        connection_send(c, AGENT_END, 0, id, agent_bytes_front(&f->b), f->b.len);
    agent_fields_fini(f);
}

/* ---- Beginning ------------------------------------------------------------------------------ */

static void refuse(struct connection *c, uint32_t id, int err, const char *text)
{
    struct agent_fields f = {.failed = false};

    work_failed(&f, err, "request", text);
    send_end(c, id, &f);
}

static const struct request_kind *find_kind(const uint8_t *data, size_t len)
{
    char *name = agent_get_text(data, len, AGENT_F_NAME);
    const struct request_kind *k = request_kinds;

    while (name && k->name && strcmp(k->name, name))
        k++;
    free(name);
    return name && k->name ? k : NULL;
}

static struct job *job_new(struct connection *c, uint32_t id, const struct request_kind *kind)
{
    struct job *j = calloc(1, sizeof(*j));

    if (!j)
        return NULL;
    j->connection = c;
    j->kind = kind;
    j->id = id;
    j->in.fd = j->result_fd = -1;
    for (unsigned i = 0; i < AGENT_STREAMS; i++)
        j->out[i] = (struct job_output){-1, AGENT_WINDOW};
    return j;
}

void job_start(struct connection *c, uint32_t id, const uint8_t *data, size_t len)
{
    const struct request q = {data, len, c->guest->root};
    const struct request_kind *kind = find_kind(data, len);
    struct agent_fields nothing = {.failed = false};
    struct job *j;
    int r;

    if (!agent_fields_sound(data, len) || !kind) {
        refuse(c, id, kind ? EINVAL : ENOSYS, kind ? "a damaged request" : "an unknown request");
        return;
    }
    if (!kind->work && !kind->streams) { /* ping */
        send_end(c, id, &nothing);
        return;
    }
    j = c->jobs < JOBS_MAX ? job_new(c, id, kind) : NULL;
    r = j ? spawn_job(j, &q) : -EAGAIN;
    if (r) {
        free(j);
        refuse(c, id, -r, j ? NULL : "too much at once");
        return;
    }
    c->jobs++;
    j->next = c->guest->jobs;
    c->guest->jobs = j;
}

struct job *job_find(struct guest *g, const struct connection *c, uint32_t id)
{
    struct job *j = g->jobs;

    while (j && (j->connection != c || j->id != id))
        j = j->next;
    return j;
}

/* ---- Input ---------------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void owe(struct job *j, size_t n)
{
    uint8_t data[4];

    j->in.owed += (uint32_t)n;
    if (j->in.owed < AGENT_WINDOW / 2)
        return;
    store_le32(data, j->in.owed);
    j->in.owed = 0;
    connection_send(j->connection, AGENT_CREDIT, 0, j->id, data, sizeof(data));
}

/* Nobody reads it any more: the host need not send it. */
static void refuse_input(struct job *j)
{
    if (j->in.fd >= 0 && !j->in.eof)
        connection_send(j->connection, AGENT_EOF, 0, j->id, NULL, 0);
    agent_bytes_fini(&j->in.bytes);
    close_fd(&j->in.fd);
}

static void write_input(struct job *j)
{
    ssize_t n = 0;

    if (j->in.bytes.len)
        n = write(j->in.fd, agent_bytes_front(&j->in.bytes), j->in.bytes.len);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            refuse_input(j);
        return;
    }
    agent_bytes_drop(&j->in.bytes, (size_t)n);
    owe(j, (size_t)n);
    if (!j->in.bytes.len && j->in.eof)
        close_fd(&j->in.fd);
}

void job_data(struct job *j, const uint8_t *data, size_t len)
{
    if (j->in.eof || len > AGENT_WINDOW - j->in.bytes.len - j->in.owed) {
        j->connection->over = true; /* more than it may */
        return;
    }
    if (j->in.fd < 0)
        return;
    if (agent_bytes_append(&j->in.bytes, data, len))
        write_input(j);
    else
        refuse_input(j);
}

/* A terminal has no end: Ctrl-D at the beginning of a line is one. */
static void end_terminal_input(struct job *j)
{
    static const uint8_t eot = 4;

    (void)!agent_bytes_append(&j->in.bytes, &eot, 1);
}

void job_eof(struct job *j, unsigned stream)
{
    if (stream) {
        close_fd(&j->out[stream].fd);
        return;
    }
    if (j->in.fd < 0 || j->in.eof)
        return;
    if (j->is_pty)
        end_terminal_input(j);
    j->in.eof = true;
    write_input(j);
}

/* ---- Output --------------------------------------------------------------------------------- */

static bool may_read(const struct job *j, unsigned stream)
{
    return j->out[stream].fd >= 0 && j->out[stream].credit && j->connection &&
           j->connection->out.len < OUT_MAX;
}

static void end_output(struct job *j, unsigned stream)
{
    close_fd(&j->out[stream].fd);
    connection_send(j->connection, AGENT_EOF, (uint8_t)stream, j->id, NULL, 0);
}

/* True: there may be more. */
static bool read_output(struct job *j, unsigned stream)
{
    static uint8_t buffer[AGENT_DATA_MAX];
    struct job_output *o = &j->out[stream];
    ssize_t n = read(o->fd, buffer, (size_t)MIN(o->credit, (uint64_t)sizeof(buffer)));

    if (n > 0) {
        o->credit -= (uint64_t)n;
        connection_send(j->connection, AGENT_DATA, (uint8_t)stream, j->id, buffer, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    end_output(j, stream); /* EIO: no terminal has it open */
    return false;
}

/* The process is gone, and what it wrote is in the pipe already. What others that it left behind
 * still have open is not waited for. */
static void drain(struct job *j, unsigned stream)
{
    bool late = !j->is_pty || now_ms() >= j->exited_ms + PTY_DRAIN_MS;

    while (may_read(j, stream)) {
        if (!read_output(j, stream)) {
            if (j->out[stream].fd >= 0 && late)
                end_output(j, stream);
            return;
        }
    }
}

void job_credit(struct job *j, unsigned stream, uint32_t bytes)
{
    struct job_output *o = &j->out[stream];

    if (!stream || bytes > AGENT_WINDOW - o->credit)
        j->connection->over = true;
    else
        o->credit += bytes;
}

static void read_result(struct job *j)
{
    uint8_t *to = j->result.len < AGENT_FRAME_MAX / 2 ? agent_bytes_reserve(&j->result, 4096) : NULL;
    ssize_t n = to ? read(j->result_fd, to, 4096) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        agent_bytes_added(&j->result, (size_t)n);
    else
        close_fd(&j->result_fd);
}

/* ---- Control -------------------------------------------------------------------------------- */

void job_control(struct job *j, const uint8_t *data, size_t len)
{
    uint64_t number = agent_get_number(data, len, AGENT_F_SIGNAL, 0);
    uint64_t rows = agent_get_number(data, len, AGENT_F_ROWS, 0);
    struct winsize size = {.ws_row = (unsigned short)MIN(rows, UINT64_C(9999))};

    if (number && number <= 64 && !j->exited && j->kind->hang_up)
        kill(-j->pid, (int)number);
    size.ws_col = (unsigned short)MIN(agent_get_number(data, len, AGENT_F_COLUMNS, 0), UINT64_C(9999));
    if (rows && j->is_pty && j->in.fd >= 0)
        (void)!ioctl(j->in.fd, TIOCSWINSZ, &size);
}

void job_give_up(struct job *j)
{
    if (j->given_up)
        return;
    j->given_up = true;
    if (!j->exited && j->kind->hang_up) {
        kill(-j->pid, SIGHUP);
        kill(-j->pid, SIGCONT); /* one that is stopped hears nothing */
        j->kill_ms = now_ms() + HANG_UP_MS;
    }
    agent_bytes_fini(&j->in.bytes);
    close_fd(&j->in.fd);
    for (unsigned i = 1; i < AGENT_STREAMS; i++)
        close_fd(&j->out[i].fd);
}

void job_exited(struct guest *g, pid_t pid, int wait_status)
{
    for (struct job *j = g->jobs; j; j = j->next) {
        if (j->pid == pid && !j->exited) {
            j->exited = true;
            j->wait_status = wait_status;
            j->exited_ms = now_ms();
            return;
        }
    }
}

/* ---- The loop ------------------------------------------------------------------------------- */

void job_poll(const struct job *j, struct pollfd *p)
{
    bool input = j->in.fd >= 0 && j->in.bytes.len;

    p[0] = (struct pollfd){.fd = input ? j->in.fd : -1, .events = POLLOUT};
    for (unsigned i = 1; i < AGENT_STREAMS; i++)
        p[i] = (struct pollfd){.fd = may_read(j, i) ? j->out[i].fd : -1, .events = POLLIN};
    p[3] = (struct pollfd){.fd = j->result_fd, .events = POLLIN};
}

void job_ready(struct job *j, const struct pollfd *p)
{
    if (p[0].revents && j->in.fd >= 0)
        write_input(j);
    for (unsigned i = 1; i < AGENT_STREAMS; i++) {
        if (p[i].revents && may_read(j, i))
            read_output(j, i);
    }
    if (p[3].revents && j->result_fd >= 0)
        read_result(j);
}

int job_timeout(const struct job *j)
{
    uint64_t now = now_ms(), due = UINT64_MAX;

    if (j->kill_ms && !j->exited)
        due = j->kill_ms;
    if (j->exited && j->is_pty && j->out[1].fd >= 0 && may_read(j, 1))
        due = MIN(due, j->exited_ms + PTY_DRAIN_MS);
    if (due == UINT64_MAX)
        return -1;
    return due <= now ? 0 : (int)(due - now);
}

static void put_exit(struct job *j, struct agent_fields *f)
{
    /* A result that is there says it all: of a fork of ours, or why a program could not be run. */
    if (j->result.len) {
        f->failed = !agent_bytes_append(&f->b, agent_bytes_front(&j->result), j->result.len);
    } else if (j->kind->work) {
        if (!WIFEXITED(j->wait_status) || WEXITSTATUS(j->wait_status))
            work_failed(f, EIO, "work", "it ended without an answer");
        if (j->kind->work == work_freeze && WIFSIGNALED(j->wait_status))
            freeze_rescue();
    } else {
        agent_put_number(f, AGENT_F_PID, (uint64_t)j->pid);
        if (!j->detached && WIFSIGNALED(j->wait_status))
            agent_put_number(f, AGENT_F_SIGNAL, (uint64_t)WTERMSIG(j->wait_status));
        else
            agent_put_number(f, AGENT_F_STATUS,
                             j->detached ? 0 : (uint64_t)WEXITSTATUS(j->wait_status));
    }
}

static void job_free(struct job *j)
{
    if (j->connection)
        j->connection->jobs--;
    close_fd(&j->in.fd);
    for (unsigned i = 1; i < AGENT_STREAMS; i++)
        close_fd(&j->out[i].fd);
    close_fd(&j->result_fd);
    agent_bytes_fini(&j->in.bytes);
    agent_bytes_fini(&j->result);
    free(j);
}

bool job_finish(struct job *j)
{
    struct agent_fields f = {.failed = false};

    if (j->kill_ms && !j->exited && now_ms() >= j->kill_ms) {
        kill(-j->pid, SIGKILL);
        j->kill_ms = 0;
    }
    if (!(j->exited || j->detached) || j->result_fd >= 0)
        return false;
    for (unsigned i = 1; i < AGENT_STREAMS; i++) {
        if (j->out[i].fd >= 0)
            drain(j, i);
        if (j->out[i].fd >= 0)
            return false;
    }
    put_exit(j, &f);
    send_end(j->connection, j->id, &f);
    job_free(j);
    return true;
}
