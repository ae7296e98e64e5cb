/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "qed/qed.h"

/* A typical C program: a golden disk, a clone, a raw copy, a check. Returns 0 on success. */

#define EXPECT(condition)                                               \
    do {                                                                \
        if (!(condition)) {                                             \
            fprintf(stderr, "line %d: %s; last error: %s\n", __LINE__,  \
                    #condition, e.message);                             \
            return __LINE__;                                            \
        }                                                               \
    } while (0)

static bool count_calls(void* context, uint64_t done, uint64_t total) {
    (void)done;
    (void)total;
    ++*(int*)context;
    return true;
}

int c_program(const char* folder);

int c_program(const char* folder) {
    struct qed_error e = {0};
    struct qed_create_options golden = {.struct_bytes = sizeof golden, .image_bytes = 1 << 22};
    struct qed_create_options clone = {.struct_bytes = sizeof clone,
                                       .backing_name = "golden.qed",
                                       .backing_format = QED_FORMAT_QED};
    struct qed_open_options writable = {.struct_bytes = sizeof writable, .writable = true};
    struct qed_convert_options to_raw = {.struct_bytes = sizeof to_raw,
                                         .target_format = QED_FORMAT_RAW};
    struct qed_check_report report = {.struct_bytes = sizeof report};
    char text[64] = "";
    char name[4096];
    int calls = 0;
    qed_image* image = NULL;
    FILE* raw = NULL;

    snprintf(name, sizeof name, "%s/golden.qed", folder);
    EXPECT(qed_create(name, &golden, &e) == QED_OK);
    EXPECT(qed_open(name, &writable, &image, &e) == QED_OK);
    EXPECT(qed_write(image, 70000, "golden", 6, QED_FUA, &e) == QED_OK);
    EXPECT(qed_close(image, &e) == QED_OK);

    snprintf(name, sizeof name, "%s/clone.qed", folder);
    EXPECT(qed_create(name, &clone, &e) == QED_OK);
    EXPECT(qed_open(name, &writable, &image, &e) == QED_OK);
    EXPECT(qed_size(image) == 1 << 22);
    EXPECT(qed_write(image, 70003, "clone", 5, 0, &e) == QED_OK);
    EXPECT(qed_read(image, 70000, text, 9, &e) == QED_OK);
    EXPECT(strcmp(text, "golclone") == 0);

    snprintf(name, sizeof name, "%s/copy.raw", folder);
    to_raw.progress = count_calls;
    to_raw.progress_context = &calls;
    EXPECT(qed_convert(image, name, &to_raw, &e) == QED_OK);
    EXPECT(calls > 0);
    EXPECT(qed_close(image, &e) == QED_OK);
    raw = fopen(name, "rb");
    EXPECT(raw != NULL && fseek(raw, 70000, SEEK_SET) == 0);
    memset(text, 0, sizeof text);
    EXPECT(fread(text, 1, 8, raw) == 8 && strcmp(text, "golclone") == 0);
    fclose(raw);

    snprintf(name, sizeof name, "%s/clone.qed", folder);
    EXPECT(qed_check(name, NULL, &report, &e) == QED_OK);
    EXPECT(report.corruptions == 0 && report.leaks == 0 && report.allocated_clusters == 1);
    return 0;
}
