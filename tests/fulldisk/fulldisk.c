/* A full disk, modelled by a preloaded library: below a root nothing can be written for as long as a file says so.
 *
 * The file FULLDISK_FILE is looked at before each call. While it is not there the library does nothing. Its first
 * byte says how full the disk is:
 *
 *   r   statvfs says that nothing is free, as when others have filled the disk up to what stays for root; writes
 *       still succeed
 *   f   statvfs says that nothing is free, and writes fail
 *   s   writes fail all of a sudden: statvfs still says what it said before, as with a quota
 *
 * Of the writes that fail every other one first takes half of its bytes, as a real disk does with its last block.
 * Files and folders cannot be made. What needs no room goes on: reads, removals, renames, syncs, holes.
 *
 * Paths are taken as they are written: one that leads out of the root by "..", or into it by a link, is misjudged.
 *
 * Environment: FULLDISK_ROOT, absolute and canonical; FULLDISK_FILE. Without them the library does nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_BYTES 4096

static char root[PATH_BYTES], file[PATH_BYTES];
static size_t root_bytes;
static atomic_uint refusals;

static int (*real_openat)(int, const char *, int, ...);
static int (*real_mkdirat)(int, const char *, mode_t);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static ssize_t (*real_copy_file_range)(int, off_t *, int, off_t *, size_t, unsigned);
static int (*real_statvfs)(const char *, struct statvfs *);

__attribute__((constructor)) static void begin(void) {
#define FIND(name) real_##name = dlsym(RTLD_NEXT, #name);
    FIND(openat) FIND(mkdirat) FIND(write) FIND(writev) FIND(pwrite) FIND(pwritev) FIND(copy_file_range)
    FIND(statvfs)
    const char *below = getenv("FULLDISK_ROOT"), *told = getenv("FULLDISK_FILE");
    if (below == NULL || told == NULL) return;
    snprintf(file, sizeof file, "%s", told);
    snprintf(root, sizeof root, "%s", below);
    root_bytes = strlen(root);
}

/* How full the disk is: 'r', 'f', 's', or 0. */
static char fullness(void) {
    if (root_bytes == 0) return 0;
    int kept = errno;
    char how = 0;
    int fd = real_openat(AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (read(fd, &how, 1) != 1) how = 0;
        close(fd);
    }
    errno = kept;
    return how;
}

static bool has_no_room(void) {
    char how = fullness();
    return how == 'f' || how == 's';
}

static bool is_below(const char *path) {
    return strncmp(path, root, root_bytes) == 0 && (path[root_bytes] == '/' || path[root_bytes] == 0);
}

static bool fd_is_below(int fd) {
    char link[64], path[PATH_BYTES];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes <= 0) return false;
    path[bytes] = 0;
    return is_below(path);
}

static bool path_is_below(int dir, const char *path) {
    if (path[0] == '/') return is_below(path);
    char here[PATH_BYTES];
    if (dir == AT_FDCWD) return getcwd(here, sizeof here) != NULL && is_below(here);
    return fd_is_below(dir);
}

/* ---- writes ---- */

/* Whether a write into the file is refused. */
static bool refuses(int fd) {
    int kept = errno;
    bool refused = has_no_room() && fd_is_below(fd);
    errno = kept;
    return refused;
}

/* What of a refused write is taken all the same. */
static size_t taken(size_t count) { return atomic_fetch_add(&refusals, 1) % 2 == 0 ? count / 2 : 0; }

static ssize_t no_space(void) {
    errno = ENOSPC;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (count == 0 || !refuses(fd)) return real_write(fd, bytes, count);
    size_t part = taken(count);
    return part == 0 ? no_space() : real_write(fd, bytes, part);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    return refuses(fd) ? no_space() : real_writev(fd, parts, count);
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (count == 0 || !refuses(fd)) return real_pwrite(fd, bytes, count, at);
    size_t part = taken(count);
    return part == 0 ? no_space() : real_pwrite(fd, bytes, part, at);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return pwrite(fd, bytes, count, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    return refuses(fd) ? no_space() : real_pwritev(fd, parts, count, at);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
    return pwritev(fd, parts, count, at);
}
ssize_t copy_file_range(int from, off_t *in, int to, off_t *out, size_t count, unsigned flags) {
    return refuses(to) ? no_space() : real_copy_file_range(from, in, to, out, count, flags);
}

/* ---- names ---- */

static int open_any(int dir, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) != 0 && has_no_room() && path_is_below(dir, path)) {
        int fd = real_openat(dir, path, flags & ~(O_CREAT | O_EXCL | O_TRUNC));
        if (fd < 0) return (int)no_space();
        close(fd);
    }
    return real_openat(dir, path, flags, mode);
}

#define MODE_OF(flags, mode)                                                   \
    mode_t mode = 0;                                                           \
    if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) {      \
        va_list rest;                                                          \
        va_start(rest, flags);                                                 \
        mode = va_arg(rest, mode_t);                                           \
        va_end(rest);                                                          \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return open_any(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return open_any(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return open_any(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return open_any(dir, path, flags, mode);
}

int mkdirat(int dir, const char *path, mode_t mode) {
    if (has_no_room() && path_is_below(dir, path)) {
        struct stat info;
        if (fstatat(dir, path, &info, 0) != 0) return (int)no_space();
    }
    return real_mkdirat(dir, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- free space ---- */

int statvfs(const char *path, struct statvfs *info) {
    int result = real_statvfs(path, info);
    char how = result == 0 ? fullness() : 0;
    if ((how == 'r' || how == 'f') && path_is_below(AT_FDCWD, path)) info->f_bfree = info->f_bavail = 0;
    return result;
}
/* On 64 bits both have one layout. */
int statvfs64(const char *path, struct statvfs64 *info) { return statvfs(path, (struct statvfs *)info); }
