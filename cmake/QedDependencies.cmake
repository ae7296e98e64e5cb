# SPDX-License-Identifier: Apache-2.0
# A dependency that is missing stops the configuration and names the Debian package that has it.
# scripts/packages.list is the full list; scripts/install-packages.sh installs it.
function(qed_missing what package)
    message(FATAL_ERROR
        "${what} was not found. On Debian 12: apt-get install ${package} "
        "(or scripts/install-packages.sh for everything libqed needs).")
endfunction()

find_package(Threads REQUIRED)
find_package(PkgConfig QUIET)
if(NOT PkgConfig_FOUND)
    qed_missing("pkg-config" pkg-config)
endif()

find_package(fmt QUIET)
if(NOT fmt_FOUND)
    qed_missing("The fmt library" libfmt-dev)
endif()

pkg_check_modules(URING QUIET IMPORTED_TARGET liburing>=2.3)
if(NOT URING_FOUND)
    qed_missing("liburing 2.3 or newer" liburing-dev)
endif()

find_path(QED_SDT_INCLUDE sys/sdt.h PATH_SUFFIXES ${CMAKE_LIBRARY_ARCHITECTURE})
if(NOT QED_SDT_INCLUDE)
    qed_missing("sys/sdt.h (USDT probes)" systemtap-sdt-dev)
endif()

find_package(CLI11 QUIET)
if(NOT CLI11_FOUND)
    qed_missing("CLI11" libcli11-dev)
endif()

find_package(nlohmann_json QUIET)
if(NOT nlohmann_json_FOUND)
    qed_missing("nlohmann-json" nlohmann-json3-dev)
endif()

pkg_check_modules(NBDKIT QUIET IMPORTED_TARGET nbdkit>=1.32)
if(NOT NBDKIT_FOUND)
    qed_missing("nbdkit 1.32 or newer (plugin headers)" nbdkit-plugin-dev)
endif()

pkg_check_modules(SECCOMP QUIET IMPORTED_TARGET libseccomp>=2.5)
if(NOT SECCOMP_FOUND)
    qed_missing("libseccomp 2.5 or newer" libseccomp-dev)
endif()

pkg_check_modules(NBD QUIET IMPORTED_TARGET libnbd)
if(NOT NBD_FOUND)
    qed_missing("libnbd" libnbd-dev)
endif()

find_package(benchmark QUIET)
if(NOT benchmark_FOUND)
    qed_missing("Google Benchmark" libbenchmark-dev)
endif()

if(BUILD_TESTING)
    find_package(GTest QUIET)
    if(NOT GTest_FOUND)
        qed_missing("GoogleTest" "libgtest-dev libgmock-dev")
    endif()
    find_package(rapidcheck QUIET)
    if(NOT rapidcheck_FOUND)
        qed_missing("RapidCheck" librapidcheck-dev)
    endif()
    find_program(QED_BATS bats)
    if(NOT QED_BATS)
        qed_missing("bats" bats)
    endif()
    # The NBD bindings of python3-libnbd belong to the system's own Python.
    find_program(Python3_EXECUTABLE python3 PATHS /usr/bin NO_DEFAULT_PATH)
    find_package(Python3 QUIET COMPONENTS Interpreter)
    if(NOT Python3_FOUND)
        qed_missing("Python 3" python3)
    endif()
endif()
