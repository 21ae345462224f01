/* SPDX-License-Identifier: MIT */
/* The USB keyboard, and Apple's. Two interfaces: keys, in the form that firmware knows (HID 1.11 B.1), and media and
 * system keys. A Mac keyboard's fn key is a bit behind the keys, as Linux's hid-apple reads it.
 *
 * What is typed is a queue of changes, of which each makes a report: so a key that was let go at once is
 * not lost. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "usb/hid_impl.h"

#define KEY_EVENTS 256u
#define EVENT_DOWN BIT(31)
#define EVENT_UP_ALL 0u /* no key */

enum { PAGE_DESKTOP = 0x01, PAGE_KEYS = 0x07, PAGE_CONSUMER = 0x0c, PAGE_APPLE = 0xff };
enum { SYSTEM_FIRST = 0x81, SYSTEM_LAST = 0xb7, CONSUMER_LAST = 0x3ff, APPLE_FN = 3 };
enum { ID_CONSUMER = 1, ID_SYSTEM = 2 };
enum { MODIFIERS = 0xe0, BOOT_KEYS = 6, ERROR_ROLL_OVER = 1 };

struct key_queue {
    uint32_t event[KEY_EVENTS]; /* page << 16 | usage, EVENT_DOWN */
    uint32_t head, count;
};

struct keyboard {
    struct hid hid;
    uint8_t leds;
    struct key_queue queue[HID_INTERFACES];
    /* As the host knows it, or will after the report that is about to go. */
    uint8_t down[32]; /* bit per usage of page 7 */
    bool fn;
    uint16_t consumer[2]; /* usages; 0: none */
    uint8_t system;       /* 1: SYSTEM_FIRST */
    bool send_system;     /* its report is due */
};

static struct keyboard *to_keyboard(struct hid *h)
{
    return container_of(h, struct keyboard, hid);
}

/* ---- Descriptors ---------------------------------------------------------------------------- */

#define KEYS_REPORT                                                                                \
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01,             /* Keyboard */                                 \
    0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, \
    0x95, 0x01, 0x75, 0x08, 0x81, 0x01,                                                            \
    0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, /* lights */           \
    0x95, 0x01, 0x75, 0x03, 0x91, 0x01,                                                            \
    0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, 0x05, 0x07, 0x19, 0x00, 0x2a, 0xff, 0x00, \
    0x81, 0x00

static const uint8_t keys_report[] = {KEYS_REPORT, 0xc0};
static const uint8_t mac_keys_report[] = {
    KEYS_REPORT, 0x06, 0xff, 0x00, 0x09, 0x03, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x01, 0x81, 0x02,
    0x75, 0x07, 0x81, 0x01, 0xc0};
static const uint8_t media_report[] = {
    0x05, 0x0c, 0x09, 0x01, 0xa1, 0x01, 0x85, ID_CONSUMER, /* Consumer Control */
    0x15, 0x00, 0x26, 0xff, 0x03, 0x19, 0x00, 0x2a, 0xff, 0x03, 0x75, 0x10, 0x95, 0x02, 0x81, 0x00, 0xc0,
    0x05, 0x01, 0x09, 0x80, 0xa1, 0x01, 0x85, ID_SYSTEM,   /* System Control */
    0x15, 0x01, 0x25, SYSTEM_LAST - SYSTEM_FIRST + 1, 0x19, SYSTEM_FIRST, 0x29, SYSTEM_LAST, 0x75, 0x08,
    0x95, 0x01, 0x81, 0x00, 0xc0};

static const uint8_t device[] = HID_DEVICE(0x1d6b, 0x0104, 0x0001);
static const uint8_t mac_device[] = HID_DEVICE(0x05ac, 0x0220, 0x0069); /* aluminium, wired, ANSI */
static const uint8_t config[] = {HID_CONFIG(2), HID_INTERFACE(0, 1, 1, sizeof(keys_report)),
                                 HID_INTERFACE(1, 0, 0, sizeof(media_report))};
static const uint8_t mac_config[] = {HID_CONFIG(2), HID_INTERFACE(0, 1, 1, sizeof(mac_keys_report)),
                                     HID_INTERFACE(1, 0, 0, sizeof(media_report))};
static const char *const strings[] = {"vz", "vz USB Keyboard", "1", NULL};
static const char *const mac_strings[] = {"vz", "vz Mac Keyboard", "1", NULL};

/* ---- The queue ------------------------------------------------------------------------------ */

static void push(struct key_queue *q, uint32_t event)
{
    if (q->count == KEY_EVENTS) { /* nobody reads */
        q->count = 0;
        event = EVENT_UP_ALL;
    }
    q->event[(q->head + q->count++) % KEY_EVENTS] = event;
}

static uint32_t pop(struct key_queue *q)
{
    uint32_t event = q->event[q->head];

    q->head = (q->head + 1) % KEY_EVENTS;
    q->count--;
    return event;
}

static bool is_known(const struct keyboard *k, uint32_t key)
{
    uint32_t usage = key & 0xffff;

    switch (key >> 16) {
    case PAGE_KEYS: return usage >= 4 && usage < 0x100;
    case PAGE_CONSUMER: return usage && usage <= CONSUMER_LAST;
    case PAGE_DESKTOP: return usage >= SYSTEM_FIRST && usage <= SYSTEM_LAST;
    case PAGE_APPLE: return usage == APPLE_FN && k->hid.model->kind == HID_MAC_KEYBOARD;
    default: return false;
    }
}

static bool is_of_keys(uint32_t key)
{
    return key >> 16 == PAGE_KEYS || key >> 16 == PAGE_APPLE;
}

void hid_key(struct usb_dev *d, uint32_t key, bool down)
{
    struct keyboard *k = to_keyboard(to_hid(d));

    if (!d->configuration || !is_known(k, key))
        return;
    push(&k->queue[!is_of_keys(key)], key | (down ? (uint32_t)EVENT_DOWN : 0));
    hid_news(&k->hid);
}

void hid_keys_up(struct usb_dev *d)
{
    struct keyboard *k = to_keyboard(to_hid(d));

    if (!d->configuration)
        return;
    for (unsigned i = 0; i < HID_INTERFACES; i++)
        push(&k->queue[i], EVENT_UP_ALL);
    hid_news(&k->hid);
}

unsigned hid_leds(const struct usb_dev *d)
{
    return to_keyboard(to_hid((struct usb_dev *)(uintptr_t)d))->leds;
}

/* ---- What an event changes: false: nothing -------------------------------------------------- */

static bool up_all(struct keyboard *k, unsigned interface)
{
    struct keyboard was = *k;

    if (interface) {
        memset(k->consumer, 0, sizeof(k->consumer));
        k->send_system = k->send_system || k->system;
        k->system = 0;
        return memcmp(was.consumer, k->consumer, sizeof(k->consumer)) || was.system;
    }
    memset(k->down, 0, sizeof(k->down));
    k->fn = false;
    return memcmp(was.down, k->down, sizeof(k->down)) || was.fn;
}

static bool change_key(struct keyboard *k, unsigned usage, bool down)
{
    uint8_t *at = &k->down[usage / 8], was = *at, bit = (uint8_t)(1u << usage % 8);

    *at = down ? was | bit : (uint8_t)(was & ~bit);
    return *at != was;
}

static bool change_consumer(struct keyboard *k, uint16_t usage, bool down)
{
    uint16_t from = down ? 0 : usage, to = down ? usage : 0;

    for (unsigned i = 0; down && i < ARRAY_SIZE(k->consumer); i++) {
        if (k->consumer[i] == usage)
            return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(k->consumer); i++) {
        if (k->consumer[i] == from) {
            k->consumer[i] = to;
            return true;
        }
    }
    return false;
}

static bool change_system(struct keyboard *k, unsigned usage, bool down)
{
    uint8_t was = k->system, value = (uint8_t)(usage - SYSTEM_FIRST + 1);

    k->system = down ? value : was == value ? 0 : was;
    k->send_system = k->send_system || k->system != was;
    return k->system != was;
}

static bool apply(struct keyboard *k, unsigned interface, uint32_t event)
{
    bool down = event & EVENT_DOWN, was = k->fn;
    uint32_t key = event & ~(uint32_t)EVENT_DOWN;

    if (key == EVENT_UP_ALL)
        return up_all(k, interface);
    switch (key >> 16) {
    case PAGE_KEYS: return change_key(k, key & 0xff, down);
    case PAGE_CONSUMER: return change_consumer(k, (uint16_t)key, down);
    case PAGE_DESKTOP: return change_system(k, key & 0xff, down);
    default:
        k->fn = down;
        return was != down;
    }
}

/* ---- Reports -------------------------------------------------------------------------------- */

static size_t keys(const struct keyboard *k, uint8_t *r)
{
    unsigned count = 0;

    memset(r, 0, 9);
    r[0] = k->down[MODIFIERS / 8];
    for (unsigned usage = 4; usage < 256; usage++) {
        if (usage / 8 == MODIFIERS / 8 || !(k->down[usage / 8] & 1u << usage % 8))
            continue;
        if (count < BOOT_KEYS)
            r[2 + count] = (uint8_t)usage;
        count++;
    }
    if (count > BOOT_KEYS)
        memset(r + 2, ERROR_ROLL_OVER, BOOT_KEYS);
    r[8] = k->fn;
    return k->hid.model->kind == HID_MAC_KEYBOARD && !k->hid.boot[0] ? 9 : 8;
}

static size_t media(const struct keyboard *k, bool system, uint8_t *r)
{
    r[0] = system ? ID_SYSTEM : ID_CONSUMER;
    r[1] = k->system;
    if (system)
        return 2;
    store_le16(r + 1, k->consumer[0]);
    store_le16(r + 3, k->consumer[1]);
    return 5;
}

static size_t next(struct hid *h, unsigned interface, uint8_t *report)
{
    struct keyboard *k = to_keyboard(h);
    struct key_queue *q = &k->queue[interface];
    bool system = k->send_system;

    if (interface && system) { /* all was let go, and the other report has gone */
        k->send_system = false;
        return media(k, true, report);
    }
    while (q->count) {
        if (!apply(k, interface, pop(q)))
            continue;
        if (!interface)
            return keys(k, report);
        system = k->send_system;
        k->send_system = false;
        return media(k, system, report);
    }
    return 0;
}

static int get(struct hid *h, unsigned interface, unsigned type, unsigned id, uint8_t *report)
{
    struct keyboard *k = to_keyboard(h);

    if (type == HID_OUTPUT && !interface) {
        report[0] = k->leds;
        return 1;
    }
    if (type != HID_INPUT || (interface ? id != ID_CONSUMER && id != ID_SYSTEM : id != 0))
        return -EPIPE;
    return (int)(interface ? media(k, id == ID_SYSTEM, report) : keys(k, report));
}

static int set(struct hid *h, unsigned interface, unsigned type, unsigned id, const uint8_t *report,
               size_t len)
{
    if (type != HID_OUTPUT || interface || id || !len)
        return -EPIPE;
    to_keyboard(h)->leds = report[0] & HID_LED_MASK;
    return 0;
}

static void clear(struct hid *h)
{
    struct keyboard *k = to_keyboard(h);

    memset(k->queue, 0, sizeof(k->queue));
    memset(k->down, 0, sizeof(k->down));
    memset(k->consumer, 0, sizeof(k->consumer));
    k->fn = k->send_system = false;
    k->system = k->leds = 0;
}

static const struct hid_model models[] = {
    {.kind = HID_KEYBOARD, .interfaces = 2, .next = next, .get = get, .set = set, .clear = clear,
     .report = {{keys_report, sizeof(keys_report)}, {media_report, sizeof(media_report)}},
     .identity = {.device = device, .config = config, .strings = strings, .alt_count = {1, 1}}},
    {.kind = HID_MAC_KEYBOARD, .interfaces = 2, .next = next, .get = get, .set = set, .clear = clear,
     .report = {{mac_keys_report, sizeof(mac_keys_report)}, {media_report, sizeof(media_report)}},
     .identity = {.device = mac_device, .config = mac_config, .strings = mac_strings,
                  .alt_count = {1, 1}}},
};

/* ---- State ---------------------------------------------------------------------------------- */

static const struct state_field queue_state[] = {
    STATE_ARRAY(struct key_queue, event), STATE_UINT_MAX(struct key_queue, head, KEY_EVENTS - 1),
    STATE_UINT_MAX(struct key_queue, count, KEY_EVENTS), STATE_END};
static const struct state_field fields[] = {
    HID_STATE(struct keyboard),
    STATE_UINT_MAX(struct keyboard, leds, HID_LED_MASK),
    STATE_STRUCT_ARRAY(struct keyboard, queue, queue_state),
    STATE_BYTES(struct keyboard, down),
    STATE_BOOL(struct keyboard, fn),
    STATE_ARRAY_MAX(struct keyboard, consumer, CONSUMER_LAST),
    STATE_UINT_MAX(struct keyboard, system, SYSTEM_LAST - SYSTEM_FIRST + 1),
    STATE_BOOL(struct keyboard, send_system),
    STATE_END,
};
static const struct state_desc state = {.name = "usb-keyboard", .version = 1, .fields = fields};
static const struct device_ops dev_ops = {.name = "usb-keyboard", .state = &state,
                                          .reset_locked = usb_dev_reset_locked,
                                          .destroy = usb_dev_destroy};

int hid_keyboard_create(struct bus *bus, bool mac, uint32_t instance, struct usb_dev **ret)
{
    struct keyboard *k = calloc(1, sizeof(*k));
    int r = k ? hid_init(&k->hid, &models[mac], &dev_ops, bus, instance) : -ENOMEM;

    if (r < 0)
        free(k);
    else
        *ret = &k->hid.usb;
    return r;
}
