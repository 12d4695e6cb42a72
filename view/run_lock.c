#define _GNU_SOURCE /* F_OFD_GETLK */
#include "view/run.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool grdi_run_is_written(const grdi_run *run)
{
    char path[sizeof run->folder + 64];
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    snprintf(path, sizeof path, "%s/metrics.jsonl", run->folder);
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const bool asked = file >= 0 && fcntl(file, F_OFD_GETLK, &whole) == 0;
    if (file >= 0)
        close(file);
    return asked && whole.l_type != F_UNLCK;
}
