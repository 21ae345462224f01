/* SPDX-License-Identifier: MIT */
/* A machine's display for VNC clients, and for browsers by the noVNC page on the same port.
 *
 * Each client has a thread, and a channel to the display, of its own (vnc_client.c): who sends half a message, or does not
 * read, is alone with that. A client has to know the password; a browser, besides, the token of the address that is
 * handed out, which is good for one browser (vnc_front.c). */
#ifndef VZ_TOOLS_VNC_SERVER_H
#define VZ_TOOLS_VNC_SERVER_H

#include <stdbool.h>

struct vnc_server;
struct vz_error;

#define VNC_PASSWORD_MAX 8u /* what the protocol looks at */

struct vnc_options {
    int wants;                  /* by which it asks for channels (vnc_orders.h); outlives the server */
    const char *name;           /* that clients show, of the machine; NULL: vz */
    const char *address;        /* "[HOST:]PORT" or "[HOST]"; NULL: 127.0.0.1:5900, or the next port that is free */
    const char *password;       /* NULL: one is made up */
    bool tls;                   /* nothing goes in plain, */
    const char *certificate, *key; /* with these PEM files; NULL, NULL: of this user's own */
};

/* Listen. All that is ever opened is open then, but files of the page. NULL and err. */
struct vnc_server *vnc_server_new(const struct vnc_options *options, struct vz_error *err);
/* Serve from then on. False and err. */
bool vnc_server_start(struct vnc_server *s, struct vz_error *err);
/* All clients are hung up on. NULL is fine. */
void vnc_server_free(struct vnc_server *s);

/* "127.0.0.1:5900"; the password. The server's. */
const char *vnc_server_address(const struct vnc_server *s);
const char *vnc_server_password(const struct vnc_server *s);
/* SHA-256 of the certificate, "12:34:..."; NULL: without TLS. The server's. */
const char *vnc_server_fingerprint(const struct vnc_server *s);

#define VNC_URL_MAX 256
/* The page's whole address, with token and, if it is wanted, the password (behind #, which a browser does not send; it
 * asks for one that is not there). */
void vnc_server_url(struct vnc_server *s, bool password, char url[VNC_URL_MAX]);
/* Another token, for another browser; those that are in stay. False: no random numbers. */
bool vnc_server_renew(struct vnc_server *s);

#endif
