# SPDX-License-Identifier: Apache-2.0
# qed_flags: what every target of ours links. Language level, warnings, hardening, sanitizers.
add_library(qed_flags INTERFACE)
target_compile_features(qed_flags INTERFACE cxx_std_23)
target_compile_options(qed_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual
    "$<$<COMPILE_LANGUAGE:CXX>:-Wold-style-cast;-Wnon-virtual-dtor;-Woverloaded-virtual>"
    "$<$<COMPILE_LANGUAGE:CXX>:-Wextra-semi;-Wsuggest-override>"
    "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wduplicated-cond;-Wlogical-op>"
    $<$<BOOL:${QED_WERROR}>:-Werror>
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
    -fno-semantic-interposition)
if(NOT QED_WITH_PROBES)
    target_compile_definitions(qed_flags INTERFACE QED_WITHOUT_PROBES)
endif()

# The flags of Debian's dpkg-buildflags with hardening=+all, for builds that are optimised.
if(QED_HARDEN AND NOT QED_SANITIZE AND NOT QED_COVERAGE AND NOT QED_FUZZ)
    set(is_optimised $<CONFIG:Release,RelWithDebInfo,MinSizeRel>)
    set(hardening -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong)
    if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i[3-6]86")
        # Shadow stacks, which cost nothing. Marks for indirect jumps cost an instruction in each
        # function, and Linux does not check them in programs.
        list(APPEND hardening -fcf-protection=return)
    endif()
    target_compile_options(qed_flags INTERFACE "$<${is_optimised}:${hardening}>")
    target_link_options(qed_flags INTERFACE "$<${is_optimised}:-Wl,-z,relro,-z,now>")
    # A hit passes these files. Their functions have no arrays, but they pass on addresses of small
    # values: "strong" would add six to nine instructions to each (docs/adr/0021). Without it,
    # functions that have an array of characters are still protected.
    file(GLOB hot CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/image/image.cpp"
        "${PROJECT_SOURCE_DIR}/src/chain/layer.cpp" "${PROJECT_SOURCE_DIR}/src/io/block_file.cpp"
        "${PROJECT_SOURCE_DIR}/src/formats/qed/qed_write.cpp"
        "${PROJECT_SOURCE_DIR}/src/formats/qed/layer.cpp"
        "${PROJECT_SOURCE_DIR}/src/engine/write_path.cpp"
        "${PROJECT_SOURCE_DIR}/src/cache/*.cpp")
    set_source_files_properties(${hot} PROPERTIES
        COMPILE_OPTIONS "$<${is_optimised}:-fstack-protector>")
endif()

if(QED_COVERAGE)
    if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        message(FATAL_ERROR "QED_COVERAGE needs g++; use `cmake --preset coverage`")
    endif()
    target_compile_options(qed_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(qed_flags INTERFACE --coverage)
endif()

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
