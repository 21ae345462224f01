/* SPDX-License-Identifier: MIT */
/* What a guest's agent may send to the host: frames for two channels that are open, one of them given
 * up. Whatever comes, no stream holds more than its window, and a connection that is broken has a
 * reason. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "agent/agent_client.h"

static void put(struct agent_bytes *b, uint8_t type, uint8_t stream, uint32_t channel,
                const struct agent_fields *f)
{
    if (!agent_frame_append(b, type, stream, channel, agent_bytes_front(&f->b), f->b.len))
        abort();
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    struct agent_fields hello = {.failed = false}, end = {.failed = false}, none = {.failed = false};
    struct agent_bytes b = {NULL};
    size_t len;

    agent_put_text(&hello, AGENT_F_NAME, AGENT_NAME);
    agent_put_number(&hello, AGENT_F_VERSION, 1);
    agent_put_text(&hello, AGENT_F_FEATURE, "exec");
    agent_put_number(&end, AGENT_F_STATUS, 3);
    put(&b, AGENT_HELLO, 0, 0, &hello);
    put(&b, AGENT_DATA, 1, 1 + index, &hello);
    if (!agent_frame_append_credit(&b, 0, 1, 0))
        abort();
    put(&b, AGENT_EOF, 1, 1, &none);
    put(&b, AGENT_END, 0, 1 + index, &end);
    len = index > 1 || b.len > room ? 0 : b.len;
    if (len)
        memcpy(ret, agent_bytes_front(&b), len);
    agent_bytes_fini(&b);
    agent_fields_fini(&hello);
    agent_fields_fini(&end);
    return len;
}

static struct agent_channel *add(struct vz_agent *a, uint32_t id)
{
    struct agent_channel *c = calloc(1, sizeof(*c));

    c->agent = a;
    c->id = id;
    c->wake_fd = -1;
    c->credit = a->window;
    c->next = a->channels;
    a->channels = c;
    return c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vz_agent a = {.fd = -1, .stop_fd = -1, .window = AGENT_WINDOW};
    struct agent_bytes in = {NULL};
    struct agent_channel *mine;

    pthread_mutex_init(&a.lock, NULL);
    pthread_mutex_init(&a.send_lock, NULL);
    pthread_cond_init(&a.changed, NULL);
    mine = add(&a, 1);
    add(&a, 2)->abandoned = true;
    if (size && !agent_bytes_append(&in, data, size))
        abort();
    if (!agent_client_input(&a, &in) && (!a.dead || !a.why[0]))
        abort();
    for (unsigned i = 0; i < AGENT_STREAMS; i++) {
        if (mine->in[i].bytes.len > AGENT_WINDOW)
            abort();
    }
    if (mine->ended)
        (void)!agent_end_result(mine, "fuzz", NULL);
    if (mine->answered)
        agent_close(mine); /* it is in no list any more */
    agent_free_channels(&a);
    agent_bytes_fini(&in);
    free(a.version);
    free(a.features);
    return 0;
}
