/* SPDX-License-Identifier: MIT */
/* Plays a tone, or records, by the kernel's PCM interface and nothing else: `tone play|record DEVICE
 * SECONDS [FILE]`, 16-bit stereo at 48 kHz, four seconds of buffer. The tone is 1 kHz in the left channel and 500 Hz
 * in the right, made of whole numbers, so that every sample is known. Says how long it took. */
#include <fcntl.h>
#include <limits.h>
#include <sound/asound.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define RATE   48000u
#define BUFFER (4 * RATE) /* frames, in 32 periods */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void set_mask(struct snd_pcm_hw_params *p, unsigned param, unsigned bit)
{
    struct snd_mask *m = &p->masks[param - SNDRV_PCM_HW_PARAM_FIRST_MASK];

    memset(m, 0, sizeof(*m));
    m->bits[bit / 32] = 1u << bit % 32;
}

static void set_exactly(struct snd_pcm_hw_params *p, unsigned param, unsigned value)
{
    p->intervals[param - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL] =
        (struct snd_interval){.min = value, .max = value, .integer = 1};
}

static void configure(int fd, bool playing)
{
    struct snd_pcm_hw_params p;
    struct snd_pcm_sw_params sw = {.period_step = 1, .avail_min = 1};
    const unsigned long frames = BUFFER;

    memset(&p, 0, sizeof(p));
    memset(p.masks, 0xff, sizeof(p.masks));
    for (unsigned i = 0; i < sizeof(p.intervals) / sizeof(p.intervals[0]); i++)
        p.intervals[i].max = UINT_MAX;
    p.rmask = UINT_MAX;
    set_mask(&p, SNDRV_PCM_HW_PARAM_ACCESS, SNDRV_PCM_ACCESS_RW_INTERLEAVED);
    set_mask(&p, SNDRV_PCM_HW_PARAM_FORMAT, SNDRV_PCM_FORMAT_S16_LE);
    set_exactly(&p, SNDRV_PCM_HW_PARAM_CHANNELS, 2);
    set_exactly(&p, SNDRV_PCM_HW_PARAM_RATE, RATE);
    set_exactly(&p, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, frames / 32);
    set_exactly(&p, SNDRV_PCM_HW_PARAM_BUFFER_SIZE, frames);
    if (ioctl(fd, SNDRV_PCM_IOCTL_HW_PARAMS, &p) < 0)
        die("hardware parameters");
    sw.start_threshold = playing ? frames : 1;
    sw.stop_threshold = frames;
    sw.boundary = frames * (LONG_MAX / frames / 2);
    if (ioctl(fd, SNDRV_PCM_IOCTL_SW_PARAMS, &sw) < 0)
        die("software parameters");
    if (ioctl(fd, SNDRV_PCM_IOCTL_PREPARE) < 0)
        die("prepare");
}

/* A triangle of n samples, never 0. */
static int16_t triangle(unsigned i, unsigned n)
{
    unsigned at = i % n;

    return (int16_t)(1 + 400 * (int)(at < n / 2 ? at : n - at));
}

static void play(int fd, unsigned frames)
{
    static int16_t data[4800 * 2];

    for (unsigned done = 0; done < frames;) {
        struct snd_xferi x = {.buf = data, .frames = 4800};

        for (unsigned i = 0; i < 4800; i++) {
            data[2 * i] = triangle(done + i, 48);
            data[2 * i + 1] = triangle(done + i, 96);
        }
        if (ioctl(fd, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &x) < 0)
            die("write");
        done += (unsigned)x.result;
    }
    if (ioctl(fd, SNDRV_PCM_IOCTL_DRAIN) < 0)
        die("drain");
}

static void record(int fd, unsigned frames, const char *path)
{
    static int16_t data[480 * 2];
    FILE *out = fopen(path, "w");

    if (!out)
        die(path);
    for (unsigned done = 0; done < frames;) {
        struct snd_xferi x = {.buf = data, .frames = 480};

        if (ioctl(fd, SNDRV_PCM_IOCTL_READI_FRAMES, &x) < 0)
            die("read");
        fwrite(data, 4, (size_t)x.result, out);
        done += (unsigned)x.result;
    }
    fclose(out);
}

int main(int argc, char **argv)
{
    struct timespec a, b;
    int fd;

    if (argc < 4)
        return 2;
    fd = open(argv[2], O_RDWR);
    if (fd < 0)
        die(argv[2]);
    configure(fd, !strcmp(argv[1], "play"));
    clock_gettime(CLOCK_MONOTONIC, &a);
    if (!strcmp(argv[1], "play"))
        play(fd, (unsigned)atoi(argv[3]) * RATE);
    else
        record(fd, (unsigned)atoi(argv[3]) * RATE, argv[4]);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("tone: %s took %ld ms\n", argv[1],
           (b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000);
    close(fd);
    return 0;
}
