// What the functions of UnaryFunctions() are, by their names in Keras.
#ifndef OCTET_TESTS_UNIT_UNARY_REFERENCE_H_
#define OCTET_TESTS_UNIT_UNARY_REFERENCE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace octet::testing {

inline double UnaryReference(std::string_view name, double x, double parameter) {
  if (name == "relu") return std::max(x, 0.0);
  if (name == "relu6") return std::clamp(x, 0.0, 6.0);
  if (name == "sigmoid") return 1 / (1 + std::exp(-x));
  if (name == "leaky_relu") return x < 0.0 ? parameter * x : x;
  if (name == "tanh") return std::tanh(x);
  ADD_FAILURE() << "UnaryReference has no '" << name << "'";
  return 0;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_UNARY_REFERENCE_H_
