/* SPDX-License-Identifier: MIT */
#include "run_vnc.h"

#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "vnc/vnc_server.h"

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

/* The first line of a file; NULL and err. */
static char *read_password(const char *path, struct vz_error *err)
{
    size_t len;
    char *text = cli_read_file(path, &len, err);

    if (text)
        text[strcspn(text, "\r\n")] = '\0';
    return text;
}

bool run_vnc_start(const struct given *given, struct vz_machine *m, struct vnc_server **ret)
{
    const struct given *vnc = opts_given(given, "vnc"), *file = opts_given(given, "vnc-password-file");
    struct vz_error err;
    char *password = NULL, url[VNC_URL_MAX];

    *ret = NULL;
    if (!vnc)
        return true;
    if (!file || (password = read_password(file->value, &err))) {
        const struct vnc_options o = {.machine = m, .address = vnc->value, .password = password};

        *ret = vnc_server_new(&o, &err);
    }
    if (*ret) {
        vnc_server_url(*ret, url);
        fprintf(stderr, "vz: VNC at %s, password %s; in a browser %s\r\n", vnc_server_address(*ret),
                file ? "as in the file" : vnc_server_password(*ret), url);
    } else {
        cli_error("%s", err.text);
    }
    if (password)
        explicit_bzero(password, strlen(password));
    free(password);
    return *ret;
}
