/* SPDX-License-Identifier: MIT */
/* The guest's part of the displays' benchmark: display MILLISECONDS NAME
 *
 * A dumb buffer in the mode that the monitor likes best is changed a little and flushed, as often as it goes, all of it
 * and a tenth of its rows. Each row is, after "dev NAME begin" and a warm-up,
 *
 *     dev NAME-full frames F ns T end
 *
 * and "tenth" instead of "full".
 *
 * display keys: a square in the picture's corner is blue, red after a key is pressed, blue after the next one, and so on,
 * after the line "bench: keys". */
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <linux/input.h>

#include "../tests/boot/programs/kms.h"

#define WARM_UP_NS 200000000u
#define SQUARE     256u
#define DEVICES    16

static uint64_t duration_ns;

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* Another pixel at both ends of what is flushed. */
static void flush(struct buffer *b, uint32_t rows, uint32_t n)
{
    b->pixels[n % b->width] = pattern(n, 0, 0);
    b->pixels[(rows - 1) * (b->pitch / 4) + n % b->width] = pattern(n, 1, 1);
    dirty(b, 0, rows);
}

static void row(struct buffer *b, const char *who, const char *name, uint32_t rows)
{
    uint64_t start, end;
    uint32_t frames = 0, n = 0;

    printf("dev %s-%s begin\n", who, name);
    for (end = now_ns() + WARM_UP_NS; now_ns() < end;)
        flush(b, rows, n++);
    start = now_ns();
    do {
        flush(b, rows, n++);
        frames++;
    } while (now_ns() < start + duration_ns);
    printf("dev %s-%s frames %u ns %llu end\n", who, name, frames, (unsigned long long)(now_ns() - start));
}

static void paint_square(struct buffer *b, uint32_t color)
{
    for (uint32_t y = 0; y < SQUARE; y++) {
        for (uint32_t x = 0; x < SQUARE; x++)
            b->pixels[y * (b->pitch / 4) + x] = color;
    }
    dirty(b, 0, SQUARE);
}

/* How many keys have been pressed. */
static unsigned pressed(int fd)
{
    struct input_event e[64];
    ssize_t n = read(fd, e, sizeof(e));
    unsigned count = 0;

    for (ssize_t i = 0; i < n / (ssize_t)sizeof(e[0]); i++)
        count += e[i].type == EV_KEY && e[i].value == 1;
    return count;
}

static unsigned open_devices(struct pollfd *p)
{
    glob_t g;
    unsigned count = 0;

    if (glob("/dev/input/event*", 0, NULL, &g) != 0)
        return 0;
    for (size_t i = 0; i < g.gl_pathc && count < DEVICES; i++)
        p[count++] = (struct pollfd){.fd = open(g.gl_pathv[i], O_RDONLY | O_NONBLOCK), .events = POLLIN};
    globfree(&g);
    return count;
}

static void keys(struct buffer *b)
{
    struct pollfd p[DEVICES];
    unsigned count = open_devices(p), n = 0;

    need(count > 0, "a keyboard");
    paint_square(b, 0x0000ff);
    puts("bench: keys");
    while (poll(p, count, -1) > 0) {
        for (unsigned i = 0; i < count; i++) {
            for (unsigned k = p[i].revents ? pressed(p[i].fd) : 0; k; k--)
                paint_square(b, ++n % 2 ? 0xff0000 : 0x0000ff);
        }
    }
}

int main(int argc, char **argv)
{
    struct drm_mode_modeinfo mode;
    struct buffer b;

    setvbuf(stdout, NULL, _IOLBF, 0);
    duration_ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1000) * 1000000;
    card = open("/dev/dri/card0", O_RDWR);
    need(card >= 0, "/dev/dri/card0");
    find_outputs();
    mode = best_mode();
    b = make(mode.hdisplay, mode.vdisplay, DRM_FORMAT_XRGB8888);
    draw(&b, 1, 0, b.height);
    show(&b, &mode);
    if (argc > 1 && !strcmp(argv[1], "keys"))
        keys(&b);
    row(&b, argc > 2 ? argv[2] : "dev", "full", b.height);
    row(&b, argc > 2 ? argv[2] : "dev", "tenth", b.height / 10);
    return 0;
}
