/* SPDX-License-Identifier: MIT */
/* TLS in front of a VNC server whose library has none for servers: connections are taken here, what is said in them is
 * passed on in plain, over a pair of sockets, and back. Browsers speak TLS at once; VNC clients agree on it first
 * (VeNCrypt 0.2, X509Vnc), and give the password inside. */
#ifndef VZ_TOOLS_VNC_TLS_H
#define VZ_TOOLS_VNC_TLS_H

#include <stdbool.h>

struct vnc_server;
struct vnc_tls;
struct vnc_tunnel;
struct vz_error;

#define VNC_FINGERPRINT_MAX 96

/* certificate, key: PEM files; NULL, NULL: one of this user's own, made when there is none yet. NULL and err. The main
 * thread. */
struct vnc_tls *vnc_tls_new(const char *certificate, const char *key, struct vz_error *err);
void vnc_tls_free(struct vnc_tls *t); /* NULL is fine */
/* SHA-256 of the certificate: "12:34:...". */
const char *vnc_tls_fingerprint(const struct vnc_tls *t);

/* Agree on TLS with who has connected. fd: taken in any case. *ret_plain: where the server finds what is said, the
 * caller's; *ret_browser: by a browser, and no VNC client. NULL: it is none of ours. Blocks for some seconds, but hears
 * the server's stop_fd. */
struct vnc_tunnel *vnc_tls_open(struct vnc_tls *t, struct vnc_server *s, int fd, int *ret_plain,
                                bool *ret_browser);
/* When *ret_plain has been closed. */
void vnc_tunnel_close(struct vnc_tunnel *t);

#endif
