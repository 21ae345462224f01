/* SPDX-License-Identifier: MIT */
/* `vz completion SHELL`: a script that completes commands, options and their words, from the tables. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* What help calls a file: the shell completes it by itself. */
static bool is_file(const struct opt *o)
{
    return o->value && (!strncmp(o->value, "FILE", 4) || !strncmp(o->value, "PATH", 4));
}

/* The words that a value begins with, "null stdio fd file: pty unix:" of
 * "null|stdio|fd[,read=N]|file:PATH|pty|unix:PATH"; nothing where something is up to the user. */
static void put_words(FILE *to, const char *value)
{
    while (value && *value) {
        size_t len = strcspn(value, "|[:=");
        bool more = value[len] == ':' || value[len] == '=';

        if (strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789") >= len && len)
            fprintf(to, "%.*s ", (int)(len + more), value);
        value += len;
        while (*value && *value != '|') /* members of the word, which may have words of their own */
            value += *value == '[' ? strcspn(value, "]") + 1 : 1;
        value += *value == '|';
    }
}

/* ---- bash ----------------------------------------------------------------------------------- */

static void bash_values(FILE *to, const struct command *c, const struct opt *options)
{
    for (const struct opt *o = options; o->name; o++) {
        if (o->has_value != OPT_ALWAYS)
            continue;
        fprintf(to, "    %s:%s%s", c->name, o->name[0] ? "--" : "-",
                o->name[0] ? o->name : (const char[]){o->letter, '\0'});
        if (o->letter && o->name[0])
            fprintf(to, "|%s:-%c", c->name, o->letter);
        fprintf(to, ") words='");
        if (!is_file(o))
            put_words(to, o->value);
        fprintf(to, "' ;;\n");
    }
}

static void put_verbs(FILE *to, const struct command *c)
{
    for (const char *const *v = c->verbs; v && *v; v++)
        fprintf(to, "%s ", *v);
}

/* Is the word behind it a machine? */
static bool takes_machine(const struct command *c)
{
    if (c == &create_command) /* one that is not there yet */
        return false;
    return c->usage && (!strncmp(c->usage, "MACHINE", 7) || !strncmp(c->usage, "[MACHINE", 8));
}

static void bash_options(FILE *to, const struct command *c, const struct opt *options)
{
    fprintf(to, "    %s:*) words='", c->name);
    for (const struct opt *o = options; o->name; o++) {
        if (o->name[0])
            fprintf(to, "--%s ", o->name);
    }
    fprintf(to, "--help'%s ;;\n", takes_machine(c) ? "$(_vz_machines)" : "");
}

static void bash(FILE *to, const struct command *const *commands)
{
    fprintf(to, "# vz completion bash\n"
                "_vz_machines() {\n"
                "  case ${COMP_WORDS[COMP_CWORD]} in\n"
                "    -*) ;;\n"
                "    *) printf ' %%s' $(vz list --names 2>/dev/null) ;;\n"
                "  esac\n"
                "}\n"
                "_vz() {\n"
                "  local current=${COMP_WORDS[COMP_CWORD]} words\n"
                "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                "    words='");
    for (unsigned i = 0; commands[i]; i++)
        fprintf(to, "%s ", commands[i]->name);
    fprintf(to, "'\n"
                "  else\n"
                "    case ${COMP_WORDS[1]}:${COMP_WORDS[COMP_CWORD-1]} in\n");
    for (unsigned i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        struct opt *options = command_opts_new(c);

        if (c->verbs) {
            fprintf(to, "    %s:%s) words='", c->name, c->name);
            put_verbs(to, c);
            fprintf(to, "' ;;\n");
        }
        if (options) {
            bash_values(to, c, options);
            bash_options(to, c, options);
        }
        command_opts_free(c, options);
    }
    fprintf(to, "    esac\n"
                "  fi\n"
                "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                "}\n"
                "complete -o default -F _vz vz\n");
}

/* ---- zsh and fish --------------------------------------------------------------------------- */

/* Text inside '...', with a backslash before what else means something. */
static void put_quoted(FILE *to, const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", to);
        else
            fprintf(to, strchr(special, *text) ? "\\%c" : "%c", *text);
    }
}

static void zsh_option(FILE *to, const struct opt *o)
{
    if (!o->name[0])
        return;
    fprintf(to, "        '%s--%s[", o->max == 1 || o->has_value == OPT_NEVER ? "" : "*", o->name);
    put_quoted(to, o->text, "[]:\\");
    putc(']', to);
    if (o->value) {
        fprintf(to, "%s:value:", o->has_value == OPT_MAYBE ? ":" : "");
        if (is_file(o)) {
            fputs("_files", to);
        } else {
            putc('(', to);
            put_words(to, o->value);
            putc(')', to);
        }
    }
    fputs("' \\\n", to);
}

static void zsh(FILE *to, const struct command *const *commands)
{
    fputs("#compdef vz\n"
          "_vz_machines() {\n"
          "  compadd -- ${(f)\"$(vz list --names 2>/dev/null)\"}\n"
          "}\n"
          "_vz() {\n"
          "  if (( CURRENT == 2 )); then\n"
          "    local -a commands=(\n",
          to);
    for (unsigned i = 0; commands[i]; i++) {
        const struct command *c = commands[i];

        fprintf(to, "      '%s:", c->name);
        put_quoted(to, c->text, ":\\");
        fputs("'\n", to);
    }
    fputs("    )\n"
          "    _describe command commands\n"
          "    return\n"
          "  fi\n"
          "  local command=$words[2]\n"
          "  shift words; (( CURRENT-- ))\n"
          "  case $command in\n",
          to);
    for (unsigned i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        struct opt *options = command_opts_new(c);

        fprintf(to, "    %s)\n      _arguments \\\n", c->name);
        for (const struct opt *o = options; o && o->name; o++)
            zsh_option(to, o);
        command_opts_free(c, options);
        if (c->verbs) {
            fputs("        '1:command:(", to);
            put_verbs(to, c);
            fputs(")' '*:file:_files' \\\n", to);
        }
        if (takes_machine(c))
            fputs("        '*:machine:_vz_machines' \\\n", to);
        fputs("        '--help[print what it does]' ;;\n", to);
    }
    fputs("  esac\n}\n_vz \"$@\"\n", to);
}

static void fish_option(FILE *to, const struct command *c, const struct opt *o)
{
    fprintf(to, "complete -c vz -n '__fish_seen_subcommand_from %s'", c->name);
    if (o->name[0])
        fprintf(to, " -l %s", o->name);
    if (o->letter)
        fprintf(to, " -s %c", o->letter);
    if (o->has_value == OPT_ALWAYS)
        fputs(is_file(o) ? " -rF" : " -x", to);
    if (o->value && !is_file(o)) {
        fputs(" -a '", to);
        put_words(to, o->value);
        putc('\'', to);
    }
    fputs(" -d '", to);
    put_quoted(to, o->text, "");
    fputs("'\n", to);
}

static void fish(FILE *to, const struct command *const *commands)
{
    fputs("# vz completion fish\ncomplete -c vz -f\n", to);
    for (unsigned i = 0; commands[i]; i++) {
        const struct command *c = commands[i];

        fprintf(to, "complete -c vz -n __fish_use_subcommand -a %s -d '", c->name);
        put_quoted(to, c->text, "");
        fputs("'\n", to);
    }
    for (unsigned i = 0; commands[i]; i++) {
        const struct command *c = commands[i];
        struct opt *options = command_opts_new(c);

        if (takes_machine(c))
            fprintf(to, "complete -c vz -n '__fish_seen_subcommand_from %s' -a '(vz list --names "
                        "2>/dev/null)'\n", c->name);
        if (c->verbs) {
            fprintf(to, "complete -c vz -n '__fish_seen_subcommand_from %s' -F -a '", c->name);
            put_verbs(to, c);
            fputs("'\n", to);
        }
        for (const struct opt *o = options; o && o->name; o++)
            fish_option(to, c, o);
        command_opts_free(c, options);
    }
}

/* ---- The command ---------------------------------------------------------------------------- */

void completion_help(FILE *to, const struct opt *options)
{
    fputs("Usage: vz completion bash|zsh|fish\n"
          "\n"
          "Print a script that lets the shell complete commands, options and their words. Packages\n"
          "install it; by hand:\n"
          "  bash  source <(vz completion bash)                                in ~/.bashrc\n"
          "  zsh   vz completion zsh > ~/.zsh/_vz                              with fpath+=~/.zsh\n"
          "  fish  vz completion fish > ~/.config/fish/completions/vz.fish\n",
          to);
}

int completion_print(const char *shell, const struct command *const *commands)
{
    static const struct {
        const char *name;
        void (*print)(FILE *to, const struct command *const *commands);
    } shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

    for (size_t i = 0; shell && i < sizeof(shells) / sizeof(shells[0]); i++) {
        if (!strcmp(shell, shells[i].name)) {
            shells[i].print(stdout, commands);
            return EXIT_OK;
        }
    }
    cli_error("completion '%s': expected bash, zsh or fish", shell ? shell : "");
    return EXIT_USAGE;
}
