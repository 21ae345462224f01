/* SPDX-License-Identifier: MIT */
/* The sound device, with hosts' ends whose time passes when the test says so. */
#include "virtio/virtio_sound.h"

#include <linux/virtio_snd.h>

#include "base/le.h"
#include "fake_virtio_driver.h"
#include "sound/sound_backend.h"
#include "unit.h"

/* A host's end: what it has taken, and a byte that it gives. */
struct host {
    struct sound s;
    uint8_t heard[65536];
    size_t heard_len;
    uint8_t says;
};

static uint32_t host_latency(const struct sound *s)
{
    return 48;
}

static void host_pass(struct sound *s, uint64_t frames) {}

static const struct sound_ops host_ops = {.name = "test", .pass = host_pass, .latency = host_latency};

/* frames of time */
static void pass(struct host *h, unsigned frames)
{
    if (!h->s.running)
        return;
    if (h->s.direction == SOUND_OUTPUT) {
        ck_assert_uint_le(h->heard_len + frames * h->s.frame_bytes, sizeof(h->heard));
        sound_take(&h->s, h->heard + h->heard_len, frames);
        h->heard_len += frames * h->s.frame_bytes;
    } else {
        uint8_t data[65536];

        memset(data, h->says, sizeof(data));
        sound_give(&h->s, data, frames);
    }
    h->s.moved(h->s.moved_arg);
}

struct rig {
    struct fv v;
    struct loop *loop;
    struct host *out, *in;
    uint64_t request, response, data;
};

static void create(struct rig *r)
{
    struct sound *stream[2];
    const struct virtio_sound_options o = {.stream = stream, .stream_count = 2};

    ck_assert_int_eq(loop_create(&r->loop), 0);
    r->out = sound_backend_new(&host_ops, sizeof(struct host), r->loop, SOUND_OUTPUT, NULL);
    r->in = sound_backend_new(&host_ops, sizeof(struct host), r->loop, SOUND_INPUT, NULL);
    stream[0] = &r->out->s;
    stream[1] = &r->in->s;
    fv_create(&r->v, &virtio_sound_ops, &o);
    r->request = fv_alloc(&r->v, 64);
    r->response = fv_alloc(&r->v, 4096);
    r->data = fv_alloc(&r->v, 1 << 20);
}

static void destroy(struct rig *r)
{
    fv_destroy(&r->v);
    sound_destroy(&r->out->s);
    sound_destroy(&r->in->s);
    loop_destroy(r->loop);
}

/* A request and its status. */
static uint32_t ask(struct rig *r, const void *request, uint32_t len, uint32_t room)
{
    struct fv_buf buf[2] = {{r->request, len, false}, {r->response, room, true}};

    memcpy(fv_at(&r->v, r->request), request, len);
    memset(fv_at(&r->v, r->response), 0x55, 4096);
    fv_request(&r->v, VIRTIO_SND_VQ_CONTROL, buf, 2);
    return load_le32(fv_at(&r->v, r->response));
}

static uint32_t query(struct rig *r, uint32_t code, uint32_t first, uint32_t count, uint32_t size)
{
    struct virtio_snd_query_info q = {{code}, first, count, size};

    return ask(r, &q, sizeof(q), 4096);
}

static uint32_t pcm(struct rig *r, uint32_t code, uint32_t stream)
{
    struct virtio_snd_pcm_hdr h = {{code}, stream};

    return ask(r, &h, sizeof(h), 4);
}

/* 16-bit mono at 48 kHz, periods of 480 frames. */
static const struct virtio_snd_pcm_set_params usual = {
    .buffer_bytes = 3840, .period_bytes = 960, .channels = 1, .format = VIRTIO_SND_PCM_FMT_S16,
    .rate = VIRTIO_SND_PCM_RATE_48000};

static uint32_t set(struct rig *r, uint32_t stream, struct virtio_snd_pcm_set_params p)
{
    p.hdr = (struct virtio_snd_pcm_hdr){{VIRTIO_SND_R_PCM_SET_PARAMS}, stream};
    return ask(r, &p, sizeof(p), 4);
}

static void get_going(struct rig *r, uint32_t stream)
{
    ck_assert_uint_eq(set(r, stream, usual), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(pcm(r, VIRTIO_SND_R_PCM_PREPARE, stream), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(pcm(r, VIRTIO_SND_R_PCM_START, stream), VIRTIO_SND_S_OK);
}

#define PERIOD 960u
#define SLOT   2048u

/* Period number n of stream, with a byte of its own. */
static void give(struct rig *r, unsigned n, uint32_t stream, bool input)
{
    uint64_t at = r->data + n * SLOT;
    struct fv_buf out[3] = {{at, 4, false}, {at + 4, PERIOD, false}, {at + 1024, 8, true}};
    struct fv_buf in[3] = {{at, 4, false}, {at + 4, PERIOD, true}, {at + 1024, 8, true}};

    memset(fv_at(&r->v, at), input ? 0x77 : (int)(n + 1), SLOT);
    store_le32(fv_at(&r->v, at), stream);
    fv_add(&r->v, input ? VIRTIO_SND_VQ_RX : VIRTIO_SND_VQ_TX, input ? in : out, 3);
    fv_kick(&r->v, input ? VIRTIO_SND_VQ_RX : VIRTIO_SND_VQ_TX);
}

static uint32_t status_of(struct rig *r, unsigned n)
{
    return load_le32(fv_at(&r->v, r->data + n * SLOT + 1024));
}

static unsigned used(struct rig *r, unsigned queue)
{
    struct vring_used_elem e;
    unsigned count = 0;

    while (fv_used(&r->v, queue, &e))
        count++;
    return count;
}

START_TEST(what_there_is)
{
    struct rig r;
    uint8_t *info;

    create(&r);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG, 4), 2);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG + 4, 4), 2);
    ck_assert_uint_eq(fake_read(&r.v.m, FV_CONFIG + 8, 4), 16);
    fv_start(&r.v, 0, 16);
    info = fv_at(&r.v, r.response + 4);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 0, 2, 32), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(load_le64(info + 8), sound_all_formats());
    ck_assert_uint_eq(load_le64(info + 16), SOUND_ALL_RATES);
    ck_assert_uint_eq(info[24], VIRTIO_SND_D_OUTPUT);
    ck_assert_uint_eq(info[32 + 24], VIRTIO_SND_D_INPUT);
    ck_assert_uint_eq(info[26], 8);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 1, 1, 40), VIRTIO_SND_S_OK); /* a later one */
    ck_assert_uint_eq(info[24], VIRTIO_SND_D_INPUT);
    ck_assert_uint_eq(load_le64(info + 32), 0);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_JACK_INFO, 0, 2, 24), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(info[16], 1);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_CHMAP_INFO, 0, 16, 24), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(info[24 * 5 + 5], 6); /* 5.1 */
    ck_assert_uint_eq(info[24 * 5 + 6], VIRTIO_SND_CHMAP_FL);
    ck_assert_uint_eq(info[24 * 5 + 11], VIRTIO_SND_CHMAP_LFE);
    ck_assert_uint_eq(info[24 * 8 + 4], VIRTIO_SND_D_INPUT);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 2, 0, 32), VIRTIO_SND_S_OK);
    destroy(&r);
}
END_TEST

START_TEST(bad_requests_are_answered)
{
    struct rig r;
    struct virtio_snd_jack_remap remap = {{{VIRTIO_SND_R_JACK_REMAP}, 0}, 0, 0};
    uint32_t code = 0x9999;

    create(&r);
    fv_start(&r.v, 0, 16);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 0, 3, 32), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 1, UINT32_MAX, 32), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 3, 0, 32), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 0, 2, 31), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_PCM_INFO, 0, 2, UINT32_MAX), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(query(&r, VIRTIO_SND_R_CHMAP_INFO, 0, 16, 1000), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(ask(&r, &code, 4, 4), VIRTIO_SND_S_NOT_SUPP);
    ck_assert_uint_eq(ask(&r, &code, 2, 4), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(ask(&r, &remap, sizeof(remap), 4), VIRTIO_SND_S_NOT_SUPP);
    remap.hdr.jack_id = 2;
    ck_assert_uint_eq(ask(&r, &remap, sizeof(remap), 4), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_START, 2), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(fv_status(&r.v), 15);
    destroy(&r);
}
END_TEST

START_TEST(params_that_cannot_be_are_refused)
{
    struct virtio_snd_pcm_set_params p = usual;
    struct rig r;

    create(&r);
    fv_start(&r.v, 0, 16);
    r.out->s.caps.rates = BIT(VIRTIO_SND_PCM_RATE_48000);
    p.features = 1;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_NOT_SUPP);
    p = usual, p.channels = 9;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_NOT_SUPP);
    p = usual, p.channels = 0;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_NOT_SUPP);
    p = usual, p.format = VIRTIO_SND_PCM_FMT_IMA_ADPCM;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_NOT_SUPP);
    p = usual, p.format = 255;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_NOT_SUPP);
    p = usual, p.rate = VIRTIO_SND_PCM_RATE_44100;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_NOT_SUPP);
    p = usual, p.rate = 255;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_NOT_SUPP);
    p = usual, p.period_bytes = 0;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_BAD_MSG);
    p = usual, p.period_bytes = 959;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_BAD_MSG);
    p = usual, p.buffer_bytes = 480;
    ck_assert_uint_eq(set(&r, 0, p), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_PREPARE, 0), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(set(&r, 0, usual), VIRTIO_SND_S_OK);
    destroy(&r);
}
END_TEST

/* All requests in all states. */
START_TEST(requests_come_in_their_order)
{
    enum { NEW, SET, PREPARED, STARTED, STOPPED, RELEASED };
    static const uint32_t code[] = {VIRTIO_SND_R_PCM_SET_PARAMS, VIRTIO_SND_R_PCM_PREPARE,
                                    VIRTIO_SND_R_PCM_START, VIRTIO_SND_R_PCM_STOP,
                                    VIRTIO_SND_R_PCM_RELEASE};
    static const unsigned path[][6] = { /* how a state is reached: numbers of code + 1 */
        [NEW] = {0}, [SET] = {1}, [PREPARED] = {1, 2}, [STARTED] = {1, 2, 3},
        [STOPPED] = {1, 2, 3, 4}, [RELEASED] = {1, 2, 3, 4, 5}};
    static const bool allowed[][5] = {
        [NEW] = {1, 0, 0, 0, 0},      [SET] = {1, 1, 0, 0, 0},     [PREPARED] = {1, 1, 1, 0, 1},
        [STARTED] = {0, 0, 0, 1, 0},  [STOPPED] = {1, 1, 1, 0, 1}, [RELEASED] = {1, 1, 0, 0, 0}};
    struct rig r;

    create(&r);
    for (unsigned state = NEW; state <= RELEASED; state++) {
        for (unsigned c = 0; c < 5; c++) {
            fv_start(&r.v, 0, 16);
            for (unsigned i = 0; path[state][i]; i++) {
                uint32_t step = code[path[state][i] - 1];

                ck_assert_uint_eq(step == code[0] ? set(&r, 0, usual) : pcm(&r, step, 0),
                                  VIRTIO_SND_S_OK);
            }
            ck_assert_uint_eq(c ? pcm(&r, code[c], 0) : set(&r, 0, usual),
                              allowed[state][c] ? VIRTIO_SND_S_OK : VIRTIO_SND_S_BAD_MSG);
        }
    }
    destroy(&r);
}
END_TEST

/* A buffer comes back when its last sample was consumed, never before. */
START_TEST(buffers_are_done_when_they_were_played)
{
    struct rig r;

    create(&r);
    fv_start(&r.v, 0, 64);
    ck_assert_uint_eq(set(&r, 0, usual), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_PREPARE, 0), VIRTIO_SND_S_OK);
    for (unsigned n = 0; n < 4; n++)
        give(&r, n, 0, false); /* before the start, as Linux does */
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 0);
    ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_START, 0), VIRTIO_SND_S_OK);
    pass(r.out, 479);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 0);
    pass(r.out, 1);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 1);
    ck_assert_uint_eq(status_of(&r, 0), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(load_le32(fv_at(&r.v, r.data + 1028)), 48); /* the latency */
    pass(r.out, 1000);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 2);
    pass(r.out, 1000); /* the last one ends, and then it is silent */
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 1);
    for (unsigned i = 0; i < 4 * PERIOD; i++)
        ck_assert_uint_eq(r.out->heard[i], i / PERIOD + 1);
    for (unsigned i = 4 * PERIOD; i < r.out->heard_len; i++)
        ck_assert_uint_eq(r.out->heard[i], 0);
    give(&r, 5, 0, false); /* and goes on after the underrun */
    pass(r.out, 480);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 1);
    ck_assert_uint_eq(r.out->heard[r.out->heard_len - 1], 6);
    destroy(&r);
}
END_TEST

START_TEST(a_release_gives_all_buffers_back_first)
{
    struct rig r;

    create(&r);
    fv_start(&r.v, 0, 64);
    for (unsigned round = 0; round < 20; round++) {
        get_going(&r, 0);
        for (unsigned n = 0; n < 4; n++)
            give(&r, n, 0, false);
        pass(r.out, 10);
        ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_STOP, 0), VIRTIO_SND_S_OK);
        pass(r.out, 10000);
        ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 0);
        ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_RELEASE, 0), VIRTIO_SND_S_OK);
        ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 4);
        ck_assert_uint_eq(r.out->heard_len, 20);
        ck_assert_uint_eq(r.out->heard[19], 1); /* nothing of the last time */
        r.out->heard_len = 0;
    }
    destroy(&r);
}
END_TEST

START_TEST(recording_fills_buffers)
{
    struct rig r;

    create(&r);
    fv_start(&r.v, 0, 64);
    get_going(&r, 1);
    give(&r, 0, 1, true);
    give(&r, 1, 1, true);
    r.in->says = 9;
    pass(r.in, 479);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_RX), 0);
    pass(r.in, 2);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_RX), 1);
    ck_assert_uint_eq(status_of(&r, 0), VIRTIO_SND_S_OK);
    for (unsigned i = 0; i < PERIOD; i++)
        ck_assert_uint_eq(((uint8_t *)fv_at(&r.v, r.data + 4))[i], 9);
    /* A release: what is not filled in is silence. */
    ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_STOP, 1), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_RELEASE, 1), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_RX), 1);
    ck_assert_uint_eq(((uint8_t *)fv_at(&r.v, r.data + SLOT + 4))[1], 9);
    ck_assert_uint_eq(((uint8_t *)fv_at(&r.v, r.data + SLOT + 4))[2], 0);
    ck_assert_uint_eq(((uint8_t *)fv_at(&r.v, r.data + SLOT + 4))[PERIOD - 1], 0);
    /* Who was away hears what is now, a period old at most. */
    get_going(&r, 1);
    r.in->says = 1;
    pass(r.in, 5000);
    r.in->says = 2;
    pass(r.in, 500);
    give(&r, 3, 1, true);
    pass(r.in, 1);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_RX), 1);
    ck_assert_uint_eq(((uint8_t *)fv_at(&r.v, r.data + 3 * SLOT + 4))[0], 2);
    destroy(&r);
}
END_TEST

START_TEST(buffers_that_nobody_can_play_come_back)
{
    struct fv_buf shorter[2];
    struct rig r;

    create(&r);
    fv_start(&r.v, 0, 64);
    give(&r, 0, 0, false); /* not prepared */
    ck_assert_uint_eq(status_of(&r, 0), VIRTIO_SND_S_IO_ERR);
    give(&r, 1, 7, false); /* no such stream */
    ck_assert_uint_eq(status_of(&r, 1), VIRTIO_SND_S_BAD_MSG);
    give(&r, 2, 1, false); /* not an output */
    ck_assert_uint_eq(status_of(&r, 2), VIRTIO_SND_S_BAD_MSG);
    give(&r, 3, 0, true);
    ck_assert_uint_eq(status_of(&r, 3), VIRTIO_SND_S_BAD_MSG);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX) + used(&r, VIRTIO_SND_VQ_RX), 4);
    get_going(&r, 0);
    shorter[0] = (struct fv_buf){r.data, 3, false};
    shorter[1] = (struct fv_buf){r.data + 64, 7, true};
    ck_assert_uint_eq(fv_request(&r.v, VIRTIO_SND_VQ_TX, shorter, 2), 0);
    ck_assert_uint_eq(fv_request(&r.v, VIRTIO_SND_VQ_TX, shorter, 1), 0);
    shorter[0].len = 4; /* no samples at all: done with the next movement */
    shorter[1].len = 8;
    store_le32(fv_at(&r.v, r.data), 0);
    fv_add(&r.v, VIRTIO_SND_VQ_TX, shorter, 2);
    fv_kick(&r.v, VIRTIO_SND_VQ_TX);
    pass(r.out, 1);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 1);
    destroy(&r);
}
END_TEST

START_TEST(a_reset_ends_all)
{
    struct rig r;

    create(&r);
    fv_start(&r.v, 0, 64);
    get_going(&r, 0);
    give(&r, 0, 0, false);
    ck_assert(r.out->s.running);
    fv_start(&r.v, 0, 64);
    ck_assert(!r.out->s.running);
    ck_assert_uint_eq(pcm(&r, VIRTIO_SND_R_PCM_START, 0), VIRTIO_SND_S_BAD_MSG);
    get_going(&r, 0);
    give(&r, 1, 0, false);
    pass(r.out, 480);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 1);
    ck_assert_uint_eq(r.out->heard[0], 2);
    destroy(&r);
}
END_TEST

static void on_quiet(void *arg)
{
    ++*(unsigned *)arg;
}

/* In the middle of two streams' buffers: they are kept, in the machine or in another one. */
static void check_pause(bool move)
{
    struct rig r, w, *to = move ? &w : &r;
    unsigned quiet = 0;

    create(&r);
    create(&w);
    fv_start(&r.v, BIT(VIRTIO_RING_F_EVENT_IDX), 64);
    get_going(&r, 0);
    get_going(&r, 1);
    for (unsigned n = 0; n < 3; n++)
        give(&r, n, 0, false);
    give(&r, 3, 1, true);
    r.in->says = 5;
    pass(r.out, 600); /* one is done, and a quarter of the next */
    pass(r.in, 100);
    ck_assert_uint_eq(used(&r, VIRTIO_SND_VQ_TX), 1);
    virtio_quiesce(r.v.dev, on_quiet, &quiet);
    ck_assert_uint_eq(quiet, 1);
    ck_assert(!r.out->s.running);
    if (move)
        fv_move(&r.v, &w.v);
    else
        virtio_resume(r.v.dev);
    w.request = r.request;
    w.response = r.response;
    w.data = r.data;
    fv_turn(&to->v);
    to->out->heard_len = 0;
    to->in->says = 6;
    pass(to->out, 359);
    ck_assert_uint_eq(used(to, VIRTIO_SND_VQ_TX), 0);
    pass(to->out, 1);
    ck_assert_uint_eq(used(to, VIRTIO_SND_VQ_TX), 1);
    pass(to->out, 480);
    ck_assert_uint_eq(used(to, VIRTIO_SND_VQ_TX), 1);
    for (unsigned i = 0; i < 720 + 960; i++)
        ck_assert_uint_eq(to->out->heard[i], i < 720 ? 2 : 3);
    pass(to->in, 380);
    ck_assert_uint_eq(used(to, VIRTIO_SND_VQ_RX), 1);
    ck_assert_uint_eq(((uint8_t *)fv_at(&to->v, to->data + 3 * SLOT + 4))[199], 5);
    ck_assert_uint_eq(((uint8_t *)fv_at(&to->v, to->data + 3 * SLOT + 4))[200], 6);
    ck_assert_uint_eq(pcm(to, VIRTIO_SND_R_PCM_STOP, 0), VIRTIO_SND_S_OK);
    ck_assert_uint_eq(fv_status(&to->v), 15);
    destroy(&r);
    destroy(&w);
}

START_TEST(a_pause_keeps_buffers)
{
    check_pause(false);
}
END_TEST

START_TEST(state_survives)
{
    check_pause(true);
}
END_TEST

START_TEST(a_hostile_driver_breaks_only_its_device)
{
    struct rig r;

    create(&r);
    fv_hostile(&r.v, BIT(VIRTIO_RING_F_INDIRECT_DESC));
    get_going(&r, 0);
    destroy(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_there_is);
    UNIT_TEST(s, bad_requests_are_answered);
    UNIT_TEST(s, params_that_cannot_be_are_refused);
    UNIT_TEST(s, requests_come_in_their_order);
    UNIT_TEST(s, buffers_are_done_when_they_were_played);
    UNIT_TEST(s, a_release_gives_all_buffers_back_first);
    UNIT_TEST(s, recording_fills_buffers);
    UNIT_TEST(s, buffers_that_nobody_can_play_come_back);
    UNIT_TEST(s, a_reset_ends_all);
    UNIT_TEST(s, a_pause_keeps_buffers);
    UNIT_TEST(s, state_survives);
    UNIT_TEST(s, a_hostile_driver_breaks_only_its_device);
}

UNIT_TEST_MAIN("virtio-sound", add_tests)
