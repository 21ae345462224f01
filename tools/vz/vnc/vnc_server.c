/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/pass_fd.h"
#include "failure.h"
#include "vnc/vnc_impl.h"
#include "vnc/vnc_library.h"
#include "vnc/vnc_orders.h"
#include "vnc/vnc_tls.h"

#define PORT_FIRST 5900u
#define PORT_TRIES 100u

/* ---- Secrets -------------------------------------------------------------------------------- */

/* count characters of which each may be any; set has a power of two of them. */
static bool make_secret(char *to, size_t count, const char *set)
{
    uint8_t random[64];

    if (count > sizeof(random) || getrandom(random, count, 0) != (ssize_t)count)
        return false;
    for (size_t i = 0; i < count; i++)
        to[i] = set[random[i] % strlen(set)];
    to[count] = '\0';
    return true;
}

/* ---- Listening ------------------------------------------------------------------------------ */

static int try_address(const struct addrinfo *a)
{
    int on = 1, fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 16) == 0)
        return fd;
    close(fd);
    return -1;
}

/* "HOST:PORT", "[V6]:PORT", "PORT", "HOST" or NULL; *ret_port 0: none was said. False: too long. */
static bool split(const char *address, char host[64], unsigned *ret_port)
{
    const char *text = address ? address : "", *colon = strrchr(text, ':');
    bool number = text[0] && strspn(text, "0123456789") == strlen(text);
    const char *end = number ? text : colon && colon[strspn(colon + 1, "0123456789") + 1] == '\0' ? colon
                                                                                                    : text + strlen(text);

    if (text[0] == '[') {
        text++;
        end = strchr(text, ']');
        if (!end)
            return false;
        colon = end[1] == ':' ? end + 1 : NULL;
    }
    if ((size_t)(end - text) >= 64)
        return false;
    snprintf(host, 64, "%.*s", (int)(end - text), text);
    *ret_port = number ? (unsigned)atoi(text) : colon && *colon == ':' ? (unsigned)atoi(colon + 1) : 0;
    return *ret_port < 65536;
}

static int listen_at(const char *host, unsigned port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list;
    char service[16];
    int fd = -1;

    snprintf(service, sizeof(service), "%u", port);
    if (getaddrinfo(host[0] ? host : "127.0.0.1", service, &hints, &list) != 0)
        return -1;
    for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next)
        fd = try_address(a);
    freeaddrinfo(list);
    return fd;
}

static bool start_listening(struct vnc_server *s, const char *address, struct vz_error *err)
{
    char host[64];
    unsigned port, first;

    if (!split(address, host, &port))
        return fail_false(err, VZ_ERROR_INVALID, "VNC: '%.60s' is not [HOST:]PORT", address);
    first = port ? port : PORT_FIRST;
    for (unsigned i = 0; s->listen_fd < 0 && i < (port ? 1 : PORT_TRIES); i++) {
        s->port = first + i;
        s->listen_fd = listen_at(host, s->port);
    }
    if (s->listen_fd < 0)
        return fail_false(err, VZ_ERROR_NETWORK, "VNC: cannot listen at %s:%u: %s", host[0] ? host : "127.0.0.1", first,
                          strerror(errno));
    snprintf(s->address, sizeof(s->address), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host[0] ? host : "127.0.0.1",
             s->port);
    return true;
}

/* ---- Connections ---------------------------------------------------------------------------- */

bool vnc_wait(const struct vnc_server *s, int fd, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = s->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    return poll(p, 2, timeout_ms) > 0 && !p[0].revents;
}

/* A channel of the machine's display for a client; -1: there is none. One asks at a time, and hears the answer. */
static int open_channel(struct vnc_server *s, unsigned client)
{
    const struct vnc_wish w = {.kind = VNC_WISH_CHANNEL, .client = client};
    struct vnc_answer a;
    int fd = -1;

    pthread_mutex_lock(&s->wants_lock);
    if (pass_fd_send(s->wants, &w, sizeof(w), -1, 0) == (ssize_t)sizeof(w))
        (void)!pass_fd_receive(s->wants, &a, sizeof(a), &fd, 0);
    pthread_mutex_unlock(&s->wants_lock);
    return fd;
}

static void closed_channel(struct vnc_server *s, unsigned client)
{
    const struct vnc_wish w = {.kind = VNC_WISH_CLOSED, .client = client};

    (void)!pass_fd_send(s->wants, &w, sizeof(w), -1, 0); /* whoever has gone has closed it, too */
}

/* A number for one more; VNC_CLIENTS_MAX: there are as many as may be. */
static unsigned take_place(struct vnc_server *s)
{
    unsigned client = 0;

    pthread_mutex_lock(&s->lock);
    while (client < VNC_CLIENTS_MAX && s->clients >> client & 1)
        client++;
    if (client < VNC_CLIENTS_MAX)
        s->clients |= 1u << client;
    pthread_mutex_unlock(&s->lock);
    return client;
}

static void give_place(struct vnc_server *s, unsigned client)
{
    pthread_mutex_lock(&s->lock);
    s->clients &= ~(1u << client);
    pthread_mutex_unlock(&s->lock);
}

/* fd is closed. */
static void serve_as(struct vnc_server *s, int fd, enum vnc_kind kind)
{
    unsigned client = kind == VNC_NOBODY ? VNC_CLIENTS_MAX : take_place(s);

    if (client == VNC_CLIENTS_MAX) {
        close(fd);
        return;
    }
    vnc_client_serve(s, fd, open_channel(s, client), kind == VNC_WEBSOCKET);
    closed_channel(s, client);
    give_place(s, client);
    if (kind == VNC_WEBSOCKET)
        vnc_note_browser(s);
}

static void serve_tls(struct vnc_server *s, int fd)
{
    bool browser;
    int plain;
    struct vnc_tunnel *t = vnc_tls_open(s->tls, s, fd, &plain, &browser);

    if (!t)
        return;
    serve_as(s, plain, browser ? vnc_front_browser(s, plain) : VNC_RFB);
    vnc_tunnel_close(t);
}

static void *serve(void *arg)
{
    struct vnc_connection *c = arg;
    struct vnc_server *s = c->server;
    int fd = fcntl(c->fd, F_DUPFD_CLOEXEC, 0); /* whose closing is not ours; c->fd is what hang_up() may use */

    if (fd >= 0 && s->tls)
        serve_tls(s, fd);
    else if (fd >= 0)
        serve_as(s, fd, vnc_front(s, fd));
    pthread_mutex_lock(&s->lock);
    close(c->fd);
    c->fd = -1;
    c->over = true;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static void join(struct vnc_connection *c)
{
    pthread_join(c->thread, NULL);
    c->server = NULL;
}

/* A place for one more; NULL: there are as many as may be. */
static struct vnc_connection *find_place(struct vnc_server *s)
{
    for (unsigned i = 0; i < VNC_CONNECTIONS_MAX; i++) {
        struct vnc_connection *c = &s->connection[i];
        bool over;

        pthread_mutex_lock(&s->lock);
        over = c->over;
        pthread_mutex_unlock(&s->lock);
        if (c->server && over)
            join(c);
        if (!c->server)
            return c;
    }
    return NULL;
}

static void take(struct vnc_server *s, int fd)
{
    struct vnc_connection *c = find_place(s);
    int on = 1;

    if (!c) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *c = (struct vnc_connection){.server = s, .fd = fd};
    if (pthread_create(&c->thread, NULL, serve, c) != 0) {
        c->server = NULL;
        close(fd);
    }
}

/* Whatever its thread waits for in the library ends then. */
static void hang_up(struct vnc_connection *c)
{
    pthread_mutex_lock(&c->server->lock);
    if (c->fd >= 0)
        shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&c->server->lock);
}

static void *listener(void *arg)
{
    struct vnc_server *s = arg;
    struct pollfd p[2] = {{.fd = s->stop_fd, .events = POLLIN}, {.fd = s->listen_fd, .events = POLLIN}};

    while (poll(p, 2, -1) >= 0 || errno == EINTR) {
        int fd;

        if (p[0].revents)
            break;
        fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            take(s, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            poll(p, 1, 100);
    }
    for (unsigned i = 0; i < VNC_CONNECTIONS_MAX; i++) {
        if (s->connection[i].server)
            hang_up(&s->connection[i]);
    }
    for (unsigned i = 0; i < VNC_CONNECTIONS_MAX; i++) {
        if (s->connection[i].server)
            join(&s->connection[i]);
    }
    return NULL;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void release(struct vnc_server *s)
{
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->wants_lock);
    vnc_tls_free(s->tls);
    explicit_bzero(s, sizeof(*s));
    free(s);
}

static bool set_up(struct vnc_server *s, const struct vnc_options *o, struct vz_error *err)
{
    if (!vnc_library_load(err))
        return false;
    s->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (s->stop_fd < 0 || !make_secret(s->token, VNC_TOKEN_LEN, "0123456789abcdef") ||
        !make_secret(s->cookie, VNC_TOKEN_LEN, "0123456789abcdef") ||
        !make_secret(s->password, VNC_PASSWORD_MAX, "abcdefghijkmnpqrstuvwxyz23456789"))
        return fail_false(err, VZ_ERROR_IO, "VNC: %s", strerror(errno));
    if (o->password && !o->password[0])
        return fail_false(err, VZ_ERROR_INVALID, "VNC: the password is empty");
    if (o->password)
        snprintf(s->password, sizeof(s->password), "%s", o->password);
    if (o->tls && !(s->tls = vnc_tls_new(o->certificate, o->key, err)))
        return false;
    return start_listening(s, o->address, err);
}

bool vnc_server_start(struct vnc_server *s, struct vz_error *err)
{
    if (pthread_create(&s->thread, NULL, listener, s) != 0)
        return fail_false(err, VZ_ERROR_NO_MEMORY, "VNC: no thread");
    s->serves = true;
    return true;
}

struct vnc_server *vnc_server_new(const struct vnc_options *o, struct vz_error *err)
{
    struct vnc_server *s = calloc(1, sizeof(*s));

    if (!s) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    s->wants = o->wants;
    snprintf(s->name, sizeof(s->name), "%s", o->name ? o->name : "vz");
    s->listen_fd = s->stop_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->wants_lock, NULL);
    if (set_up(s, o, err))
        return s;
    release(s);
    return NULL;
}

void vnc_server_free(struct vnc_server *s)
{
    uint64_t one = 1;

    if (!s)
        return;
    if (s->serves && write(s->stop_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(s->thread, NULL);
    release(s);
}

const char *vnc_server_address(const struct vnc_server *s)
{
    return s->address;
}

const char *vnc_server_password(const struct vnc_server *s)
{
    return s->password;
}

const char *vnc_server_fingerprint(const struct vnc_server *s)
{
    return s->tls ? vnc_tls_fingerprint(s->tls) : NULL;
}

void vnc_server_url(struct vnc_server *s, bool password, char url[VNC_URL_MAX])
{
    /* One whose connection breaks takes it up again by itself. */
    static const char how[] = "autoconnect=1&resize=remote&reconnect=1&reconnect_delay=1000";

    pthread_mutex_lock(&s->lock);
    snprintf(url, VNC_URL_MAX, "http%s://%s/vnc.html?token=%s#%s%s%s", s->tls ? "s" : "", s->address, s->token,
             how, password ? "&password=" : "", password ? s->password : "");
    pthread_mutex_unlock(&s->lock);
}

bool vnc_server_renew(struct vnc_server *s)
{
    bool ok;

    pthread_mutex_lock(&s->lock);
    ok = make_secret(s->token, VNC_TOKEN_LEN, "0123456789abcdef");
    s->redeemed = !ok;
    pthread_mutex_unlock(&s->lock);
    return ok;
}
