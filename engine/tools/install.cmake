# Installs the programs that have been built, and what completes their command lines in bash and zsh, which they print.
include(GNUInstallDirs)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT tools)
set(completion ${PROJECT_BINARY_DIR}/completion)
foreach(target octet_tool octet_convert bench_resnet)
  install(TARGETS ${target} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools OPTIONAL)
  if(CMAKE_CROSSCOMPILING)
    continue()
  endif()
  foreach(file bash/$<TARGET_FILE_NAME:${target}> zsh/_$<TARGET_FILE_NAME:${target}>)
    string(REGEX MATCH "^[a-z]+" shell ${file})
    install(CODE "
      if(EXISTS \"$<TARGET_FILE:${target}>\")
        file(MAKE_DIRECTORY \"${completion}/${shell}\")
        execute_process(COMMAND \"$<TARGET_FILE:${target}>\" --completion=${shell}
                        OUTPUT_FILE \"${completion}/${file}\" COMMAND_ERROR_IS_FATAL ANY)
      endif()" COMPONENT tools)
  endforeach()
endforeach()
if(NOT CMAKE_CROSSCOMPILING)
  install(DIRECTORY ${completion}/bash/ DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          COMPONENT tools OPTIONAL)
  install(DIRECTORY ${completion}/zsh/ DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions COMPONENT tools OPTIONAL)
endif()
