/* SPDX-License-Identifier: MIT */
/* Addresses of NBD exports: they are taken or refused with a reason, and what is taken has all its parts in their
 * bounds. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include <vz/error.h>

#include "base/nbd_uri.h"

static const char *const seeds[] = {
    "nbd://example.org:10809/disk", "nbds://alice@[::1]:1/a%20b?tls-psk-file=/k&tls-verify-peer=false",
    "nbd+unix:///x?socket=/run/nbd.sock", "nbds+unix://?socket=s&tls-certificates=/pki"};

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    return fuzz_seed_of(seeds, sizeof(seeds) / sizeof(seeds[0]), index, ret, room);
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct vz_error err = {.text = ""};
    struct nbd_uri u;

    memcpy(text, data, size);
    text[size] = '\0';
    if (nbd_uri_parse(text, &u, &err) < 0) {
        check(err.text[0]);
    } else {
        check(nbd_uri_is(text) && (u.host[0] || u.socket[0]) && !(u.host[0] && u.socket[0]));
        check(strlen(u.export) <= NBD_EXPORT_MAX && strlen(u.host) < sizeof(u.host));
        check(u.socket[0] || (atoi(u.port) > 0 && atoi(u.port) < 65536));
        check(u.tls || (!u.user[0] && !u.psk_file[0] && !u.certificates[0]));
    }
    free(text);
    return 0;
}
