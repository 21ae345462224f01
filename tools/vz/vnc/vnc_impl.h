/* SPDX-License-Identifier: MIT */
/* The VNC server from the inside: who listens (vnc_server.c), what a connection begins with (vnc_front.c), the page
 * (vnc_page.c), and a client (vnc_client.c). */
#ifndef VZ_TOOLS_VNC_IMPL_H
#define VZ_TOOLS_VNC_IMPL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vnc/vnc_server.h"

#define VNC_CONNECTIONS_MAX 48u /* a browser has several at once, for the page's files */
#define VNC_TOKEN_LEN 32u /* hexadecimal digits: 128 bits */

struct vnc_connection {
    struct vnc_server *server; /* NULL: free */
    pthread_t thread;
    int fd;      /* -1: closed. server->lock */
    bool over;   /* the thread is about to end, and to be joined. server->lock */
};

struct vnc_server {
    /* Constant. */
    int wants;
    struct vnc_tls *tls; /* NULL: in plain */
    char address[80], name[64];
    char password[VNC_PASSWORD_MAX + 1], cookie[VNC_TOKEN_LEN + 1];
    unsigned port;
    int listen_fd, stop_fd; /* stop_fd becomes readable for good when all is to end */
    bool serves; /* there is the thread */
    pthread_t thread;
    pthread_mutex_t wants_lock; /* one asks at a time, and hears the answer */
    pthread_mutex_t lock;
    char token[VNC_TOKEN_LEN + 1]; /* lock, as the next */
    bool redeemed;
    struct vnc_clipboard *focus; /* of the client that typed or pointed last. lock */
    unsigned clients; /* that are served now: a bit each. lock */
    int64_t browsed_ms; /* when a browser last had business here, of CLOCK_MONOTONIC; 0: never. lock */
    struct vnc_connection connection[VNC_CONNECTIONS_MAX];
};

/* What is on the other end: read, but left there for the library where it is a client's. */
enum vnc_kind { VNC_NOBODY, VNC_RFB, VNC_WEBSOCKET };
/* Within a time limit; files of the page are served here. Blocks, but hears stop_fd. */
enum vnc_kind vnc_front(struct vnc_server *s, int fd);
/* The same of what is known to be a browser. */
enum vnc_kind vnc_front_browser(struct vnc_server *s, int fd);

/* Serve a client until it goes, or all is to end. channel: of the machine's display, or -1. Both are closed in any case. */
void vnc_client_serve(struct vnc_server *s, int fd, int channel, bool websocket);

/* A browser has got something, or lost its connection and is about to make another one. */
void vnc_note_browser(struct vnc_server *s);
/* Who says nothing for so long is a VNC client. */
int vnc_silence_ms(struct vnc_server *s);

/* Wait until fd is readable, at most so long. False: it is not, or all is to end. */
bool vnc_wait(const struct vnc_server *s, int fd, int timeout_ms);

#endif
