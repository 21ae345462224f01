/* SPDX-License-Identifier: MIT */
/* The USB controller. */
#include "config/objects.h"

static const struct schema_field fields[] = {FIELD_END};
const struct schema_type config_xhci_type = {
    .name = "xhci_controller", .json = "xhci", .size = sizeof(struct vz_usb_controller), .fields = fields,
    .single = true, .text = "a USB controller (xHCI), which also comes by itself with the first USB device"};

static const struct schema_type *const usb_controllers_types[] = {&config_xhci_type, NULL};
const struct schema_class config_usb_controllers = {.types = usb_controllers_types};

struct vz_usb_controller *vz_usb_controller_ref(struct vz_usb_controller *object)
{
    return object_ref(object);
}

void vz_usb_controller_unref(struct vz_usb_controller *object)
{
    object_unref(object);
}

struct vz_usb_controller *vz_xhci_controller_new(const struct vz_xhci_options *options, struct vz_error *err)
{
    struct vz_xhci_options o = VZ_XHCI_OPTIONS_INIT;

    return options_copy(&o, sizeof(o), options, err) < 0 ? NULL : schema_new(&config_xhci_type, err);
}

int vz_config_add_usb_controller(struct vz_config *config, struct vz_usb_controller *controller,
                                 struct vz_error *err)
{
    return config_add(config ? &config->usb_controllers : NULL, controller, err);
}
