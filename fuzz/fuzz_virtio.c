/* SPDX-License-Identifier: MIT */
/* A virtio device under a driver that does anything: the input is a program of register writes,
 * ring contents, packets and kicks. The device may break; the process may not, and a reset must
 * end.
 * Built once per device: FUZZ_RNG, FUZZ_CONSOLE, FUZZ_BALLOON, FUZZ_VSOCK or FUZZ_SOUND. */
#include <linux/virtio_snd.h>
#include <linux/virtio_vsock.h>
#include <stdlib.h>
#include <unistd.h>

#include "no_check.h"

#include "fake_virtio_driver.h"
#include "fuzz_input.h"
#include "sound/sound.h"
#include "virtio/balloon.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_sound.h"
#include "virtio/vsock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t take_number(struct input *in)
{
    static const uint64_t edge[] = {0, 1, 8, 10, 43, 44, 45, 4096, FV_DATA, FV_DATA + 1, FV_RINGS,
                                    FV_RAM - 16, FV_RAM, UINT32_MAX, UINT64_MAX - 15, UINT64_MAX};

    return take_edge(in, edge, ARRAY_SIZE(edge));
}

#ifndef FUZZ_SOUND
/* Something the device may understand, at a place the requests use. */
static void write_data(struct fv *v, struct input *in)
{
    uint8_t *at = fv_at(v, FV_DATA + 256 * (take(in, 1) % 8));
    struct virtio_vsock_hdr h = {.src_cid = 3, .dst_cid = 2,
                                 .src_port = (uint32_t)take(in, 1) % 3,
                                 .dst_port = (uint32_t)take(in, 1) % 3, .type = 1,
                                 .op = (uint16_t)(take(in, 1) % 9), .len = (uint32_t)take_number(in),
                                 .flags = (uint32_t)take(in, 1), .buf_alloc = (uint32_t)take(in, 2),
                                 .fwd_cnt = (uint32_t)take(in, 1)};

    if (take(in, 1) & 1)
        memcpy(at, &h, sizeof(h));
    else
        for (unsigned i = 0; i < 16; i++)
            at[i] = (uint8_t)(take(in, 1) & 0x1f);
}

#else
static struct loop sounds_loop; /* of their own: they are there before the machine's, and after it */

/* A request to a stream, or about what there is; two thirds of them make sense. */
static void write_request(struct fv *v, struct input *in)
{
    static const uint32_t code[] = {VIRTIO_SND_R_JACK_INFO, VIRTIO_SND_R_PCM_INFO,
                                    VIRTIO_SND_R_CHMAP_INFO, VIRTIO_SND_R_PCM_SET_PARAMS,
                                    VIRTIO_SND_R_PCM_PREPARE, VIRTIO_SND_R_PCM_START,
                                    VIRTIO_SND_R_PCM_STOP, VIRTIO_SND_R_PCM_RELEASE};
    uint8_t *at = fv_at(v, FV_DATA + 256 * (take(in, 1) % 8));
    struct virtio_snd_pcm_set_params p = {
        .hdr.hdr.code = code[take(in, 1) % ARRAY_SIZE(code)], .hdr.stream_id = take(in, 1) % 3,
        .buffer_bytes = 4096, .period_bytes = 1u << take(in, 1) % 14, .channels = take(in, 1) % 10,
        .format = take(in, 1) % 26, .rate = take(in, 1) % 16};

    if (p.hdr.hdr.code == VIRTIO_SND_R_JACK_INFO || p.hdr.hdr.code == VIRTIO_SND_R_PCM_INFO)
        p.period_bytes = 24 + take(in, 1); /* as a query: its count is above, its size here */
    memcpy(at, &p, sizeof(p));
}
#endif

static void write_rings(struct fv *v, unsigned index, struct input *in)
{
    struct fv_queue *q = &v->q[index];
    uint8_t at = (uint8_t)take(in, 1) % 16;

    q->desc[at] = (struct vring_desc){.addr = take_number(in), .len = (uint32_t)take_number(in),
                                      .flags = (uint16_t)take(in, 1), .next = (uint16_t)take(in, 1)};
    q->av->ring[at] = (uint16_t)take(in, 1);
    q->av->idx += (uint16_t)(take(in, 1) % 4);
}

static void add_request(struct fv *v, unsigned index, struct input *in)
{
    unsigned count = 1 + take(in, 1) % 3, outs = take(in, 1) % 4;
    struct fv_buf buf[3];

    for (unsigned i = 0; i < count; i++)
        buf[i] = (struct fv_buf){FV_DATA + 256 * (take(in, 1) % 8), (uint32_t)take_number(in) % 9000,
                                 i >= outs};
    fv_add(v, index, buf, count);
}

static void step(struct fv *v, struct input *in)
{
    unsigned op = take(in, 1) % 8, index = take(in, 1) % v->dev->queue_count;

    switch (op) {
    case 0: write_rings(v, index, in); break;
    case 1: fv_wr(v, (unsigned)take(in, 1) % 0x40, 1u << take(in, 1) % 4, take_number(in)); break;
    case 2:
        fake_write(&v->m, FV_CONFIG + take(in, 1) % 64, 1u << take(in, 1) % 4, take_number(in));
        break;
#ifdef FUZZ_SOUND
    case 3: write_request(v, in); break;
    case 5: fake_loop_fire(&sounds_loop); break; /* time passes */
#else
    case 3: write_data(v, in); break;
    case 5: fv_turn(v); break;
#endif
    case 4: fv_kick(v, index); break;
    default: add_request(v, index, in); break;
    }
}

#ifdef FUZZ_VSOCK
static bool on_accept(void *arg, int fd, uint32_t host_port, uint32_t guest_port)
{
    if (write(fd, "welcome", 7) != 7 || guest_port == 2)
        return false;
    close(fd);
    return true;
}
#endif

#ifdef FUZZ_SOUND
static struct sound *sounds[2];

static void create_sound(struct fv *v)
{
    const struct virtio_sound_options o = {.stream = sounds, .stream_count = 2};

    for (unsigned i = 0; i < 2; i++)
        require(!sound_null_create(&sounds_loop, i ? SOUND_INPUT : SOUND_OUTPUT, &sounds[i], NULL),
                "sound");
    fv_create(v, &virtio_sound_ops, &o);
}
#endif

static void create(struct fv *v)
{
#if defined(FUZZ_CONSOLE)
    static const struct console_port_options port[2] = {{.console = true}, {.name = "x"}};
    static const struct console_options o = {.port = port, .port_count = 2, .multiport = true};
    static struct virtio_ops ops;

    ops = virtio_console_ops;
    ops.queues = console_queues(&o);
    fv_create(v, &ops, &o);
#elif defined(FUZZ_BALLOON)
    static const struct balloon_options o = {.ram_size = FV_RAM};

    fv_create(v, &virtio_balloon_ops, &o);
#elif defined(FUZZ_VSOCK)
    static const struct vsock_options o = {.guest_cid = 3};

    fv_create(v, &virtio_vsock_ops, &o);
    require(!vsock_listen(v->dev, 1, on_accept, v), "listen");
#elif defined(FUZZ_SOUND)
    create_sound(v);
#else
    fv_create(v, &virtio_rng_ops, NULL);
#endif
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    static struct fv v;
    uint64_t features;

    create(&v);
    features = fv_offered(&v) & ~(take(&in, 1) & 1 ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0);
    fv_start(&v, features, 16);
    for (unsigned i = 0; i < 100 && in.len; i++)
        step(&v, &in);
    fv_wr(&v, VIRTIO_PCI_COMMON_STATUS, 1, 0);
    fv_turn(&v);
    require(fv_status(&v) == 0, "a reset does not end");
    fv_start(&v, features, 16);
    require(fv_status(&v) == 15, "it does not start again");
    fv_destroy(&v);
#ifdef FUZZ_SOUND
    sound_destroy(sounds[0]);
    sound_destroy(sounds[1]);
#endif
    return 0;
}
