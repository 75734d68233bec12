# octet_embed_models(OUTPUT FILES...): writes a C++ file that holds each JSON file as a string, named after the file.
function(octet_embed_models output)
  set(entries "")
  foreach(file ${ARGN})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(name ${file} NAME_WE)
    file(READ ${file} json)
    string(APPEND entries "    {\"${name}\", R\"octet(${json})octet\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} @ONLY CONTENT
"// Generated from models/*.json.
#include \"converter/import/checkpoints/embedded_models.h\"

namespace octet {
namespace {

constexpr EmbeddedModel kModels[] = {
@entries@};

}  // namespace

std::span<const EmbeddedModel> EmbeddedModels() { return kModels; }

}  // namespace octet
")
endfunction()
