/* SPDX-License-Identifier: MIT */
/* A disk or CD-ROM by USB attached SCSI under a host that sends any information units, with data of any size on any
 * stream, and cancels, manages, saves and resets in the middle. Every transfer ends, nothing beyond the disk is touched, and after
 * a reset a plain read is served. */
#include <stdlib.h>

#include "no_check.h"

#include "base/be.h"
#include "block/blk_filters.h"
#include "block/blk_mem.h"
#include "fake_machine.h"
#include "fuzz_input.h"
#include "usb/usb_disk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DISK_SIZE (256 * KIB)
#define TAGS      16u
#define USED      4u /* of them, mostly */
#define PIPE_SIZE 20480u
enum { COMMAND, STATUS, IN, OUT, KINDS };
static const uint8_t eps[KINDS] = {0x04, 0x83, 0x81, 0x02};

struct pipe {
    struct usb_xfer x;
    struct iovec iov;
    uint8_t data[PIPE_SIZE];
    bool waits;
    enum usb_result result;
};

struct world {
    struct fake_machine m;
    struct loop *loop;
    struct blk *blk, *spare; /* another disc, for a drive */
    struct usb_dev *d;
    struct pipe pipe[KINDS][TAGS + 1];
    bool harmed; /* what was loaded was not what had been saved */
};

static void done(struct usb_xfer *x, enum usb_result result)
{
    struct pipe *p = container_of(x, struct pipe, x);

    require(p->waits, "a transfer ends twice");
    require(x->actual <= x->len, "more than there was room for");
    p->waits = false;
    p->result = result;
}

static void turn(struct world *w)
{
    while (fake_loop_fire(w->loop))
        ;
    for (unsigned i = 0; i < 6; i++)
        fake_loop_turn(w->loop);
}

static void move(struct world *w, unsigned kind, unsigned tag, size_t len)
{
    struct pipe *p = &w->pipe[kind][tag];

    if (p->waits)
        return;
    p->iov = (struct iovec){.iov_base = p->data, .iov_len = len};
    p->x = (struct usb_xfer){.ep = eps[kind], .stream = (uint16_t)tag, .iov = &p->iov, .iov_count = 1, .len = len, .done = done};
    p->waits = true;
    usb_submit(w->d, &p->x);
}

static void request(struct world *w, uint8_t type, uint8_t request, uint16_t value, uint16_t index)
{
    const struct usb_setup s = {.type = type, .request = request, .value = value, .index = index};
    uint8_t data[8];

    (void)usb_control(w->d, &s, data);
}

static void cancel_all(struct world *w)
{
    for (unsigned k = 0; k < KINDS; k++) {
        for (unsigned t = 0; t <= TAGS; t++) {
            if (w->pipe[k][t].waits)
                usb_cancel(w->d, &w->pipe[k][t].x);
        }
    }
    for (unsigned i = 0; i < 4; i++) /* what was begun is done to its end */
        turn(w);
    for (unsigned k = 0; k < KINDS; k++) {
        for (unsigned t = 0; t <= TAGS; t++)
            require(!w->pipe[k][t].waits, "a transfer does not end");
    }
}

static unsigned take_tag(struct input *in)
{
    unsigned n = (unsigned)take(in, 1);

    return n > 250 ? n % (TAGS + 1) : 1 + n % USED;
}

static void send(struct world *w, const uint8_t *iu, size_t len)
{
    if (w->pipe[COMMAND][0].waits)
        return;
    memcpy(w->pipe[COMMAND][0].data, iu, 32);
    move(w, COMMAND, 0, len);
    if (w->pipe[COMMAND][0].waits)
        turn(w); /* for what has its tag and was aborted */
    require(!w->pipe[COMMAND][0].waits, "a unit is not taken");
    if (w->pipe[COMMAND][0].result == USB_STALLED)
        request(w, 2, USB_CLEAR_FEATURE, 0, 0x04);
}

static void on_command(struct world *w, struct input *in)
{
    static const uint8_t codes[] = {0, 3, 8, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e, 0x23, 0x25, 0x28, 0x2a, 0x2f, 0x35,
                                    0x41, 0x42, 0x43, 0x46, 0x4a, 0x51, 0x55, 0x5a, 0x88, 0x8a, 0x93, 0x9e, 0xa0, 0xa8, 0xaa};
    uint8_t iu[32] = {1, 0, 0, (uint8_t)take_tag(in)};

    iu[16] = codes[take(in, 1) % ARRAY_SIZE(codes)];
    for (unsigned i = 17; i < 32; i++)
        iu[i] = take(in, 1) & 1 ? (uint8_t)take(in, 1) : 0;
    if (take(in, 1) > 250)
        iu[take(in, 1) % 16] = (uint8_t)take(in, 1);
    send(w, iu, take(in, 1) > 250 ? (size_t)take(in, 1) : 32);
}

static void on_manage(struct world *w, struct input *in)
{
    static const uint8_t functions[] = {1, 1, 1, 2, 4, 8, 0x10, 0x80, 0x81, 0x82};
    const uint8_t iu[32] = {5, 0, 0, (uint8_t)take_tag(in), functions[take(in, 1) % ARRAY_SIZE(functions)], 0, 0,
                            (uint8_t)take_tag(in), [15] = take(in, 1) > 250};

    send(w, iu, 16);
}

static size_t take_len(struct input *in)
{
    static const uint64_t lens[] = {0, 1, 8, 13, 18, 24, 36, 511, 512, 513, 1024, 2048, 4096, 8192, 20000};

    return (size_t)(take_edge(in, lens, ARRAY_SIZE(lens)) % (PIPE_SIZE + 1));
}

static void on_data(struct world *w, struct input *in)
{
    unsigned kind = take(in, 1) & 1 ? IN : OUT, tag = take_tag(in);

    if (kind == OUT && !w->pipe[OUT][tag].waits)
        memset(w->pipe[OUT][tag].data, (int)take(in, 1), 64);
    move(w, kind, tag, take_len(in));
}

static void on_status(struct world *w, struct input *in)
{
    move(w, STATUS, take_tag(in), take(in, 1) > 250 ? 3 : 96);
}

static void on_cancel(struct world *w, struct input *in)
{
    struct pipe *p = &w->pipe[1 + take(in, 1) % 3][take_tag(in)];

    if (p->waits)
        usb_cancel(w->d, &p->x);
}

static void on_turn(struct world *w, struct input *in)
{
    turn(w);
}

static void on_request(struct world *w, struct input *in)
{
    switch (take(in, 1) % 8) {
    case 0: request(w, 1, USB_SET_INTERFACE, take(in, 1) & 1, 0); break;
    case 1: request(w, 0, USB_SET_CONFIGURATION, take(in, 1) & 1, 0); break;
    case 2: request(w, 1, USB_SET_INTERFACE, 1, 0); break;
    default: request(w, 2, take(in, 1) & 1 ? USB_CLEAR_FEATURE : USB_SET_FEATURE, 0, eps[take(in, 1) & 3]);
    }
}

/* The one that was in the drive is the spare one then. */
static void on_disc(struct world *w, struct input *in)
{
    struct blk *old;

    if (!w->spare || usb_disk_change(w->d, w->spare, take(in, 1) & 1, &old) < 0)
        return;
    w->blk = w->spare; /* both are closed in the end */
    w->spare = old;
}

static void quiet(void *arg)
{
    *(bool *)arg = true;
}

static void on_save(struct world *w, struct input *in)
{
    struct state_writer s = {0};
    bool at_rest = false;

    cancel_all(w);
    usb_disk_quiesce(w->d, quiet, &at_rest);
    turn(w);
    require(at_rest, "no rest");
    require(!bus_save(w->m.bus, &s), "no save");
    if (take(in, 1) & 1) {
        s.data[take(in, 4) % s.len] ^= (uint8_t)take(in, 1);
        w->harmed = true;
    }
    require(!bus_load(w->m.bus, s.data, s.len, NULL) || w->harmed, "what was saved cannot be loaded");
    state_writer_fini(&s);
    usb_disk_resume(w->d);
}

static void must_read(struct world *w)
{
    uint8_t load[32] = {1, 0, 0, 1, [16] = 0x1b, [20] = 3}, read[32] = {1, 0, 0, 1, [16] = 0x28, [24] = 1};
    bool good = false;

    cancel_all(w);
    request(w, 0, USB_SET_CONFIGURATION, 0, 0);
    turn(w);
    request(w, 0, USB_SET_CONFIGURATION, 1, 0);
    request(w, 1, USB_SET_INTERFACE, 1, 0);
    for (unsigned i = 0; i < 4 && !good; i++) { /* the medium in, then what has to be told first */
        cancel_all(w);
        move(w, STATUS, 1, 96);
        if (i)
            move(w, IN, 1, 2048);
        send(w, i ? read : load, 32);
        turn(w);
        require(!w->pipe[STATUS][1].waits && w->pipe[STATUS][1].result == USB_OK, "no status");
        good = i && !w->pipe[STATUS][1].data[6] && (w->pipe[IN][1].x.actual == 2048 || w->pipe[IN][1].x.actual == 512);
    }
    require(good, "no read after a reset");
    cancel_all(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const act[])(struct world *w, struct input *in) = {
        on_command, on_command, on_command, on_data, on_data, on_data, on_status, on_status, on_manage, on_cancel, on_turn,
        on_turn, on_request, on_disc, on_save};
    static const uint32_t no_delay[BLK_OP_COUNT];
    const struct blk_mem_options m = {.size = DISK_SIZE};
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));
    struct usb_disk_options o = {.is_cdrom = take(&in, 1) & 1, .uas = true};
    struct vz_error err;

    require(w, "no memory");
    fake_machine_init(&w->m);
    require(!loop_create(&w->loop) && !blk_mem_create(&m, w->loop, &w->blk) && !blk_delay_create(w->blk, no_delay, &w->blk),
            "no disk");
    if (o.is_cdrom)
        require(!blk_mem_create(&m, w->loop, &w->spare) && !blk_delay_create(w->spare, no_delay, &w->spare), "no disc");
    o.blk = w->blk;
    require(!usb_disk_create(w->m.bus, 1, &o, &w->d, &err), "no device");
    request(w, 0, USB_SET_CONFIGURATION, 1, 0);
    request(w, 1, USB_SET_INTERFACE, 1, 0);
    while (in.len)
        act[take(&in, 1) % ARRAY_SIZE(act)](w, &in);
    must_read(w);
    fake_machine_fini(&w->m);
    blk_close(w->blk);
    if (w->spare)
        blk_close(w->spare);
    loop_destroy(w->loop);
    free(w);
    return 0;
}
