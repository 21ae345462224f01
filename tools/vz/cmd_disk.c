/* SPDX-License-Identifier: MIT */
/* `vz disk VERB`: make disk images, look at them, change them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vz/disk.h>

#include "cli.h"
#include "plain_text.h"
#include "progress.h"

#define WORDS_MAX 3 /* the verb's, and two paths or a path and a size */

static const struct opt disk_options[] = {
    {"format", 0, OPT_ALWAYS, "automatic|raw|qcow2", "Options",
     "what the image is (automatic: qcow2 if its name ends in .qcow2, else raw)",
     "Of create: what it becomes.", 1},
    {"to-format", 0, OPT_ALWAYS, "automatic|raw|qcow2", "Options",
     "convert: what the copy becomes", "By default its name says so.", 1},
    {"backing", 0, OPT_ALWAYS, "PATH", "Options",
     "create: the image that the new one reads through to; else where backing images may be",
     "As it will stand in the image: relative to it, or absolute. For other commands: a file or a "
     "folder; the image's own folder is always allowed.", 1},
    {"backing-format", 0, OPT_ALWAYS, "automatic|raw|qcow2", "Options",
     "create, rebase: what the backing image is", NULL, 1},
    {"cluster-size", 0, OPT_ALWAYS, "SIZE", "Options",
     "create, convert: of a qcow2 image, 512B to 2M, a power of two (default 64K)", NULL, 1},
    {"qcow2-version", 0, OPT_ALWAYS, "2|3", "Options",
     "create, convert: of a qcow2 image, its version (default 3)", NULL, 1},
    {"refcount-bits", 0, OPT_ALWAYS, "N", "Options",
     "create, convert: of a qcow2 image, 1 to 64, a power of two (default 16)", NULL, 1},
    {"extended-l2", 0, OPT_NEVER, NULL, "Options",
     "create, convert: a qcow2 image whose clusters have 32 parts", "Small writes to large clusters copy less.", 0},
    {"lazy-refcounts", 0, OPT_NEVER, NULL, "Options",
     "create, convert: a qcow2 image whose refcounts are written late",
     "They are counted anew when it was not closed.", 0},
    {"compression", 0, OPT_ALWAYS, "deflate|zstd", "Options",
     "create, convert: how others may compress in a qcow2 image", "vz writes nothing compressed.", 1},
    {"preallocate", 0, OPT_ALWAYS, "metadata|full", "Options",
     "create, convert: make tables (of qcow2), or take all the room now", NULL, 1},
    {"unsafe", 0, OPT_NEVER, NULL, "Options", "rebase: change the backing image's name only",
     "As when it was moved. Nothing is read or compared.", 0},
    {"replace", 0, OPT_NEVER, NULL, "Options", "create, convert: instead of what is there",
     "A file that nobody uses and that is not what is copied; or what an NBD server has.", 0},
    {"shrink", 0, OPT_NEVER, NULL, "Options", "resize: the disk may lose its end",
     "With all that is there.", 0},
    {"repair", 0, OPT_NEVER, NULL, "Options", "check: correct what can be", NULL, 0},
    {"json", 'j', OPT_NEVER, NULL, "Options", "info, check: for programs", NULL, 0},
    {.name = NULL}};

static const char *const disk_verbs[] = {"create", "info", "resize", "convert", "commit", "rebase", "check", NULL};

struct job {
    const struct given *given;
    const char *word[WORDS_MAX]; /* behind the verb */
    struct vz_disk_options options;
    struct vz_error err;
    struct progress progress;
};

static void disk_help(FILE *to, const struct opt *options)
{
    fputs("Usage: vz disk create PATH SIZE [--format qcow2] [--backing PATH] [OPTION]...\n"
          "       vz disk create PATH --backing PATH [OPTION]...\n"
          "       vz disk info PATH [--json]\n"
          "       vz disk resize PATH SIZE|+SIZE [--shrink]\n"
          "       vz disk convert PATH NEW [--to-format raw|qcow2] [OPTION]...\n"
          "       vz disk commit PATH\n"
          "       vz disk rebase PATH [NEW] [--backing-format FORMAT] [--unsafe]\n"
          "       vz disk check PATH [--repair] [--json]\n"
          "\n"
          "Make disk images, raw or qcow2, look at them, and change them while no machine uses them.\n"
          "  create   full of zeroes, which take no room, or of what the backing image has\n"
          "  info     format, size, room taken, backing image; also of an image in use\n"
          "  resize   the file system in it stays as large as it is: that is for the guest\n"
          "  convert  copy what a guest sees, backing images included, into one new image\n"
          "  commit   write what an image has of its own into its backing image\n"
          "  rebase   read through to the image NEW, or to none, and hold the same as before\n"
          "  check    compare a qcow2 image's tables with each other\n"
          "New images appear when they are whole; interrupted, nothing is left of them.\n"
          "info, convert and check take the addresses of disks on NBD servers (nbd://...) for PATH, and\n"
          "convert --replace one for NEW, which it overwrites.\n",
          to);
    opts_help(to, options, "Options");
    fputs("\n"
          "Exit status:\n"
          "  0  done; check: the image is sound\n"
          "  1  failed; check: it is not, or was not\n"
          "  2  wrong usage\n",
          to);
}

/* ---- Progress and interruption -------------------------------------------------------------- */

static bool progress(void *arg, uint64_t done, uint64_t total)
{
    return progress_show(&((struct job *)arg)->progress, done, total);
}

static int fail(struct job *j)
{
    progress_end(&j->progress);
    interrupt_raise();
    cli_error("%s", j->err.text);
    return EXIT_FAILED;
}

/* Where the error says so, what helps. */
static void suggest(struct job *j, const char *error, const char *help)
{
    if (strstr(j->err.text, error))
        strncat(j->err.text, help, sizeof(j->err.text) - strlen(j->err.text) - 1);
}

/* ---- Values --------------------------------------------------------------------------------- */

static const char *value_of(const struct job *j, const char *name)
{
    const struct given *g = opts_given(j->given, name);

    return g ? g->value : NULL;
}

static bool format_of(const struct job *j, const char *name, enum vz_disk_format *ret)
{
    static const char *const words[] = {"automatic", "raw", "qcow2"};
    const char *value = value_of(j, name);

    for (unsigned i = 0; value && i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(value, words[i])) {
            *ret = (enum vz_disk_format)i;
            return true;
        }
    }
    if (value)
        cli_error("--%s '%s': expected automatic, raw or qcow2", name, value);
    return !value;
}

static bool size_of(const char *what, const char *text, uint64_t *ret)
{
    struct vz_error err;

    if (!vz_size_parse(text, ret, &err))
        return true;
    cli_error("%s %s", what, err.text);
    return false;
}

/* Clusters are small: "512B" or "512" is meant so. */
static bool cluster_size_of(const char *text, uint64_t *ret)
{
    char *end;

    *ret = strtoull(text, &end, 10);
    if (*text >= '1' && *text <= '9' && (!*end || !strcmp(end, "B")))
        return true;
    return size_of("--cluster-size", text, ret);
}

/* The value's place among words, if the option is given. */
static bool word_of(const struct job *j, const char *name, const char *const *words, unsigned count, unsigned *ret)
{
    const char *value = value_of(j, name);

    for (unsigned i = 0; value && i < count; i++) {
        if (!strcmp(value, words[i])) {
            *ret = i;
            return true;
        }
    }
    if (value)
        cli_error("--%s '%s': see 'vz disk --help'", name, value);
    return !value;
}

static bool bits_of(const struct job *j, unsigned *ret)
{
    const char *value = value_of(j, "refcount-bits");
    char *end;

    if (!value)
        return true;
    *ret = (unsigned)strtoul(value, &end, 10);
    if (*value >= '1' && *value <= '9' && !*end && *ret <= 64)
        return true;
    cli_error("--refcount-bits '%s': expected 1 to 64, a power of two", value);
    return false;
}

static bool create_options(const struct job *j, const char *format,
                           struct vz_disk_create_options *ret)
{
    static const char *const rooms[] = {"none", "metadata", "full"}, *const packers[] = {"deflate", "zstd"};
    static const char *const versions[] = {"", "", "2", "3"};
    const char *cluster = value_of(j, "cluster-size");
    unsigned room = 0, zstd = 0;

    ret->replace = opts_given(j->given, "replace");
    ret->extended_l2 = opts_given(j->given, "extended-l2");
    ret->lazy_refcounts = opts_given(j->given, "lazy-refcounts");
    ret->progress = progress;
    ret->arg = (void *)j;
    if (!format_of(j, format, &ret->format) || (cluster && !cluster_size_of(cluster, &ret->cluster_size)) ||
        !word_of(j, "preallocate", rooms, 3, &room) || !word_of(j, "compression", packers, 2, &zstd) ||
        !word_of(j, "qcow2-version", versions, 4, &ret->version) || !bits_of(j, &ret->refcount_bits))
        return false;
    ret->preallocation = (enum vz_disk_preallocation)room;
    ret->zstd = zstd;
    return true;
}

/* ---- Verbs ---------------------------------------------------------------------------------- */

static int create(struct job *j)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;
    uint64_t bytes = 0;

    o.backing = value_of(j, "backing");
    if (!j->word[1] && !o.backing) {
        cli_error("disk create %s: how large? (see 'vz disk --help')", j->word[0]);
        return EXIT_USAGE;
    }
    if (!create_options(j, "format", &o) || !format_of(j, "backing-format", &o.backing_format) ||
        (j->word[1] && !size_of("disk create:", j->word[1], &bytes)))
        return EXIT_USAGE;
    return vz_disk_create(j->word[0], bytes, &o, &j->err) < 0 ? fail(j) : EXIT_OK;
}

static const char *format_name(const struct vz_disk_info *i)
{
    return i->format == VZ_DISK_FORMAT_QCOW2 ? "qcow2" : "raw";
}

static const char *word(bool b)
{
    return b ? "true" : "false";
}

static void info_json(const struct vz_disk_info *i)
{
    printf("{\"format\": \"%s\", \"size\": %llu, \"allocated\": %llu", format_name(i),
           (unsigned long long)i->bytes, (unsigned long long)i->allocated);
    if (i->version) {
        printf(", \"version\": %u, \"clusterSize\": %llu, \"snapshots\": %u, \"dirty\": %s, "
               "\"corrupt\": %s, \"extendedL2\": %s, \"lazyRefcounts\": %s, \"compression\": \"%s\"",
               i->version, (unsigned long long)i->cluster_size, i->snapshots, word(i->dirty),
               word(i->corrupt), word(i->extended_l2), word(i->lazy_refcounts),
               i->zstd ? "zstd" : "deflate");
        if (i->backing[0]) {
            printf(", \"backing\": ");
            plain_text_json(stdout, i->backing);
            printf(", \"backingFormat\": ");
            plain_text_json(stdout, i->backing_format);
        }
    }
    puts("}");
}

static void put_size(const char *what, uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    double v = (double)bytes / 1024;
    unsigned n = 0;

    for (; v >= 1024 && units[n + 1]; n++)
        v /= 1024;
    printf("%-14s%llu bytes (%.4g %ciB)\n", what, (unsigned long long)bytes, v, units[n]);
}

static void info_text(struct vz_disk_info *i)
{
    plain_text(i->backing);
    plain_text(i->backing_format);
    printf("%-14s%s", "format", format_name(i));
    if (i->version)
        printf(", version %u%s%s", i->version, i->extended_l2 ? ", extended L2" : "",
               i->lazy_refcounts ? ", lazy refcounts" : "");
    putchar('\n');
    put_size("disk", i->bytes);
    put_size("file takes", i->allocated);
    if (i->version)
        put_size("clusters of", i->cluster_size);
    if (i->backing[0])
        printf("%-14s%s (%s)\n", "reads through", i->backing,
               i->backing_format[0] ? i->backing_format : "format not said");
    if (i->snapshots)
        printf("%-14s%u\n", "snapshots", i->snapshots);
    if (i->dirty || i->corrupt)
        printf("%-14s%s\n", "state", i->corrupt ? "marked as damaged"
                                                : "was not closed: repaired when next used");
}

static int info(struct job *j)
{
    struct vz_disk_info i = VZ_DISK_INFO_INIT;

    if (vz_disk_get_info(j->word[0], &j->options, &i, &j->err) < 0)
        return fail(j);
    if (opts_given(j->given, "json"))
        info_json(&i);
    else
        info_text(&i);
    return EXIT_OK;
}

static int resize(struct job *j)
{
    struct vz_disk_info i = VZ_DISK_INFO_INIT;
    bool more = j->word[1][0] == '+';
    uint64_t bytes;

    if (!size_of("disk resize:", j->word[1] + more, &bytes))
        return EXIT_USAGE;
    if (more && vz_disk_get_info(j->word[0], &j->options, &i, &j->err) < 0)
        return fail(j);
    if (vz_disk_resize(j->word[0], i.bytes + bytes, opts_given(j->given, "shrink"), &j->options,
                       &j->err) == 0)
        return EXIT_OK;
    suggest(j, "would lose its end", "; --shrink allows that");
    return fail(j);
}

static int convert(struct job *j)
{
    struct vz_disk_create_options o = VZ_DISK_CREATE_OPTIONS_INIT;

    if (!create_options(j, "to-format", &o))
        return EXIT_USAGE;
    if (vz_disk_convert(j->word[0], j->word[1], &j->options, &o, &j->err) == 0)
        return EXIT_OK;
    suggest(j, "would be overwritten", "; --replace allows that");
    return fail(j);
}

static int commit(struct job *j)
{
    return vz_disk_commit(j->word[0], &j->options, &j->err) < 0 ? fail(j) : EXIT_OK;
}

static int rebase(struct job *j)
{
    enum vz_disk_format format = VZ_DISK_FORMAT_AUTOMATIC;

    if (!format_of(j, "backing-format", &format))
        return EXIT_USAGE;
    return vz_disk_rebase(j->word[0], j->word[1], format, opts_given(j->given, "unsafe"), &j->options, &j->err) < 0
               ? fail(j) : EXIT_OK;
}

static int check(struct job *j)
{
    struct vz_disk_check c = VZ_DISK_CHECK_INIT;

    if (vz_disk_check(j->word[0], opts_given(j->given, "repair"), &j->options, &c, &j->err) < 0)
        return fail(j);
    if (opts_given(j->given, "json"))
        printf("{\"errors\": %llu, \"leaks\": %llu, \"repaired\": %llu}\n",
               (unsigned long long)c.errors, (unsigned long long)c.leaks,
               (unsigned long long)c.repaired);
    else if (c.errors || c.leaks)
        printf("%s: %llu errors, %llu unused clusters; %llu repaired\n", j->word[0],
               (unsigned long long)c.errors, (unsigned long long)c.leaks,
               (unsigned long long)c.repaired);
    else
        printf("%s: sound\n", j->word[0]);
    return c.errors || c.leaks ? EXIT_FAILED : EXIT_OK;
}

static const struct verb {
    int (*run)(struct job *j);
    unsigned min, max; /* words behind it */
} verbs[] = {{create, 1, 2}, {info, 1, 1}, {resize, 2, 2}, {convert, 2, 2}, {commit, 1, 1}, {rebase, 1, 2},
             {check, 1, 1}};

/* ---- The command ---------------------------------------------------------------------------- */

static const struct verb *find_verb(const char *name)
{
    char buffer[CLI_SUGGESTION_MAX];

    for (size_t i = 0; name && disk_verbs[i]; i++) {
        if (!strcmp(name, disk_verbs[i]))
            return &verbs[i];
    }
    if (name)
        cli_error("disk: unknown command '%s'%s (see 'vz disk --help')", name,
                  cli_suggestion("", name, disk_verbs, buffer));
    else
        cli_error("disk: create, info, resize, convert, commit, rebase or check? (see 'vz disk --help')");
    return NULL;
}

static int run(struct job *j, const char *const *words, unsigned count)
{
    const struct verb *v = find_verb(words[0]);

    if (!v)
        return EXIT_USAGE;
    if (count - 1 < v->min || count - 1 > v->max) {
        cli_error("disk %s: %s (see 'vz disk --help')", words[0],
                  count - 1 < v->min ? "something is missing" : "too much");
        return EXIT_USAGE;
    }
    for (unsigned i = 1; i < count; i++)
        j->word[i - 1] = words[i];
    if (!format_of(j, "format", &j->options.format))
        return EXIT_USAGE;
    j->options.backing = value_of(j, "backing");
    j->options.progress = progress;
    j->options.arg = j;
    progress_begin(&j->progress, j->word[0]);
    interrupt_catch();
    return v->run(j);
}

static int disk_main(int argc, char **argv)
{
    struct given *given = calloc((size_t)argc + 1, sizeof(*given));
    const char *words[WORDS_MAX + 1] = {NULL};
    struct job j = {.given = given, .options = VZ_DISK_OPTIONS_INIT};
    unsigned count = 0;
    int status = EXIT_USAGE;

    if (given && opts_parse_words(argc, argv, disk_options, "vz disk", given, words, WORDS_MAX, &count))
        status = run(&j, words, count);
    free(given);
    if (status == EXIT_OK && (fflush(stdout) || ferror(stdout))) {
        cli_error("standard output: %s", strerror(errno));
        return EXIT_FAILED;
    }
    return status;
}

const struct command disk_command = {
    "disk", disk_main, disk_help, disk_options,
    "make disk images, look at them, change them", disk_verbs};
