/* SPDX-License-Identifier: MIT */
/* The trackpad: five fingers on a pad that can be pressed, in the form that Windows' precision touchpads have, which
 * Linux's hid-multitouch knows too (HID Usage Tables 1.4 16, Digitizers). It is a mouse until the driver chooses the
 * input mode of a touchpad: then firmware, and guests without a driver for it, can use it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/le.h"
#include "usb/hid_impl.h"

#define FRAMES 64u

enum { ID_TOUCH = 1, ID_CAPABILITIES = 2, ID_BLOB = 3, ID_MODE = 4, ID_SWITCHES = 5, ID_MOUSE = 6 };
enum { MODE_MOUSE = 0, MODE_TOUCHPAD = 3 };
enum { BLOB_LEN = 256 };

struct frame {
    uint32_t count;
    bool pressed;
    struct hid_touch touch[HID_TOUCHES];
};

/* A finger that the host knows of; its number is the contact's. */
struct contact {
    bool there;
    struct hid_touch touch;
};

struct trackpad {
    struct hid hid;
    uint8_t mode;
    uint8_t switches; /* bit 0: surface, bit 1: button: what the host wants to hear of */
    struct frame frame[FRAMES];
    uint32_t head, count;
    struct contact contact[HID_TOUCHES];
    bool pressed;
    struct frame last; /* the last that was sent as a mouse */
    struct hid_wheel wheel, pan;
    struct hid_pointer_event mouse; /* of the mouse's report that is due */
    bool send_mouse;
};

static struct trackpad *to_trackpad(struct hid *h)
{
    return container_of(h, struct trackpad, hid);
}

/* A contact: confidence, tip, identifier, x, y; 100 mm by 62 mm. */
#define CONTACT                                                                                    \
    0x05, 0x0d, 0x09, 0x22, 0xa1, 0x02, 0x15, 0x00, 0x25, 0x01, 0x09, 0x47, 0x09, 0x42, 0x95, 0x02, \
    0x75, 0x01, 0x81, 0x02, 0x95, 0x06, 0x81, 0x03, 0x25, 0x7f, 0x95, 0x01, 0x75, 0x08, 0x09, 0x51, \
    0x81, 0x02, 0x05, 0x01, 0x15, 0x00, 0x26, 0xff, 0x7f, 0x75, 0x10, 0x55, 0x0e, 0x65, 0x11, 0x09, 0x30, \
    0x35, 0x00, 0x46, 0xe8, 0x03, 0x95, 0x01, 0x81, 0x02, 0x46, 0x6c, 0x02, 0x09, 0x31, 0x81, 0x02, \
    0x45, 0x00, 0x65, 0x00, 0x55, 0x00, 0xc0

static const uint8_t descriptor[] = {
    0x05, 0x0d, 0x09, 0x05, 0xa1, 0x01, 0x85, ID_TOUCH, /* Touch Pad */
    CONTACT, CONTACT, CONTACT, CONTACT, CONTACT,
    0x05, 0x0d, 0x55, 0x0c, 0x66, 0x01, 0x10, 0x47, 0xff, 0xff, 0x00, 0x00, 0x27, 0xff, 0xff, 0x00, 0x00,
    0x75, 0x10, 0x95, 0x01, 0x09, 0x56, 0x81, 0x02, /* scan time, 100 us */
    0x45, 0x00, 0x65, 0x00, 0x55, 0x00, 0x09, 0x54, 0x25, 0x7f, 0x75, 0x08, 0x81, 0x02, /* contact count */
    0x05, 0x09, 0x09, 0x01, 0x25, 0x01, 0x75, 0x01, 0x95, 0x01, 0x81, 0x02, 0x95, 0x07, 0x81, 0x03,
    0x05, 0x0d, 0x85, ID_CAPABILITIES, 0x09, 0x55, 0x09, 0x59, 0x25, 0x0f, 0x75, 0x04, 0x95, 0x02, 0xb1, 0x02,
    0x06, 0x00, 0xff, 0x85, ID_BLOB, 0x09, 0xc5, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x96, 0x00, 0x01,
    0xb1, 0x02, 0xc0,
    0x05, 0x0d, 0x09, 0x0e, 0xa1, 0x01, 0x85, ID_MODE, 0x09, 0x22, 0xa1, 0x02, 0x09, 0x52, /* Configuration */
    0x15, 0x00, 0x25, 0x0a, 0x75, 0x08, 0x95, 0x01, 0xb1, 0x02, 0xc0,
    0x09, 0x22, 0xa1, 0x00, 0x85, ID_SWITCHES, 0x09, 0x57, 0x09, 0x58, 0x75, 0x01, 0x95, 0x02, 0x25, 0x01,
    0xb1, 0x02, 0x95, 0x06, 0xb1, 0x03, 0xc0, 0xc0,
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, ID_MOUSE, 0x09, 0x01, 0xa1, 0x00, /* Mouse */
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x05, 0x81, 0x02,
    0x95, 0x03, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0x80, 0x26, 0xff, 0x7f,
    0x75, 0x10, 0x95, 0x02, 0x81, 0x06, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x01, 0x09, 0x38,
    0x81, 0x06, 0x05, 0x0c, 0x0a, 0x38, 0x02, 0x81, 0x06, 0xc0, 0xc0};

static const uint8_t device[] = HID_DEVICE(0x1d6b, 0x0104, 0x0004);
static const uint8_t config[] = {HID_CONFIG(1), HID_INTERFACE(0, 1, 2, sizeof(descriptor))};
static const char *const strings[] = {"vz", "vz Trackpad", "1", NULL};

/* ---- What comes in -------------------------------------------------------------------------- */

static bool same_fingers(const struct frame *a, const struct frame *b)
{
    if (a->count != b->count || a->pressed != b->pressed)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        if (a->touch[i].id != b->touch[i].id)
            return false;
    }
    return true;
}

void hid_touches_send(struct usb_dev *d, const struct hid_touch *touch, unsigned count, bool pressed)
{
    struct trackpad *t = to_trackpad(to_hid(d));
    struct frame f = {.count = MIN(count, HID_TOUCHES), .pressed = pressed};
    struct frame *last = &t->frame[(t->head + t->count + FRAMES - 1) % FRAMES];

    if (!d->configuration)
        return;
    for (unsigned i = 0; i < f.count; i++) {
        f.touch[i] = touch[i];
        f.touch[i].x = MIN(touch[i].x, HID_POINTER_MAX);
        f.touch[i].y = MIN(touch[i].y, HID_POINTER_MAX);
    }
    if (t->count == FRAMES || (t->count && same_fingers(last, &f)))
        *last = f;
    else
        t->frame[(t->head + t->count++) % FRAMES] = f;
    hid_news(&t->hid);
}

static void move_mouse(struct trackpad *t, const struct hid_pointer_event *e)
{
    struct hid_pointer_event *m = &t->mouse;

    m->dx = hid_clamp((int64_t)m->dx + e->dx, INT16_MAX);
    m->dy = hid_clamp((int64_t)m->dy + e->dy, INT16_MAX);
    m->wheel = hid_clamp((int64_t)m->wheel + e->wheel, INT16_MAX);
    m->pan = hid_clamp((int64_t)m->pan + e->pan, INT16_MAX);
    m->buttons = e->buttons & 0x1f;
    t->send_mouse = true;
}

/* As a mouse beside the pad, whose reports a host takes in any mode. */
void hid_trackpad_pointer(struct usb_dev *d, const struct hid_pointer_event *e)
{
    struct trackpad *t = to_trackpad(to_hid(d));

    move_mouse(t, e);
    hid_news(&t->hid);
}

/* ---- As a mouse: one finger moves, two scroll, and press the right button ------------------- */

#define MOUSE_SCALE 16 /* parts of the pad for a step of the mouse */

static void mouse_frame(struct trackpad *t, const struct frame *f)
{
    struct hid_pointer_event e = {.buttons = !f->pressed ? 0u : f->count > 1 ? 2u : 1u};
    bool same = f->count && f->count == t->last.count && f->touch[0].id == t->last.touch[0].id;
    int32_t dx = same ? f->touch[0].x - t->last.touch[0].x : 0;
    int32_t dy = same ? f->touch[0].y - t->last.touch[0].y : 0;

    if (f->count > 1) {
        e.wheel = dy / 8;
        e.pan = -dx / 8;
    } else {
        e.dx = dx / MOUSE_SCALE;
        e.dy = dy / MOUSE_SCALE;
    }
    t->last = *f;
    move_mouse(t, &e);
}

static size_t mouse_report(struct trackpad *t, uint8_t *r)
{
    struct hid_pointer_event m = t->mouse;

    t->send_mouse = false;
    t->mouse = (struct hid_pointer_event){.buttons = m.buttons};
    if (t->hid.boot[0]) {
        r[0] = m.buttons & 7;
        r[1] = (uint8_t)hid_clamp(m.dx, INT8_MAX);
        r[2] = (uint8_t)hid_clamp(m.dy, INT8_MAX);
        return 3;
    }
    r[0] = ID_MOUSE;
    r[1] = (uint8_t)m.buttons;
    store_le16(r + 2, (uint16_t)m.dx);
    store_le16(r + 4, (uint16_t)m.dy);
    r[6] = (uint8_t)hid_wheel_turn(&t->wheel, m.wheel);
    r[7] = (uint8_t)hid_wheel_turn(&t->pan, m.pan);
    return 8;
}

/* ---- As a touchpad -------------------------------------------------------------------------- */

static const struct hid_touch *find(const struct frame *f, uint32_t id)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (f->touch[i].id == id)
            return &f->touch[i];
    }
    return NULL;
}

static void put_contact(uint8_t *r, unsigned number, const struct hid_touch *t, bool tip)
{
    r[0] = tip ? 3 : 1;
    r[1] = (uint8_t)number;
    store_le16(r + 2, t->x);
    store_le16(r + 4, t->y);
}

/* Fingers that are known: moved or lifted. Returns how many are told of; *ret_lifted: a bit for each. */
static unsigned put_known(struct trackpad *t, const struct frame *f, uint8_t *r, unsigned *ret_lifted)
{
    unsigned n = 0;

    *ret_lifted = 0;
    for (unsigned i = 0; i < HID_TOUCHES; i++) {
        struct contact *c = &t->contact[i];
        const struct hid_touch *now = c->there ? find(f, c->touch.id) : NULL;

        if (!c->there)
            continue;
        if (now)
            c->touch = *now;
        else
            *ret_lifted |= 1u << i;
        put_contact(r + 6 * n++, i, &c->touch, now != NULL);
        c->there = now != NULL;
    }
    return n;
}

static bool is_there(const struct trackpad *t, uint32_t id)
{
    for (unsigned i = 0; i < HID_TOUCHES; i++) {
        if (t->contact[i].there && t->contact[i].touch.id == id)
            return true;
    }
    return false;
}

/* New ones, in places that nobody had in this report: false: there were too few, so once more. */
static bool put_new(struct trackpad *t, const struct frame *f, uint8_t *r, unsigned *n, unsigned lifted)
{
    for (unsigned k = 0; k < f->count; k++) {
        unsigned i = 0;

        if (is_there(t, f->touch[k].id))
            continue;
        while (i < HID_TOUCHES && (t->contact[i].there || lifted & 1u << i))
            i++;
        if (i == HID_TOUCHES || *n == HID_TOUCHES)
            return false;
        t->contact[i] = (struct contact){.there = true, .touch = f->touch[k]};
        put_contact(r + 6 * (*n)++, i, &f->touch[k], true);
    }
    return true;
}

/* False: the frame needs another report. */
static bool touch_report(struct trackpad *t, const struct frame *f, uint8_t *r)
{
    unsigned lifted, n;
    bool all;

    memset(r, 0, 35);
    r[0] = ID_TOUCH;
    n = put_known(t, f, r + 1, &lifted);
    all = put_new(t, f, r + 1, &n, lifted);
    t->pressed = f->pressed;
    store_le16(r + 31, (uint16_t)(clock_mono_ns() / 100000));
    r[33] = (uint8_t)n;
    r[34] = t->pressed;
    return all;
}

static size_t next(struct hid *h, unsigned interface, uint8_t *report)
{
    struct trackpad *t = to_trackpad(h);
    bool touchpad = t->mode == MODE_TOUCHPAD && !h->boot[0];

    while (!touchpad && t->count) {
        uint32_t buttons = t->mouse.buttons;

        mouse_frame(t, &t->frame[t->head]);
        t->head = (t->head + 1) % FRAMES;
        t->count--;
        if (t->mouse.buttons != buttons)
            break;
    }
    if (t->send_mouse)
        return mouse_report(t, report);
    if (!t->count)
        return 0;
    if (touch_report(t, &t->frame[t->head], report)) {
        t->head = (t->head + 1) % FRAMES;
        t->count--;
    }
    return 35;
}

/* ---- Features ------------------------------------------------------------------------------- */

static int get(struct hid *h, unsigned interface, unsigned type, unsigned id, uint8_t *r)
{
    const struct trackpad *t = to_trackpad(h);

    if (type != HID_FEATURE)
        return -EPIPE;
    r[0] = (uint8_t)id;
    switch (id) {
    case ID_CAPABILITIES: r[1] = HID_TOUCHES; return 2; /* and the kind of pad: 0, it can be pressed */
    case ID_BLOB: memset(r + 1, 0, BLOB_LEN); return 1 + BLOB_LEN; /* unsigned: none of a vendor's */
    case ID_MODE: r[1] = t->mode; return 2;
    case ID_SWITCHES: r[1] = t->switches; return 2;
    default: return -EPIPE;
    }
}

static int set(struct hid *h, unsigned interface, unsigned type, unsigned id, const uint8_t *r, size_t len)
{
    struct trackpad *t = to_trackpad(h);

    if (type != HID_FEATURE || len < 2)
        return -EPIPE;
    switch (id) {
    case ID_MODE: t->mode = r[1]; return 0;
    case ID_SWITCHES: t->switches = r[1] & 3; return 0;
    default: return -EPIPE;
    }
}

static void clear(struct hid *h)
{
    struct trackpad *t = to_trackpad(h);

    t->mode = MODE_MOUSE;
    t->switches = 3;
    t->head = t->count = 0;
    memset(t->frame, 0, sizeof(t->frame));
    memset(t->contact, 0, sizeof(t->contact));
    t->last = (struct frame){0};
    t->wheel = t->pan = (struct hid_wheel){0};
    t->mouse = (struct hid_pointer_event){0};
    t->pressed = t->send_mouse = false;
}

static const struct hid_model model = {
    .kind = HID_TRACKPAD, .interfaces = 1, .next = next, .get = get, .set = set, .clear = clear,
    .report = {{descriptor, sizeof(descriptor)}},
    .identity = {.device = device, .config = config, .strings = strings, .alt_count = {1}}};

/* ---- State ---------------------------------------------------------------------------------- */

static const struct state_field touch_state[] = {
    STATE_UINT(struct hid_touch, id), STATE_UINT_MAX(struct hid_touch, x, HID_POINTER_MAX),
    STATE_UINT_MAX(struct hid_touch, y, HID_POINTER_MAX), STATE_END};
static const struct state_field frame_state[] = {
    STATE_UINT_MAX(struct frame, count, HID_TOUCHES), STATE_BOOL(struct frame, pressed),
    STATE_STRUCT_ARRAY(struct frame, touch, touch_state), STATE_END};
static const struct state_field contact_state[] = {
    STATE_BOOL(struct contact, there), STATE_STRUCT(struct contact, touch, touch_state), STATE_END};
static const struct state_field fields[] = {
    HID_STATE(struct trackpad),
    STATE_UINT(struct trackpad, mode),
    STATE_UINT_MAX(struct trackpad, switches, 3),
    STATE_STRUCT_ARRAY(struct trackpad, frame, frame_state),
    STATE_UINT_MAX(struct trackpad, head, FRAMES - 1),
    STATE_UINT_MAX(struct trackpad, count, FRAMES),
    STATE_STRUCT_ARRAY(struct trackpad, contact, contact_state),
    STATE_BOOL(struct trackpad, pressed),
    STATE_UINT_MAX(struct trackpad, mouse.buttons, 0x1f),
    STATE_END,
};
static const struct state_desc state = {.name = "usb-trackpad", .version = 1, .fields = fields};
static const struct device_ops dev_ops = {.name = "usb-trackpad", .state = &state,
                                          .reset_locked = usb_dev_reset_locked,
                                          .destroy = usb_dev_destroy};

int hid_trackpad_create(struct bus *bus, uint32_t instance, struct usb_dev **ret)
{
    struct trackpad *t = calloc(1, sizeof(*t));
    int r = t ? hid_init(&t->hid, &model, &dev_ops, bus, instance) : -ENOMEM;

    if (r < 0)
        free(t);
    else
        *ret = &t->hid.usb;
    return r;
}
