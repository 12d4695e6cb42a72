/* Case files: calculations that other programs state. Attributes are rows of the table of options.
 */
#ifndef GRADUS_TOOLS_CASE_H
#define GRADUS_TOOLS_CASE_H

#include "nn/archive.h"
#include "tools/options.h"

#include <gradus/gradus.h>

/* The file, as grdi_archive_read reads it, whatever is wrong with it; the scope's. NULL with an
 * error latched. op is static. */
const grdi_archive *case_read(const char *op, const char *path);

/* Latches what is wrong with the file, whose name stands before it; false. */
bool case_refuse(const grdi_archive *file, const char *format, ...) GRD_PRINTF(2, 3);

/* Attribute `module`, which must be one of these, ended by NULL: its index, or -1. */
int case_module(const grdi_archive *file, const char *const modules[]);
/* Sets the options of `commands` that the attributes state; any other attribute but `module` is an
 * error. False after a message, or with an error latched. */
bool case_attributes(const grdi_archive *file, int commands, options *o);
bool case_states(const options *o, const char *name, int commands);
/* The same, and an error if it does not. */
bool case_requires(const grdi_archive *file, const options *o, const char *name, int commands);

/* Whether all datasets are among these, ended by NULL, or parameters of model (NULL: none). */
bool case_knows_all(const grdi_archive *file, const char *const datasets[],
                    const grd_module *model);
/* The array under a path, which must have that shape; NULL with an error latched. */
const grdi_value *case_array(const grdi_archive *file, const char *path, const grd_shape *shape);
/* Fills every parameter of model from parameters/. */
bool case_parameters(const grdi_archive *file, grd_module *model);
/* Puts x (parameters, or their gradients) as prefix/name. */
void case_put(grdi_archive *result, const char *prefix, const char *name, const grd_tensor *x);

#endif
