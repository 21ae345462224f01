/* SPDX-License-Identifier: MIT */
/* What is dropped on the view: files are sent to the guest's user by its SPICE agent, some at a time; text is as if it
 * had been copied. */
#include "view_impl.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNDER_WAY_MAX 2u /* the agent has a place for eight, of all viewers */

struct file {
    guint64 number; /* 0: not sent yet */
    char *path, *name;
    guint64 done, total;
};

static const char *const why_not[] = {
    [VZ_CHANNEL_FILE_CANCELLED] = "cancelled",
    [VZ_CHANNEL_FILE_FAILED] = "the guest cannot write it",
    [VZ_CHANNEL_FILE_NO_SPACE] = "the guest has no space for it",
    [VZ_CHANNEL_FILE_LOCKED] = "the guest's screen is locked",
    [VZ_CHANNEL_FILE_NO_SESSION] = "nobody has logged in to the guest's desktop",
    [VZ_CHANNEL_FILE_DISABLED] = "the guest's agent takes no files",
    [VZ_CHANNEL_FILE_NO_AGENT] = "there is no SPICE agent in the guest",
    [VZ_CHANNEL_FILE_BUSY] = "too many files are on their way",
    [VZ_CHANNEL_FILE_BAD] = "it cannot be read, or has a name that the guest's cannot have",
};

/* ---- What is told --------------------------------------------------------------------------- */

guint vz_machine_view_get_files_pending(VzMachineView *view)
{
    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), 0);
    return view->files.list.length;
}

double vz_machine_view_get_files_fraction(VzMachineView *view)
{
    guint64 done;

    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view), 0);
    done = view->files.done;
    for (GList *i = view->files.list.head; i; i = i->next)
        done += ((struct file *)i->data)->done;
    return view->files.total ? (double)done / (double)view->files.total : 0;
}

static void tell_progress(VzMachineView *view)
{
    g_object_notify(G_OBJECT(view), "files-pending");
    g_object_notify(G_OBJECT(view), "files-fraction");
}

/* It is over: error is NULL, or why it has not arrived. The last one ends the count. */
static void end(VzMachineView *view, GList *link, const char *error)
{
    struct file *f = link->data;

    g_queue_delete_link(&view->files.list, link);
    view->files.done += f->total;
    if (!view->files.list.length)
        view->files.done = view->files.total = 0;
    g_signal_emit_by_name(view, "file-sent", f->name, error);
    tell_progress(view);
    g_free(f->path);
    g_free(f->name);
    g_free(f);
}

/* ---- Sending -------------------------------------------------------------------------------- */

/* False: it does not go. */
static gboolean send_one(VzMachineView *view, struct file *f)
{
    struct vz_channel_send_file m = {.kind = VZ_CHANNEL_SEND_FILE, .file = ++view->files.last};
    int fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would have us wait, and is refused */
    gboolean sent;

    if (fd < 0)
        return FALSE;
    g_strlcpy(m.name, f->name, sizeof(m.name));
    sent = view_channel_send_fd(&view->channel, &m, sizeof(m), fd);
    close(fd);
    f->number = m.file;
    return sent;
}

static void send_next(VzMachineView *view)
{
    guint under_way = 0;
    GList *next;

    for (GList *i = view->files.list.head; i && under_way < UNDER_WAY_MAX; i = next) {
        struct file *f = i->data;

        next = i->next;
        if (f->number || send_one(view, f)) {
            under_way++;
        } else {
            end(view, i, why_not[VZ_CHANNEL_FILE_BAD]);
            next = view->files.list.head; /* whoever heard of it may have changed the list */
            under_way = 0;
        }
    }
}

void view_files_take(VzMachineView *view, const struct vz_channel_file *m)
{
    for (GList *i = view->files.list.head; i; i = i->next) {
        struct file *f = i->data;

        if (!f->number || f->number != m->file)
            continue;
        f->done = MIN(m->done, f->total);
        if (m->state == VZ_CHANNEL_FILE_GOES_ON) {
            tell_progress(view);
        } else {
            end(view, i, m->state < G_N_ELEMENTS(why_not) ? why_not[m->state] : why_not[VZ_CHANNEL_FILE_FAILED]);
            send_next(view);
        }
        return;
    }
}

static gboolean refuse(GError **error, const char *name, const char *why)
{
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "%s: %s", name, why);
    return FALSE;
}

static gboolean takes_files(VzMachineView *view)
{
    return view->channel.fd >= 0 && view->channel.hello.clipboard;
}

static gboolean add(VzMachineView *view, char *path, const char *name, GError **error)
{
    struct file *f;
    struct stat st;

    if (!takes_files(view))
        return refuse(error, name, "the machine has no SPICE agent (--clipboard)");
    if (!path || stat(path, &st) < 0)
        return refuse(error, name, "that is no file of this computer");
    if (!S_ISREG(st.st_mode))
        return refuse(error, name, S_ISDIR(st.st_mode) ? "folders cannot be sent" : "that is no regular file");
    if (strlen(name) >= VZ_CHANNEL_FILE_NAME_MAX)
        return refuse(error, name, "its name is too long");
    f = g_new0(struct file, 1);
    f->path = g_strdup(path);
    f->name = g_strdup(name);
    f->total = (guint64)st.st_size;
    g_queue_push_tail(&view->files.list, f);
    view->files.total += f->total;
    return TRUE;
}

gboolean vz_machine_view_send_file(VzMachineView *view, GFile *file, GError **error)
{
    char *path, *name;
    gboolean ok;

    g_return_val_if_fail(VZ_IS_MACHINE_VIEW(view) && G_IS_FILE(file), FALSE);
    path = g_file_get_path(file);
    name = path ? g_filename_display_basename(path) : g_file_get_uri(file);
    ok = add(view, path, name, error);
    g_free(name);
    g_free(path);
    if (!ok)
        return FALSE;
    tell_progress(view);
    send_next(view);
    return TRUE;
}

/* Those that are on their way are heard of when they are over. */
static void cancel_under_way(VzMachineView *view)
{
    for (GList *i = view->files.list.head; i; i = i->next) {
        const struct file *f = i->data;
        const struct vz_channel_cancel_file m = {.kind = VZ_CHANNEL_CANCEL_FILE, .file = f->number};

        if (m.file)
            view_channel_send(&view->channel, &m, sizeof(m));
    }
}

void vz_machine_view_cancel_files(VzMachineView *view)
{
    g_return_if_fail(VZ_IS_MACHINE_VIEW(view));
    cancel_under_way(view);
    while (view->files.list.tail && !((struct file *)view->files.list.tail->data)->number)
        end(view, view->files.list.tail, why_not[VZ_CHANNEL_FILE_CANCELLED]);
}

void view_files_forget(VzMachineView *view)
{
    while (view->files.list.head)
        end(view, view->files.list.head, "the machine is gone");
}

/* ---- Dropping ------------------------------------------------------------------------------- */

static gboolean drop_files(VzMachineView *view, GSList *files)
{
    for (GSList *i = files; i; i = i->next) {
        GError *error = NULL;
        char *name;

        if (vz_machine_view_send_file(view, i->data, &error))
            continue;
        name = g_file_get_basename(i->data);
        g_signal_emit_by_name(view, "file-sent", name ? name : "?", error->message);
        g_free(name);
        g_error_free(error);
    }
    return files != NULL;
}

static gboolean on_drop(GtkDropTarget *target, const GValue *value, double x, double y, VzMachineView *view)
{
    if (!takes_files(view))
        return FALSE;
    if (G_VALUE_HOLDS(value, GDK_TYPE_FILE_LIST))
        return drop_files(view, g_value_get_boxed(value));
    if (!G_VALUE_HOLDS_STRING(value) || !view->shares_clipboard || !g_value_get_string(value))
        return FALSE;
    gtk_widget_grab_focus(GTK_WIDGET(view));
    gdk_clipboard_set_text(gtk_widget_get_clipboard(GTK_WIDGET(view)), g_value_get_string(value));
    return TRUE;
}

void view_files_set_up(VzMachineView *view)
{
    GtkDropTarget *target = gtk_drop_target_new(G_TYPE_INVALID, GDK_ACTION_COPY);
    GType types[] = {GDK_TYPE_FILE_LIST, G_TYPE_STRING};

    g_queue_init(&view->files.list);
    gtk_drop_target_set_gtypes(target, types, G_N_ELEMENTS(types));
    g_signal_connect(target, "drop", G_CALLBACK(on_drop), view);
    gtk_widget_add_controller(GTK_WIDGET(view), GTK_EVENT_CONTROLLER(target));
}
