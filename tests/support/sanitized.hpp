// SPDX-License-Identifier: Apache-2.0
#pragma once

// QED_TEST_SANITIZED is 1 if the program contains the runtime of a sanitizer, which allocates
// memory itself and replaces many functions of the C library.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QED_TEST_SANITIZED 1
#elif defined(__has_feature)
#define QED_TEST_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define QED_TEST_SANITIZED 0
#endif
