# SPDX-License-Identifier: Apache-2.0
# What a builder may choose. libqed as a part of another project (add_subdirectory, FetchContent) is
# the library alone, and changes nothing of that project.
option(QED_BUILD_CLI "Build the program qed" ${PROJECT_IS_TOP_LEVEL})
option(QED_BUILD_NBDKIT "Build the plugin for nbdkit" ${PROJECT_IS_TOP_LEVEL})
option(QED_BUILD_CAPI "Build the C interface into the library" ON)
option(QED_BUILD_MAN "Build the manual pages" ${PROJECT_IS_TOP_LEVEL})
option(QED_BUILD_SIM "Build the simulation" ${PROJECT_IS_TOP_LEVEL})
option(QED_BUILD_BENCH "Build the benchmarks" ${PROJECT_IS_TOP_LEVEL})
option(QED_BUILD_TESTS "Build the tests, which need all of the above" ${PROJECT_IS_TOP_LEVEL})
option(QED_INSTALL "Make rules to install what is built" ${PROJECT_IS_TOP_LEVEL})

option(QED_WITH_URING "Run requests through io_uring where a program wants that (liburing)" ON)
option(QED_WITH_NBD "Open nbd:// addresses (libnbd)" ${PROJECT_IS_TOP_LEVEL})
option(QED_WITH_DECOMPRESSION "Read compressed clusters of qcow2 (ISA-L, zstd)"
       ${PROJECT_IS_TOP_LEVEL})
option(QED_WITH_SECCOMP "Forbid the programs what they do not need (libseccomp)" ON)
option(QED_WITH_PROBES "Have static probes for tracers (sys/sdt.h)" ${PROJECT_IS_TOP_LEVEL})

option(QED_WERROR "Treat warnings as errors" OFF)
option(QED_HARDEN "Protect optimised builds as Debian does (stack, calls, tables of the linker)" ON)
option(QED_FUZZ "Build fuzz/ with libFuzzer (clang only)" OFF)
option(QED_COVERAGE "Count which lines and branches run (g++ only)" OFF)
set(QED_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=: address,undefined or thread")

if(QED_BUILD_TESTS)
    foreach(needed BUILD_CLI BUILD_NBDKIT BUILD_CAPI BUILD_SIM BUILD_BENCH WITH_URING WITH_NBD
            WITH_DECOMPRESSION WITH_SECCOMP WITH_PROBES)
        if(NOT QED_${needed})
            message(FATAL_ERROR "The tests are of everything: without QED_${needed} there can be "
                "none. Add -DQED_BUILD_TESTS=OFF, or leave QED_${needed} on.")
        endif()
    endforeach()
endif()

if(PROJECT_IS_TOP_LEVEL)
    if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
        set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
    endif()
    find_program(QED_CCACHE ccache)
    if(QED_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
        set(CMAKE_CXX_COMPILER_LAUNCHER "${QED_CCACHE}")
    endif()
endif()

# For our own folders only, like all variables.
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib")
