/* SPDX-License-Identifier: MIT */
/* --sandbox: what a machine's threads give up, and where it may still make files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "cli.h"

static const struct {
    const char *word;
    enum vz_sandbox mode;
} words[] = {{"off", VZ_SANDBOX_NONE}, {"on", VZ_SANDBOX_PROCESS}, {"log", VZ_SANDBOX_LOG}};

static bool mode_of(const char *value, const char *from, enum vz_sandbox *ret)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(words[i].word, value)) {
            *ret = words[i].mode;
            return true;
        }
    }
    cli_error("%s '%s': expected on, off or log", from, value);
    return false;
}

/* The folder of a file. */
static const char *folder_of(const char *path, struct sandbox_folders *ret)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return ".";
    snprintf(ret->own, sizeof(ret->own), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return ret->own;
}

bool run_sandbox(const char *value, const char *path, struct sandbox_folders *ret_folder, struct vz_machine_options *o)
{
    const char *given = value ? value : getenv("VZ_SANDBOX");

    *ret_folder = (struct sandbox_folders){.list = {NULL}};
    if (given && *given && !mode_of(given, value ? "--sandbox" : "VZ_SANDBOX", &o->sandbox))
        return false;
    if (path)
        ret_folder->list[0] = folder_of(path, ret_folder);
    o->sandbox_folders = ret_folder->list;
    return true;
}
