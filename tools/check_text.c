/* What gradus check found, for people: at most 100 columns. */
#include "tools/check.h"
#include "tools/terminal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS = 100, MOST_COLUMNS = 5 };

static const char *string_of(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

/* Words of `text` in lines that begin after `indent` columns; the first begins there already. */
static void print_wrapped(int indent, const char *text)
{
    int at = indent;
    while (*text) {
        const int length = (int)strcspn(text, " ");
        if (at > indent && at + 1 + length > COLUMNS) {
            printf("\n%*s", indent, "");
            at = indent;
        }
        at += printf("%s", at > indent ? " " : "");
        fwrite(text, 1, (size_t)length, stdout);
        at += length;
        text += length;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static void print_labelled(const char *label, const char *text)
{
    if (*text) {
        printf("      %-10s", label);
        print_wrapped(16, text);
    }
}

/* ---- Tables ---- */

typedef struct column {
    const char *field, *title, *before;
} column;

static int width_of(const json_t *rows, const column *c)
{
    size_t i, most = strlen(c->title);
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        const size_t length = strlen(string_of(row, c->field));
        most = length > most ? length : most;
    }
    return (int)most;
}

static void print_cells(const json_t *row, const column *columns, const int *widths, int count)
{
    const bool bad = row && json_is_false(json_object_get(row, "holds"));
    fputs(bad ? " !" : "  ", stdout);
    for (int c = 0; c < count; c++) {
        const char *cell = row ? string_of(row, columns[c].field) : columns[c].title;
        const bool last = c + 1 == count;
        printf("%s%-*s", columns[c].before, last ? 0 : widths[c], cell);
    }
    putchar('\n');
}

static void print_table(const json_t *rows, const column *columns, int count, bool titled)
{
    int widths[MOST_COLUMNS];
    size_t i;
    json_t *row;
    for (int c = 0; c < count; c++)
        widths[c] = width_of(rows, &columns[c]);
    if (titled)
        print_cells(NULL, columns, widths, count);
    json_array_foreach(rows, i, row)
    {
        print_cells(row, columns, widths, count);
    }
}

static void print_map(const json_t *map)
{
    static const column columns[] = { { "part", "", "" },
                                      { "tensor", "", "  " },
                                      { "from", "", "  " },
                                      { "by", "", "  " },
                                      { "to", "", " -> " } };
    printf("component map\n");
    print_table(map, columns, 5, false);
}

void print_constraints(const json_t *constraints)
{
    static const column columns[] = { { "option", "option", "" },
                                      { "value", "value", "  " },
                                      { "from", "from", "  " },
                                      { "rule", "constraint", "  " } };
    printf("constraints\n");
    print_table(constraints, columns, 4, true);
}

/* ---- Verdicts ---- */

static void print_verdict(const json_t *check)
{
    const json_t *measured = json_object_get(check, "measured");
    printf("  %s  %d %s", json_is_true(json_object_get(check, "passed")) ? "ok  " : "FAIL",
           (int)json_integer_value(json_object_get(check, "number")), string_of(check, "name"));
    if (json_is_number(measured))
        printf(": measured %.3g", json_number_value(measured));
    else if (json_is_string(measured))
        printf(": measured %s", json_string_value(measured));
    putchar('\n');
    print_labelled("found", string_of(check, "text"));
    print_labelled("expected", string_of(check, "expected"));
    print_labelled("symptom", string_of(check, "symptom"));
    print_labelled("cause", string_of(check, "cause"));
}

static bool same(const json_t *a, const json_t *b, const char *name)
{
    return json_equal(json_object_get(a, name), json_object_get(b, name));
}

/* A module that is made as the first was does not repeat it. */
static void print_module(const json_t *module, const json_t *first)
{
    size_t i;
    json_t *check;
    const char *path = string_of(module, "path");
    if (*path) {
        safe_print(stdout, path);
        putchar('\n');
    }
    if (module != first && same(module, first, "map") && same(module, first, "constraints")) {
        printf("  made as ");
        safe_print(stdout, string_of(first, "path"));
        putchar('\n');
    } else {
        print_map(json_object_get(module, "map"));
        putchar('\n');
        print_constraints(json_object_get(module, "constraints"));
    }
    printf("\nfive checks\n");
    json_array_foreach(json_object_get(module, "checks"), i, check)
    {
        print_verdict(check);
    }
    putchar('\n');
}

/* ---- Gradients of a model ---- */

static void print_number(const json_t *number)
{
    if (json_is_number(number))
        printf(" %8.1e", json_number_value(number));
    else
        printf(" %8s", json_string_value(number));
}

static void print_parameter(const json_t *row)
{
    const char *part;
    json_t *numbers, *number;
    size_t h;
    printf("%-46s", string_of(row, "name"));
    print_number(json_object_get(row, "largest"));
    putchar('\n');
    json_object_foreach(json_object_get(row, "heads"), part, numbers)
    {
        printf("    %-8s", part);
        json_array_foreach(numbers, h, number)
        {
            if (h > 0 && h % 9 == 0)
                printf("\n            ");
            print_number(number);
        }
        putchar('\n');
    }
}

static void print_bad(const json_t *row)
{
    printf("BAD  %s", string_of(row, "name"));
    if (json_object_get(row, "part"))
        printf(", %s, head %" PRId64, string_of(row, "part"),
               (int64_t)json_integer_value(json_object_get(row, "head")));
    printf(": %s\n", string_of(row, "what"));
}

static void print_gradients(const json_t *gradients)
{
    size_t i;
    json_t *row;
    const int64_t judged = json_integer_value(json_object_get(gradients, "judged"));
    const int64_t slices = json_integer_value(json_object_get(gradients, "slices"));
    const json_t *bad = json_object_get(gradients, "bad");
    printf("%-46s largest gradient\n", "parameter");
    json_array_foreach(json_object_get(gradients, "parameters"), i, row)
    {
        print_parameter(row);
    }
    json_array_foreach(bad, i, row)
    {
        print_bad(row);
    }
    if (json_array_size(bad) > 0)
        printf("gradients do not flow: %zu of %" PRId64 " parameters and slices are bad\n",
               json_array_size(bad), judged + slices);
    else
        printf("gradients flow: all %" PRId64 " parameters, and all %" PRId64 " parts of heads\n",
               judged, slices);
}

/* ---- All of it ---- */

static void print_lesson(const plant *p)
{
    printf("%s: %s\n    ", p->name, p->summary);
    print_wrapped(4, p->lesson);
}

static void print_catch(const json_t *plant)
{
    const bool caught = json_is_true(json_object_get(plant, "caught"));
    printf("%s %s by check %d, %s\n", string_of(plant, "name"),
           caught ? "was caught" : "WAS NOT CAUGHT",
           (int)json_integer_value(json_object_get(plant, "number")), string_of(plant, "check"));
}

static void print_outcome(const json_t *modules)
{
    size_t i, j, failed = 0, all = 0;
    json_t *module, *check;
    json_array_foreach(modules, i, module)
    {
        json_array_foreach(json_object_get(module, "checks"), j, check)
        {
            all++;
            failed += !json_is_true(json_object_get(check, "passed"));
        }
    }
    if (failed > 0)
        printf("attention is not sound: %zu of %zu checks failed\n", failed, all);
    else
        printf("attention is sound: all %zu checks passed\n", all);
}

void print_check(const json_t *document)
{
    size_t i;
    json_t *module;
    const json_t *modules = json_object_get(document, "modules");
    const json_t *planted = json_object_get(document, "plant");
    const json_t *gradients = json_object_get(document, "gradients");
    if (planted) {
        printf("planted: ");
        print_lesson(plant_named(string_of(planted, "name")));
        putchar('\n');
    }
    json_array_foreach(modules, i, module)
    {
        print_module(module, json_array_get(modules, 0));
    }
    if (gradients)
        print_gradients(gradients);
    print_outcome(modules);
    if (planted)
        print_catch(planted);
}

void print_plants(void)
{
    for (int i = 0; i < num_plants; i++) {
        print_lesson(&plants[i]);
        printf("    caught by check %d\n%s", plants[i].check + 1, i + 1 < num_plants ? "\n" : "");
    }
}
