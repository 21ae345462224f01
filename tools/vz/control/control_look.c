/* SPDX-License-Identifier: MIT */
/* info, stats, config: what a machine is and does. */
#include "control/control.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <vz/machine.h>
#include <vz/runtime.h>

#include "bundle/bundle.h"
#include "bundle/config_json.h"
#include "control/guest_ports.h"
#include "disk_counters.h"

static json_t *string(const char *text)
{
    json_t *s = json_string(text);

    return s ? s : json_null();
}

/* The process': who is locked opens nothing in /proc. */
static int statm_fd = -1;

void control_look_prepare(void)
{
    statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

/* What the process takes of the host's memory, which is mostly the guest's. */
static uint64_t resident_bytes(void)
{
    unsigned long long size, resident;
    char text[128];
    ssize_t n = pread(statm_fd, text, sizeof(text) - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool is_automatic(const struct guest_ports *g, const struct vz_port_forward *f)
{
    return !f->udp && f->host_port == f->guest_port && guest_ports_has(g, f->host_port);
}

static json_t *forwards_of(struct vz_machine *m, unsigned device, const struct guest_ports *g)
{
    struct vz_network_attachment *a = vz_machine_network_attachment(m, device);
    const struct vz_port_forward *f;
    json_t *list = json_array();

    for (unsigned i = 0; (f = vz_nat_attachment_forward(a, i)); i++)
        json_array_append_new(list, json_pack("{s:s, s:o, s:i, s:i, s:b}", "protocol",
                                              f->udp ? "udp" : "tcp", "host", string(f->host), "hostPort",
                                              f->host_port, "guestPort", f->guest_port, "automatic",
                                              is_automatic(g, f)));
    vz_network_attachment_unref(a);
    return list;
}

/* As it is configured. */
static bool mac_of(struct vz_machine *m, unsigned device, char ret[VZ_MAC_ADDRESS_TEXT_MAX])
{
    json_t *config = config_json(vz_machine_config(m), NULL);
    json_t *card = json_array_get(json_object_get(config, "networkDevices"), device);
    const char *mac = json_string_value(json_object_get(card, "mac"));

    snprintf(ret, VZ_MAC_ADDRESS_TEXT_MAX, "%s", mac ? mac : "");
    json_decref(config);
    return *ret;
}

/* Cards in their order; of those behind NAT the guest's addresses too. */
static json_t *networks_of(struct vz_machine *m, const struct guest_ports *g)
{
    json_t *list = json_array();

    for (unsigned i = 0;; i++) {
        struct vz_guest_address a = VZ_GUEST_ADDRESS_INIT;
        struct vz_error err = {.code = VZ_ERROR_NONE};
        char mac[VZ_MAC_ADDRESS_TEXT_MAX];
        json_t *card;

        if (vz_machine_guest_address(m, i, &a, &err) < 0 && err.code != VZ_ERROR_UNSUPPORTED)
            return list;
        card = json_object();
        if (mac_of(m, i, mac))
            json_object_set_new(card, "mac", json_string(mac));
        if (a.ipv4[0])
            json_object_set_new(card, "ipv4", string(a.ipv4));
        if (a.ipv6[0])
            json_object_set_new(card, "ipv6", string(a.ipv6));
        json_object_set_new(card, "nat", json_boolean(err.code != VZ_ERROR_UNSUPPORTED));
        json_object_set_new(card, "forwards", forwards_of(m, i, g));
        json_array_append_new(list, card);
    }
}

/* Of the disks in their order. */
static json_t *disks_of(struct vz_machine *m)
{
    json_t *list = json_array();
    uint64_t size;

    for (unsigned i = 0; vz_machine_disk_size(m, i, &size, NULL) == 0; i++) {
        struct vz_disk_limits l = VZ_DISK_LIMITS_INIT;

        if (vz_machine_disk_limits(m, i, &l, NULL) < 0)
            break;
        json_array_append_new(list, json_pack("{s:I, s:{s:I, s:I, s:I}}", "size", (json_int_t)size, "limits",
                                              "bytes", (json_int_t)l.bytes, "operations",
                                              (json_int_t)l.operations, "burst", (json_int_t)l.burst));
    }
    return list;
}

static json_t *serials_of(struct vz_machine *m)
{
    json_t *list = json_array();
    char path[256];

    for (unsigned i = 0; i < vz_machine_serial_count(m); i++) {
        bool has = vz_machine_serial_path(m, i, path, sizeof(path)) == 0;

        json_array_append_new(list, has ? string(path) : json_null());
    }
    return list;
}

void method_info(struct control_call *call, json_t *params)
{
    struct control *c = call_control(call);
    struct vz_machine *m = call_machine(call);
    struct vz_memory_state memory = VZ_MEMORY_STATE_INIT;
    const char *accel = vz_machine_accel(m);
    json_t *info = json_pack(
        "{s:s, s:i, s:f, s:o, s:I, s:o, s:o, s:o, s:b}", "state",
        vz_machine_state_name(vz_machine_get_state(m)), "pid", (int)getpid(), "uptime",
        control_uptime(c), "accelerator", accel ? json_string(accel) : json_null(),
        "residentBytes", (json_int_t)resident_bytes(), "networks", networks_of(m, control_guest_ports(c)), "disks",
        disks_of(m), "serialPaths", serials_of(m), "hearsPowerButton", vz_machine_hears_request_stop(m));

    if (info && vz_machine_memory_state(m, &memory, NULL) == 0)
        json_object_set_new(info, "balloon",
                            json_pack("{s:I, s:I, s:I}", "target", (json_int_t)memory.target,
                                      "actual", (json_int_t)memory.actual, "freed",
                                      (json_int_t)memory.freed));
    call_reply(call, info);
}

static void add_stat(void *arg, const char *name, uint64_t value)
{
    json_object_set_new(arg, name, json_integer((json_int_t)value));
}

void method_stats(struct control_call *call, json_t *params)
{
    json_t *stats = json_object();

    vz_machine_stats(call_machine(call), add_stat, stats);
    disk_counters(call_machine(call), add_stat, stats);
    call_reply(call, json_pack("{s:f, s:I, s:o}", "uptime", control_uptime(call_control(call)),
                               "residentBytes", (json_int_t)resident_bytes(), "counters", stats));
}

/* The configuration that it runs with; that in the folder may have been changed since. */
void method_config(struct control_call *call, json_t *params)
{
    json_t *config = config_json(vz_machine_config(call_machine(call)), NULL);

    if (config)
        call_reply(call, config);
    else
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
}
