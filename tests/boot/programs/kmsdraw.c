/* SPDX-License-Identifier: MIT */
/* A guest's program that draws on its first display by Linux's KMS, by system calls alone. On standard output it says
 * what is to be seen, a line each, and goes on when a line has come back:
 *
 *   shown WIDTH HEIGHT SEED     the pattern of display_pattern.h
 *   cursor X Y HOTX HOTY SEED   in a picture of 64 x 64
 *   resize WIDTH HEIGHT         the host is to want that
 *   save                        the host may take the machine apart, and restore it
 *   done | failed WHAT */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "kms.h"

#define CURSOR 64u

static void say(const char *line)
{
    char answer[32];

    puts(line);
    need(fgets(answer, sizeof(answer), stdin) && !strncmp(answer, "ok", 2), line);
}

static void check(const struct buffer *b, uint32_t seed)
{
    char line[80];

    snprintf(line, sizeof(line), "shown %u %u %u", b->width, b->height, seed);
    say(line);
}

/* ---- What is tested ------------------------------------------------------------------------- */

static void in_parts(struct buffer *b)
{
    draw(b, 2, 0, b->height);
    dirty(b, 0, 100);
    dirty(b, 100, b->height - 7);
    dirty(b, b->height - 7, b->height);
    check(b, 2);
}

static void wait_for_flip(void)
{
    struct pollfd p = {.fd = card, .events = POLLIN};
    char event[256];

    need(poll(&p, 1, 60000) == 1 && read(card, event, sizeof(event)) > 0, "the end of a page flip");
}

static void flips(struct buffer *b, const struct drm_mode_modeinfo *mode)
{
    struct buffer other = make(b->width, b->height, DRM_FORMAT_XRGB8888), *both[2] = {&other, b};

    for (uint32_t n = 0; n < 30; n++) {
        struct drm_mode_crtc_page_flip f = {.crtc_id = crtc, .fb_id = both[n % 2]->fb,
                                            .flags = DRM_MODE_PAGE_FLIP_EVENT};

        draw(both[n % 2], 100 + n, 0, b->height);
        call(DRM_IOCTL_MODE_PAGE_FLIP, &f, "flipping");
        wait_for_flip();
        if (n % 7 == 0)
            check(both[n % 2], 100 + n);
    }
    show(b, mode);
    drop(&other);
}

static void cursor(void)
{
    struct buffer b = make(CURSOR, CURSOR, DRM_FORMAT_ARGB8888);
    struct drm_mode_cursor2 c = {.flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE, .crtc_id = crtc, .x = 33,
                                 .y = 44, .width = CURSOR, .height = CURSOR, .handle = b.handle, .hot_x = 5,
                                 .hot_y = 6};

    for (uint32_t i = 0; i < CURSOR * CURSOR; i++)
        b.pixels[i] = pattern(9, i % CURSOR, i / CURSOR) | 0x80000000u;
    call(DRM_IOCTL_MODE_CURSOR2, &c, "a cursor");
    say("cursor 33 44 5 6 9");
    for (int n = 0; n < 100; n++) {
        c.flags = DRM_MODE_CURSOR_MOVE;
        c.x = n * 3 - 20;
        c.y = n - 30;
        call(DRM_IOCTL_MODE_CURSOR2, &c, "moving the cursor");
    }
    say("cursor 277 69 5 6 9");
    c.flags = DRM_MODE_CURSOR_BO;
    c.handle = 0;
    call(DRM_IOCTL_MODE_CURSOR2, &c, "hiding the cursor");
    say("cursor -1 -1 0 0 0");
    drop(&b);
}

static struct drm_mode_modeinfo wait_for_mode(uint32_t width, uint32_t height)
{
    const struct timespec moment = {.tv_nsec = 20 * 1000 * 1000};
    struct drm_mode_modeinfo mode = {0};

    for (unsigned i = 0; i < 3000; i++) {
        mode = best_mode();
        if (mode.hdisplay == width && mode.vdisplay == height)
            return mode;
        nanosleep(&moment, NULL);
    }
    fprintf(stdout, "the best mode is still %ux%u\n", mode.hdisplay, mode.vdisplay);
    need(0, "another mode");
    return mode;
}

static void resizes(void)
{
    static const struct {
        uint32_t width, height;
    } sizes[] = {{800, 600}, {1601, 901}, {1920, 1080}, {320, 200}, {3840, 2160}, {5120, 1440}, {1024, 768}};

    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct drm_mode_modeinfo mode;
        struct buffer b;
        char line[80];

        snprintf(line, sizeof(line), "resize %u %u", sizes[i].width, sizes[i].height);
        say(line);
        mode = wait_for_mode(sizes[i].width, sizes[i].height);
        b = make(mode.hdisplay, mode.vdisplay, DRM_FORMAT_XRGB8888);
        draw(&b, 200 + i, 0, b.height);
        show(&b, &mode);
        dirty(&b, 0, b.height);
        check(&b, 200 + i);
        drop(&b);
    }
}

static void saves(void)
{
    struct drm_mode_modeinfo mode = best_mode();
    struct buffer b = make(mode.hdisplay, mode.vdisplay, DRM_FORMAT_XRGB8888);

    draw(&b, 300, 0, b.height);
    show(&b, &mode);
    dirty(&b, 0, b.height);
    check(&b, 300);
    say("save");
    check(&b, 300);
    draw(&b, 301, 0, b.height);
    dirty(&b, 0, b.height);
    check(&b, 301);
}

/* Draw as fast as it goes: kmsdraw bench SECONDS PERCENT */
static void bench(struct buffer *b, const char *seconds, const char *percent)
{
    struct timespec from, now;
    uint32_t rows = b->height * (uint32_t)atoi(percent) / 100;
    unsigned frames = 0;

    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        dirty(b, 0, rows);
        frames++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - from.tv_sec < atoi(seconds));
    printf("frames %u in %ld ms\n", frames,
           (now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000);
}

int main(int argc, char **argv)
{
    struct drm_mode_modeinfo mode;
    struct termios t;
    struct buffer b;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (tcgetattr(0, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(0, TCSANOW, &t);
    }
    card = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
    need(card >= 0, "/dev/dri/card0");
    find_outputs();
    mode = best_mode();
    b = make(mode.hdisplay, mode.vdisplay, DRM_FORMAT_XRGB8888);
    draw(&b, 1, 0, b.height);
    show(&b, &mode);
    dirty(&b, 0, b.height);
    if (argc > 3) {
        bench(&b, argv[2], argv[3]);
        return 0;
    }
    check(&b, 1);
    in_parts(&b);
    flips(&b, &mode);
    cursor();
    resizes();
    saves();
    puts("done");
    return 0;
}
