add_library(octet_signature STATIC ${PROJECT_SOURCE_DIR}/bench/graph_generator.cc ${PROJECT_SOURCE_DIR}/bench/signature.cc)
target_link_libraries(octet_signature PRIVATE octet_flags PUBLIC octet_engine)
