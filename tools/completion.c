/* Scripts that complete the command line, from the tables of commands and options. */
#include "tools/tools.h"

#include <string.h>

/* What may stand for a value. */
typedef enum filling { ANYTHING, CHOICES, FILES, FOLDERS, COMMANDS } filling;

/* By what help calls it: "a|b", CASE.h5, FILE, DIR, COMMAND; nothing can be said of N. */
static filling filling_of(const char *value)
{
    static const struct {
        const char *part;
        filling filling;
    } parts[] = { { "|", CHOICES },  { "COMMAND", COMMANDS }, { "DIR", FOLDERS },
                  { "FILE", FILES }, { "CHECKPOINT", FILES }, { "PATH", FILES },
                  { ".h5", FILES },  { ".html", FILES } };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(value, parts[i].part))
            return parts[i].filling;
    return ANYTHING;
}

/* "a|b" as "a b". */
static void put_choices(const char *value)
{
    for (const char *c = value; *c; c++)
        putchar(*c == '|' ? ' ' : *c);
}

/* The first word of a command with others of its family: "attention" of "attention run". */
static size_t family_length(const command *c)
{
    const size_t length = strcspn(c->name, " ");
    return c->name[length] ? length : 0;
}

static bool begins_family(size_t i)
{
    const command *c = command_at(i);
    const size_t length = family_length(c);
    return length && (i == 0 || strncmp(command_at(i - 1)->name, c->name, length + 1) != 0);
}

/* Calls put for each word that a command line may start with. */
static void each_first_word(void (*put)(const command *c, size_t length))
{
    for (size_t i = 0; command_at(i); i++)
        if (!family_length(command_at(i)))
            put(command_at(i), strlen(command_at(i)->name));
        else if (begins_family(i))
            put(command_at(i), family_length(command_at(i)));
}

/* And for each family's name. */
static void each_family(void (*put)(const command *c, size_t length))
{
    for (size_t i = 0; command_at(i); i++)
        if (begins_family(i))
            put(command_at(i), family_length(command_at(i)));
}

static void each_option(const command *c, void (*put)(const option *row))
{
    for (size_t i = 0; i < num_options(); i++)
        if (option_at(i)->commands & c->bit)
            put(option_at(i));
}

/* ---- bash ---- */

static void bash_word(const command *c, size_t length)
{
    printf(" %.*s", (int)length, c->name);
}

static void bash_members(const command *c, size_t length)
{
    printf("    %.*s) words='", (int)length, c->name);
    for (size_t i = 0; command_at(i); i++)
        if (strncmp(command_at(i)->name, c->name, length + 1) == 0)
            printf(" %s", command_at(i)->name + length + 1);
    printf("' ;;\n");
}

static void bash_family(const command *c, size_t length)
{
    printf("    %.*s) name=\"$name ${COMP_WORDS[2]}\" first=3 ;;\n", (int)length, c->name);
}

static void bash_name(const option *row)
{
    if (letter_of(row))
        printf(" -%c", letter_of(row));
    printf(" --%s", row->name);
}

static void bash_filling(const char *value)
{
    static const char *const kinds[] = {
        [ANYTHING] = "anything", [FILES] = "files", [FOLDERS] = "folders", [COMMANDS] = "commands"
    };
    if (filling_of(value) == CHOICES) {
        printf("kind=words words='");
        put_choices(value);
        putchar('\'');
    } else {
        printf("kind=%s", kinds[filling_of(value)]);
    }
}

static void bash_value(const option *row)
{
    if (!row->value[0] || filling_of(row->value) == ANYTHING)
        return;
    printf("        ");
    if (letter_of(row))
        printf("-%c | ", letter_of(row));
    printf("--%s) ", row->name);
    bash_filling(row->value);
    printf(" ;;\n");
}

/* One pattern of all that take a value of which nothing can be said. */
static void bash_free_value(const option *row)
{
    if (row->value[0] && filling_of(row->value) == ANYTHING)
        printf(" | --%s", row->name);
}

static void bash_command(const command *c)
{
    printf("    '%s')\n        options='", c->name);
    each_option(c, bash_name);
    printf("'\n        case $before in\n");
    each_option(c, bash_value);
    printf("        ''");
    each_option(c, bash_free_value);
    printf(") kind=anything ;;\n        *) ");
    bash_filling(c->arguments);
    printf(" ;;\n        esac ;;\n");
}

/* Files are left to readline, which knows how to quote them. */
static void print_bash(void)
{
    printf("# Completes gradus in bash; printed by `gradus completion bash`.\n\n"
           "# The words that may follow those of a command so far.\n"
           "_gradus_names()\n{\n    case $1 in\n    '') words='");
    each_first_word(bash_word);
    printf(" --help --version' ;;\n");
    each_family(bash_members);
    printf("    esac\n}\n\n"
           "_gradus()\n{\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} start=\n"
           "    # --option=value is one word, or three, as COMP_WORDBREAKS says.\n"
           "    if [[ $word == = ]]; then\n        word=\n"
           "    elif [[ $before == = ]]; then\n"
           "        before=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    elif [[ $word == --*=* ]]; then\n"
           "        before=${word%%%%=*} start=${word%%%%=*}= word=${word#*=}\n    fi\n\n"
           "    local name=${COMP_WORDS[1]} first=2 kind= words= options=\n"
           "    case $name in\n");
    each_family(bash_family);
    printf("    esac\n    case $name in\n");
    for (size_t i = 0; command_at(i); i++)
        bash_command(command_at(i));
    printf("    esac\n\n    COMPREPLY=()\n"
           "    if ((COMP_CWORD == 1)); then\n        _gradus_names ''\n"
           "    elif ((COMP_CWORD < first)); then\n        _gradus_names \"${COMP_WORDS[1]}\"\n"
           "    elif [[ $word == -* ]]; then\n        words=$options\n"
           "    elif [[ $kind == commands ]]; then\n"
           "        ((COMP_CWORD == first)) && before=\n        _gradus_names \"$before\"\n"
           "    elif [[ $kind == files ]]; then\n        return\n"
           "    elif [[ $kind == folders ]]; then\n"
           "        compopt +o default -o dirnames\n        return\n    fi\n"
           "    compopt +o default\n"
           "    COMPREPLY=($(compgen -P \"$start\" -W \"$words\" -- \"$word\"))\n}\n\n"
           "complete -o default -F _gradus gradus\n");
}

/* ---- zsh ---- */

/* In single quotes, where brackets and colons have a meaning of their own. */
static void zsh_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == '\'')
            printf("'\\''");
        else
            printf("%s%c", strchr("[]:\\", text[i]) ? "\\" : "", text[i]);
}

static void zsh_described(const command *c, const char *name, size_t length)
{
    printf("            '%.*s:", (int)length, name);
    zsh_text(c->summary, strcspn(c->summary, "\n"));
    printf("'\n");
}

static void zsh_first_word(const command *c, size_t length)
{
    if (!family_length(c))
        zsh_described(c, c->name, length);
    else
        printf("            '%.*s:has commands of its own'\n", (int)length, c->name);
}

static void zsh_members(const command *c, size_t length)
{
    printf("    %.*s)\n        names=(\n", (int)length, c->name);
    for (size_t i = 0; command_at(i); i++)
        if (strncmp(command_at(i)->name, c->name, length + 1) == 0)
            zsh_described(command_at(i), command_at(i)->name + length + 1,
                          strlen(command_at(i)->name + length + 1));
    printf("        ) ;;\n");
}

static void zsh_family(const command *c, size_t length)
{
    printf(
        "    %.*s)\n"
        "        ((CURRENT == 3)) && { _gradus_names; return }\n"
        "        command=\"$command $words[3]\"\n        shift words\n        ((CURRENT--)) ;;\n",
        (int)length, c->name);
}

/* ":FILE:_files", "::true|false:(true false)". */
static void zsh_filling(const char *value, bool optional)
{
    static const char *const actions[] = {
        [ANYTHING] = " ", [FILES] = "_files", [FOLDERS] = "_files -/", [COMMANDS] = "_gradus_names"
    };
    printf("%s:", optional ? ":" : "");
    zsh_text(value, strlen(value));
    putchar(':');
    if (filling_of(value) == CHOICES) {
        putchar('(');
        put_choices(value);
        putchar(')');
    } else {
        printf("%s", actions[filling_of(value)]);
    }
}

static void zsh_spelling(const option *row, const char *other, const char *dashes, const char *name,
                         const char *joint)
{
    printf("            '(%s)%s%s%s[", other, dashes, name, row->value[0] ? joint : "");
    zsh_text(row->help, strlen(row->help));
    putchar(']');
    if (row->value[0])
        zsh_filling(row->value, row->kind == SWITCH);
    printf("' \\\n");
}

static void zsh_option(const option *row)
{
    const char letter[] = { letter_of(row), '\0' };
    char longer[64], shorter[4];
    snprintf(longer, sizeof longer, "--%s", row->name);
    snprintf(shorter, sizeof shorter, "%s%s", *letter ? "-" : "", letter);
    if (*letter)
        zsh_spelling(row, longer, "-", letter, "+");
    zsh_spelling(row, *letter ? shorter : longer, "--", row->name, "=");
}

static void zsh_command(const command *c)
{
    printf("    '%s')\n        _arguments \\\n", c->name);
    each_option(c, zsh_option);
    if (filling_of(c->arguments) != ANYTHING) {
        printf("            '*");
        zsh_filling(c->arguments, false);
        printf("' \\\n");
    }
    printf("            && return ;;\n");
}

static void print_zsh(void)
{
    printf("#compdef gradus\n# Completes gradus in zsh; printed by `gradus completion zsh`.\n\n"
           "# The commands, or those of the family that the word before names.\n"
           "_gradus_names() {\n    local -a names\n    case $words[CURRENT-1] in\n");
    each_family(zsh_members);
    printf("    *)\n        names=(\n");
    each_first_word(zsh_first_word);
    printf(
        "        ) ;;\n    esac\n    _describe -t commands command names\n}\n\n"
        "_gradus() {\n    local command=$words[2]\n"
        "    if ((CURRENT == 2)); then\n"
        "        [[ $words[2] == -* ]] && { _arguments '(- *)'{-h,--help}'[list the commands]' \\\n"
        "            '(- *)'{-V,--version}'[what gradus is made of]'; return }\n"
        "        _gradus_names\n        return\n    fi\n"
        "    case $command in\n");
    each_family(zsh_family);
    printf("    esac\n    shift words\n    ((CURRENT--))\n    case $command in\n");
    for (size_t i = 0; command_at(i); i++)
        zsh_command(command_at(i));
    printf("    esac\n}\n\n"
           "# Loaded as a function, or read as a script.\n"
           "if [[ $funcstack[1] == _gradus ]]; then\n    _gradus \"$@\"\n"
           "else\n    compdef _gradus gradus\nfi\n");
}

int run_completion(options *o)
{
    static const struct {
        const char *shell;
        void (*print)(void);
    } shells[] = { { "bash", print_bash }, { "zsh", print_zsh } };
    for (size_t i = 0; o->num_arguments == 1 && i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(o->arguments[0], shells[i].shell) == 0) {
            shells[i].print();
            return 0;
        }
    complain("name the shell: bash or zsh");
    return EXIT_USAGE;
}
