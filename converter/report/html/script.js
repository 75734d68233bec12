(() => {
  'use strict';
  const value = (cell) => {
    const text = cell.textContent.trim();
    if (text === 'exact') return Infinity;
    if (text === '' || text === '–') return -Infinity;
    const number = parseFloat(text.replace(/[,<]/g, '').replace('−', '-'));
    return text.startsWith('<') ? number / 2 : number;
  };
  for (const table of document.querySelectorAll('table.sortable')) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector('button').addEventListener('click', () => {
        const text = head.classList.contains('text');
        const now = head.getAttribute('aria-sort');
        const down = now === 'none' ? !text && column > 0 : now === 'ascending';
        heads.forEach((h) => h.setAttribute('aria-sort', 'none'));
        head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
        const rows = [...table.tBodies[0].rows];
        const order = (a, b) => {
          const [x, y] = [a.cells[column], b.cells[column]];
          if (text) return x.textContent.localeCompare(y.textContent, 'en', {numeric: true});
          const [v, w] = [value(x), value(y)];
          return v < w ? -1 : v > w ? 1 : 0;
        };
        rows.sort((a, b) => down ? order(b, a) : order(a, b));
        table.tBodies[0].append(...rows);
      });
    });
  }
  for (const strip of document.querySelectorAll('.strip')) {
    const cells = [...strip.querySelectorAll('a')];
    const readout = document.getElementById(strip.dataset.readout);
    const rest = readout.textContent;
    const show = (cell) => { readout.textContent = cell ? cell.getAttribute('aria-label') : rest; };
    const choose = (cell) => {
      cells.forEach((c) => { c.tabIndex = c === cell ? 0 : -1; });
    };
    choose(cells[0]);
    cells.forEach((cell, i) => {
      cell.addEventListener('mouseenter', () => show(cell));
      cell.addEventListener('focus', () => { choose(cell); show(cell); });
      cell.addEventListener('keydown', (event) => {
        const to = {ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: cells.length - 1}[event.key];
        if (to === undefined) return;
        event.preventDefault();
        if (cells[to]) cells[to].focus();
      });
    });
    const rests = () => {
      show(strip.contains(document.activeElement) ? document.activeElement : null);
    };
    strip.addEventListener('mouseleave', rests);
    strip.addEventListener('focusout', () => show(null));
  }
  const opened = [];
  addEventListener('beforeprint', () => {
    for (const d of document.querySelectorAll('details:not([open])')) {
      d.open = true;
      opened.push(d);
    }
  });
  addEventListener('afterprint', () => opened.splice(0).forEach((d) => { d.open = false; }));
})();
