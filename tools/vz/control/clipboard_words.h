/* SPDX-License-Identifier: MIT */
/* What selections and types of content are called. */
#ifndef VZ_TOOLS_CLIPBOARD_WORDS_H
#define VZ_TOOLS_CLIPBOARD_WORDS_H

#include <string.h>

#include <vz/clipboard.h>

#define CLIPBOARD_TYPES "text, png, bmp, tiff or jpeg"

static inline const char *clipboard_type_name(unsigned type)
{
    static const char *const names[] = {"", "text", "png", "bmp", "tiff", "jpeg"};

    return names[type];
}

static inline bool clipboard_type(const char *name, enum vz_clipboard_type *ret)
{
    for (unsigned type = VZ_CLIPBOARD_TEXT; type <= VZ_CLIPBOARD_JPEG; type++) {
        if (!strcmp(name, clipboard_type_name(type))) {
            *ret = (enum vz_clipboard_type)type;
            return true;
        }
    }
    return false;
}

static inline bool clipboard_selection(const char *name, enum vz_selection *ret)
{
    *ret = strcmp(name, "primary") ? VZ_SELECTION_CLIPBOARD : VZ_SELECTION_PRIMARY;
    return *ret == VZ_SELECTION_PRIMARY || !strcmp(name, "clipboard");
}

#endif
