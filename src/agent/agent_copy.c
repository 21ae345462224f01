/* SPDX-License-Identifier: MIT */
/* Files into the guest and out of it, for <vz/agent.h>: the stream of agent_tree.h over a channel. */
#include <vz/agent.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_client.h"
#include "agent/agent_tree.h"
#include "base/error.h"
#include "config/object.h"

struct copy {
    struct vz_agent_copy_options o;
    struct agent_channel *channel;
    uint8_t *out; /* records are small, frames need not be */
    size_t out_len;
};

static int flush(struct copy *c)
{
    int r = c->out_len ? agent_send(c->channel, c->out, c->out_len) : 0;

    c->out_len = 0;
    return r;
}

static int channel_write(void *arg, const void *data, size_t len)
{
    struct copy *c = arg;
    int r = 0;

    while (!r && len) {
        size_t n = MIN(len, AGENT_DATA_MAX - c->out_len);

        memcpy(c->out + c->out_len, data, n);
        c->out_len += n;
        data = (const uint8_t *)data + n;
        len -= n;
        if (c->out_len == AGENT_DATA_MAX)
            r = flush(c);
    }
    return r;
}

static ssize_t channel_read(void *arg, void *to, size_t len)
{
    struct copy *c = arg;

    return agent_receive(c->channel, 1, to, len, true);
}

static bool progress(void *arg, uint64_t bytes)
{
    struct copy *c = arg;

    return !c->o.progress || c->o.progress(c->o.arg, bytes);
}

/* What the other side says is why: an error of ours is often only its consequence (a broken stream). */
static int settle(struct copy *c, int r, struct tree_result *t, bool in, struct vz_error *err)
{
    struct vz_error e = {.text = ""};
    int theirs;

    if (r == -ECANCELED)
        return error_set(err, ECANCELED, VZ_ERROR_CANCELLED, "cancelled");
    if (r && r != -EPIPE && r != -EPROTO && !t->theirs)
        return error_set(err, -r, VZ_ERROR_IO, "%.200s", t->text);
    theirs = agent_wait_end(c->channel, AGENT_FOREVER, &e);
    if (!theirs)
        theirs = agent_end_result(c->channel, in ? "put" : "get", &e);
    if (theirs) {
        if (err)
            *err = e;
        return theirs;
    }
    return r ? error_set(err, -r, VZ_ERROR_IO, "%.200s", t->text) : 0;
}

static int copy_in(struct copy *c, const char *from, const struct tree_io *io,
                   struct tree_result *t, struct vz_error *err)
{
    struct tree_options o = {.owners = c->o.archive, .follow = c->o.follow};
    const char *last = strrchr(from, '/');
    int r;

    o.contents = last && !strcmp(last, "/.");
    r = tree_send(from, &o, io, t);
    if (flush(c) < 0 && !r)
        r = -EPIPE;
    agent_send_eof(c->channel);
    return settle(c, r, t, true, err);
}

static int copy_out(struct copy *c, const char *to, const struct tree_io *io,
                    struct tree_result *t, struct vz_error *err)
{
    const struct tree_options o = {.owners = c->o.archive, .into = to[0] && to[strlen(to) - 1] == '/'};
    int r = tree_receive(to, &o, io, t);

    if (r)
        agent_refuse(c->channel, 1);
    return settle(c, r, t, false, err);
}

static int request(struct copy *c, struct vz_agent *a, bool in, const char *path,
                   struct vz_error *err)
{
    struct agent_fields f = {.failed = false};
    size_t len = strlen(path);
    bool contents = !in && len >= 2 && !strcmp(path + len - 2, "/.");
    bool into = in && len && path[len - 1] == '/';

    agent_put_text(&f, AGENT_F_NAME, in ? "put" : "get");
    agent_put_text(&f, AGENT_F_PATH, path);
    agent_put_text(&f, AGENT_F_USER, c->o.user);
    agent_put_number(&f, AGENT_F_FLAGS, (c->o.archive ? AGENT_OWNERS : 0u) |
                     (contents ? AGENT_CONTENTS : 0u) | (into ? AGENT_INTO : 0u) |
                     (c->o.follow ? AGENT_FOLLOW : 0u));
    return agent_open(a, &f, -1, &c->channel, err);
}

static int copy(struct vz_agent *a, bool in, const char *from, const char *to,
                const struct vz_agent_copy_options *options, struct vz_agent_copy_result *ret,
                struct vz_error *err)
{
    struct copy c = {.o = VZ_AGENT_COPY_OPTIONS_INIT};
    const struct tree_io io = {channel_read, channel_write, progress, &c};
    struct vz_agent_copy_result result = VZ_AGENT_COPY_RESULT_INIT;
    struct tree_result t;
    int r;

    if (!options_given(a, "agent", err) || !options_given(from, "path", err) ||
        !options_given(to, "path", err) ||
        (options && options_copy(&c.o, sizeof(c.o), options, err) < 0))
        return -1;
    c.out = malloc(AGENT_DATA_MAX);
    if (!c.out) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        return -1;
    }
    r = request(&c, a, in, in ? to : from, err);
    if (!r) {
        r = in ? copy_in(&c, from, &io, &t, err) : copy_out(&c, to, &io, &t, err);
        if (!r) /* END has come */
            result.skipped = t.skipped + agent_get_number(agent_bytes_front(&c.channel->end),
                                                          c.channel->end.len, AGENT_F_SKIPPED, 0);
        agent_close(c.channel);
    }
    free(c.out);
    if (r)
        return -1;
    result.bytes = t.bytes;
    result.entries = t.entries;
    return ret && options_return(ret, ret->size, &result, sizeof(result), err) < 0 ? -1 : 0;
}

int vz_agent_copy_in(struct vz_agent *a, const char *from, const char *to,
                     const struct vz_agent_copy_options *options, struct vz_agent_copy_result *ret,
                     struct vz_error *err)
{
    return copy(a, true, from, to, options, ret, err);
}

int vz_agent_copy_out(struct vz_agent *a, const char *from, const char *to,
                      const struct vz_agent_copy_options *options,
                      struct vz_agent_copy_result *ret, struct vz_error *err)
{
    return copy(a, false, from, to, options, ret, err);
}
