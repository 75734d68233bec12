#!/usr/bin/env python3
"""A picture, or a table, of a network's times beside other engines'.

    python3 bench/chart.py                       # bench/results/resnet50.svg from resnet50_zen5.json
    python3 bench/chart.py MEASURED.json --output=CHART.svg
    python3 bench/chart.py MEASURED.json --table # of Markdown, as in bench/README.md

MEASURED.json has "machine" {"cpu", "isa"}, "batch", "rounds" and "results", a list of {"engine":
"NAME_PRECISION", "threads", "min_ms" of a run}. "network" says of what, "engines" what to call each
NAME. Whatever else is there is ignored.
"""
import argparse
import html
import json
import os

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'results')
NAMES = {'octet': 'octet', 'ov': 'OpenVINO', 'ort': 'ONNX Runtime', 'litert': 'LiteRT', 'ncnn': 'ncnn'}

# A card with a background of its own, because a page may be light while the system is dark.
STYLE = '''
  rect { fill: #9aa4b0 } .octet { fill: #1f6feb } .card { fill: #ffffff; stroke: #d0d7de }
  text { fill: #1f2328; font: 15px system-ui, "Segoe UI", Helvetica, Arial, sans-serif }
  .head { font-weight: 600 } .small { fill: #59636e; font-size: 13px }
  @media (prefers-color-scheme: dark) {
    rect { fill: #6e7681 } .octet { fill: #4493f8 } .card { fill: #0d1117; stroke: #3d444d }
    text { fill: #f0f6fc } .small { fill: #9198a1 }
  }
'''
WIDTH, MARGIN, LABELS, VALUES, ROW, BAR = 520, 16, 158, 48, 25, 17


def times(measured, precision, threads):
    """[(engine, ms an image)] of those that were measured, octet first, then the fastest."""
    ms = {r['engine']: r['min_ms'] / measured['batch'] for r in measured['results']
          if r['threads'] == threads}
    found = [(e, ms[f'{e}_{precision}']) for e in measured.get('engines', NAMES)
             if f'{e}_{precision}' in ms]
    return sorted(found, key=lambda row: (row[0] != 'octet', row[1]))


def chart(measured, precisions, threads, engines):
    names = measured.get('engines', NAMES)
    groups = [(p, [r for r in times(measured, p, threads) if r[0] in engines]) for p in precisions]
    groups = [(p, rows) for p, rows in groups if rows]
    scale = (WIDTH - 2 * MARGIN - LABELS - VALUES) / max(ms for _, rows in groups for _, ms in rows)
    body, y = [], MARGIN + 12

    def text(x, what, style=''):
        body.append(f'<text x="{x:g}" y="{y:g}"{style}>{html.escape(what)}</text>')

    text(MARGIN, f"{measured.get('network', 'Network')}: milliseconds an image", ' class="head"')
    y += 20
    text(MARGIN, f"{threads} thread{'s' * (threads > 1)}, batch {measured['batch']}, shorter is better",
         ' class="small"')
    y += 18
    text(MARGIN, f"{measured['machine']['cpu']}, {measured['machine']['isa']}; lowest of "
         f"{measured['rounds']} interleaved rounds", ' class="small"')
    for precision, rows in groups:
        y += ROW + 8
        text(MARGIN, precision, ' class="head"')
        for engine, ms in rows:
            y += ROW
            text(MARGIN, names[engine], ' class="head"' if engine == 'octet' else '')
            left, length = MARGIN + LABELS, ms * scale
            mark = ' class="octet"' if engine == 'octet' else ''
            body.append(f'<rect x="{left}" y="{y - BAR + 4}" width="{length:.1f}" height="{BAR}"{mark} rx="2"/>')
            text(round(left + length + 6, 1), f'{ms:.1f}', ' class="head"' if engine == 'octet' else '')
    height = y + MARGIN
    told = '; '.join(f"{p}: " + ', '.join(f'{names[e]} {ms:.1f} ms' for e, ms in rows) for p, rows in groups)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" role="img">\n<title>{html.escape(told)}</title>\n'
            f'<style>{STYLE}</style>\n<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" '
            f'height="{height - 1}" rx="6"/>\n' + '\n'.join(body) + '\n</svg>\n')


def table(measured):
    """Lowest ms by engine (down) and precision (across), the numbers of threads behind each other."""
    names = measured.get('engines', NAMES)
    threads = sorted({r['threads'] for r in measured['results']})
    precisions = list(dict.fromkeys(r['engine'].split('_', 1)[1] for r in measured['results']))
    columns = [[dict(times(measured, p, n)) for n in threads] for p in precisions]
    lines = ['| | ' + ' | '.join(precisions) + ' |', '|---' * (len(precisions) + 1) + '|']
    for engine, name in names.items():
        cells = [', '.join(f'{c[engine]:.1f}' for c in column if engine in c) for column in columns]
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('measured', nargs='?', default=os.path.join(RESULTS, 'resnet50_zen5.json'))
    parser.add_argument('--output', default=os.path.join(RESULTS, 'resnet50.svg'), help='- for stdout')
    parser.add_argument('--precisions', default='int8,fp32')
    parser.add_argument('--engines', default='octet,ov,ort,litert,ncnn')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--table', action='store_true', help='print a table instead')
    a = parser.parse_args()
    with open(a.measured) as file:
        measured = json.load(file)
    if a.table:
        print(table(measured), end='')
        return
    svg = chart(measured, a.precisions.split(','), a.threads, a.engines.split(','))
    if a.output == '-':
        print(svg, end='')
    else:
        with open(a.output, 'w') as file:
            file.write(svg)


main()
