/* SPDX-License-Identifier: MIT */
/* Displays of a machine that is live: their sizes, and views of them. */
#include <vz/display.h>

#include <stdlib.h>

#include "base/error.h"
#include "device/agent_line.h"
#include "device/device_kind.h"
#include "device/device_slots.h"
#include "machine/machine_impl.h"
#include "virtio/virtio_gpu.h"

/* ---- On the machine's thread ---------------------------------------------------------------- */

struct display_call {
    unsigned device, display;
    struct display_size size;
    struct vz_display_state state;
    struct display_view *view;
};

/* The device's slot; NULL with err. */
static struct device_slot *find(struct vz_machine *m, const struct display_call *c, struct vz_error *err)
{
    struct device_slot *s = device_slots_find(m->parts.slots, "graphicsDevices", c->device);

    if (s && c->display < display_scanouts(s->host))
        return s;
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no display %u of graphics device %u",
              c->display, c->device);
    return NULL;
}

static int get_state(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct display_call *c = arg;
    struct device_slot *s = find(m, c, err);
    struct display_size shown, wish;

    if (!s)
        return -1;
    c->state.shown = display_shown(s->host, c->display, &shown);
    wish = display_wish(s->host, c->display);
    c->state.width = shown.width;
    c->state.height = shown.height;
    c->state.wanted_width = wish.width;
    c->state.wanted_height = wish.height;
    return 0;
}

/* A guest whose desktop does not follow its display by itself has an agent that does: it is told of all displays of the
 * first graphics device, side by side. */
static void tell_agent(struct vz_machine *m, const struct display_call *c, struct device_slot *s)
{
    struct spice_agent *agent = c->device ? NULL : agent_line_find(m->parts.slots);
    struct spice_monitor monitor[SPICE_MONITORS_MAX];
    unsigned count = MIN(display_scanouts(s->host), SPICE_MONITORS_MAX);
    int32_t x = 0;

    if (!agent)
        return;
    for (unsigned i = 0; i < count; i++) {
        struct display_size size = display_wish(s->host, i);

        monitor[i] = (struct spice_monitor){.width = size.width, .height = size.height, .x = x};
        x += (int32_t)size.width;
    }
    spice_agent_monitors(agent, monitor, count);
}

static int reconfigure(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct display_call *c = arg;
    struct device_slot *s = find(m, c, err);

    if (!s)
        return -1;
    virtio_gpu_set_wish(s->model, c->display, c->size);
    tell_agent(m, c, s);
    return 0;
}

static int new_view(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct display_call *c = arg;
    struct device_slot *s = find(m, c, err);

    if (!s || display_view_new(s->host, c->display, &c->view, err) < 0)
        return -1;
    virtio_gpu_watched(s->model);
    return 0;
}

/* ---- What programs call --------------------------------------------------------------------- */

int vz_machine_display_state(struct vz_machine *m, unsigned device, unsigned display,
                             struct vz_display_state *ret, struct vz_error *err)
{
    struct display_call c = {.device = device, .display = display, .state = VZ_DISPLAY_STATE_INIT};

    if (!options_given(ret, "state", err) || machine_call(m, get_state, &c, err) < 0)
        return -1;
    return options_return(ret, ret->size, &c.state, sizeof(c.state), err) < 0 ? -1 : 0;
}

static uint32_t in_range(uint32_t side)
{
    return MAX(MIN(side, (uint32_t)VZ_DISPLAY_SIDE_MAX), (uint32_t)VZ_DISPLAY_SIDE_MIN);
}

int vz_machine_reconfigure_display(struct vz_machine *m, unsigned device, unsigned display,
                                   uint32_t width, uint32_t height, struct vz_error *err)
{
    struct display_call c = {.device = device, .display = display,
                             .size = {in_range(width), in_range(height)}};

    return machine_call(m, reconfigure, &c, err) < 0 ? -1 : 0;
}

/* ---- Views ---------------------------------------------------------------------------------- */

struct vz_display_view {
    struct display_view *view;
    struct display_cursor cursor; /* whose pixels the caller has */
};

struct vz_display_view *vz_display_view_new(struct vz_machine *m, unsigned device, unsigned display,
                                            struct vz_error *err)
{
    struct display_call c = {.device = device, .display = display};
    struct vz_display_view *v = calloc(1, sizeof(*v));

    if (!v) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    if (machine_call(m, new_view, &c, err) < 0) {
        free(v);
        return NULL;
    }
    v->view = c.view;
    return v;
}

void vz_display_view_free(struct vz_display_view *v)
{
    if (v)
        display_view_free(v->view);
    free(v);
}

int vz_display_view_fd(const struct vz_display_view *v)
{
    return v ? display_view_fd(v->view) : -1;
}

int vz_display_view_memory(const struct vz_display_view *v, uint64_t *ret_size)
{
    uint64_t size = 0;
    int fd = v ? display_view_memory(v->view, &size) : -1;

    if (ret_size)
        *ret_size = size;
    return fd;
}

static void fill_damage(struct vz_display_update *ret, const struct damage *d)
{
    _Static_assert(VZ_DAMAGE_MAX == DAMAGE_RECTS_MAX, "all of it fits");
    ret->damage_count = d->count;
    for (unsigned i = 0; i < d->count; i++)
        ret->damage[i] = (struct vz_display_rect){d->rect[i].x, d->rect[i].y, d->rect[i].width,
                                                  d->rect[i].height};
}

int vz_display_view_update(struct vz_display_view *v, struct vz_display_update *ret,
                           struct vz_error *err)
{
    struct vz_display_update is = VZ_DISPLAY_UPDATE_INIT;
    struct display_update u;
    bool any;

    if (!options_given(v, "view", err) || !options_given(ret, "update", err))
        return -1;
    any = display_view_update(v->view, &u);
    is.width = u.size.width;
    is.height = u.size.height;
    is.stride = u.stride;
    is.pixels = u.pixels;
    is.offset = u.offset;
    is.resized = u.resized;
    is.ended = u.ended;
    is.cursor_changed = u.cursor_changed;
    is.cursor_moved = u.cursor_moved;
    fill_damage(&is, &u.damage);
    if (u.cursor_changed || u.cursor_moved)
        display_view_cursor(v->view, &v->cursor);
    return options_return(ret, ret->size, &is, sizeof(is), err) < 0 ? -1 : any;
}

uint64_t machine_view_ended_ns(const struct vz_display_view *v)
{
    return display_view_ended_ns(v->view);
}

bool vz_display_view_is_whole(const struct vz_display_view *v)
{
    return v && display_view_is_whole(v->view);
}

int vz_display_view_cursor(const struct vz_display_view *v, struct vz_display_cursor *ret,
                           struct vz_error *err)
{
    struct vz_display_cursor is = VZ_DISPLAY_CURSOR_INIT;

    if (!options_given(v, "view", err) || !options_given(ret, "cursor", err))
        return -1;
    is.visible = v->cursor.visible;
    is.x = v->cursor.x;
    is.y = v->cursor.y;
    is.hot_x = v->cursor.hot_x;
    is.hot_y = v->cursor.hot_y;
    is.width = v->cursor.width;
    is.height = v->cursor.height;
    is.pixels = v->cursor.pixels;
    return options_return(ret, ret->size, &is, sizeof(is), err) < 0 ? -1 : 0;
}
