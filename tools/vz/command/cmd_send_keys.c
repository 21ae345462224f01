/* SPDX-License-Identifier: MIT */
/* `vz send-keys MACHINE WORD...`: type on a machine's keyboard. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "control/client.h"
#include "input/key_map.h"

#define DELAY_MS 20 /* between keys: a boot loader's driver looks every 10 ms or so */

static const struct opt send_keys_options[] = {
    {"literal", 'l', OPT_NEVER, NULL, "Options", "type all words as they are, also those that are names of keys", NULL, 0},
    {"keyboard", 0, OPT_ALWAYS, "N", "Options", "which keyboard of the machine, from 0 (default 0)", NULL, 0},
    {"delay", 0, OPT_ALWAYS, "TIME", "Options", "how long to wait between keys, such as 100ms or 1s (default 20ms)", NULL, 0},
    {.name = NULL}};

struct typing {
    struct control_client client;
    int keyboard;
    int delay_ms;
    bool literal;
};

/* One key, or several at once; as text or by name. */
static bool send(struct typing *t, const char *member, const char *value, struct vz_error *err)
{
    json_t *result = client_call(&t->client, "send-keys",
                                 json_pack("{s:i, s:s}", "keyboard", t->keyboard, member, value), NULL, err);

    json_decref(result);
    usleep((useconds_t)t->delay_ms * 1000);
    return result;
}

static bool type_text(struct typing *t, const char *text, struct vz_error *err)
{
    bool ok = true;

    for (; ok && *text; text++)
        ok = send(t, "text", (char[]){*text, '\0'}, err);
    return ok;
}

static bool type_word(struct typing *t, const char *word, struct vz_error *err)
{
    struct key_chord c;

    /* A single character is itself, with Shift or without. */
    return !t->literal && word[0] && word[1] && key_chord_parse(word, &c) ? send(t, "key", word, err) : type_text(t, word, err);
}

/* Nothing is typed where something cannot be. */
static bool check_word(const struct bundle *b, const char *word)
{
    if (key_is_typable(word))
        return true;
    cli_error("%s: an American keyboard has no key for something in '%s'", b->name, word);
    return false;
}

static bool parse_delay(const char *text, int *ret_ms)
{
    char *end;
    long ms;

    if (!text)
        return true;
    ms = strtol(text, &end, 10);
    if (end == text || strcmp(end, "ms") != 0)
        return time_option("--delay", text, ret_ms);
    *ret_ms = (int)ms;
    if (ms >= 0 && ms <= 60000)
        return true;
    cli_error("--delay '%s': expected 0ms to 60s", text);
    return false;
}

static bool parse(const struct args *a, struct typing *t)
{
    const char *keyboard = args_value(a, "keyboard");
    char *end = NULL;

    *t = (struct typing){.delay_ms = DELAY_MS, .literal = args_flag(a, "literal")};
    if (keyboard) {
        long n = strtol(keyboard, &end, 10);

        t->keyboard = n < 0 || n > 1000 ? -1 : (int)n;
    }
    if (t->keyboard < 0 || (end && (*end || end == keyboard))) {
        cli_error("--keyboard '%s': expected a number from 0", keyboard);
        return false;
    }
    return parse_delay(args_value(a, "delay"), &t->delay_ms);
}

static bool send_keys(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct typing t;
    bool ok = parse(a, &t);

    for (unsigned i = 1; ok && i < a->count; i++)
        ok = check_word(b, a->word[i]);
    if (!ok)
        return false;
    if (client_open(b, &t.client, &err) < 0) {
        cli_error("%s: %s", b->name, err.text);
        return false;
    }
    for (unsigned i = 1; ok && i < a->count; i++)
        ok = type_word(&t, a->word[i], &err);
    if (!ok)
        cli_error("%s: %s", b->name, err.text);
    client_close(&t.client);
    return ok;
}

static int send_keys_main(int argc, char **argv)
{
    return machine_one(&send_keys_command, argc, argv, 2, ARGS_WORDS_MAX, send_keys);
}

const struct command send_keys_command = {
    "send-keys", send_keys_main, NULL, send_keys_options, "type on a machine's keyboard", NULL, "MACHINE WORD...",
    "A word that is the name of a key, or several joined by '-', is that: enter, esc, tab, space, backspace, delete, up, f12, "
    "ctrl-c, ctrl-alt-delete, super. Any other is typed as it is, on an American keyboard: vz send-keys web root enter. The "
    "machine must have a keyboard (--keyboard). Names: enter, esc, backspace, tab, space, minus, capslock, f1 to f12, print, "
    "scrolllock, pause, insert, home, pageup, delete, end, pagedown, right, left, down, up, numlock, menu, ctrl, shift, alt, super, "
    "rightctrl, rightshift, altgr, rightsuper, fn, mute, volumeup, volumedown, power, sleep, wakeup; and the single characters."};
