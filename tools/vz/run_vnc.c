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

bool run_vnc_start(const struct given *given, struct vz_machine *m, struct vnc_server **ret)
{
    const struct given *vnc = opts_given(given, "vnc"), *file = opts_given(given, "vnc-password-file");
    const struct given *tls = opts_given(given, "vnc-tls");
    char *password = NULL, url[VNC_URL_MAX], *certificate = NULL, *key = NULL;
    struct vz_error err;

    *ret = NULL;
    if (!vnc)
        return true;
    if (!take_certificate(tls ? tls->value : NULL, &certificate, &key))
        return false;
    if (!file || (password = read_password(file->value, &err))) {
        const struct vnc_options o = {.machine = m, .address = vnc->value, .password = password, .tls = tls,
                                     .certificate = certificate, .key = key};

        *ret = vnc_server_new(&o, &err);
    }
    if (*ret) {
        vnc_server_url(*ret, !file, url);
        fprintf(stderr, "vz: VNC at %s, password %s; in a browser %s\r\n", vnc_server_address(*ret),
                file ? "as in the file" : vnc_server_password(*ret), url);
        explicit_bzero(url, sizeof(url));
        if (tls)
            fprintf(stderr, "vz: VNC by TLS, with the certificate %s\r\n", vnc_server_fingerprint(*ret));
    } else {
        cli_error("%s", err.text);
    }
    if (password)
        explicit_bzero(password, strlen(password));
    free(password);
    free(certificate);
    return *ret;
}
