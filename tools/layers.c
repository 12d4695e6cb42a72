#include "tools/layers.h"
#include "nn/files.h"
#include "nn/module.h"

#include <string.h>

enum { LAYER_BYTES = 2 * GRDI_NAME_BYTES };

/* How much of a parameter's name is its layer's: one part, or two where a number follows. */
static size_t length_of_layer(const char *name)
{
    const size_t first = strcspn(name, ".");
    const size_t digits = name[first] ? strspn(name + first + 1, "0123456789") : 0;
    return digits > 0 && name[first + 1 + digits] == '.' ? first + 1 + digits : first;
}

layers layers_of(const grd_module *model)
{
    const int64_t most = grd_module_num_parameters(model);
    layers all = { grdi_scratch("layers", (size_t)most, sizeof *all.norms), 0 };
    char(*names)[LAYER_BYTES] = grdi_scratch("layers", (size_t)most, LAYER_BYTES);
    for (int64_t i = 0; names && i < most; i++) {
        const char *name = grd_module_parameter_at(model, i).name;
        const size_t length = length_of_layer(name);
        const char *last = all.count ? all.norms[all.count - 1].path : "";
        if (strlen(last) == length && strncmp(last, name, length) == 0)
            continue;
        memcpy(names[all.count], name, length);
        names[all.count][length] = '\0';
        all.norms[all.count] = (grd_grad_norm){ names[all.count], 0 };
        all.count++;
    }
    return all;
}
