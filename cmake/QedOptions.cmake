# SPDX-License-Identifier: Apache-2.0
# What a builder may choose, and the flags that follow from it.
option(QED_WERROR "Treat warnings as errors" OFF)
option(QED_FUZZ "Build fuzz/ with libFuzzer (clang only)" OFF)
set(QED_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")

find_program(QED_CCACHE ccache)
if(QED_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER "${QED_CCACHE}")
endif()

# Every target of ours links this one: language level, warnings, sanitizers.
add_library(qed_flags INTERFACE)
target_compile_features(qed_flags INTERFACE cxx_std_23)
target_compile_options(qed_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
    $<$<BOOL:${QED_WERROR}>:-Werror>
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
    -fno-semantic-interposition)
if(QED_SANITIZE)
    target_compile_options(qed_flags INTERFACE
        -fsanitize=${QED_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(qed_flags INTERFACE -fsanitize=${QED_SANITIZE})
    if(QED_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # g++ 12 does not model std::atomic_thread_fence and says so for each use in libstdc++.
        target_compile_options(qed_flags INTERFACE -Wno-tsan)
    endif()
    if(QED_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        # In its static runtime operator new cannot be replaced, as tests of lacking memory do.
        set(tsan_runtime libclang_rt.tsan-${CMAKE_SYSTEM_PROCESSOR}.so)
        execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=${tsan_runtime}
            OUTPUT_VARIABLE tsan_runtime OUTPUT_STRIP_TRAILING_WHITESPACE
            COMMAND_ERROR_IS_FATAL ANY)
        cmake_path(GET tsan_runtime PARENT_PATH tsan_folder)
        target_link_options(qed_flags INTERFACE -shared-libsan "-Wl,-rpath,${tsan_folder}")
    endif()
endif()
if(QED_FUZZ)
    if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        message(FATAL_ERROR "QED_FUZZ needs clang; use `cmake --preset fuzz`")
    endif()
    target_compile_options(qed_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
