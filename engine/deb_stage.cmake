# Run by cpack (deb.cmake) when a component's files are in their place: terms and changes, and compressed manuals.
foreach(row "runtime ${CPACK_OCTET_SONAME}" "development liboctet-dev" "tools octet-tools")
  separate_arguments(row)
  list(GET row 0 component)
  list(GET row 1 package)
  set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component}/usr/share)
  if(NOT EXISTS ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/${component})
    continue()
  endif()
  file(REMOVE_RECURSE ${share}/doc/octet)
  file(MAKE_DIRECTORY ${share}/doc/${package})
  file(COPY_FILE ${CPACK_OCTET_NOTICES} ${share}/doc/${package}/copyright)
  string(TIMESTAMP now "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE ${share}/doc/${package}/changelog
"octet (${CPACK_PACKAGE_VERSION}) stable; urgency=medium

  * Version ${CPACK_PACKAGE_VERSION}.

 -- ${CPACK_DEBIAN_PACKAGE_MAINTAINER}  ${now}
")
  file(GLOB manuals ${share}/man/man1/*.1)
  execute_process(COMMAND gzip -9 -n ${share}/doc/${package}/changelog ${manuals} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
