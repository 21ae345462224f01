/* SPDX-License-Identifier: MIT */
/* Serial ports, and where the bytes of serial and console ports go on the host.
 * Apple's: VZSerialPortConfiguration, VZSerialPortAttachment.
 * Lifetime: counted. Threads: any; objects do not change once made. */
#ifndef VZ_SERIAL_H
#define VZ_SERIAL_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(serial_attachment);
VZ_DECLARE_COUNTED(serial_port);

/* Attachments. Each returns a new reference, or NULL with VZ_ERROR_INVALID (a path that is NULL or
 * empty) or VZ_ERROR_NO_MEMORY. Nothing is opened before a machine starts; strings are copied. */

/* Nowhere: no input, and output is swallowed. Since 0.2. */
VZ_PUBLIC struct vz_serial_attachment *vz_null_serial_attachment_new(struct vz_error *err);

/* Standard input and output of the process, or what vz_config_set_stdio() says instead. Terminal
 * modes are the program's business. Since 0.2. */
VZ_PUBLIC struct vz_serial_attachment *vz_stdio_serial_attachment_new(struct vz_error *err);

/* Input from read_fd and output to write_fd; either may be -1, and both may be the same. They stay
 * the caller's, unchanged, and open while a machine that uses them runs. End of file ends the
 * input, not the machine. Since 0.2. */
VZ_PUBLIC struct vz_serial_attachment *vz_fd_serial_attachment_new(int read_fd, int write_fd,
                                                                   struct vz_error *err);

/* Output to a file that is created, or truncated unless append; no input. Since 0.2. */
VZ_PUBLIC struct vz_serial_attachment *vz_file_serial_attachment_new(const char *path, bool append,
                                                                     struct vz_error *err);

/* A new pseudo-terminal for each start of a machine; vz_machine_serial_path() tells its name. What
 * nobody reads there waits. Since 0.2. */
VZ_PUBLIC struct vz_serial_attachment *vz_pty_serial_attachment_new(struct vz_error *err);

/* A listening Unix stream socket, made when a machine starts and removed in the end. Nothing may be
 * at path but a socket that nobody listens on any more, left by a process that was killed. One peer
 * at a time; without one, output is dropped. Since 0.2. */
VZ_PUBLIC struct vz_serial_attachment *vz_unix_serial_attachment_new(const char *path,
                                                                     struct vz_error *err);

/* Bytes that the guest wrote, some at a time; data is good until it returns. Always on the machine's own
 * event thread, also for a machine with use_events_fd: it should return soon, and may call anything
 * but vz_machine_free() and the ..._wait() functions. */
typedef void vz_serial_output_fn(void *arg, const void *data, size_t len);

/* The program itself: output goes to fn, and vz_machine_serial_send() gives the guest input. In JSON
 * its type is "callback", which is written and cannot be read. Since 0.4. */
VZ_PUBLIC struct vz_serial_attachment *
vz_callback_serial_attachment_new(vz_serial_output_fn *fn, void *arg, struct vz_error *err);

/* Ports. attachment: a reference is taken; NULL: as vz_null_serial_attachment_new(). Each returns
 * a new reference, or NULL with VZ_ERROR_NO_MEMORY. */

/* A 16550A: the guest's COM1 (Linux: ttyS0). At most one. Since 0.2. */
VZ_PUBLIC struct vz_serial_port *vz_uart_serial_port_new(struct vz_serial_attachment *attachment,
                                                         struct vz_error *err);

/* A virtio console with one port: the guest's hvc0 (the next ones: hvc1, ...). Since 0.2. */
VZ_PUBLIC struct vz_serial_port *
vz_virtio_serial_port_new(struct vz_serial_attachment *attachment, struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
