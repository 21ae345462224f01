/* SPDX-License-Identifier: MIT */
/* vz-vnc: the process that shows a machine's display to VNC clients and browsers. It has the display's pictures, to read,
 * and says what is typed and pointed at; of its machine it has nothing else. It locks itself when it listens, before it
 * takes the first connection. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <jansson.h>

#include "base/pass_fd.h"
#include "base/log.h"
#include "base/thread.h"
#include "failure.h"
#include "sandbox/sandbox.h"
#include "sandbox/sandbox_calls.h"
#include "sandbox/sandbox_process.h"
#include "sandbox/sandbox_world.h"
#include "vnc/vnc_orders.h"
#include "vnc/vnc_server.h"
#include "write_all.h"

#define PAGE_FILES "/usr/share" /* noVNC is a folder of links */
#define LINE_MAX_BYTES 512u
#define HANDED_MAX     4096

static struct vnc_order_start start;
static struct vnc_server *server; /* NULL: nobody has asked for it yet */
static struct sandbox sandbox;
static int orders, wants;
static bool locked; /* nothing can be opened any more */
static bool handed[HANDED_MAX]; /* descriptors that the user has handed to vz */

/* ---- What the user has handed to vz ---------------------------------------------------------- */

/* A file's name may mean one (/dev/fd/63). What is open and no library's is not closed on exec. */
static void look_what_is_handed(void)
{
    for (int fd = STDERR_FILENO + 1; fd < HANDED_MAX; fd++)
        handed[fd] = fd != orders && fcntl(fd, F_GETFD) == 0;
}

/* When names have been read none is wanted any more. They may be a disk, or the terminal of a guest's console. */
static bool give_up_handed(struct vz_error *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool ok = null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0;

    if (null >= 0)
        close(null);
    for (int fd = 0; fd < HANDED_MAX; fd++) {
        if (handed[fd])
            close(fd);
        handed[fd] = false;
    }
    return ok || fail_false(err, VZ_ERROR_IO, "VNC: /dev/null: %s", strerror(errno));
}

/* ---- Open, then lock ------------------------------------------------------------------------ */

static int lock(void)
{
    const struct sandbox_options o = {.mode = start.logs ? SANDBOX_LOG : SANDBOX_ON, .process = !start.logs,
                                      .is_child = true, .uid = start.uid, .gid = start.gid};
    int r;

    if (!start.locks || !sandbox_is_possible() || VZ_SANITIZED) /* a sanitizer watches over a process' files and memory from within it */
        return 0;
    r = sandbox_process_begin();
    r = r ? r : sandbox_init(&sandbox, &o, NULL);
    r = r ? r : sandbox_allow(&sandbox, SANDBOX_KIND(VNC), PAGE_FILES, false);
    if (r)
        return r;
    r = sandbox_process_lock(&sandbox, THREAD_VNC,
                             SANDBOX_OWN_IPC | SANDBOX_OWN_NAME | SANDBOX_OWN_CGROUP | SANDBOX_OWN_NETWORK, "VNC has");
    sandbox_fini(&sandbox);
    return r;
}

/* ---- The server ------------------------------------------------------------------------------ */

/* The first line of the file; "-": of standard input. False and err. */
static bool read_password(const char *path, char line[LINE_MAX_BYTES], struct vz_error *err)
{
    int fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    size_t len = 0;
    ssize_t n = 1;

    while (fd >= 0 && n > 0 && len < LINE_MAX_BYTES - 1 && !memchr(line, '\n', len)) {
        n = read(fd, line + len, LINE_MAX_BYTES - 1 - len);
        len += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || n < 0)
        fail(err, VZ_ERROR_IO, "%.200s: %s", path, strerror(errno));
    if (fd > STDERR_FILENO)
        close(fd);
    line[len] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    return fd >= 0 && n >= 0;
}

static const char *given(const char *text)
{
    return text[0] ? text : NULL;
}

static bool prepare_server(struct vz_error *err)
{
    char line[LINE_MAX_BYTES];
    struct vnc_options o = {.wants = wants, .name = given(start.name), .address = given(start.address), .tls = start.tls,
                            .certificate = given(start.certificate), .key = given(start.key)};

    if (start.password_file[0]) {
        if (!read_password(start.password_file, line, err))
            return false;
        o.password = line;
    }
    server = vnc_server_new(&o, err);
    explicit_bzero(line, sizeof(line));
    return server && give_up_handed(err);
}

/* All that is opened is open before the lock, and nobody is heard before it. */
static bool open_server(struct vz_error *err)
{
    bool ok = locked ? fail_false(err, VZ_ERROR_INTERNAL, "VNC: its process could not begin") : prepare_server(err);
    int r = ok ? lock() : 0;

    locked = locked || ok;
    if (r < 0)
        ok = fail_false(err, VZ_ERROR_INTERNAL, "VNC: its process cannot enter the sandbox: %s", strerror(-r));
    ok = ok && vnc_server_start(server, err);
    if (!ok) {
        vnc_server_free(server);
        server = NULL;
    }
    return ok;
}

static void tell_user(void)
{
    bool own = !start.password_file[0];
    char url[VNC_URL_MAX];

    vnc_server_url(server, own, url);
    fprintf(stderr, "vz: VNC at %s, password %s; in a browser %s\r\n", vnc_server_address(server),
            own ? vnc_server_password(server) : "as in the file", url);
    explicit_bzero(url, sizeof(url));
    if (start.tls)
        fprintf(stderr, "vz: VNC by TLS, with the certificate %s\r\n", vnc_server_fingerprint(server));
}

/* ---- Orders ---------------------------------------------------------------------------------- */

/* A file with the address; -1 and err. */
static int view_file(struct vz_error *err)
{
    char url[VNC_URL_MAX], *text;
    json_t *view;
    bool ok;
    int fd;

    if (!vnc_server_renew(server))
        return fail(err, VZ_ERROR_IO, "VNC: no random numbers");
    vnc_server_url(server, true, url);
    view = json_pack("{s:s, s:s, s:s}", "address", vnc_server_address(server), "password", vnc_server_password(server),
                     "url", url);
    text = view ? json_dumps(view, JSON_COMPACT) : NULL;
    json_decref(view);
    fd = text ? memfd_create("vz-view", MFD_CLOEXEC) : -1;
    ok = fd >= 0 && write_all(fd, text, strlen(text));
    free(text);
    if (ok)
        return fd;
    if (fd >= 0)
        close(fd);
    return fail(err, VZ_ERROR_IO, "VNC: an address cannot be handed out");
}

static bool begin(int fd, struct vz_error *err)
{
    if (wants >= 0 || fd < 0)
        return fail_false(err, VZ_ERROR_INVALID, "VNC: it has begun already");
    wants = fd;
    if (!start.listens)
        return give_up_handed(err);
    if (!open_server(err))
        return false;
    tell_user();
    return true;
}

/* fd: taken; -1: none. The file that the answer brings, or -1. */
static int carry_out(uint32_t kind, size_t len, int fd, struct vz_error *err)
{
    if (kind == VNC_ORDER_START && len == sizeof(start)) {
        (void)!begin(fd, err);
        return -1;
    }
    if (fd >= 0)
        close(fd);
    if (kind != VNC_ORDER_VIEW || wants < 0)
        return fail(err, VZ_ERROR_INVALID, "VNC: there is no such order");
    return server || open_server(err) ? view_file(err) : -1;
}

/* Whatever came, its texts end. */
static void end_texts(struct vnc_order_start *o)
{
    o->name[sizeof(o->name) - 1] = '\0';
    o->address[sizeof(o->address) - 1] = '\0';
    o->password_file[sizeof(o->password_file) - 1] = '\0';
    o->certificate[sizeof(o->certificate) - 1] = '\0';
    o->key[sizeof(o->key) - 1] = '\0';
}

/* False: that is the end. */
static bool serve_one(void)
{
    static struct vnc_order_start o;
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct vnc_answer a = {.code = 0};
    int fd;
    ssize_t n = pass_fd_receive(orders, &o, sizeof(o), &fd, 0);

    if (n < (ssize_t)sizeof(o.order))
        return false;
    if (wants < 0) {
        start = o;
        end_texts(&start);
    }
    fd = carry_out(o.order.kind, (size_t)n, fd, &err);
    a.code = (int32_t)err.code;
    a.number = o.order.number;
    memcpy(a.text, err.text, sizeof(a.text));
    n = pass_fd_send(orders, &a, sizeof(a), fd, 0);
    if (fd >= 0)
        close(fd);
    return n == (ssize_t)sizeof(a);
}

/* As threads of the machine's have it: who presses Ctrl-C means that. And who writes to a client that has gone is told so. */
static void block_signals(void)
{
    sigset_t set;

    thread_blocked_signals(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

int main(int argc, char **argv)
{
    const struct rlimit none = {0, 0};

    orders = argc == 2 ? atoi(argv[1]) : -1;
    wants = -1;
    if (argc != 2 || orders <= STDERR_FILENO || fcntl(orders, F_SETFD, FD_CLOEXEC) < 0) {
        fputs("vz-vnc is started by vz (--vnc, vz view --web)\n", stderr);
        return 2;
    }
    look_what_is_handed();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    block_signals();
    while (serve_one())
        ;
    vnc_server_free(server);
    return 0;
}
