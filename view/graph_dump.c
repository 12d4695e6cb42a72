#include "nn/files.h"
#include "view/graph.h"

#include <stdlib.h>
#include <string.h>

static bool write_json(FILE *out, grdi_graph *g)
{
    json_t *document = grdi_graph_json(g);
    const bool done =
        document && json_dumpf(document, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) == 0;
    fputc('\n', out);
    json_decref(document);
    return done || grdi_fail_memory(g->op, (size_t)g->count);
}

static const struct {
    const char *ending;
    bool (*write)(FILE *out, grdi_graph *g);
} forms[] = {
    { ".svg", grdi_graph_svg },
    { ".dot", grdi_graph_dot },
    { ".json", write_json },
};
enum { FORMS = sizeof forms / sizeof forms[0] };

/* By the path's ending; FORMS if it has none of them. */
static int form_of(const char *path)
{
    const char *ending = strrchr(path, '.');
    int form = 0;
    while (form < FORMS && !(ending && strcmp(ending, forms[form].ending) == 0))
        form++;
    return form;
}

static bool write_graph(const char *path, grdi_graph *g, int form)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return grdi_fail_memory(g->op, 1);
    bool done = forms[form].write(out, g);
    if (fclose(out) != 0)
        done = grdi_fail_memory(g->op, size);
    done = done && grdi_file_write(g->op, path, text, size);
    free(text);
    return done;
}

grd_status grd_graph_dump(const char *path, const grd_tensor *root,
                          const grd_graph_options *options)
{
    const char *op = "graph_dump";
    grdi_graph g;
    grd_scope scope;
    if (!path)
        return grdi_fail_null(op), grdi_self.latched;
    const int form = form_of(path);
    if (form == FORMS)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "\"%s\" ends with none of .svg, .dot and .json",
                         path),
               grdi_self.latched;
    if (!grdi_may_make(op))
        return grdi_self.latched;
    grdi_graph_scope(&scope);
    if (grdi_graph_make(&g, op, root, options))
        write_graph(path, &g, form);
    return grd_scope_end(&scope);
}
