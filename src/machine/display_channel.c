/* SPDX-License-Identifier: MIT */
/* A viewer's channel (<vz/display_channel.h>): a thread that waits for the viewer and for the display. It has a view,
 * and types and points, as any program does by <vz/display.h> and <vz/input.h>; the machine's thread is never waiting
 * for it. */
#include <vz/display_channel.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/given_fd.h"
#include "base/pass_fd.h"
#include "base/rate_bucket.h"
#include "base/thread.h"
#include "machine/channel_clipboard.h"
#include "machine/channel_files.h"
#include "machine/machine_impl.h"

#define HELD_MAX 32u /* keys that one viewer holds; more than anybody has fingers */
#define NO_DEVICE UINT32_MAX
/* After the machine's end its viewers have so long, all at the same time, for the last picture: who ends waits for them. */
#define LAST_NS (UINT64_C(2000) * NS_PER_MS)

/* What a viewer may have the machine's thread do: twice what the fastest mouse says. Who says more is read later. */
#define MESSAGES_PER_S  2000u
#define MESSAGES_AT_ONCE 500u
#define SIZES_NS (50 * NS_PER_MS) /* between two sizes that the guest is told; of those in between it gets the last */

union message {
    uint32_t kind;
    struct vz_channel_key key;
    struct vz_channel_pointer pointer;
    struct vz_channel_touches touches;
    struct vz_channel_size size;
    struct vz_channel_next_copied next_copied;
    struct vz_channel_get get;
    struct vz_channel_copy copy;
    struct vz_channel_pasted pasted;
    struct vz_channel_send_file send_file;
    struct vz_channel_cancel_file cancel_file;
};

struct vz_display_channel {
    /* Constant. */
    struct vz_machine *machine;
    unsigned device, display, display_count;
    uint32_t pointer, mouse, trackpad; /* the first of each kind, or NO_DEVICE */
    bool keyboard;
    int fd, stop_fd; /* stop_fd becomes readable when it is to end */
    pthread_t thread;
    atomic_bool over;
    /* The thread's. */
    struct vz_display_view *view;
    struct channel_clipboard *clipboard; /* NULL: is not shared, */
    struct channel_files *files;         /* nor are files taken */
    bool asked; /* the viewer has taken what it was sent, and waits for more */
    bool ended; /* it has been sent that the machine has ended, with the last picture */
    uint32_t held[HELD_MAX];
    unsigned held_count;
    struct vz_channel_pointer last[2]; /* by relative: what is pressed, and where */
    bool touched;
    struct rate_bucket rate; /* of messages */
    struct vz_channel_size size; /* that is wanted, where sized */
    bool sized;
    uint64_t size_ns; /* when the guest may be told another one */
};

/* ---- To the viewer -------------------------------------------------------------------------- */

/* It has asked for this, and takes it, or is none. Nothing piles up in the socket, so it never has to wait. */
static bool send_message(struct vz_display_channel *c, const void *message, size_t len, int fd)
{
    return channel_send(c->fd, message, len, fd);
}

static bool send_hello(struct vz_display_channel *c)
{
    struct vz_channel_hello h = {.kind = VZ_CHANNEL_HELLO, .version = VZ_CHANNEL_VERSION, .display = c->display,
                                 .display_count = c->display_count,
                                 .clipboard = channel_clipboard_number(c->clipboard)};
    int fd = vz_display_view_memory(c->view, &h.memory_size);

    h.input = (c->keyboard ? VZ_CHANNEL_HAS_KEYBOARD : 0u) |
              (c->pointer != NO_DEVICE ? VZ_CHANNEL_HAS_POINTER : 0u) |
              (c->mouse != NO_DEVICE ? VZ_CHANNEL_HAS_MOUSE : 0u) |
              (c->trackpad != NO_DEVICE ? VZ_CHANNEL_HAS_TRACKPAD : 0u);
    return send_message(c, &h, sizeof(h), fd);
}

static bool send_cursor(struct vz_display_channel *c)
{
    struct vz_display_cursor is = VZ_DISPLAY_CURSOR_INIT;
    struct vz_channel_cursor m = {.kind = VZ_CHANNEL_CURSOR};

    if (vz_display_view_cursor(c->view, &is, NULL) < 0)
        return true;
    m.visible = is.visible;
    m.x = is.x;
    m.y = is.y;
    if (is.visible) {
        m.hot_x = is.hot_x;
        m.hot_y = is.hot_y;
        m.width = is.width;
        m.height = is.height;
        memcpy(m.pixels, is.pixels, (size_t)is.width * is.height * 4);
    }
    return send_message(c, &m, sizeof(m), -1);
}

/* False: it is over. */
static bool send_update(struct vz_display_channel *c)
{
    struct vz_display_update u = VZ_DISPLAY_UPDATE_INIT;
    struct vz_channel_update m = {.kind = VZ_CHANNEL_UPDATE};
    int any = vz_display_view_update(c->view, &u, NULL);

    if (any <= 0)
        return any == 0;
    m.flags = (u.pixels ? VZ_CHANNEL_SHOWN : 0u) | (u.ended ? VZ_CHANNEL_ENDED : 0u);
    m.width = u.width;
    m.height = u.height;
    m.stride = u.stride;
    m.offset = u.offset;
    m.damage_count = u.damage_count;
    memcpy(m.damage, u.damage, u.damage_count * sizeof(m.damage[0]));
    c->asked = false;
    c->ended = u.ended;
    return (!(u.cursor_changed || u.cursor_moved) || send_cursor(c)) && send_message(c, &m, sizeof(m), -1);
}

/* ---- From the viewer ------------------------------------------------------------------------ */

static void take_key(struct vz_display_channel *c, const struct vz_channel_key *k)
{
    unsigned i = 0;

    while (i < c->held_count && c->held[i] != k->key)
        i++;
    if (k->down && i == c->held_count) {
        if (c->held_count == HELD_MAX)
            return;
        c->held[c->held_count++] = k->key;
    } else if (!k->down && i < c->held_count) {
        c->held[i] = c->held[--c->held_count];
    }
    (void)!vz_machine_send_key(c->machine, 0, k->key, k->down, NULL);
}

/* A pointer's range is that of all displays beside each other, as guests put them. */
static uint32_t on_desktop(const struct vz_display_channel *c, uint32_t x)
{
    uint64_t before = 0, all = 0, own = 1;

    if (c->display_count == 1)
        return x;
    for (unsigned i = 0; i < c->display_count; i++) {
        struct vz_display_state s = VZ_DISPLAY_STATE_INIT;

        if (vz_machine_display_state(c->machine, c->device, i, &s, NULL) < 0)
            return x;
        before += i < c->display && s.shown ? s.width : 0;
        own = i == c->display ? s.width : own;
        all += s.shown || i == c->display ? s.width : 0;
    }
    return (uint32_t)((before * VZ_POINTER_MAX + own * x) / all);
}

static void take_pointer(struct vz_display_channel *c, const struct vz_channel_pointer *p)
{
    struct vz_pointer_event e = VZ_POINTER_EVENT_INIT;
    uint32_t device = p->relative ? c->mouse : c->pointer;

    if (p->relative > 1 || device == NO_DEVICE)
        return;
    c->last[p->relative] = *p;
    e.x = (uint16_t)on_desktop(c, MIN(p->x, (uint32_t)VZ_POINTER_MAX));
    e.y = (uint16_t)MIN(p->y, (uint32_t)VZ_POINTER_MAX);
    e.dx = p->dx;
    e.dy = p->dy;
    e.buttons = p->buttons;
    e.wheel = p->wheel;
    e.wheel_horizontal = p->wheel_horizontal;
    (void)!vz_machine_send_pointer(c->machine, device, &e, NULL);
}

static void take_touches(struct vz_display_channel *c, const struct vz_channel_touches *t)
{
    struct vz_touch touch[VZ_TOUCHES_MAX];

    if (c->trackpad == NO_DEVICE || t->count > VZ_TOUCHES_MAX)
        return;
    for (unsigned i = 0; i < t->count; i++)
        touch[i] = (struct vz_touch){.id = t->touch[i].id, .x = (uint16_t)MIN(t->touch[i].x, (uint32_t)VZ_POINTER_MAX),
                                     .y = (uint16_t)MIN(t->touch[i].y, (uint32_t)VZ_POINTER_MAX)};
    c->touched = t->count || t->pressed;
    (void)!vz_machine_send_touches(c->machine, c->trackpad, touch, t->count, t->pressed, NULL);
}

static void release_all(struct vz_display_channel *c)
{
    while (c->held_count)
        take_key(c, &(struct vz_channel_key){.key = c->held[c->held_count - 1], .down = false});
    for (unsigned i = 0; i < 2; i++) {
        struct vz_channel_pointer p = {.relative = i, .x = c->last[i].x, .y = c->last[i].y};

        if (c->last[i].buttons)
            take_pointer(c, &p);
    }
    if (c->touched)
        take_touches(c, &(struct vz_channel_touches){.count = 0});
}

static size_t length_of(uint32_t kind)
{
    switch (kind) {
    case VZ_CHANNEL_KEY:
        return sizeof(struct vz_channel_key);
    case VZ_CHANNEL_POINTER:
        return sizeof(struct vz_channel_pointer);
    case VZ_CHANNEL_TOUCHES:
        return sizeof(struct vz_channel_touches);
    case VZ_CHANNEL_SIZE:
        return sizeof(struct vz_channel_size);
    case VZ_CHANNEL_NEXT_COPIED:
        return sizeof(struct vz_channel_next_copied);
    case VZ_CHANNEL_GET:
        return sizeof(struct vz_channel_get);
    case VZ_CHANNEL_COPY:
        return sizeof(struct vz_channel_copy);
    case VZ_CHANNEL_PASTED:
        return sizeof(struct vz_channel_pasted);
    case VZ_CHANNEL_SEND_FILE:
        return sizeof(struct vz_channel_send_file);
    case VZ_CHANNEL_CANCEL_FILE:
        return sizeof(struct vz_channel_cancel_file);
    default:
        return sizeof(struct vz_channel_next);
    }
}

/* fd: came along, and is the caller's again, or not any more; -1: none. */
static int take(struct vz_display_channel *c, const union message *m, int fd)
{
    switch (m->kind) {
    case VZ_CHANNEL_NEXT:
        c->asked = true;
        break;
    case VZ_CHANNEL_KEY:
        take_key(c, &m->key);
        break;
    case VZ_CHANNEL_POINTER:
        take_pointer(c, &m->pointer);
        break;
    case VZ_CHANNEL_TOUCHES:
        take_touches(c, &m->touches);
        break;
    case VZ_CHANNEL_SIZE:
        c->size = m->size;
        c->sized = true;
        break;
    case VZ_CHANNEL_NEXT_COPIED:
        channel_clipboard_next(c->clipboard, &m->next_copied);
        break;
    case VZ_CHANNEL_GET:
        channel_clipboard_get(c->clipboard, &m->get);
        break;
    case VZ_CHANNEL_COPY:
        channel_clipboard_copy(c->clipboard, &m->copy);
        break;
    case VZ_CHANNEL_PASTED:
        channel_clipboard_pasted(c->clipboard, &m->pasted, fd);
        break;
    case VZ_CHANNEL_SEND_FILE:
        channel_files_send(c->files, &m->send_file, fd);
        return -1;
    case VZ_CHANNEL_CANCEL_FILE:
        channel_files_cancel(c->files, &m->cancel_file);
        break;
    default: /* of a later version */
        break;
    }
    return fd;
}

/* One message; false: the viewer is gone, or not to be understood. */
static bool receive(struct vz_display_channel *c)
{
    union message m;
    int fd;
    ssize_t n = pass_fd_receive(c->fd, &m, sizeof(m), &fd, MSG_DONTWAIT | MSG_TRUNC);
    bool ok;

    if (n < 0)
        return n == -EAGAIN;
    rate_bucket_take(&c->rate, 1);
    ok = (size_t)n >= sizeof(m.kind) && (size_t)n <= sizeof(m) && (size_t)n >= length_of(m.kind);
    if (ok)
        fd = take(c, &m, fd);
    given_fd_close(fd);
    return ok;
}

/* ---- Its life ------------------------------------------------------------------------------- */

/* The size that the viewer wants, if it is time for that. */
static void tell_size(struct vz_display_channel *c, uint64_t now_ns)
{
    if (!c->sized || now_ns < c->size_ns)
        return;
    c->sized = false;
    c->size_ns = now_ns + SIZES_NS;
    (void)!vz_machine_reconfigure_display(c->machine, c->device, c->display, c->size.width, c->size.height, NULL);
}

/* How long to wait at most, for poll(): until a size is told, or a message may be read again. *ret_reads: it may be now. */
static int timeout_ms(struct vz_display_channel *c, uint64_t now_ns, bool *ret_reads)
{
    uint64_t when = rate_bucket_when(&c->rate, 1, now_ns), end = UINT64_MAX;

    *ret_reads = when <= now_ns;
    if (!*ret_reads)
        end = when;
    if (c->sized)
        end = MIN(end, MAX(c->size_ns, now_ns));
    return end == UINT64_MAX ? -1 : (int)((end - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* Until it is to end, the viewer has gone, or the machine has ended and that is said. False: it has gone. */
static bool serve_viewer(struct vz_display_channel *c)
{
    struct pollfd p[3] = {{.fd = c->stop_fd, .events = POLLIN}, {.fd = c->fd, .events = POLLIN},
                          {.fd = vz_display_view_fd(c->view)}};

    while (!c->ended) {
        bool reads;
        int limit_ms = timeout_ms(c, clock_mono_ns(), &reads);

        p[1].fd = reads ? c->fd : -1;
        p[2].events = c->asked ? POLLIN : 0;
        if (poll(p, 3, limit_ms) < 0 && errno != EINTR)
            return false;
        if (p[0].revents)
            return true;
        tell_size(c, clock_mono_ns());
        if ((p[1].revents && !receive(c)) || (p[2].revents && c->asked && !send_update(c)))
            return false;
    }
    return true;
}

/* The machine has ended: a viewer that asks soon gets the last picture, which stays until it asks once more, or goes. */
static void serve_last(struct vz_display_channel *c, uint64_t end_ns)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    uint64_t now;

    while (!(c->ended && c->asked) && (now = clock_mono_ns()) < end_ns) {
        if (!c->ended && c->asked) {
            if (!send_update(c) || !c->ended)
                return;
        } else if (poll(&p, 1, (int)((end_ns - now) / NS_PER_MS) + 1) > 0 && !receive(c)) {
            return;
        }
    }
}

static void *serve(void *arg)
{
    struct vz_display_channel *c = arg;
    uint64_t ended_ns;

    rate_bucket_init(&c->rate, MESSAGES_PER_S, MESSAGES_AT_ONCE, clock_mono_ns());
    if (send_hello(c) && serve_viewer(c) && (ended_ns = machine_view_ended_ns(c->view)))
        serve_last(c, ended_ns + LAST_NS);
    release_all(c);
    channel_files_free(c->files);
    channel_clipboard_free(c->clipboard);
    c->files = NULL;
    c->clipboard = NULL;
    vz_display_view_free(c->view); /* its picture would not be given back before somebody frees the channel */
    c->view = NULL;
    shutdown(c->fd, SHUT_RDWR);
    atomic_store(&c->over, true);
    return NULL;
}

/* The configuration's first of that kind; trackpads are moved too, where there is no mouse. */
static uint32_t find_device(const struct vz_machine *m, enum pointing_kind kind)
{
    const struct object_list *list = &m->config->pointing_devices;

    for (uint32_t i = 0; i < list->count; i++) {
        if (((const struct vz_pointing_device *)list->item[i])->kind == kind)
            return i;
    }
    return NO_DEVICE;
}

static void look_at_devices(struct vz_display_channel *c)
{
    const struct vz_config *config = c->machine->config;

    c->keyboard = config->keyboards.count > 0;
    c->pointer = find_device(c->machine, POINTING_ABSOLUTE);
    c->trackpad = find_device(c->machine, POINTING_TRACKPAD);
    c->mouse = find_device(c->machine, POINTING_MOUSE);
    if (c->mouse == NO_DEVICE)
        c->mouse = c->trackpad;
    c->display_count = ((const struct vz_graphics_device *)config->graphics_devices.item[c->device])->scanout_count;
}

static void release(struct vz_display_channel *c)
{
    channel_files_free(c->files);
    channel_clipboard_free(c->clipboard);
    vz_display_view_free(c->view);
    if (c->fd >= 0)
        close(c->fd);
    if (c->stop_fd >= 0)
        close(c->stop_fd);
    free(c);
}

static int set_up(struct vz_display_channel *c, int *ret_fd, struct vz_error *err)
{
    int pair[2], r;

    c->view = vz_display_view_new(c->machine, c->device, c->display, err);
    if (!c->view)
        return -1;
    look_at_devices(c);
    c->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (c->stop_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_set(err, errno, VZ_ERROR_IO, "a channel for a display: %s", strerror(errno));
    c->fd = pair[0];
    c->clipboard = channel_clipboard_new(c->machine, c->fd);
    c->files = c->clipboard ? channel_files_new(c->machine, c->fd) : NULL;
    r = thread_start(&c->thread, THREAD_VIEW, "vz-viewer", serve, c);
    if (r < 0) {
        close(pair[1]);
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "a thread for a viewer: %s", strerror(-r));
    }
    *ret_fd = pair[1];
    return 0;
}

struct vz_display_channel *vz_display_channel_new(struct vz_machine *m, unsigned device, unsigned display,
                                                  int *ret_fd, struct vz_error *err)
{
    struct vz_display_channel *c;

    if (!options_given(m, "machine", err) || !options_given(ret_fd, "descriptor", err))
        return NULL;
    c = calloc(1, sizeof(*c));
    if (!c) {
        error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    c->machine = m;
    c->device = device;
    c->display = display;
    c->fd = c->stop_fd = -1;
    if (set_up(c, ret_fd, err) == 0)
        return c;
    release(c);
    return NULL;
}

bool vz_display_channel_is_over(const struct vz_display_channel *c)
{
    return !c || atomic_load(&c->over);
}

void vz_display_channel_free(struct vz_display_channel *c)
{
    uint64_t one = 1;

    if (!c)
        return;
    if (write(c->stop_fd, &one, sizeof(one)) != sizeof(one)) /* which cannot be; a hang-up is heard too */
        shutdown(c->fd, SHUT_RDWR);
    pthread_join(c->thread, NULL);
    release(c);
}
