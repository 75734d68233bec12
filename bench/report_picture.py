#!/usr/bin/env python3
"""The picture of a report in the README: the top of a page, as Chromium shows it.

    octet_convert models/flowers/flowers_resnet.safetensors --graph=flowers_resnet \\
        --labels=models/flowers/labels.txt --preprocessing=models/flowers/preprocessing.json \\
        --precision=fp32,fp16,hybrid,int8 --calibration-data=validation.tfrecord \\
        --data=test.tfrecord --output=flowers.octet --report=report.html
    python3 bench/report_picture.py report.html          # bench/results/report.png
"""
import argparse
import base64
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / 'tests' / 'packaging'))
from report_page import Browser  # noqa: E402

WIDTH = 960


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
    data = base64.b64decode(picture['data'])
    temporary = arguments.output + '.new'
    pathlib.Path(temporary).write_bytes(data)
    os.replace(temporary, arguments.output)
    print(f'{arguments.output}: {len(data)} bytes')


if __name__ == '__main__':
    main()
