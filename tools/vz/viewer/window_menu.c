/* SPDX-License-Identifier: MIT */
#include "viewer/window_menu.h"

#include <string.h>

#include <vz/input.h>

#define CTRL VZ_KEY(0xe0)
#define ALT  VZ_KEY(0xe2)

static const struct {
    const char *name;
    guint32 key[WINDOW_KEYS_MAX]; /* ends with 0, or at the end */
} chords[] = {
    {"Ctrl+Alt+Delete", {CTRL, ALT, VZ_KEY(0x4c)}}, {"Ctrl+Alt+Backspace", {CTRL, ALT, VZ_KEY(0x2a)}},
    {"Ctrl+Alt+F1", {CTRL, ALT, VZ_KEY(0x3a)}},     {"Ctrl+Alt+F2", {CTRL, ALT, VZ_KEY(0x3b)}},
    {"Ctrl+Alt+F3", {CTRL, ALT, VZ_KEY(0x3c)}},     {"Ctrl+Alt+F7", {CTRL, ALT, VZ_KEY(0x40)}},
    {"Ctrl+Alt+F", {CTRL, ALT, VZ_KEY(0x09)}},      {"Alt+Tab", {ALT, VZ_KEY(0x2b)}},
    {"Alt+F4", {ALT, VZ_KEY(0x3d)}},                {"Super", {VZ_KEY(0xe3)}},
    {"Print Screen", {VZ_KEY(0x46)}},               {"Alt+Print Screen", {ALT, VZ_KEY(0x46)}}};

gsize window_menu_keys(const char *entry, guint32 ret[WINDOW_KEYS_MAX])
{
    gsize count = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(chords); i++) {
        if (strcmp(chords[i].name, entry))
            continue;
        while (count < WINDOW_KEYS_MAX && chords[i].key[count]) {
            ret[count] = chords[i].key[count];
            count++;
        }
    }
    return count;
}

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
        GMenuItem *item = g_menu_item_new(chords[i].name, NULL);

        g_menu_item_set_action_and_target_value(item, "vm.keys", g_variant_new_string(chords[i].name));
        g_menu_append_item(keys, item);
        g_object_unref(item);
    }
    g_menu_append_submenu(menu, "Send Keys", G_MENU_MODEL(keys));
    g_object_unref(keys);
}

GMenuModel *window_menu_new(GSimpleActionGroup *actions)
{
    static const char *const life[] = {"Pause", "vm.pause", "Resume", "vm.resume", "Save", "vm.save", NULL};
    static const char *const picture[] = {"Screenshot", "vm.screenshot", "Full Screen (Ctrl+Alt+F)", "vm.full-screen",
                                          "Guest's Size Follows the Window", "vm.follow",
                                          "Desktop's Keys to the Guest", "vm.system-keys", NULL};
    static const char *const end[] = {"Shut Down", "vm.shut-down", "Turn Off", "vm.turn-off", NULL};
    GMenu *menu = g_menu_new(), *displays = g_menu_new();

    section(menu, life);
    add_keys(section(menu, picture));
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
