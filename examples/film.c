/* SPDX-License-Identifier: MIT */
/* film FILE.y4m [SECONDS [DISK]]: a machine whose display is recorded to a film, which ffmpeg, mpv and VLC read.
 * Without a disk firmware is seen. Ends after so many seconds (10), or with the machine. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vz/vz.h>

enum { WIDTH = 1280, HEIGHT = 800, FPS = 10, PLANE = WIDTH * HEIGHT };

static unsigned char film[3 * PLANE]; /* the frame to be written: planes of Y, Cb, Cr */

static struct vz_config *configure(const char *disk, struct vz_error *err)
{
    static const char *const options[][2] = {{"efi", NULL}, {"memory", "1G"}, {"display", "1280x800"}, {"keyboard", NULL}};
    struct vz_config *config = vz_config_new(NULL, err);
    bool ok = config != NULL;

    for (size_t i = 0; ok && i < sizeof(options) / sizeof(*options); i++)
        ok = vz_config_add(config, options[i][0], options[i][1], err) >= 0;
    if (ok && (!disk || vz_config_add(config, "disk", disk, err) >= 0))
        return config;
    vz_config_unref(config);
    return NULL;
}

/* BT.601, of full range, as the header says */
static void convert(const struct vz_display_update *u, const struct vz_display_rect *r)
{
    for (uint32_t y = r->y; y < r->y + r->height && y < HEIGHT; y++) {
        const uint8_t *p = u->pixels + (size_t)y * u->stride + (size_t)r->x * 4;
        unsigned char *to = film + (size_t)y * WIDTH + r->x;

        for (uint32_t x = r->x; x < r->x + r->width && x < WIDTH; x++, p += 4, to++) {
            to[0] = (unsigned char)((29 * p[0] + 150 * p[1] + 77 * p[2]) >> 8);
            to[PLANE] = (unsigned char)((32768 + 128 * p[0] - 85 * p[1] - 43 * p[2]) / 257);
            to[2 * PLANE] = (unsigned char)((32768 + 128 * p[2] - 107 * p[1] - 21 * p[0]) / 257);
        }
    }
}

static void blacken(void)
{
    memset(film, 0, PLANE);
    memset(film + PLANE, 128, sizeof(film) - PLANE);
}

/* A film's frames have one size: what is larger is cut off, and beside what is smaller it is black. */
static bool take_changes(struct vz_display_view *view)
{
    struct vz_display_update u = VZ_DISPLAY_UPDATE_INIT;

    if (vz_display_view_update(view, &u, NULL) > 0) {
        if (u.resized || !u.pixels)
            blacken();
        for (unsigned i = 0; u.pixels && i < u.damage_count; i++)
            convert(&u, &u.damage[i]);
    }
    return !u.ended;
}

static int ms_until(const struct timespec *begin, int ms)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    ms -= (int)((now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000);
    return ms > 0 ? ms : 0;
}

static bool record(struct vz_display_view *view, FILE *to, int seconds)
{
    struct pollfd changed = {.fd = vz_display_view_fd(view), .events = POLLIN};
    struct timespec begin;
    bool runs = true;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    blacken();
    fprintf(to, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C444 XCOLORRANGE=FULL\n", WIDTH, HEIGHT, FPS);
    for (int frame = 1; runs && frame <= seconds * FPS && !ferror(to); frame++) {
        int wait;

        do { /* at least once, also for a film that is written too slowly */
            wait = ms_until(&begin, frame * 1000 / FPS);
            if (poll(&changed, 1, wait) > 0)
                runs = take_changes(view);
        } while (runs && wait > 0);
        fputs("FRAME\n", to);
        fwrite(film, sizeof(film), 1, to);
    }
    return !ferror(to) && fflush(to) == 0;
}

int main(int argc, char **argv)
{
    struct vz_error err = {.text = "out of memory"};
    FILE *to = argc > 1 ? fopen(argv[1], "wb") : NULL;
    struct vz_config *config = to ? configure(argc > 3 ? argv[3] : NULL, &err) : NULL;
    struct vz_machine *machine = config ? vz_machine_new(config, NULL, &err) : NULL;
    struct vz_display_view *view = NULL;
    bool ok = false;

    if (argc < 2)
        fprintf(stderr, "usage: film FILE.y4m [SECONDS [DISK]]\n");
    else if (!to)
        perror(argv[1]);
    else if (!machine || vz_machine_start_wait(machine, &err) < 0 || !(view = vz_display_view_new(machine, 0, 0, &err)))
        fprintf(stderr, "film: %s\n", err.text);
    else if (!(ok = record(view, to, argc > 2 ? atoi(argv[2]) : 10)))
        perror(argv[1]);
    vz_machine_free(machine);
    vz_display_view_free(view);
    vz_config_unref(config);
    if (to && fclose(to) != 0)
        ok = false;
    return !ok;
}
