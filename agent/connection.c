/* SPDX-License-Identifier: MIT */
/* A connection to the host: frames in and out. A frame that makes no sense ends it; one that came too
 * late, for a job that has ended, is nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/le.h"
#include "job.h"

void connection_send(struct connection *c, uint8_t type, uint8_t stream, uint32_t id,
                     const void *data, size_t len)
{
    if (c && !c->over && !agent_frame_append(&c->out, type, stream, id, data, len))
        c->over = true;
}

static void send_fields(struct connection *c, uint8_t type, uint32_t id, struct agent_fields *f)
{
    if (f->failed)
        c->over = true;
    else
        connection_send(c, type, 0, id, agent_bytes_front(&f->b), f->b.len);
    agent_fields_fini(f);
}

static void say_hello(struct connection *c)
{
    struct agent_fields f = {.failed = false};

    agent_put_text(&f, AGENT_F_NAME, AGENT_NAME);
    agent_put_number(&f, AGENT_F_VERSION, AGENT_VERSION);
    agent_put_text(&f, AGENT_F_TEXT, VZ_VERSION);
    for (const struct request_kind *k = request_kinds; k->name; k++)
        agent_put_text(&f, AGENT_F_FEATURE, k->name);
    send_fields(c, AGENT_HELLO, 0, &f);
}

struct connection *connection_new(struct guest *g, int fd)
{
    struct connection *c = calloc(1, sizeof(*c));

    if (!c) {
        close(fd);
        return NULL;
    }
    c->guest = g;
    c->fd = fd;
    c->next = g->connections;
    g->connections = c;
    say_hello(c);
    return c;
}

void connection_free(struct connection *c)
{
    struct connection **at = &c->guest->connections;

    for (struct job *j = c->guest->jobs; j; j = j->next) {
        if (j->connection == c) {
            job_give_up(j);
            j->connection = NULL;
        }
    }
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    close(c->fd);
    agent_bytes_fini(&c->in);
    agent_bytes_fini(&c->out);
    free(c);
}

/* The host's version may be any: what it asks for is looked at one by one. */
static void on_hello(struct connection *c, const struct agent_frame *f)
{
    char *name = agent_get_text(f->data, f->len, AGENT_F_NAME);

    c->over = c->has_hello || !name || strcmp(name, AGENT_NAME);
    c->has_hello = true;
    free(name);
}

static void on_frame(struct connection *c, const struct agent_frame *f)
{
    struct job *j = f->channel ? job_find(c->guest, c, f->channel) : NULL;

    if (f->type == AGENT_HELLO) {
        on_hello(c, f);
    } else if (!c->has_hello) {
        c->over = true;
    } else if (f->type == AGENT_REQUEST) {
        c->over = j || !f->channel; /* the number is taken */
        if (!c->over)
            job_start(c, f->channel, f->data, f->len);
    } else if (j) {
        switch (f->type) {
        case AGENT_DATA: job_data(j, f->data, f->len); break;
        case AGENT_EOF: job_eof(j, f->stream); break;
        case AGENT_CREDIT:
            if (f->len == 4)
                job_credit(j, f->stream, load_le32(f->data));
            break;
        case AGENT_CONTROL: job_control(j, f->data, f->len); break;
        case AGENT_CLOSE: job_give_up(j); break;
        default: break;
        }
    }
}

void connection_frames(struct connection *c)
{
    struct agent_frame f;
    int r = 0;

    while (!c->over && c->out.len < OUT_MAX && (r = agent_frame_next(&c->in, &f)) > 0) {
        on_frame(c, &f);
        agent_frame_drop(&c->in, &f);
    }
    if (r < 0)
        c->over = true;
}

void connection_input(struct connection *c)
{
    uint8_t *to = agent_bytes_reserve(&c->in, 65536);
    ssize_t n = to ? read(c->fd, to, 65536) : 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        c->over = true;
        return;
    }
    agent_bytes_added(&c->in, (size_t)n);
    connection_frames(c);
}

void connection_flush(struct connection *c)
{
    while (c->out.len) {
        ssize_t n = write(c->fd, agent_bytes_front(&c->out), c->out.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            c->over = c->over || errno != EAGAIN;
            return;
        }
        agent_bytes_drop(&c->out, (size_t)n);
    }
}
