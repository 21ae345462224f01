/* SPDX-License-Identifier: MIT */
/* `vz list`: the machines there are. */
#include "command/machine_command.h"
#include "command/machine_report.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS 7u

static const struct opt list_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "for programs: an array, with all that inspect tells", NULL,
     0},
    {"names", 0, OPT_NEVER, NULL, "Options", "the names alone, a line each", NULL, 0},
    {.name = NULL}};

static bool print_name(void *arg, const char *name)
{
    puts(name);
    return true;
}

static bool add_report(void *arg, const char *name)
{
    struct bundle b;
    struct vz_error err;
    json_t *report;

    if (bundle_open(name, &b, &err) < 0) {
        report = json_pack("{s:s, s:s, s:s}", "name", name, "state", "broken", "problem", err.text);
    } else {
        report = machine_report(&b);
        bundle_close(&b);
    }
    json_array_append_new(arg, report);
    return true;
}

/* "312M/1G": in use, and what it may have. */
static void put_memory(const json_t *report, char text[40])
{
    json_t *used = json_object_get(report, "residentBytes"), *all = json_object_get(report, "memoryBytes");
    char a[16], b[16] = "?";

    if (all)
        human_size((uint64_t)json_integer_value(all), b);
    if (used)
        snprintf(text, 40, "%s/%s", human_size((uint64_t)json_integer_value(used), a), b);
    else
        snprintf(text, 40, "%s", b);
}

static void fill_row(const json_t *report, char cell[COLUMNS][80])
{
    json_t *cpus = json_object_get(report, "cpus"), *uptime = json_object_get(report, "uptime");
    const char *address = machine_report_address(report);
    char buffer[16];

    snprintf(cell[0], 80, "%s", json_string_value(json_object_get(report, "name")));
    snprintf(cell[1], 80, "%s", json_object_get(report, "problem") ? "broken"
                                    : json_string_value(json_object_get(report, "state")));
    snprintf(cell[2], 80, cpus ? "%lld" : "?", cpus ? json_integer_value(cpus) : 0);
    put_memory(report, cell[3]);
    snprintf(cell[4], 80, "%s", human_size((uint64_t)json_integer_value(
                                               json_object_get(report, "diskBytes")), buffer));
    snprintf(cell[5], 80, "%s", address ? address : "-");
    snprintf(cell[6], 80, "%s", uptime ? human_time(json_number_value(uptime), buffer) : "-");
}

static void print_rows(char (*row)[COLUMNS][80], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned k = 0; k < COLUMNS; k++) {
            int width = 0;

            for (size_t other = 0; other < count; other++) {
                int len = (int)strlen(row[other][k]);

                width = len > width ? len : width;
            }
            printf("%-*s%s", k + 1 < COLUMNS ? width : 0, row[i][k], k + 1 < COLUMNS ? "  " : "\n");
        }
    }
}

static int print_table(json_t *reports)
{
    static const char *const heads[COLUMNS] = {"NAME", "STATE", "CPUS", "MEMORY", "DISK", "ADDRESS",
                                               "UPTIME"};
    size_t count = json_array_size(reports) + 1;
    char(*row)[COLUMNS][80] = calloc(count, sizeof(*row));

    if (!row) {
        json_decref(reports);
        cli_no_memory();
        return EXIT_FAILED;
    }
    for (unsigned k = 0; k < COLUMNS; k++)
        snprintf(row[0][k], 80, "%s", heads[k]);
    for (size_t i = 1; i < count; i++)
        fill_row(json_array_get(reports, i - 1), row[i]);
    print_rows(row, count);
    for (size_t i = 0; i + 1 < count; i++) {
        json_t *r = json_array_get(reports, i), *problem = json_object_get(r, "problem");

        if (problem)
            cli_error("%s: %s", json_string_value(json_object_get(r, "name")), json_string_value(problem));
    }
    free(row);
    json_decref(reports);
    return cli_finish_output();
}

static int list(const struct args *a)
{
    bool names = args_flag(a, "names");
    json_t *reports = json_array();
    struct vz_error err;

    if (home_list(names ? print_name : add_report, reports, &err) < 0) {
        cli_error("%s", err.text);
        json_decref(reports);
        return EXIT_FAILED;
    }
    if (args_flag(a, "json"))
        return print_json(reports);
    if (names || !json_array_size(reports)) {
        if (!names)
            cli_error("there is no machine yet ('vz create' makes one)");
        json_decref(reports);
        return cli_finish_output();
    }
    return print_table(reports);
}

static int list_main(int argc, char **argv)
{
    struct args a;
    int status = args_parse(&list_command, argc, argv, 0, 0, &a) ? list(&a) : EXIT_USAGE;

    args_free(&a);
    return status;
}

const struct command list_command = {
    "list", list_main, NULL, list_options, "show the machines there are, and what they do", NULL, "",
    "Of the machines in $VZ_HOME (by default ~/.local/share/vz): memory in use of what it may have at most, room "
    "that the folder takes on the disk, the guest's address behind NAT, and for how long it has been running."};
