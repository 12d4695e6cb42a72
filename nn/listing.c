/* Names: the flat list of a tree's parameters and buffers, and finding by path. */
#include "nn/module.h"

#include <stdio.h>
#include <string.h>

/* One block holds the list, its arrays and the names. */
struct grdi_listing {
    size_t bytes;
    int64_t num_states, num_parameters;
    grdi_state *states;
    grd_named *parameters;
    char *chars; /* where the next name goes, while the list is made */
};

void grdi_listing_free(grdi_listing *listing)
{
    if (listing)
        grdi_free(listing, listing->bytes);
}

/* What the list takes at most; `prefix` characters go before each name. */
static void measure(const grd_module *self, size_t prefix, int64_t *tensors, size_t *chars)
{
    for (int64_t i = 0; i < self->entries.count; i++) {
        const grdi_entry *entry = grdi_entry_at(self, i);
        const size_t length = prefix + strlen(entry->name) + 1; /* a dot or the end */
        if (entry->kind == GRDI_CHILD) {
            measure(entry->child, length, tensors, chars);
        } else {
            *chars += length;
            ++*tensors;
        }
    }
}

static bool is_listed(const grdi_listing *listing, const grd_tensor *tensor)
{
    for (int64_t i = 0; i < listing->num_states; i++)
        if (listing->states[i].tensor == tensor)
            return true;
    return false;
}

static void list_tensor(grdi_listing *listing, const char *path, grd_tensor *tensor, bool is_buffer)
{
    if (is_listed(listing, tensor))
        return;
    char *name = strcpy(listing->chars, path);
    listing->chars += strlen(name) + 1;
    listing->states[listing->num_states++] = (grdi_state){ name, tensor, is_buffer };
    if (!is_buffer)
        listing->parameters[listing->num_parameters++] = (grd_named){ name, tensor };
}

/* Lists what is below self; `end` is where path, self's own with its dot, ends. */
static void list(grdi_listing *listing, const grd_module *self, char *path, char *end)
{
    for (int kind = GRDI_PARAMETER; kind <= GRDI_CHILD; kind++)
        for (int64_t i = 0; i < self->entries.count; i++) {
            const grdi_entry *entry = grdi_entry_at(self, i);
            if ((int)entry->kind != kind)
                continue;
            char *past = stpcpy(end, entry->name);
            if (kind != GRDI_CHILD) {
                list_tensor(listing, path, entry->tensor, kind == GRDI_BUFFER);
                continue;
            }
            *past = '.';
            list(listing, entry->child, path, past + 1);
        }
}

static grdi_listing *make(const grd_module *self)
{
    int64_t tensors = 0;
    size_t chars = 0;
    measure(self, 0, &tensors, &chars);
    const size_t states = (size_t)tensors * sizeof(grdi_state);
    const size_t bytes =
        sizeof(grdi_listing) + states + (size_t)tensors * sizeof(grd_named) + chars;
    grdi_listing *listing = grdi_allocate(bytes);
    if (!listing)
        return grdi_fail_memory("module_parameter_at", bytes);

    *listing = (grdi_listing){ .bytes = bytes, .states = (grdi_state *)(listing + 1) };
    listing->parameters = (grd_named *)(listing->states + tensors);
    listing->chars = (char *)(listing->parameters + tensors);
    char path[GRDI_PATH_BYTES];
    list(listing, self, path, path);
    return listing;
}

/* The list, made at its first use; threads that read one model may both try. */
static const grdi_listing *listing_of(const grd_module *constant)
{
    grd_module *self = (grd_module *)constant;
    grdi_listing *listing = self->listing, *other = NULL;
    if (listing || !(listing = make(self)))
        return listing;
    if (atomic_compare_exchange_strong(&self->listing, &other, listing))
        return listing;
    grdi_listing_free(listing);
    return other;
}

int64_t grdi_module_num_states(const grd_module *self)
{
    const grdi_listing *listing = self ? listing_of(self) : NULL;
    return listing ? listing->num_states : 0;
}

grdi_state grdi_module_state(const grd_module *self, int64_t i)
{
    return i >= 0 && i < grdi_module_num_states(self) ? listing_of(self)->states[i]
                                                      : (grdi_state){ 0 };
}

int64_t grd_module_num_parameters(const grd_module *self)
{
    const grdi_listing *listing = self ? listing_of(self) : NULL;
    return listing ? listing->num_parameters : 0;
}

grd_named grd_module_parameter_at(const grd_module *self, int64_t i)
{
    return i >= 0 && i < grd_module_num_parameters(self) ? listing_of(self)->parameters[i]
                                                         : (grd_named){ 0 };
}

int64_t grd_module_num_values(const grd_module *self)
{
    int64_t values = 0;
    for (int64_t i = 0; i < grd_module_num_parameters(self); i++)
        values += grd_tensor_count(grd_module_parameter_at(self, i).tensor);
    return values;
}

/* ---- Finding ---- */

bool grdi_matches(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) { /* the last star takes one more character */
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

/* Levenshtein's; names too long to have been mistyped are far from all. */
static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 128 };
    int row[LONGEST + 1];
    const int n = (int)strlen(b);
    if (n > LONGEST || strlen(a) > LONGEST)
        return LONGEST;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            const int replaced = diagonal + (a[i - 1] != b[j - 1]);
            const int shorter = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[n];
}

void grdi_nearest_try(grdi_nearest *nearest, const char *candidate)
{
    const int distance = edit_distance(nearest->wanted, candidate);
    if (nearest->name && distance >= nearest->distance)
        return;
    nearest->name = candidate;
    nearest->distance = distance;
}

grdi_text grdi_nearest_text(const grdi_nearest *nearest)
{
    grdi_text text = { "" };
    if (nearest->name && nearest->distance <= 2 + (int)strlen(nearest->wanted) / 4)
        snprintf(text.chars, sizeof text.chars, " (did you mean \"%s\"?)", nearest->name);
    return text;
}

/* self's entry under the first `length` characters of name. */
static const grdi_entry *entry_named(const grd_module *self, const char *name, size_t length)
{
    for (int64_t i = 0; i < self->entries.count; i++) {
        const grdi_entry *entry = grdi_entry_at(self, i);
        if (strncmp(entry->name, name, length) == 0 && !entry->name[length])
            return entry;
    }
    return NULL;
}

/* The entry at a dotted path; NULL without an error if there is none. */
static const grdi_entry *entry_at_path(const grd_module *self, const char *path)
{
    for (;;) {
        const size_t length = strcspn(path, ".");
        const grdi_entry *entry = length < GRDI_NAME_BYTES ? entry_named(self, path, length) : NULL;
        if (!entry || !path[length])
            return entry;
        if (entry->kind != GRDI_CHILD)
            return NULL;
        self = entry->child;
        path += length + 1;
    }
}

grd_tensor *grd_module_parameter(const grd_module *self, const char *path)
{
    if (!self || !path)
        return grdi_fail_null("module_parameter");
    const grdi_entry *entry = entry_at_path(self, path);
    if (entry && entry->kind != GRDI_CHILD)
        return grdi_latched() ? NULL : entry->tensor;
    grdi_nearest nearest = { .wanted = path };
    for (int64_t i = 0; i < grdi_module_num_states(self); i++)
        grdi_nearest_try(&nearest, grdi_module_state(self, i).name);
    return grdi_fail(GRD_ERROR_ARGUMENT, "module_parameter", "%s has no parameter \"%.80s\"%s",
                     grdi_module_text(self).chars, path, grdi_nearest_text(&nearest).chars);
}

/* Keeps in `best` the nearest path of a module below self. */
static void try_modules(grdi_nearest *nearest, char *best, const grd_module *self, char *path,
                        char *end)
{
    for (int64_t i = 0; i < self->entries.count; i++) {
        const grdi_entry *entry = grdi_entry_at(self, i);
        if (entry->kind != GRDI_CHILD)
            continue;
        char *past = stpcpy(end, entry->name);
        grdi_nearest_try(nearest, path);
        if (nearest->name == path)
            nearest->name = strcpy(best, path);
        *past = '.';
        try_modules(nearest, best, entry->child, path, past + 1);
    }
}

grd_module *grd_module_get(const grd_module *self, const char *path)
{
    if (!self || !path)
        return grdi_fail_null("module_get");
    const grdi_entry *entry = entry_at_path(self, path);
    if (entry && entry->kind == GRDI_CHILD)
        return grdi_latched() ? NULL : entry->child;
    char current[GRDI_PATH_BYTES], best[GRDI_PATH_BYTES];
    grdi_nearest nearest = { .wanted = path };
    try_modules(&nearest, best, self, current, current);
    return grdi_fail(GRD_ERROR_ARGUMENT, "module_get", "%s has no module \"%.80s\"%s",
                     grdi_module_text(self).chars, path, grdi_nearest_text(&nearest).chars);
}
