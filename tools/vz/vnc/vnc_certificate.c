/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "failure.h"
#include "make_folders.h"
#include "vnc/vnc_gnutls.h"
#include "write_all.h"

#define DAY_S   86400
#define YEARS   10
#define CURVE_P256 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1)

/* $XDG_DATA_HOME/vz/vnc.pem, or that of ~/.local/share; its folders are made. */
static char *own_path(struct vz_error *err)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int r = data && data[0] == '/' ? asprintf(&path, "%s/vz/vnc.pem", data)
            : home && home[0] == '/' ? asprintf(&path, "%s/.local/share/vz/vnc.pem", home) : -1;

    if (r < 0) {
        fail(err, VZ_ERROR_INVALID, "VNC: no folder for a certificate: neither XDG_DATA_HOME nor HOME is set");
        return NULL;
    }
    (void)make_parents(path); /* what is wrong with them is heard by who writes there */
    return path;
}

/* For clients on this host by any of its names, and on others by its name there. */
static int name_it(gnutls_x509_crt_t crt)
{
    static const unsigned char v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
    char host[256] = "localhost";
    int r;

    gethostname(host, sizeof(host) - 1);
    r = tls.gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, host, (unsigned)strnlen(host, 64));
    if (r >= 0)
        r = tls.gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, host, (unsigned)strlen(host),
                                                     GNUTLS_FSAN_SET);
    if (r >= 0 && strcmp(host, "localhost") != 0)
        r = tls.gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, "localhost", 9, GNUTLS_FSAN_APPEND);
    if (r >= 0)
        r = tls.gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v4, 4, GNUTLS_FSAN_APPEND);
    return r < 0 ? r : tls.gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, v6, 16, GNUTLS_FSAN_APPEND);
}

static int fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key)
{
    unsigned char serial[16];
    time_t now = time(NULL);
    int r;

    if (getrandom(serial, sizeof(serial), 0) != (ssize_t)sizeof(serial))
        return GNUTLS_E_RANDOM_FAILED;
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 1); /* a positive number, of all its bytes */
    r = tls.gnutls_x509_crt_set_version(crt, 3);
    r = r < 0 ? r : tls.gnutls_x509_crt_set_serial(crt, serial, sizeof(serial));
    r = r < 0 ? r : tls.gnutls_x509_crt_set_activation_time(crt, now - DAY_S);
    r = r < 0 ? r : tls.gnutls_x509_crt_set_expiration_time(crt, now + (time_t)YEARS * 365 * DAY_S);
    r = r < 0 ? r : name_it(crt);
    r = r < 0 ? r : tls.gnutls_x509_crt_set_basic_constraints(crt, 0, -1);
    r = r < 0 ? r : tls.gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_DIGITAL_SIGNATURE);
    r = r < 0 ? r : tls.gnutls_x509_crt_set_key_purpose_oid(crt, GNUTLS_KP_TLS_WWW_SERVER, 0);
    r = r < 0 ? r : tls.gnutls_x509_crt_set_key(crt, key);
    return r < 0 ? r : tls.gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0);
}

/* Key and certificate as text; the caller's, for free(). */
static int make(gnutls_x509_privkey_t key, gnutls_x509_crt_t crt, gnutls_datum_t ret[2])
{
    int r = tls.gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, CURVE_P256, 0);

    r = r < 0 ? r : fill(crt, key);
    r = r < 0 ? r : tls.gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &ret[0]);
    return r < 0 ? r : tls.gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &ret[1]);
}

/* All of it or nothing, under a name that another process is not making just now. */
static bool keep(const char *path, const gnutls_datum_t text[2], struct vz_error *err)
{
    char *new = NULL;
    int fd = asprintf(&new, "%s.XXXXXX", path) < 0 ? -1 : mkostemp(new, O_CLOEXEC);
    bool ok = fd >= 0 && write_all(fd, text[0].data, text[0].size) && write_all(fd, text[1].data, text[1].size) &&
              fsync(fd) == 0 && (link(new, path) == 0 || errno == EEXIST);

    if (!ok)
        fail(err, VZ_ERROR_IO, "VNC: a certificate cannot be kept as %.200s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
        unlink(new);
    }
    free(new);
    return ok;
}

static bool make_and_keep(const char *path, struct vz_error *err)
{
    gnutls_datum_t text[2] = {{NULL, 0}, {NULL, 0}};
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t crt = NULL;
    int r = tls.gnutls_x509_privkey_init(&key);
    bool ok;

    r = r < 0 ? r : tls.gnutls_x509_crt_init(&crt);
    r = r < 0 ? r : make(key, crt, text);
    if (r < 0)
        fail(err, VZ_ERROR_INTERNAL, "VNC: a certificate cannot be made: %s", tls.gnutls_strerror(r));
    ok = r >= 0 && keep(path, text, err);
    if (text[0].data)
        explicit_bzero(text[0].data, text[0].size);
    free(text[0].data);
    free(text[1].data);
    if (crt)
        tls.gnutls_x509_crt_deinit(crt);
    if (key)
        tls.gnutls_x509_privkey_deinit(key);
    return ok;
}

char *vnc_certificate_own(struct vz_error *err)
{
    char *path = own_path(err);

    if (!path || access(path, F_OK) == 0 || make_and_keep(path, err))
        return path;
    free(path);
    return NULL;
}
