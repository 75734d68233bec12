"""Small images of every kind, and the pixels that Pillow, OpenCV and TensorFlow decode them to.

    python make_decoding.py FOLDER             the cases of decoding_test, in this folder
    python make_decoding.py FOLDER all TFRECORD...   many more sizes, and the photos of data sets
    python make_decoding.py FILE checksums TFRECORD...   WIDTH HEIGHT CRC32 of every photo as TensorFlow decodes it

Writes the images, cases.txt with a line for each way of decoding each of them,

    FILE FRAMEWORK DCT UPSAMPLING ORIENTATION CHANNELS WIDTH HEIGHT OFFSET

and expected.npy, the pixels behind one another, of which a line's begin at its offset; equal ones are stored once. Without a
size where the framework refuses the file.
"""
import io
import os
import struct
import sys
import zlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import cv2  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from PIL import Image, ImageCms, ImageOps  # noqa: E402

random = np.random.default_rng(5)


def picture(width, height, channels=3):
    """Smooth with some noise, so that every part of the decoders has something to do and files stay small."""
    y, x, c = np.mgrid[0:height, 0:width, 0:channels]
    waves = 128 + 90 * np.sin(x / (3.0 + c) + c) + 60 * np.cos(y / (2.0 + c))
    noise = random.integers(-20, 21, (height, width, channels))
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


def pillow_jpeg(array, **options):
    mode = options.pop("mode", None) or ("L" if array.shape[2] == 1 else "RGB")
    data = io.BytesIO()
    image = Image.fromarray(array[:, :, 0] if mode == "L" else array, mode)
    image.save(data, "JPEG", **{"quality": 80, "optimize": True, **options})
    return data.getvalue()


def opencv_jpeg(array, sampling):
    factors = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors, cv2.IMWRITE_JPEG_QUALITY, 80, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", array, options)[1].tobytes()


def segments(jpeg):
    """(marker, begin, end) of each segment up to the first scan."""
    at = 2
    while True:
        end = at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]
        yield jpeg[at + 1], at, end
        if jpeg[at + 1] == 0xDA:
            return
        at = end


def without(jpeg, marker):
    for found, begin, end in segments(jpeg):
        if found == marker:
            return jpeg[:begin] + jpeg[end:]
    raise ValueError(f"no marker {marker:x}")


def adobe(jpeg, transform):
    """With a marker of Adobe's, and none of JFIF's."""
    for marker in (0xE0, 0xEE):
        if marker in [m for m, _, _ in segments(jpeg)]:
            jpeg = without(jpeg, marker)
    return jpeg[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform]) + jpeg[2:]


def exif(orientation, order=">"):
    return (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(
        order + "IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def with_exif(jpeg, tiff):
    content = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def png(width, height, depth, color, extra=(), last=(), equal=False):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    rows = random.integers(0, 256, (height, (width * bits + 7) // 8), dtype=np.uint8)
    if color == 0 and depth == 16:  # Some values below 256.
        rows[:, ::4] = 0
    if equal:
        rows[:, 1::3] = rows[:, 2::3] = rows[:, ::3]
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)) +
            b"".join(chunk(k, c) for k, c in extra) + chunk(b"IDAT", zlib.compress(data)) +
            b"".join(chunk(k, c) for k, c in last) + chunk(b"IEND", b""))


def bmp(bits, colors=0, header=40, masks=b"", used=0, down=False, palette=None):
    """23x9 pixels. Every index is one of the palette's but where `used` is less."""
    rows = random.integers(0, 256, (9, (23 * bits + 31) // 32 * 4), dtype=np.uint8)
    entry = 3 if header == 12 else 4
    if palette is None:
        palette = random.integers(0, 256, (colors, entry), dtype=np.uint8).tobytes()
    if header == 12:
        head = struct.pack("<IHHHH", 12, 23, 9, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, 23, -9 if down else 9, 1, bits, 3 if masks else 0, rows.size, 0, 0, used, 0)
        head += masks if header == 40 else masks.ljust(header - 40, b"\0")
    begin = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<III", begin + rows.size, 0, begin) + head + palette + rows.tobytes()


def cmyk(width, height, **options):
    return pillow_jpeg(picture(width, height, 4), mode="CMYK", **options)


def rgb_ids(jpeg):
    """Components named R, G and B and no marker: libjpeg takes them for RGB."""
    jpeg = bytearray(without(jpeg, 0xE0))
    for marker, begin, end in segments(bytes(jpeg)):
        ids = {0xC0: range(begin + 10, end, 3), 0xC2: range(begin + 10, end, 3), 0xDA: range(begin + 5, end - 3, 2)}
        for i, at in enumerate(ids.get(marker, ())):
            jpeg[at] = b"RGB"[i]
    return bytes(jpeg)


SUBSAMPLING = {"444": 0, "422": 1, "420": 2}


def small_images():
    for i, sampling in enumerate(("444", "422", "420", "440", "411")):
        yield f"{sampling}.jpg", opencv_jpeg(picture(21 + i, 18 - i), sampling)
    for sampling, value in SUBSAMPLING.items():
        yield f"progressive_{sampling}.jpg", pillow_jpeg(picture(19, 10), subsampling=value, progressive=True)
    yield "gray.jpg", pillow_jpeg(picture(13, 9, 1))
    yield "gray_progressive.jpg", pillow_jpeg(picture(9, 13, 1), progressive=True)
    yield "restart.jpg", pillow_jpeg(picture(37, 18), restart_marker_blocks=2)
    for size in ((1, 1), (1, 17), (2, 3), (33, 2)):
        yield f"size_{size[0]}x{size[1]}.jpg", pillow_jpeg(picture(*size))
    yield "cmyk_adobe.jpg", cmyk(11, 9)
    yield "cmyk_plain.jpg", without(cmyk(11, 9), 0xEE)
    yield "ycck.jpg", adobe(cmyk(11, 9), 2)
    yield "ycck_420.jpg", adobe(cmyk(18, 9, subsampling=2), 2)
    yield "rgb_adobe.jpg", adobe(pillow_jpeg(picture(11, 9)), 0)
    yield "rgb_ids.jpg", rgb_ids(pillow_jpeg(picture(11, 9), subsampling=0))
    turned = pillow_jpeg(picture(7, 4))
    for orientation in range(10):
        yield f"exif_{orientation}.jpg", with_exif(turned, exif(orientation, "<>"[orientation % 2]))
    for color, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (4, (8, 16)), (6, (8, 16))):
        for depth in depths:
            yield f"png_{color}_{depth}.png", png(7, 3, depth, color)
    palette = (b"PLTE", random.bytes(48))
    yield "png_palette.png", png(7, 3, 4, 3, [palette])
    yield "png_palette_alpha.png", png(7, 3, 4, 3, [palette, (b"tRNS", bytes([0, 100, 255, 3]))])
    yield "png_gray_transparent.png", png(7, 3, 8, 0, [(b"tRNS", b"\0\3")])
    yield "png_colors_transparent.png", png(7, 3, 8, 2, [(b"tRNS", b"\0\3\0\3\0\3")])
    yield "png_gamma.png", png(7, 3, 8, 2, [(b"gAMA", struct.pack(">I", 100000))])
    yield "png_background.png", png(7, 3, 8, 6, [(b"bKGD", struct.pack(">HHH", 10, 200, 30))])
    yield "png_exif_6.png", png(7, 3, 8, 2, [(b"eXIf", exif(6))])
    yield "png_exif_3_behind.png", png(7, 3, 8, 2, last=[(b"eXIf", exif(3))])
    # What gray of colors depends on.
    gamma = lambda value: (b"gAMA", struct.pack(">I", value))
    srgb, palette = (b"sRGB", b"\0"), (b"PLTE", random.bytes(48))
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # When it was made.
    profile = (b"iCCP", b"sRGB\0\0" + zlib.compress(profile))
    for value in (16, 30000, 45455, 95237, 95238, 105000, 105001, 220000, 625000000):
        yield f"png_gamma_{value}.png", png(23, 9, 8, 2, [gamma(value)])
    yield "png_srgb.png", png(23, 9, 8, 2, [gamma(100000), srgb])
    yield "png_srgb_alpha.png", png(23, 9, 8, 6, [srgb])
    yield "png_srgb_palette.png", png(23, 9, 4, 3, [srgb, palette, (b"tRNS", bytes([0, 100]))])
    yield "png_srgb_gray.png", png(23, 9, 8, 0, [srgb])
    yield "png_srgb_gray_16.png", png(23, 9, 16, 4, [gamma(45455)])
    yield "png_gamma_twice.png", png(23, 9, 8, 2, [gamma(45455), gamma(30000)])
    yield "png_gamma_late.png", png(23, 9, 8, 2, [palette, gamma(45455)], last=[srgb])
    yield "png_profile.png", png(23, 9, 8, 2, [profile, gamma(45455)])
    yield "png_grays.png", png(23, 9, 8, 2, [srgb], equal=True)
    bgr = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
    ramp = bytes(v for i in range(256) for v in (i, i, i, 0))
    for bits in (1, 4, 8):
        yield f"bmp_{bits}.bmp", bmp(bits, 1 << bits)
        yield f"bmp_{bits}_os2.bmp", bmp(bits, 1 << bits, header=12)
    for bits in (24, 32):
        yield f"bmp_{bits}.bmp", bmp(bits)
        yield f"bmp_{bits}_down.bmp", bmp(bits, down=True)
        yield f"bmp_{bits}_os2.bmp", bmp(bits, header=12)
        yield f"bmp_{bits}_v5.bmp", bmp(bits, header=124)
    yield "bmp_8_down.bmp", bmp(8, 256, down=True)
    yield "bmp_8_v4.bmp", bmp(8, 256, header=108)
    yield "bmp_8_few.bmp", bmp(8, 100, used=100)
    yield "bmp_8_ramp.bmp", bmp(8, palette=ramp)
    yield "bmp_8_few_ramp.bmp", bmp(8, palette=ramp[:400], used=100)
    yield "bmp_1_gray.bmp", bmp(1, palette=ramp[:4] + ramp[-4:])
    yield "bmp_1_inverted.bmp", bmp(1, palette=ramp[-4:] + ramp[:4])
    yield "bmp_masks.bmp", bmp(32, masks=bgr)
    yield "bmp_masks_v2.bmp", bmp(32, masks=bgr, header=52)
    for largest in (255, 200, 65535):
        yield f"colors_{largest}.ppm", b"P6 5 4 %d\n" % largest + random.bytes(120 if largest > 255 else 60)


def many_images():
    for width in range(1, 34):
        for height in sorted({1, 2, 7, 8, 9, 15, 16, 17, 33, 1 + width * 7 % 33}):
            sampling = ("444", "422", "420", "440", "411")[(width + height) % 5]
            yield f"{sampling}_{width}x{height}.jpg", opencv_jpeg(picture(width, height), sampling)
            options = {"subsampling": (width + height) % 3, "progressive": width % 2 == 0, "quality": 5 + width * 3 % 95,
                       "restart_marker_blocks": height % 4}
            yield f"pillow_{width}x{height}.jpg", pillow_jpeg(picture(width, height), **options)
            if height % 3 == 0:
                inks = cmyk(width, height, **options)
                yield f"cmyk_{width}x{height}.jpg", (inks, without(inks, 0xEE), adobe(inks, 2))[width % 3]
                yield f"gray_{width}x{height}.jpg", pillow_jpeg(picture(width, height, 1), progressive=width % 2 == 0)
        kind, depth = ((2, 8), (6, 8), (2, 16), (3, 8))[width % 4]
        extra = [(b"PLTE", random.bytes(768))] if kind == 3 else []
        if depth == 8 and width % 3:
            extra.insert(0, (b"gAMA", struct.pack(">I", int(10 ** random.uniform(3, 7)))))
        yield f"png_{width}.png", png(20 * width, 20, depth, kind, extra)
    for i in range(20):
        width, height = (int(v) for v in random.integers(34, 700, 2))
        options = {"subsampling": i % 3, "progressive": i % 4 == 0, "quality": 30 + 3 * i}
        yield f"larger_{i}.jpg", pillow_jpeg(picture(width, height), **options)
        sampling = ("444", "422", "420", "440", "411")[i % 5]
        yield f"larger_{sampling}_{i}.jpg", opencv_jpeg(picture(height, width), sampling)


def photos(paths):
    for path in paths:
        for i, record in enumerate(tf.data.TFRecordDataset(path)):
            example = tf.train.Example.FromString(record.numpy())
            name = os.path.basename(path).split(".")[0]
            yield f"{name}_{i}.jpg", example.features.feature["image/encoded"].bytes_list.value[0]


def pillow(data, turned, channels):
    image = Image.open(io.BytesIO(data))
    return np.asarray((ImageOps.exif_transpose(image) if turned else image).convert("L" if channels == 1 else "RGB"))


def opencv(data, turned, channels):
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags if turned else flags | cv2.IMREAD_IGNORE_ORIENTATION)
    return pixels if pixels is None or channels == 1 else pixels[:, :, ::-1]


def tensorflow(data, channels, **options):
    try:
        decode = tf.io.decode_bmp if data[:2] == b"BM" else tf.io.decode_jpeg
        return decode(data, channels=channels, **options).numpy()
    except tf.errors.InvalidArgumentError:
        return None


def ways(name, data, channels):
    """(framework, dct, upsampling, orientation, pixels), the framework's default first."""
    yield "pillow", "accurate", "fancy", "stored", pillow(data, False, channels)
    yield "opencv", "accurate", "fancy", "turned", opencv(data, True, channels)
    if "exif" in name:
        yield "pillow", "accurate", "fancy", "turned", pillow(data, True, channels)
        yield "opencv", "accurate", "fancy", "stored", opencv(data, False, channels)
    if not name.endswith(".ppm"):
        yield "tensorflow", "fast", "fancy", "stored", tensorflow(data, channels)
    if name.endswith(".jpg") and "exif" not in name:
        for dct, fancy in (("fast", False), ("accurate", True), ("accurate", False)):
            pixels = tensorflow(data, channels, dct_method=f"INTEGER_{dct.upper()}", fancy_upscaling=fancy)
            yield "tensorflow", dct, "fancy" if fancy else "plain", "stored", pixels


def write_checksums(path, sets):
    with open(path, "w") as file:
        for _, data in photos(sets):
            pixels = tf.io.decode_jpeg(data, channels=3).numpy()
            file.write(f"{pixels.shape[1]} {pixels.shape[0]} {zlib.crc32(pixels.tobytes())}\n")


def main():
    if sys.argv[2:3] == ["checksums"]:
        return write_checksums(sys.argv[1], sys.argv[3:])
    folder, everything = sys.argv[1], sys.argv[2:3] == ["all"]
    images = [*small_images()]
    if everything:
        images += [*many_images(), *photos(sys.argv[3:])]
    arrays, offsets, size, lines = [], {}, 0, []
    for name, data in images:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        for channels in (3, 1):
            for *way, pixels in ways(name, data, channels):
                height, width = (0, 0) if pixels is None else pixels.shape[:2]
                key = b"" if pixels is None else pixels.tobytes()
                if key not in offsets:
                    offsets[key] = size
                    size += len(key)
                    arrays.append(np.frombuffer(key, np.uint8))
                lines.append(" ".join(str(v) for v in (name, *way, channels, width, height, offsets[key])))
    np.save(os.path.join(folder, "expected.npy"), np.concatenate(arrays))
    with open(os.path.join(folder, "cases.txt"), "w") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
