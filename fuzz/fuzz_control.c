/* SPDX-License-Identifier: MIT */
/* The control socket of a machine's process: whatever a client sends, in whatever pieces and with whatever descriptors,
 * each line is answered once, by an object on a line, and nothing is left open. */
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fuzz_input.h"

#include "bundle/bundle.h"
#include "control/control.h"
#include "control/control_server.h"

#define TURNS_MAX 64 /* whatever the pieces */

static const char *const seeds[] = {
    "\1\1\377\0{\"id\": 1, \"method\": \"now\"}\n{\"id\": \"x\", \"method\": \"later\", \"params\": {}}\n",
    "\2\0\10\0{\"id\": [1, {}], \"method\": \"fail\"}\n\n{\"method\": \"params\", \"params\": {\"b\": true, \"n\": 7, \"s\": \"x\"}}\n",
    "\3\2\3\1{\"method\": \"fd\"}\n[]\n{\"method\": 1}\n{\"id\": 1, \"method\": \"subscribe\", \"params\": {\"b\": 1}}\n"};

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    size_t head = 4, len;

    if (index >= sizeof(seeds) / sizeof(seeds[0]))
        return 0;
    len = head + strlen(seeds[index] + head);
    if (len > room)
        return 0;
    memcpy(ret, seeds[index], len);
    return len;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

/* ---- Methods, and the machine's process ----------------------------------------------------- */

static struct control_call *late[4];

static void now(struct control_call *call, json_t *params)
{
    call_reply(call, json_pack("{s:O}", "params", params));
}

static void later(struct control_call *call, json_t *params)
{
    for (size_t i = 0; i < 4; i++) {
        if (!late[i]) {
            late[i] = call;
            return;
        }
    }
    call_done(call, NULL, NULL);
}

static void failing(struct control_call *call, json_t *params)
{
    call_fail_text(call, VZ_ERROR_IO, "%s", "\xff is no text");
}

static void some_params(struct control_call *call, json_t *params)
{
    const char *text = "";
    uint64_t number = 0;
    bool flag = false;

    if (!call_param_bool(call, params, "b", &flag) || !call_param_number(call, params, "n", 3, 9, &number) ||
        !call_param_string(call, params, "s", &text))
        return;
    check(!number || (number >= 3 && number <= 9));
    call_reply(call, NULL);
}

static void take_fd(struct control_call *call, json_t *params)
{
    int fd = call_take_fd(call);

    call_reply_fd(call, NULL, fd < 0 ? dup(0) : fd);
}

const struct control_method control_methods[] = {{"now", now}, {"later", later}, {"fail", failing}, {"params", some_params},
                                                 {"fd", take_fd}, {"subscribe", method_subscribe}, {NULL, NULL}};

struct vz_machine *control_machine(const struct control *c)
{
    return NULL;
}

/* ---- The client ----------------------------------------------------------------------------- */

static struct bundle bundle = {.fd = -1, .lock_fd = -1, .name = "fuzz"};

static void make_folder(void)
{
    char path[] = "/tmp/fuzz-control.XXXXXX";

    check(mkdtemp(path) != NULL);
    bundle.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(bundle.fd >= 0);
    bundle.path = strdup(path);
}

static void remove_folder(void)
{
    rmdir(bundle.path);
}

static int connect_to_it(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" BUNDLE_SOCKET, bundle.fd);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
    return fd;
}

static void turn(struct server *s)
{
    struct pollfd p[SERVER_FDS_MAX];
    unsigned count = server_poll(s, p);

    check(count && count <= SERVER_FDS_MAX);
    if (poll(p, count, 0) > 0)
        server_serve(s, p, count);
}

static void answer_late(void)
{
    for (size_t i = 0; i < 4; i++) {
        if (late[i])
            call_done(late[i], NULL, NULL);
        late[i] = NULL;
    }
}

/* False: the server hung up. */
static bool send_some(int fd, const uint8_t *data, size_t len, unsigned fds)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } u = {.header = {.cmsg_len = CMSG_LEN(fds * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)data, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    int zero[3] = {0, 0, 0};

    memcpy(CMSG_DATA(&u.header), zero, fds * sizeof(int));
    if (fds) {
        m.msg_control = &u;
        m.msg_controllen = CMSG_SPACE(fds * sizeof(int));
    }
    return sendmsg(fd, &m, MSG_NOSIGNAL) >= 0;
}

/* What came is objects, a line each: with an id and a result or an error, or an event. */
static void check_answers(int fd)
{
    static char text[1 << 20];
    size_t len = 0;
    ssize_t n;

    while (len < sizeof(text) && (n = recv(fd, text + len, sizeof(text) - len, MSG_CMSG_CLOEXEC)) > 0)
        len += (size_t)n;
    for (char *at = text, *end; (end = memchr(at, '\n', len - (size_t)(at - text))); at = end + 1) {
        json_t *object = json_loadb(at, (size_t)(end - at), 0, NULL);

        check(json_is_object(object));
        check(json_object_get(object, "event") ||
              (json_object_get(object, "id") && !json_object_get(object, "result") != !json_object_get(object, "error")));
        json_decref(object);
    }
}

static int descriptors(void)
{
    int fd = dup(0);

    close(fd); /* the lowest free one: all below are taken */
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned piece = (unsigned)take(&in, 1) * 16 + 1 + (unsigned)(size / TURNS_MAX), fds = (unsigned)take(&in, 1) % 4, early = (unsigned)take(&in, 1);
    bool leaves = take(&in, 1) & 1;
    struct vz_error err;
    struct server *s;
    int fd, before;

    if (bundle.fd < 0) {
        make_folder();
        atexit(remove_folder);
    }
    before = descriptors();
    s = server_new((struct control *)&bundle, &bundle, &err);
    check(s != NULL);
    fd = connect_to_it();
    turn(s);
    for (unsigned i = 0; in.len; i++) {
        size_t len = in.len < piece ? in.len : piece;

        if (!send_some(fd, in.p, len, fds))
            break;
        in.p += len;
        in.len -= len;
        turn(s);
        if (i == early) {
            server_tell(s, "state", NULL);
            answer_late();
        }
    }
    if (leaves)
        shutdown(fd, SHUT_RDWR);
    turn(s);
    answer_late();
    turn(s);
    check_answers(fd);
    close(fd);
    turn(s);
    server_free(s, &bundle);
    check(descriptors() == before);
    return 0;
}
