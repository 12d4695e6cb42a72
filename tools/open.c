#define _DEFAULT_SOURCE /* realpath */
/* Showing a page: by xdg-open, which knows the user's browser. */
#include "tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

/* Quiet, since browsers chatter, and in a process group of its own, since a Ctrl-C that is meant
 * for us would end it too. 0, or what went wrong as errno says it. */
static int start(pid_t *child, char *path)
{
    char name[] = "xdg-open", *arguments[] = { name, path, NULL };
    posix_spawn_file_actions_t quiet;
    posix_spawnattr_t apart;
    posix_spawn_file_actions_init(&quiet);
    posix_spawnattr_init(&apart);
    int failed = posix_spawnattr_setflags(&apart, POSIX_SPAWN_SETPGROUP);
    for (int file = 0; !failed && file < 3; file++)
        failed = posix_spawn_file_actions_addopen(&quiet, file, "/dev/null", O_RDWR, 0);
    if (!failed)
        failed = posix_spawnp(child, name, &quiet, &apart, arguments, environ);
    posix_spawnattr_destroy(&apart);
    posix_spawn_file_actions_destroy(&quiet);
    return failed;
}

/* How it ended; 0 also if it goes on for long, as it does while some browsers are open. */
static int outcome(pid_t child)
{
    enum { PAUSES = 60, MILLISECONDS = 50 };
    const struct timespec pause = { .tv_nsec = MILLISECONDS * 1000000L };
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < PAUSES && (ended = waitpid(child, &status, WNOHANG)) == 0; i++)
        nanosleep(&pause, NULL);
    if (ended <= 0)
        return 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool open_page(const char *path)
{
    char whole[PATH_MAX]; /* absolute, so that none is taken for an option or an address */
    pid_t child;
    if (!realpath(path, whole))
        return complain("%s: %s", path, system_error());
    errno = start(&child, whole);
    if (errno == ENOENT)
        return complain("there is no xdg-open (Debian: xdg-utils) to show %s with; "
                        "open it in a browser yourself",
                        path);
    if (errno != 0)
        return complain("xdg-open: %s", system_error());
    const int status = outcome(child);
    return status == 0 || complain("xdg-open found no browser for %s (it ended with %d); open it "
                                   "in one yourself",
                                   path, status);
}
