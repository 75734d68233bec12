"""CRC-32s of what libyuv and OpenCV make of YUV, for tests/kernels/pixels_test.cc.

    python3 tests/data/pixels/yuv_crcs.py [STEP]

Of RGB bytes for all U, V, Y of 0, STEP, 2 STEP ... below 256 (3; 1 = all), in that nesting. Made with libyuv 1857 (Debian's
libyuv0, x86-64; 0.0~git20221206) and opencv-python 4.12.0 and 5.0.0, which agree. All layouts of OpenCV's are compared.
"""
import ctypes
import sys
import zlib

import cv2
import numpy as np

step = int(sys.argv[1]) if len(sys.argv) > 1 else 3
values = np.arange(0, 256, step, dtype=np.uint8)
n = len(values)
u, v, y = (np.ascontiguousarray(a.reshape(n * n, n)) for a in np.meshgrid(values, values, values, indexing="ij"))

yuv = ctypes.CDLL("libyuv.so.0")
pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
for name in ("I601", "JPEG", "H709", "F709"):
    constants = ctypes.byref(ctypes.c_char.in_dll(yuv, f"kYuv{name}Constants"))
    argb = np.empty((n * n, n, 4), np.uint8)
    assert yuv.I444ToARGBMatrix(pointer(y), n, pointer(u), n, pointer(v), n, pointer(argb), 4 * n, constants, n, n * n) == 0
    print(f"libyuv kYuv{name}Constants 0x{zlib.crc32(argb[..., 2::-1].tobytes()):08x}")

# OpenCV wants chroma for 2x2 pixels: each row twice, and a width that is even.
wide = n + n % 2
twice = np.repeat(np.pad(y, ((0, 0), (0, wide - n)), mode="edge"), 2, axis=0)
half_u, half_v = u[:, : (wide // 2)], v[:, : (wide // 2)]
half_u, half_v = np.repeat(half_u[:, :1], wide // 2, 1), np.repeat(half_v[:, :1], wide // 2, 1)
pairs = lambda a, b: np.stack([a, b], -1).reshape(n * n, wide)
crcs = set()
for code, chroma in ((cv2.COLOR_YUV2RGB_NV12, pairs(half_u, half_v)), (cv2.COLOR_YUV2RGB_NV21, pairs(half_v, half_u)),
                     (cv2.COLOR_YUV2RGB_I420, np.concatenate([half_u.reshape(-1, wide), half_v.reshape(-1, wide)])
                      if n * n % 2 == 0 else None)):
    if chroma is None:
        continue
    rgb = cv2.cvtColor(np.concatenate([twice, chroma]), code)[::2, :n]
    crcs.add(zlib.crc32(np.ascontiguousarray(rgb).tobytes()))
chroma = np.repeat(pairs(half_u, half_v), 2, axis=0)
rgb = cv2.cvtColor(np.stack([twice, chroma], -1), cv2.COLOR_YUV2RGB_YUY2)[::2, :n]
crcs.add(zlib.crc32(np.ascontiguousarray(rgb).tobytes()))
print("OpenCV", cv2.__version__, *(f"0x{crc:08x}" for crc in crcs))
