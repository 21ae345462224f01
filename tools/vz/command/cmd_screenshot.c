/* SPDX-License-Identifier: MIT */
/* `vz screenshot MACHINE [FILE]`: what the machine's display shows, as a PNG file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "command/png_file.h"
#include "control/client.h"

static const struct opt screenshot_options[] = {
    {"display", 0, OPT_ALWAYS, "N", "Options", "which display of the machine, from 0 (default 0)", NULL, 1},
    {.name = NULL}};

/* The picture; NULL after cli_error(). ret_len: for munmap(). */
static const uint8_t *map_picture(const struct bundle *b, int fd, uint32_t width, uint32_t height, size_t *ret_len)
{
    struct stat st;
    uint8_t *map = MAP_FAILED;

    *ret_len = (size_t)width * height * 4;
    if (fd >= 0 && *ret_len && fstat(fd, &st) == 0 && (uint64_t)st.st_size >= *ret_len)
        map = mmap(NULL, *ret_len, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED)
        return map;
    cli_error("%s: its process has sent no picture", b->name);
    return NULL;
}

static bool write_picture(const uint8_t *pixels, uint32_t width, uint32_t height, const char *path)
{
    FILE *to = strcmp(path, "-") ? fopen(path, "we") : stdout;
    bool ok;

    if (!to) {
        cli_error("%s: %s", path, strerror(errno));
        return false;
    }
    ok = png_write_file(to, path, pixels, width, height);
    if (to != stdout && fclose(to) != 0 && ok) {
        cli_error("%s: %s", path, strerror(errno));
        ok = false;
    }
    return ok;
}

static bool save_picture(const struct bundle *b, json_t *result, int fd, const char *path)
{
    uint32_t width = (uint32_t)json_integer_value(json_object_get(result, "width"));
    uint32_t height = (uint32_t)json_integer_value(json_object_get(result, "height"));
    size_t len;
    const uint8_t *pixels = map_picture(b, fd, width, height, &len);
    bool ok = pixels && write_picture(pixels, width, height, path);

    if (pixels)
        munmap((void *)(uintptr_t)pixels, len);
    return ok;
}

static bool screenshot(struct bundle *b, const struct args *a)
{
    const char *display = args_value(a, "display");
    struct vz_error err = {.text = ""};
    char path[512];
    int fd = -1;
    json_t *result = client_ask(b, "screen", json_pack("{s:I}", "display", (json_int_t)(display ? atoi(display) : 0)),
                                &fd, &err);
    bool ok;

    if (!result) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    snprintf(path, sizeof(path), "%s.png", b->name);
    ok = save_picture(b, result, fd, a->count > 1 ? a->word[1] : path);
    json_decref(result);
    if (fd >= 0)
        close(fd);
    return ok;
}

static int screenshot_main(int argc, char **argv)
{
    return machine_one(&screenshot_command, argc, argv, 1, 2, screenshot);
}

const struct command screenshot_command = {
    "screenshot", screenshot_main, NULL, screenshot_options, "write what a running machine's display shows to a PNG file",
    NULL, "MACHINE [FILE.png]",
    "Without a file it becomes MACHINE.png here; - is standard output. The pointer is not in it where the guest leaves it to the "
    "display to draw it. A display that shows nothing is black."};
