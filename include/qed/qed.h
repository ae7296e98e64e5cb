/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QED_QED_H
#define QED_QED_H

/* libqed for C and for languages that call C. Blocking calls; the rest of the library is the C++
 * interface in the other headers. This one stays compatible within libqed.so.1.
 *
 * Results: 0, or an enum qed_error_code and a message in `error` (which may be NULL). A call that
 * fails with QED_INVALID_ARGUMENT or QED_OUT_OF_RANGE changes nothing.
 * Errors and costs are those of the C++ function that does the work: of qed::Image (image.hpp) for
 * images and requests, else see the header of its name: map.hpp, check.hpp, commit.hpp ...
 * Thread-safety: any call on one image may run on any thread at any time, except that qed_close()
 * comes last. Nothing here throws, prints, or ends the process.
 * Structures: set `struct_bytes` to their size and everything else to zero, which is the default:
 *     struct qed_open_options options = {.struct_bytes = sizeof options, .writable = true};
 * Later versions add members at the end only. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All functions below are exported, whatever the flags of the compiler say. */
#pragma GCC visibility push(default)

/* NOLINTBEGIN(readability-identifier-naming): the names that C has */

enum qed_error_code {
    QED_OK = 0,
    QED_INVALID_ARGUMENT = 1,     /* the caller's argument is not legal */
    QED_OUT_OF_RANGE = 2,         /* a request reaches past the end of the virtual disk */
    QED_NOT_FOUND = 3,            /* no such file */
    QED_ALREADY_EXISTS = 4,       /* the file to be created exists */
    QED_PERMISSION_DENIED = 5,    /* the operating system refuses */
    QED_IO_ERROR = 6,             /* the storage failed */
    QED_NO_SPACE = 7,             /* the storage is full */
    QED_OUT_OF_MEMORY = 8,        /* an allocation failed; nothing was changed */
    QED_NOT_QED = 9,              /* the file does not start with a QED header */
    QED_CORRUPT_METADATA = 10,    /* header or tables break the format's rules */
    QED_UNSUPPORTED_FEATURE = 11, /* the image needs a feature this version does not have */
    QED_NEEDS_CHECK = 12,         /* the image must be checked and repaired first */
    QED_READ_ONLY = 13,           /* the image or file is not open for writing */
    QED_WRITE_STOPPED = 14,       /* a flush failed, or a table is unknown: no more writes */
    QED_LOCKED = 15,              /* another process uses the image in a conflicting way */
    QED_BACKING_REFUSED = 16,     /* the backing file is not allowed, or its format unknown */
    QED_UNSUPPORTED = 17,         /* the operation cannot be done here */
    QED_CANCELLED = 18            /* the progress function asked to stop */
};

/* Belongs to the caller. Filled in by every call that fails, unchanged by one that succeeds. */
struct qed_error {
    int code;           /* enum qed_error_code */
    int sys_errno;      /* the errno that fits best; never 0 */
    char message[1024]; /* one line, ends with a NUL; cut off where it is longer */
};

/* The version of the library that is loaded, as "1.2.3". */
const char* qed_version(void);
/* The name of a code for logs, such as "no_space"; "unknown" if `code` is not a qed_error_code. */
const char* qed_error_name(int code);

/* ---- images ---------------------------------------------------------------------------------- */

enum qed_lock {
    QED_LOCK_NORMAL = 0,       /* readers share the image, a writer excludes all other processes */
    QED_LOCK_FORCE_SHARED = 1, /* read-only while another process may write: may be inconsistent */
    QED_LOCK_NONE = 2          /* no locks: two writers destroy the image */
};

enum qed_order { /* when table entries reach the file, see docs/architecture.md */
                 QED_ORDER_AUTO = 0, /* strict with a backing file, ordered without */
                 QED_ORDER_STRICT = 1,
                 QED_ORDER_ORDERED = 2,
                 QED_ORDER_DEFERRED = 3
};

enum qed_backing_rule { /* the files that a header may name */
                        QED_BACKING_SAME_DIRECTORY =
                            0,                /* names that stay below the image's own directory */
                        QED_BACKING_NONE = 1, /* refuse images with a backing file */
                        QED_BACKING_BELOW_DIRECTORY =
                            2, /* names that stay below `backing_directory` */
                        QED_BACKING_ANY = 3
};

enum qed_backing_format {
    QED_FORMAT_UNSTATED = 0, /* as the header says; raw is never a guess */
    QED_FORMAT_RAW = 1,
    QED_FORMAT_QED = 2,
    QED_FORMAT_QCOW2 = 3 /* of a backing file: qcow2 images are only read */
};

struct qed_open_options {
    size_t struct_bytes;
    bool writable;      /* false: never changes the file */
    bool direct;        /* O_DIRECT for the image file */
    bool sync;          /* every write is durable when it completes */
    bool ignore_flush;  /* for throw-away work only */
    bool mapped;        /* read from mappings; only if no program truncates the files */
    bool refuse_dirty;  /* writable and NEED_CHECK set: fail with QED_NEEDS_CHECK, do not repair */
    bool no_backing;    /* do not open the backing file; unallocated reads are an error */
    int lock;           /* enum qed_lock */
    int order;          /* enum qed_order */
    int backing_rule;   /* enum qed_backing_rule */
    int backing_format; /* enum qed_backing_format */
    const char* backing_directory;
    uint64_t cache_limit; /* bytes of table cache this image may use; 0: all it needs */
    int format;           /* enum qed_backing_format of the file itself. QED_FORMAT_RAW: a raw file
                           * or device, all data; what concerns tables and backing is ignored */
    unsigned backing_depth; /* most backing files below the image, up to 1024; 0: 256 */
};

/* An open image. */
typedef struct qed_image qed_image;

/* Opens the image at `path` with its backing files. `options` NULL: read-only, all defaults. */
int qed_open(const char* path, const struct qed_open_options* options, qed_image** image,
             struct qed_error* error);
/* Flushes, clears NEED_CHECK, truncates free space at the end of the file, and frees `image` even
 * if it fails: then flushed data is safe, and data written since may be lost. NULL is legal. */
int qed_close(qed_image* image, struct qed_error* error);

struct qed_create_options {
    size_t struct_bytes;
    uint64_t image_bytes;     /* multiple of 512; 0 with a backing file: its size */
    uint32_t cluster_bytes;   /* power of two, 4 KiB .. 64 MiB; 0: 64 KiB */
    uint32_t table_clusters;  /* clusters of an L2 table, power of two, 1 .. 16; 0: 4 */
    const char* backing_name; /* relative to the new image's directory; makes a clone of it */
    int backing_format;       /* enum qed_backing_format; must be stated with a name */
    bool no_backing_check;    /* do not look at the backing file; `image_bytes` is needed then */
    bool replace;             /* an existing file is replaced, once its lock is held */
    unsigned backing_depth;   /* most backing files below the image, up to 1024; 0: 256 */
    int lock; /* enum qed_lock, of the backing file and of a file that is replaced: NORMAL, NONE */
};

/* Makes a new, empty image, or with a backing name a clone. QED_ALREADY_EXISTS unless `replace`.
 * The image appears when it is complete: a failure or a crash leaves what was there before. */
int qed_create(const char* path, const struct qed_create_options* options, struct qed_error* error);

uint64_t qed_size(const qed_image* image); /* bytes of the virtual disk */
bool qed_is_writable(const qed_image* image);
uint32_t qed_cluster_bytes(const qed_image* image); /* 0 for a raw disk */
/* Copies the backing file's name with its NUL: 1024 bytes are always enough. Empty: there is none.
 */
int qed_backing_name(const qed_image* image, char* buffer, size_t bytes, struct qed_error* error);

/* ---- requests: any offset and length inside the disk ------------------------------------------
 */

enum qed_write_flags {
    QED_FUA = 1,           /* durable when it completes */
    QED_NO_FALLBACK = 4,   /* write_zeroes: QED_UNSUPPORTED rather than zero bytes written */
    QED_EXPLICIT_ZERO = 8, /* write_zeroes: hide the backing file even if it reads as zeroes */
    QED_NO_HOLE =
        16 /* write_zeroes: the range stays allocated, or becomes so (zero bytes written) */
};

/* Fills `buffer`; never short. */
int qed_read(qed_image* image, uint64_t offset, void* buffer, size_t bytes,
             struct qed_error* error);
/* Once it returns, the data is visible to every later read; durable after qed_flush() or with
 * QED_FUA. */
int qed_write(qed_image* image, uint64_t offset, const void* data, size_t bytes, unsigned flags,
              struct qed_error* error);
int qed_write_zeroes(qed_image* image, uint64_t offset, uint64_t bytes, unsigned flags,
                     struct qed_error* error);
/* Frees the whole clusters inside the range, which then read as zeroes; partial ones are kept. */
int qed_discard(qed_image* image, uint64_t offset, uint64_t bytes, struct qed_error* error);
/* Makes all completed writes durable. A failure is sticky: further writes are refused. */
int qed_flush(qed_image* image, struct qed_error* error);
/* Loads the tables of a range into the cache. */
int qed_prefetch(qed_image* image, uint64_t offset, uint64_t bytes, struct qed_error* error);
/* Quiesces an idle image: flushes, writes deferred table entries, returns free space to the file
 * system, and clears NEED_CHECK. */
int qed_settle(qed_image* image, struct qed_error* error);
/* Moves data and tables, about `bytes` bytes of them, from the end of the file into free space
 * nearer its start; the next qed_settle() or qed_close() truncates the file. Requests may run on
 * other threads. Call it until `*has_more` is false, at moments that the caller chooses; it blocks
 * for two or three flushes. `moved` (bytes) and `has_more` may be NULL. While older requests are in
 * flight, a call may move nothing and say that there is more: wait before the next one. */
int qed_compact_step(qed_image* image, uint64_t bytes, uint64_t* moved, bool* has_more,
                     struct qed_error* error);

struct qed_extent {
    uint64_t start;
    uint64_t length;
    uint64_t file_offset;  /* with `data`: where in `file_name`; UINT64_MAX: compressed there */
    const char* file_name; /* with `data`; lives as long as the image */
    uint32_t depth;        /* layer: 0 is the image itself */
    bool data;             /* reads come from stored data */
    bool zero;             /* known to read as zeroes */
    bool present;          /* a layer states it; false: no layer has data here */
};

/* Fills in at most `capacity` consecutive extents of the whole chain, the first one starting at
 * `offset`, and sets `*count`. Fewer may be filled in than there are: call again at the end of the
 * last one. */
int qed_map(qed_image* image, uint64_t offset, uint64_t bytes, struct qed_extent* extents,
            size_t capacity, size_t* count, struct qed_error* error);

/* Changes the virtual size (multiple of 512). Shrinking discards the data after the new end; if
 * clusters are allocated there, it needs `allow_data_loss`. */
int qed_resize(qed_image* image, uint64_t image_bytes, bool allow_data_loss,
               struct qed_error* error);
/* Stores another backing file name, or none (NULL). The caller makes sure that the contents match.
 */
int qed_set_backing(qed_image* image, const char* name, int backing_format,
                    struct qed_error* error);

struct qed_stats {
    size_t struct_bytes;
    uint64_t reads;
    uint64_t read_bytes;
    uint64_t writes;
    uint64_t write_bytes;
    uint64_t flushes;            /* flush requests */
    uint64_t file_flushes;       /* flushes of the image file */
    uint64_t allocated_clusters; /* since the image was opened */
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t cache_bytes; /* of all images that share the table cache */
};

/* The counters of the image since it was opened. */
int qed_get_stats(const qed_image* image, struct qed_stats* stats, struct qed_error* error);

/* ---- whole files ------------------------------------------------------------------------------
 */

/* Called regularly with the done and the total work; returns false to stop. */
typedef bool (*qed_progress)(void* context, uint64_t done, uint64_t total);

enum qed_repair {
    QED_REPAIR_NONE = 0,
    QED_REPAIR_LEAKS = 1,   /* reclaims clusters that no table names */
    QED_REPAIR_ENTRIES = 2, /* clears unusable entries, unshares clusters named twice */
    QED_REPAIR_ALL = 3
};

struct qed_check_options {
    size_t struct_bytes;
    int repair;       /* enum qed_repair */
    int lock;         /* enum qed_lock; QED_LOCK_FORCE_SHARED not with a repair */
    unsigned threads; /* 0: 1 */
    qed_progress progress;
    void* progress_context;
};

struct qed_check_report {
    size_t struct_bytes;
    uint64_t total_clusters;
    uint64_t allocated_clusters;
    uint64_t corruptions; /* found and not repaired */
    uint64_t leaks;       /* take disk space, named by no table, not reclaimed */
    uint64_t corruptions_fixed;
    uint64_t leaks_fixed;
    uint64_t check_errors;  /* tables that could not be read */
    bool is_dirty;          /* NEED_CHECK is set now */
    uint64_t free_clusters; /* named by no table, and holes: the next writer uses them */
};

/* Checks the QED image at `path`, and repairs it if `options` say so. Returns 0 when the check was
 * done; the report says what it found. The image is consistent if corruptions, leaks and
 * check_errors are 0. `options` may be NULL. */
int qed_check(const char* path, const struct qed_check_options* options,
              struct qed_check_report* report, struct qed_error* error);

struct qed_convert_options {
    size_t struct_bytes;
    int target_format;       /* enum qed_backing_format: QED_FORMAT_QED or QED_FORMAT_RAW */
    uint32_t cluster_bytes;  /* of a QED target, as in qed_create_options */
    uint32_t table_clusters; /* likewise */
    bool keep_zeroes;        /* allocate zeroes of the source's data; do not search for them */
    bool no_flush;           /* the target is not durable when the call returns */
    qed_progress progress;
    void* progress_context;
};

/* Copies the disk `source`, as a guest sees it, into a new file; QED_ALREADY_EXISTS if that file
 * exists. The file appears when it is complete: a failure or a crash leaves none. To convert a raw
 * disk, open it with qed_open_raw(). */
int qed_convert(qed_image* source, const char* target_path,
                const struct qed_convert_options* options, struct qed_error* error);

/* ---- operations on whole image files, which no other process may use meanwhile --------------- */

struct qed_commit_options {
    size_t struct_bytes;
    const char* base;  /* the file that receives the content; NULL: the backing file */
    bool keep_overlay; /* do not empty the image afterwards; implied with a lower `base` */
    bool direct;       /* O_DIRECT for the file that receives the content */
    bool sync;         /* its writes are durable one by one */
    bool ignore_flush; /* it is not flushed: a power cut may then lose content */
    int backing_rule;  /* enum qed_backing_rule */
    int backing_format;
    const char* backing_directory;
    qed_progress progress;
    void* progress_context;
    int lock; /* enum qed_lock: NORMAL or NONE */
};

/* Copies what the image at `path` holds into its backing file, and empties the image (commit.hpp).
 * `options` may be NULL. */
int qed_commit(const char* path, const struct qed_commit_options* options, struct qed_error* error);

struct qed_snapshot_options {
    size_t struct_bytes;
    int format;             /* enum qed_backing_format of the image; QED_FORMAT_UNSTATED: QED */
    unsigned backing_depth; /* most backing files below the image, up to 1024; 0: 256 */
    int lock;               /* enum qed_lock: NORMAL or NONE */
};

/* The file at `path` gets the name `frozen_path`, an empty overlay over it takes its place
 * (snapshot.hpp). `options` may be NULL. */
int qed_snapshot(const char* path, const char* frozen_path,
                 const struct qed_snapshot_options* options, struct qed_error* error);
/* Drops what the image at `path` holds on top of its backing file. */
int qed_snapshot_revert(const char* path, struct qed_error* error);

struct qed_clone_options {
    size_t struct_bytes;
    int base_format;        /* enum qed_backing_format; QED_FORMAT_UNSTATED: QED */
    bool replace;           /* replace files that exist; otherwise QED_ALREADY_EXISTS */
    unsigned backing_depth; /* most backing files below a clone, up to 1024; 0: 256 */
    qed_progress progress;  /* counts clones */
    void* progress_context;
    int lock; /* enum qed_lock, of the base and of files that are replaced: NORMAL or NONE */
};

/* Makes `count` empty overlays of `base_path` (clone.hpp). After a failure the first ones may be
 * there. `options` may be NULL. */
int qed_clone(const char* base_path, const char* const* paths, size_t count,
              const struct qed_clone_options* options, struct qed_error* error);

struct qed_rebase_options {
    size_t struct_bytes;
    int format;            /* enum qed_backing_format of the new backing file; must be stated */
    bool change_name_only; /* copy nothing: the caller knows that the contents match */
    bool direct;           /* O_DIRECT for the image */
    bool sync;             /* its writes are durable one by one */
    bool ignore_flush;     /* it is not flushed: a power cut may then lose content */
    int backing_rule;      /* enum qed_backing_rule, for both chains */
    int backing_format;
    const char* backing_directory;
    unsigned backing_depth; /* most backing files below the image, up to 1024; 0: 256 */
    qed_progress progress;
    void* progress_context;
    int lock; /* enum qed_lock: NORMAL or NONE */
};

/* Gives the image at `path` another backing file while the guest sees the same bytes (rebase.hpp).
 * `new_backing` is relative to the image's folder; NULL: none, and `options` may be NULL then. */
int qed_rebase(const char* path, const char* new_backing, const struct qed_rebase_options* options,
               struct qed_error* error);

/* A raw file or device as an image that is all data, locked like any image: qed_open() with
 * `format` QED_FORMAT_RAW and otherwise default options. */
int qed_open_raw(const char* path, bool writable, qed_image** image, struct qed_error* error);

/* NOLINTEND(readability-identifier-naming) */

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
