/* SPDX-License-Identifier: MIT */
/* Hosts' ends of sound without a device: the ring, the clock, wav files both ways. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/error.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/le.h"
#include "fake_loop.h"
#include "sound/sound.h"
#include "sound/sound_ring.h"
#include "unit.h"

static const struct sound_params cd = {VIRTIO_SND_PCM_FMT_S16, VIRTIO_SND_PCM_RATE_44100, 2, 1764};

static void on_moved(void *arg)
{
    ++*(unsigned *)arg;
}

static struct loop *new_loop(void)
{
    struct loop *loop;

    ck_assert_int_eq(loop_create(&loop), 0);
    return loop;
}

static void pass_ms(struct loop *loop, unsigned ms)
{
    for (unsigned i = 0; i < ms; i += 5) {
        usleep(5000);
        fake_loop_fire(loop);
    }
}

START_TEST(the_ring_keeps_order_over_its_end)
{
    struct sound_ring r = {0};
    uint8_t in[3000] = {0}, out[3000];
    uint64_t put = 0, taken = 0;

    ck_assert_uint_eq(sound_ring_put(&r, in, 4), 0); /* none yet */
    ck_assert_uint_eq(sound_ring_take(&r, out, 4), 0);
    ck_assert_int_eq(sound_ring_resize(&r, 4096), 0);
    for (unsigned i = 0; i < 100; i++) {
        for (unsigned k = 0; k < sizeof(in); k++)
            in[k] = (uint8_t)((put + k) * 7);
        put += sound_ring_put(&r, in, i % 2 ? sizeof(in) : 1 + i * 13 % 2900);
        size_t n = sound_ring_take(&r, out, 1 + i * 31 % 2900);
        for (unsigned k = 0; k < n; k++)
            ck_assert_uint_eq(out[k], (uint8_t)((taken + k) * 7));
        taken += n;
        ck_assert_uint_eq(sound_ring_used(&r), put - taken);
    }
    sound_ring_fini(&r);
}
END_TEST

START_TEST(silence_is_the_middle_of_every_format)
{
    uint8_t b[16];

    for (unsigned f = 0; f < SOUND_FORMATS; f++) {
        if (!(sound_all_formats() & BIT(f)))
            continue;
        memset(b, 0x55, sizeof(b));
        sound_silence(f, b, sizeof(b));
        ck_assert_mem_eq(b, sound_format(f)->silence, sound_format(f)->bytes);
    }
    sound_silence(VIRTIO_SND_PCM_FMT_U20_3, b, 6);
    ck_assert_uint_eq(load_le32(b) & 0xffffff, 1u << 19);
    sound_silence(VIRTIO_SND_PCM_FMT_U16, b, 4);
    ck_assert_uint_eq(load_le32(b), 0x80008000u);
    for (unsigned i = 0; i < SOUND_RATES; i++)
        ck_assert_int_eq(sound_rate_of(sound_rate_hz(i)), (int)i);
    ck_assert_int_eq(sound_rate_of(44101), -1);
}
END_TEST

/* What is put in is taken at the rate, not faster, and not while it does not run. */
START_TEST(the_clock_keeps_the_rate)
{
    struct loop *loop = new_loop();
    struct sound *s;
    uint8_t data[40000] = {0};
    unsigned moved = 0;
    uint64_t start, ms;

    ck_assert_int_eq(sound_null_create(loop, SOUND_OUTPUT, &s, NULL), 0);
    sound_attach(s, on_moved, &moved);
    ck_assert_int_eq(sound_prepare(s, &cd), 0);
    ck_assert_uint_ge(sound_ready(s), 44100);
    ck_assert_uint_eq(sound_write(s, data, sizeof(data)), sizeof(data));
    ck_assert_uint_eq(fake_loop_fire(loop), 0); /* no timer, no wake-up */
    ck_assert_int_eq(sound_start(s), 0);
    start = clock_mono_ns();
    pass_ms(loop, 100);
    sound_stop(s);
    ms = (clock_mono_ns() - start) / NS_PER_MS;
    ck_assert_uint_gt(moved, 0);
    ck_assert_uint_gt(sound_position(s), 0);
    ck_assert_uint_le(sound_position(s), (ms + 1) * 44100 * 4 / 1000);
    ck_assert_uint_eq(sound_position(s) % 4, 0);
    ck_assert_uint_eq(fake_loop_fire(loop), 0);
    sound_flush(s);
    ck_assert_uint_eq(sound_position(s), 0);
    sound_destroy(s);
    loop_destroy(loop);
}
END_TEST

START_TEST(nothing_to_record_is_silence_in_time)
{
    struct loop *loop = new_loop();
    struct sound *s;
    int16_t data[64];
    unsigned moved = 0;

    ck_assert_int_eq(sound_null_create(loop, SOUND_INPUT, &s, NULL), 0);
    sound_attach(s, on_moved, &moved);
    ck_assert_uint_eq(sound_read(s, data, sizeof(data)), 0);
    ck_assert_int_eq(sound_prepare(s, &cd), 0);
    ck_assert_int_eq(sound_start(s), 0);
    pass_ms(loop, 30);
    ck_assert_uint_eq(sound_read(s, data, sizeof(data)), sizeof(data));
    ck_assert_int_eq(data[7], 0);
    for (unsigned i = 0; i < 200; i++) /* nobody reads: it is full, no more */
        pass_ms(loop, 5);
    ck_assert_uint_le(sound_ready(s), 65536);
    sound_destroy(s);
    loop_destroy(loop);
}
END_TEST

static void play(struct loop *loop, const char *path)
{
    struct sound *s;
    struct sound_params other = cd;
    int16_t tone[4000];
    unsigned moved = 0;

    for (unsigned i = 0; i < 4000; i++)
        tone[i] = (int16_t)(i + 1);
    ck_assert_int_eq(sound_wav_create(loop, SOUND_OUTPUT, path, &s, NULL), 0);
    ck_assert(!(sound_caps(s)->formats & BIT(VIRTIO_SND_PCM_FMT_U16)));
    sound_attach(s, on_moved, &moved);
    ck_assert_int_eq(sound_prepare(s, &cd), 0);
    ck_assert_uint_eq(sound_write(s, tone, sizeof(tone)), sizeof(tone));
    ck_assert_int_eq(sound_start(s), 0);
    while (sound_position(s) < sizeof(tone))
        pass_ms(loop, 5);
    pass_ms(loop, 20); /* an underrun */
    sound_stop(s);
    other.channels = 1;
    ck_assert_int_eq(sound_prepare(s, &other), -EINVAL);
    ck_assert_int_eq(sound_prepare(s, &cd), 0);
    sound_destroy(s);
}

START_TEST(a_wav_file_is_written_and_read)
{
    struct loop *loop = new_loop();
    char path[] = "/tmp/vz-sound-test.XXXXXX";
    int fd = mkstemp(path);
    uint8_t header[44];
    int16_t data[4200];
    struct stat st;
    struct sound *s;
    unsigned moved = 0;
    size_t got = 0;

    ck_assert_int_ge(fd, 0);
    play(loop, path);
    ck_assert_int_eq(pread(fd, header, 44, 0), 44);
    ck_assert_mem_eq(header, "RIFF", 4);
    ck_assert_int_eq(fstat(fd, &st), 0);
    ck_assert_uint_eq(load_le32(header + 40), st.st_size - 44);
    ck_assert_uint_gt(st.st_size, 44 + 8000); /* the tone, and the silence of the underrun */
    ck_assert_uint_eq(load_le32(header + 24), 44100);

    ck_assert_int_eq(sound_wav_create(loop, SOUND_INPUT, path, &s, NULL), 0);
    ck_assert_uint_eq(sound_caps(s)->formats, BIT(VIRTIO_SND_PCM_FMT_S16));
    ck_assert_uint_eq(sound_caps(s)->rates, BIT(VIRTIO_SND_PCM_RATE_44100));
    ck_assert_uint_eq(sound_caps(s)->channels_min, 2);
    ck_assert_uint_eq(sound_caps(s)->channels_max, 2);
    sound_attach(s, on_moved, &moved);
    ck_assert_int_eq(sound_prepare(s, &cd), 0);
    ck_assert_int_eq(sound_start(s), 0);
    while (got < sizeof(data)) {
        pass_ms(loop, 5);
        got += sound_read(s, (uint8_t *)data + got, sizeof(data) - got);
    }
    for (unsigned i = 0; i < 4000; i++)
        ck_assert_int_eq(data[i], (int16_t)(i + 1));
    ck_assert_int_eq(data[4100], 0);
    sound_destroy(s);
    close(fd);
    unlink(path);
    loop_destroy(loop);
}
END_TEST

static int open_bytes(struct loop *loop, const void *data, size_t len)
{
    char path[] = "/tmp/vz-sound-test.XXXXXX";
    int fd = mkstemp(path), r;
    struct vz_error err = {0};
    struct sound *s = NULL;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, data, len), len);
    close(fd);
    r = sound_wav_create(loop, SOUND_INPUT, path, &s, &err);
    ck_assert(r == 0 || err.text[0]);
    sound_destroy(s);
    unlink(path);
    return r;
}

START_TEST(files_that_are_no_wav_are_refused)
{
    struct loop *loop = new_loop();
    struct sound *s;
    struct vz_error err = {0};
    uint8_t h[52] = "RIFF....WAVELIST\3\0\0\0abc\0fmt \x10\0\0\0\1\0\2\0";

    ck_assert_int_eq(sound_wav_create(loop, SOUND_INPUT, "/nowhere/a", &s, &err), -ENOENT);
    ck_assert_int_eq(sound_wav_create(loop, SOUND_OUTPUT, "/nowhere/a", &s, &err), -ENOENT);
    ck_assert_int_eq(open_bytes(loop, "", 0), -EINVAL);
    ck_assert_int_eq(open_bytes(loop, h, 30), -EINVAL);
    store_le32(h + 36, 48000);
    store_le16(h + 46, 16);
    ck_assert_int_eq(open_bytes(loop, h, 48), -EINVAL); /* no samples */
    for (unsigned cut = 0; cut < 48; cut++)
        ck_assert_int_eq(open_bytes(loop, h, cut), -EINVAL);
    loop_destroy(loop);
}
END_TEST

START_TEST(no_server_is_said)
{
    struct loop *loop = new_loop();
    struct sound_server *server = NULL;
    struct vz_error err = {0};
    int r;

    setenv("PIPEWIRE_RUNTIME_DIR", "/nowhere", 1);
    setenv("XDG_RUNTIME_DIR", "/nowhere", 1);
    r = sound_server_connect(loop, "test", &server, &err);
    ck_assert(r == -ENOTSUP || r == -ECONNREFUSED);
    ck_assert(err.text[0]);
    ck_assert_ptr_null(server);
    sound_server_disconnect(NULL);
    loop_destroy(loop);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, the_ring_keeps_order_over_its_end);
    UNIT_TEST(s, silence_is_the_middle_of_every_format);
    UNIT_TEST(s, the_clock_keeps_the_rate);
    UNIT_TEST(s, nothing_to_record_is_silence_in_time);
    UNIT_TEST(s, a_wav_file_is_written_and_read);
    UNIT_TEST(s, files_that_are_no_wav_are_refused);
    UNIT_TEST(s, no_server_is_said);
}

UNIT_TEST_MAIN("sound", add_tests)
