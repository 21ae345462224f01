/* SPDX-License-Identifier: MIT */
/* What a guest says it watches in shared directories (guest/guest_watch.c): whatever it is, only folders below those
 * are opened, of which there are no more than may be. The records are functions of that file alone, which is
 * included. */
#include "fuzz.h"

#include "guest/guest_watch.c"

#include <limits.h>
#include <sys/stat.h>

static const struct {
    const char *text;
    size_t len;
} seeds[] = {
#define SEED(text) {text, sizeof(text)}
    SEED("W0\0one\0"), SEED("W1\0one\0inside\0W2\0several\0a/inside\0U1\0\0"),
    SEED("W3\0one\0../beside\0W4\0one\0link\0U3\0\0"),
    SEED("W5\0several\0b\0W6\0several\0/\0W7\0several\0a/..\0W8\0none\0x"),
};

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    size_t len = index < sizeof(seeds) / sizeof(seeds[0]) ? seeds[index].len : 0;

    if (!len || len > room)
        return 0;
    memcpy(ret, seeds[index].text, len);
    return len;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* main.c's, which is not linked. */
void cli_error(const char *fmt, ...)
{
}

static char top[64];
static struct guest_watch watch = {.name = "fuzz", .fan_fd = -1, .max = 4};

static void remove_all(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -r %s", top);
    check(system(command) == 0);
}

static void set_up(void)
{
    char command[512];

    strcpy(top, "/tmp/vz-fuzz-watch.XXXXXX");
    check(mkdtemp(top) != NULL);
    atexit(remove_all);
    snprintf(command, sizeof(command), "cd %s && mkdir -p in/inside beside && ln -s ../beside in/link", top);
    check(system(command) == 0);
    watch.devices = json_pack("[{s:s, s:{s:o}}, {s:s, s:{s:[{s:s, s:o}, {s:s, s:o}]}}]", "tag", "one", "share", "path",
                              json_sprintf("%s/in", top), "tag", "several", "share", "directories", "name", "a", "path",
                              json_sprintf("%s/in", top), "name", "b", "path", json_sprintf("%s/gone", top));
    check(watch.devices != NULL);
    watch.fan_fd = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
}

static void look_at(const struct folder *f)
{
    char link[64], path[PATH_MAX], below[80];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", f->fd);
    n = readlink(link, path, sizeof(path) - 1);
    check(n > 0);
    path[n] = '\0';
    snprintf(below, sizeof(below), "%s/in", top);
    check(!strncmp(path, below, strlen(below)) && (!path[strlen(below)] || path[strlen(below)] == '/'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int before, after;

    if (!top[0])
        set_up();
    before = dup(0);
    close(before);
    for (bool ok = true; ok && size;) {
        size_t n = size < sizeof(watch.in) - watch.in_len ? size : sizeof(watch.in) - watch.in_len;

        memcpy(watch.in + watch.in_len, data, n);
        watch.in_len += n;
        data += n;
        size -= n;
        ok = take_records(&watch);
        check(watch.count <= watch.max);
        for (unsigned i = 0; i < watch.count; i++)
            look_at(&watch.folder[i]);
    }
    while (watch.count)
        drop(&watch, watch.count - 1);
    watch.in_len = 0;
    after = dup(0);
    close(after);
    check(before == after); /* nothing stays open */
    return 0;
}
