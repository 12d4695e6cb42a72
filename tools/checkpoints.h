/* What the program keeps in its checkpoints besides the library's state: the options of the run. */
#ifndef GRADUS_TOOLS_CHECKPOINTS_H
#define GRADUS_TOOLS_CHECKPOINTS_H

#include "tools/tools.h"

/* The options that the run was started with, and its step. Of a checkpoint that another program
 * made, the table's. An exit status, after a message. */
int read_checkpoint_options(options *o, const char *path, int64_t *step);

/* --weights FILE, or the one argument; NULL after a message, if it must be there. */
const char *weights_of(const options *o);

#endif
