/* SPDX-License-Identifier: MIT */
/* The JSON form of a configuration: docs/config-json.md. */
#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "config/objects.h"
#include "config/schema_json.h"

struct vz_config *vz_config_from_json(const char *text, size_t len, struct vz_error *err)
{
    struct vz_config *c;
    json_error_t where;
    json_t *root;

    if (!options_given(text, "text", err))
        return NULL;
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "line %d, column %d: %s", where.line,
                  where.column, where.text);
        return NULL;
    }
    c = schema_read(&config_machine_type, root, err);
    vz_config_set_stdio(c, STDIN_FILENO, STDOUT_FILENO);
    json_decref(root);
    return c;
}

char *vz_config_to_json(const struct vz_config *c, struct vz_error *err)
{
    json_t *root = c ? schema_write(&config_machine_type, c) : NULL;
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;

    json_decref(root);
    if (!text) /* without c: as without memory */
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY,
                  "no memory, or a string that is not UTF-8, for the JSON form");
    return text;
}
