/* SPDX-License-Identifier: MIT */
#include "block/nbd_places.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static int each(const char *const *path, size_t count, nbd_place_fn *fn, void *arg)
{
    int r = 0;

    for (size_t i = 0; !r && i < count; i++)
        r = fn(arg, path[i]);
    return r;
}

int nbd_places_of_names(nbd_place_fn *fn, void *arg)
{
    static const char *const path[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf",
                                       "/etc/host.conf", "/etc/services", "/run/systemd/resolve",
                                       "/run/resolvconf", "/run/NetworkManager/resolv.conf"};

    return each(path, ARRAY_SIZE(path), fn, arg);
}

/* Where libnbd looks when an address says nothing. */
static int usual(nbd_place_fn *fn, void *arg)
{
    static const char *const all[] = {"/etc/pki/libnbd", "/etc/ssl/certs", "/etc/pki/ca-trust", "/etc/ca-certificates",
                                      "/usr/share/ca-certificates", "/usr/share/pki", "/usr/share/p11-kit"}, *const own[] = {"/.pki/libnbd", "/.config/pki/libnbd"};
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    int r = each(all, ARRAY_SIZE(all), fn, arg);

    for (size_t i = 0; !r && home && i < ARRAY_SIZE(own); i++) {
        snprintf(path, sizeof(path), "%s%s", home, own[i]);
        r = fn(arg, path);
    }
    return r;
}

int nbd_places_of_server(const struct nbd_uri *uri, nbd_place_fn *fn, void *arg)
{
    const char *const path[] = {uri->certificates, uri->psk_file};
    int r = 0;

    if (!uri->tls)
        return 0;
    if (!path[0][0] && !path[1][0])
        return usual(fn, arg);
    for (size_t i = 0; !r && i < ARRAY_SIZE(path); i++)
        r = path[i][0] ? fn(arg, path[i]) : 0;
    return r;
}
