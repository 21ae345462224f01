/* SPDX-License-Identifier: MIT */
/* A certificate of this user's own, for VNC by TLS where none is given: made once, and kept. */
#ifndef VZ_TOOLS_VNC_CERTIFICATE_H
#define VZ_TOOLS_VNC_CERTIFICATE_H

struct vz_error;

/* The path of a file with it and its key, PEM, for free(); NULL and err. vnc_gnutls_load() first. */
char *vnc_certificate_own(struct vz_error *err);

#endif
