/* SPDX-License-Identifier: MIT */
/* A guest's SPICE agent that says anything, to a host that offers, asks, answers, saves and restores in between. What
 * is saved after whatever came of it loads; what is loaded of anything goes on. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "base/le.h"
#include "fuzz_input.h"
#include "require.h"
#include "spice/spice_agent.h"
#include "spice/vd_agent_spec.h"
#include "state/state.h"

static struct spice_agent *agent;
static uint64_t last_request;
static bool wants;

static void output(void *arg)
{
}

static void presence(void *arg, bool there)
{
}

static void offered(void *arg, enum spice_selection s, unsigned types)
{
    require(s < SPICE_SELECTIONS && !(types & ~SPICE_TYPES_ALL), "an offer of nothing known");
}

static void wanted(void *arg, uint64_t request, enum spice_selection s, enum spice_type type)
{
    require(s < SPICE_SELECTIONS && type && type < SPICE_TYPES_END, "a request for nothing known");
    last_request = request;
    wants = true;
}

static void content(void *arg, uint8_t *data, size_t len, enum spice_failure why)
{
    require(!data == (why != SPICE_NO_FAILURE) && len <= SPICE_CONTENT_MAX, "content without a reason");
    free(data);
}

static void file(void *arg, uint32_t id, enum spice_file_news news)
{
    require(id < 4 && news <= SPICE_FILE_GONE, "news of a file that was never sent");
}

static const struct spice_agent_ops ops = {output, presence, offered, wanted, content, file};

static void give(struct input *in)
{
    size_t len = (size_t)take(in, 2) * (take(in, 1) & 1 ? 1 : 16);

    if (wants)
        spice_agent_give(agent, last_request, calloc(1, len + 1), len);
    wants = false;
}

/* Chunks can hardly end in time: at most so many bytes come. */
static void drink(size_t most)
{
    static uint8_t to[4096];
    size_t n;

    while (most && (n = spice_agent_take(agent, to, MIN(most, sizeof(to)))))
        most -= n;
}

static void again(struct input *in)
{
    struct spice_agent *other = spice_agent_create(true, &ops, NULL);
    struct state_writer s = {0};
    bool harmed = take(in, 1) & 1;

    if (!other || state_save(&s, &spice_agent_state, 0, agent) < 0)
        exit(1);
    for (unsigned i = 0; harmed && i < 4; i++)
        s.data[(size_t)take(in, 4) % s.len] = (uint8_t)take(in, 1);
    wants = false;
    if (state_load(s.data, s.len, &spice_agent_state, 0, other, NULL) == 0) {
        spice_agent_destroy(agent);
        agent = other;
    } else {
        require(harmed, "what was saved does not load");
        spice_agent_destroy(other);
    }
    state_writer_fini(&s);
}

static void send(struct input *in)
{
    uint8_t op = (uint8_t)take(in, 1);
    uint32_t id = op & 3;
    char name[8] = {0};
    size_t len;

    if (op & 4) {
        for (unsigned i = 0; i < 4; i++)
            name[i] = (char)take(in, 1);
        (void)!spice_agent_send_file(agent, id, name, (uint64_t)take(in, 2));
    } else if (op & 8) {
        spice_agent_cancel_file(agent, id);
    } else {
        len = (size_t)take(in, 2);
        spice_agent_file_data(agent, id, calloc(1, len + 1), len);
    }
}

static void step(struct input *in)
{
    const struct spice_monitor monitor[2] = {{640, 480, 0, 0}, {640, 480, 640, 0}};
    uint8_t op = (uint8_t)take(in, 1);
    size_t len;
    int r;

    switch (op % 10) {
    case 0: spice_agent_open(agent, op & 0x80); break;
    case 1: spice_agent_offer(agent, (op >> 4) & 1, (unsigned)take(in, 1)); break;
    case 2: give(in); break;
    case 3: r = spice_agent_ask(agent, (op >> 4) & 1, 1 + (unsigned)take(in, 1) % 5); (void)r; break;
    case 4: spice_agent_forget(agent); break;
    case 5: again(in); break;
    case 6: spice_agent_monitors(agent, monitor, op >> 7); break;
    case 7: drink(take(in, 1) & 1 ? (size_t)take(in, 2) : SIZE_MAX); break;
    case 9: send(in); break;
    default:
        len = (size_t)take(in, 2);
        len = MIN(len, in->len);
        spice_agent_put(agent, in->p, len);
        in->p += len;
        in->len -= len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};

    agent = spice_agent_create(true, &ops, NULL);
    wants = false;
    if (!agent)
        return 0;
    spice_agent_open(agent, true);
    while (in.len)
        step(&in);
    drink(SIZE_MAX);
    spice_agent_destroy(agent);
    return 0;
}

/* ---- Seeds: agents that know how to behave ----------------------------------------------------- */

static size_t put(uint8_t *to, uint8_t op, const void *data, size_t len)
{
    to[0] = op;
    memcpy(to + 1, data, len);
    return 1 + len;
}

static size_t say(uint8_t *to, uint32_t type, const uint32_t *body, size_t len)
{
    struct vdi_chunk_header c = {VDP_CLIENT_PORT, (uint32_t)(sizeof(struct vd_agent_message) + len)};
    struct vd_agent_message m = {.protocol = VD_AGENT_PROTOCOL, .type = type, .size = (uint32_t)len};

    to[0] = 8;
    to[1] = 0;
    to[2] = (uint8_t)(sizeof(c) + sizeof(m) + len);
    memcpy(to + 3, &c, sizeof(c));
    memcpy(to + 3 + sizeof(c), &m, sizeof(m));
    memcpy(to + 3 + sizeof(c) + sizeof(m), body, len);
    return 3 + sizeof(c) + sizeof(m) + len;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const uint32_t caps[] = {1, 0x2660}, grab[] = {0, 1, 2}, ask[] = {0, 1}, text[] = {0, 1, 0x74736574};
    static const uint32_t go_on[] = {1, VD_AGENT_FILE_XFER_STATUS_CAN_SEND_DATA};
    static const uint32_t arrived[] = {1, VD_AGENT_FILE_XFER_STATUS_SUCCESS};
    static const uint8_t file_head[] = {5, 'n', 'a', 'm', 0, 9, 0}, piece[] = {1, 9, 0};
    static const uint8_t offer[] = {0x3e}, answer[] = {100, 0, 1}, all[] = {0}, save[] = {0};
    static const uint8_t harm[] = {1, 9, 0, 0, 0, 7};
    size_t n = 0;

    if (index > 3 || room < 512)
        return 0;
    n += say(ret + n, VD_AGENT_ANNOUNCE_CAPABILITIES, caps, sizeof(caps));
    if (index == 3) {
        n += put(ret + n, 9, file_head, sizeof(file_head));
        n += put(ret + n, 7, all, 1);
        n += say(ret + n, VD_AGENT_FILE_XFER_STATUS, go_on, sizeof(go_on));
        n += put(ret + n, 9, piece, sizeof(piece));
        n += put(ret + n, 7, all, 1);
        return n + say(ret + n, VD_AGENT_FILE_XFER_STATUS, arrived, sizeof(arrived));
    }
    if (index != 1) {
        n += say(ret + n, VD_AGENT_CLIPBOARD_GRAB, grab, sizeof(grab));
        n += put(ret + n, 3, all, 1);
        n += put(ret + n, 7, all, 1);
        n += say(ret + n, VD_AGENT_CLIPBOARD, text, sizeof(text));
        n += say(ret + n, VD_AGENT_CLIPBOARD_RELEASE, grab, 4);
    }
    if (index != 0) {
        n += put(ret + n, 1, offer, 1);
        n += put(ret + n, 7, all, 1);
        n += say(ret + n, VD_AGENT_CLIPBOARD_REQUEST, ask, sizeof(ask));
        n += put(ret + n, 2, answer, 3);
        n += put(ret + n, 5, index == 1 ? save : harm, index == 1 ? 1 : 6);
        n += put(ret + n, 7, all, 1);
    }
    return n;
}
