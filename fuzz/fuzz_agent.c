/* SPDX-License-Identifier: MIT */
/* What may come to the agent in the guest: frames. No process is made of a request (its place is taken
 * below), everything else is as it is. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "job.h"

/* A program that reads all and says nothing, or that has ended already. */
int spawn_job(struct job *j, const struct request *q)
{
    uint64_t flags = agent_get_number(q->data, q->len, AGENT_F_FLAGS, 0);
    size_t count;

    free(agent_get_texts(q->data, q->len, AGENT_F_ARG, &count));
    if (flags & 1)
        return -ENOENT;
    j->pid = 1 << 30; /* nobody's: kill() finds none */
    j->in.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    j->out[1].fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    j->exited = flags & 2;
    j->detached = flags & AGENT_DETACH;
    return 0;
}

static void put(struct agent_bytes *b, uint8_t type, uint32_t channel, const char *name)
{
    struct agent_fields f = {.failed = false};

    agent_put_text(&f, AGENT_F_NAME, name);
    agent_put_text(&f, AGENT_F_ARG, "true");
    agent_put_number(&f, AGENT_F_FLAGS, 2);
    agent_put_number(&f, AGENT_F_SIGNAL, 15);
    if (!agent_frame_append(b, type, 0, channel, agent_bytes_front(&f.b), f.b.len))
        abort();
    agent_fields_fini(&f);
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    const struct request_kind *k = &request_kinds[index];
    struct agent_bytes b = {NULL};
    size_t len;

    for (unsigned i = 0; i <= index; i++) {
        if (!request_kinds[i].name)
            return 0;
    }
    put(&b, AGENT_HELLO, 0, AGENT_NAME);
    put(&b, AGENT_REQUEST, 1, k->name);
    put(&b, AGENT_DATA, 1, "input");
    put(&b, AGENT_CONTROL, 1, "");
    put(&b, AGENT_REQUEST, 2, "fly");
    if (!agent_frame_append_credit(&b, 1, 1, 0) || !agent_frame_append(&b, AGENT_EOF, 0, 1, NULL, 0))
        abort();
    put(&b, AGENT_CLOSE, 1, "");
    len = b.len > room ? 0 : b.len;
    if (len)
        memcpy(ret, agent_bytes_front(&b), len);
    agent_bytes_fini(&b);
    return len;
}

static void turn(struct guest *g)
{
    struct pollfd p[JOB_POLLS];

    for (struct job *j = g->jobs; j; j = j->next) {
        job_poll(j, p);
        for (unsigned i = 0; i < JOB_POLLS; i++)
            p[i].revents = p[i].fd >= 0 ? p[i].events : 0;
        job_ready(j, p);
        if (j->in.bytes.len + j->in.owed > AGENT_WINDOW)
            abort();
    }
    for (struct job **at = &g->jobs; *at;) {
        struct job *j = *at, *next = j->next;

        if (job_finish(j))
            *at = next;
        else
            at = &j->next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest g = {.listen_fd = -1, .signal_fd = -1, .root = ""};
    struct connection *c = connection_new(&g, open("/dev/null", O_RDWR | O_CLOEXEC));

    if (size && !agent_bytes_append(&c->in, data, size))
        abort();
    for (unsigned i = 0; i < 4; i++) {
        connection_frames(c);
        turn(&g);
    }
    if (c->out.len > OUT_MAX + AGENT_FRAME_MAX)
        abort();
    connection_free(c);
    for (struct job *j = g.jobs; j; j = j->next)
        j->exited = true;
    turn(&g);
    if (g.jobs)
        abort();
    return 0;
}
