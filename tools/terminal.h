/* What reaches a terminal: text that cannot steer it, and whether it is one. */
#ifndef GRADUS_TOOLS_TERMINAL_H
#define GRADUS_TOOLS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* UTF-8 in pieces. Control and direction characters come out as \u{1b}, what is no UTF-8 as U+FFFD.
 * In one line newlines and tabs are escaped too. */
typedef struct safe_text {
    FILE *out;
    bool one_line;
    unsigned char pending[4];
    int held, needed;
} safe_text;

void safe_put(safe_text *text, const char *bytes, size_t count);
void safe_end(safe_text *text); /* what is held is incomplete */
void safe_print(FILE *out, const char *line);

/* For a shell: in single quotes where it needs them; cut where the buffer ends. */
const char *shell_quoted(const char *text, char buffer[4096]);

/* Whether out is a terminal that can go back in a line; and whether colours are welcome. */
bool is_terminal(FILE *out);
bool wants_colour(FILE *out);
/* Any colour, not one of a few. */
bool wants_true_colour(FILE *out);
int terminal_columns(FILE *out); /* 80 where there is no terminal */

#endif
