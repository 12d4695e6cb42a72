/* The transformer from inside: for checkpoints and programs. */
#ifndef GRDI_NN_TRANSFORMER_H
#define GRDI_NN_TRANSFORMER_H

#include "nn/attention.h"

/* The options that the model was made with, defaults filled in; NULL with an error latched if it is
 * no transformer. */
const grd_transformer_options *grdi_transformer_options(const char *op, const grd_module *model);

/* The same as one line of JSON that grd_transformer_create_json takes; "" with an error latched. */
typedef struct grdi_json_text {
    char chars[512];
} grdi_json_text;
grdi_json_text grdi_transformer_json(const grd_module *model);

#endif
