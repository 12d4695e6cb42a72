/* Noting every module's mode and generator, for functions that leave a model as it was. */
#include "nn/files.h"
#include "nn/module.h"

typedef struct mode {
    grd_module *module;
    grdi_mode mode;
    grd_rng *rng; /* one reference */
} mode;

struct grdi_noted_modes {
    int64_t count;
    mode items[];
};

static int64_t count_modules(const grd_module *self)
{
    int64_t count = 1;
    for (int64_t i = 0; i < self->entries.count; i++)
        if (grdi_entry_at(self, i)->kind == GRDI_CHILD)
            count += count_modules(grdi_entry_at(self, i)->child);
    return count;
}

static void note(grdi_noted_modes *noted, grd_module *self)
{
    noted->items[noted->count++] = (mode){ self, self->mode, grdi_retain(self->rng) };
    for (int64_t i = 0; i < self->entries.count; i++)
        if (grdi_entry_at(self, i)->kind == GRDI_CHILD)
            note(noted, grdi_entry_at(self, i)->child);
}

grdi_noted_modes *grdi_modes_note(const char *op, grd_module *self)
{
    const size_t count = (size_t)count_modules(self);
    grdi_noted_modes *noted = grdi_scratch(op, 1, sizeof *noted + count * sizeof(mode));
    if (!noted)
        return NULL;
    noted->count = 0;
    note(noted, self);
    return noted;
}

void grdi_modes_put_back(const grdi_noted_modes *noted)
{
    for (int64_t i = 0; noted && i < noted->count; i++) {
        const mode *m = &noted->items[i];
        grdi_release(m->module->rng);
        m->module->rng = m->rng;
        m->module->mode = m->mode;
    }
}
