/* What the commands can be told. One table says everything about an option: parsing, --help, the
 * configuration file, --dump-config, what a resumed run may change and what a replay case states
 * are all read from it. */
#ifndef GRADUS_TOOLS_OPTIONS_H
#define GRADUS_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_OPTIONS = 128 };

/* Where a value came from; a later source wins. */
typedef enum option_source { FROM_TABLE, FROM_CHECKPOINT, FROM_CONFIG, FROM_COMMAND } option_source;

typedef signed char truth; /* 1, 0; -1: unset */

typedef struct options {
    /* data */
    char *task, *text, *tokenizer;
    int64_t length;
    /* model */
    int64_t vocab_size, context, embed_dim, num_heads, num_layers, ff_dim;
    char *activation;
    double norm_eps, dropout;
    truth norm_first, bias, tied, causal; /* causal unset: as the task needs */
    /* optimizer */
    double lr, min_lr, beta1, beta2, eps, weight_decay, clip_norm; /* min_lr NAN: lr */
    int64_t warmup_steps, total_steps, batch_size, accumulate;
    /* run */
    int64_t steps, seed, threads, save_every, validate_every, validate_batches, log_every;
    char *dtype, *precision, *device, *out, *resume, *config;
    truth overfit_batch, report, dry_run, dump_config, cuda_graph;
    /* replay; mask */
    char *replay, *output;
    /* attention */
    char *compute_dtype, *kernel, *align, *layout, *title; /* dtype unset: the query's */
    int64_t window_left, window_right, offset, kdim, vdim;
    double scale, softcap; /* scale NAN: of the head size */
    truth need_weights, average_weights, add_bias_kv, add_zero_attn;
    int64_t queries, keys, key_length, sample, head;
    /* view */
    char *example;
    int64_t collapse;
    /* sample, check */
    char *weights, *prompt;
    int64_t tokens, top_k, sequences;
    double temperature;
    /* view */
    truth open, follow, terminal;
    char *input, *baseline, *png, *svg, *csv;
    int64_t samples, layer;
    /* gradcheck */
    truth list, fast;
    /* teach; list too */
    truth plain;
    /* check: of the module that is made; a case states its own */
    char *module_layout, *plant;
    int64_t module_kdim, module_vdim;
    truth module_bias_kv, module_zero_attn, list_plants;
    /* tasks */
    int64_t task_steps; /* 0: each one's own */
    double lift;        /* the same */
    truth quick;
    /* all */
    truth json, help;

    char **arguments; /* what is not an option, ended by NULL */
    int num_arguments;
    unsigned char source[MAX_OPTIONS]; /* option_source, by row of the table */
} options;

typedef enum option_kind {
    INTEGER,
    REAL,  /* unset: NAN */
    TEXT,  /* unset: NULL */
    SWITCH /* true, 1; false, 0; --name alone is true */
} option_kind;

/* Commands that take an option, as a set. */
enum { TRAIN = 1, SAMPLE = 2, CHECK = 4, INSPECT = 8, REPLAY = 16, GRADCHECK = 32 };
/* gradus attention, and the attributes of its cases, by their module. */
enum {
    ATTENTION_RUN = 1 << 8,
    ATTENTION_EXPLAIN = 1 << 9,
    ATTENTION_MASK = 1 << 10,
    SDPA_CASE = 1 << 11,
    MHA_CASE = 1 << 12
};
/* What is looked at. */
enum {
    VIEW_ATTENTION = 1 << 13,
    VIEW_RUN = 1 << 14,
    VIEW_GRAPH = 1 << 15,
    VIEW_BACKWARD = 1 << 16,
    TEACH = 1 << 17,
    TASKS = 1 << 18
};
/* What speaks of the program itself, and every command: all but what files state. */
enum { HELP = 1 << 21, MANUAL = 1 << 19, COMPLETION = 1 << 20 };
enum { TALKS = HELP | MANUAL | COMPLETION, EVERY_COMMAND = ~(REPLAY | SDPA_CASE | MHA_CASE) };

/* What happens when a resumed run is told something else than it was. */
typedef enum option_change {
    REFUSED, /* it would not be this model or these data */
    NOTED,   /* allowed, and said in words */
    FREE,    /* allowed */
    LOCAL    /* of this call alone: not part of a configuration */
} option_change;

typedef struct option {
    const char *name; /* "embed-dim"; embed_dim in files */
    option_kind kind;
    size_t offset;
    const char *fallback; /* as it would be written; NULL: unset */
    const char *value;    /* what help calls it; "a|b": one of these */
    const char *range;    /* of a number: "[0,1)" */
    int commands;
    option_change change;
    const char *help;
} option;

typedef struct option_group {
    const char *title;
    const option *rows;
    size_t count;
} option_group;

/* All rows in the order of the table; num_options() < MAX_OPTIONS. */
extern const option_group option_groups[];
extern const size_t num_option_groups;
size_t num_options(void);
const option *option_at(size_t i);
/* By name with dashes or underscores; NULL if no option of these commands has it. */
const option *option_named(const char *name, int commands);
char letter_of(const option *row); /* 'o': -o is short for --output; '\0': it has none */
size_t option_index(const option *o);
const char *key_of(const option *o, char buffer[64]); /* its name in files */

void options_init(options *o); /* the table's values */
void options_free(options *o);

/* Sets one value from text (NULL: unset), with `label` for messages. False after a message. */
bool set_option(options *o, const option *row, const char *text, option_source source,
                const char *label);
/* The value as it would be written; NULL if unset. */
const char *option_text(const options *o, const option *row, char buffer[64]);
bool same_option(const options *a, const options *b, const option *row);

/* The command line, and the file that its --config names: 0, or 2 after a message. */
int parse_options(options *o, int command, int argc, const char **argv);

/* JSON. Both are false after a message; `label` names the text. */
bool read_config_file(options *o, const char *path, int commands);
bool read_config(options *o, const char *json, size_t size, option_source source, int commands,
                 const char *label);
char *dump_config(const options *o, int commands); /* to be freed; NULL: out of memory */

/* " (did you mean \"embed-dim\"?)" among the options of these commands, or "". In files, names have
 * underscores. */
const char *nearest_option(const char *name, int commands, bool in_file, char buffer[128]);

#endif
