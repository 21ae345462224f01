/* SPDX-License-Identifier: MIT */
/* `vz forward MACHINE [PORT:GUESTPORT...]`: which ports of the host lead to the guest, also while
 * it runs. */
#include <string.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "command/machine_change.h"
#include "control/client.h"
#include "failure.h"

static const struct opt forward_options[] = {
    {"remove", 0, OPT_NEVER, NULL, "Options", "forward these no more",
     "Connections that are there stay.", 0},
    {"auto", 0, OPT_ALWAYS, "on|off", "Options",
     "forward each port that a program of the guest opens, from the same port of 127.0.0.1",
     "Ports from 1024 on that are free on this host, as long as the program listens. The guest's "
     "agent (vz-agent) tells "
     "of them, so a guest that means harm can have ports of this host that nobody else uses; "
     "therefore it is off "
     "unless it is wanted.",
     1},
    {"json", 'j', OPT_NEVER, NULL, "Options",
     "as JSON: protocol, host, hostPort, guestPort, automatic", NULL, 0},
    {.name = NULL}};

/* ---- A forward as JSON: protocol, host, hostPort, guestPort --------------------------------- */

/* By the library's own option. NULL and err. */
static json_t *parse(const char *word, struct vz_error *err)
{
    char text[128];
    struct vz_config *scratch = vz_config_new(NULL, err);
    json_t *json = NULL, *forward = NULL;
    bool has_protocol = !strncmp(word, "tcp:", 4) || !strncmp(word, "udp:", 4);

    snprintf(text, sizeof(text), "%s%.100s", has_protocol ? "" : "tcp:", word);
    if (scratch && vz_config_add(scratch, "forward", text, err) == 0)
        json = config_json(scratch, err);
    if (json)
        forward = json_incref(json_array_get(
            json_object_get(
                json_object_get(json_array_get(json_object_get(json, "networkDevices"), 0),
                                "attachment"),
                "forwards"),
            0));
    json_decref(json);
    vz_config_unref(scratch);
    return forward;
}

static json_t *parse_all(const struct args *a, struct vz_error *err)
{
    json_t *all = json_array();

    for (unsigned i = 1; i < a->count; i++) {
        json_t *f = parse(a->word[i], err);

        if (!f) {
            json_decref(all);
            return NULL;
        }
        json_array_append_new(all, f);
    }
    return all;
}

static bool listens_there(const json_t *a, const json_t *b)
{
    return json_equal(json_object_get(a, "protocol"), json_object_get(b, "protocol")) &&
           json_equal(json_object_get(a, "host"), json_object_get(b, "host")) &&
           json_equal(json_object_get(a, "hostPort"), json_object_get(b, "hostPort"));
}

/* ---- The configuration ---------------------------------------------------------------------- */

/* The list of the first card behind NAT; NULL: there is none. */
static json_t *list_in(json_t *config)
{
    json_t *card, *attachment, *list;
    size_t i;

    json_array_foreach(json_object_get(config, "networkDevices"), i, card)
    {
        attachment = json_object_get(card, "attachment");
        if (strcmp(json_is_object(attachment)
                       ? json_string_value(json_object_get(attachment, "type"))
                       : "",
                   "nat"))
            continue;
        list = json_object_get(attachment, "forwards");
        if (!list) {
            list = json_array();
            json_object_set_new(attachment, "forwards", list);
        }
        return list;
    }
    return NULL;
}

static void take_away(json_t *list, const json_t *forward)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        if (listens_there(json_array_get(list, i), forward))
            json_array_remove(list, i);
    }
}

static struct vz_config *changed(const struct vz_config *old, const struct args *a,
                                 struct vz_error *err)
{
    json_t *json = config_json(old, err), *list = list_in(json), *all = parse_all(a, err), *f;
    struct vz_config *new = NULL;
    size_t i;

    if (json && all && !list)
        fail(err, VZ_ERROR_DEVICE_NOT_FOUND,
             "the machine has no network card behind NAT ('vz attach MACHINE net nat')");
    if (json && all && list) {
        json_array_foreach(all, i, f)
        {
            take_away(list, f);
            if (!args_flag(a, "remove"))
                json_array_append(list, f);
        }
        new = config_of_json(json, err);
    }
    json_decref(all);
    json_decref(json);
    return new;
}

/* ---- The machine that runs ------------------------------------------------------------------ */

static bool change_running(struct bundle *b, const struct args *a, struct vz_error *err)
{
    json_t *all = parse_all(a, err), *f, *answer = NULL;
    size_t i;
    bool ok = all;

    json_array_foreach(all, i, f)
    {
        if (!ok)
            break;
        answer = client_ask(b, args_flag(a, "remove") ? "unforward" : "forward", json_incref(f),
                            NULL, err);
        ok = answer;
        json_decref(answer);
    }
    json_decref(all);
    return ok;
}

static bool change(struct bundle *b, const struct args *a, struct vz_error *err)
{
    return (!bundle_is_running(b) || change_running(b, a, err)) &&
           machine_change(b, a, changed, err);
}

static bool set_automatic(struct bundle *b, const char *value, struct vz_error *err)
{
    bool on = !strcmp(value, "on");
    json_t *answer;

    if (!on && strcmp(value, "off"))
        return fail_false(err, VZ_ERROR_INVALID, "--auto '%.20s': expected on or off", value);
    if (bundle_lock(b, BUNDLE_CHANGE, err) < 0 ||
        (on ? bundle_write(b, BUNDLE_AUTO_FORWARD, "", 0, err)
            : bundle_remove_file(b, BUNDLE_AUTO_FORWARD, err)) < 0)
        return false;
    if (!bundle_is_running(b))
        return true;
    answer = client_ask(b, "auto-forward", json_pack("{s:b}", "on", on), NULL, err);
    json_decref(answer);
    return answer;
}

/* ---- Showing -------------------------------------------------------------------------------- */

static json_t *current(const struct bundle *b, struct vz_error *err)
{
    json_t *list = json_array(), *info = NULL, *json = NULL, *network;
    size_t i;

    if (bundle_is_running(b))
        info = client_ask(b, "info", NULL, NULL, err);
    else
        json = bundle_config_as_is(b, err);
    json_array_foreach(json_object_get(info, "networks"), i, network)
        json_array_extend(list, json_object_get(network, "forwards"));
    if (list_in(json))
        json_array_extend(list, list_in(json));
    if (!info && !json) {
        json_decref(list);
        list = NULL;
    }
    json_decref(info);
    json_decref(json);
    return list;
}

static int show(const struct bundle *b, const struct args *a)
{
    struct vz_error err;
    json_t *list = current(b, &err), *f;
    size_t i;

    if (!list) {
        cli_error("%s: %s", b->name, err.text);
        return EXIT_FAILED;
    }
    if (args_flag(a, "json"))
        return print_json(list);
    json_array_foreach(list, i, f)
        printf("%s:%s:%lld:%lld%s\n", json_string_value(json_object_get(f, "protocol")),
               json_string_value(json_object_get(f, "host")),
               json_integer_value(json_object_get(f, "hostPort")),
               json_integer_value(json_object_get(f, "guestPort")),
               json_is_true(json_object_get(f, "automatic")) ? "  (automatic)" : "");
    json_decref(list);
    return cli_finish_output();
}

static int forward(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    const char *automatic = args_value(a, "auto");

    if (a->count < 2 && !automatic)
        return show(b, a);
    if ((a->count < 2 || change(b, a, &err)) && (!automatic || set_automatic(b, automatic, &err)))
        return EXIT_OK;
    cli_error("%s: %s", b->name, err.text);
    return EXIT_FAILED;
}

static int forward_main(int argc, char **argv)
{
    int status = EXIT_USAGE;
    struct bundle b;
    struct args a;

    if (args_parse(&forward_command, argc, argv, 0, ARGS_WORDS_MAX, &a)) {
        status = EXIT_FAILED;
        if (args_flag(&a, "remove") && a.count < 2) {
            cli_error("--remove: which? As vz forward shows them");
            status = EXIT_USAGE;
        } else if (machine_open(a.count ? a.word[0] : NULL, &b)) {
            status = forward(&b, &a);
            bundle_close(&b);
        }
    }
    args_free(&a);
    return status;
}

const struct command forward_command = {
    "forward",
    forward_main,
    NULL,
    forward_options,
    "have ports of this host lead to a machine's guest, or show which do",
    NULL,
    "[MACHINE [[tcp|udp:][HOST:]PORT:GUESTPORT]...]",
    "Connections to PORT of 127.0.0.1, or of HOST, reach GUESTPORT of the guest, by its first "
    "network card behind NAT: at "
    "once where the machine runs, and whenever it does. The guest must listen on its network, not "
    "only on its own "
    "127.0.0.1."};
