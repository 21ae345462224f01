/* SPDX-License-Identifier: MIT */
#include "view_clipboard.h"

#include <sys/mman.h>
#include <unistd.h>

#include "view_content.h"
#include "view_impl.h"

#define PASTES_MAX 16u /* of the guest's, under way: as many as its agent may ask for */
#define RETRY_MS   200 /* the other end does not read just now */
#define PIECE      65536u

/* ---- What the guest pastes ------------------------------------------------------------------ */

struct paste {
    VzMachineView *view;
    guint connection;
    guint64 request;
    GInputStream *stream;
    int fd; /* where it is put */
    gsize len;
    guint8 piece[PIECE];
};

static gboolean send_pasted(VzMachineView *view, guint64 request, int fd)
{
    const struct vz_channel_pasted m = {.kind = VZ_CHANNEL_PASTED, .there = fd >= 0, .request = request};

    return view_channel_send_fd(&view->channel, &m, sizeof(m), fd);
}

/* Until the other end reads again: the guest waits for it. */
static gboolean give_pasted(gpointer data)
{
    struct paste *p = data;
    struct view_clipboard *c = &p->view->clipboard;

    if (c->connected && p->connection == c->connections && !send_pasted(p->view, p->request, p->fd))
        return G_SOURCE_CONTINUE;
    c->pastes--;
    if (p->fd >= 0)
        close(p->fd);
    g_object_unref(p->view);
    g_free(p);
    return G_SOURCE_REMOVE;
}

static void end_paste(struct paste *p, gboolean ok)
{
    g_clear_object(&p->stream);
    if (!ok && p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
    if (give_pasted(p) == G_SOURCE_CONTINUE)
        g_timeout_add(RETRY_MS, give_pasted, p);
}

static void read_more(struct paste *p);

static void on_read(GObject *stream, GAsyncResult *result, gpointer data)
{
    struct paste *p = data;
    gssize n = g_input_stream_read_finish(G_INPUT_STREAM(stream), result, NULL);

    if (n <= 0) {
        end_paste(p, n == 0);
        return;
    }
    if (p->len + (gsize)n > VZ_CLIPBOARD_MAX || pwrite(p->fd, p->piece, (gsize)n, (off_t)p->len) != n) {
        end_paste(p, FALSE);
        return;
    }
    p->len += (gsize)n;
    read_more(p);
}

static void read_more(struct paste *p)
{
    g_input_stream_read_async(p->stream, p->piece, PIECE, G_PRIORITY_DEFAULT, NULL, on_read, p);
}

static void on_opened(GObject *desktop, GAsyncResult *result, gpointer data)
{
    struct paste *p = data;

    p->stream = gdk_clipboard_read_finish(GDK_CLIPBOARD(desktop), result, NULL, NULL);
    if (p->stream)
        p->fd = memfd_create("vz-clipboard", MFD_CLOEXEC);
    if (p->fd >= 0)
        read_more(p);
    else
        end_paste(p, FALSE);
}

/* Content of the desktop's, and only while the user is here. */
static gboolean may_have(VzMachineView *view, const struct view_selection *s)
{
    struct view_clipboard *c = &view->clipboard;

    return view->shares_clipboard && c->connected && c->focused && c->pastes < PASTES_MAX &&
           !view_content_is_of(gdk_clipboard_get_formats(s->desktop), c->machine);
}

static void on_paste(VzMachineView *view, const struct vz_channel_paste *m)
{
    struct view_clipboard *c = &view->clipboard;
    struct view_selection *s = &c->selection[m->selection];
    struct paste *p;

    if (!may_have(view, s)) {
        send_pasted(view, m->request, -1);
        return;
    }
    p = g_new0(struct paste, 1);
    p->view = g_object_ref(view);
    p->connection = c->connections;
    p->request = m->request;
    p->fd = -1;
    c->pastes++;
    gdk_clipboard_read_async(s->desktop, (const char **)(uintptr_t)view_content_names(m->type), G_PRIORITY_DEFAULT,
                             NULL, on_opened, p);
}

/* ---- What the desktop pastes ---------------------------------------------------------------- */

static void get(gpointer user, GTask *task, guint selection, guint type, guint32 serial)
{
    VzMachineView *view = user;
    struct view_clipboard *c = &view->clipboard;
    const struct vz_channel_get m = {.kind = VZ_CHANNEL_GET, .selection = selection, .type = type, .serial = serial,
                                     .request = ++c->last_request};

    if (c->connected && view->shares_clipboard && view_channel_send(&view->channel, &m, sizeof(m)))
        g_hash_table_insert(c->gets, g_memdup2(&m.request, sizeof(m.request)), task);
    else
        view_content_got(task, -1);
}

static void on_got(VzMachineView *view, const struct vz_channel_got *m, int fd)
{
    gpointer key, task;

    if (g_hash_table_steal_extended(view->clipboard.gets, &m->request, &key, &task)) {
        g_free(key);
        view_content_got(task, m->there ? fd : -1);
        fd = m->there ? -1 : fd;
    }
    if (fd >= 0)
        close(fd);
}

static gboolean give_up(gpointer key, gpointer task, gpointer data)
{
    view_content_got(task, -1);
    return TRUE;
}

/* ---- Who has copied last -------------------------------------------------------------------- */

/* Is what the desktop has what we put there? */
static gboolean is_ours(const struct view_selection *s)
{
    return s->content && gdk_clipboard_get_content(s->desktop) == s->content;
}

static gboolean on_retry(gpointer data);

static void retry_later(VzMachineView *view)
{
    if (!view->clipboard.retry)
        view->clipboard.retry = g_timeout_add(RETRY_MS, on_retry, view);
}

/* Ask to hear what the guest copies next. It tells nothing to one that has not asked. */
static void ask_next(VzMachineView *view)
{
    const struct vz_channel_next_copied next = {.kind = VZ_CHANNEL_NEXT_COPIED};

    view->clipboard.unasked = !view_channel_send(&view->channel, &next, sizeof(next));
    if (view->clipboard.unasked)
        retry_later(view);
}

/* Tell the guest what the desktop has. Its own it knows. */
static void tell(VzMachineView *view, struct view_selection *s)
{
    struct view_clipboard *c = &view->clipboard;
    GdkContentFormats *formats = gdk_clipboard_get_formats(s->desktop);
    const struct vz_channel_copy m = {.kind = VZ_CHANNEL_COPY, .selection = (guint32)(s - c->selection),
                                      .types = view_content_types(formats)};

    s->untold = !view_content_is_of(formats, c->machine) && !view_channel_send(&view->channel, &m, sizeof(m));
    if (s->untold)
        retry_later(view);
}

/* The guest's is the desktop's from now on. */
static void claim(VzMachineView *view, struct view_selection *s)
{
    struct view_clipboard *c = &view->clipboard;
    const struct view_content_source source = {get, view};
    GdkContentProvider *content = view_content_new(&source, (guint)(s - c->selection), s->types, s->serial, c->machine);

    g_set_object(&s->content, content); /* before anybody hears that it is there */
    s->unclaimed = s->untold = FALSE;
    gdk_clipboard_set_content(s->desktop, content);
    g_object_unref(content);
}

static void let_go(struct view_selection *s)
{
    GdkContentProvider *content = s->content;

    s->unclaimed = FALSE;
    if (is_ours(s))
        gdk_clipboard_set_content(s->desktop, NULL);
    if (s->content == content)
        g_clear_object(&s->content);
}

/* The one that copied later has both sides. What the desktop has got counts as later: the user has been there. */
static void settle(VzMachineView *view, struct view_selection *s)
{
    if (!view->shares_clipboard || !view->clipboard.connected || !s->desktop)
        return;
    if (s->unclaimed && is_ours(s)) /* it has the guest's, and gets what is new of it */
        claim(view, s);
    else if (!view->clipboard.focused)
        return;
    else if (s->untold && view_content_types(gdk_clipboard_get_formats(s->desktop)))
        tell(view, s);
    else if (s->unclaimed)
        claim(view, s);
    else if (s->untold)
        tell(view, s);
}

static void settle_all(VzMachineView *view)
{
    for (guint i = 0; i < G_N_ELEMENTS(view->clipboard.selection); i++)
        settle(view, &view->clipboard.selection[i]);
}

static gboolean on_retry(gpointer data)
{
    VzMachineView *view = data;

    view->clipboard.retry = 0;
    if (view->clipboard.unasked)
        ask_next(view);
    settle_all(view);
    return G_SOURCE_REMOVE;
}

static void on_changed(GdkClipboard *desktop, VzMachineView *view)
{
    struct view_selection *s = view->clipboard.selection;

    s += s->desktop != desktop;
    if (is_ours(s))
        return;
    g_clear_object(&s->content);
    s->untold = TRUE;
    s->unclaimed = FALSE;
    settle(view, s);
}

static void on_copied(VzMachineView *view, const struct vz_channel_copied *m)
{
    for (guint i = 0; i < G_N_ELEMENTS(view->clipboard.selection); i++) {
        struct view_selection *s = &view->clipboard.selection[i];

        if (m->selection[i].types && (m->selection[i].serial != s->serial || m->selection[i].types != s->types)) {
            s->unclaimed = TRUE;
            s->untold = s->untold && !view->clipboard.focused;
        }
        s->serial = m->selection[i].serial;
        s->types = m->selection[i].types;
        if (s->types)
            settle(view, s);
        else
            let_go(s);
    }
    ask_next(view);
}

gboolean view_clipboard_take(VzMachineView *view, const union view_message *m, int fd)
{
    if (!view->clipboard.connected)
        return FALSE;
    if (m->kind == VZ_CHANNEL_GOT)
        on_got(view, &m->got, fd);
    else if (m->kind == VZ_CHANNEL_COPIED)
        on_copied(view, &m->copied);
    else if (m->kind == VZ_CHANNEL_PASTE)
        on_paste(view, &m->paste);
    else
        return FALSE;
    return TRUE;
}

/* ---- Its life ------------------------------------------------------------------------------- */

void view_clipboard_focus(VzMachineView *view, gboolean focused)
{
    view->clipboard.focused = focused;
    settle_all(view);
}

/* Nothing of the desktop's is on offer to the guest any more, nor the other way round. */
static void part(VzMachineView *view)
{
    for (guint i = 0; i < G_N_ELEMENTS(view->clipboard.selection); i++) {
        const struct vz_channel_copy none = {.kind = VZ_CHANNEL_COPY, .selection = i};
        struct view_selection *s = &view->clipboard.selection[i];

        if (s->desktop)
            let_go(s);
        s->untold = TRUE;
        s->unclaimed = s->types > 0;
        view_channel_send(&view->channel, &none, sizeof(none));
    }
}

void view_clipboard_share(VzMachineView *view)
{
    if (view->shares_clipboard)
        settle_all(view);
    else
        part(view);
}

void view_clipboard_connect(VzMachineView *view)
{
    GdkDisplay *display = gtk_widget_get_display(GTK_WIDGET(view));
    struct view_clipboard *c = &view->clipboard;

    if (!view->channel.hello.clipboard)
        return;
    c->connected = TRUE;
    c->machine = view->channel.hello.clipboard;
    c->gets = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    c->selection[VZ_SELECTION_CLIPBOARD].desktop = gdk_display_get_clipboard(display);
    c->selection[VZ_SELECTION_PRIMARY].desktop = gdk_display_get_primary_clipboard(display);
    for (guint i = 0; i < G_N_ELEMENTS(c->selection); i++) {
        struct view_selection *s = &c->selection[i];

        g_object_ref(s->desktop);
        s->changed = g_signal_connect(s->desktop, "changed", G_CALLBACK(on_changed), view);
        s->untold = TRUE;
    }
    ask_next(view);
    settle_all(view);
}

void view_clipboard_disconnect(VzMachineView *view)
{
    struct view_clipboard *c = &view->clipboard;

    if (!c->connected)
        return;
    c->connected = FALSE;
    c->connections++;
    if (c->retry)
        g_source_remove(c->retry);
    c->retry = 0;
    c->unasked = FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(c->selection); i++) {
        struct view_selection *s = &c->selection[i];

        g_signal_handler_disconnect(s->desktop, s->changed);
        let_go(s);
        g_clear_object(&s->desktop);
        *s = (struct view_selection){.desktop = NULL};
    }
    g_hash_table_foreach_remove(c->gets, give_up, NULL);
    g_clear_pointer(&c->gets, g_hash_table_unref);
}
