#!/usr/bin/env python3
"""Opens report pages in headless Chromium and checks them as a person would.

    python3 tests/packaging/report_page.py PAGE.html... [--screenshots=FOLDER]

At 400 and 1400 pixels, light and dark, and as printed: nothing is wider than the page, cut off or
on top of other text; nothing is loaded and nothing is logged. Sorting and the strip of layers are
used by mouse and by keyboard. Prints what is wrong; the exit code is 1 then, and 77 without
Chromium. Speaks the DevTools protocol over pipes, so that nothing needs to be installed beside it.
"""
import argparse
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SLICE = 1500  # Pixels of a page in one picture.

# Text whose boxes leave the page, are cut or meet. What scrolls by itself may be wider; its texts
# are held against each other all the same.
LAYOUT = r'''(print) => {
  const wrong = [], say = (what) => { if (wrong.length < 20) wrong.push(what); };
  const wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) say(`the page is ${wide} wide, the window ${innerWidth}`);
  const boxes = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || parent.closest('script, style, title, .skip')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const r of range.getClientRects()) {
      if (r.width < 1 || r.height < 1) continue;
      const scrolls = !print && parent.closest('.scroll');
      if (!scrolls && (r.left < -0.5 || r.right > innerWidth + 0.5))
        say(`outside of the page: ${node.data.trim()}`);
      // What is scrolled away is not seen.
      const seen = scrolls ? scrolls.getBoundingClientRect() : {left: -1e9, right: 1e9};
      const [left, right] = [Math.max(r.left, seen.left), Math.min(r.right, seen.right)];
      if (left < right) boxes.push({left, right, top: r.top, bottom: r.bottom, node, parent});
    }
  }
  for (const e of document.querySelectorAll('main *, header *')) {
    const style = getComputedStyle(e);
    if (style.overflowX === 'visible' || e.matches('.scroll') || e.closest('svg')) continue;
    if (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1)
      say(`cut: ${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 60)}`);
  }
  if (print) {
    for (const e of document.querySelectorAll('table')) {
      const r = e.getBoundingClientRect();
      if (r.right > innerWidth + 1) say(`cut on paper at ${r.right}: table ${e.className}`);
    }
  }
  boxes.sort((a, b) => a.top - b.top);
  for (let i = 0; i < boxes.length; ++i) {
    const a = boxes[i];
    for (let j = i + 1; j < boxes.length && boxes[j].top < a.bottom - 2; ++j) {
      const b = boxes[j];
      // Lines of one text are close to each other.
      if (a.node === b.node || a.parent === b.parent) continue;
      const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (x > 1.5 && y > 0.3 * Math.min(a.bottom - a.top, b.bottom - b.top))
        say(`on top of each other: ${a.node.data.trim()} and ${b.node.data.trim()}`);
    }
  }
  return wrong;
}'''

CONTRAST = r'''() => {
  const wrong = [];
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => {
      v /= 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const seen = new Set();
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (e.closest('script, style, title, .skip')) continue;
    const style = getComputedStyle(e);
    let back = [255, 255, 255, 255];
    const layers = [];
    for (let p = e; p; p = p.parentElement) layers.unshift(rgb(getComputedStyle(p).backgroundColor));
    for (const l of layers)
      back = back.map((v, i) => v * (1 - l[3] / 255) + l[i] * l[3] / 255);
    const ink = rgb(e.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(back)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = `${e.tagName}.${e.getAttribute('class') || ''} ${e.parentElement.className}`;
    if (ratio < 4.5 && !seen.has(key)) {
      seen.add(key);
      wrong.push(`contrast ${ratio.toFixed(1)}: ${key} ${e.textContent.trim().slice(0, 40)}`);
    }
  }
  return wrong.slice(0, 20);
}'''

COLUMN = r'''(title) => {
  const table = document.querySelector('table.sortable');
  const heads = [...table.tHead.rows[0].cells];
  const column = heads.findIndex((h) => h.textContent === title);
  return {
    sort: heads[column].getAttribute('aria-sort'),
    others: heads.filter((h) => h.getAttribute('aria-sort') !== 'none').length,
    cells: [...table.tBodies[0].rows].map((r) => r.cells[column].textContent.trim()),
  };
}'''


class Browser:
    def __init__(self, path, profile):
        to_read, self.to_write = os.pipe()
        self.from_read, from_write = os.pipe()

        def wire():
            # Through numbers that are neither 3 nor 4.
            a, b = os.dup(to_read), os.dup(from_write)
            os.dup2(a, 3)
            os.dup2(b, 4)

        self.process = subprocess.Popen(
            [path, '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
             '--hide-scrollbars', '--no-first-run', '--disable-lcd-text', '--remote-debugging-pipe',
             '--user-data-dir=' + profile, 'about:blank'],
            preexec_fn=wire, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(from_write)
        self.rest, self.number, self.events, self.session = b'', 0, [], None
        target = next(t for t in self.call('Target.getTargets')['targetInfos'] if t['type'] == 'page')
        self.session = self.call('Target.attachToTarget', targetId=target['targetId'],
                                 flatten=True)['sessionId']

    def message(self):
        while b'\0' not in self.rest:
            more = os.read(self.from_read, 1 << 20)
            if not more:
                raise RuntimeError('Chromium ended')
            self.rest += more
        text, self.rest = self.rest.split(b'\0', 1)
        return json.loads(text)

    def call(self, method, **params):
        self.number += 1
        request = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            request['sessionId'] = self.session
        os.write(self.to_write, json.dumps(request).encode() + b'\0')
        while True:
            m = self.message()
            if m.get('id') == self.number:
                if 'error' in m:
                    raise RuntimeError(f'{method}: {m["error"]}')
                return m['result']
            self.events.append(m)

    def wait(self, method):
        while not any(e.get('method') == method for e in self.events):
            self.events.append(self.message())

    def run(self, function, *arguments):
        text = '(' + function + ')(' + ','.join(map(json.dumps, arguments)) + ')'
        r = self.call('Runtime.evaluate', expression=text, returnByValue=True)
        if 'exceptionDetails' in r:
            raise RuntimeError(json.dumps(r['exceptionDetails']))
        return r['result'].get('value')

    def key(self, key):
        for kind in ('keyDown', 'keyUp'):
            text = {'text': '\r'} if key == 'Enter' and kind == 'keyDown' else {}
            code = {'Enter': 13, 'Tab': 9, 'ArrowRight': 39, 'End': 35}[key]
            self.call('Input.dispatchKeyEvent', type=kind, key=key, code=key,
                      windowsVirtualKeyCode=code, **text)

    def point(self, selector, click=False):
        x, y = self.run('''(s) => {
          const e = document.querySelector(s);
          e.scrollIntoView({block: 'center', behavior: 'instant'});
          const r = e.getBoundingClientRect();
          return [r.left + r.width / 2, r.top + r.height / 2];
        }''', selector)
        for kind in ('mouseMoved',) + (('mousePressed', 'mouseReleased') if click else ()):
            button = {} if kind == 'mouseMoved' else {'button': 'left', 'clickCount': 1}
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, **button)

    def close(self):
        try:
            self.session = None
            self.call('Browser.close')
        except (RuntimeError, OSError):
            pass
        self.process.wait(30)


def number(text):
    if text == 'exact':
        return float('inf')
    text = text.replace(',', '').replace('–', '').split()
    if not text:
        return float('-inf')
    return float(text[0].lstrip('<')) / (2 if text[0].startswith('<') else 1)


def use(browser, say):
    """Sorts, points and tabs."""
    if not browser.run("() => document.querySelector('table.sortable') !== null"):
        return
    before = browser.run(COLUMN, '#')
    if before['sort'] != 'ascending':
        say('the table does not say that it is in order')
    browser.point('table.sortable th:nth-child(4) button', click=True)
    column = browser.run(COLUMN, 'dB')
    values = [number(c) for c in column['cells']]
    if column['sort'] != 'descending' or column['others'] != 1 or values != sorted(values)[::-1]:
        say(f'a click does not sort: {column}')
    browser.run("() => document.querySelector('table.sortable th:nth-child(4) button').focus()")
    browser.key('Enter')
    column = browser.run(COLUMN, 'dB')
    values = [number(c) for c in column['cells']]
    if column['sort'] != 'ascending' or values != sorted(values):
        say(f'Enter does not sort the other way: {column}')
    browser.point('table.sortable th:nth-child(1) button', click=True)
    if browser.run(COLUMN, '#')['cells'] != before['cells']:
        say('the first column does not restore the order')

    read = '''() => {
      const strip = document.querySelector('.strip'), at = document.activeElement;
      return [document.getElementById(strip.dataset.readout).textContent,
              [...strip.querySelectorAll('a')].map((a) => a.getAttribute('aria-label')),
              [...strip.querySelectorAll('a')].indexOf(at),
              at.matches(':focus-visible') && getComputedStyle(at).outlineStyle];
    }'''
    browser.point('.strip li:nth-child(2) a')
    shown, names, _, _ = browser.run(read)
    if shown != names[1]:
        say(f'pointing at a layer shows {shown!r}, not {names[1]!r}')
    browser.point('h1')
    browser.run("() => document.querySelector('.strip a').focus()")
    browser.key('ArrowRight')
    shown, names, at, outline = browser.run(read)
    if at != 1 or shown != names[1] or outline in (False, 'none'):
        say(f'the arrow key goes to layer {at}, shows {shown!r}, outline {outline}')
    browser.key('End')
    if browser.run(read)[2] != len(names) - 1:
        say('End does not lead to the last layer')
    browser.key('Enter')
    target = browser.run("() => document.querySelector('tr:target th')?.textContent")
    if not target or not names[-1].startswith(target):
        say(f'Enter leads to {target!r}, not to {names[-1]!r}')


def check(browser, page, folder):
    wrong = []
    say = wrong.append
    for domain in ('Page', 'Runtime', 'Log', 'Network', 'Accessibility'):
        browser.call(domain + '.enable')
    browser.events.clear()
    browser.call('Page.navigate', url=pathlib.Path(page).resolve().as_uri())
    browser.wait('Page.loadEventFired')
    for width in (400, 1400):
        browser.call('Emulation.setDeviceMetricsOverride', width=width, height=900,
                     deviceScaleFactor=1, mobile=width < 500)
        for scheme in ('light', 'dark'):
            browser.call('Emulation.setEmulatedMedia', media='screen', features=[
                {'name': 'prefers-color-scheme', 'value': scheme},
                {'name': 'prefers-reduced-motion', 'value': 'reduce'}])
            if folder:
                height = browser.run('() => document.documentElement.scrollHeight')
                for top in range(0, height, SLICE):
                    picture = browser.call('Page.captureScreenshot', captureBeyondViewport=True,
                                           clip={'x': 0, 'y': top, 'width': width, 'scale': 1,
                                                 'height': min(SLICE, height - top)})
                    name = f'{pathlib.Path(page).stem}_{width}_{scheme}_{top // SLICE}.png'
                    (pathlib.Path(folder) / name).write_bytes(base64.b64decode(picture['data']))
            where = f'{width} pixels, {scheme}: '
            wrong += [where + w for w in browser.run(CONTRAST)]
        opened = browser.run('''() => {
          const closed = [...document.querySelectorAll('details:not([open])')];
          closed.forEach((d) => { d.open = true; });
          return closed.length;
        }''')
        wrong += [f'{width} pixels: {w}' for w in browser.run(LAYOUT, False)]
        if opened:
            browser.run(f'''() => [...document.querySelectorAll('details')].slice(-{opened})
                .forEach((d) => {{ d.open = false; }})''')
        use(browser, lambda w: say(f'{width} pixels: {w}'))
    # A4 without margins of 1 cm at 96 dpi.
    browser.call('Emulation.setDeviceMetricsOverride', width=718, height=1000, deviceScaleFactor=1,
                 mobile=False)
    browser.call('Emulation.setEmulatedMedia', media='print', features=[])
    browser.run("() => { for (const d of document.querySelectorAll('details')) d.open = true; }")
    wrong += [f'printed: {w}' for w in browser.run(LAYOUT, True)]
    if folder:
        pdf = browser.call('Page.printToPDF', printBackground=False, paperWidth=8.27,
                           paperHeight=11.69)
        (pathlib.Path(folder) / (pathlib.Path(page).stem + '.pdf')).write_bytes(
            base64.b64decode(pdf['data']))
    for node in browser.call('Accessibility.getFullAXTree')['nodes']:
        role = node.get('role', {}).get('value')
        if role in ('button', 'link', 'image', 'table', 'region', 'navigation') and not node.get(
                'ignored') and not node.get('name', {}).get('value'):
            say(f'a {role} has no name')
    for event in browser.events:
        method, params = event.get('method'), event.get('params', {})
        if method == 'Runtime.exceptionThrown' or (
                method == 'Runtime.consoleAPICalled') or method == 'Log.entryAdded':
            say(f'console: {json.dumps(params)[:300]}')
        if method == 'Network.requestWillBeSent' and not params['request']['url'].startswith(
                ('file:', 'data:')):
            say(f'loads {params["request"]["url"][:100]}')
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('pages', nargs='+')
    parser.add_argument('--screenshots')
    arguments = parser.parse_args()
    path = shutil.which('chromium') or shutil.which('chromium-browser')
    if path is None:
        print('chromium is not installed')
        return 77
    code = 0
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(path, profile)
        try:
            for page in arguments.pages:
                for wrong in check(browser, page, arguments.screenshots):
                    print(f'{page}: {wrong}')
                    code = 1
        finally:
            browser.close()
    return code


if __name__ == '__main__':
    sys.exit(main())
