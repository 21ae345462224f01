/* SPDX-License-Identifier: MIT */
#include "vnc/vnc_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failure.h"
#include "now_ms.h"
#include "vnc/vnc_certificate.h"
#include "vnc/vnc_gnutls.h"
#include "vnc/vnc_impl.h"

#define AGREE_MS   10000 /* to agree on TLS */
#define LAST_MS    10000 /* for one that takes nothing of what the server has said last */
#define HELLO      0x16  /* the first byte of a TLS connection */
#define PRIORITY   "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

enum { RFB_VNC_AUTH = 2, RFB_VENCRYPT = 19, VENCRYPT_X509_VNC = 261 };

struct vnc_tls {
    gnutls_certificate_credentials_t credentials;
    char fingerprint[VNC_FINGERPRINT_MAX];
};

/* What is to be passed on. */
struct way {
    char data[16384];
    size_t at, len;
};

struct vnc_tunnel {
    gnutls_session_t session;
    int fd, plain; /* the connection; our end of the pair */
    bool rfb;      /* a VNC client's, and no browser's */
    pthread_t thread;
    struct way in, out; /* from the connection, and to it */
};

/* ---- Agreeing ------------------------------------------------------------------------------- */

/* Wait for events, or the end of all. */
static bool ready(struct vnc_server *s, int fd, short events, int64_t until)
{
    struct pollfd p[2] = {{.fd = s->stop_fd, .events = POLLIN}, {.fd = fd, .events = events}};
    int64_t left = until - now_ms();

    return left > 0 && poll(p, 2, (int)left) > 0 && !p[0].revents;
}

/* Exactly what is wanted, in time. */
static bool hear(struct vnc_server *s, int fd, void *to, size_t len, int64_t until)
{
    for (size_t n = 0; n < len;) {
        ssize_t r;

        if (!ready(s, fd, POLLIN, until))
            return false;
        r = recv(fd, (char *)to + n, len - n, MSG_DONTWAIT);
        if (r == 0 || (r < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        n += r > 0 ? (size_t)r : 0;
    }
    return true;
}

/* So little that it has room. */
static bool say(int fd, const void *what, size_t len)
{
    return send(fd, what, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static const char version[] = "RFB 003.008\n";

static bool is(const unsigned char *got, const void *want, size_t len)
{
    return !memcmp(got, want, len);
}

/* What a VNC client and a server say before TLS. */
static bool agree(struct vnc_server *s, int fd, int64_t until)
{
    static const unsigned char types[] = {1, RFB_VENCRYPT}, vencrypt[] = {0, 2}, fine[] = {0}, chosen[] = {1},
                               subtypes[] = {1, 0, 0, VENCRYPT_X509_VNC >> 8, VENCRYPT_X509_VNC & 0xff};
    unsigned char got[12];

    return say(fd, version, 12) && hear(s, fd, got, 12, until) && is(got, version, 12) && say(fd, types, 2) &&
           hear(s, fd, got, 1, until) && is(got, types + 1, 1) && say(fd, vencrypt, 2) && hear(s, fd, got, 2, until) &&
           is(got, vencrypt, 2) && say(fd, fine, 1) && say(fd, subtypes, 5) && hear(s, fd, got, 4, until) &&
           is(got, subtypes + 1, 4) && say(fd, chosen, 1);
}

static bool shake(struct vnc_server *s, struct vnc_tunnel *t, int64_t until)
{
    int r;

    do {
        r = tls.gnutls_handshake(t->session);
    } while ((r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED || r == GNUTLS_E_WARNING_ALERT_RECEIVED) &&
             ready(s, t->fd, tls.gnutls_record_get_direction(t->session) ? POLLOUT : POLLIN, until));
    return r == GNUTLS_E_SUCCESS;
}

/* A browser begins with TLS; who begins with anything else has no business here. */
static bool begin(struct vnc_tls *c, struct vnc_server *s, struct vnc_tunnel *t)
{
    int64_t until = now_ms() + AGREE_MS;
    unsigned char first = HELLO;

    t->rfb = !ready(s, t->fd, POLLIN, now_ms() + vnc_silence_ms(s));
    if (!t->rfb && (recv(t->fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1 || first != HELLO))
        return false;
    if ((t->rfb && !agree(s, t->fd, until)) || tls.gnutls_init(&t->session, GNUTLS_SERVER | GNUTLS_NONBLOCK) < 0)
        return false;
    tls.gnutls_transport_set_int2(t->session, t->fd, t->fd);
    return tls.gnutls_priority_set_direct(t->session, PRIORITY, NULL) >= 0 &&
           tls.gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, c->credentials) >= 0 && shake(s, t, until);
}

/* ---- Passing on ----------------------------------------------------------------------------- */

/* The client has said all this already: the library is told, and asks for the password. */
static bool greet_server(struct vnc_tunnel *t)
{
    static const unsigned char choice[] = {RFB_VNC_AUTH};
    unsigned char got[12], types[2];

    return recv(t->plain, got, 12, MSG_WAITALL) == 12 && is(got, version, 12) && say(t->plain, version, 12) &&
           recv(t->plain, types, 2, MSG_WAITALL) == 2 && types[0] == 1 && types[1] == RFB_VNC_AUTH &&
           say(t->plain, choice, 1);
}

/* What n, of a call that takes from from or gives to to, says; false: that is the end. */
static bool goes_on(ssize_t n)
{
    return n > 0 || n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED;
}

static ssize_t again(ssize_t n)
{
    return n < 0 ? errno == EAGAIN || errno == EINTR ? GNUTLS_E_AGAIN : GNUTLS_E_PULL_ERROR : n;
}

static bool take(struct way *w, ssize_t n)
{
    w->at = 0;
    w->len = n > 0 ? (size_t)n : 0;
    return goes_on(n);
}

static bool give(struct way *w, ssize_t n)
{
    w->at += n > 0 ? (size_t)n : 0;
    return goes_on(n);
}

static bool has(const struct way *w)
{
    return w->at < w->len;
}

/* One step of all four. False: it is over. */
static bool step(struct vnc_tunnel *t)
{
    struct way *in = &t->in, *out = &t->out;

    if (!has(in) && !take(in, tls.gnutls_record_recv(t->session, in->data, sizeof(in->data))))
        return false;
    if (has(in) && !give(in, again(send(t->plain, in->data + in->at, in->len - in->at, MSG_NOSIGNAL))))
        in->len = in->at; /* the server listens no more, and may still have said something */
    if (!has(out) && !take(out, again(recv(t->plain, out->data, sizeof(out->data), 0))))
        return false;
    return !has(out) || give(out, tls.gnutls_record_send(t->session, out->data + out->at, out->len - out->at));
}

static void *pump(void *arg)
{
    struct vnc_tunnel *t = arg;
    bool on = (!t->rfb || greet_server(t)) && fcntl(t->plain, F_SETFL, O_NONBLOCK) == 0;
    bool gone = false; /* the server has: of that poll() would tell without end */

    while (on && step(t)) {
        struct pollfd p[2] = {
            {.fd = t->fd, .events = (short)((has(&t->in) ? 0 : POLLIN) | (has(&t->out) ? POLLOUT : 0))},
            {.fd = gone ? -1 : t->plain, .events = (short)((has(&t->out) ? 0 : POLLIN) | (has(&t->in) ? POLLOUT : 0))}};

        int wait = !gone ? -1 : has(&t->out) ? LAST_MS : 0; /* what the server has left behind is there at once */

        if ((has(&t->in) || !tls.gnutls_record_check_pending(t->session)) && poll(p, 2, wait) == 0 && wait)
            break;
        gone = gone || (p[1].revents & POLLHUP);
        on = !(p[0].revents & (POLLHUP | POLLERR)); /* what it has said may wait for a server that is busy */
    }
    tls.gnutls_bye(t->session, GNUTLS_SHUT_WR);
    shutdown(t->plain, SHUT_RDWR);
    shutdown(t->fd, SHUT_RDWR);
    return NULL;
}

/* ---- Life ----------------------------------------------------------------------------------- */

static void release(struct vnc_tunnel *t)
{
    if (t->session)
        tls.gnutls_deinit(t->session);
    if (t->plain >= 0)
        close(t->plain);
    close(t->fd);
    free(t);
}

struct vnc_tunnel *vnc_tls_open(struct vnc_tls *c, struct vnc_server *s, int fd, int *ret_plain,
                                bool *ret_browser)
{
    struct vnc_tunnel *t = calloc(1, sizeof(*t));
    int pair[2];

    if (!t) {
        close(fd);
        return NULL;
    }
    t->fd = fd;
    t->plain = -1;
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0 || !begin(c, s, t) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        release(t);
        return NULL;
    }
    t->plain = pair[1];
    if (pthread_create(&t->thread, NULL, pump, t) == 0) {
        *ret_plain = pair[0];
        *ret_browser = !t->rfb;
        return t;
    }
    close(pair[0]);
    release(t);
    return NULL;
}

void vnc_tunnel_close(struct vnc_tunnel *t)
{
    pthread_join(t->thread, NULL);
    release(t);
}

static bool fingerprint(struct vnc_tls *t)
{
    unsigned char digest[32];
    size_t len = sizeof(digest);
    gnutls_datum_t crt;

    if (tls.gnutls_certificate_get_crt_raw(t->credentials, 0, 0, &crt) < 0 ||
        tls.gnutls_fingerprint(GNUTLS_DIG_SHA256, &crt, digest, &len) < 0)
        return false;
    for (size_t i = 0; i < len; i++)
        sprintf(t->fingerprint + 3 * i, i + 1 < len ? "%02X:" : "%02X", digest[i]);
    return true;
}

static bool load(struct vnc_tls *t, const char *certificate, const char *key, struct vz_error *err)
{
    int r = tls.gnutls_certificate_allocate_credentials(&t->credentials);

    r = r < 0 ? r : tls.gnutls_certificate_set_x509_key_file(t->credentials, certificate, key, GNUTLS_X509_FMT_PEM);
    if (r >= 0 && fingerprint(t))
        return true;
    return fail_false(err, VZ_ERROR_INVALID, "VNC: certificate %.100s, key %.100s: %s", certificate, key,
                      tls.gnutls_strerror(r));
}

struct vnc_tls *vnc_tls_new(const char *certificate, const char *key, struct vz_error *err)
{
    struct vnc_tls *t = vnc_gnutls_load(err) ? calloc(1, sizeof(*t)) : NULL;
    char *own = t && !certificate ? vnc_certificate_own(err) : NULL;

    if (t && (certificate || own) && load(t, own ? own : certificate, own ? own : key, err)) {
        free(own);
        return t;
    }
    free(own);
    vnc_tls_free(t);
    return NULL;
}

void vnc_tls_free(struct vnc_tls *t)
{
    if (t && t->credentials)
        tls.gnutls_certificate_free_credentials(t->credentials);
    free(t);
}

const char *vnc_tls_fingerprint(const struct vnc_tls *t)
{
    return t->fingerprint;
}
