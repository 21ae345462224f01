/* SPDX-License-Identifier: MIT */
/* The USB pointer that is where it is told to be, and the mouse: five buttons, and two wheels of 1/120 notch for
 * hosts that ask for it (HID Usage Tables 1.4 4.3.1, Resolution Multiplier). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "usb/hid_impl.h"

#define EVENTS   64u
#define BUTTONS  0x1fu
#define MULTIPLY 0x05u /* the feature report: a field of two bits for each wheel */

struct pointer {
    struct hid hid;
    struct hid_wheel wheel, pan;
    struct hid_pointer_event event[EVENTS];
    uint32_t head, count;
    struct hid_pointer_event last; /* as the host knows it */
};

static struct pointer *to_pointer(struct hid *h)
{
    return container_of(h, struct pointer, hid);
}

#define BUTTONS_REPORT                                                                             \
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, /* Mouse, Pointer */               \
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x95, 0x05, 0x75, 0x01, 0x81, 0x02, \
    0x95, 0x01, 0x75, 0x03, 0x81, 0x01
#define MULTIPLIER_REPORT                                                                          \
    0x09, 0x48, 0x15, 0x00, 0x25, 0x01, 0x35, 0x01, 0x45, 0x78, 0x75, 0x02, 0x95, 0x01, 0xb1, 0x02, \
    0x35, 0x00, 0x45, 0x00
#define WHEELS_REPORT                                                                              \
    0xa1, 0x02, MULTIPLIER_REPORT,                                                                 \
    0x09, 0x38, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x01, 0x81, 0x06, 0xc0,      \
    0xa1, 0x02, MULTIPLIER_REPORT,                                                                 \
    0x05, 0x0c, 0x0a, 0x38, 0x02, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x01, 0x81, 0x06, \
    0xc0, 0x75, 0x04, 0x95, 0x01, 0xb1, 0x01, 0xc0, 0xc0

static const uint8_t absolute_report[] = {
    BUTTONS_REPORT, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xff, 0x7f, 0x35, 0x00,
    0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02, WHEELS_REPORT};
static const uint8_t relative_report[] = {
    BUTTONS_REPORT, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f,
    0x75, 0x10, 0x95, 0x02, 0x81, 0x06, WHEELS_REPORT};

static const uint8_t absolute_device[] = HID_DEVICE(0x1d6b, 0x0104, 0x0002);
static const uint8_t relative_device[] = HID_DEVICE(0x1d6b, 0x0104, 0x0003);
static const uint8_t absolute_config[] = {HID_CONFIG(1), HID_INTERFACE(0, 0, 0, sizeof(absolute_report))};
static const uint8_t relative_config[] = {HID_CONFIG(1), HID_INTERFACE(0, 1, 2, sizeof(relative_report))};
static const char *const absolute_strings[] = {"vz", "vz USB Tablet", "1", NULL};
static const char *const relative_strings[] = {"vz", "vz USB Mouse", "1", NULL};

/* ---- Events --------------------------------------------------------------------------------- */

static void join(struct hid_pointer_event *to, const struct hid_pointer_event *e)
{
    struct hid_pointer_event sum = *e;

    sum.dx = hid_clamp((int64_t)to->dx + e->dx, INT16_MAX);
    sum.dy = hid_clamp((int64_t)to->dy + e->dy, INT16_MAX);
    sum.wheel = hid_clamp((int64_t)to->wheel + e->wheel, INT16_MAX);
    sum.pan = hid_clamp((int64_t)to->pan + e->pan, INT16_MAX);
    *to = sum;
}

void hid_pointer_send(struct usb_dev *d, const struct hid_pointer_event *e)
{
    struct pointer *p = to_pointer(to_hid(d));
    struct hid_pointer_event *last = &p->event[(p->head + p->count + EVENTS - 1) % EVENTS];

    if (!d->configuration)
        return;
    if (p->hid.model->kind == HID_TRACKPAD) {
        hid_trackpad_pointer(d, e);
        return;
    }
    if (p->count == EVENTS || (p->count && last->buttons == e->buttons)) {
        join(last, e);
    } else {
        last = &p->event[(p->head + p->count++) % EVENTS];
        *last = (struct hid_pointer_event){0};
        join(last, e);
    }
    last->x = MIN(e->x, HID_POINTER_MAX);
    last->y = MIN(e->y, HID_POINTER_MAX);
    last->buttons = e->buttons & BUTTONS;
    hid_news(&p->hid);
}

/* ---- Reports -------------------------------------------------------------------------------- */

static size_t boot_report(const struct hid_pointer_event *e, uint8_t *r) /* HID 1.11 B.2 */
{
    r[0] = e->buttons & 7;
    r[1] = (uint8_t)hid_clamp(e->dx, INT8_MAX);
    r[2] = (uint8_t)hid_clamp(e->dy, INT8_MAX);
    return 3;
}

static size_t report(const struct pointer *p, const struct hid_pointer_event *e, int16_t wheel, int16_t pan,
                     uint8_t *r)
{
    bool relative = p->hid.model->kind == HID_MOUSE;

    if (p->hid.boot[0] && relative)
        return boot_report(e, r);
    r[0] = (uint8_t)e->buttons;
    store_le16(r + 1, relative ? (uint16_t)e->dx : e->x);
    store_le16(r + 3, relative ? (uint16_t)e->dy : e->y);
    store_le16(r + 5, (uint16_t)wheel);
    store_le16(r + 7, (uint16_t)pan);
    return 9;
}

/* Would it tell the host nothing that it does not know? */
static bool is_news(const struct pointer *p, const struct hid_pointer_event *e, int16_t wheel, int16_t pan)
{
    return e->buttons != p->last.buttons || wheel || pan ||
           (p->hid.model->kind == HID_MOUSE ? e->dx || e->dy : e->x != p->last.x || e->y != p->last.y);
}

static size_t next(struct hid *h, unsigned interface, uint8_t *r)
{
    struct pointer *p = to_pointer(h);

    while (p->count) {
        struct hid_pointer_event e = p->event[p->head];
        int16_t wheel = hid_wheel_turn(&p->wheel, e.wheel), pan = hid_wheel_turn(&p->pan, e.pan);
        bool news = is_news(p, &e, wheel, pan);

        p->head = (p->head + 1) % EVENTS;
        p->count--;
        p->last = e;
        if (news)
            return report(p, &e, wheel, pan, r);
    }
    return 0;
}

static int get(struct hid *h, unsigned interface, unsigned type, unsigned id, uint8_t *r)
{
    struct pointer *p = to_pointer(h);
    struct hid_pointer_event e = p->last;

    if (id || (type != HID_INPUT && type != HID_FEATURE))
        return -EPIPE;
    if (type == HID_FEATURE) {
        r[0] = (uint8_t)(p->wheel.fine | p->pan.fine << 2);
        return 1;
    }
    e.dx = e.dy = 0;
    return (int)report(p, &e, 0, 0, r);
}

static int set(struct hid *h, unsigned interface, unsigned type, unsigned id, const uint8_t *r, size_t len)
{
    struct pointer *p = to_pointer(h);

    if (type != HID_FEATURE || id || !len)
        return -EPIPE;
    p->wheel = (struct hid_wheel){.fine = r[0] & 1};
    p->pan = (struct hid_wheel){.fine = r[0] >> 2 & 1};
    return 0;
}

static void clear(struct hid *h)
{
    struct pointer *p = to_pointer(h);

    p->head = p->count = 0;
    memset(p->event, 0, sizeof(p->event));
    p->last = (struct hid_pointer_event){0};
    p->wheel = p->pan = (struct hid_wheel){0};
}

static const struct hid_model models[] = {
    {.kind = HID_POINTER, .interfaces = 1, .next = next, .get = get, .set = set, .clear = clear,
     .report = {{absolute_report, sizeof(absolute_report)}},
     .identity = {.device = absolute_device, .config = absolute_config, .strings = absolute_strings,
                  .alt_count = {1}}},
    {.kind = HID_MOUSE, .interfaces = 1, .next = next, .get = get, .set = set, .clear = clear,
     .report = {{relative_report, sizeof(relative_report)}},
     .identity = {.device = relative_device, .config = relative_config, .strings = relative_strings,
                  .alt_count = {1}}},
};

/* ---- State ---------------------------------------------------------------------------------- */

static const struct state_field event_state[] = {
    STATE_UINT_MAX(struct hid_pointer_event, x, HID_POINTER_MAX),
    STATE_UINT_MAX(struct hid_pointer_event, y, HID_POINTER_MAX),
    STATE_UINT(struct hid_pointer_event, dx),
    STATE_UINT(struct hid_pointer_event, dy),
    STATE_UINT_MAX(struct hid_pointer_event, buttons, BUTTONS),
    STATE_UINT(struct hid_pointer_event, wheel),
    STATE_UINT(struct hid_pointer_event, pan),
    STATE_END,
};
static const struct state_field wheel_state[] = {
    STATE_BOOL(struct hid_wheel, fine), STATE_UINT(struct hid_wheel, rest), STATE_END};
static const struct state_field fields[] = {
    HID_STATE(struct pointer),
    STATE_STRUCT(struct pointer, wheel, wheel_state),
    STATE_STRUCT(struct pointer, pan, wheel_state),
    STATE_STRUCT_ARRAY(struct pointer, event, event_state),
    STATE_UINT_MAX(struct pointer, head, EVENTS - 1),
    STATE_UINT_MAX(struct pointer, count, EVENTS),
    STATE_STRUCT(struct pointer, last, event_state),
    STATE_END,
};

static int loaded(void *object, struct vz_error *err)
{
    struct pointer *p = object;

    p->wheel.rest %= HID_WHEEL_NOTCH;
    p->pan.rest %= HID_WHEEL_NOTCH;
    for (unsigned i = 0; i < EVENTS; i++)
        join(&p->event[i], &(struct hid_pointer_event){.x = p->event[i].x, .y = p->event[i].y,
                                                       .buttons = p->event[i].buttons});
    return 0;
}

static const struct state_desc state = {.name = "usb-pointer", .version = 1, .fields = fields,
                                        .loaded = loaded};
static const struct device_ops dev_ops = {.name = "usb-pointer", .state = &state,
                                          .reset_locked = usb_dev_reset_locked,
                                          .destroy = usb_dev_destroy};

int hid_pointer_create(struct bus *bus, bool relative, uint32_t instance, struct usb_dev **ret)
{
    struct pointer *p = calloc(1, sizeof(*p));
    int r = p ? hid_init(&p->hid, &models[relative], &dev_ops, bus, instance) : -ENOMEM;

    if (r < 0)
        free(p);
    else
        *ret = &p->hid.usb;
    return r;
}
