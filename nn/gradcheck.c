/* The public checkers stand here, above the module tree, since they check a module's parameters. */
#include "autograd/gradcheck.h"
#include <gradus/nn.h>

typedef grd_gradcheck_report checker(const grdi_checked *checked,
                                     const grd_gradcheck_options *options);

/* With room for `count` parameters and their names. */
static grd_gradcheck_report check_all(checker *check, grdi_checked *checked, int64_t count,
                                      const grd_tensor **parameters, const char **names,
                                      const grd_gradcheck_options *options)
{
    for (int64_t i = 0; i < count; i++) {
        const grd_named named = grd_module_parameter_at(options->module, i);
        parameters[i] = named.tensor;
        names[i] = named.name;
    }
    checked->parameters = (grd_list){ count, parameters };
    checked->names = names;
    return check(checked, options);
}

static grd_gradcheck_report run(checker *check, grd_function f, void *user, grd_list inputs,
                                const grd_gradcheck_options *options)
{
    const grd_module *module = options ? options->module : NULL;
    const int64_t count = module ? grd_module_num_parameters(module) : 0;
    const size_t bytes = (size_t)count * sizeof(void *);
    const grd_tensor **parameters = count ? grdi_allocate(bytes) : NULL;
    const char **names = count ? grdi_allocate(bytes) : NULL;
    grdi_checked checked = { .f = f, .user = user, .inputs = inputs };
    if (count && (!parameters || !names))
        grdi_fail_memory("gradcheck", bytes);
    const grd_gradcheck_report report =
        check_all(check, &checked, parameters && names ? count : 0, parameters, names, options);
    grdi_free(names, bytes);
    grdi_free(parameters, bytes);
    return report;
}

grd_gradcheck_report grd_gradcheck(grd_function f, void *user, grd_list inputs,
                                   const grd_gradcheck_options *options)
{
    return run(grdi_gradcheck, f, user, inputs, options);
}

grd_gradcheck_report grd_gradgradcheck(grd_function f, void *user, grd_list inputs,
                                       const grd_gradcheck_options *options)
{
    return run(grdi_gradgradcheck, f, user, inputs, options);
}

grd_gradcheck_report grd_at_gradcheck_report(grd_gradcheck_report result, const char *file,
                                             int line)
{
    grdi_note_site(file, line);
    return result;
}
