/* SPDX-License-Identifier: MIT */
/* displayvm KERNEL INITRD STATE: a machine of 640x480 whose guest (programs/kmsdraw.c) says on COM1 what is to be seen. It
 * is looked for, pixel by pixel, in what <vz/display.h> shows; STATE is the file to save the machine in and restore it from.
 * Standard output has what the guest says; the status is 0 when it has said "done". */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <vz/vz.h>

#include "display_pattern.h"

#define LIMIT_S 120

static int pair[2]; /* ours and the guest's end of its line */
static struct vz_config *config;
static struct vz_machine *machine;
static struct vz_machine_options options;
static struct vz_machine_delegate delegate;
static struct vz_display_view *view;
static _Atomic unsigned begun, ended;

static void need(bool ok, const struct vz_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "displayvm: %s\n", err->text);
    exit(1);
}

static void on_begun(void *arg, struct vz_machine *m, unsigned device, unsigned display)
{
    begun++;
}

static void on_ended(void *arg, struct vz_machine *m, unsigned device, unsigned display)
{
    ended++;
}

static struct vz_config *make_config(char **argv)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_graphics_scanout scanout = VZ_GRAPHICS_SCANOUT_INIT;
    struct vz_virtio_graphics_options g = VZ_VIRTIO_GRAPHICS_OPTIONS_INIT;
    struct vz_config *c = vz_config_new(NULL, NULL);
    struct vz_serial_attachment *lines = vz_fd_serial_attachment_new(pair[1], pair[1], NULL);
    struct vz_serial_port *com1 = vz_uart_serial_port_new(lines, NULL);
    struct vz_graphics_device *gpu;
    struct vz_boot_loader *loader;

    b.kernel = argv[1];
    b.initrd = argv[2];
    b.cmdline = "console=ttyS0 quiet";
    loader = vz_linux_boot_loader_new(&b, NULL);
    scanout.width = 640;
    scanout.height = 480;
    g.scanouts = &scanout;
    g.scanout_count = 1;
    gpu = vz_virtio_graphics_device_new(&g, NULL);
    vz_config_set_boot_loader(c, loader);
    vz_config_add_serial_port(c, com1, NULL);
    vz_config_add_graphics_device(c, gpu, NULL);
    vz_boot_loader_unref(loader);
    vz_serial_attachment_unref(lines);
    vz_serial_port_unref(com1);
    vz_graphics_device_unref(gpu);
    return c;
}

static void open_view(void)
{
    struct vz_error err;

    view = vz_display_view_new(machine, 0, 0, &err);
    need(view != NULL, &err);
}

static void make_machine(void)
{
    struct vz_error err;

    machine = vz_machine_new(config, &options, &err);
    need(machine != NULL, &err);
}

/* ---- Looking -------------------------------------------------------------------------------- */

static time_t now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

static bool picture_is(const struct vz_display_update *u, uint32_t width, uint32_t height, uint32_t seed)
{
    if (!u->pixels || u->width != width || u->height != height)
        return false;
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            uint32_t v;

            memcpy(&v, u->pixels + (size_t)y * u->stride + 4 * x, 4);
            if ((v & 0xffffff) != (pattern(seed, x, y) & 0xffffff))
                return false;
        }
    }
    return true;
}

/* The cursor, or none where x is -1. */
static bool cursor_is(int x, int y, unsigned hot_x, unsigned hot_y, uint32_t seed)
{
    struct vz_display_cursor c = VZ_DISPLAY_CURSOR_INIT;

    vz_display_view_cursor(view, &c, NULL);
    if (x == -1)
        return !c.visible;
    if (!c.visible || c.x != x || c.y != y || c.hot_x != hot_x || c.hot_y != hot_y || c.width != 64 ||
        c.height != 64)
        return false;
    for (uint32_t i = 0; i < 64 * 64; i++) {
        if (c.pixels[i] != (pattern(seed, i % 64, i / 64) | 0x80000000u))
            return false;
    }
    return true;
}

/* Look at each picture that comes, until what the line says is seen. */
static bool is_seen(const char *line)
{
    time_t end = now_s() + LIMIT_S;
    unsigned a, b, c, d, e;
    int x, y;

    do {
        struct pollfd p = {.fd = vz_display_view_fd(view), .events = POLLIN};
        struct vz_display_update u = VZ_DISPLAY_UPDATE_INIT;

        vz_display_view_update(view, &u, NULL);
        if (sscanf(line, "shown %u %u %u", &a, &b, &c) == 3 && picture_is(&u, a, b, c))
            return true;
        if (sscanf(line, "cursor %d %d %u %u %u", &x, &y, &c, &d, &e) == 5 && cursor_is(x, y, c, d, e))
            return true;
        poll(&p, 1, 1000);
    } while (now_s() < end);
    return false;
}

/* ---- Other wishes of the guest's ------------------------------------------------------------ */

static bool resize(const char *line)
{
    unsigned width, height;
    struct vz_error err;

    if (sscanf(line, "resize %u %u", &width, &height) != 2)
        return false;
    need(vz_machine_reconfigure_display(machine, 0, 0, width, height, &err) == 0, &err);
    return true;
}

/* The machine is another one afterwards, and the view another view. */
static bool save(const char *state)
{
    struct vz_error err;

    need(vz_machine_pause_wait(machine, &err) == 0, &err);
    need(vz_machine_save_wait(machine, state, NULL, &err) == 0, &err);
    vz_machine_free(machine);
    vz_display_view_free(view);
    make_machine();
    need(vz_machine_restore_wait(machine, state, NULL, &err) == 0, &err);
    open_view();
    need(vz_machine_resume_wait(machine, &err) == 0, &err);
    return true;
}

static void answer(const char *text)
{
    if (write(pair[0], text, strlen(text)) < 0)
        perror("displayvm");
}

static bool serve(const char *line, const char *state)
{
    bool ok;

    if (!strncmp(line, "shown ", 6) || !strncmp(line, "cursor ", 7))
        ok = is_seen(line);
    else if (!strncmp(line, "resize ", 7))
        ok = resize(line);
    else if (!strncmp(line, "save", 4))
        ok = save(state);
    else
        return true;
    if (!ok)
        printf("not seen\n");
    answer(ok ? "ok\n" : "no\n");
    return ok;
}

int main(int argc, char **argv)
{
    bool ok = true, done = false;
    struct vz_error err;
    char line[256];
    FILE *in;

    if (argc != 4 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || !(in = fdopen(pair[0], "r")))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    delegate = (struct vz_machine_delegate)VZ_MACHINE_DELEGATE_INIT;
    delegate.display_reconfiguration_began = on_begun;
    delegate.display_reconfiguration_ended = on_ended;
    options = (struct vz_machine_options)VZ_MACHINE_OPTIONS_INIT;
    options.delegate = &delegate;
    config = make_config(argv);
    make_machine();
    need(vz_machine_start_wait(machine, &err) == 0, &err);
    open_view();
    while (ok && !done && fgets(line, sizeof(line), in)) {
        fputs(line, stdout);
        ok = serve(line, argv[3]);
        done = !strncmp(line, "done", 4) || !strncmp(line, "failed", 6);
        ok = ok && strncmp(line, "failed", 6);
    }
    printf("changes %u %u\n", begun, ended);
    vz_display_view_free(view);
    vz_machine_free(machine);
    vz_config_unref(config);
    return ok && done ? 0 : 1;
}
