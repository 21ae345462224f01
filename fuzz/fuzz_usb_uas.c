/* SPDX-License-Identifier: MIT */
/* A disk or CD-ROM by USB attached SCSI under a host that sends any information units, with data of any size on any
 * stream, and cancels, manages, saves and resets in the middle. Every transfer ends, nothing beyond the disk is touched, and after
 * a reset a plain read is served. */
#define PIPE_SIZE 20480u

#include "usb_disk_world.h"

#include "base/be.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TAGS 16u
#define USED 4u /* of them, mostly */
enum { COMMAND, STATUS, IN, OUT, KINDS };
static const uint8_t eps[KINDS] = {0x04, 0x83, 0x81, 0x02};

struct world {
    struct disk k;
    struct pipe pipe[KINDS][TAGS + 1];
};

static void move(struct world *w, unsigned kind, unsigned tag, size_t len)
{
    pipe_move(&w->k, &w->pipe[kind][tag], eps[kind], tag, len);
}

static void cancel_all(struct world *w)
{
    for (unsigned k = 0; k < KINDS; k++) {
        for (unsigned t = 0; t <= TAGS; t++)
            pipe_cancel(&w->k, &w->pipe[k][t]);
    }
    disk_turn(&w->k);
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
        disk_turn(&w->k); /* for what has its tag and was aborted */
    require(!w->pipe[COMMAND][0].waits, "a unit is not taken");
    if (w->pipe[COMMAND][0].result == USB_STALLED)
        disk_request(&w->k, 2, USB_CLEAR_FEATURE, 0, 0x04);
}

static void on_command(struct world *w, struct input *in)
{
    uint8_t iu[32] = {1, 0, 0, (uint8_t)take_tag(in)};

    iu[16] = disk_codes[take(in, 1) % ARRAY_SIZE(disk_codes)];
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
    unsigned kind = 1 + (unsigned)take(in, 1) % 3;

    pipe_cancel(&w->k, &w->pipe[kind][take_tag(in)]);
}

static void on_turn(struct world *w, struct input *in)
{
    disk_turn(&w->k);
}

static void on_request(struct world *w, struct input *in)
{
    switch (take(in, 1) % 8) {
    case 0: disk_request(&w->k, 1, USB_SET_INTERFACE, take(in, 1) & 1, 0); break;
    case 1: disk_request(&w->k, 0, USB_SET_CONFIGURATION, take(in, 1) & 1, 0); break;
    case 2: disk_request(&w->k, 1, USB_SET_INTERFACE, 1, 0); break;
    default: disk_request(&w->k, 2, take(in, 1) & 1 ? USB_CLEAR_FEATURE : USB_SET_FEATURE, 0, eps[take(in, 1) & 3]);
    }
}

static void on_disc(struct world *w, struct input *in)
{
    disk_change(&w->k, take(in, 1) & 1);
}

static void on_save(struct world *w, struct input *in)
{
    cancel_all(w);
    disk_save_and_load(&w->k, in);
}

static void must_read(struct world *w)
{
    uint8_t load[32] = {1, 0, 0, 1, [16] = 0x1b, [20] = 3}, read[32] = {1, 0, 0, 1, [16] = 0x28, [24] = 1};
    bool good = false;

    cancel_all(w);
    disk_request(&w->k, 0, USB_SET_CONFIGURATION, 0, 0);
    disk_turn(&w->k);
    disk_request(&w->k, 0, USB_SET_CONFIGURATION, 1, 0);
    disk_request(&w->k, 1, USB_SET_INTERFACE, 1, 0);
    for (unsigned i = 0; i < 4 && !good; i++) { /* the medium in, then what has to be told first */
        cancel_all(w);
        move(w, STATUS, 1, 96);
        if (i)
            move(w, IN, 1, 2048);
        send(w, i ? read : load, 32);
        disk_turn(&w->k);
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
    struct input in = {data, size};
    struct world *w = calloc(1, sizeof(*w));

    require(w, "no memory");
    disk_make(&w->k, take(&in, 1) & 1, true);
    disk_request(&w->k, 1, USB_SET_INTERFACE, 1, 0);
    while (in.len)
        act[take(&in, 1) % ARRAY_SIZE(act)](w, &in);
    must_read(w);
    disk_unmake(&w->k);
    free(w);
    return 0;
}
