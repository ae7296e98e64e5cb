# SPDX-License-Identifier: Apache-2.0
# The library is the sum of the modules: libqed.so.1 and libqed.a from the same objects.
get_property(modules GLOBAL PROPERTY QED_MODULES)
set(objects)
foreach(module IN LISTS modules)
    list(APPEND objects $<TARGET_OBJECTS:qed_${module}>)
endforeach()

add_library(qed SHARED ${objects})
add_library(qed_static STATIC ${objects})
# The interface version is counted apart from the version of the project.
set_target_properties(qed PROPERTIES VERSION 1.0 SOVERSION 1)
foreach(target qed qed_static)
    set_target_properties(${target} PROPERTIES OUTPUT_NAME qed LINKER_LANGUAGE CXX)
    target_compile_features(${target} PUBLIC cxx_std_23)
    target_include_directories(${target} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_libraries(${target}
        PUBLIC Threads::Threads
        PRIVATE fmt::fmt ${QED_URING} ${QED_DECOMPRESSION}
            ${CMAKE_DL_LIBS} $<BUILD_INTERFACE:qed_flags>)
endforeach()
set_target_properties(qed_static PROPERTIES EXPORT_NAME static)
add_library(qed::qed ALIAS qed)
add_library(qed::static ALIAS qed_static)
# The handler that mapped files need (docs/adr/0013-mapped-reads.md) must not go away under them.
target_link_options(qed PRIVATE -Wl,-z,nodelete)
set(map "${PROJECT_SOURCE_DIR}/frontends/capi/libqed.map")
target_link_options(qed PRIVATE "-Wl,--version-script=${map}")
set_target_properties(qed PROPERTIES LINK_DEPENDS "${map}")
if(NOT QED_SANITIZE)  # the sanitizers' own symbols come from the program
    target_link_options(qed PRIVATE -Wl,--no-undefined)
endif()
