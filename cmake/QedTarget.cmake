# SPDX-License-Identifier: Apache-2.0
# qed_module(), qed_test() and friends: one place for include paths, layers, labels and time limits.

# qed_module(<folder> [DEPENDS <folder>...] [LINK <target>...] [INCLUDES <directory>...]
#            [WITHOUT <regex>...])
# One module of src/: OBJECT library qed_<folder>, with _ for /. DEPENDS gives the modules it may
# include; they are followed transitively when an executable needs the objects (qed_link_modules).
# WITHOUT leaves out the sources that a choice of the builder makes needless.
function(qed_module folder_name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS;LINK;INCLUDES;WITHOUT")
    set(folder "${PROJECT_SOURCE_DIR}/src/${folder_name}")
    string(REPLACE "/" "_" name "${folder_name}")
    string(REPLACE "/" "_" arg_DEPENDS "${arg_DEPENDS}")
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${folder}/*.cpp" "${folder}/*.hpp")
    foreach(pattern IN LISTS arg_WITHOUT)
        list(FILTER sources EXCLUDE REGEX "${pattern}")
    endforeach()
    set(compiled ${sources})
    list(FILTER compiled INCLUDE REGEX "\\.cpp$")
    if(NOT compiled)
        message(FATAL_ERROR "src/${folder_name} holds no source file: the checkout is incomplete")
    endif()
    add_library(qed_${name} OBJECT ${sources})
    target_include_directories(qed_${name} PUBLIC
        "${PROJECT_SOURCE_DIR}/include" "${PROJECT_BINARY_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
    target_include_directories(qed_${name} PRIVATE ${arg_INCLUDES})
    list(TRANSFORM arg_DEPENDS PREPEND qed_ OUTPUT_VARIABLE depends)
    target_link_libraries(qed_${name}
        PUBLIC ${depends} ${arg_LINK} fmt::fmt Threads::Threads PRIVATE qed_flags)
    # A public function that is defined without its header would not be exported.
    target_compile_options(qed_${name} PRIVATE -Wmissing-declarations)

    set(closure ${name})
    foreach(module IN LISTS arg_DEPENDS)
        get_property(below GLOBAL PROPERTY QED_CLOSURE_${module})
        list(APPEND closure ${below})
    endforeach()
    list(REMOVE_DUPLICATES closure)
    set_property(GLOBAL PROPERTY QED_CLOSURE_${name} "${closure}")
    set_property(GLOBAL APPEND PROPERTY QED_MODULES ${name})
endfunction()

# qed_link_modules(<target> <module>...): the objects of these modules and of all below them.
function(qed_link_modules target)
    set(all)
    foreach(module IN LISTS ARGN)
        get_property(closure GLOBAL PROPERTY QED_CLOSURE_${module})
        list(APPEND all ${closure})
    endforeach()
    list(REMOVE_DUPLICATES all)
    list(TRANSFORM all PREPEND qed_)
    target_link_libraries(${target} PRIVATE ${all} qed_flags)
endfunction()

# What a test needs to find the programs under test.
set(tsan_suppressions "${PROJECT_SOURCE_DIR}/tests/support/tsan.supp")
set(QED_TEST_ENVIRONMENT
    "QED_BUILD_DIR=${PROJECT_BINARY_DIR}"
    "QED_SOURCE_DIR=${PROJECT_SOURCE_DIR}"
    "QED_BIN=${PROJECT_BINARY_DIR}/bin/qed"
    "QED_NBDKIT_PLUGIN=${PROJECT_BINARY_DIR}/lib/nbdkit-qed-plugin.so"
    "QED_SCRIPT=${PROJECT_BINARY_DIR}/bin/tests/qed_script"
    "QED_SANITIZE=${QED_SANITIZE}"
    "PYTHONDONTWRITEBYTECODE=1"
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:suppressions=${tsan_suppressions}")

# qed_test_seconds(<variable> <seconds>): the time limit of a test under this build.
function(qed_test_seconds variable seconds)
    if(QED_SANITIZE OR QED_COVERAGE)
        math(EXPR seconds "${seconds} * 5")
    endif()
    set(${variable} ${seconds} PARENT_SCOPE)
endfunction()

# qed_add_test(<name> <label> <seconds> <command> <argument>...): a test that runs a program.
function(qed_add_test name label seconds)
    add_test(NAME ${name} COMMAND ${ARGN})
    qed_test_seconds(seconds ${seconds})
    set_tests_properties(${name} PROPERTIES
        LABELS ${label} TIMEOUT ${seconds} ENVIRONMENT "${QED_TEST_ENVIRONMENT}")
endfunction()

# qed_test(<name> SOURCES <file>... MODULES <module>... [LINK <target>...]
#          [LABELS <label>...] [TIMEOUT <seconds>])
# One GoogleTest executable; each of its tests is a ctest test of its own.
function(qed_test name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;MODULES;LINK;LABELS")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    qed_test_seconds(seconds ${arg_TIMEOUT})
    add_executable(${name} ${arg_SOURCES})
    foreach(label IN LISTS arg_LABELS)
        add_dependencies(tests_${label} ${name})
    endforeach()
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/tests")
    qed_link_modules(${name} ${arg_MODULES})
    target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
    target_link_libraries(${name} PRIVATE
        ${arg_LINK} qed_test_support GTest::gmock_main GTest::gmock GTest::gtest rapidcheck)
    gtest_discover_tests(${name}
        TEST_PREFIX "${name}."
        DISCOVERY_MODE PRE_TEST
        PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${seconds})
    # gtest_discover_tests() takes no lists as property values, so the environment follows by file.
    set(environment "${CMAKE_CURRENT_BINARY_DIR}/${name}_environment.cmake")
    file(CONFIGURE OUTPUT "${environment}" @ONLY CONTENT [[
if(@name@_TESTS)
    set_tests_properties(${@name@_TESTS} PROPERTIES ENVIRONMENT "@QED_TEST_ENVIRONMENT@")
endif()
]])
    set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${environment}")
endfunction()
