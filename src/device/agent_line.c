/* SPDX-License-Identifier: MIT */
#include "device/agent_line.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "char/char.h"
#include "device/device_kinds.h"
#include "device/device_slots.h"
#include "device/line.h"
#include "loop/loop.h"

struct agent_line {
    struct device_slot *slot;
    struct char_dev *line;
    struct spice_agent *agent;
    struct loop_timer *silence;
    size_t progress; /* when it was armed */
    bool rests;      /* the guest stands still: its silence says nothing */
};

static void tell(struct agent_line *l, const struct agent_event *e)
{
    device_slot_tell(l->slot, &(struct device_event){.what = DEVICE_AGENT, .agent = e});
}

/* ---- What the agent says --------------------------------------------------------------------- */

static void on_output(void *arg)
{
    struct agent_line *l = arg;

    if (l->line)
        char_accept_input(l->line);
}

static void on_presence(void *arg, bool there)
{
    tell(arg, &(struct agent_event){.what = AGENT_PRESENCE,
                                    .there = there && spice_agent_is_there(((struct agent_line *)arg)->agent)});
}

static void on_offered(void *arg, enum spice_selection s, unsigned types)
{
    tell(arg, &(struct agent_event){.what = AGENT_OFFERED, .selection = s, .types = types});
}

static void on_wanted(void *arg, uint64_t request, enum spice_selection s, enum spice_type type)
{
    tell(arg, &(struct agent_event){.what = AGENT_WANTED, .request = request, .selection = s, .type = type});
}

static void on_content(void *arg, uint8_t *data, size_t len, enum spice_failure why)
{
    struct agent_line *l = arg;

    loop_timer_disarm(l->silence);
    tell(l, &(struct agent_event){.what = AGENT_CONTENT, .data = data, .len = len, .why = why});
}

static void on_file(void *arg, uint32_t id, enum spice_file_news news)
{
    tell(arg, &(struct agent_event){.what = AGENT_FILE, .file = id, .news = news});
}

static const struct spice_agent_ops agent_ops = {.output = on_output, .presence = on_presence, .offered = on_offered,
                                                 .wanted = on_wanted, .content = on_content,
                                                 .file = on_file};

/* ---- Its answer ------------------------------------------------------------------------------ */

static void arm(struct agent_line *l)
{
    l->progress = spice_agent_progress(l->agent);
    if (l->rests)
        return;
    loop_timer_arm(l->silence, clock_mono_ns() + AGENT_SILENCE_MS * NS_PER_MS);
}

static void on_silence(void *arg)
{
    struct agent_line *l = arg;

    if (spice_agent_progress(l->agent) != l->progress) {
        arm(l);
        return;
    }
    spice_agent_forget(l->agent);
    on_content(l, NULL, 0, SPICE_GONE);
}

/* ---- The line -------------------------------------------------------------------------------- */

static void line_output(void *arg, const uint8_t *data, size_t len)
{
    spice_agent_put(((struct agent_line *)arg)->agent, data, len);
}

static size_t line_input(void *arg, uint8_t *to, size_t max)
{
    return spice_agent_take(((struct agent_line *)arg)->agent, to, max);
}

static void line_guest_opened(void *arg, bool open)
{
    spice_agent_open(((struct agent_line *)arg)->agent, open);
}

static void release(struct agent_line *l)
{
    loop_timer_destroy(l->silence);
    spice_agent_destroy(l->agent);
    free(l);
}

static void line_close(void *arg)
{
    release(arg);
}

static const struct char_engine_ops line_ops = {.output = line_output, .input = line_input,
                                                .opened = line_guest_opened, .close = line_close};

int agent_line_create(struct device_slot *s, bool shares, struct char_dev **ret, struct vz_error *err)
{
    struct agent_line *l = calloc(1, sizeof(*l));
    int r;

    if (!l || !(l->agent = spice_agent_create(shares, &agent_ops, l)) ||
        loop_timer_create(s->env->loop, on_silence, l, &l->silence) < 0) {
        if (l)
            release(l);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    l->slot = s;
    r = char_engine_create(s->env->loop, &line_ops, l, &l->line, err);
    if (r < 0)
        release(l);
    else
        *ret = l->line;
    return r;
}

struct spice_agent *agent_line_agent(struct char_dev *line)
{
    struct agent_line *l = char_engine_arg(line, &line_ops);

    return l ? l->agent : NULL;
}

void agent_line_rest(struct char_dev *line, bool rests)
{
    struct agent_line *l = char_engine_arg(line, &line_ops);

    if (!l)
        return;
    l->rests = rests;
    if (rests)
        loop_timer_disarm(l->silence);
    else if (spice_agent_is_asking(l->agent))
        arm(l);
}

static struct agent_line *find(struct device_slots *slots)
{
    struct device_slot *s;

    for (unsigned i = 0; (s = device_slots_find(slots, "consoleDevices", i)); i++) {
        const struct lines *lines = s->host;

        for (unsigned k = 0; lines && k < lines->count; k++) {
            struct agent_line *l = lines->line[k].dev ? char_engine_arg(lines->line[k].dev, &line_ops) : NULL;

            if (l)
                return l;
        }
    }
    return NULL;
}

struct spice_agent *agent_line_find(struct device_slots *slots)
{
    struct agent_line *l = find(slots);

    return l ? l->agent : NULL;
}

int agent_line_ask(struct device_slots *slots, enum spice_selection s, enum spice_type type)
{
    struct agent_line *l = find(slots);
    int r = l ? spice_agent_ask(l->agent, s, type) : -ENODEV;

    if (!r)
        arm(l);
    return r;
}
