// Insides of the C interface, for what is beside it (engine/python).
#ifndef OCTET_ENGINE_SRC_OCTET_C_IMPL_H_
#define OCTET_ENGINE_SRC_OCTET_C_IMPL_H_

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/include/octet/octet_c.h"

struct octet_model {
  std::shared_ptr<const octet::Model> model;
};
struct octet_session {
  std::shared_ptr<const octet::Model> model;
  std::unique_ptr<octet::Session> session;
  std::vector<octet::LayerProfile> profile;  ///< What octet_session_profile took down.
};

namespace octet {

/// What a function of the interface returns of a status: its code, and the message by `error`.
inline octet_status Report(const Status& status, char** error) {
  if (error != nullptr) {
    *error = nullptr;
    if (!status.ok()) {
      *error = static_cast<char*>(std::malloc(status.message().size() + 1));
      if (*error != nullptr)
        std::memcpy(*error, status.message().c_str(), status.message().size() + 1);
    }
  }
  return static_cast<octet_status>(status.code());
}

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_OCTET_C_IMPL_H_
