// A header of the host's that has the name of one of octet's.
#pragma once
#include <octet/octet.h>

#include <string>

namespace host {

/// The best class of a gray square, or the error.
std::string Classify(const char* model_path);

}  // namespace host
