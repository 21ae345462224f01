/* SPDX-License-Identifier: MIT */
/* The report of <vz/host.h>: facts and findings of src/host, and what the accelerators' own probes
 * say. */
#include <vz/host.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "host/host_judge.h"
#include "hv/accel.h"
#include "hv/hv.h"

struct vz_host {
    char accelerator[16];
    size_t count;
    struct vz_host_finding finding[HOST_FINDINGS_MAX]; /* strings in findings */
    struct host_findings findings;
};

/* Run the backends' probes, for as long as it is not known already that there is no KVM. */
static void try_accelerators(struct host_facts *f)
{
    const struct hv_ops *ops = NULL;
    struct vz_error err = {0};

    int r = f->kvm.open_error ? 0 : accel_find("kvm", &ops, &err);

    if (r < 0) {
        f->probe_error = err.code == VZ_ERROR_INVALID ? EINVAL : r == -EINVAL ? ENOTSUP : -r;
        snprintf(f->probe_text, sizeof(f->probe_text), "%s", err.text);
    }
    if (accel_find("auto", &ops, NULL) == 0)
        snprintf(f->automatic, sizeof(f->automatic), "%s", ops->name);
}

struct vz_host *vz_host_examine(struct vz_error *err)
{
    struct vz_host *h = calloc(1, sizeof(*h));
    struct host_facts f;

    if (!h) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    host_facts_read(&f, "");
    host_facts_try(&f);
    try_accelerators(&f);
    host_judge(&f, &h->findings);
    snprintf(h->accelerator, sizeof(h->accelerator), "%s", f.automatic);
    h->count = h->findings.count;
    for (size_t i = 0; i < h->count; i++) {
        const struct host_finding *from = &h->findings.item[i];

        h->finding[i] = (struct vz_host_finding){
            .size = sizeof(h->finding[i]), .level = from->level, .topic = from->topic,
            .code = from->code, .text = from->text, .command = from->command};
    }
    return h;
}

void vz_host_free(struct vz_host *h)
{
    free(h);
}

size_t vz_host_finding_count(const struct vz_host *h)
{
    return h ? h->count : 0;
}

const struct vz_host_finding *vz_host_finding(const struct vz_host *h, size_t index)
{
    return h && index < h->count ? &h->finding[index] : NULL;
}

static json_t *finding_json(const struct vz_host_finding *f)
{
    static const char *const levels[] = {"good", "note", "problem"};

    return json_pack("{s:s, s:s, s:s, s:s, s:s*}", "level", levels[f->level], "topic", f->topic,
                     "code", f->code, "text", f->text, "command",
                     f->command[0] ? f->command : NULL);
}

char *vz_host_to_json(const struct vz_host *h, struct vz_error *err)
{
    json_t *list = json_array(), *all;
    bool complete = list != NULL;
    char *text;

    for (size_t i = 0; complete && i < h->count; i++)
        complete = json_array_append_new(list, finding_json(&h->finding[i])) == 0;
    all = json_pack("{s:s, s:o}", "accelerator", h->accelerator, "findings", list);
    text = complete ? json_dumps(all, JSON_INDENT(2)) : NULL;
    json_decref(all);
    if (!text)
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    return text;
}
