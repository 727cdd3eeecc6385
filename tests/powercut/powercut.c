/* A power cut, modelled by a preloaded library: what was not synced is gone.
 *
 * The process works on its data directory as ever. Beside it lies a *shadow*, which holds what a disk would
 * still hold if the power failed now:
 *
 *   shadow/files/ID   a file's bytes and size as of its last fsync or fdatasync
 *   shadow/dirs/ID    a directory's names as of its last fsync, one line each: "f INO GEN NAME" or "d ..."
 *
 * 1. Writes go to the real file; the range they touched is remembered as dirty.
 * 2. A sync of a file copies its dirty range and its size into the shadow. A sync of a directory writes down
 *    its names. The real sync is left out: the machine stays up, and the page cache outlives a SIGKILL.
 * 3. After the kill, the harness throws the data directory away and builds it again from the shadow.
 *
 * The model is strict. A synced file without a synced name is gone; an unlink or a rename that was not
 * synced has not happened; a rename between two folders of which only the target was synced leaves both
 * names. Bytes that were written and not synced are always gone, although a real disk may keep some.
 *
 * One concession, for the directories named in POWERCUT_JOURNALED: there, a sync of a file or directory whose
 * own name never reached the disk also syncs the names above it, as ext4 does (`ext4_sync_parent`, and every
 * journal commit). fjall makes the directory of a keyspace and syncs what is in it, but not its name.
 *
 * ID is "INO.GEN": the inode, and a number that tells files apart which got the same inode one after the
 * other. What was there before the process began has GEN 0.
 *
 * Environment: POWERCUT_ROOT and POWERCUT_SHADOW, absolute and canonical; POWERCUT_JOURNALED, absolute
 * prefixes separated by ':'. Without POWERCUT_ROOT the library does nothing.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PATH_BYTES 4096
#define BUCKETS 65536

/* What is known of an inode below the root. Nodes are never freed: a handle stays good. */
struct node {
    struct node *next;
    ino_t ino;
    uint32_t gen;
    /* Whether its name has not been part of a directory's sync yet. */
    bool nameless;
    /* Bytes [low, high) were written since the last sync; empty if high is 0. */
    off_t low, high;
    /* The smallest size it was cut to since the last sync. */
    off_t shortest;
    /* Held while a sync copies, so that a second sync does not return before the first one's bytes are safe. */
    pthread_mutex_t syncing;
};

static const off_t NEVER_CUT = INT64_MAX;

static bool active;
static char root[PATH_BYTES], shadow[PATH_BYTES], journaled[PATH_BYTES];
static size_t root_bytes;
static dev_t device;
static uint32_t last_gen;
static struct node *table[BUCKETS];
/* Guards the table and the dirty ranges. */
static pthread_mutex_t nodes = PTHREAD_MUTEX_INITIALIZER;
/* Held while a name is made and while names are written down, so that no name is seen without its GEN. */
static pthread_mutex_t names = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real_##name)(__VA_ARGS__);
REAL(int, openat, int, const char *, int, ...)
REAL(int, mkdir, const char *, mode_t)
REAL(int, mkdirat, int, const char *, mode_t)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
REAL(ssize_t, copy_file_range, int, off_t *, int, off_t *, size_t, unsigned)
REAL(ssize_t, sendfile, int, int, off_t *, size_t)
REAL(int, ftruncate, int, off_t)
REAL(int, truncate, const char *, off_t)
REAL(int, fsync, int)
REAL(int, fdatasync, int)

/* A fault of the model itself must not pass for a durable write: leave a note that the harness looks for. */
static void fault(const char *what, const char *path) {
    char file[PATH_BYTES + 16];
    snprintf(file, sizeof file, "%s/faults", shadow);
    int fd = real_openat(AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) {
        char line[2 * PATH_BYTES];
        int bytes = snprintf(line, sizeof line, "%s %s: %s\n", what, path, strerror(errno));
        if (real_write(fd, line, (size_t)bytes) < 0) abort();
        close(fd);
    }
}

__attribute__((constructor)) static void begin(void) {
#define FIND(name) real_##name = dlsym(RTLD_NEXT, #name);
    FIND(openat) FIND(mkdir) FIND(mkdirat) FIND(write) FIND(writev) FIND(pwrite) FIND(pwritev)
    FIND(copy_file_range) FIND(sendfile) FIND(ftruncate) FIND(truncate) FIND(fsync) FIND(fdatasync)
    const char *data = getenv("POWERCUT_ROOT"), *copy = getenv("POWERCUT_SHADOW");
    const char *exempt = getenv("POWERCUT_JOURNALED");
    struct stat info;
    if (data == NULL || copy == NULL || stat(data, &info) != 0) return;
    snprintf(root, sizeof root, "%s", data);
    snprintf(shadow, sizeof shadow, "%s", copy);
    snprintf(journaled, sizeof journaled, "%s", exempt == NULL ? "" : exempt);
    root_bytes = strlen(root);
    device = info.st_dev;
    active = true;
}

/* ---- what is known of inodes ---- */

static struct node **slot(ino_t ino) {
    struct node **at = &table[(ino * 0x9E3779B97F4A7C15u) >> 48];
    while (*at != NULL && (*at)->ino != ino) at = &(*at)->next;
    return at;
}

/* Finds the node; with `make`, makes one of GEN 0 for what was there before us. Call with `nodes` held. */
static struct node *find(ino_t ino, bool make) {
    struct node **at = slot(ino);
    if (*at == NULL && make) {
        struct node *node = calloc(1, sizeof *node);
        if (node == NULL) abort();
        node->ino = ino;
        node->shortest = NEVER_CUT;
        pthread_mutex_init(&node->syncing, NULL);
        *at = node;
    }
    return *at;
}

/* Notes a file or directory that was just made. */
static void note_new(ino_t ino) {
    pthread_mutex_lock(&nodes);
    struct node *node = find(ino, true);
    node->gen = ++last_gen;
    node->nameless = true;
    node->low = node->high = 0;
    node->shortest = NEVER_CUT;
    pthread_mutex_unlock(&nodes);
}

static struct node *node_of(int fd, bool make) {
    struct stat info;
    if (fstat(fd, &info) != 0 || info.st_dev != device || !S_ISREG(info.st_mode)) return NULL;
    pthread_mutex_lock(&nodes);
    struct node *node = find(info.st_ino, make);
    pthread_mutex_unlock(&nodes);
    return node;
}

static void mark(struct node *node, off_t from, off_t to) {
    pthread_mutex_lock(&nodes);
    if (node->high == 0 || from < node->low) node->low = from;
    if (to > node->high) node->high = to;
    pthread_mutex_unlock(&nodes);
}

static void mark_cut(struct node *node, off_t size) {
    pthread_mutex_lock(&nodes);
    if (size < node->shortest) node->shortest = size;
    pthread_mutex_unlock(&nodes);
}

/* ---- paths ---- */

static bool is_below(const char *path, const char *top, size_t top_bytes) {
    return strncmp(path, top, top_bytes) == 0 && (path[top_bytes] == '/' || path[top_bytes] == '\0');
}

static bool path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, PATH_BYTES - 1);
    if (bytes < 0) return false;
    path[bytes] = '\0';
    return true;
}

/* Whether a path as a caller gave it lies below the root. Callers below it use no `..`. */
static bool lies_below(int dir, const char *path) {
    char base[PATH_BYTES], whole[2 * PATH_BYTES];
    if (path[0] == '/') return is_below(path, root, root_bytes);
    if (dir == AT_FDCWD ? getcwd(base, sizeof base) == NULL : !path_of(dir, base)) return false;
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return is_below(whole, root, root_bytes);
}

static bool is_journaled(const char *path) {
    char list[PATH_BYTES];
    snprintf(list, sizeof list, "%s", journaled);
    char *rest = list, *top;
    while ((top = strsep(&rest, ":")) != NULL) {
        if (*top != '\0' && is_below(path, top, strlen(top))) return true;
    }
    return false;
}

/* ---- syncs ---- */

static void copy_range(int from, int to, off_t at, off_t end, const char *path) {
    while (at < end) {
        off_t in = at, out = at;
        ssize_t bytes = real_copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (bytes <= 0) {
            char buffer[65536];
            size_t want = end - at < (off_t)sizeof buffer ? (size_t)(end - at) : sizeof buffer;
            bytes = pread(from, buffer, want, at);
            if (bytes == 0) return; /* cut meanwhile */
            if (bytes < 0 || real_pwrite(to, buffer, (size_t)bytes, at) != bytes) {
                fault("copy", path);
                return;
            }
        }
        at += bytes;
    }
}

static void sync_bytes(struct node *node, int fd, const char *path) {
    char own[64], name[PATH_BYTES + 64];
    struct stat info, kept;
    pthread_mutex_lock(&node->syncing);
    pthread_mutex_lock(&nodes);
    off_t low = node->low, high = node->high, shortest = node->shortest;
    node->low = node->high = 0;
    node->shortest = NEVER_CUT;
    pthread_mutex_unlock(&nodes);

    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    snprintf(name, sizeof name, "%s/files/%lu.%u", shadow, (unsigned long)node->ino, node->gen);
    int to = real_openat(AT_FDCWD, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int from = real_openat(AT_FDCWD, own, O_RDONLY | O_CLOEXEC);
    if (to < 0 || from < 0 || fstat(from, &info) != 0 || fstat(to, &kept) != 0) {
        fault("sync", path);
    } else {
        if (shortest < kept.st_size && real_ftruncate(to, shortest) != 0) fault("cut", path);
        if (real_ftruncate(to, info.st_size) != 0) fault("size", path);
        if (kept.st_mode != info.st_mode) fchmod(to, info.st_mode & 07777);
        copy_range(from, to, low, high < info.st_size ? high : info.st_size, path);
    }
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    pthread_mutex_unlock(&node->syncing);
}

/* Writes down the names in a directory. Call with `names` held. */
static void sync_names(const char *path) {
    char name[PATH_BYTES + 64], made[PATH_BYTES + 80];
    struct stat info;
    DIR *dir = opendir(path);
    if (dir == NULL || fstat(dirfd(dir), &info) != 0) {
        fault("open directory", path);
        if (dir != NULL) closedir(dir);
        return;
    }
    pthread_mutex_lock(&nodes);
    struct node *self = find(info.st_ino, false);
    uint32_t gen = self == NULL ? 0 : self->gen;
    pthread_mutex_unlock(&nodes);
    snprintf(name, sizeof name, "%s/dirs/%lu.%u", shadow, (unsigned long)info.st_ino, gen);
    snprintf(made, sizeof made, "%s.new", name);

    int fd = real_openat(AT_FDCWD, made, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *list = fd < 0 ? NULL : fdopen(fd, "w");
    if (list == NULL) {
        fault("list", path);
        closedir(dir);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        pthread_mutex_lock(&nodes);
        struct node *node = find(entry->d_ino, false);
        gen = node == NULL ? 0 : node->gen;
        if (node != NULL) node->nameless = false;
        pthread_mutex_unlock(&nodes);
        char kind = entry->d_type == DT_DIR ? 'd' : 'f';
        fprintf(list, "%c %lu %u %s\n", kind, (unsigned long)entry->d_ino, gen, entry->d_name);
    }
    closedir(dir);
    if (fclose(list) != 0 || rename(made, name) != 0) fault("list", path);
}

static bool is_nameless(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) return false;
    pthread_mutex_lock(&nodes);
    struct node *node = find(info.st_ino, false);
    bool nameless = node != NULL && node->nameless;
    pthread_mutex_unlock(&nodes);
    return nameless;
}

/* The concession: the names that lead to a path which never had a durable one, within the directories it is
 * made for; their own names are none of its business. Call with `names` held. */
static void sync_parents(const char *path) {
    char at[PATH_BYTES];
    snprintf(at, sizeof at, "%s", path);
    while (is_nameless(at)) {
        *strrchr(at, '/') = '\0';
        if (!is_journaled(at)) return;
        sync_names(at);
    }
}

static int sync_fd(int fd, int (*real)(int)) {
    struct stat info;
    char path[PATH_BYTES];
    if (!active || fstat(fd, &info) != 0 || info.st_dev != device) return real(fd);
    if (!path_of(fd, path) || !is_below(path, root, root_bytes)) return real(fd);
    if (S_ISREG(info.st_mode)) {
        sync_bytes(node_of(fd, true), fd, path);
    }
    pthread_mutex_lock(&names);
    if (S_ISDIR(info.st_mode)) sync_names(path);
    if (is_journaled(path)) sync_parents(path);
    pthread_mutex_unlock(&names);
    return 0;
}

int fsync(int fd) { return sync_fd(fd, real_fsync); }
int fdatasync(int fd) { return sync_fd(fd, real_fdatasync); }

/* ---- names ---- */

static int open_below(int dir, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) == 0 || (flags & O_TMPFILE) == O_TMPFILE) {
        int fd = real_openat(dir, path, flags, mode);
        if (fd >= 0 && (flags & O_TMPFILE) == O_TMPFILE) {
            struct stat info;
            if (fstat(fd, &info) == 0) note_new(info.st_ino);
        }
        return fd;
    }
    /* Only O_EXCL tells whether the file is new. */
    pthread_mutex_lock(&names);
    int fd = real_openat(dir, path, flags | O_EXCL, mode);
    if (fd >= 0) {
        struct stat info;
        if (fstat(fd, &info) == 0) note_new(info.st_ino);
    } else if (errno == EEXIST && (flags & O_EXCL) == 0) {
        fd = real_openat(dir, path, flags, mode);
    }
    int kept = errno;
    pthread_mutex_unlock(&names);
    errno = kept;
    return fd;
}

static int open_any(int dir, const char *path, int flags, mode_t mode) {
    if (!active || !lies_below(dir, path)) return real_openat(dir, path, flags, mode);
    int fd = open_below(dir, path, flags, mode);
    if (fd >= 0 && (flags & O_ACCMODE) != O_RDONLY) {
        struct node *node = node_of(fd, true);
        if (node != NULL && (flags & O_TRUNC) != 0) mark_cut(node, 0);
    }
    return fd;
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
int creat(const char *path, mode_t mode) {
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
int creat64(const char *path, mode_t mode) { return creat(path, mode); }

static void note_directory(int dir, const char *path) {
    struct stat info;
    int kept = errno;
    if (fstatat(dir, path, &info, AT_SYMLINK_NOFOLLOW) == 0) note_new(info.st_ino);
    errno = kept;
}

int mkdirat(int dir, const char *path, mode_t mode) {
    if (!active || !lies_below(dir, path)) return real_mkdirat(dir, path, mode);
    pthread_mutex_lock(&names);
    int result = real_mkdirat(dir, path, mode);
    if (result == 0) note_directory(dir, path);
    pthread_mutex_unlock(&names);
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* ---- writes: marked after they are done, so that no sync takes a mark before its bytes ---- */

static void wrote(int fd, ssize_t bytes, off_t at) {
    if (!active || bytes <= 0) return;
    int kept = errno;
    struct node *node = node_of(fd, false);
    if (node != NULL) {
        off_t from = at >= 0 ? at : lseek(fd, 0, SEEK_CUR) - bytes;
        mark(node, from, from + bytes);
    }
    errno = kept;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    ssize_t done = real_write(fd, bytes, count);
    wrote(fd, done, -1);
    return done;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t done = real_writev(fd, parts, count);
    wrote(fd, done, -1);
    return done;
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    ssize_t done = real_pwrite(fd, bytes, count, at);
    wrote(fd, done, at);
    return done;
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return pwrite(fd, bytes, count, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    ssize_t done = real_pwritev(fd, parts, count, at);
    wrote(fd, done, at);
    return done;
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t at) {
    return pwritev(fd, parts, count, at);
}
ssize_t copy_file_range(int from, off_t *in, int to, off_t *out, size_t count, unsigned flags) {
    off_t at = out == NULL ? -1 : *out;
    ssize_t done = real_copy_file_range(from, in, to, out, count, flags);
    wrote(to, done, at);
    return done;
}
ssize_t sendfile(int to, int from, off_t *in, size_t count) {
    ssize_t done = real_sendfile(to, from, in, count);
    wrote(to, done, -1);
    return done;
}
ssize_t sendfile64(int to, int from, off_t *in, size_t count) { return sendfile(to, from, in, count); }

int ftruncate(int fd, off_t size) {
    int result = real_ftruncate(fd, size);
    struct node *node = active && result == 0 ? node_of(fd, false) : NULL;
    if (node != NULL) mark_cut(node, size);
    return result;
}
int ftruncate64(int fd, off_t size) { return ftruncate(fd, size); }
int truncate(const char *path, off_t size) {
    int result = real_truncate(path, size);
    int fd = active && result == 0 && lies_below(AT_FDCWD, path) ? open(path, O_WRONLY) : -1;
    if (fd >= 0) {
        mark_cut(node_of(fd, true), size);
        close(fd);
    }
    return result;
}
int truncate64(const char *path, off_t size) { return truncate(path, size); }
