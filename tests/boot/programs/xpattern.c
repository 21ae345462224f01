/* SPDX-License-Identifier: MIT */
/* A guest's program on an X server, by its protocol alone: xpattern follow | watch
 *
 * Each monitor is covered by the pattern of display_pattern.h. With "follow" it stands in for a desktop: each has the mode
 * that it likes best, side by side. With "watch" somebody else sees to that. On standard output, a line each, after it has
 * been drawn:
 *
 *   mode MONITOR WIDTH HEIGHT SEED */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../display_pattern.h"

#define MONITORS 16u
#define PIECE    (192u * 1024) /* bytes of a picture in a request */
#define LOOK_MS  20

enum { CREATE_WINDOW = 1, MAP_WINDOW = 8, CONFIGURE_WINDOW = 12, GET_INPUT_FOCUS = 43, CREATE_GC = 55, PUT_IMAGE = 72,
       QUERY_EXTENSION = 98 };
enum { EXPOSE = 12, VISIBILITY = 15 }; /* events, whose bits in a mask are 0x8000 and 0x10000 */
enum { RR_QUERY_VERSION, RR_SET_SCREEN_SIZE = 7, RR_GET_RESOURCES, RR_GET_OUTPUT, RR_GET_CRTC = 20, RR_SET_CRTC,
       RR_GET_RESOURCES_CURRENT = 25 };

struct monitor {
    uint32_t output, crtc, mode;
    uint32_t x, y, width, height;
};

static int server;
static uint32_t root, ids, randr, stamp, window, gc;
static uint8_t depth, reply[1 << 20];
static bool covered; /* somebody else's window was over ours, or still is */

static void need(bool ok, const char *what)
{
    if (ok)
        return;
    printf("failed %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- The protocol --------------------------------------------------------------------------- */

static void put(const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(server, (const uint8_t *)data + done, len - done);

        need(n > 0, "the X server");
        done += (size_t)n;
    }
}

static void take(void *to, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = read(server, (uint8_t *)to + done, len - done);

        need(n > 0, "the X server");
        done += (size_t)n;
    }
}

static uint32_t u16(size_t at)
{
    return reply[at] | (uint32_t)reply[at + 1] << 8;
}

static uint32_t u32(size_t at)
{
    return u16(at) | u16(at + 2) << 16;
}

/* words: what follows the first one; more: bytes that follow those. */
static void request(unsigned opcode, unsigned detail, const uint32_t *words, size_t count, const void *more, size_t len)
{
    uint32_t first = opcode | detail << 8 | (uint32_t)(1 + count + (len + 3) / 4) << 16;
    const uint32_t none = 0;

    put(&first, 4);
    put(words, 4 * count);
    put(more, len);
    put(&none, -len & 3);
}

#define REQUEST(opcode, detail, ...)                                                               \
    request(opcode, detail, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / 4, NULL, 0)

static bool is_event(void)
{
    unsigned kind = reply[0] & 0x7f;

    covered = covered || kind == EXPOSE || (kind == VISIBILITY && reply[8] != 0);
    return kind > 1;
}

/* The next reply. False: an error. */
static bool answered(void)
{
    do {
        take(reply, 32);
    } while (is_event());
    if (reply[0] == 0)
        return false;
    need(u32(4) < sizeof(reply) / 4 - 8, "a short reply");
    take(reply + 32, 4 * (size_t)u32(4));
    return true;
}

static void connect_to_server(void)
{
    const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/tmp/.X11-unix/X0"};
    const struct timespec moment = {.tv_nsec = 50 * 1000 * 1000};
    const uint8_t hello[12] = {'l', 0, 11};
    size_t screen;

    server = socket(AF_UNIX, SOCK_STREAM, 0);
    while (connect(server, (const struct sockaddr *)&name, sizeof(name)) < 0)
        nanosleep(&moment, NULL);
    put(hello, sizeof(hello));
    take(reply, 8);
    need(reply[0] == 1, "to be let in");
    take(reply + 8, 4 * (size_t)u16(6));
    ids = u32(12);
    screen = 40 + ((u16(24) + 3) & ~3u) + 8u * reply[29];
    root = u32(screen);
    depth = reply[screen + 38];
}

static void find_randr(void)
{
    const uint32_t name_len = 5;

    request(QUERY_EXTENSION, 0, &name_len, 1, "RANDR", 5);
    need(answered() && reply[8], "RANDR");
    randr = reply[9];
    REQUEST(randr, RR_QUERY_VERSION, 1, 4);
    need(answered(), "its version");
}

/* ---- Monitors ------------------------------------------------------------------------------- */

struct modes {
    unsigned count;
    struct {
        uint32_t id, width, height;
    } mode[256];
};

/* What there is: outputs and modes. follow: as the monitors say now, which takes the server longer. */
static unsigned get_resources(bool follow, uint32_t outputs[MONITORS], struct modes *modes)
{
    size_t at = 32;
    unsigned count;

    REQUEST(randr, follow ? RR_GET_RESOURCES : RR_GET_RESOURCES_CURRENT, root);
    need(answered(), "resources");
    stamp = u32(12);
    count = u16(18) < MONITORS ? u16(18) : MONITORS;
    modes->count = u16(20) < 256 ? u16(20) : 256;
    at += 4 * u16(16);
    for (unsigned i = 0; i < count; i++)
        outputs[i] = u32(at + 4 * i);
    at += 4 * u16(18);
    for (unsigned i = 0; i < modes->count; i++, at += 32) {
        modes->mode[i].id = u32(at);
        modes->mode[i].width = u16(at + 4);
        modes->mode[i].height = u16(at + 6);
    }
    return count;
}

/* The mode it likes best, and a CRTC of its own: the one of its number. False: nothing is connected. */
static bool best(uint32_t output, unsigned number, const struct modes *modes, struct monitor *ret)
{
    unsigned crtcs;

    REQUEST(randr, RR_GET_OUTPUT, output, stamp);
    if (!answered() || reply[24] != 0 || !u16(28))
        return false;
    crtcs = u16(26);
    *ret = (struct monitor){.output = output, .crtc = u32(36 + 4 * (number < crtcs ? number : 0)),
                            .mode = u32(36 + 4 * crtcs)};
    if (u32(12))
        ret->crtc = u32(12);
    for (unsigned i = 0; i < modes->count; i++) {
        if (modes->mode[i].id == ret->mode) {
            ret->width = modes->mode[i].width;
            ret->height = modes->mode[i].height;
        }
    }
    return ret->width;
}

/* What it shows; false: nothing. */
static bool shown(struct monitor *m)
{
    REQUEST(randr, RR_GET_CRTC, m->crtc, stamp);
    if (!answered() || !u32(20))
        return false;
    m->x = u16(12);
    m->y = u16(14);
    m->width = u16(16);
    m->height = u16(18);
    m->mode = u32(20);
    return true;
}

static unsigned find_monitors(bool follow, struct monitor m[MONITORS])
{
    uint32_t outputs[MONITORS], x = 0;
    struct modes modes;
    unsigned count = 0, found = get_resources(follow, outputs, &modes);

    for (unsigned i = 0; i < found; i++) {
        if (!best(outputs[i], i, &modes, &m[count]) || (!follow && !shown(&m[count])))
            continue;
        if (follow) {
            m[count].x = x;
            x += m[count].width;
        }
        count++;
    }
    return count;
}

static void set_size(uint32_t width, uint32_t height)
{
    REQUEST(randr, RR_SET_SCREEN_SIZE, root, width | height << 16, width / 4, height / 4);
}

/* The screen has to hold all that is shown, before and afterwards. */
static void set_modes(const struct monitor *m, unsigned count)
{
    static uint32_t before[2];
    uint32_t width = 0, height = 0;

    for (unsigned i = 0; i < count; i++) {
        width += m[i].width;
        height = m[i].height > height ? m[i].height : height;
    }
    set_size(width > before[0] ? width : before[0], height > before[1] ? height : before[1]);
    for (unsigned i = 0; i < count; i++) {
        REQUEST(randr, RR_SET_CRTC, m[i].crtc, 0, stamp, m[i].x, m[i].mode, 1, m[i].output);
        need(answered() && reply[1] == 0, "a mode");
    }
    set_size(width, height);
    before[0] = width;
    before[1] = height;
}

/* ---- Drawing -------------------------------------------------------------------------------- */

/* Above all others, which no window manager knows of. */
static void make_window(void)
{
    window = ids | 1;
    gc = ids | 2;
    REQUEST(CREATE_WINDOW, 0, window, root, 0, 1 | 1u << 16, 1u << 16, 0, 0xa00, 1, 0x18000);
    REQUEST(CREATE_GC, 0, gc, root, 0);
    REQUEST(MAP_WINDOW, 0, window);
}

static void draw(const struct monitor *m, uint32_t seed)
{
    static uint32_t pixels[PIECE / 4];
    uint32_t rows = PIECE / 4 / m->width;

    for (uint32_t y = 0, n; y < m->height; y += n) {
        n = m->height - y < rows ? m->height - y : rows;
        for (uint32_t i = 0; i < n * m->width; i++)
            pixels[i] = pattern(seed, i % m->width, y + i / m->width);
        request(PUT_IMAGE, 2, (const uint32_t[]){window, gc, m->width | n << 16, m->x | (m->y + y) << 16,
                                                 (uint32_t)depth << 8}, 5, pixels, 4 * (size_t)n * m->width);
    }
}

/* Whatever others have put there is below it afterwards. */
static void draw_all(const struct monitor *m, unsigned count, uint32_t seed)
{
    uint32_t width = 1, height = 1;

    for (unsigned i = 0; i < count; i++) {
        width = m[i].x + m[i].width > width ? m[i].x + m[i].width : width;
        height = m[i].y + m[i].height > height ? m[i].y + m[i].height : height;
    }
    covered = false;
    REQUEST(CONFIGURE_WINDOW, 0, window, 0x4c, width, height, 0);
    for (unsigned i = 0; i < count; i++)
        draw(&m[i], seed + i);
    request(GET_INPUT_FOCUS, 0, NULL, 0, NULL, 0);
    need(answered(), "an answer");
}

static void tell(const struct monitor *m, unsigned count, uint32_t seed)
{
    for (unsigned i = 0; i < count; i++)
        printf("mode %u %u %u %u\n", i, m[i].width, m[i].height, seed + i);
}

int main(int argc, char **argv)
{
    const struct timespec moment = {.tv_nsec = LOOK_MS * 1000 * 1000};
    bool follow = argc > 1 && !strcmp(argv[1], "follow");
    struct monitor now[MONITORS] = {{0}};
    uint32_t seed = 1;
    unsigned count = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    connect_to_server();
    find_randr();
    make_window();
    for (;; nanosleep(&moment, NULL)) {
        struct monitor m[MONITORS] = {{0}};
        unsigned found = find_monitors(follow, m);

        if (!found)
            continue;
        if (found == count && !memcmp(m, now, sizeof(m))) {
            if (covered)
                draw_all(m, found, seed);
            continue;
        }
        if (follow)
            set_modes(m, found);
        seed += count;
        draw_all(m, found, seed);
        tell(m, found, seed);
        memcpy(now, m, sizeof(m));
        count = found;
    }
}
