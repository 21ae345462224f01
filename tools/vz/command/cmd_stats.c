/* SPDX-License-Identifier: MIT */
/* `vz stats MACHINE`: counters of a running machine. */
#include <unistd.h>

#include "command/machine_command.h"
#include "control/client.h"

static const struct opt stats_options[] = {
    {"follow", 'f', OPT_NEVER, NULL, "Options", "each second, what has changed, and by how much", NULL, 0},
    {"json", 'j', OPT_NEVER, NULL, "Options", "for programs; with --follow an object each second, on a line",
     NULL, 0},
    {.name = NULL}};

static void print_all(const json_t *counters)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)counters, name, value)
        printf("%-32s %20lld\n", name, json_integer_value(value));
}

static void print_changes(const json_t *before, const json_t *now)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)now, name, value) {
        long long change = json_integer_value(value) - json_integer_value(json_object_get(before, name));

        if (change)
            printf("%-32s %20lld %+14lld\n", name, json_integer_value(value), change);
    }
    putchar('\n');
}

/* An object on a line. */
static void print_line(const json_t *stats)
{
    json_dumpf(stats, stdout, JSON_COMPACT);
    putchar('\n');
}

static int follow(struct control_client *c, json_t *stats, bool json)
{
    while (stats && !fflush(stdout)) {
        json_t *next;

        sleep(1);
        next = client_call(c, "stats", NULL, NULL, NULL);
        if (next && json)
            print_line(next);
        else if (next)
            print_changes(json_object_get(stats, "counters"), json_object_get(next, "counters"));
        json_decref(stats);
        stats = next; /* NULL: the machine has ended */
    }
    json_decref(stats);
    return cli_finish_output();
}

static int tell(const struct bundle *b, const struct args *a)
{
    bool json = args_flag(a, "json"), follows = args_flag(a, "follow");
    struct control_client c;
    struct vz_error err;
    json_t *stats;
    int status;

    if (client_open(b, &c, &err) < 0) {
        cli_error("%s: %s", b->name, err.text);
        return EXIT_FAILED;
    }
    stats = client_call(&c, "stats", NULL, NULL, &err);
    if (!stats) {
        cli_error("%s: %s", b->name, err.text);
        status = EXIT_FAILED;
    } else if (follows) {
        if (json)
            print_line(stats);
        status = follow(&c, stats, json);
    } else if (json) {
        status = print_json(stats);
    } else {
        print_all(json_object_get(stats, "counters"));
        json_decref(stats);
        status = cli_finish_output();
    }
    client_close(&c);
    return status;
}

static int stats_main(int argc, char **argv)
{
    int status = EXIT_FAILED;
    struct bundle b;
    struct args a;

    if (!args_parse(&stats_command, argc, argv, 0, 1, &a)) {
        status = EXIT_USAGE;
    } else if (machine_open(a.word[0], &b)) {
        status = tell(&b, &a);
        bundle_close(&b);
    }
    args_free(&a);
    return status;
}

const struct command stats_command = {
    "stats", stats_main, NULL, stats_options, "print what a running machine has counted", NULL, "[MACHINE]",
    "The same counters as those of vz run --stats."};
