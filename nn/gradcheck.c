/* The public checkers stand here, above the module tree, since they check a module's parameters. */
#include "autograd/gradcheck.h"
#include <gradus/nn.h>

typedef grd_gradcheck_report checker(grd_function f, void *user, grd_list inputs,
                                     grd_list parameters, const grd_gradcheck_options *options);

static grd_gradcheck_report with_parameters(checker *check, grd_function f, void *user,
                                            grd_list inputs, const grd_gradcheck_options *options)
{
    const grd_module *module = options ? options->module : NULL;
    const int64_t count = module ? grd_module_num_parameters(module) : 0;
    const size_t bytes = (size_t)count * sizeof(grd_tensor *);
    const grd_tensor **parameters = count ? grdi_allocate(bytes) : NULL;
    if (count && !parameters) {
        grdi_fail_memory("gradcheck", bytes);
        return (grd_gradcheck_report){ .text = "not checked: out of memory" };
    }
    for (int64_t i = 0; i < count; i++)
        parameters[i] = grd_module_parameter_at(module, i).tensor;
    const grd_gradcheck_report report =
        check(f, user, inputs, (grd_list){ count, parameters }, options);
    grdi_free(parameters, bytes);
    return report;
}

grd_gradcheck_report grd_gradcheck(grd_function f, void *user, grd_list inputs,
                                   const grd_gradcheck_options *options)
{
    return with_parameters(grdi_gradcheck, f, user, inputs, options);
}

grd_gradcheck_report grd_gradgradcheck(grd_function f, void *user, grd_list inputs,
                                       const grd_gradcheck_options *options)
{
    return with_parameters(grdi_gradgradcheck, f, user, inputs, options);
}

grd_gradcheck_report grd_at_gradcheck_report(grd_gradcheck_report result, const char *file,
                                             int line)
{
    grdi_note_site(file, line);
    return result;
}
