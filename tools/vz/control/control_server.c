/* SPDX-License-Identifier: MIT */
/* Clients of a machine's control socket. A client that does not read its answers is hung up on when
 * OUT_MAX bytes wait; one that sends no line within LINE_MAX_BYTES likewise. */
#include "control/control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "bundle/bundle.h"
#include "control/send_fd.h"
#include "failure.h"
#include "now_ms.h"

#define LINE_MAX_BYTES ((size_t)1 << 20)
#define OUT_MAX        ((size_t)4 << 20)
#define GOODBYE_MS     500   /* for all of them */
#define CALLS_MAX      1024u /* of a client that are not answered yet: what they wait for may never come */

struct client {
    struct server *server;
    unsigned refs;  /* the server's, and one for each of its calls */
    int fd;         /* -1: gone; calls that are under way may not know yet */
    bool subscribed;
    char *in;       /* what came and is no whole line yet: in_len of in_size */
    size_t in_len, in_size;
    char *out;      /* what goes out: out_len bytes from out_start */
    size_t out_start, out_len, out_size;
    int out_fd;     /* goes with the byte at out_start + out_fd_at; -1: none */
    size_t out_fd_at;
    int came_fd;    /* came with the line that is being read; -1: none */
};

struct server {
    struct control *control;
    int fd;
    struct client *clients[SERVER_CLIENTS_MAX];
};

struct control_call {
    struct client *client;
    json_t *request; /* holds id and params */
    int fd;
};

/* ---- Secrets -------------------------------------------------------------------------------- */

/* A request may have a passphrase in it, which is copied as JSON likes it: whatever JSON frees is wiped. */
static void wipe_and_free(void *p)
{
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

/* ---- Output --------------------------------------------------------------------------------- */

static void client_unref(struct client *c)
{
    if (--c->refs)
        return;
    free(c->in);
    free(c->out);
    free(c);
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A client's, of whatever file system. */
static void drop_fd(int *fd)
{
    close_received(*fd);
    *fd = -1;
}

static void hang_up(struct client *c)
{
    close_fd(&c->fd);
    close_fd(&c->out_fd);
    drop_fd(&c->came_fd);
}

/* One sendmsg(): up to the byte that a descriptor goes with, or from it on. */
static ssize_t send_some(struct client *c)
{
    bool later = c->out_fd >= 0 && c->out_fd_at > 0;
    ssize_t n = send_with_fd(c->fd, c->out + c->out_start, later ? c->out_fd_at : c->out_len, later ? -1 : c->out_fd,
                             MSG_DONTWAIT);

    if (n > 0 && c->out_fd >= 0 && c->out_fd_at == 0)
        close_fd(&c->out_fd); /* the peer's own now */
    else if (n > 0 && c->out_fd >= 0)
        c->out_fd_at -= (size_t)n;
    return n;
}

static void flush_out(struct client *c)
{
    while (c->fd >= 0 && c->out_len) {
        ssize_t n = send_some(c);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            hang_up(c);
        if (n < 0)
            return;
        c->out_start += (size_t)n;
        c->out_len -= (size_t)n;
    }
    c->out_start = 0;
}

/* Room for len more bytes behind what waits. */
static bool reserve_out(struct client *c, size_t len)
{
    size_t size = c->out_size ? c->out_size : 4096;
    char *bigger;

    if (c->out_len + len > OUT_MAX)
        return false;
    if (c->out_len) /* there may be no buffer yet */
        memmove(c->out, c->out + c->out_start, c->out_len);
    c->out_start = 0;
    while (size < c->out_len + len)
        size *= 2;
    bigger = size == c->out_size ? c->out : realloc(c->out, size);
    if (!bigger)
        return false;
    c->out = bigger;
    c->out_size = size;
    return true;
}

/* A line, which takes over object and fd. */
static void send_object(struct client *c, json_t *object, int fd)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0;

    if (c->fd >= 0 && fd >= 0 && c->out_fd >= 0)
        flush_out(c);
    /* Two descriptors on their way at once are more than one that reads its answers has. */
    if (!text || (fd >= 0 && c->out_fd >= 0) || (c->fd >= 0 && !reserve_out(c, len + 1))) {
        hang_up(c);
    } else if (c->fd >= 0) {
        if (fd >= 0) {
            c->out_fd = fd;
            c->out_fd_at = c->out_len;
            fd = -1;
        }
        memcpy(c->out + c->out_len, text, len);
        c->out[c->out_len + len] = '\n';
        c->out_len += len + 1;
        flush_out(c);
    }
    close_fd(&fd);
    free(text);
    json_decref(object);
}

/* ---- Calls ---------------------------------------------------------------------------------- */

struct control *call_control(const struct control_call *call)
{
    return call->client->server->control;
}

struct vz_machine *call_machine(const struct control_call *call)
{
    return control_machine(call_control(call));
}

int call_take_fd(struct control_call *call)
{
    int fd = call->fd;

    call->fd = -1;
    return fd;
}

/* Takes over everything. */
static void answer(struct control_call *call, const char *name, json_t *value, int fd)
{
    json_t *id = json_object_get(call->request, "id");

    send_object(call->client, json_pack("{s:O?, s:o}", "id", id ? id : json_null(), name, value), fd);
    drop_fd(&call->fd);
    json_decref(call->request);
    client_unref(call->client);
    free(call);
}

void call_reply_fd(struct control_call *call, json_t *result, int fd)
{
    answer(call, "result", result ? result : json_object(), fd);
}

void call_reply(struct control_call *call, json_t *result)
{
    call_reply_fd(call, result, -1);
}

/* Text of the host's may hold anything; JSON may not. */
static json_t *string(const char *text)
{
    json_t *s = json_string(text);

    return s ? s : json_string("(a text that is not UTF-8)");
}

void call_fail(struct control_call *call, const struct vz_error *err)
{
    answer(call, "error",
           json_pack("{s:i, s:o}", "code", (int)err->code, "message", string(err->text)), -1);
}

void call_fail_text(struct control_call *call, enum vz_error_code code, const char *fmt, ...)
{
    struct vz_error err = {.code = code};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err.text, sizeof(err.text), fmt, ap);
    va_end(ap);
    call_fail(call, &err);
}

void call_done(void *call, struct vz_machine *machine, const struct vz_error *err)
{
    if (err)
        call_fail(call, err);
    else
        call_reply(call, NULL);
}

bool call_param_bool(struct control_call *call, json_t *params, const char *name, bool *ret)
{
    json_t *v = json_object_get(params, name);

    if (v && !json_is_boolean(v)) {
        call_fail_text(call, VZ_ERROR_INVALID, "%s: expected true or false", name);
        return false;
    }
    *ret = v ? json_is_true(v) : *ret;
    return true;
}

bool call_param_number(struct control_call *call, json_t *params, const char *name, uint64_t min,
                       uint64_t max, uint64_t *ret)
{
    json_t *v = json_object_get(params, name);
    json_int_t n = v ? json_integer_value(v) : 0;

    if (v && (!json_is_integer(v) || n < 0 || (uint64_t)n < min || (uint64_t)n > max)) {
        call_fail_text(call, VZ_ERROR_INVALID, "%s: expected a number from %llu to %llu", name,
                       (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *ret = v ? (uint64_t)n : *ret;
    return true;
}

bool call_param_string(struct control_call *call, json_t *params, const char *name,
                       const char **ret)
{
    json_t *v = json_object_get(params, name);

    if (v && !json_is_string(v)) {
        call_fail_text(call, VZ_ERROR_INVALID, "%s: expected a string", name);
        return false;
    }
    *ret = v ? json_string_value(v) : *ret;
    return true;
}

static void refuse(struct client *c, const char *text)
{
    send_object(c, json_pack("{s:n, s:{s:i, s:s}}", "id", "error", "code", (int)VZ_ERROR_INVALID,
                             "message", text), -1);
}

static void dispatch(struct control_call *call)
{
    json_t *params = json_object_get(call->request, "params");
    const char *name = json_string_value(json_object_get(call->request, "method"));

    if (!params) {
        params = json_object();
        json_object_set_new(call->request, "params", params);
    }
    if (!name || !json_is_object(params)) {
        call_fail_text(call, VZ_ERROR_INVALID, "expected {\"id\": ..., \"method\": \"...\", "
                                               "\"params\": {...}}");
        return;
    }
    for (const struct control_method *m = control_methods; m->name; m++) {
        if (!strcmp(m->name, name)) {
            m->call(call, params);
            return;
        }
    }
    call_fail_text(call, VZ_ERROR_UNSUPPORTED, "there is no method '%.40s'", name);
}

/* NULL: it is no JSON. */
static void take_request(struct client *c, json_t *request)
{
    struct control_call *call = json_is_object(request) ? calloc(1, sizeof(*call)) : NULL;

    if (!call) {
        refuse(c, "a request is one JSON object on a line");
        drop_fd(&c->came_fd);
        json_decref(request);
        return;
    }
    *call = (struct control_call){.client = c, .request = request, .fd = c->came_fd};
    c->came_fd = -1;
    c->refs++;
    dispatch(call);
}

static void take_line(struct client *c, const char *line, size_t len)
{
    json_error_t why;

    if (c->refs > CALLS_MAX) {
        refuse(c, "too many requests are under way");
        drop_fd(&c->came_fd);
        return;
    }
    take_request(c, json_loadb(line, len, JSON_REJECT_DUPLICATES, &why));
}

/* ---- Input ---------------------------------------------------------------------------------- */

/* Whole lines from the beginning of what has come. */
static void take_lines(struct client *c)
{
    char *end;
    size_t start = 0;

    while (c->fd >= 0 && (end = memchr(c->in + start, '\n', c->in_len - start))) {
        size_t len = (size_t)(end - (c->in + start));

        if (len)
            take_line(c, c->in + start, len);
        start += len + 1;
    }
    memmove(c->in, c->in + start, c->in_len - start);
    explicit_bzero(c->in + c->in_len - start, start);
    c->in_len -= start;
    if (c->in_len >= LINE_MAX_BYTES) {
        refuse(c, "a request is too long");
        hang_up(c);
    }
}

static void read_in(struct client *c)
{
    ssize_t n;
    int fd;

    if (c->in_len == c->in_size) {
        size_t size = c->in_size ? 2 * c->in_size : 4096;
        char *bigger = realloc(c->in, size);

        if (!bigger) {
            hang_up(c);
            return;
        }
        c->in = bigger;
        c->in_size = size;
    }
    n = receive_with_fd(c->fd, c->in + c->in_len, c->in_size - c->in_len, MSG_DONTWAIT, &fd);
    if (fd >= 0) {
        drop_fd(&c->came_fd);
        c->came_fd = fd;
    }
    if (n > 0) {
        c->in_len += (size_t)n;
        take_lines(c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        hang_up(c);
    }
}

/* ---- Clients -------------------------------------------------------------------------------- */

/* The socket's mode says who may connect; this says so also where a file system has no modes. */
static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

static struct client *client_new(struct server *s, int fd)
{
    struct client *c = calloc(1, sizeof(*c));

    if (c)
        *c = (struct client){.server = s, .refs = 1, .fd = fd, .out_fd = -1, .came_fd = -1};
    return c;
}

/* One too many is hung up on, so that it does not wait. */
static void take_client(struct server *s)
{
    int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX && is_allowed(fd); i++) {
        if (!s->clients[i]) {
            s->clients[i] = client_new(s, fd);
            if (s->clients[i])
                return;
        }
    }
    close(fd);
}

void method_subscribe(struct control_call *call, json_t *params)
{
    call->client->subscribed = true;
    call_reply(call, NULL);
}

void server_tell(struct server *s, const char *name, json_t *members)
{
    json_t *event = members ? members : json_object();

    json_object_set_new(event, "event", json_string(name));
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
        if (s->clients[i] && s->clients[i]->subscribed)
            send_object(s->clients[i], json_incref(event), -1);
    }
    json_decref(event);
}

unsigned server_poll(struct server *s, struct pollfd *p)
{
    unsigned count = 0;

    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
        struct client *c = s->clients[i];

        if (c && c->fd < 0) { /* gone since */
            client_unref(c);
            c = s->clients[i] = NULL;
        }
        if (c)
            p[count++] = (struct pollfd){.fd = c->fd,
                                         .events = (short)(POLLIN | (c->out_len ? POLLOUT : 0))};
    }
    p[count++] = (struct pollfd){.fd = s->fd, .events = POLLIN};
    return count;
}

static struct client *client_of(struct server *s, int fd)
{
    for (unsigned i = 0; fd >= 0 && i < SERVER_CLIENTS_MAX; i++) {
        if (s->clients[i] && s->clients[i]->fd == fd)
            return s->clients[i];
    }
    return NULL;
}

void server_serve(struct server *s, const struct pollfd *p, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct client *c = p[i].revents ? client_of(s, p[i].fd) : NULL;

        if (c && (p[i].revents & POLLOUT))
            flush_out(c);
        if (c && c->fd >= 0 && (p[i].revents & ~POLLOUT))
            read_in(c);
    }
    if (p[count - 1].revents)
        take_client(s);
}

/* ---- The socket ----------------------------------------------------------------------------- */

/* A path that fits into any sockaddr_un, however deep the folder lies. */
static struct sockaddr_un address_in(const struct bundle *b)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" BUNDLE_SOCKET, b->fd);
    return a;
}

static int listen_in(const struct bundle *b)
{
    struct sockaddr_un a = address_in(b);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177);
    bool ok;

    unlinkat(b->fd, BUNDLE_SOCKET, 0);
    ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, SOMAXCONN) == 0;
    umask(mask);
    if (!ok)
        close_fd(&fd);
    return fd;
}

struct server *server_new(struct control *control, const struct bundle *b, struct vz_error *err)
{
    struct server *s = calloc(1, sizeof(*s));

    json_set_alloc_funcs(malloc, wipe_and_free);
    if (!s) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    s->control = control;
    s->fd = listen_in(b);
    if (s->fd >= 0)
        return s;
    fail(err, VZ_ERROR_IO, "%.60s: " BUNDLE_SOCKET ": %s", b->name, strerror(errno));
    free(s);
    return NULL;
}

/* What waits is given a moment: until then. */
static void say_goodbye(struct client *c, int64_t until)
{
    struct pollfd p = {.fd = c->fd, .events = POLLOUT};
    int64_t left = until - now_ms();

    flush_out(c);
    if (c->fd >= 0 && c->out_len && poll(&p, 1, left > 0 ? (int)left : 0) > 0)
        flush_out(c);
    hang_up(c);
    client_unref(c);
}

void server_free(struct server *s, const struct bundle *b)
{
    int64_t until = now_ms() + GOODBYE_MS;

    if (!s)
        return;
    unlinkat(b->fd, BUNDLE_SOCKET, 0);
    close(s->fd);
    for (unsigned i = 0; i < SERVER_CLIENTS_MAX; i++) {
        if (s->clients[i])
            say_goodbye(s->clients[i], until);
    }
    free(s);
}
