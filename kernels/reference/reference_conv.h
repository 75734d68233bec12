// Plain loops over the same arguments: the oracle that every other kernel is tested against.
#ifndef OCTET_KERNELS_REFERENCE_REFERENCE_CONV_H_
#define OCTET_KERNELS_REFERENCE_REFERENCE_CONV_H_

#include "kernels/kernel_table.h"

namespace octet::kernels::reference {

void ConvU8U8(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
              int panel_end);
void ConvU8F32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
               int panel_end);
void ConvI16I16(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                int panel_end);
void ConvI16F32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                int panel_end);
void DepthwiseI16I16(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                     int panel_end);
void DepthwiseI16F32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                     int panel_end);
void ConvF32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
             int panel_end);
void ConvF16(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
             int panel_end);
void ConvBf16(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
              int panel_end);
void ConvBf16F32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                 int panel_end);
void DepthwiseBf16(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                   int panel_end);
void DepthwiseBf16F32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                      int panel_end);
void DepthwiseU8U8(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                   int panel_end);
void DepthwiseU8F32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                    int panel_end);
void DepthwiseF32(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                  int panel_end);
void DepthwiseF16(const ConvArgs& args, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
                  int panel_end);

}  // namespace octet::kernels::reference

#endif  // OCTET_KERNELS_REFERENCE_REFERENCE_CONV_H_
