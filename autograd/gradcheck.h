/* The checkers below the public ones, which know of modules: parameters come as a list. */
#ifndef GRDI_GRADCHECK_H
#define GRDI_GRADCHECK_H

#include "autograd/node.h"

/* What is checked. Parameters that require grad are checked like inputs, after them, and changed in
 * place meanwhile; they hold the same bits again at the end, whatever happens. */
typedef struct grdi_checked {
    grd_function f;
    void *user;
    grd_list inputs, parameters;
    const char *const *names; /* of the parameters */
} grdi_checked;

grd_gradcheck_report grdi_gradcheck(const grdi_checked *checked,
                                    const grd_gradcheck_options *options);
grd_gradcheck_report grdi_gradgradcheck(const grdi_checked *checked,
                                        const grd_gradcheck_options *options);

enum { GRDI_MAX_CHECKED = 15 }; /* inputs */

/* The second as a check of the first: `last` makes an input more, the gradient of the result, from
 * the others; NULL with an error. NULL: no such thing. */
typedef const grd_tensor *grdi_last_input(const grd_tensor *const *inputs, void *user);
grd_gradcheck_report grdi_check(const char *op, const grdi_checked *checked, grdi_last_input *last,
                                const grd_gradcheck_options *options);

/* Whether x, as f gets it, is to be differentiated. */
static inline bool grdi_is_checked(const grd_tensor *x)
{
    return x->history && grdi_is_floating(x->array.dtype);
}

/* Number i of a direction without a pattern, of magnitude 0.5 to 1, the same on every run; those of
 * inputs and outputs differ, or a transposed derivative would look right. */
enum { GRDI_OF_INPUT, GRDI_OF_OUTPUT };
double grdi_direction_at(int64_t i, int of);

#endif
