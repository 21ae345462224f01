/* SPDX-License-Identifier: MIT */
/* What browsers, and who pretends to be one, send to the VNC port first. The first byte says what kind of server it is. Who has
 * neither token nor cookie gets nothing of the page and no WebSocket; the token is good once; and no answer gives a secret away,
 * but the cookie to who has brought the token. */
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "require.h"
#include "vnc/vnc_impl.h"
#include "vnc/vnc_page.h"

#define TOKEN  "0123456789abcdef0123456789abcdef"
#define COOKIE "fedcba9876543210fedcba9876543210"
#define HOST   "Host: 127.0.0.1:5900\r\n"

enum { TLS = 1, REDEEMED = 2, ANYWHERE = 4 };

static const char *const seeds[] = {
    "@GET /vnc.html?token=" TOKEN " HTTP/1.1\r\n" HOST "\r\n",
    "@GET /core/rfb.js HTTP/1.1\r\n" HOST "Cookie: a=b; vz5900=" COOKIE "\r\n\r\n",
    "@GET /websockify HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nOrigin: http://127.0.0.1:5900\r\nCookie: vz5900=" COOKIE
    "\r\n\r\n",
    "AGET /websockify HTTP/1.1\r\nHost: localhost:5900\r\nUpgrade: WebSocket\r\nOrigin: https://localhost:5900\r\n"
    "Cookie: vz5900=" COOKIE "\r\n\r\n",
    "BGET /vnc.html?token=" TOKEN " HTTP/1.0\r\n" HOST "\r\n",
    "DGET /../../etc/passwd HTTP/1.1\r\nHost: [::1]:5900\r\nCookie: vz5900=" COOKIE "\r\n\r\n",
    "@GET /vz.js HTTP/1.1\r\n" HOST "Cookie: vz5900=" COOKIE "\r\n\r\n",
    "@\x16\x03\x01",
};

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    return fuzz_seed_of(seeds, sizeof(seeds) / sizeof(seeds[0]), index, ret, room);
}

/* vnc_server.c's, which is not linked: nobody is silent here. */
bool vnc_wait(const struct vnc_server *s, int fd, int timeout_ms)
{
    return true;
}

/* Instead of the C library's: a page is larger than what the socket holds, and nobody reads meanwhile. */
ssize_t sendfile(int out, int in, off_t *offset, size_t count)
{
    char path[64], file[256];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", in);
    n = readlink(path, file, sizeof(file) - 1);
    require(n > 0, "the page's file");
    file[n] = '\0';
    require(!strncmp(file, "/usr/share/", 11), "a file of another folder");
    return 0;
}

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static void check(const struct vnc_server *s, bool was_redeemed, const char *said, enum vnc_kind kind, const char *answer)
{
    bool has_cookie = strstr(said, "vz5900=" COOKIE), has_token = !was_redeemed && strstr(said, "token=" TOKEN);
    const char *cookie = strstr(answer, COOKIE);

    require(kind == VNC_NOBODY || kind == VNC_WEBSOCKET, "a VNC client that spoke");
    require(kind == VNC_NOBODY || (has_cookie && !answer[0]), "a WebSocket for a stranger");
    require(kind == VNC_NOBODY || strstr(said, s->tls ? "https://" : "http://"), "a WebSocket for another site's page");
    require(!begins(answer, "HTTP/1.1 200 ") || has_cookie || has_token, "a page for a stranger");
    require(!answer[0] || begins(answer, "HTTP/1.1 200 ") || begins(answer, "HTTP/1.1 403 ") ||
                begins(answer, "HTTP/1.1 404 "), "an answer of another kind");
    require(!answer[0] || strstr(answer, "\r\n\r\n"), "an answer without an end");
    require(!strstr(answer, TOKEN) && (!cookie || (has_token && s->redeemed)), "a secret in the answer");
    require(!s->redeemed || was_redeemed || has_token, "the token is used up by nobody");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char said[5000], answer[65536];
    static int stop_fd = -1;
    uint8_t flags = size ? data[0] : 0;
    struct vnc_server s = {.port = 5900, .token = TOKEN, .cookie = COOKIE, .redeemed = flags & REDEEMED,
                           .lock = PTHREAD_MUTEX_INITIALIZER, .tls = flags & TLS ? (struct vnc_tls *)&s : NULL};
    enum vnc_kind kind;
    int pair[2];
    ssize_t n;

    if (size < 2 || size > sizeof(said))
        return 0;
    if (stop_fd < 0)
        stop_fd = eventfd(1, EFD_CLOEXEC); /* all is about to end: nobody waits for what does not come */
    s.stop_fd = stop_fd;
    snprintf(s.address, sizeof(s.address), "%s:5900", flags & ANYWHERE ? "0.0.0.0" : "127.0.0.1");
    memcpy(said, data + 1, size - 1);
    said[size - 1] = '\0';
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "a socket pair");
    require(send(pair[1], said, size - 1, MSG_NOSIGNAL) == (ssize_t)size - 1, "the request's way");
    kind = vnc_front_browser(&s, pair[0]);
    close(pair[0]);
    n = recv(pair[1], answer, sizeof(answer) - 1, MSG_DONTWAIT);
    close(pair[1]);
    answer[n > 0 ? n : 0] = '\0';
    check(&s, flags & REDEEMED, said, kind, answer);
    return 0;
}
