/* gradus teach: short lessons, in the terminal or as pages. */
#include "nn/module.h"
#include "teach/lesson.h"
#include "tools/terminal.h"
#include "tools/tools.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int list_lessons(void)
{
    for (int i = 0; i < num_lessons; i++)
        printf("%2d  %-11s %s\n    %-11s %s\n", i + 1, lessons[i].name, lessons[i].title, "",
               lessons[i].summary);
    printf("\ngradus teach %s shows the first; --output FILE.html makes a page.\n",
           lessons[0].name);
    return 0;
}

static int complain_of_name(const char *name)
{
    grdi_nearest nearest = { .wanted = name };
    for (int i = 0; i < num_lessons; i++)
        grdi_nearest_try(&nearest, lessons[i].name);
    complain("there is no lesson \"%s\"%s: gradus teach lists them", name,
             grdi_nearest_text(&nearest).chars);
    return EXIT_USAGE;
}

/* A folder is asked for by its slash, or is there already. */
static bool is_folder(const char *path)
{
    struct stat s;
    const size_t length = strlen(path);
    return (length > 0 && path[length - 1] == '/') || (stat(path, &s) == 0 && S_ISDIR(s.st_mode));
}

static void show(const options *o, document *const told[], int count)
{
    if (!o->output)
        print_document(stdout, told[0], o->plain != 1 && wants_colour(stdout));
    else if (is_folder(o->output))
        write_folder(o->output, told, count);
    else
        write_page(o->output, told, count);
}

/* This lesson, or all of them. */
static int teach(const options *o, const lesson *only)
{
    const int count = only ? 1 : num_lessons;
    document **told = calloc((size_t)count, sizeof *told);
    if (!told)
        return complain("out of memory"), EXIT_FAILED;
    grd_scope *scope = grd_scope_begin();
    for (int i = 0; i < count; i++)
        told[i] = document_create(only ? only : &lessons[i]);
    if (told[count - 1])
        show(o, told, count);
    for (int i = 0; i < count; i++)
        document_free(told[i]);
    free(told);
    return grd_scope_end(scope) == GRD_OK ? 0 : complain_of_library();
}

int run_teach(options *o)
{
    const char *name = o->num_arguments ? o->arguments[0] : NULL;
    const lesson *only = name ? lesson_named(name) : NULL;
    if (o->num_arguments > 1)
        return complain("name one LESSON"), EXIT_USAGE;
    if (name && !only)
        return complain_of_name(name);
    if (o->list == 1 || (!name && !o->output))
        return list_lessons();
    return teach(o, only);
}
