// Early returns for Status and Result. Internal: not part of the installed headers.
#ifndef OCTET_FORMATS_BASE_MACROS_H_
#define OCTET_FORMATS_BASE_MACROS_H_

#include "formats/base/status.h"

#define OCTET_RETURN_IF_ERROR(expr)                \
  do {                                             \
    ::octet::Status octet_status_ = (expr);        \
    if (!octet_status_.ok()) return octet_status_; \
  } while (false)

#define OCTET_CONCAT_INNER(a, b) a##b
#define OCTET_CONCAT(a, b) OCTET_CONCAT_INNER(a, b)

/// OCTET_ASSIGN_OR_RETURN(auto x, F()): unwraps a Result or returns its Status.
#define OCTET_ASSIGN_OR_RETURN(lhs, expr) \
  OCTET_ASSIGN_OR_RETURN_INNER(OCTET_CONCAT(octet_result_, __LINE__), lhs, expr)
#define OCTET_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) return tmp.status();                \
  lhs = std::move(tmp).value()

#endif  // OCTET_FORMATS_BASE_MACROS_H_
