/* SPDX-License-Identifier: MIT */
#include "run_vnc.h"

#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "vnc_process.h"

/* A device by the option of that name, where the configuration has none in its list. */
static bool add_where_none(struct vz_config *config, const char *list, const char *option)
{
    char *there = vz_config_get(config, list, NULL);
    bool none = !there || !strcmp(there, "[]");
    struct vz_error err;

    free(there);
    if (!none || vz_config_add(config, option, NULL, &err) >= 0)
        return true;
    cli_error("%s", err.text);
    return false;
}

bool run_vnc_prepare(const struct given *given, struct vz_config *config)
{
    return (!opts_given(given, "vnc") && !opts_given(given, "view")) ||
           (add_where_none(config, "graphicsDevices", "display") &&
            add_where_none(config, "keyboards", "keyboard") &&
            add_where_none(config, "pointingDevices", "pointer"));
}

/* "CERTIFICATE,KEY"; without a key it is in the same file. *ret_certificate: for free(), and *ret_key is a part of it.
 * False after cli_error(). */
static bool take_certificate(const char *value, char **ret_certificate, char **ret_key)
{
    char *comma;

    if (!value)
        return true;
    *ret_certificate = strdup(value);
    if (!*ret_certificate) {
        cli_error("out of memory");
        return false;
    }
    comma = strchr(*ret_certificate, ',');
    *ret_key = comma ? comma + 1 : *ret_certificate;
    if (comma)
        *comma = '\0';
    return true;
}

bool run_vnc_start(const struct given *given, struct vz_machine *m, const char *name, struct vnc_process **ret)
{
    const struct given *vnc = opts_given(given, "vnc"), *file = opts_given(given, "vnc-password-file");
    const struct given *tls = opts_given(given, "vnc-tls");
    struct vnc_process_options o = {.machine = m, .name = name, .listens = true, .tls = tls};
    char *certificate = NULL, *key = NULL;
    struct vz_error err;

    *ret = NULL;
    if (!vnc)
        return true;
    if (!take_certificate(tls ? tls->value : NULL, &certificate, &key))
        return false;
    o.address = vnc->value;
    o.password_file = file ? file->value : NULL;
    o.certificate = certificate;
    o.key = key;
    *ret = vnc_process_new(&o, &err);
    if (!*ret)
        cli_error("%s", err.text);
    free(certificate);
    return *ret;
}
