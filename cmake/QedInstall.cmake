# SPDX-License-Identifier: Apache-2.0
# Install rules, the CMake package and libqed.pc.
if(NOT TARGET qed)
    return()
endif()
include(CMakePackageConfigHelpers)

install(TARGETS qed qed_static EXPORT qedTargets
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/qed DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(FILES "${PROJECT_BINARY_DIR}/include/qed/version.hpp"
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/qed)
