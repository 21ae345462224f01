/* SPDX-License-Identifier: MIT */
#include "control/client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bundle/bundle.h"
#include "control/send_fd.h"
#include "failure.h"

#define IN_MAX  ((size_t)16 << 20)
#define STEP_MS 20 /* between looks at a lock */

static int no_machine(const struct bundle *b, struct vz_error *err)
{
    if (bundle_is_running(b))
        return fail(err, VZ_ERROR_INVALID_STATE,
                    "is in use, but there is nobody to talk to: it starts or ends, or somebody "
                    "copies it; try again");
    return fail(err, VZ_ERROR_INVALID_STATE, "is not running; 'vz start' starts it");
}

int client_open(const struct bundle *b, struct control_client *ret, struct vz_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fail_errno(err, "a socket");
    /* However deep the folder lies. */
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" BUNDLE_SOCKET, b->fd);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0) {
        *ret = (struct control_client){.fd = fd, .came_fd = -1, .send_fd = -1};
        return 0;
    }
    if (errno == ENOENT || errno == ECONNREFUSED)
        no_machine(b, err);
    else
        fail(err, VZ_ERROR_IO, BUNDLE_SOCKET ": %s", strerror(errno));
    close(fd);
    return -1;
}

void client_set_timeout(struct control_client *c, int timeout_ms)
{
    struct timeval t = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

void client_close(struct control_client *c)
{
    close(c->fd);
    if (c->came_fd >= 0)
        close(c->came_fd);
    free(c->in);
}

/* Room for at least one more byte. */
static bool reserve(struct control_client *c)
{
    size_t size = c->in_size ? 2 * c->in_size : 4096;
    char *bigger;

    if (c->in_len < c->in_size)
        return true;
    bigger = size > IN_MAX ? NULL : realloc(c->in, size);
    if (!bigger)
        return false;
    c->in = bigger;
    c->in_size = size;
    return true;
}

/* Some more of what the process says; false at its end. */
static bool receive(struct control_client *c)
{
    ssize_t n;
    int fd;

    if (!reserve(c))
        return false;
    n = receive_with_fd(c->fd, c->in + c->in_len, c->in_size - c->in_len, 0, &fd);
    if (fd >= 0) { /* instead of one that nobody has asked for */
        if (c->came_fd >= 0)
            close(c->came_fd);
        c->came_fd = fd;
    }
    c->in_len += n > 0 ? (size_t)n : 0;
    return n > 0 || (n < 0 && errno == EINTR);
}

/* A line that is there already, or NULL. */
static json_t *take_line(struct control_client *c)
{
    char *end = c->in_len ? memchr(c->in, '\n', c->in_len) : NULL;
    json_t *object;

    if (!end)
        return NULL;
    object = json_loadb(c->in, (size_t)(end - c->in), 0, NULL);
    c->in_len -= (size_t)(end + 1 - c->in);
    memmove(c->in, end + 1, c->in_len);
    return object ? object : json_object();
}

static json_t *next_object(struct control_client *c)
{
    json_t *object;

    while (!(object = take_line(c))) {
        if (!receive(c))
            return NULL;
    }
    return object;
}

static bool send_request(struct control_client *c, const char *method, json_t *params)
{
    json_t *request = json_pack("{s:i, s:s, s:o}", "id", ++c->last_id, "method", method, "params",
                                params ? params : json_object());
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0, done = 0;

    json_decref(request);
    if (text)
        text[len++] = '\n'; /* in place of its 0 */
    while (done < len) {
        ssize_t n = send_with_fd(c->fd, text + done, len - done, c->send_fd, 0);

        if (n < 0 && errno != EINTR)
            break;
        if (n > 0)
            c->send_fd = -1;
        done += n > 0 ? (size_t)n : 0;
    }
    free(text);
    return text && done == len;
}

static json_t *read_answer(json_t *answer, struct vz_error *err)
{
    json_t *result = json_object_get(answer, "result"), *e = json_object_get(answer, "error");
    const char *text = json_string_value(json_object_get(e, "message"));

    if (result)
        return json_incref(result);
    fail(err, (enum vz_error_code)json_integer_value(json_object_get(e, "code")), "%s",
         text ? text : "an answer that is none");
    return NULL;
}

json_t *client_call(struct control_client *c, const char *method, json_t *params, int *ret_fd,
                    struct vz_error *err)
{
    json_t *answer = NULL, *result;

    if (send_request(c, method, params)) {
        while ((answer = next_object(c)) &&
               json_integer_value(json_object_get(answer, "id")) != c->last_id)
            json_decref(answer);
    }
    if (!answer) {
        fail(err, VZ_ERROR_NETWORK, "the machine's process ended before it answered");
        return NULL;
    }
    result = read_answer(answer, err);
    json_decref(answer);
    if (ret_fd) {
        *ret_fd = c->came_fd;
        c->came_fd = -1;
    }
    return result;
}

json_t *client_ask(const struct bundle *b, const char *method, json_t *params, int *ret_fd,
                   struct vz_error *err)
{
    struct control_client c;
    json_t *result;

    if (client_open(b, &c, err) < 0) {
        json_decref(params);
        return NULL;
    }
    result = client_call(&c, method, params, ret_fd, err);
    client_close(&c);
    return result;
}

bool client_wait_end(const struct bundle *b, int timeout_ms)
{
    for (int waited = 0; bundle_is_running(b); waited += STEP_MS) {
        if (timeout_ms >= 0 && waited >= timeout_ms)
            return false;
        poll(NULL, 0, STEP_MS);
    }
    return true;
}
