/* SPDX-License-Identifier: MIT */
#include "view_content.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <vz/clipboard.h>

struct _ViewContent {
    GdkContentProvider parent;
    GWeakRef user;
    void (*get)(gpointer user, GTask *task, guint selection, guint type, guint32 serial);
    guint selection, types;
    guint32 serial, machine;
};

G_DEFINE_FINAL_TYPE(ViewContent, view_content, GDK_TYPE_CONTENT_PROVIDER)

static const char *const names[][3] = {
    [VZ_CLIPBOARD_TEXT] = {"text/plain;charset=utf-8", "text/plain"},
    [VZ_CLIPBOARD_PNG] = {"image/png"},
    [VZ_CLIPBOARD_BMP] = {"image/bmp"},
    [VZ_CLIPBOARD_TIFF] = {"image/tiff"},
    [VZ_CLIPBOARD_JPEG] = {"image/jpeg"},
};

const char *const *view_content_names(guint type)
{
    return names[type];
}

/* By which a machine's views know what is its guest's own, and do not give it back. */
static char *mark(guint32 machine)
{
    return g_strdup_printf("application/x-vz-machine-%08x", machine);
}

guint view_content_types(GdkContentFormats *formats)
{
    guint types = 0;

    for (guint type = VZ_CLIPBOARD_TEXT; type <= VZ_CLIPBOARD_JPEG; type++) {
        for (const char *const *name = names[type]; *name; name++)
            types |= gdk_content_formats_contain_mime_type(formats, *name) ? VZ_CLIPBOARD_BIT(type) : 0;
    }
    return types;
}

gboolean view_content_is_of(GdkContentFormats *formats, guint32 machine)
{
    char *name = mark(machine);
    gboolean is = gdk_content_formats_contain_mime_type(formats, name);

    g_free(name);
    return is;
}

static GdkContentFormats *ref_formats(GdkContentProvider *provider)
{
    ViewContent *c = VIEW_CONTENT(provider);
    GdkContentFormatsBuilder *b = gdk_content_formats_builder_new();
    char *name = mark(c->machine);

    for (guint type = VZ_CLIPBOARD_TEXT; type <= VZ_CLIPBOARD_JPEG; type++) {
        for (const char *const *n = names[type]; *n && (c->types & VZ_CLIPBOARD_BIT(type)); n++)
            gdk_content_formats_builder_add_mime_type(b, *n);
    }
    gdk_content_formats_builder_add_mime_type(b, name);
    g_free(name);
    return gdk_content_formats_builder_free_to_formats(b);
}

/* Nothing is kept for when the program has ended: it would have to travel without having been pasted. */
static GdkContentFormats *ref_storable_formats(GdkContentProvider *provider)
{
    return gdk_content_formats_new(NULL, 0);
}

static guint type_of(const char *mime_type)
{
    for (guint type = VZ_CLIPBOARD_TEXT; type <= VZ_CLIPBOARD_JPEG; type++) {
        if (g_strv_contains(names[type], mime_type))
            return type;
    }
    return 0;
}

static void fail(GTask *task)
{
    g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_NOT_FOUND, "the guest does not have it any more");
    g_object_unref(task);
}

static void write_mime_type_async(GdkContentProvider *provider, const char *mime_type, GOutputStream *stream,
                                  int io_priority, GCancellable *cancellable, GAsyncReadyCallback callback,
                                  gpointer user_data)
{
    ViewContent *c = VIEW_CONTENT(provider);
    GTask *task = g_task_new(provider, cancellable, callback, user_data);
    guint type = type_of(mime_type);
    gpointer user = g_weak_ref_get(&c->user);

    g_task_set_priority(task, io_priority);
    g_task_set_task_data(task, g_object_ref(stream), g_object_unref);
    if (user && type)
        c->get(user, task, c->selection, type, c->serial);
    else
        fail(task);
    g_clear_object(&user);
}

static gboolean write_mime_type_finish(GdkContentProvider *provider, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

static void on_written(GObject *stream, GAsyncResult *result, gpointer data)
{
    GTask *task = data;
    GError *error = NULL;

    if (g_output_stream_write_all_finish(G_OUTPUT_STREAM(stream), result, NULL, &error))
        g_task_return_boolean(task, TRUE);
    else
        g_task_return_error(task, error);
    g_object_unref(task);
}

/* NULL: it is no file in memory, for which nobody has to wait, or longer than content may be. */
static GByteArray *read_file(int fd)
{
    GByteArray *all;
    guint8 piece[65536];
    ssize_t n;

    if (fcntl(fd, F_GET_SEALS) < 0)
        return NULL;
    all = g_byte_array_new();
    do {
        n = pread(fd, piece, sizeof(piece), all->len);
        if (n > 0)
            g_byte_array_append(all, piece, (guint)n);
    } while ((n > 0 && all->len <= VZ_CLIPBOARD_MAX) || (n < 0 && errno == EINTR));
    if (n == 0)
        return all;
    g_byte_array_unref(all);
    return NULL;
}

void view_content_got(GTask *task, int fd)
{
    GByteArray *all = fd >= 0 ? read_file(fd) : NULL;

    if (fd >= 0)
        close(fd);
    if (!all) {
        fail(task);
        return;
    }
    g_object_set_data_full(G_OBJECT(task), "content", all, (GDestroyNotify)g_byte_array_unref);
    g_output_stream_write_all_async(g_task_get_task_data(task), all->data, all->len, g_task_get_priority(task),
                                    g_task_get_cancellable(task), on_written, task);
}

static void finalize(GObject *object)
{
    g_weak_ref_clear(&VIEW_CONTENT(object)->user);
    G_OBJECT_CLASS(view_content_parent_class)->finalize(object);
}

static void view_content_class_init(ViewContentClass *class)
{
    GdkContentProviderClass *provider = GDK_CONTENT_PROVIDER_CLASS(class);

    G_OBJECT_CLASS(class)->finalize = finalize;
    provider->ref_formats = ref_formats;
    provider->ref_storable_formats = ref_storable_formats;
    provider->write_mime_type_async = write_mime_type_async;
    provider->write_mime_type_finish = write_mime_type_finish;
}

static void view_content_init(ViewContent *c)
{
    g_weak_ref_init(&c->user, NULL);
}

GdkContentProvider *view_content_new(const struct view_content_source *source, guint selection, guint types,
                                     guint32 serial, guint32 machine)
{
    ViewContent *c = g_object_new(VIEW_TYPE_CONTENT, NULL);

    g_weak_ref_set(&c->user, source->user);
    c->get = source->get;
    c->selection = selection;
    c->types = types;
    c->serial = serial;
    c->machine = machine;
    return GDK_CONTENT_PROVIDER(c);
}
