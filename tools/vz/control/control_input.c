/* SPDX-License-Identifier: MIT */
/* send-keys: a key, several at once, or some text, typed on one of the machine's keyboards. */
#include "control/control.h"

#include <limits.h>
#include <string.h>

#include <vz/input.h>

#include "input/key_map.h"

#define TEXT_MAX 32u /* characters at once, which a keyboard keeps for a guest that is slow to take them */

/* Pressed in their order, and released in the other. False with err: as far as it came; all are up. */
static bool press(struct vz_machine *m, unsigned keyboard, const struct key_chord *c, struct vz_error *err)
{
    bool ok = true;

    for (unsigned i = 0; ok && i < c->count; i++)
        ok = vz_machine_send_key(m, keyboard, c->key[i], true, err) == 0;
    for (unsigned i = c->count; ok && i-- > 0;)
        ok = vz_machine_send_key(m, keyboard, c->key[i], false, err) == 0;
    return ok;
}

static bool type(struct vz_machine *m, unsigned keyboard, const char *text, struct vz_error *err)
{
    struct key_chord c;
    bool ok = true;

    for (; ok && *text; text++)
        ok = key_chord_of(*text, &c) && press(m, keyboard, &c, err);
    return ok;
}

void method_send_keys(struct control_call *call, json_t *params)
{
    struct vz_machine *m = call_machine(call);
    const char *key = NULL, *text = "";
    uint64_t keyboard = 0;
    struct key_chord chord = {.count = 0};
    struct vz_error err;

    if (!call_param_number(call, params, "keyboard", 0, UINT_MAX, &keyboard) ||
        !call_param_string(call, params, "key", &key) || !call_param_string(call, params, "text", &text))
        return;
    if (key && !key_chord_parse(key, &chord))
        call_fail_text(call, VZ_ERROR_INVALID, "'%.40s' is no key, nor several joined by '-'", key);
    else if (strlen(text) > TEXT_MAX)
        call_fail_text(call, VZ_ERROR_INVALID, "more than %u characters at once", TEXT_MAX);
    else if (!key_is_typable(text))
        call_fail_text(call, VZ_ERROR_INVALID, "an American keyboard has no key for something in '%.40s'", text);
    else if (!press(m, (unsigned)keyboard, &chord, &err) || !type(m, (unsigned)keyboard, text, &err))
        call_fail(call, &err);
    else
        call_reply(call, NULL);
}
