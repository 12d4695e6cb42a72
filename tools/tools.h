/* What the commands share. */
#ifndef GRADUS_TOOLS_TOOLS_H
#define GRADUS_TOOLS_TOOLS_H

#include "tools/options.h"

#include <gradus/gradus.h>
#include <stdio.h>

/* The exit statuses besides 0; 128 + a signal's number when one ended the run. */
enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* A command: one file each. */
typedef struct command {
    const char *name; /* "train"; two words of one that has several: "attention run" */
    int bit;
    const char *arguments; /* after the name: "FILE [options]" */
    const char *summary;   /* one line */
    const char *examples;  /* for --help; lines */
    int (*run)(options *o);
} command;

int run_train(options *o);
int run_sample(options *o);
int run_check(options *o);
int run_inspect(options *o);
int run_gradcheck(options *o);
int run_tasks(options *o);
int run_attention(options *o);
int run_attention_explain(options *o);
int run_attention_mask(options *o);
int run_view_attention(options *o);
int run_view_graph(options *o);
int run_view_backward(options *o);
int run_view_run(options *o);
int run_teach(options *o);
int run_help(options *o);
int run_manual(options *o);
int run_completion(options *o);
/* gradus train with --replay, and with --dry-run. */
int run_replay(options *o);
int dry_run(options *o);

/* All commands in the table's order, NULL past its end; and by name, NULL if there is none. */
const command *command_at(size_t i);
const command *command_named(const char *name);
/* Whether c is `word`, or `word` and another. */
bool starts_with(const command *c, const char *word);
/* The name that the arguments make: "attention run". */
const char *named_command(const options *o, char buffer[64]);

/* A command's help; and a list of those that start with this word, "": of all. */
void print_help(FILE *out, const command *c);
void print_usage(FILE *out, const char *word);

/* A line on stderr, without what could steer a terminal; complain begins it with "gradus train: "
 * and returns false. */
void note(const char *format, ...) GRD_PRINTF(1, 2);
bool complain(const char *format, ...) GRD_PRINTF(1, 2);
/* The same for the library's error, whose latch it opens. EXIT_FAILED. */
int complain_of_library(void);
const char *program_path(void); /* as it was called */
/* errno in words. */
const char *system_error(void);
/* Shows a file in the user's browser. False after a message. */
bool open_page(const char *path);

#endif
