/* From options to what is trained: data, model, optimizer, schedule. Failures latch. */
#ifndef GRADUS_TOOLS_SETUP_H
#define GRADUS_TOOLS_SETUP_H

#include "tools/options.h"

#include <gradus/gradus.h>

typedef struct setup {
    grd_rng *rng;
    grd_data *train, *validation;
    grd_module *model;
    grd_optimizer *optimizer;
    grd_grad_scaler *scaler; /* NULL: the loss is not scaled */
    grd_schedule schedule;
} setup;

/* Opens the scope that a command works in: its dtype, device and threads. NULL: latched. */
grd_scope *open_scope(const options *o);
/* Either --task or --text, not both: 0 or EXIT_USAGE. */
int check_data_options(const options *o);
/* Data of the options, in batches of batch_size. */
grd_data *make_data(const options *o, grd_part part, const grd_data *train, int64_t batch_size);
grd_module *make_model(const options *o, grd_rng *rng, int64_t vocab_size, int64_t context,
                       grd_direction direction);
grd_optimizer *make_optimizer(const options *o, grd_module *model);
grd_schedule make_schedule(const options *o);
setup make_setup(const options *o);
/* Of one of the names that options allow. */
grd_layout layout_named(const char *name);

#endif
