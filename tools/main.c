/* gradus: the program. Every command is a file of its own. */
#include "tools/terminal.h"
#include "tools/tools.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const command commands[] = {
    { "train", TRAIN, "[options]",
      "Trains a transformer on a generated task or on a text.",
      "  gradus train --task copy --out copy            a toy, in a minute\n"
      "  gradus train --text book.txt --context 128 --out book\n"
      "  gradus train --out book --resume auto          goes on where it stopped\n"
      "  gradus train --task add --dry-run              what it would take\n"
      "  gradus train --replay case.h5 --output result.h5\n",
      run_train },
    { "sample", SAMPLE, "--weights FILE [options]",
      "Continues a text; of a task, shows predictions beside the right answers.",
      "  gradus sample --weights book/best.h5 --prompt 'Once' --tokens 300\n"
      "  gradus sample --weights copy/weights.h5\n",
      run_sample },
    { "check", CHECK, "[FILE] [options]",
      "Checks attention: of a checkpoint, of a new model (--task), or of one module by its options.\n"
      "Prints its parts with all shapes, its options with where they came from, and five checks with\n"
      "what was measured; of a model also whether a gradient reaches every parameter and head.",
      "  gradus check --embed-dim 64 --num-heads 4      one MultiheadAttention\n"
      "  gradus check copy/weights.h5                   all of a trained model\n"
      "  gradus check --task sort --num-layers 4        all of a new one\n"
      "  gradus check --list-plants                     known mistakes\n"
      "  gradus check --plant missing-scale             one of them, caught\n",
      run_check },
    { "inspect", INSPECT, "FILE",
      "Verifies a checkpoint and shows what is in it.",
      "  gradus inspect copy/weights.h5\n",
      run_inspect },
    { "gradcheck", GRADCHECK, "[NAME ...] [options]",
      "Holds every derivative of the library against central differences, to the second order.\n"
      "Names are those of ops and modules, or patterns (* any, ? one); none: all. Errors are\n"
      "shown as shares of what is tolerated, 1e-5 + 1e-3 |numeric|: above 1 it fails.",
      "  gradus gradcheck\n"
      "  gradus gradcheck softmax 'sdpa/*' MultiheadAttention\n"
      "  gradus gradcheck --list\n",
      run_gradcheck },
    { "tasks", TASKS, "[NAME ...] [options]",
      "Trains models on tasks whose attention is known, and holds their heads against it.\n"
      "Unseen sequences must come out right, a head must look where the answers stand, and without it\n"
      "the loss must rise.\n"
      "docs/tasks.md has the figures and what they mean.",
      "  gradus tasks --quick                           those that take seconds\n"
      "  gradus tasks recall induction\n"
      "  gradus tasks --json > tasks.json\n",
      run_tasks },
    { "attention run", ATTENTION_RUN, "CASE.h5 RESULT.h5 [options]",
      "Computes the attention that a case file states, and its gradients.\n"
      "docs/cases.md has the format.",
      "  gradus attention run case.h5 result.h5\n"
      "  gradus attention run case.h5 result.h5 --dtype float32 --kernel fused\n",
      run_attention },
    { "attention explain", ATTENTION_EXPLAIN, "CASE.h5 [options]",
      "Says which kernel a case would run, and why none faster.",
      "  gradus attention explain case.h5\n"
      "  gradus attention explain case.h5 --dtype float32 --json\n",
      run_attention_explain },
    { "attention mask", ATTENTION_MASK, "[CASE.h5] [options]",
      "Draws which keys each query sees.",
      "  gradus attention mask --queries 6 --causal\n"
      "  gradus attention mask --queries 4 --keys 7 --causal --align bottom_right --output mask.svg\n"
      "  gradus attention mask case.h5 --sample 1 --head 2\n",
      run_attention_mask },
    { "view attention", VIEW_ATTENTION, "CHECKPOINT [options]",
      "Writes a page of a checkpoint's attention: every head, with verdicts and figures.\n"
      "docs/viewer.md says how to read it.",
      "  gradus view attention recall/best.h5 --open\n"
      "  gradus view attention book/best.h5 --input 'Once upon a time' --output once.html\n"
      "  gradus view attention recall/best.h5 --baseline initial\n"
      "  gradus view attention recall/best.h5 --layer 1 --head 0 --terminal\n",
      run_view_attention },
    { "view graph", VIEW_GRAPH, "[CHECKPOINT] [options]",
      "Draws what a loss was computed from: of a model, a new one (--task), or an example.\n"
      "Each op with its shape, what it keeps for backward, and statistics of values and gradients.",
      "  gradus view graph --output graph.svg           attention of two tokens\n"
      "  gradus view graph --task copy --collapse 3 --output copy.svg\n"
      "  gradus view graph copy/weights.h5 --output copy.dot\n",
      run_view_graph },
    { "view backward", VIEW_BACKWARD, "[CHECKPOINT] [options]",
      "Makes a page that steps through forward and backward of the same graphs.\n"
      "It shows values, the gradient that comes in, the rule, and what goes out.",
      "  gradus view backward --output player.html      attention of two tokens\n"
      "  gradus view backward --example diamond --output diamond.html\n",
      run_view_backward },
    { "view run", VIEW_RUN, "DIR [options]",
      "Writes a page that shows a training run: curves, figures, options.\n"
      "gradus train keeps such a page in DIR itself; docs/training.md says more.",
      "  gradus view run copy --open\n"
      "  gradus view run copy --follow --output /tmp/copy.html\n",
      run_view_run },
    { "teach", TEACH, "[LESSON] [options]",
      "Teaches autograd in short lessons, whose numbers it computes as it goes.\n"
      "Without a LESSON it lists them.",
      "  gradus teach\n"
      "  gradus teach diamond\n"
      "  gradus teach gradcheck --output gradcheck.html\n"
      "  gradus teach --output lessons/                 all of them, with an index\n",
      run_teach },
    { "help", HELP, "[COMMAND]",
      "Shows what a command does and lists its options.\n"
      "Without a COMMAND it lists the commands.",
      "  gradus help train                              as gradus train --help\n"
      "  gradus help attention run\n",
      run_help },
    { "manual", MANUAL, "[COMMAND] [options]",
      "Prints a page of the manual, as man reads it.\n"
      "Without a COMMAND it is the page of gradus itself. Once gradus is installed, man has them all.",
      "  gradus manual train | man -l -                 reads it here\n"
      "  gradus manual --output man1                    writes all pages\n",
      run_manual },
    { "completion", COMPLETION, "bash|zsh",
      "Prints what completes the command line of gradus, for bash or zsh.\n"
      "An installed gradus has both where the shells of Debian look for them.",
      "  source <(gradus completion bash)               in ~/.bashrc\n"
      "  gradus completion zsh > ~/.zfunc/_gradus       a folder of $fpath\n",
      run_completion },
};
/* clang-format on */
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const char *speaking = ""; /* the command, for messages */
static const char *path = "gradus";

const char *program_path(void)
{
    return path;
}

/* Names of files and options in it may hold anything. */
static void say(const char *before, const char *format, va_list arguments)
{
    char line[4096];
    vsnprintf(line, sizeof line, format, arguments);
    fputs(before, stderr);
    safe_print(stderr, line);
    fputc('\n', stderr);
}

void note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say("", format, arguments);
    va_end(arguments);
}

bool complain(const char *format, ...)
{
    char before[32];
    snprintf(before, sizeof before, "gradus%s%s: ", *speaking ? " " : "", speaking);
    va_list arguments;
    va_start(arguments, format);
    say(before, format, arguments);
    va_end(arguments);
    return false;
}

int complain_of_library(void)
{
    complain("%s", grd_error_message());
    grd_error_take();
    return EXIT_FAILED;
}

const char *system_error(void)
{
    return strerror(errno);
}

const command *command_at(size_t i)
{
    return i < COMMANDS ? &commands[i] : NULL;
}

const command *command_named(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

static void print_version(void)
{
    const grd_cpu_info cpu = grd_cpu_describe();
    printf("gradus %s\n", grd_version());
    printf("instruction set  %s, %d threads\n", cpu.instruction_set, cpu.threads);
    printf("BLAS             %s, core %s\n", cpu.blas, cpu.blas_core);
    printf("libraries        %s\n", GRADUS_LIBRARIES);
}

/* OpenBLAS takes the variable's word over what the processor can do. */
static void warn_of_slow_blas(void)
{
    static const char *const wide[] = { "SkylakeX", "Cooperlake", "SapphireRapids" };
    const char *asked = getenv("OPENBLAS_CORETYPE");
    const grd_cpu_info cpu = grd_cpu_describe();
    if (!asked || strcmp(cpu.instruction_set, "avx512") != 0)
        return;
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
        if (strcmp(cpu.blas_core, wide[i]) == 0)
            return;
    complain("OPENBLAS_CORETYPE=%s keeps BLAS from this processor's AVX-512; unset it for speed",
             asked);
}

static int run(const command *c, int argc, char **argv)
{
    options o;
    speaking = c->name;
    options_init(&o);
    int status = parse_options(&o, c->bit, argc, (const char **)argv);
    /* What options say has the word: whatever else the library is asked for needs no GPU. */
    setenv("GRADUS_DEVICE", "cpu", true);
    if (status == 0 && o.help == 1) {
        print_help(stdout, c);
    } else if (status == 0) {
        warn_of_slow_blas();
        status = c->run(&o);
    }
    if (status == EXIT_USAGE)
        fprintf(stderr, "gradus %s --help lists the options\n", c->name);
    options_free(&o);
    return status;
}

/* The command that the first `words` arguments name; NULL if none. */
static const command *find(int words, char **argv)
{
    char name[64];
    snprintf(name, sizeof name, words == 1 ? "%s" : "%s %s", argv[1], argv[words]);
    return command_named(name);
}

static bool is_either(const char *text, const char *a, const char *b)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0;
}

/* No command: help if it was asked for, or what is wrong. `word` starts several, or is "". */
static int usage(const char *word, const char *name)
{
    const bool asked = name && is_either(name, "--help", "-h");
    if (name && !asked)
        complain("there is no command \"%s%s%s\"", word, *word ? " " : "", name);
    print_usage(asked ? stdout : stderr, word);
    return asked ? 0 : EXIT_USAGE;
}

int main(int argc, char **argv)
{
    path = argc > 0 ? argv[0] : path;
    setvbuf(stderr, NULL, _IOLBF, 0); /* A line at a time: text is made safe by the character. */
    for (int words = 1; words <= 2 && words < argc; words++) {
        const command *c = find(words, argv);
        if (c)
            return run(c, argc - words, argv + words);
    }
    if (argc > 1 && is_either(argv[1], "--version", "-V")) {
        print_version();
        return 0;
    }
    for (int i = 0; argc > 1 && i < COMMANDS; i++)
        if (starts_with(&commands[i], argv[1]))
            return usage(argv[1], argc > 2 ? argv[2] : NULL);
    return usage("", argc > 1 ? argv[1] : NULL);
}
