/* SPDX-License-Identifier: MIT */
#include "block/nbd_trust.h"

#include "base/late_library.h"

/* GnuTLS' own types are pointers; its headers are not wanted for this alone. */
static struct {
    int (*allocate)(void **ret);
    int (*trust_system)(void *credentials);
    void (*release)(void *credentials);
} gnutls;

static const char *const names[] = {"gnutls_certificate_allocate_credentials", "gnutls_certificate_set_x509_system_trust",
                                    "gnutls_certificate_free_credentials"};

static bool load(void)
{
    static struct late_library library = {.file = "libgnutls.so.30", /* which libnbd has, where it knows TLS */
                                          .needed = "TLS with NBD servers needs GnuTLS",
                                          .names = names,
                                          .functions = &gnutls,
                                          .count = ARRAY_SIZE(names),
                                          .lock = PTHREAD_MUTEX_INITIALIZER};

    return late_library_load(&library, NULL) == 0;
}

void nbd_trust_prepare(const struct nbd_uri *uri)
{
    void *credentials;

    if (!uri->tls || uri->certificates[0] || uri->psk_file[0] || uri->no_verify || !load() || gnutls.allocate(&credentials) < 0)
        return;
    (void)gnutls.trust_system(credentials);
    gnutls.release(credentials); /* modules stay */
}
