/* When the system refuses: at every call that reads or writes a file, and at every allocation. The
 * old checkpoint stays as it was, nothing is half loaded, nothing is left over. */
#define _DEFAULT_SOURCE
#include "nn/files.h"
#include "tests/counter.h"
#include "tests/nn/expect.h"
#include "tests/nn/run.h"
#include "tests/nn/scratch.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path;
static unsigned char old[1 << 17], now[1 << 17];
static long old_size;

/* ---- System calls that fail ---- */

typedef enum call { OPEN, FSTAT, READ, WRITE, FCHMOD, FSYNC, CLOSE, RENAME, CALLS } call;
static const char *const names[CALLS] = { "open",   "fstat", "read",  "write",
                                          "fchmod", "fsync", "close", "rename" };

/* From the `at`th call of this kind on (0: never), once or for ever. */
static struct {
    call call;
    int at, error;
    bool ever;
    int seen[CALLS];
} fault;

static const grdi_system real_calls = { .fstat = fstat,
                                        .read = read,
                                        .write = write,
                                        .fchmod = fchmod,
                                        .fsync = fsync,
                                        .close = close,
                                        .rename = rename };

static bool fails(call call)
{
    const int n = ++fault.seen[call];
    if (call != fault.call || !fault.at || (fault.ever ? n < fault.at : n != fault.at))
        return false;
    errno = fault.error;
    return true;
}

static int faulty_open(const char *name, int flags, mode_t mode)
{
    return fails(OPEN) ? -1 : open(name, flags, mode);
}

static int faulty_fstat(int file, struct stat *status)
{
    return fails(FSTAT) ? -1 : real_calls.fstat(file, status);
}

static ssize_t faulty_read(int file, void *data, size_t size)
{
    return fails(READ) ? -1 : real_calls.read(file, data, size);
}

static ssize_t faulty_write(int file, const void *data, size_t size)
{
    return fails(WRITE) ? -1 : real_calls.write(file, data, size);
}

static int faulty_fchmod(int file, mode_t mode)
{
    return fails(FCHMOD) ? -1 : real_calls.fchmod(file, mode);
}

static int faulty_fsync(int file)
{
    return fails(FSYNC) ? -1 : real_calls.fsync(file);
}

/* Closes all the same, as Linux does. */
static int faulty_close(int file)
{
    const bool failing = fails(CLOSE);
    const int error = errno, closed = real_calls.close(file);
    errno = error;
    return failing ? -1 : closed;
}

static int faulty_rename(const char *from, const char *to)
{
    return fails(RENAME) ? -1 : real_calls.rename(from, to);
}

static void begin(void)
{
    scratch_begin();
    path = scratch_path("run.h5");
    grdi_system_calls = (grdi_system){ faulty_open,   faulty_fstat, faulty_read,  faulty_write,
                                       faulty_fchmod, faulty_fsync, faulty_close, faulty_rename };
}

TestSuite(faults, .init = begin, .fini = scratch_end);

static int open_files(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void plan(call call, int at, bool ever)
{
    memset(&fault, 0, sizeof fault);
    fault.call = call;
    fault.at = at;
    fault.ever = ever;
    fault.error = at % 2 ? EIO : ENOSPC;
}

static void keep_old(run *r)
{
    const grd_checkpoint all = run_checkpoint(r);
    plan(CALLS, 0, false);
    cr_assert_eq(grd_save(path, &all), GRD_OK, "%s", grd_error_message());
    old_size = scratch_read("run.h5", old, sizeof old);
}

static void expect_old(const char *what, int at)
{
    cr_assert_eq(scratch_read("run.h5", now, sizeof now), old_size, "%s %d", what, at);
    cr_assert_arr_eq(old, now, (size_t)old_size, "%s %d", what, at);
    cr_assert_eq(scratch_files(), 1, "%s %d left something", what, at);
}

/* Saves with the fault; all is as before, but after the last flush, the folder's. */
static void save_with_fault(run *r, call call, int at, bool ever, int folder)
{
    const grd_checkpoint all = run_checkpoint(r);
    const int open = open_files();
    plan(call, at, ever);
    const grd_status status = grd_save(path, &all);
    cr_assert_eq(open_files(), open, "%s %d", names[call], at);
    const bool harmless = call == CLOSE && at == folder;
    cr_assert_eq(status, harmless ? GRD_OK : GRD_ERROR_IO, "%s %d: %s", names[call], at,
                 grd_error_message());
    if (!harmless)
        expect_error(GRD_ERROR_IO, "run.h5");
    plan(CALLS, 0, false);
    if (harmless || (call == FSYNC && at == folder)) {
        run other = run_create(9);
        const grd_checkpoint into = run_checkpoint(&other);
        cr_assert_eq(grd_load(path, &into), GRD_OK, "%s", grd_error_message());
        cr_assert(run_equal(r, &other), "the new file is there, whole");
        cr_assert_eq(scratch_files(), 1);
    } else {
        expect_old(names[call], at);
    }
}

Test(faults, saving_fails_at_every_call_and_leaves_the_old)
{
    grd_scope *scope = grd_scope_begin();
    run first = run_create(1), second = run_create(2);
    int calls[CALLS];
    run_steps(&second, 1);
    keep_old(&first);
    keep_old(&first); /* replacing: what is counted is what follows */
    memcpy(calls, fault.seen, sizeof calls);
    cr_assert(calls[OPEN] == 2 && calls[WRITE] == 1 && calls[FSYNC] == 2 && calls[CLOSE] == 2 &&
              calls[RENAME] == 1 && calls[FCHMOD] == 1);
    for (int call = 0; call < CALLS; call++)
        for (int at = 1; at <= calls[call]; at++)
            for (int ever = 0; ever < 2; ever++) {
                keep_old(&first);
                save_with_fault(&second, (enum call)call, at, ever, 2);
            }
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(faults, loading_fails_at_every_call_and_changes_nothing)
{
    grd_scope *scope = grd_scope_begin();
    run saved = run_create(1), target = run_create(2), same = run_create(2);
    const grd_checkpoint all = run_checkpoint(&target);
    run_steps(&saved, 2);
    keep_old(&saved);
    static const call calls[] = { OPEN, FSTAT, READ, READ };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int ever = 0; ever < 2; ever++) {
            const int open = open_files();
            plan(calls[i], i == 3 ? 2 : 1, ever);
            cr_assert_eq(grd_load(path, &all), GRD_ERROR_IO, "%s", names[calls[i]]);
            expect_error(GRD_ERROR_IO, "run.h5: cannot ");
            cr_assert(run_equal(&target, &same), "%s", names[calls[i]]);
            cr_assert_eq(open_files(), open);
        }
    plan(CLOSE, 1, false);
    cr_assert_eq(grd_load(path, &all), GRD_OK, "what was read is read");
    cr_assert(run_equal(&target, &saved));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Death ---- */

static int calls_until_death;

static bool dies(void)
{
    return --calls_until_death == 0 && raise(SIGKILL) == 0;
}

static int dying_open(const char *name, int flags, mode_t mode)
{
    return dies() ? -1 : open(name, flags, mode);
}

static ssize_t dying_read(int file, void *data, size_t size)
{
    return dies() ? -1 : read(file, data, size);
}

/* Half of it reaches the file. */
static ssize_t dying_write(int file, const void *data, size_t size)
{
    if (calls_until_death == 1)
        (void)!write(file, data, size / 2);
    return dies() ? -1 : write(file, data, size);
}

static int dying_fchmod(int file, mode_t mode)
{
    return dies() ? -1 : fchmod(file, mode);
}

static int dying_fsync(int file)
{
    return dies() ? -1 : fsync(file);
}

static int dying_close(int file)
{
    return dies() ? -1 : close(file);
}

static int dying_rename(const char *from, const char *to)
{
    return dies() ? -1 : rename(from, to);
}

/* Whether a process that saves r was killed at its n-th call. */
static bool killed_while_saving(run *r, int n)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        const grd_checkpoint all = run_checkpoint(r);
        grdi_system_calls = (grdi_system){ dying_open,   fstat,       dying_read,  dying_write,
                                           dying_fchmod, dying_fsync, dying_close, dying_rename };
        calls_until_death = n;
        raise(grd_save(path, &all) == GRD_OK ? SIGTERM : SIGABRT);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) != SIGABRT, "call %d", n);
    return WTERMSIG(status) == SIGKILL;
}

Test(faults, killed_at_every_call_the_old_or_the_new_is_whole)
{
    grd_scope *scope = grd_scope_begin();
    run first = run_create(1), second = run_create(2), loaded = run_create(3);
    const grd_checkpoint into = run_checkpoint(&loaded), all = run_checkpoint(&first);
    run_steps(&second, 1);
    int n = 0, of_the_new = 0;
    for (bool killed = true; killed;) {
        keep_old(&first);
        killed = killed_while_saving(&second, ++n);
        cr_assert_eq(grd_load(path, &into), GRD_OK, "call %d: %s", n, grd_error_message());
        const bool is_new = run_equal(&loaded, &second);
        cr_assert(is_new || run_equal(&loaded, &first), "call %d", n);
        of_the_new += is_new;
    }
    cr_assert(n > 10 && of_the_new >= 2, "%d calls, %d times the new", n, of_the_new);
    cr_assert_eq(grd_save(path, &all), GRD_OK);
    cr_assert_eq(scratch_files(), 1, "what the killed left is removed");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Calls that do less than asked, or are interrupted ---- */

static ssize_t few_read(int file, void *data, size_t size)
{
    static int turn;
    if (++turn % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return real_calls.read(file, data, size < 700 ? size : 700);
}

static ssize_t few_write(int file, const void *data, size_t size)
{
    static int turn;
    if (++turn % 3 == 0) {
        errno = EINTR;
        return -1;
    }
    return real_calls.write(file, data, size < 700 ? size : 700);
}

Test(faults, short_and_interrupted_calls_go_on)
{
    grd_scope *scope = grd_scope_begin();
    run saved = run_create(1), target = run_create(2);
    const grd_checkpoint from = run_checkpoint(&saved), into = run_checkpoint(&target);
    grdi_system_calls.read = few_read;
    grdi_system_calls.write = few_write;
    cr_assert_eq(grd_save(path, &from), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_load(path, &into), GRD_OK, "%s", grd_error_message());
    cr_assert(run_equal(&saved, &target));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static ssize_t wrong_write(int file, const void *data, size_t size)
{
    unsigned char *copy = malloc(size);
    memcpy(copy, data, size);
    copy[size / 2] ^= 1;
    const ssize_t put = real_calls.write(file, copy, size);
    free(copy);
    return put;
}

Test(faults, what_is_written_is_read_back)
{
    grd_scope *scope = grd_scope_begin();
    run first = run_create(1), second = run_create(2);
    const grd_checkpoint all = run_checkpoint(&second);
    keep_old(&first);
    grdi_system_calls.write = wrong_write;
    cr_assert_eq(grd_save(path, &all), GRD_ERROR_IO);
    expect_error(GRD_ERROR_IO, "does not hold what was written to it");
    expect_old("write", 0);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static long lie;

static int lying_fstat(int file, struct stat *status)
{
    const int result = fstat(file, status);
    status->st_size += lie;
    return result;
}

static ssize_t no_write(int file, const void *data, size_t size)
{
    (void)file, (void)data, (void)size;
    return 0;
}

static ssize_t no_read_back(int file, void *data, size_t size)
{
    (void)file, (void)data, (void)size;
    return 0;
}

Test(faults, files_that_change_or_take_nothing_are_told)
{
    grd_scope *scope = grd_scope_begin();
    scratch_write("file", "0123456789", 10);
    grdi_system_calls.fstat = lying_fstat;
    for (lie = -1; lie < 2; lie += 2) {
        cr_assert_null(grdi_file_read("test", scratch_path("file"), 100));
        expect_error(GRD_ERROR_IO, "file: changed its size while it was read");
    }
    grdi_system_calls.write = no_write;
    cr_assert_not(grdi_file_write("test", scratch_path("file"), "x", 1));
    expect_error(GRD_ERROR_IO, "file: cannot write: ");
    grdi_system_calls.write = real_calls.write;
    grdi_system_calls.read = no_read_back;
    cr_assert_not(grdi_file_write("test", scratch_path("file"), "x", 1));
    expect_error(GRD_ERROR_IO, "does not hold what was written to it");
    cr_assert_eq(scratch_files(), 1);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- What the file is, and stays ---- */

static mode_t mode_of(const char *name)
{
    struct stat status;
    cr_assert_eq(stat(scratch_path(name), &status), 0);
    return status.st_mode & 0777;
}

static void write_text(const char *name, const char *text)
{
    cr_assert(grdi_file_write("test", scratch_path(name), text, strlen(text)), "%s",
              grd_error_message());
}

Test(faults, permissions_and_links_stay)
{
    grd_scope *scope = grd_scope_begin();
    struct stat status;
    umask(027);
    write_text("new", "a");
    cr_assert_eq(mode_of("new"), 0640, "what the umask leaves");
    cr_assert_eq(chmod(scratch_path("new"), 0604), 0);
    write_text("new", "b");
    cr_assert_eq(mode_of("new"), 0604, "a replaced file keeps its own");

    cr_assert_eq(symlink("new", scratch_path("link")), 0);
    write_text("link", "c");
    cr_assert_eq(lstat(scratch_path("link"), &status), 0);
    cr_assert(S_ISLNK(status.st_mode), "a link stays one");
    const grdi_bytes *bytes = grdi_file_read("test", scratch_path("new"), 10);
    cr_assert(bytes && bytes->size == 1 && bytes->data[0] == 'c');
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* One that a killed process left is unlocked; another writer's is not. */
Test(faults, stale_temporaries_are_removed)
{
    grd_scope *scope = grd_scope_begin();
    scratch_write(".run.h5.12-34-0.gradus-tmp", "stale", 5);
    scratch_write(".run.h5.12-35-0.gradus-tmp", "in use", 6);
    scratch_write(".run.h5.note.gradus-tmp", "not ours", 8);
    scratch_write(".other.h5.12-34-0.gradus-tmp", "another's", 9);
    const int used = open(scratch_path(".run.h5.12-35-0.gradus-tmp"), O_RDONLY);
    cr_assert_eq(flock(used, LOCK_EX), 0);
    write_text("run.h5", "new");
    cr_assert_eq(scratch_files(), 4);
    cr_assert_eq(access(scratch_path(".run.h5.12-34-0.gradus-tmp"), F_OK), -1);
    close(used);
    write_text("run.h5", "newer");
    cr_assert_eq(scratch_files(), 3);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(faults, impossible_targets_are_told)
{
    grd_scope *scope = grd_scope_begin();
    cr_assert_not(grdi_file_write("test", scratch_path("no/folder"), "x", 1));
    expect_error(GRD_ERROR_IO, "no/folder: cannot create a temporary beside it: No such file");
    cr_assert_not(grdi_file_write("test", scratch_path(""), "x", 1));
    expect_error(GRD_ERROR_IO, "not a regular file");
    cr_assert_not(grdi_file_write("test", scratch_path("none/"), "x", 1));
    expect_error(GRD_ERROR_IO, "none/: names no file");
    cr_assert_not(grdi_file_write("test", "/dev/null/x", "x", 1));
    expect_error(GRD_ERROR_IO, "/dev/null/x: cannot write: Not a directory");
    cr_assert_not(grdi_file_write("test", "/dev/null", "x", 1));
    expect_error(GRD_ERROR_IO, "/dev/null: not a regular file");
    cr_assert_eq(mkfifo(scratch_path("pipe"), 0600), 0);
    cr_assert_null(grdi_file_read("test", scratch_path("pipe"), 10));
    expect_error(GRD_ERROR_IO, "pipe: not a regular file");
    scratch_write("large", "12345678901", 11);
    cr_assert_null(grdi_file_read("test", scratch_path("large"), 10));
    expect_error(GRD_ERROR_IO, "large: 11 bytes are more than the 10 allowed");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Memory ---- */

static counter memory;

Test(faults, memory_runs_out_at_every_allocation_of_a_save)
{
    count_with(&memory, true);
    grd_scope *scope = grd_scope_begin();
    run first = run_create(1), second = run_create(2);
    const grd_checkpoint all = run_checkpoint(&second);
    keep_old(&first);
    cr_assert_eq(grd_save(path, &all), GRD_OK); /* lists of names are made once */
    keep_old(&first);
    const long before = memory.asked, live = memory.live;
    cr_assert_eq(grd_save(path, &all), GRD_OK);
    const long needed = memory.asked - before;
    cr_assert_gt(needed, 50);
    keep_old(&first);
    for (long n = 1; n <= needed; n++) {
        memory.asked = 0;
        memory.fail_at = n;
        cr_assert_eq(grd_save(path, &all), GRD_ERROR_MEMORY, "allocation %ld of %ld", n, needed);
        cr_assert_eq(grd_error_take(), GRD_ERROR_MEMORY);
        cr_assert_eq(memory.live, live, "allocation %ld", n);
        expect_old("allocation", (int)n);
    }
    memory.fail_at = 0;
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
    cr_assert_eq(memory.live, 0);
}

Test(faults, memory_runs_out_at_every_allocation_of_a_load)
{
    count_with(&memory, true);
    grd_scope *scope = grd_scope_begin();
    run saved = run_create(1), target = run_create(2), same = run_create(2);
    const grd_checkpoint all = run_checkpoint(&target);
    run_steps(&saved, 2);
    keep_old(&saved);
    cr_assert(run_equal(&target, &same)); /* makes lists of names */
    const long live = memory.live;
    long n = 0;
    for (grd_status status = GRD_ERROR_MEMORY; status != GRD_OK;) {
        memory.asked = 0;
        memory.fail_at = ++n;
        status = grd_load(path, &all);
        memory.fail_at = 0;
        cr_assert_eq(memory.live, live, "allocation %ld", n);
        cr_assert_eq(grd_error_take(), status);
        cr_assert(status == GRD_OK || status == GRD_ERROR_MEMORY, "allocation %ld: %s", n,
                  grd_error_message());
        cr_assert(run_equal(&target, status == GRD_OK ? &saved : &same), "allocation %ld", n);
    }
    cr_assert_gt(n, 50);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
    cr_assert_eq(memory.live, 0);
}

/* Data, tokenizers, batches and safetensors. */
static grd_status make_and_exchange(grd_module *model)
{
    const char *weights = scratch_path("weights"), *text = scratch_path("text");
    grd_scope *scope = grd_scope_begin();
    const grd_text_options options = { .batch_size = 2, .context = 4 };
    (void)!grd_encode(grd_tokenizer_bytes(), "bytes");
    grd_batch_at(grd_data_text(text, &options), 0);
    grd_batch_at(grd_data_task("sort", &(grd_task_options){ .batch_size = 2 }), 0);
    (void)!grd_export_safetensors(weights, model);
    (void)!grd_import_safetensors(weights, model);
    return grd_scope_end(scope);
}

Test(faults, memory_runs_out_at_every_allocation_of_data_and_exchange)
{
    count_with(&memory, true);
    grd_scope *scope = grd_scope_begin();
    run r = run_create(1), same = run_create(1);
    scratch_write("text", "some text that is long enough for a window", 42);
    cr_assert_eq(make_and_exchange(r.model), GRD_OK, "%s", grd_error_message());
    const long live = memory.live;
    long n = 0;
    for (grd_status status = GRD_ERROR_MEMORY; status != GRD_OK;) {
        memory.asked = 0;
        memory.fail_at = ++n;
        status = make_and_exchange(r.model);
        memory.fail_at = 0;
        cr_assert_eq(memory.live, live, "allocation %ld", n);
        cr_assert_eq(grd_error_take(), status);
        cr_assert(status == GRD_OK || status == GRD_ERROR_MEMORY, "allocation %ld: %s", n,
                  grd_error_message());
        cr_assert(run_equal(&r, &same));
    }
    cr_assert_gt(n, 50);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
    cr_assert_eq(memory.live, 0);
}
