/* The checker below the public one, which knows of modules: it takes their parameters as a list. */
#ifndef GRDI_GRADCHECK_H
#define GRDI_GRADCHECK_H

#include "autograd/node.h"

/* Parameters that require grad are checked like inputs, after them, and changed in place meanwhile;
 * they hold the same bits again at the end, whatever happens. */
grd_gradcheck_report grdi_gradcheck(grd_function f, void *user, grd_list inputs,
                                    grd_list parameters, const grd_gradcheck_options *options);
grd_gradcheck_report grdi_gradgradcheck(grd_function f, void *user, grd_list inputs,
                                        grd_list parameters, const grd_gradcheck_options *options);

#endif
