/* SPDX-License-Identifier: MIT */
/* A guest's program that stands in for a desktop: its first display has the mode that the monitor likes best, with a
 * pattern on it, and what is typed and pointed is told. On standard output:
 *
 *   mode WIDTH HEIGHT SEED   is shown now
 *   key CODE VALUE           1: down, 0: up, 2: held so long that Linux repeats it
 *   abs CODE VALUE | rel CODE VALUE
 *   syn                      that was one event
 *
 * and what it does on lines of standard input:
 *
 *   cursor SHOWN             a pointer of the display's own, red, with its hot spot at 7,9
 *   last SEED                draw another picture, and reset the machine at once
 *   quit */
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdbool.h>
#include <unistd.h>

#include <linux/input.h>

#include "kms.h"

#define DEVICES 16
#define CURSOR  64u
#define LOOK_MS 20

static struct drm_mode_modeinfo now;
static struct buffer picture;
static uint32_t seed;

static void follow(void)
{
    struct drm_mode_modeinfo mode = best_mode();
    struct buffer before = picture;

    if (mode.hdisplay == now.hdisplay && mode.vdisplay == now.vdisplay)
        return;
    picture = make(mode.hdisplay, mode.vdisplay, DRM_FORMAT_XRGB8888);
    draw(&picture, ++seed, 0, picture.height);
    show(&picture, &mode);
    dirty(&picture, 0, picture.height);
    if (before.pixels)
        drop(&before);
    now = mode;
    printf("mode %u %u %u\n", mode.hdisplay, mode.vdisplay, seed);
}

static void set_cursor(bool shown)
{
    static struct buffer b;
    struct drm_mode_cursor2 c = {.flags = DRM_MODE_CURSOR_BO, .crtc_id = crtc, .width = CURSOR, .height = CURSOR,
                                 .hot_x = 7, .hot_y = 9};

    if (!b.pixels) {
        b = make(CURSOR, CURSOR, DRM_FORMAT_ARGB8888);
        for (uint32_t i = 0; i < CURSOR * CURSOR; i++)
            b.pixels[i] = 0xffff0000;
    }
    c.handle = shown ? b.handle : 0;
    call(DRM_IOCTL_MODE_CURSOR2, &c, "a cursor");
}

/* Linux does not shut down its display first. */
static void draw_last(uint32_t last)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY);

    need(fd >= 0, "/proc/sysrq-trigger");
    draw(&picture, last, 0, picture.height);
    dirty(&picture, 0, picture.height);
    need(write(fd, "b", 1) == 1, "a reset");
}

/* False: there are no more lines. */
static bool command(void)
{
    char line[80];

    if (!fgets(line, sizeof(line), stdin) || !strncmp(line, "quit", 4))
        return false;
    if (!strncmp(line, "cursor ", 7)) {
        set_cursor(line[7] == '1');
        puts("cursor");
    }
    if (!strncmp(line, "last ", 5))
        draw_last((uint32_t)strtoul(line + 5, NULL, 10));
    return true;
}

static void tell(const struct input_event *e)
{
    if (e->type == EV_KEY)
        printf("key %u %d\n", e->code, e->value);
    else if (e->type == EV_ABS)
        printf("abs %u %d\n", e->code, e->value);
    else if (e->type == EV_REL)
        printf("rel %u %d\n", e->code, e->value);
    else if (e->type == EV_SYN)
        puts("syn");
}

static void hear(int fd)
{
    struct input_event e[64];
    ssize_t n = read(fd, e, sizeof(e));

    for (ssize_t i = 0; i < n / (ssize_t)sizeof(e[0]); i++)
        tell(&e[i]);
}

static unsigned open_devices(struct pollfd *p)
{
    glob_t g;
    unsigned count = 0;

    if (glob("/dev/input/event*", 0, NULL, &g) != 0)
        return 0;
    for (size_t i = 0; i < g.gl_pathc && count < DEVICES; i++) {
        int fd = open(g.gl_pathv[i], O_RDONLY | O_NONBLOCK);

        if (fd >= 0)
            p[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    globfree(&g);
    return count;
}

int main(void)
{
    struct pollfd p[1 + DEVICES] = {{.fd = STDIN_FILENO, .events = POLLIN}};
    unsigned count = 1 + open_devices(p + 1);

    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0);
    card = open("/dev/dri/card0", O_RDWR);
    need(card >= 0, "/dev/dri/card0");
    find_outputs();
    printf("devices %u\n", count - 1);
    for (;;) {
        follow();
        if (poll(p, count, LOOK_MS) <= 0)
            continue;
        for (unsigned i = 1; i < count; i++) {
            if (p[i].revents)
                hear(p[i].fd);
        }
        if (p[0].revents && !command())
            return 0;
    }
}
