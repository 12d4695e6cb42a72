#define _DEFAULT_SOURCE /* mkdtemp */
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256];

void scratch_begin(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/gradus-XXXXXX", base ? base : "/tmp");
    cr_assert(mkdtemp(folder), "%s", folder);
}

/* Calls visit with every file's path; returns how many there are. */
static int each_file(void (*visit)(const char *path))
{
    int count = 0;
    DIR *open = opendir(folder);
    cr_assert(open);
    for (struct dirent *entry; (entry = readdir(open));) {
        char path[1024];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count++;
        if (visit)
            visit(path);
    }
    closedir(open);
    return count;
}

static void delete (const char *path)
{
    cr_assert_eq(remove(path), 0, "%s", path);
}

void scratch_end(void)
{
    each_file(delete);
    cr_assert_eq(rmdir(folder), 0);
}

const char *scratch_path(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void scratch_write(const char *name, const void *data, size_t size)
{
    FILE *file = fopen(scratch_path(name), "wb");
    cr_assert(file);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

long scratch_read(const char *name, void *data, size_t size)
{
    FILE *file = fopen(scratch_path(name), "rb");
    if (!file)
        return -1;
    const size_t got = fread(data, 1, size, file);
    cr_assert_eq(fgetc(file), EOF, "%s is larger than %zu", name, size);
    cr_assert_eq(fclose(file), 0);
    return (long)got;
}

int scratch_files(void)
{
    return each_file(NULL);
}
