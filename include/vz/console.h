/* SPDX-License-Identifier: MIT */
/* A virtio console device with named ports: channels between programs of the host and the guest,
 * which sees each as /dev/virtio-ports/NAME, or as hvcN when it is a console. Apple's:
 * VZVirtioConsoleDeviceConfiguration, VZVirtioConsolePortConfiguration.
 * Lifetime: counted. Threads: any; does not change once made. */
#ifndef VZ_CONSOLE_H
#define VZ_CONSOLE_H

#include <vz/error.h>
#include <vz/public.h>
#include <vz/serial.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VZ_CONSOLE_PORTS_MAX 15
#define VZ_CONSOLE_PORT_NAME_MAX 63 /* bytes */

/* What the guest's SPICE agent looks for; see vz_spice_agent_attachment_new(). */
#define VZ_SPICE_AGENT_PORT_NAME "com.redhat.spice.0"

VZ_DECLARE_COUNTED(console_device);

/**
 * What a port leads to with which the guest's SPICE agent (Debian's package spice-vdagent, and others for Windows) speaks:
 * it has the guest's clipboard shared (<vz/clipboard.h>), and gives displays the sizes that the host asks for, where the
 * guest's desktop does not by itself. The port must be called VZ_SPICE_AGENT_PORT_NAME and be no console, and a machine has
 * one. Apple's: VZSpiceAgentPortAttachment.
 * @shares_clipboard  false: nothing of the clipboard is told or asked, either way
 * Returns a new reference, or NULL with VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_serial_attachment *vz_spice_agent_attachment_new(bool shares_clipboard,
                                                                     struct vz_error *err);

struct vz_console_port_options { /* start from VZ_CONSOLE_PORT_OPTIONS_INIT */
    size_t size;
    const char *name;                        /* copied; NULL: none */
    bool is_console;                         /* the guest may log in here */
    struct vz_serial_attachment *attachment; /* a reference is taken; NULL: nowhere */
};
#define VZ_CONSOLE_PORT_OPTIONS_INIT VZ_INIT_(struct vz_console_port_options, )

struct vz_virtio_console_options { /* start from VZ_VIRTIO_CONSOLE_OPTIONS_INIT */
    size_t size;
    const struct vz_console_port_options *ports; /* of this many; each is copied */
    unsigned port_count;
};
#define VZ_VIRTIO_CONSOLE_OPTIONS_INIT VZ_INIT_(struct vz_virtio_console_options, )

/**
 * Describe a console device. Names and numbers of ports are checked by vz_config_validate().
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size, more than
 * VZ_CONSOLE_PORTS_MAX ports) or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_console_device *
vz_virtio_console_device_new(const struct vz_virtio_console_options *options,
                             struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
