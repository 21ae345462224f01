/* SPDX-License-Identifier: MIT */
#include "command/png_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "cli.h"

static void to_rgb(uint8_t *to, const uint8_t *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[3 * i] = from[4 * i + 2];
        to[3 * i + 1] = from[4 * i + 1];
        to[3 * i + 2] = from[4 * i];
    }
}

bool png_write_file(FILE *to, const char *name, const uint8_t *pixels, uint32_t width, uint32_t height)
{
    png_image image = {.version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB};
    size_t count = (size_t)width * height;
    uint8_t *rgb = malloc(count ? 3 * count : 1);
    bool ok;

    if (!rgb)
        return cli_no_memory();
    to_rgb(rgb, pixels, count);
    ok = png_image_write_to_stdio(&image, to, 0, rgb, 0, NULL) != 0;
    free(rgb);
    if (!ok)
        cli_error("%s: %s", name, image.message);
    else if (fflush(to) != 0) {
        cli_error("%s: %s", name, strerror(errno));
        ok = false;
    }
    png_image_free(&image);
    return ok;
}
