/* SPDX-License-Identifier: MIT */
/* screen: what a display shows, in a file in memory that is the client's. display: a channel to look at it by. */
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vz/display.h>

#include "control/viewers.h"

#define TRIES 20u /* to get a picture into which the guest does not draw at that moment */

/* Rows without what lies between them; nothing is shown: black. */
static void copy_picture(uint8_t *to, const struct vz_display_update *u)
{
    for (uint32_t y = 0; u->pixels && y < u->height; y++)
        memcpy(to + (size_t)y * u->width * 4, u->pixels + (size_t)y * u->stride, (size_t)u->width * 4);
}

/* A file with the picture; -1 and errno. */
static int picture_file(struct vz_display_view *view, struct vz_display_update *u)
{
    size_t len;
    uint8_t *map;
    int fd = -1;

    if (vz_display_view_update(view, u, NULL) < 0 || (fd = memfd_create("vz-screen", MFD_CLOEXEC)) < 0)
        return -1;
    len = (size_t)u->width * u->height * 4;
    map = ftruncate(fd, (off_t)len) < 0 ? MAP_FAILED : mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        close(fd);
        return -1;
    }
    copy_picture(map, u);
    munmap(map, len);
    return fd;
}

static int whole_picture(struct vz_display_view *view, struct vz_display_update *u)
{
    int fd = picture_file(view, u);

    for (unsigned i = 0; fd >= 0 && i < TRIES && !vz_display_view_is_whole(view); i++) {
        close(fd);
        fd = picture_file(view, u);
    }
    return fd;
}

/* False: the call has failed. */
static bool which(struct control_call *call, json_t *params, unsigned *ret_device, unsigned *ret_display)
{
    uint64_t device = 0, display = 0;

    if (!call_param_number(call, params, "device", 0, UINT32_MAX, &device) ||
        !call_param_number(call, params, "display", 0, UINT32_MAX, &display))
        return false;
    *ret_device = (unsigned)device;
    *ret_display = (unsigned)display;
    return true;
}

void method_screen(struct control_call *call, json_t *params)
{
    struct vz_display_update u = VZ_DISPLAY_UPDATE_INIT;
    struct vz_display_view *view;
    unsigned device, display;
    struct vz_error err;
    int fd;

    if (!which(call, params, &device, &display))
        return;
    view = vz_display_view_new(call_machine(call), device, display, &err);
    if (!view) {
        call_fail(call, &err);
        return;
    }
    fd = whole_picture(view, &u);
    if (fd < 0)
        call_fail_text(call, VZ_ERROR_IO, "memory for a picture: %s", strerror(errno));
    else
        call_reply_fd(call, json_pack("{s:i, s:i, s:b}", "width", (int)u.width, "height", (int)u.height, "shown",
                                      u.pixels != NULL), fd);
    vz_display_view_free(view);
}

void method_display(struct control_call *call, json_t *params)
{
    unsigned device, display;
    struct vz_error err;
    int fd;

    if (!which(call, params, &device, &display))
        return;
    fd = viewers_add(control_viewers(call_control(call)), call_machine(call), device, display, &err);
    if (fd < 0)
        call_fail(call, &err);
    else
        call_reply_fd(call, NULL, fd);
}
