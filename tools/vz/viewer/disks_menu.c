/* SPDX-License-Identifier: MIT */
#include "viewer/disks_menu.h"

#include <unistd.h>

struct disks_menu {
    struct machine_link *link;
    GtkWindow *window;
    GSimpleActionGroup *actions;
    disks_menu_tell_fn *tell;
    void *arg;
    GMenu *menu;
    GHashTable *names;    /* of files that we know devices to have, by UUID, or number of a drive */
    GtkNativeDialog *ask; /* for a file, one at a time; NULL: none */
    char *drive;          /* whose disc is asked for, as a number; NULL: it is for a disk */
    int refs;             /* what has been asked of the machine may be answered when we are gone */
};

static void unref(struct disks_menu *d)
{
    if (--d->refs)
        return;
    g_hash_table_unref(d->names);
    g_object_unref(d->menu);
    g_free(d->drive);
    g_free(d);
}

/* ---- What there is -------------------------------------------------------------------------- */

/* name: of a file's name, in which an underscore is none before a letter to press. */
static char *label_of(const char *format, const char *name)
{
    char **parts = g_strsplit(name, "_", 0), *escaped = g_strjoinv("__", parts);
    char *label = g_strdup_printf(format, escaped);

    g_strfreev(parts);
    g_free(escaped);
    return label;
}

static void add_item(GMenu *menu, const char *action, const char *target, const char *format, const char *name)
{
    char *label = label_of(format, name);
    GMenuItem *item = g_menu_item_new(label, NULL);

    if (target)
        g_menu_item_set_action_and_target_value(item, action, g_variant_new_string(target));
    else
        g_menu_item_set_detailed_action(item, action);
    g_menu_append_item(menu, item);
    g_object_unref(item);
    g_free(label);
}

static char *name_of(struct disks_menu *d, const char *key, const char *kind, int number)
{
    const char *known = g_hash_table_lookup(d->names, key);

    return known ? g_strdup(known) : g_strdup_printf("%s %d", kind, number);
}

static void add_drive(struct disks_menu *d, json_t *device, int number)
{
    char *key = g_strdup_printf("%d", (int)json_integer_value(json_object_get(device, "disk")));
    char *drive = g_strdup_printf("CD Drive %d", number), *disc;

    add_item(d->menu, "vm.insert-disc", key, "_Insert a Disc into %s ...", drive);
    if (json_is_true(json_object_get(device, "disc"))) {
        disc = name_of(d, key, "Disc of CD Drive", number);
        add_item(d->menu, "vm.eject-disc", key, "_Eject %s", disc);
        g_free(disc);
    } else {
        g_hash_table_remove(d->names, key);
    }
    g_free(drive);
    g_free(key);
}

/* Or a device of the host. */
static void add_disk(struct disks_menu *d, json_t *device, int number)
{
    const char *uuid = json_string_value(json_object_get(device, "uuid"));
    const char *hosts = json_string_value(json_object_get(device, "device"));
    char *name;

    if (!uuid || !*uuid)
        return;
    name = hosts ? g_strdup_printf("USB Device %s", hosts) : name_of(d, uuid, "USB Disk", number);
    add_item(d->menu, "vm.detach-usb", uuid, "De_tach %s", name);
    g_free(name);
}

static void on_devices(void *arg, json_t *result, int fd, const char *error)
{
    struct disks_menu *d = arg;
    int disks = 0, drives = 0;
    json_t *device;
    size_t i;

    if (d->link) {
        g_menu_remove_all(d->menu);
        add_item(d->menu, error ? "vm.nothing" : "vm.attach-usb", NULL, error ? "No USB %s" : "_Attach a USB %s ...",
                 error ? "Controller" : "Disk");
        json_array_foreach(json_object_get(result, "devices"), i, device) {
            if (!g_strcmp0(json_string_value(json_object_get(device, "kind")), "cdrom"))
                add_drive(d, device, ++drives);
            else
                add_disk(d, device, disks += !json_object_get(device, "device"));
        }
    }
    unref(d);
}

void disks_menu_refresh(struct disks_menu *d)
{
    d->refs++;
    machine_link_ask(d->link, "usb-devices", NULL, on_devices, d);
}

GMenuModel *disks_menu_model(struct disks_menu *d)
{
    return G_MENU_MODEL(d->menu);
}

/* ---- What becomes of it --------------------------------------------------------------------- */

struct change {
    struct disks_menu *d;
    char *done; /* what to say then */
};

static void on_changed(void *arg, json_t *result, int fd, const char *error)
{
    struct change *c = arg;

    if (c->d->link) {
        c->d->tell(c->d->arg, error ? error : c->done);
        disks_menu_refresh(c->d);
    }
    unref(c->d);
    g_free(c->done);
    g_free(c);
}

/* done: taken, as params is. */
static void change(struct disks_menu *d, const char *method, json_t *params, char *done)
{
    struct change *c = g_new(struct change, 1);

    *c = (struct change){d, done};
    d->refs++;
    machine_link_ask(d->link, method, params, on_changed, c);
}

static void attach(struct disks_menu *d, const char *path)
{
    char *uuid = g_uuid_string_random(), *name = g_filename_display_basename(path);
    json_t *image = json_pack("{s:s, s:s, s:b}", "type", "diskImage", "path", path, "readOnly",
                              access(path, W_OK) < 0);

    g_hash_table_insert(d->names, g_strdup(uuid), g_strdup(name));
    change(d, "attach-usb", json_pack("{s:{s:s, s:s, s:o}}", "device", "type", "usbMassStorage", "uuid", uuid,
                                      "attachment", image),
           g_strdup_printf("%s is attached.", name));
    g_free(name);
    g_free(uuid);
}

static void insert(struct disks_menu *d, const char *path)
{
    char *name = g_filename_display_basename(path);

    g_hash_table_insert(d->names, g_strdup(d->drive), g_strdup(name));
    change(d, "set-disc", json_pack("{s:I, s:{s:s, s:s}}", "disk", (json_int_t)g_ascii_strtoll(d->drive, NULL, 10),
                                    "attachment", "type", "diskImage", "path", path),
           g_strdup_printf("%s is inserted.", name));
    g_free(name);
}

/* ---- Asking for a file ---------------------------------------------------------------------- */

G_GNUC_BEGIN_IGNORE_DEPRECATIONS /* GTK 4.10 has another way, which 4.8 has not */
static void on_file(GtkNativeDialog *ask, int response, struct disks_menu *d)
{
    GFile *file = response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file(GTK_FILE_CHOOSER(ask)) : NULL;
    char *path = file ? g_file_get_path(file) : NULL;

    if (path && d->drive)
        insert(d, path);
    else if (path)
        attach(d, path);
    else if (file)
        d->tell(d->arg, "That is not a file of this computer.");
    g_free(path);
    g_clear_object(&file);
    gtk_native_dialog_destroy(ask);
    g_clear_object(&d->ask);
}

/* drive: NULL, for a disk. */
static void ask_for_file(struct disks_menu *d, const char *title, const char *drive,
                         const char *const *suffixes)
{
    GtkFileFilter *some = gtk_file_filter_new(), *all = gtk_file_filter_new();

    if (d->ask) {
        gtk_native_dialog_show(d->ask);
        return;
    }
    g_free(d->drive);
    d->drive = g_strdup(drive);
    d->ask = GTK_NATIVE_DIALOG(gtk_file_chooser_native_new(title, d->window, GTK_FILE_CHOOSER_ACTION_OPEN, NULL, NULL));
    gtk_file_filter_set_name(some, drive ? "Discs" : "Disks");
    for (; *suffixes; suffixes++)
        gtk_file_filter_add_suffix(some, *suffixes);
    gtk_file_filter_set_name(all, "All Files");
    gtk_file_filter_add_pattern(all, "*");
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(d->ask), some);
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(d->ask), all);
    g_object_unref(some);
    g_object_unref(all);
    g_signal_connect(d->ask, "response", G_CALLBACK(on_file), d);
    gtk_native_dialog_set_modal(d->ask, TRUE);
    gtk_native_dialog_show(d->ask);
}
G_GNUC_END_IGNORE_DEPRECATIONS

/* ---- Actions -------------------------------------------------------------------------------- */

static void on_attach(GSimpleAction *action, GVariant *parameter, struct disks_menu *d)
{
    static const char *const suffixes[] = {"img", "raw", "qcow2", "iso", NULL};

    ask_for_file(d, "Attach a USB Disk", NULL, suffixes);
}

static void on_insert(GSimpleAction *action, GVariant *parameter, struct disks_menu *d)
{
    static const char *const suffixes[] = {"iso", NULL};

    ask_for_file(d, "Insert a Disc", g_variant_get_string(parameter, NULL), suffixes);
}

static void on_detach(GSimpleAction *action, GVariant *parameter, struct disks_menu *d)
{
    change(d, "detach-usb", json_pack("{s:s}", "uuid", g_variant_get_string(parameter, NULL)),
           g_strdup("The disk is detached."));
}

static void on_eject(GSimpleAction *action, GVariant *parameter, struct disks_menu *d)
{
    json_int_t disk = g_ascii_strtoll(g_variant_get_string(parameter, NULL), NULL, 10);

    change(d, "set-disc", json_pack("{s:I}", "disk", disk), g_strdup("The drive is empty."));
}

static const struct {
    const char *name;
    gboolean has_target;
    void (*fn)(GSimpleAction *action, GVariant *parameter, struct disks_menu *d);
} entries[] = {{"attach-usb", FALSE, on_attach}, {"insert-disc", TRUE, on_insert}, {"detach-usb", TRUE, on_detach},
               {"eject-disc", TRUE, on_eject}};

struct disks_menu *disks_menu_new(struct machine_link *link, GSimpleActionGroup *actions, GtkWindow *window,
                                  disks_menu_tell_fn *tell, void *arg)
{
    struct disks_menu *d = g_new(struct disks_menu, 1);

    *d = (struct disks_menu){.link = link, .window = window, .actions = actions, .tell = tell, .arg = arg,
                             .menu = g_menu_new(), .refs = 1};
    d->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++) {
        GSimpleAction *a = g_simple_action_new(entries[i].name, entries[i].has_target ? G_VARIANT_TYPE_STRING : NULL);

        g_signal_connect(a, "activate", G_CALLBACK(entries[i].fn), d);
        g_action_map_add_action(G_ACTION_MAP(actions), G_ACTION(a));
        g_object_unref(a);
    }
    return d;
}

void disks_menu_free(struct disks_menu *d)
{
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++)
        g_action_map_remove_action(G_ACTION_MAP(d->actions), entries[i].name);
    if (d->ask)
        gtk_native_dialog_destroy(d->ask);
    g_clear_object(&d->ask);
    d->link = NULL;
    unref(d);
}
