/* Options as JSON: an object with the names of the table, underscores for dashes. */
#include "tools/options.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CONFIG_BYTES = 1 << 16 };

static const char *const kind_words[] = {
    [INTEGER] = "a whole number",
    [REAL] = "a number",
    [TEXT] = "text",
    [SWITCH] = "true or false",
};

static bool is_of_kind(const json_t *value, option_kind kind)
{
    return kind == INTEGER ? json_is_integer(value)
           : kind == REAL  ? json_is_number(value)
           : kind == TEXT  ? json_is_string(value)
                           : json_is_boolean(value);
}

/* The value as it would be written on the command line. */
static const char *written(const json_t *value, char buffer[64])
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (json_is_integer(value))
        snprintf(buffer, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        snprintf(buffer, 64, "%.17g", json_real_value(value));
    return buffer;
}

static bool read_pair(options *o, const char *key, const json_t *value, option_source source,
                      int commands, const char *label)
{
    char buffer[64], nearest[128], where[256];
    const option *row = option_named(key, commands);
    if (!row || row->change == LOCAL)
        return complain("%s: unknown option \"%s\"%s", label, key,
                        nearest_option(key, commands, true, nearest));
    snprintf(where, sizeof where, "%s: %s", label, key);
    if (json_is_null(value))
        return row->fallback ? complain("%s: null is not %s", where, kind_words[row->kind])
                             : set_option(o, row, NULL, source, where);
    if (!is_of_kind(value, row->kind))
        return complain("%s: expected %s", where, kind_words[row->kind]);
    return set_option(o, row, written(value, buffer), source, where);
}

bool read_config(options *o, const char *json, size_t size, option_source source, int commands,
                 const char *label)
{
    json_error_t error;
    json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return complain("%s:%d: %s", label, error.line, error.text);
    bool fine = json_is_object(root) || complain("%s: not a JSON object", label);
    const char *key;
    json_t *value;
    if (fine)
        json_object_foreach(root, key, value) fine =
            fine && read_pair(o, key, value, source, commands, label);
    json_decref(root);
    return fine;
}

bool read_config_file(options *o, const char *path, int commands)
{
    char text[MOST_CONFIG_BYTES + 1];
    FILE *file = fopen(path, "rb");
    if (!file)
        return complain("%s: %s", path, system_error());
    const size_t size = fread(text, 1, sizeof text, file);
    const bool failed = ferror(file);
    fclose(file);
    if (failed)
        return complain("%s: cannot be read", path);
    if (size > MOST_CONFIG_BYTES)
        return complain("%s: more than %d bytes is no configuration", path, MOST_CONFIG_BYTES);
    return read_config(o, text, size, FROM_CONFIG, commands, path);
}

static json_t *value_of(const options *o, const option *row)
{
    char buffer[64];
    const char *text = option_text(o, row, buffer);
    if (!text)
        return json_null();
    if (row->kind == INTEGER)
        return json_integer(strtoll(text, NULL, 10));
    if (row->kind == REAL)
        return json_real(strtod(text, NULL));
    return row->kind == TEXT ? json_string(text) : json_boolean(text[0] == 't');
}

char *dump_config(const options *o, int commands)
{
    json_t *root = json_object();
    for (size_t i = 0; i < num_options(); i++) {
        char key[64];
        const option *row = option_at(i);
        if ((row->commands & commands) && row->change != LOCAL)
            json_object_set_new(root, key_of(row, key), value_of(o, row));
    }
    char *text = json_dumps(root, JSON_INDENT(4));
    json_decref(root);
    return text;
}
