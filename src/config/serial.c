/* SPDX-License-Identifier: MIT */
/* Serial ports and their attachments. */
#include <vz/console.h>
#include <vz/serial.h>

#include <fcntl.h>

#include "config/objects.h"
#include "config/report.h"

/* ---- Checks --------------------------------------------------------------------------------- */

static void check_stdio(struct report *r, const void *object)
{
    if (++r->stdio_users == 2)
        report_problem(r, VZ_ERROR_INVALID, "standard input and output are in use by another port");
}

static void check_fd(struct report *r, const void *object)
{
    const struct vz_serial_attachment *a = object;

    if (a->read_fd >= 0)
        report_fd(r, a->read_fd, O_RDONLY);
    if (a->write_fd >= 0)
        report_fd(r, a->write_fd, O_WRONLY);
}

static void check_file(struct report *r, const void *object)
{
    report_output_file(r, ((const struct vz_serial_attachment *)object)->path);
}

static void check_unix(struct report *r, const void *object)
{
    report_new_socket(r, ((const struct vz_serial_attachment *)object)->path);
}

/* ---- Attachments ---------------------------------------------------------------------------- */

#define ATTACHMENT_TYPE(name_, word, ...)                                                          \
    {                                                                                              \
        .name = (name_), .json = (word), .option = (word),                                         \
        .size = sizeof(struct vz_serial_attachment), __VA_ARGS__                                   \
    }

static const struct schema_field null_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_NULL), FIELD_END};
static const struct schema_type null_type = ATTACHMENT_TYPE(
    "null", "null", .fields = null_fields, .text = "nowhere: no input, and output is swallowed");

static const struct schema_field stdio_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_STDIO), FIELD_END};
static const struct schema_type stdio_type =
    ATTACHMENT_TYPE("stdio", "stdio", .fields = stdio_fields, .check = check_stdio,
                    .text = "standard input and output");

static const struct schema_field fd_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_FD),
    FIELD_FD(struct vz_serial_attachment, read_fd, "readDescriptor", .option = "read",
             .text = "where input comes from; -1: there is none"),
    FIELD_FD(struct vz_serial_attachment, write_fd, "writeDescriptor", .option = "write",
             .text = "where output goes; -1: nowhere"),
    FIELD_END};
static const struct schema_type fd_type = ATTACHMENT_TYPE(
    "fd", "fd", .fields = fd_fields, .check = check_fd, .text = "open file descriptors");

static const struct schema_field file_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_FILE),
    FIELD_PATH(struct vz_serial_attachment, path, "path", .required = true, .option = "",
               .text = "a file that is created, or truncated"),
    FIELD_BOOL(struct vz_serial_attachment, append, "append",
               .text = "output goes to the file's end instead of replacing it"),
    FIELD_END};
static const struct schema_type file_type = ATTACHMENT_TYPE(
    "file", "file", .fields = file_fields, .check = check_file, .text = "output to a file");

static const struct schema_field pty_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_PTY), FIELD_END};
static const struct schema_type pty_type =
    ATTACHMENT_TYPE("pty", "pty", .fields = pty_fields,
                    .text = "a new pseudo-terminal at each start, whose name is told");

static const struct schema_field unix_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_UNIX),
    FIELD_PATH(struct vz_serial_attachment, path, "path", .required = true, .option = "",
               .text = "where nothing may be but a socket that nobody listens on any more"),
    FIELD_END};
static const struct schema_type unix_type =
    ATTACHMENT_TYPE("unix", "unix", .fields = unix_fields, .check = check_unix,
                    .text = "a Unix socket to connect to");

/* Only a program can make one: in no class, so neither JSON nor options lead to it. */
static const struct schema_field callback_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_CALLBACK), FIELD_END};
static const struct schema_type callback_type = ATTACHMENT_TYPE(
    "callback", "callback", .fields = callback_fields, .text = "a function of the program's");

static const struct schema_field spice_agent_fields[] = {
    FIELD_CONST(struct vz_serial_attachment, kind, SERIAL_SPICE_AGENT),
    FIELD_NOT(struct vz_serial_attachment, private, "sharesClipboard",
              .text = "what is copied on one side can be pasted on the other"),
    FIELD_END};
static const struct schema_type spice_agent_type = ATTACHMENT_TYPE(
    "spice_agent", "spiceAgent", .fields = spice_agent_fields,
    .text = "the guest's SPICE agent (spice-vdagent): a shared clipboard, and sizes of displays",
    .more = "The port is called " VZ_SPICE_AGENT_PORT_NAME " and is no console; a machine has one.");

#define SERIAL_ATTACHMENTS &null_type, &stdio_type, &fd_type, &file_type, &pty_type, &unix_type
static const struct schema_type *const serial_attachments_types[] = {SERIAL_ATTACHMENTS, NULL};
const struct schema_class config_serial_attachments = {.types = serial_attachments_types, .otherwise = &null_type,
                                                      .colon = true};
static const struct schema_type *const console_attachments_types[] = {SERIAL_ATTACHMENTS, &spice_agent_type, NULL};
const struct schema_class config_console_attachments = {.types = console_attachments_types, .otherwise = &null_type,
                                                       .colon = true};

struct vz_serial_attachment *vz_serial_attachment_ref(struct vz_serial_attachment *object)
{
    return object_ref(object);
}

void vz_serial_attachment_unref(struct vz_serial_attachment *object)
{
    object_unref(object);
}

struct vz_serial_attachment *vz_null_serial_attachment_new(struct vz_error *err)
{
    return schema_new(&null_type, err);
}

struct vz_serial_attachment *vz_stdio_serial_attachment_new(struct vz_error *err)
{
    return schema_new(&stdio_type, err);
}

struct vz_serial_attachment *vz_fd_serial_attachment_new(int read_fd, int write_fd,
                                                         struct vz_error *err)
{
    struct vz_serial_attachment a = {.read_fd = read_fd, .write_fd = write_fd};

    return schema_make(&fd_type, &a, err);
}

struct vz_serial_attachment *vz_file_serial_attachment_new(const char *path, bool append,
                                                           struct vz_error *err)
{
    struct vz_serial_attachment a = {.path = (char *)path, .append = append};

    return schema_make(&file_type, &a, err);
}

struct vz_serial_attachment *vz_pty_serial_attachment_new(struct vz_error *err)
{
    return schema_new(&pty_type, err);
}

struct vz_serial_attachment *vz_unix_serial_attachment_new(const char *path, struct vz_error *err)
{
    struct vz_serial_attachment a = {.path = (char *)path};

    return schema_make(&unix_type, &a, err);
}

struct vz_serial_attachment *vz_callback_serial_attachment_new(vz_serial_output_fn *fn, void *arg,
                                                               struct vz_error *err)
{
    struct vz_serial_attachment *a;

    if (!options_given(fn, "function", err))
        return NULL;
    a = schema_new(&callback_type, err);
    if (a) {
        a->output = fn;
        a->output_arg = arg;
    }
    return a;
}

struct vz_serial_attachment *vz_spice_agent_attachment_new(bool shares_clipboard, struct vz_error *err)
{
    struct vz_serial_attachment a = {.private = !shares_clipboard};

    return schema_make(&spice_agent_type, &a, err);
}

/* ---- Ports ---------------------------------------------------------------------------------- */

static void check_attachment(struct report *r, const void *object)
{
    if (((const struct vz_serial_port *)object)->attachment->kind == SERIAL_SPICE_AGENT)
        report_problem(r, VZ_ERROR_INVALID, "a SPICE agent needs a port of a console device");
}

#define FIELD_ATTACHMENT                                                                           \
    FIELD_ONE(struct vz_serial_port, attachment, "attachment", &config_serial_attachments,         \
              .host = true, .check = check_attachment,                                             \
              .text = "where it leads")

static const struct schema_field uart_fields[] = {
    FIELD_CONST(struct vz_serial_port, is_virtio, false), FIELD_ATTACHMENT, FIELD_END};
const struct schema_type config_uart_type = {
    .name = "uart", .json = "uart", .size = sizeof(struct vz_serial_port), .fields = uart_fields,
    .single = true, .option = "serial", .heading = "Devices",
    .text = "where COM1 (ttyS0) leads: to the terminal, nowhere, to a new pseudo-terminal, into a "
            "file, or to a socket to connect to (default stdio)",
    .more = "\"file=PATH,append\" adds to a file instead of replacing it."};

static const struct schema_field virtio_serial_fields[] = {
    FIELD_CONST(struct vz_serial_port, is_virtio, true), FIELD_ATTACHMENT, FIELD_END};
const struct schema_type config_virtio_serial_type = {
    .name = "virtio_serial", .json = "virtio", .size = sizeof(struct vz_serial_port),
    .fields = virtio_serial_fields, .option = "console", .heading = "Devices",
    .text = "a virtio console, hvc0, hvc1, ... in their order, likewise; with stdio COM1 leads "
            "nowhere",
    .more = "Faster than COM1, and knows the terminal's size. Debian's kernels have its driver as a "
            "module, so tell them console=ttyS0 console=hvc0, never hvc0 alone."};

static const struct schema_type *const serial_ports_types[] = {&config_uart_type, &config_virtio_serial_type, NULL};
const struct schema_class config_serial_ports = {.types = serial_ports_types};

struct vz_serial_port *vz_serial_port_ref(struct vz_serial_port *object)
{
    return object_ref(object);
}

void vz_serial_port_unref(struct vz_serial_port *object)
{
    object_unref(object);
}

struct vz_serial_port *vz_uart_serial_port_new(struct vz_serial_attachment *attachment,
                                               struct vz_error *err)
{
    struct vz_serial_port p = {.attachment = attachment};

    return schema_make(&config_uart_type, &p, err);
}

struct vz_serial_port *vz_virtio_serial_port_new(struct vz_serial_attachment *attachment,
                                                 struct vz_error *err)
{
    struct vz_serial_port p = {.attachment = attachment};

    return schema_make(&config_virtio_serial_type, &p, err);
}

int vz_config_add_serial_port(struct vz_config *config, struct vz_serial_port *port,
                              struct vz_error *err)
{
    return config_add(config ? &config->serial_ports : NULL, port, err);
}
