#!/usr/bin/env python3
"""registers.py OBJDUMP OBJECT...: whether the kernels' sums are in registers while products are added.

A sum that is found by a loop's number, by a lambda or through a structure lands in memory with g++, is
loaded and stored for each product, and a layer takes twice as long with the same result: so it was with
16-bit activations (a ResNet-50 30.6 ms instead of 15.9). So of each innermost loop of the functions that add
products, vectors are moved from and to the stack at most as often as there are products; exit code 1 where
that is not so.
"""
import os
import re
import subprocess
import sys

ADDING = re.compile(r'(Run\w*Tiles|StaggeredTiles|SideBySide|WinogradProduct|FusedRow|DepthwiseTiles)\b')
PRODUCT = re.compile(r'v?(pdpbusd|pdpwssd|dpbf16ps|fmadd\w+|pmaddwd|pmaddubsw|mulps)|[us]{1,2}dot|bfdot|fmla|smull2?|smlal2?')
JUMP = re.compile(r'(?:j\w+|b\.\w+|cbn?z\s+\w+,|tbn?z\s+\w+,.*,)\s+(?:0x)?([0-9a-f]+)')
TO_STACK = re.compile(r'v?(?:mov[au]p[sd]|movdq[au]\w*)\s.*\[rsp|(?:ld|st)[rp]\s+q.*\[sp')
FEWEST = 8  # Products of a loop that are worth it.


def instructions(objdump, path):
    """Yields (function, [(address, text)])."""
    flags = ['-d', '-C', '--no-show-raw-insn']
    if 'x86' in subprocess.run([objdump, '-f', path], capture_output=True, text=True, check=True).stdout:
        flags += ['-M', 'intel']
    text = subprocess.run([objdump, *flags, path], capture_output=True, text=True, check=True).stdout
    name, body = '', []
    for line in text.splitlines():
        start = re.match(r'[0-9a-f]+ <(.*)>:$', line)
        if start:
            yield name, body
            name, body = start[1], []
        elif one := re.match(r'\s*([0-9a-f]+):\s+(.*)', line):
            body.append((int(one[1], 16), one[2]))
    yield name, body


def innermost_loops(body):
    at = {address: i for i, (address, _) in enumerate(body)}
    loops = []
    for i, (_, text) in enumerate(body):
        jump = JUMP.match(text)
        target = at.get(int(jump[1], 16)) if jump else None
        if target is not None and target < i:
            loops.append((target, i))
    for first, last in loops:
        if not any((a, b) != (first, last) and first <= a and b <= last for a, b in loops):
            yield [text for _, text in body[first:last + 1]]


def main():
    objdump, *paths = sys.argv[1:]
    seen = failed = 0
    for path in paths:
        for name, body in instructions(objdump, path):
            if not ADDING.search(name):
                continue
            for loop in innermost_loops(body):
                products = sum(bool(PRODUCT.match(text)) for text in loop)
                moves = sum(bool(TO_STACK.match(text)) for text in loop)
                if products < FEWEST:
                    continue
                seen += 1
                if moves > products:
                    failed += 1
                    short = re.sub(r'octet::kernels::|\(anonymous namespace\)::', '', name)
                    print(f'{os.path.basename(path)}: {short}: a loop of {products} products has {moves} moves from '
                          f'and to the stack, expected at most {products}')
    print(f'{seen} loops, {failed} with sums in memory')
    return 1 if failed or seen == 0 else 0


sys.exit(main())
