/* Reading a case file, in a process of its own: libhdf5 does not survive every damaged file, runs
 * in circles on some, and a digest as of checkpoints is not what other programs write. What comes
 * back is the same archive as Gradus itself writes it. */
#define _GNU_SOURCE /* memfd_create */
#include "tools/case.h"
#include "tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child writes: this, and the archive's image if there is no error. */
typedef struct answer {
    grd_status status;
    char message[1024];
} answer;

static bool write_all(int file, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        const ssize_t count = write(file, from, size);
        if (count < 0 && errno != EINTR)
            return false;
        from += count > 0 ? count : 0;
        size -= count > 0 ? (size_t)count : 0;
    }
    return true;
}

static bool read_all(int file, void *data, size_t size, off_t at)
{
    char *to = data;
    while (size > 0) {
        const ssize_t count = pread(file, to, size, at);
        if (count == 0 || (count < 0 && errno != EINTR))
            return false;
        to += count > 0 ? count : 0;
        at += count > 0 ? count : 0;
        size -= count > 0 ? (size_t)count : 0;
    }
    return true;
}

/* ---- The child ---- */

/* Lowers a limit. */
static void limit(__rlimit_resource_t what, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now) != 0)
        return;
    now.rlim_cur = now.rlim_cur < most ? now.rlim_cur : most;
    setrlimit(what, &now);
}

/* Bytes of address space in use; libraries may have set much aside. */
static rlim_t mapped(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%llu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

/* Room for what an archive may hold, as it is read, kept and written; seconds by the file's size.
 */
static void restrain(const char *path)
{
    struct stat found;
    const rlim_t size = stat(path, &found) == 0 ? (rlim_t)found.st_size : 0;
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, 5 + (size >> 24));
    limit(RLIMIT_AS, mapped() + ((rlim_t)6 << 30));
#ifndef __SANITIZE_ADDRESS__ /* which has to be heard */
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0)
        dup2(nowhere, STDERR_FILENO); /* the C library's last words */
#endif
}

static void read_in_child(const char *op, const char *path, int file)
{
    answer a = { GRD_OK, "" };
    restrain(path);
    const grdi_archive *archive = grdi_archive_read(op, path);
    const grdi_bytes *image = archive ? grdi_archive_encode(archive, 0) : NULL;
    if (!image) {
        a.status = grd_last_error().status;
        snprintf(a.message, sizeof a.message, "%s", grd_last_error().message);
    }
    const bool done =
        write_all(file, &a, sizeof a) && (!image || write_all(file, image->data, image->size));
    _exit(done ? 0 : 1);
}

/* ---- The parent ---- */

static const char *end_of(int status)
{
    if (!WIFSIGNALED(status))
        return "its reading failed";
    return WTERMSIG(status) == SIGXCPU ? "reading it takes too long: it is damaged"
                                       : "libhdf5 cannot read it: it is damaged";
}

static const grdi_archive *take(const char *op, const char *path, int file)
{
    answer a;
    const off_t size = lseek(file, 0, SEEK_END);
    if (size < (off_t)sizeof a || !read_all(file, &a, sizeof a, 0))
        return grd_fail(GRD_ERROR_IO, op, "%s: %s", path, end_of(0));
    a.message[sizeof a.message - 1] = '\0';
    if (a.status != GRD_OK)
        return grd_fail(a.status, op, "%s", a.message);
    grdi_bytes *image = grdi_bytes_create(op, (size_t)size - sizeof a);
    if (!image || !read_all(file, image->data, image->size, sizeof a))
        return grd_fail(GRD_ERROR_IO, op, "%s: %s", path, end_of(0));
    return grdi_archive_decode(op, path, image->data, image->size, GRDI_OURS);
}

static const grdi_archive *read_through(const char *op, const char *path, int file)
{
    int status = 0;
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0)
        read_in_child(op, path, file);
    if (child < 0)
        return grd_fail(GRD_ERROR_IO, op, "%s: %s", path, system_error());
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return grd_fail(GRD_ERROR_FORMAT, op, "%s: %s", path, end_of(status));
    return take(op, path, file);
}

const grdi_archive *case_read(const char *op, const char *path)
{
    const int file = memfd_create("case", MFD_CLOEXEC);
    if (file < 0)
        return grd_fail(GRD_ERROR_IO, op, "%s: %s", path, system_error());
    const grdi_archive *archive = read_through(op, path, file);
    close(file);
    return archive;
}
