/* SPDX-License-Identifier: MIT */
/* A machine's configuration in its folder: the library's JSON. */
#include "bundle/bundle.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/config.h>

#include "bundle/config_json.h"
#include "failure.h"

struct vz_config *bundle_config(const struct bundle *b, struct vz_error *err)
{
    struct vz_error why;
    struct vz_config *config;
    size_t len;
    char *text = bundle_read(b, BUNDLE_CONFIG, &len, err);

    if (!text)
        return NULL;
    config = vz_config_from_json(text, len, &why);
    if (!config)
        fail(err, why.code, "%s: " BUNDLE_CONFIG ": %.150s", b->name, why.text);
    free(text);
    return config;
}

int bundle_set_config(const struct bundle *b, const struct vz_config *config, struct vz_error *err)
{
    char *text = vz_config_to_json(config, err), *line;
    int result = -1;
    size_t len;

    if (!text)
        return -1;
    len = strlen(text);
    line = realloc(text, len + 2);
    if (!line) {
        free(text);
        return fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    memcpy(line + len, "\n", 2);
    result = bundle_write(b, BUNDLE_CONFIG, line, len + 1, err);
    free(line);
    return result;
}

int bundle_enter(const struct bundle *b, struct vz_error *err)
{
    return fchdir(b->fd) == 0 ? 0 : fail_errno(err, b->path);
}

json_t *bundle_config_as_is(const struct bundle *b, struct vz_error *err)
{
    struct vz_config *config = bundle_config(b, err);
    json_t *json = config ? config_json(config, err) : NULL;

    vz_config_unref(config);
    return json;
}

json_t *bundle_config_json(const struct bundle *b, struct vz_error *err)
{
    struct vz_config *file = bundle_config(b, err);
    struct vz_config *config = file ? config_absolute(file, b->path, NULL, err) : NULL;
    json_t *json = config ? config_json(config, err) : NULL;

    vz_config_unref(config);
    vz_config_unref(file);
    return json;
}
