/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the operating system that fail when a test says so: the n-th of a kind, or all from it on.
 *
 *     fault_arm((fault){.kind = FAULT_WRITE, .first = 3, .count = 1, .error = ENOSPC});
 *     lutra_status status = lutra_export_file(...);
 *     bool was_hit = fault_disarm(); // false: there were not so many
 *
 * Linked into a test with the linker's --wrap for each name of wrapped.txt; or, as liblutra-faults.so, loaded
 * before all other libraries into a program, where LUTRA_FAULT="KIND FIRST COUNT ERROR" arms it and a fault
 * that was hit writes a byte to the file descriptor LUTRA_FAULT_REPORT.
 */
#ifndef LUTRA_TESTS_FAULTS_H
#define LUTRA_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

typedef enum fault_kind {
    FAULT_NONE,
    FAULT_ALLOCATE, /* malloc and its like */
    FAULT_OPEN,     /* open, openat, fopen, opendir */
    FAULT_READ,     /* read, pread, fread, fgets */
    FAULT_WRITE,    /* write, pwrite, ftruncate */
    FAULT_SYNC,     /* fsync */
    FAULT_RENAME,   /* rename, renameat */
    FAULT_MAP,      /* mmap of a file */
    FAULT_THREAD,   /* pthread_create */
    FAULT_LOCK,     /* flock */
    FAULT_EXAMINE,  /* fstat, fstatat, lstat */
} fault_kind;

/* In place of an error's number: the call does only a part of what it was asked for; or the program is killed
 * before it, or when it is done; or a read finds the end of the file. */
enum { FAULT_SHORT = 0, FAULT_KILL_BEFORE = -1, FAULT_KILL_AFTER = -2, FAULT_END = -3 };

typedef struct fault {
    fault_kind kind;
    size_t first, count; /* calls first..first + count - 1 fail; the first is 0 */
    int error;
} fault;

void fault_arm(fault wanted);
bool fault_disarm(void);

/* For json_set_alloc_funcs, as the linker does not wrap what lies in a shared library. */
void *fault_malloc(size_t size);

#endif
