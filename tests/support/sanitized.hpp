// SPDX-License-Identifier: Apache-2.0
#pragma once

// QED_TEST_SANITIZED: 1 where the runtime of a sanitizer is in the program. It takes memory of its
// own and brings its own versions of many functions of the C library.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define QED_TEST_SANITIZED 1
#elif defined(__has_feature)
#define QED_TEST_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define QED_TEST_SANITIZED 0
#endif
