/* SPDX-License-Identifier: MIT */
#include "viewer/machine_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib-unix.h>

#include "control/send_fd.h"

#define LINE_MAX_BYTES (1u << 20)

struct question {
    json_int_t id;
    gboolean takes_fd; /* lines before the one that a descriptor comes with may be read along with it */
    machine_link_done *done;
    void *arg;
};

struct machine_link {
    int fd; /* -1: gone */
    const struct machine_link_ops *ops;
    void *arg;
    guint source;
    GByteArray *in;
    int came_fd;
    json_int_t last_id;
    GQueue questions; /* of struct question */
};

static void end_questions(struct machine_link *l)
{
    struct question *q;

    while ((q = g_queue_pop_head(&l->questions))) {
        if (q->done)
            q->done(q->arg, NULL, -1, "the machine's process has ended");
        g_free(q);
    }
}

static void hang_up(struct machine_link *l)
{
    if (l->fd < 0)
        return;
    close(l->fd);
    l->fd = -1;
    l->source = 0; /* who calls us returns G_SOURCE_REMOVE, or nobody does */
    end_questions(l);
}

static struct question *find_question(struct machine_link *l, json_int_t id)
{
    for (GList *i = l->questions.head; i; i = i->next) {
        struct question *q = i->data;

        if (q->id == id) {
            g_queue_delete_link(&l->questions, i);
            return q;
        }
    }
    return NULL;
}

static void take_answer(struct machine_link *l, json_t *o)
{
    struct question *q = find_question(l, json_integer_value(json_object_get(o, "id")));
    json_t *result = json_object_get(o, "result");
    const char *message = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    int fd = -1;

    if (q && q->takes_fd) {
        fd = l->came_fd;
        l->came_fd = -1;
    }
    if (q && q->done) {
        q->done(q->arg, result, fd, result ? NULL : message ? message : "an answer that is none");
    }
    g_free(q);
}

static void take_line(struct machine_link *l, const char *line, gsize len)
{
    json_t *o = json_loadb(line, len, 0, NULL);
    const char *event = json_string_value(json_object_get(o, "event"));

    if (event)
        l->ops->event(l->arg, event, o);
    else if (o)
        take_answer(l, o);
    json_decref(o);
}

static gboolean receive(struct machine_link *l)
{
    char buffer[16384];
    int fd;
    ssize_t n = receive_with_fd(l->fd, buffer, sizeof(buffer), MSG_DONTWAIT, &fd);

    if (fd >= 0) {
        close_received(l->came_fd);
        l->came_fd = fd;
    }
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    g_byte_array_append(l->in, (guint8 *)buffer, (guint)n);
    return n > 0 && l->in->len <= LINE_MAX_BYTES;
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer data)
{
    struct machine_link *l = data;
    gboolean more = receive(l);
    guint8 *end;

    while (l->fd >= 0 && l->in->len && (end = memchr(l->in->data, '\n', l->in->len))) {
        gsize len = (gsize)(end - l->in->data);
        char *line = g_strndup((char *)l->in->data, len);

        g_byte_array_remove_range(l->in, 0, (guint)len + 1);
        take_line(l, line, len);
        g_free(line);
    }
    if (more && l->fd >= 0)
        return G_SOURCE_CONTINUE;
    hang_up(l);
    l->ops->gone(l->arg);
    return G_SOURCE_REMOVE;
}

struct machine_link *machine_link_new(int fd, const struct machine_link_ops *ops, void *arg)
{
    struct machine_link *l = g_new0(struct machine_link, 1);

    l->fd = fd;
    l->ops = ops;
    l->arg = arg;
    l->came_fd = -1;
    l->in = g_byte_array_new();
    g_queue_init(&l->questions);
    l->source = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_readable, l);
    return l;
}

void machine_link_free(struct machine_link *l)
{
    if (l->source)
        g_source_remove(l->source);
    hang_up(l);
    if (l->came_fd >= 0)
        close(l->came_fd);
    g_byte_array_unref(l->in);
    g_free(l);
}

/* Requests are short and few: they fit into the socket, or its process does not read any more. */
static gboolean send_all(struct machine_link *l, const char *text, size_t len)
{
    return l->fd >= 0 && send(l->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static void ask(struct machine_link *l, const char *method, json_t *params, gboolean takes_fd, machine_link_done *done,
                void *arg)
{
    struct question *q = g_new0(struct question, 1);
    json_t *request = json_pack("{s:I, s:s, s:o}", "id", ++l->last_id, "method", method, "params",
                                params ? params : json_object());
    char *text = json_dumps(request, JSON_COMPACT), *line = g_strconcat(text, "\n", NULL);

    *q = (struct question){.id = l->last_id, .takes_fd = takes_fd, .done = done, .arg = arg};
    if (send_all(l, line, strlen(line))) {
        g_queue_push_tail(&l->questions, q);
    } else {
        if (done)
            done(arg, NULL, -1, "the machine's process does not listen");
        g_free(q);
    }
    g_free(line);
    free(text);
    json_decref(request);
}

void machine_link_ask(struct machine_link *l, const char *method, json_t *params, machine_link_done *done, void *arg)
{
    ask(l, method, params, FALSE, done, arg);
}

void machine_link_ask_fd(struct machine_link *l, const char *method, json_t *params, machine_link_done *done, void *arg)
{
    ask(l, method, params, TRUE, done, arg);
}
