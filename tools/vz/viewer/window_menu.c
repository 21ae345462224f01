/* SPDX-License-Identifier: MIT */
#include "viewer/window_menu.h"

/* What is to be seen, and what key_chord_parse() makes keys of. */
static const struct {
    const char *label, *keys;
} chords[] = {
    {"Ctrl+Alt+Delete", "ctrl-alt-delete"}, {"Ctrl+Alt+Backspace", "ctrl-alt-backspace"},
    {"Ctrl+Alt+F1", "ctrl-alt-f1"}, {"Ctrl+Alt+F2", "ctrl-alt-f2"}, {"Ctrl+Alt+F3", "ctrl-alt-f3"},
    {"Ctrl+Alt+F7", "ctrl-alt-f7"}, {"Ctrl+Alt+F", "ctrl-alt-f"}, {"Alt+Tab", "alt-tab"}, {"Alt+F4", "alt-f4"},
    {"Super", "super"}, {"Print Screen", "print"}, {"Alt+Print Screen", "alt-print"}};

static GMenu *section(GMenu *menu, const char *const *entries)
{
    GMenu *s = g_menu_new();

    for (; entries[0]; entries += 2)
        g_menu_append(s, entries[0], entries[1]);
    g_menu_append_section(menu, NULL, G_MENU_MODEL(s));
    g_object_unref(s);
    return s;
}

static void add_keys(GMenu *menu)
{
    GMenu *keys = g_menu_new();

    for (gsize i = 0; i < G_N_ELEMENTS(chords); i++) {
        GMenuItem *item = g_menu_item_new(chords[i].label, NULL);

        g_menu_item_set_action_and_target_value(item, "vm.keys", g_variant_new_string(chords[i].keys));
        g_menu_append_item(keys, item);
        g_object_unref(item);
    }
    g_menu_append_submenu(menu, "Send Keys", G_MENU_MODEL(keys));
    g_object_unref(keys);
}

GMenuModel *window_menu_new(GSimpleActionGroup *actions, GMenuModel *disks)
{
    static const char *const life[] = {"Pause", "vm.pause", "Resume", "vm.resume", "Save", "vm.save", NULL};
    static const char *const picture[] = {"Screenshot", "vm.screenshot", "Full Screen (Ctrl+Alt+F)", "vm.full-screen",
                                          "Guest's Size Follows the Window", "vm.follow",
                                          "Desktop's Keys to the Guest", "vm.system-keys",
                                          "Share the Clipboard", "vm.share-clipboard", NULL};
    static const char *const end[] = {"Shut Down", "vm.shut-down", "Turn Off", "vm.turn-off", NULL};
    GMenu *menu = g_menu_new(), *displays = g_menu_new(), *s;

    section(menu, life);
    add_keys(s = section(menu, picture));
    g_menu_append_submenu(s, "_Disks and Discs", disks);
    g_menu_append_section(menu, NULL, G_MENU_MODEL(displays));
    g_object_set_data_full(G_OBJECT(actions), "displays", displays, g_object_unref);
    section(menu, end);
    return G_MENU_MODEL(menu);
}

void window_menu_displays(GSimpleActionGroup *actions, guint count)
{
    GMenu *displays = g_object_get_data(G_OBJECT(actions), "displays");

    g_menu_remove_all(displays);
    for (guint i = 0; count > 1 && i < count; i++) {
        char *label = g_strdup_printf("Display %u", i + 1);
        GMenuItem *item = g_menu_item_new(label, NULL);

        g_menu_item_set_action_and_target_value(item, "vm.display", g_variant_new_int32((gint32)i));
        g_menu_append_item(displays, item);
        g_object_unref(item);
        g_free(label);
    }
}
