/* SPDX-License-Identifier: MIT */
/* What a connection begins with: a VNC client is silent until it is greeted; a browser asks for the page, or for its
 * WebSocket, and has to show that it may.
 *
 * The address that is handed out has a token, which is good for one browser: the one that fetches the page with it first. That
 * gets a cookie, by which it is known from then on, and which no other site's page can send along. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "now_ms.h"
#include "vnc/vnc_impl.h"
#include "vnc/vnc_page.h"

#define SILENCE_MS 250  /* of a VNC client, which waits to be greeted */
#define BROWSER_SILENCE_MS 3000 /* of a browser, which opens connections for what it is about to ask for, */
#define BROWSING_MS        5000 /* so long after it has had something */
#define REQUEST_MS 3000 /* to say the whole of it */
#define STEP_MS    10
#define REQUEST_MAX 4095u

struct request {
    char text[REQUEST_MAX + 1]; /* cut into lines, of which the first is cut into words */
    size_t len;
    const char *path;           /* without what stands behind "?" */
    const char *query;
    const char *host, *origin, *cookie;
    bool upgrade;
};

/* ---- Reading it ----------------------------------------------------------------------------- */

/* Look at what has come, and leave it there. False: it is no whole request in time. */
static bool peek(struct vnc_server *s, int fd, struct request *r)
{
    for (unsigned waited = 0; waited < REQUEST_MS; waited += STEP_MS) {
        ssize_t n = recv(fd, r->text, REQUEST_MAX, MSG_PEEK | MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        r->len = n > 0 ? (size_t)n : 0;
        r->text[r->len] = '\0';
        if (strncmp(r->text, "GET ", r->len < 4 ? r->len : 4) != 0)
            return false;
        if (strstr(r->text, "\r\n\r\n"))
            return true;
        if (r->len == REQUEST_MAX || poll(&(struct pollfd){.fd = s->stop_fd, .events = POLLIN}, 1, STEP_MS) > 0)
            return false;
    }
    return false;
}

static const char *value_of(char *line, const char *name)
{
    size_t len = strlen(name);

    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " \t");
}

static void parse_header(struct request *r, char *line)
{
    const char *v;

    if ((v = value_of(line, "Host")))
        r->host = v;
    else if ((v = value_of(line, "Origin")))
        r->origin = v;
    else if ((v = value_of(line, "Cookie")))
        r->cookie = v;
    else if ((v = value_of(line, "Upgrade")))
        r->upgrade = !strcasecmp(v, "websocket");
}

static bool parse(struct request *r)
{
    char *rest = r->text + 4, *line = strsep(&rest, "\r"), *path = strsep(&line, " ");

    if (!path || path[0] != '/' || !line || strncmp(line, "HTTP/1.", 7) != 0)
        return false;
    r->path = strsep(&path, "?");
    r->query = path ? path : "";
    while (rest && rest[0] == '\n' && rest[1] != '\r') {
        rest++;
        parse_header(r, strsep(&rest, "\r"));
    }
    return true;
}

/* ---- May it? -------------------------------------------------------------------------------- */

/* In a time that does not depend on where they differ. */
static bool same(const char *a, const char *b, size_t len)
{
    unsigned char differ = 0;

    for (size_t i = 0; i < len; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return !differ;
}

/* name: with its "=". Others may have set something of that name, too. */
static bool has(const char *list, const char *name, const char *secret)
{
    size_t len = strlen(name);

    for (const char *at = list ? strstr(list, name) : NULL; at; at = strstr(at + len, name)) {
        if (strlen(at) >= len + VNC_TOKEN_LEN && same(at + len, secret, VNC_TOKEN_LEN))
            return true;
    }
    return false;
}

#define COOKIE_NAME_MAX 16

/* Browsers keep cookies by host, whatever the port: other machines on this one have theirs. */
static void cookie_name(const struct vnc_server *s, char name[COOKIE_NAME_MAX])
{
    snprintf(name, COOKIE_NAME_MAX, "vz%u=", s->port);
}

static bool is_known(const struct vnc_server *s, const struct request *r)
{
    char name[COOKIE_NAME_MAX];

    cookie_name(s, name);
    return has(r->cookie, name, s->cookie);
}

/* Names that lead here whatever a name server says: a page of another site cannot pretend to be this one. */
static bool host_is_ours(const struct vnc_server *s, const char *host)
{
    char local[32];

    snprintf(local, sizeof(local), "localhost:%u", s->port);
    if (!host)
        return false;
    if (!strncmp(s->address, "0.0.0.0:", 8) || !strncmp(s->address, "[::]:", 5))
        return strspn(host, "0123456789.:[]abcdefABCDEF") == strlen(host) || !strcmp(host, local);
    return !strcmp(host, s->address) || !strcmp(host, local);
}

static bool origin_is_ours(const struct vnc_server *s, const struct request *r)
{
    const char *scheme = s->tls ? "https://" : "http://";
    size_t len = strlen(scheme);

    return r->origin && !strncmp(r->origin, scheme, len) && !strcmp(r->origin + len, r->host);
}

/* The first one with the token redeems it. */
static bool redeem(struct vnc_server *s, const struct request *r)
{
    bool ok;

    pthread_mutex_lock(&s->lock);
    ok = !s->redeemed && has(r->query, "token=", s->token);
    s->redeemed = s->redeemed || ok;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* ---- Answers -------------------------------------------------------------------------------- */

/* The line that makes a browser known from now on. */
static void write_cookie(const struct vnc_server *s, char line[128])
{
    char name[COOKIE_NAME_MAX];

    cookie_name(s, name);
    snprintf(line, 128, "Set-Cookie: %s%s; Path=/; HttpOnly; SameSite=Strict%s\r\n", name, s->cookie,
             s->tls ? "; Secure" : "");
}

void vnc_note_browser(struct vnc_server *s)
{
    pthread_mutex_lock(&s->lock);
    s->browsed_ms = now_ms();
    pthread_mutex_unlock(&s->lock);
}

static enum vnc_kind answer(struct vnc_server *s, int fd, struct request *r)
{
    char cookie[128] = "";
    bool known, page;

    if (!parse(r) || !host_is_ours(s, r->host)) {
        vnc_page_refuse(fd, "403 Forbidden");
        return VNC_NOBODY;
    }
    page = !strcmp(r->path, VNC_PAGE);
    known = is_known(s, r);
    if (r->upgrade && known && origin_is_ours(s, r) && !strcmp(r->path, "/websockify"))
        return VNC_WEBSOCKET;
    if (!r->upgrade && vnc_page_has(r->path) && (known || (page && redeem(s, r)))) {
        vnc_note_browser(s);
        if (!known)
            write_cookie(s, cookie);
        vnc_page_send(fd, r->path, cookie);
    } else {
        vnc_page_refuse(fd, "403 Forbidden");
    }
    return VNC_NOBODY;
}

/* A browser whose connection is greeted as a VNC client's takes that for the answer to what it asks then. */
int vnc_silence_ms(struct vnc_server *s)
{
    int64_t since;

    pthread_mutex_lock(&s->lock);
    since = s->browsed_ms ? now_ms() - s->browsed_ms : INT64_MAX;
    pthread_mutex_unlock(&s->lock);
    return since < BROWSING_MS ? BROWSER_SILENCE_MS : SILENCE_MS;
}

enum vnc_kind vnc_front(struct vnc_server *s, int fd)
{
    if (vnc_wait(s, fd, vnc_silence_ms(s)))
        return vnc_front_browser(s, fd);
    return poll(&(struct pollfd){.fd = s->stop_fd, .events = POLLIN}, 1, 0) > 0 ? VNC_NOBODY : VNC_RFB;
}

enum vnc_kind vnc_front_browser(struct vnc_server *s, int fd)
{
    struct timeval limit = {.tv_sec = REQUEST_MS / 1000};
    struct request r = {.len = 0};
    enum vnc_kind kind;
    char rest[REQUEST_MAX];

    if (!peek(s, fd, &r))
        return VNC_NOBODY;
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    kind = answer(s, fd, &r);
    if (kind == VNC_NOBODY && recv(fd, rest, sizeof(rest), MSG_DONTWAIT) > 0) /* else closing resets the connection */
        shutdown(fd, SHUT_WR);
    return kind;
}
