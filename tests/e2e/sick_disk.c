/* A disk that falls sick while a process runs, for LD_PRELOAD.
   Below the directory $SICK_BELOW, while the file $SICK_SWITCH is there: writes fail with "No space left on device" if
   it says "full", syncs with "Input/output error" if it says "sync". Everything else is left to the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int sick(int descriptor, char how) {
    const char *below = getenv("SICK_BELOW"), *lever = getenv("SICK_SWITCH");
    char link[64], path[PATH_MAX], said = 0;
    if (!below || !lever) return 0;
    int at = open(lever, O_RDONLY | O_CLOEXEC);
    if (at < 0) return 0;
    ssize_t length = REAL(read)(at, &said, 1);
    close(at);
    if (length != 1 || said != how) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, below, strlen(below)) == 0;
}

static int refuse(int why) {
    errno = why;
    return -1;
}

ssize_t write(int d, const void *b, size_t n) { return sick(d, 'f') ? refuse(ENOSPC) : REAL(write)(d, b, n); }
ssize_t pwrite(int d, const void *b, size_t n, off_t o) { return sick(d, 'f') ? refuse(ENOSPC) : REAL(pwrite)(d, b, n, o); }
ssize_t pwrite64(int d, const void *b, size_t n, off64_t o) { return sick(d, 'f') ? refuse(ENOSPC) : REAL(pwrite64)(d, b, n, o); }
int fsync(int d) { return sick(d, 's') ? refuse(EIO) : REAL(fsync)(d); }
int fdatasync(int d) { return sick(d, 's') ? refuse(EIO) : REAL(fdatasync)(d); }
