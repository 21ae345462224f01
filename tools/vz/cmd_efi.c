/* SPDX-License-Identifier: MIT */
/* `vz efi VERB`: stores of UEFI variables, made, looked at and changed without a machine. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <vz/efi.h>

#include "cli.h"
#include "cmd_efi_keys.h"

#define WORDS_MAX 4 /* the verb, the store, a name, a value */
#define TEXT_MAX  512u

static const struct opt efi_options[] = {
    {"firmware", 0, OPT_ALWAYS, "FILE", "Options",
     "create: for this firmware's code, by the template beside it", NULL, 1},
    {"secure-boot", 0, OPT_NEVER, NULL, "Options", "create: with the keys that the firmware's package trusts", NULL, 0},
    {"replace", 0, OPT_NEVER, NULL, "Options", "create: instead of what is there", NULL, 0},
    {"guid", 0, OPT_ALWAYS, "GUID", "Options", "set, delete: whose variable (default UEFI's own)", NULL, 1},
    {"json", 'j', OPT_NEVER, NULL, "Options", "list, keys: for programs", NULL, 0},
    {.name = NULL}};

enum { CREATE, LIST, SET, DELETE, SECURE_BOOT, KEYS, ENROLL };
static const char *const efi_verbs[] = {"create", "list", "set", "delete", "secure-boot", "keys", "enroll", NULL};

static void efi_help(FILE *to, const struct opt *options)
{
    fputs("Usage: vz efi create STORE [--firmware FILE] [--secure-boot] [--replace]\n"
          "       vz efi list STORE [--json]\n"
          "       vz efi set STORE NAME VALUE [--guid GUID]\n"
          "       vz efi delete STORE NAME [--guid GUID]\n"
          "       vz efi secure-boot STORE [on|off|setup|default-keys]\n"
          "       vz efi keys STORE [--json]\n"
          "       vz efi enroll STORE PK|KEK|db|dbx FILE\n"
          "\n"
          "Make the file in which UEFI firmware keeps its variables ('vz run --efi=STORE'), and look at it and\n"
          "change it while no machine uses it.\n"
          "  create  as the firmware's template has it\n"
          "  list    what is in it; of boot entries the title, of the boot order the entries\n"
          "  set     VALUE: of BootOrder \"0001,0000\", of BootNext \"0001\", of Timeout seconds, else text,\n"
          "          hex:BYTES, or @FILE\n"
          "  delete  take a variable away\n"
          "  secure-boot\n"
          "          whether it is in force at the next start; switch it; setup takes the platform key away;\n"
          "          default-keys adds those that the firmware's package trusts\n"
          "  keys    whose signatures count: of PK, KEK, db (may start) and dbx (may not)\n"
          "  enroll  add one: a certificate in DER, EFI signature lists, or a program's SHA-256\n"
          "A crash leaves the old variable or the new one.\n",
          to);
    opts_help(to, options, "Options");
    fputs("\n"
          "Exit status:\n"
          "  0  done\n"
          "  1  failed\n"
          "  2  wrong usage\n",
          to);
}

/* ---- What a value says ------------------------------------------------------------------------ */

static unsigned two_bytes(const uint8_t *p)
{
    return p[0] | (unsigned)p[1] << 8;
}

static bool is_global(const struct vz_efi_variable *v)
{
    return !strcmp(v->guid, VZ_EFI_GLOBAL_GUID);
}

/* Boot0001 and its like: EFI_LOAD_OPTION (UEFI 2.10, 3.1.3). */
static bool is_entry(const struct vz_efi_variable *v)
{
    return is_global(v) && strlen(v->name) == 8 && !strncmp(v->name, "Boot", 4) &&
           strspn(v->name + 4, "0123456789ABCDEF") == 4 && v->length > 6;
}

static void put_title(const struct vz_efi_variable *v, char *to, size_t room)
{
    const uint8_t *p = v->data;
    size_t n = 0;

    for (size_t i = 6; i + 2 <= v->length && two_bytes(p + i) && n + 1 < room; i += 2) {
        unsigned c = two_bytes(p + i);

        to[n++] = c >= ' ' && c < 0x7f ? (char)c : '?';
    }
    to[n] = '\0';
    if (!(p[0] & 1) && n + sizeof(" (not active)") < room)
        strcpy(to + n, " (not active)");
}

static bool is_list(const char *name)
{
    return !strcmp(name, "BootOrder") || !strcmp(name, "BootNext") || !strcmp(name, "BootCurrent");
}

static void put_list(const struct vz_efi_variable *v, char *to, size_t room)
{
    const uint8_t *p = v->data;
    size_t n = 0;

    for (size_t i = 0; i + 2 <= v->length && n + 6 < room; i += 2)
        n += (size_t)sprintf(to + n, "%s%04X", i ? "," : "", two_bytes(p + i));
    to[n] = '\0';
}

static bool is_text(const struct vz_efi_variable *v)
{
    const uint8_t *p = v->data;

    for (size_t i = 0; i < v->length; i++) {
        if (p[i] < ' ' || p[i] >= 0x7f)
            return false;
    }
    return v->length > 0 && v->length < TEXT_MAX;
}

/* One line of it; "": nothing that a person can read. */
static void describe(const struct vz_efi_variable *v, char to[TEXT_MAX])
{
    to[0] = '\0';
    if (is_entry(v))
        put_title(v, to, TEXT_MAX);
    else if (is_global(v) && is_list(v->name))
        put_list(v, to, TEXT_MAX);
    else if (is_global(v) && !strcmp(v->name, "Timeout") && v->length == 2)
        snprintf(to, TEXT_MAX, "%u", two_bytes(v->data));
    else if (is_text(v))
        snprintf(to, TEXT_MAX, "%.*s", (int)v->length, (const char *)v->data);
}

/* ---- list ------------------------------------------------------------------------------------ */

static bool print_one(void *arg, const struct vz_efi_variable *v)
{
    char text[TEXT_MAX];

    describe(v, text);
    printf("%-24s %-36s %6zu  %s\n", v->name, is_global(v) ? "-" : v->guid, v->length, text);
    return true;
}

static bool add_one(void *arg, const struct vz_efi_variable *v)
{
    char text[TEXT_MAX], *hex = malloc(2 * v->length + 1);
    json_t *one;

    if (!hex)
        return false;
    hex[0] = '\0';
    for (size_t i = 0; i < v->length; i++)
        sprintf(hex + 2 * i, "%02x", ((const uint8_t *)v->data)[i]);
    describe(v, text);
    one = json_pack("{s:s, s:s, s:I, s:s}", "name", v->name, "guid", v->guid, "attributes",
                    (json_int_t)v->attributes, "data", hex);
    if (one && text[0])
        json_object_set_new(one, "text", json_string(text));
    free(hex);
    return json_array_append_new(arg, one) == 0;
}

static int list(const char *store, bool as_json, struct vz_error *err)
{
    json_t *all = as_json ? json_array() : NULL;
    int r;

    if (!as_json)
        printf("%-24s %-36s %6s  %s\n", "NAME", "GUID", "SIZE", "VALUE");
    r = vz_efi_variable_store_list(store, as_json ? add_one : print_one, all, err);
    if (as_json && !r) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    return r;
}

/* ---- set ------------------------------------------------------------------------------------- */

/* "0001,0000" as 16-bit numbers, little-endian. */
static uint8_t *from_list(const char *text, size_t *ret_len)
{
    uint8_t *data = malloc(strlen(text) + 1);
    size_t n = 0;

    while (data && *text) {
        char *end;
        unsigned long v = strtoul(text, &end, 16);

        if (end == text || v > 0xffff || (*end && *end != ',') || (*end == ',' && !end[1])) {
            free(data);
            return NULL;
        }
        data[n++] = (uint8_t)v;
        data[n++] = (uint8_t)(v >> 8);
        text = end + (*end == ',');
    }
    *ret_len = n;
    return data;
}

static uint8_t *from_hex(const char *text, size_t *ret_len)
{
    size_t len = strlen(text) / 2;
    uint8_t *data = strlen(text) % 2 || strspn(text, "0123456789abcdefABCDEF") != 2 * len
                        ? NULL : malloc(len + 1);

    for (size_t i = 0; data && i < len; i++) {
        unsigned v;

        sscanf(text + 2 * i, "%2x", &v);
        data[i] = (uint8_t)v;
    }
    *ret_len = len;
    return data;
}

static uint8_t *from_seconds(const char *text, size_t *ret_len)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    uint8_t *data = end == text || *end || v > 0xffff ? NULL : malloc(2);

    if (data) {
        data[0] = (uint8_t)v;
        data[1] = (uint8_t)(v >> 8);
    }
    *ret_len = 2;
    return data;
}

/* NULL after cli_error(). */
static uint8_t *value_of(const char *name, const char *text, size_t *ret_len)
{
    struct vz_error err;
    uint8_t *data;

    if (text[0] == '@') {
        data = (uint8_t *)cli_read_file(text + 1, ret_len, &err);
        if (!data)
            cli_error("%s", err.text);
        return data;
    }
    if (!strncmp(text, "hex:", 4))
        data = from_hex(text + 4, ret_len);
    else if (is_list(name))
        data = from_list(text, ret_len);
    else if (!strcmp(name, "Timeout"))
        data = from_seconds(text, ret_len);
    else {
        data = (uint8_t *)strdup(text);
        *ret_len = strlen(text);
    }
    if (!data)
        cli_error("%s: '%s' is no value of it (see 'vz efi --help')", name, text);
    return data;
}

static int set(const char *store, const char *name, const char *guid, const char *text,
               struct vz_error *err)
{
    struct vz_efi_variable v = VZ_EFI_VARIABLE_INIT;
    uint8_t *data = value_of(guid ? "" : name, text, &v.length);
    int r;

    if (!data) {
        err->text[0] = '\0'; /* it has been said */
        return -1;
    }
    v.name = name;
    v.guid = guid;
    v.data = data;
    r = vz_efi_variable_store_set(store, &v, err);
    free(data);
    return r;
}

/* ---- The command ----------------------------------------------------------------------------- */

static int create(const struct given *given, const char *store, struct vz_error *err)
{
    struct vz_efi_variable_store_options o = VZ_EFI_VARIABLE_STORE_OPTIONS_INIT;
    const struct given *firmware = opts_given(given, "firmware");

    o.firmware = firmware ? firmware->value : NULL;
    o.secure_boot = opts_given(given, "secure-boot");
    o.allow_overwrite = opts_given(given, "replace");
    return vz_efi_variable_store_create(store, &o, err);
}

static int run_verb(unsigned verb, const struct given *given, const char *const *word, struct vz_error *err)
{
    const struct given *guid = opts_given(given, "guid");

    switch (verb) {
    case CREATE:
        return create(given, word[1], err);
    case LIST:
        return list(word[1], opts_given(given, "json"), err);
    case SET:
        return set(word[1], word[2], guid ? guid->value : NULL, word[3], err);
    case DELETE:
        return vz_efi_variable_store_remove(word[1], word[2], guid ? guid->value : NULL, err);
    case SECURE_BOOT:
        return efi_secure_boot(word[1], word[2], err);
    case KEYS:
        return efi_list_keys(word[1], opts_given(given, "json"), err);
    default:
        return efi_enroll(word[1], word[2], word[3], err);
    }
}

static int run(const struct given *given, const char *const *word, unsigned count)
{
    static const unsigned wants[] = {2, 2, 4, 3, 2, 2, 4}; /* words of each verb, with itself */
    struct vz_error err = {.text = ""};
    char buffer[CLI_SUGGESTION_MAX];
    unsigned verb = 0;
    int r;

    while (count && efi_verbs[verb] && strcmp(efi_verbs[verb], word[0]) != 0)
        verb++;
    if (!count || !efi_verbs[verb]) {
        cli_error(count ? "vz efi: there is no '%s'%s (see 'vz efi --help')"
                        : "vz efi: what?%s%s (see 'vz efi --help')",
                  count ? word[0] : "", count ? cli_suggestion("", word[0], efi_verbs, buffer) : "");
        return EXIT_USAGE;
    }
    if (count != wants[verb] && !(verb == SECURE_BOOT && count == 3)) {
        cli_error("vz efi %s: %s (see 'vz efi --help')", word[0],
                  count < wants[verb] ? "something is missing" : "too many words");
        return EXIT_USAGE;
    }
    r = run_verb(verb, given, word, &err);
    if (r < 0 && err.text[0])
        cli_error("%s", err.text);
    return r < 0 ? EXIT_FAILED : cli_finish_output();
}

static int efi_main(int argc, char **argv)
{
    struct given *given = calloc((size_t)argc + 1, sizeof(*given));
    const char *words[WORDS_MAX + 1] = {NULL};
    unsigned count = 0;
    int status = EXIT_USAGE;

    if (given && opts_parse_words(argc, argv, efi_options, "vz efi", given, words, WORDS_MAX, &count))
        status = run(given, words, count);
    free(given);
    return status;
}

const struct command efi_command = {
    "efi", efi_main, efi_help, efi_options,
    "make stores of UEFI variables, look at them, change them", efi_verbs};
