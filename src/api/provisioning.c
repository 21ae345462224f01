/* SPDX-License-Identifier: MIT */
/* <vz/provisioning.h>. cloud-init's file is YAML, of which JSON is a part: so no name can break out of
 * its quotes. */
#include <vz/provisioning.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"
#include "config/object.h"

#define FULL_NAME_MAX 255u
#define PASSWORD_MAX  255u
#define USERNAME_MAX  32u
#define LIST_MAX      256u

/* ---- Rules ---------------------------------------------------------------------------------- */

static bool is_text(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (!len || len > max)
        return false;
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    }
    return utf8_is_text(text);
}

static bool is_full_name(const char *name)
{
    return is_text(name, FULL_NAME_MAX) && !strpbrk(name, ":,=") && strspn(name, " ") < strlen(name);
}

static bool is_username(const char *name)
{
    static const char *const taken[] = {"root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news",
                                        "uucp", "proxy", "backup", "list", "irc", "nobody", "sshd", "messagebus",
                                        "sudo", "admin", "adm", "shadow", "wheel", "tty", "disk"};
    size_t len = strlen(name);

    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        if (!strcmp(name, taken[i]))
            return false;
    }
    return len && len <= USERNAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len &&
           (name[0] == '_' || (name[0] >= 'a' && name[0] <= 'z'));
}

static bool is_hostname(const char *name)
{
    size_t len = strlen(name);

    return len && len <= 64 && name[0] != '-' && name[0] != '.' && name[len - 1] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == len;
}

/* A word of letters, digits and a few more: it becomes the argument of a program there. */
static bool is_word(const char *text, const char *more)
{
    for (const char *p = text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');

        if (!plain && !strchr(more, *p))
            return false;
    }
    return *text && *text != '-' && strlen(text) <= 255;
}

static bool is_script(const char *text)
{
    return strlen(text) <= 1u << 20 && !strncmp(text, "#!", 2) && utf8_is_text(text);
}

static int check_user(const struct vz_provisioning_options *o, struct vz_error *err)
{
    bool said = o->full_name || o->password || o->logs_in_automatically || (o->ssh_keys && o->ssh_keys[0]);

    if (o->full_name && !is_full_name(o->full_name))
        return error_set(err, EINVAL, VZ_ERROR_PROVISIONING_INVALID_FULL_NAME,
                         "full name: expected 1 to 255 bytes, not only blanks, without control characters and ':,='");
    if (o->username ? !is_username(o->username) : said)
        return error_set(err, EINVAL, VZ_ERROR_PROVISIONING_INVALID_USERNAME,
                         o->username ? "user name '%.40s': expected a-z or _, then up to 31 of a-z, 0-9, _ and -, "
                         "and no user that systems have already" : "user name: which?%s", o->username ? o->username : "");
    if (o->password && !is_text(o->password, PASSWORD_MAX))
        return error_set(err, EINVAL, VZ_ERROR_PROVISIONING_INVALID_PASSWORD,
                         "password: expected 1 to 255 bytes without control characters");
    return 0;
}

static int check_list(const char *const *list, bool keys, struct vz_error *err)
{
    for (size_t i = 0; list && list[i]; i++) {
        if (i >= LIST_MAX || (keys ? !is_text(list[i], 16384) || !strchr(list[i], ' ')
                                   : !is_word(list[i], "+-.:=~_/")))
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "%s '%.60s': expected %s", keys ? "ssh key" : "package",
                             list[i], keys ? "a line as in authorized_keys" : "a package's name");
    }
    return 0;
}

static int check(const struct vz_provisioning_options *o, struct vz_error *err)
{
    int r = check_user(o, err);

    if (r)
        return r;
    if (o->hostname && !is_hostname(o->hostname))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "host name '%.60s': expected letters, digits, - and .", o->hostname);
    if (o->locale && !is_word(o->locale, "_.@-"))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "locale '%.60s': expected such as de_DE.UTF-8", o->locale);
    if (o->timezone && !is_word(o->timezone, "_+-/"))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "time zone '%.60s': expected such as Europe/Berlin", o->timezone);
    if (o->script && !is_script(o->script))
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "script: expected UTF-8 of at most 1 MiB that begins with #!");
    r = check_list(o->ssh_keys, true, err);
    return r ? r : check_list(o->packages, false, err);
}

/* ---- cloud-config --------------------------------------------------------------------------- */

static json_t *list_of(const char *const *list)
{
    json_t *array = json_array();

    for (size_t i = 0; list && list[i]; i++)
        json_array_append_new(array, json_string(list[i]));
    return array;
}

static json_t *user(const struct vz_provisioning_options *o)
{
    json_t *u = json_pack("{s:s, s:s, s:s, s:s, s:b}", "name", o->username, "shell", "/bin/bash", "groups", "sudo, adm",
                          "sudo", o->password ? "ALL=(ALL) ALL" : "ALL=(ALL) NOPASSWD:ALL", "lock_passwd", !o->password);

    if (o->full_name)
        json_object_set_new(u, "gecos", json_string(o->full_name));
    if (o->password)
        json_object_set_new(u, "plain_text_passwd", json_string(o->password));
    if (o->ssh_keys && o->ssh_keys[0])
        json_object_set_new(u, "ssh_authorized_keys", list_of(o->ssh_keys));
    return u;
}

static void add_file(json_t *files, const char *path, const char *content, const char *mode)
{
    json_array_append_new(files, json_pack("{s:s, s:s, s:s}", "path", path, "content", content, "permissions", mode));
}

/* Drop-ins for the consoles' login programs. */
static void log_in(const char *name, json_t *files, json_t *commands)
{
    static const char *const units[][2] = {
        {"getty@", "--noclear %I $TERM"}, {"serial-getty@", "--keep-baud 115200,57600,38400,9600 - $TERM"}};
    char path[128], content[256];

    for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
        snprintf(path, sizeof(path), "/etc/systemd/system/%s.service.d/vz-login.conf", units[i][0]);
        snprintf(content, sizeof(content), "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin %s %s\n", name,
                 units[i][1]);
        add_file(files, path, content, "0644");
    }
    json_array_append_new(commands, json_pack("[s, s, s]", "sh", "-c",
        "systemctl daemon-reload; systemctl restart 'getty@*' 'serial-getty@*'"));
}

static void set_text(json_t *to, const char *name, const char *text)
{
    if (text)
        json_object_set_new(to, name, json_string(text));
}

static json_t *cloud_config(const struct vz_provisioning_options *o)
{
    json_t *all = json_object(), *files = json_array(), *commands = json_array(), *packages = list_of(o->packages);

    set_text(all, "hostname", o->hostname);
    set_text(all, "locale", o->locale);
    set_text(all, "timezone", o->timezone);
    if (o->username)
        json_object_set_new(all, "users", json_pack("[o]", user(o)));
    if (o->enables_remote_login) {
        json_array_append_new(packages, json_string("openssh-server"));
        json_object_set_new(all, "ssh_pwauth", json_boolean(o->password != NULL));
    }
    if (o->logs_in_automatically)
        log_in(o->username, files, commands);
    if (o->script) {
        add_file(files, "/var/lib/vz-first-start", o->script, "0700");
        json_array_append_new(commands, json_pack("[s]", "/var/lib/vz-first-start"));
    }
    if (json_array_size(packages)) {
        json_object_set(all, "packages", packages);
        json_object_set_new(all, "package_update", json_true());
    }
    if (json_array_size(files))
        json_object_set(all, "write_files", files);
    if (json_array_size(commands))
        json_object_set(all, "runcmd", commands);
    json_decref(packages);
    json_decref(files);
    json_decref(commands);
    return all;
}

int vz_provisioning_validate(const struct vz_provisioning_options *options, struct vz_error *err)
{
    struct vz_provisioning_options o = VZ_PROVISIONING_OPTIONS_INIT;

    if (!options_given(options, "options", err) || options_copy(&o, sizeof(o), options, err) < 0)
        return -1;
    return check(&o, err) < 0 ? -1 : 0;
}

char *vz_provisioning_user_data(const struct vz_provisioning_options *options, struct vz_error *err)
{
    struct vz_provisioning_options o = VZ_PROVISIONING_OPTIONS_INIT;
    char *body, *text = NULL;
    json_t *all;

    if (vz_provisioning_validate(options, err) < 0 || options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    all = cloud_config(&o);
    body = json_dumps(all, JSON_INDENT(2));
    json_decref(all);
    if (!body || asprintf(&text, "#cloud-config\n%s\n", body) < 0) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        text = NULL;
    }
    free(body);
    return text;
}

/* ---- From JSON ------------------------------------------------------------------------------ */

struct form {
    struct vz_provisioning_options o;
    const char *keys[LIST_MAX + 1], *packages[LIST_MAX + 1];
};

static bool read_list(json_t *value, const char *ret[LIST_MAX + 1])
{
    json_t *item;
    size_t i;

    if (!json_is_array(value) || json_array_size(value) > LIST_MAX)
        return false;
    json_array_foreach(value, i, item) {
        ret[i] = json_string_value(item);
        if (!ret[i])
            return false;
    }
    return true;
}

static bool read_member(struct form *f, const char *name, json_t *value)
{
    const struct {
        const char *name, **text;
    } texts[] = {{"fullName", &f->o.full_name}, {"username", &f->o.username}, {"password", &f->o.password},
                 {"hostname", &f->o.hostname}, {"locale", &f->o.locale}, {"timezone", &f->o.timezone},
                 {"script", &f->o.script}};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (!strcmp(texts[i].name, name))
            return (*texts[i].text = json_string_value(value)) != NULL;
    }
    if (!strcmp(name, "logsInAutomatically"))
        f->o.logs_in_automatically = json_is_true(value);
    else if (!strcmp(name, "enablesRemoteLogin"))
        f->o.enables_remote_login = json_is_true(value);
    else if (!strcmp(name, "sshKeys"))
        return read_list(value, f->keys);
    else if (!strcmp(name, "packages"))
        return read_list(value, f->packages);
    else
        return false;
    return json_is_boolean(value);
}

char *vz_provisioning_user_data_from_json(const char *text, size_t len, struct vz_error *err)
{
    struct form f = {.o = VZ_PROVISIONING_OPTIONS_INIT};
    json_error_t why;
    json_t *all, *value;
    const char *name;
    char *ret = NULL;

    if (!options_given(text, "text", err))
        return NULL;
    all = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(all)) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "provisioning: line %d: %.150s", all ? 1 : why.line,
                  all ? "not an object" : why.text);
        json_decref(all);
        return NULL;
    }
    f.o.ssh_keys = f.keys;
    f.o.packages = f.packages;
    json_object_foreach(all, name, value) {
        if (!read_member(&f, name, value)) {
            error_set(err, EINVAL, VZ_ERROR_INVALID, "provisioning: %.60s: is not known, or not of its type", name);
            json_decref(all);
            return NULL;
        }
    }
    ret = vz_provisioning_user_data(&f.o, err);
    json_decref(all);
    return ret;
}
