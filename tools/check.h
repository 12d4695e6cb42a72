/* gradus check: everything that is found goes into one JSON document, from which text is printed.
 *
 * {"passed": true,
 *  "plant": {"name", "summary", "lesson", "check", "caught"},
 *  "modules": [{"path", "map": [...], "constraints": [...], "checks": [...], "passed"}],
 *  "gradients": {"parameters": [...], "bad": [...], "judged", "slices", "passed"}} */
#ifndef GRADUS_TOOLS_CHECK_H
#define GRADUS_TOOLS_CHECK_H

#include "tools/options.h"
#include "tools/plants.h"

#include <jansson.h>

/* A number, or as text what JSON has no number for. */
json_t *json_number(double x);

/* The gradients of a loss on one batch: of every parameter, and of every head's part. NULL: an
 * error is latched, or memory ran out. */
json_t *check_flow(grd_module *model, grd_batch batch, int64_t heads);

/* Where a module's options came from. */
typedef struct origin {
    const options *o;
    bool from_file, alone; /* of a checkpoint; made from this call's options alone */
} origin;
/* One attention module, with its forward or a student's with a mistake in it (plant NULL: none). */
json_t *check_module(const char *path, grd_module *module, const grd_mha_options *made,
                     const origin *from, const plant *planted);
/* What holds of options that no module can be made of: the constraints alone. */
json_t *check_constraints(const grd_mha_options *wanted, const origin *from);

void print_check(const json_t *document);
void print_constraints(const json_t *constraints);
void print_plants(void);

#endif
