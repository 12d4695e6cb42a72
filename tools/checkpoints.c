#include "tools/checkpoints.h"
#include "nn/checkpoint.h"

int read_checkpoint_options(options *o, const char *path, int64_t *step)
{
    bool told = false;
    grd_scope *scope = grd_scope_begin();
    const grdi_archive *file = grdi_checkpoint_read("load", path);
    const grdi_value *config = file ? grdi_find(file, "config", GRDI_DOCUMENT) : NULL;
    const grdi_value *at = file ? grdi_find(file, "step", GRDI_INTEGER) : NULL;
    *step = at ? at->integer : 0;
    if (config)
        told = !read_config(o, config->text, config->bytes, FROM_CHECKPOINT, TRAIN, path);
    if (grd_scope_end(scope) != GRD_OK)
        return complain_of_library();
    return told ? EXIT_FAILED : 0;
}

const char *weights_of(const options *o)
{
    if (o->num_arguments + (o->weights != NULL) == 1)
        return o->weights ? o->weights : o->arguments[0];
    complain("name one checkpoint: --weights FILE");
    return NULL;
}
