/* SPDX-License-Identifier: MIT */
/* The wishes of `vz create` for an image that has cloud-init: they become user-data in the
 * machine's folder, of which the machine has a seed disk, with the guest's agent in them. */
#include "create/create.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include <vz/vz.h>

#include "bundle/identity.h"
#include "create/helper_file.h"
#include "failure.h"

#define HEADER   "#cloud-config\n"
#define KEYS_MAX 64u

/* ---- What was said -------------------------------------------------------------------------- */

struct wishes {
    struct vz_provisioning_options o;
    char host[BUNDLE_NAME_MAX + 1];
    char *key_text, *package_text, *script, *password; /* cut up */
    const char *keys[KEYS_MAX + 1], *packages[KEYS_MAX + 1];
};

/* Words of text between separators, which are overwritten. */
static void cut(char *text, const char *separators, const char *ret[KEYS_MAX + 1])
{
    unsigned n = 0;
    char *rest = NULL;

    for (char *w = text ? strtok_r(text, separators, &rest) : NULL; w && n < KEYS_MAX;
         w = strtok_r(NULL, separators, &rest))
        ret[n++] = w;
    ret[n] = NULL;
}

static bool load(const char *option, const char *path, char **ret, struct vz_error *err)
{
    size_t len;

    *ret = path ? cli_read_file(path, &len, err) : NULL;
    return !path || *ret || fail_false(err, err->code, "--%s: %.200s", option, err->text);
}

static bool read_wishes(const struct bundle *draft, const struct args *a, struct wishes *w,
                        struct vz_error *err)
{
    const char *packages = args_value(a, "packages"), *host = args_value(a, "hostname");

    *w = (struct wishes){.o = VZ_PROVISIONING_OPTIONS_INIT};
    if (!load("ssh-key", args_value(a, "ssh-key"), &w->key_text, err) ||
        !load("script", args_value(a, "script"), &w->script, err) ||
        !load("password-file", args_value(a, "password-file"), &w->password, err))
        return false;
    w->package_text = packages ? strdup(packages) : NULL;
    cut(w->key_text, "\n", w->keys);
    cut(w->package_text, ",", w->packages);
    if (w->password)
        w->password[strcspn(w->password, "\n")] = '\0';
    identity_host_name(draft->name, w->host);
    w->o.username = args_value(a, "user");
    w->o.hostname = host ? host : w->host[0] ? w->host : NULL;
    w->o.password = w->password;
    w->o.ssh_keys = w->keys;
    w->o.packages = w->packages;
    w->o.script = w->script;
    w->o.enables_remote_login = w->keys[0] != NULL;
    return true;
}

static void free_wishes(struct wishes *w)
{
    free(w->key_text);
    free(w->package_text);
    free(w->script);
    if (w->password)
        explicit_bzero(w->password, strlen(w->password));
    free(w->password);
}

/* By options, or by a file. Text for free(), or NULL and err. */
static char *user_data(const struct bundle *draft, const struct args *a, struct vz_error *err)
{
    const char *file = args_value(a, "provision");
    struct wishes w = {.key_text = NULL};
    char *form = NULL, *text = NULL;
    size_t len = 0;

    if (file) {
        form = cli_read_file(file, &len, err);
        text = form ? vz_provisioning_user_data_from_json(form, len, err) : NULL;
        free(form);
        if (!text)
            fail(err, err->code, "--provision: %.200s", err->text);
        return text;
    }
    if (read_wishes(draft, a, &w, err))
        text = vz_provisioning_user_data(&w.o, err);
    free_wishes(&w);
    return text;
}

/* ---- The agent ------------------------------------------------------------------------------ */

static char *base64(const unsigned char *data, size_t len)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((len + 2) / 3 * 4 + 1), *to = text;

    for (size_t i = 0; text && i < len; i += 3) {
        size_t left = len - i;
        unsigned v = (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) |
                     (left > 2 ? data[i + 2] : 0);

        *to++ = digit[v >> 18];
        *to++ = digit[v >> 12 & 63];
        *to++ = left > 1 ? digit[v >> 6 & 63] : '=';
        *to++ = left > 2 ? digit[v & 63] : '=';
    }
    if (text)
        *to = '\0';
    return text;
}

/* As gzip has it. */
static unsigned char *deflated(const char *data, size_t len, size_t *ret_len)
{
    z_stream z = {.next_in = (unsigned char *)data, .avail_in = (unsigned)len};
    unsigned char *out;

    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return NULL;
    z.avail_out = (unsigned)deflateBound(&z, len);
    out = z.next_out = malloc(z.avail_out);
    if (out && deflate(&z, Z_FINISH) != Z_STREAM_END) {
        free(out);
        out = NULL;
    }
    *ret_len = z.total_out;
    deflateEnd(&z);
    return out;
}

static bool add_file(json_t *files, const struct helper_place *place, const char *path,
                     const char *mode, struct vz_error *err)
{
    char *from = helper_file(place, err), *data, *text;
    size_t len = 0, packed_len = 0;
    unsigned char *packed;
    bool ok;

    data = from ? cli_read_file(from, &len, err) : NULL;
    free(from);
    if (!data)
        return false;
    packed = deflated(data, len, &packed_len);
    text = packed ? base64(packed, packed_len) : NULL;
    ok = text && json_array_append_new(files, json_pack("{s:s, s:s, s:s, s:s}", "path", path,
                                                        "content", text, "encoding", "gz+b64",
                                                        "permissions", mode)) == 0;
    free(data);
    free(packed);
    free(text);
    return ok || fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* The array of that name, which is there then. */
static json_t *list_in(json_t *config, const char *name)
{
    json_t *list = json_object_get(config, name);

    if (!list) {
        list = json_array();
        json_object_set_new(config, name, list);
    }
    return list;
}

#define AGENT "/var/lib/vz/vz-agent"

/* First of what is run: a script may take its time. A clone's first start does it again, when the agent runs already: its file
 * is replaced, not written. */
static bool add_agent(json_t *config, struct vz_error *err)
{
    json_t *files = list_in(config, "write_files");

    return add_file(files, &helper_agent, AGENT, "0755", err) &&
           add_file(files, &helper_agent_unit, "/etc/systemd/system/vz-agent.service", "0644",
                    err) &&
           json_array_insert_new(
               list_in(config, "runcmd"), 0,
               json_pack("[s, s, s]", "sh", "-c",
                                           "install -m 755 " AGENT " /usr/sbin/vz-agent && systemctl enable --now vz-agent")) == 0;
}

bool seed_make(const struct bundle *draft, const struct args *a, bool has_agent, struct vz_error *err)
{
    char *text = user_data(draft, a, err), *body = NULL, *whole = NULL;
    json_t *config =
        text ? json_loads(text + strlen(HEADER), 0, NULL) : NULL; /* the library's is JSON */
    bool ok = config && (has_agent || add_agent(config, err));

    if (ok && (!(body = json_dumps(config, JSON_INDENT(2))) ||
               asprintf(&whole, HEADER "%s\n", body) < 0)) {
        whole = NULL;
        ok = fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    ok = ok && bundle_write(draft, CREATE_SEED, whole, strlen(whole), err) ==
                   0; /* mode 0600: a password may be in it */
    free(text);
    free(body);
    free(whole);
    json_decref(config);
    return ok;
}
