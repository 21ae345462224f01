/* SPDX-License-Identifier: MIT */
/* A guest's program that changes modes by Linux's atomic KMS, one after the other and without a pause, between pictures of
 * sizes that the host does not want. It talks as kmsdraw does:
 *
 *   shown WIDTH HEIGHT SEED     the pattern of display_pattern.h
 *   done | failed WHAT */
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "kms.h"

#define PICTURES 6u
#define STORM    120u
#define CHECKED  15u /* every so many */

static const char *const plane_names[] = {"FB_ID", "CRTC_ID", "SRC_X", "SRC_Y", "SRC_W", "SRC_H", "CRTC_X", "CRTC_Y",
                                          "CRTC_W", "CRTC_H"};
static const char *const crtc_names[] = {"MODE_ID", "ACTIVE"};
static const char *const connector_names[] = {"CRTC_ID"};

#define COUNT(names) (sizeof(names) / sizeof((names)[0]))

static uint32_t plane, plane_props[COUNT(plane_names)], crtc_props[COUNT(crtc_names)],
    connector_props[COUNT(connector_names)];

/* ---- Finding out ---------------------------------------------------------------------------- */

static void find_props(uint32_t object, uint32_t type, const char *const *names, size_t count, uint32_t *ret)
{
    uint32_t ids[64];
    uint64_t values[64];
    struct drm_mode_obj_get_properties o = {.props_ptr = (uintptr_t)ids, .prop_values_ptr = (uintptr_t)values,
                                            .count_props = 64, .obj_id = object, .obj_type = type};

    call(DRM_IOCTL_MODE_OBJ_GETPROPERTIES, &o, "properties");
    for (uint32_t i = 0; i < o.count_props && i < 64; i++) {
        struct drm_mode_get_property p = {.prop_id = ids[i]};

        call(DRM_IOCTL_MODE_GETPROPERTY, &p, "a property");
        for (size_t k = 0; k < count; k++) {
            if (!strcmp(p.name, names[k]))
                ret[k] = ids[i];
        }
    }
    for (size_t k = 0; k < count; k++)
        need(ret[k] != 0, names[k]);
}

/* The first one is the first display's picture. */
static void find_plane(void)
{
    uint32_t ids[16];
    struct drm_mode_get_plane_res r = {.plane_id_ptr = (uintptr_t)ids, .count_planes = 16};

    call(DRM_IOCTL_MODE_GETPLANERESOURCES, &r, "planes");
    need(r.count_planes > 0, "a plane");
    plane = ids[0];
}

static void begin(void)
{
    struct drm_set_client_cap planes = {DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1}, atomic = {DRM_CLIENT_CAP_ATOMIC, 1};

    call(DRM_IOCTL_SET_CLIENT_CAP, &planes, "all planes");
    call(DRM_IOCTL_SET_CLIENT_CAP, &atomic, "atomic modes");
    find_outputs();
    find_plane();
    find_props(plane, DRM_MODE_OBJECT_PLANE, plane_names, COUNT(plane_names), plane_props);
    find_props(crtc, DRM_MODE_OBJECT_CRTC, crtc_names, COUNT(crtc_names), crtc_props);
    find_props(connector, DRM_MODE_OBJECT_CONNECTOR, connector_names, COUNT(connector_names), connector_props);
}

/* ---- Changing ------------------------------------------------------------------------------- */

/* Of any size: the display's clock is nobody's. */
static struct drm_mode_modeinfo mode_of(const struct buffer *b)
{
    struct drm_mode_modeinfo m = {.hdisplay = (uint16_t)b->width, .vdisplay = (uint16_t)b->height, .name = "storm"};

    m.hsync_start = m.hdisplay + 16;
    m.hsync_end = m.hsync_start + 16;
    m.htotal = m.hsync_end + 16;
    m.vsync_start = m.vdisplay + 4;
    m.vsync_end = m.vsync_start + 4;
    m.vtotal = m.vsync_end + 4;
    m.clock = (uint32_t)m.htotal * m.vtotal * 60 / 1000;
    m.vrefresh = 60;
    return m;
}

static void commit(const struct buffer *b)
{
    struct drm_mode_modeinfo mode = mode_of(b);
    struct drm_mode_create_blob blob = {.data = (uintptr_t)&mode, .length = sizeof(mode)};
    const uint64_t width = b->width, height = b->height;
    uint32_t objects[3] = {plane, crtc, connector}, counts[3] = {10, 2, 1}, props[13];
    uint64_t values[13] = {b->fb, crtc, 0, 0, width << 16, height << 16, 0, 0, width, height, 0, 1, crtc};
    struct drm_mode_atomic a = {.flags = DRM_MODE_ATOMIC_ALLOW_MODESET, .count_objs = 3,
                                .objs_ptr = (uintptr_t)objects, .count_props_ptr = (uintptr_t)counts,
                                .props_ptr = (uintptr_t)props, .prop_values_ptr = (uintptr_t)values};
    struct drm_mode_destroy_blob over;

    memcpy(props, plane_props, sizeof(plane_props));
    memcpy(props + 10, crtc_props, sizeof(crtc_props));
    memcpy(props + 12, connector_props, sizeof(connector_props));
    call(DRM_IOCTL_MODE_CREATEPROPBLOB, &blob, "a mode");
    values[10] = blob.blob_id;
    call(DRM_IOCTL_MODE_ATOMIC, &a, "an atomic change");
    over.blob_id = blob.blob_id;
    call(DRM_IOCTL_MODE_DESTROYPROPBLOB, &over, "the mode's end");
}

static void check(const struct buffer *b, uint32_t seed)
{
    char answer[32];

    printf("shown %u %u %u\n", b->width, b->height, seed);
    need(fgets(answer, sizeof(answer), stdin) && !strncmp(answer, "ok", 2), "to be seen");
}

int main(void)
{
    static const uint32_t sizes[PICTURES][2] = {{640, 480}, {1601, 901}, {320, 200}, {1024, 768}, {65, 64}, {1920, 1080}};
    struct buffer b[PICTURES];
    struct termios t;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (tcgetattr(0, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(0, TCSANOW, &t);
    }
    card = open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
    need(card >= 0, "/dev/dri/card0");
    begin();
    for (uint32_t i = 0; i < PICTURES; i++) {
        b[i] = make(sizes[i][0], sizes[i][1], DRM_FORMAT_XRGB8888);
        draw(&b[i], i, 0, b[i].height);
    }
    for (uint32_t n = 1; n <= STORM; n++) {
        commit(&b[n % PICTURES]);
        if (n % CHECKED == 0)
            check(&b[n % PICTURES], n % PICTURES);
    }
    puts("done");
    return 0;
}
