/* Known mistakes, planted into an attention of public ops, for seeing that the checks catch them.
 */
#ifndef GRADUS_TOOLS_PLANTS_H
#define GRADUS_TOOLS_PLANTS_H

#include <gradus/gradus.h>

typedef struct plant {
    const char *name;    /* "missing-scale" */
    const char *summary; /* a few words */
    const char *lesson;  /* a paragraph */
    int check;           /* that must catch it: its place in the report */
    /* Why the mistake is none for such a module; NULL if it is one. */
    const char *(*harmless)(const grd_mha_options *options);
} plant;

extern const plant plants[];
extern const int num_plants;
const plant *plant_named(const char *name); /* NULL: there is none */

/* A student's attention: the parameters of a MultiheadAttention, and a forward of its own. */
typedef struct student {
    grd_module *module;
    const grd_mha_options *options; /* the module's */
    const plant *plant;             /* NULL: no mistake */
} student;
/* What a plant changes in the module itself; failures latch. */
void student_prepare(const student *s);
/* A grd_attention_function; user: const student *. */
grd_attention student_forward(const grd_tensor *query, const grd_tensor *key,
                              const grd_tensor *value, const grd_mha_args *args, void *user);

#endif
