/* SPDX-License-Identifier: MIT */
#include "bundle/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "failure.h"

void identity_host_name(const char *name, char ret[BUNDLE_NAME_MAX + 1])
{
    size_t len;

    snprintf(ret, BUNDLE_NAME_MAX + 1, "%s", name);
    for (char *p = ret; *p; p++) {
        if (*p == '_' || *p == '.')
            *p = '-';
    }
    for (len = strlen(ret); len && ret[len - 1] == '-'; len--)
        ret[len - 1] = '\0';
}

int identity_ask(const struct bundle *b, const char *name, bool all, const char *macs, struct vz_error *err)
{
    char host[BUNDLE_NAME_MAX + 1];
    json_t *json;
    char *text;
    int r;

    identity_host_name(name, host);
    json = json_pack("{s:s, s:b, s:s*}", "hostname", host, "all", all, "macAddresses", macs);
    text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    r = text ? bundle_write(b, BUNDLE_IDENTITY, text, strlen(text), err)
             : fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    free(text);
    json_decref(json);
    return r;
}

bool identity_load(const struct bundle *b, struct identity *ret)
{
    size_t len = 0;
    char *text =
        bundle_has(b, BUNDLE_IDENTITY) ? bundle_read(b, BUNDLE_IDENTITY, &len, NULL) : NULL;
    json_t *json = text ? json_loadb(text, len, 0, NULL) : NULL;
    const char *host = json_string_value(json_object_get(json, "hostname"));
    const char *macs = json_string_value(json_object_get(json, "macAddresses"));
    bool is = json_is_object(json);

    if (is && ret) {
        ret->all = json_is_true(json_object_get(json, "all"));
        snprintf(ret->hostname, sizeof(ret->hostname), "%s", host ? host : "");
        snprintf(ret->macs, sizeof(ret->macs), "%s", macs ? macs : "");
    }
    json_decref(json);
    free(text);
    return is;
}

int identity_done(const struct bundle *b, struct vz_error *err)
{
    return bundle_remove_file(b, BUNDLE_IDENTITY, err);
}
