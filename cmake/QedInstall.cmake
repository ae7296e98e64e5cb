# SPDX-License-Identifier: Apache-2.0
# Install rules, the CMake package and libqed.pc.
include(CMakePackageConfigHelpers)
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/qed")

install(TARGETS qed qed_static EXPORT qedTargets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
            COMPONENT runtime NAMELINK_COMPONENT development
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY include/qed DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(FILES "${PROJECT_BINARY_DIR}/include/qed/version.hpp"
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/qed COMPONENT development)

install(EXPORT qedTargets NAMESPACE qed:: DESTINATION ${package_dir} COMPONENT development)
configure_package_config_file(cmake/qedConfig.cmake.in qedConfig.cmake
    INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(qedConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/qedConfig.cmake" "${PROJECT_BINARY_DIR}/qedConfigVersion.cmake"
        DESTINATION ${package_dir} COMPONENT development)

if(QED_WITH_URING)
    set(QED_PC_URING " liburing")
endif()
if(QED_WITH_DECOMPRESSION)
    set(QED_PC_DECOMPRESSION " libisal libzstd")
endif()
configure_file(cmake/libqed.pc.in libqed.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/libqed.pc"
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
