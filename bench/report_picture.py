#!/usr/bin/env python3
"""The picture of a report in the README: the top of a page, as Chromium shows it.

    octet_convert models/flowers/flowers_resnet.safetensors --graph=flowers_resnet \\
        --labels=models/flowers/labels.txt --preprocessing=models/flowers/preprocessing.json \\
        --precision=fp32,fp16,int16x8,hybrid,int8 --calibration-data=validation.tfrecord \\
        --data=test.tfrecord --output=flowers.octet --report=report.html
    python3 bench/report_picture.py report.html          # bench/results/report.png
"""
import argparse
import base64
import collections
import os
import pathlib
import shutil
import struct
import sys
import tempfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'tests' / 'packaging'))
from report_page import Browser  # noqa: E402

WIDTH = 1040


def with_palette(png):
    """The same picture with its 256 most frequent colors, in a third of the bytes."""
    width, height, depth, kind = struct.unpack('>IIBB', png[16:26])
    assert depth == 8 and kind in (2, 6)
    step, at, packed = 3 if kind == 2 else 4, 8, b''
    while at < len(png):
        size, name = struct.unpack('>I4s', png[at:at + 8])
        if name == b'IDAT':
            packed += png[at + 8:at + 8 + size]
        at += 12 + size
    data, line, rows = zlib.decompress(packed), width * step, []
    above = bytearray(line)
    for y in range(height):
        rule = data[y * (line + 1)]
        row = bytearray(data[y * (line + 1) + 1:(y + 1) * (line + 1)])
        for x in range(line if rule else 0):
            a, b = row[x - step] if x >= step else 0, above[x]
            c = above[x - step] if x >= step else 0
            if rule == 4:
                nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))
            guess = nearest[2] if rule == 4 else (a, b, (a + b) // 2)[rule - 1]
            row[x] = (row[x] + guess) & 255
        rows.append([bytes(row[x:x + 3]) for x in range(0, line, step)])
        above = row
    counts = collections.Counter(color for row in rows for color in row)
    palette = [color for color, _ in counts.most_common(256)]
    code = {color: min(range(len(palette)), key=lambda i: sum(
        (p - q) ** 2 for p, q in zip(palette[i], color))) for color in counts}

    def chunk(name, content):
        return (struct.pack('>I', len(content)) + name + content +
                struct.pack('>I', zlib.crc32(name + content)))

    lines = b''.join(b'\0' + bytes(code[color] for color in row) for row in rows)
    return (png[:8] + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 3, 0, 0, 0)) +
            chunk(b'PLTE', b''.join(palette)) + chunk(b'IDAT', zlib.compress(lines, 9)) +
            chunk(b'IEND', b''))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('page')
    parser.add_argument('--output', default=str(HERE / 'results' / 'report.png'))
    arguments = parser.parse_args()
    path = shutil.which('chromium') or shutil.which('chromium-browser')
    if path is None:
        sys.exit('chromium is not installed')
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(path, profile)
        try:
            browser.call('Page.enable')
            browser.call('Emulation.setDeviceMetricsOverride', width=WIDTH, height=900,
                         deviceScaleFactor=1, mobile=False)
            browser.call('Emulation.setEmulatedMedia', features=[
                {'name': 'prefers-color-scheme', 'value': 'light'}])
            browser.call('Page.navigate', url=pathlib.Path(arguments.page).resolve().as_uri())
            browser.wait('Page.loadEventFired')
            # As far as the strip of layers, and what it says of one.
            height = browser.run('''() => {
              document.querySelector('.strip li:nth-child(8) a')
                  .dispatchEvent(new MouseEvent('mouseenter'));
              return document.querySelector('.readout').getBoundingClientRect().bottom;
            }''')
            picture = browser.call('Page.captureScreenshot', captureBeyondViewport=True, clip={
                'x': 0, 'y': 0, 'width': WIDTH, 'height': height, 'scale': 1})
        finally:
            browser.close()
    data = with_palette(base64.b64decode(picture['data']))
    temporary = arguments.output + '.new'
    pathlib.Path(temporary).write_bytes(data)
    os.replace(temporary, arguments.output)
    print(f'{arguments.output}: {len(data)} bytes')


if __name__ == '__main__':
    main()
