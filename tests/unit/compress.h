// Compressed files for tests.
#ifndef OCTET_TESTS_UNIT_COMPRESS_H_
#define OCTET_TESTS_UNIT_COMPRESS_H_

#include <gtest/gtest.h>
#include <zlib.h>

#include "tests/unit/data_test_util.h"

namespace octet::testing {

/// `window` as deflateInit2 takes it: 15 for zlib, 31 for gzip.
inline Bytes Compress(const Bytes& bytes, int window) {
  z_stream z = {};
  EXPECT_EQ(deflateInit2(&z, 9, Z_DEFLATED, window, 9, Z_DEFAULT_STRATEGY), Z_OK);
  Bytes out(deflateBound(&z, bytes.size()));
  z.next_in = const_cast<Bytef*>(bytes.data());
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_COMPRESS_H_
