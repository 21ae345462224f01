/* SPDX-License-Identifier: MIT */
/* GnuTLS, loaded when the first server is to speak TLS: vz starts without it. */
#ifndef VZ_TOOLS_VNC_GNUTLS_H
#define VZ_TOOLS_VNC_GNUTLS_H

#include <stdbool.h>

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

struct vz_error;

#define GNUTLS_FUNCTIONS(X)                                                                                            \
    X(gnutls_certificate_allocate_credentials) X(gnutls_certificate_free_credentials)                                  \
    X(gnutls_certificate_set_x509_key_file) X(gnutls_certificate_get_crt_raw) X(gnutls_fingerprint) X(gnutls_init)     \
    X(gnutls_deinit) X(gnutls_priority_set_direct) X(gnutls_credentials_set) X(gnutls_transport_set_int2)              \
    X(gnutls_handshake) X(gnutls_record_recv) X(gnutls_record_send) X(gnutls_record_check_pending)                     \
    X(gnutls_record_get_direction) X(gnutls_bye) X(gnutls_strerror) X(gnutls_x509_privkey_init)                        \
    X(gnutls_x509_privkey_deinit) X(gnutls_x509_privkey_generate) X(gnutls_x509_privkey_export2)                       \
    X(gnutls_x509_crt_init) X(gnutls_x509_crt_deinit) X(gnutls_x509_crt_set_version) X(gnutls_x509_crt_set_serial)     \
    X(gnutls_x509_crt_set_activation_time) X(gnutls_x509_crt_set_expiration_time) X(gnutls_x509_crt_set_dn_by_oid)     \
    X(gnutls_x509_crt_set_subject_alt_name) X(gnutls_x509_crt_set_basic_constraints) X(gnutls_x509_crt_set_key_usage)  \
    X(gnutls_x509_crt_set_key_purpose_oid) X(gnutls_x509_crt_set_key) X(gnutls_x509_crt_sign2)                         \
    X(gnutls_x509_crt_export2)

struct gnutls_library {
#define X(name) __typeof__(&name) name;
    GNUTLS_FUNCTIONS(X)
#undef X
};

extern struct gnutls_library tls;

/* Before anything of it. The main thread. False and err: it is not there. */
bool vnc_gnutls_load(struct vz_error *err);

#endif
