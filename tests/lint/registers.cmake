# Not of sse2, where there are too few for some sums.
add_test(NAME registers_test
  COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/registers.sh "${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} ${OCTET_ISA_OPTIMIZE}"
    ${CMAKE_OBJDUMP} $<FILTER:$<TARGET_OBJECTS:octet_kernels>,EXCLUDE,sse2>
  COMMAND_EXPAND_LISTS)
set_tests_properties(registers_test PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
